"""The order of labels: does a row's place tell its label, and do labels fit their pictures at all?

Labels that were joined by position to pictures in another order are noise; a file sorted by class
is parted by class wherever it is cut by position.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from melnb.data.embeddings import Embeddings, nearest_neighbours
from melnb.tables.findings import EMBED, FAIL, NOT_CHECKED, PASS, REVIEW, Finding

_FEWEST = 10  # rows of a class, and of the others
_NEAR = 0.1  # AUC of a row's number from one half
_SURE = 5.0  # deviations from chance
_MOVES = (-2, -1, 1, 2)  # rows by which labels may have slipped
_NEIGHBOURS, _ASKED = 10, 2000
_NUMBER = re.compile(r"(\d+)\D*$")


def order_findings(
    rows: pd.DataFrame, embeddings: Embeddings, images: pd.DataFrame, *, seed: int = 0
) -> list[Finding]:
    """Say whether labels hang on the order of rows, and whether they fit (MEL007, MEL010).

    Args:
        rows: Of `order_finding`.
        embeddings: Of `label_finding`, and so are the next two.
        images: Images table.
        seed: Of the images drawn.
    """
    return [order_finding(rows), label_finding(embeddings, images, seed=seed)]


def order_finding(rows: pd.DataFrame) -> Finding:
    """Say whether a row's place, or the number in its id, tells its target (MEL007).

    By the Mann-Whitney area of each target against the others; an area must lie .1 from one half,
    and five of its deviations under chance (Hanley and McNeil 1982).

    Args:
        rows: `image_id` and `target`, in the order of their table.
    """
    labelled = rows[rows["target"].notna()] if "target" in rows else rows.iloc[:0]
    counts = labelled["target"].value_counts() if len(labelled) else pd.Series(dtype=int)
    usual = counts[(counts >= _FEWEST) & (len(labelled) - counts >= _FEWEST)]
    if usual.empty:
        words = f"no target has {_FEWEST} rows, and as many others"
        return Finding("MEL007", NOT_CHECKED, 0, words, "give more rows")
    numbers = pd.to_numeric(
        labelled["image_id"].astype(str).str.extract(_NUMBER)[0], errors="coerce"
    )
    places = {
        "place": pd.Series(np.arange(len(labelled)), labelled.index),
        "number in its id": numbers,
    }
    areas = [
        (*_area(place[place.notna()], labelled.loc[place.notna(), "target"].eq(name)), what, name)
        for what, place in places.items()
        for name in usual.index
    ]
    area, deviations, what, name = max(areas, key=lambda a: abs(a[0] - 0.5))
    words = f"the AUC of a row's {what} for {name!r} is {area:.3f}"
    telling = abs(area - 0.5) > _NEAR and deviations > _SURE
    return Finding("MEL007", REVIEW if telling else PASS, len(labelled) if telling else 0, words)


def _area(place: pd.Series, positive: pd.Series) -> tuple[float, float]:
    """Return the area of places for a class, and by how many deviations it lies from one half."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return 0.5, 0.0
    area = (place.rank()[positive].sum() - n * (n + 1) / 2) / (n * m)
    return float(area), float(abs(area - 0.5) / np.sqrt((n + m + 1) / (12 * n * m)))


def label_finding(embeddings: Embeddings, images: pd.DataFrame, *, seed: int = 0) -> Finding:
    """Say whether pictures are of their neighbours' class more often than by chance (MEL010).

    The ten nearest of other lesions of 2,000 images at most, with the labels as they are, moved by
    one or two rows, and in the opposite order: right ones agree by far the most.

    Args:
        embeddings: Of `read_embeddings`.
        images: The images table, in the order in which labels were given.
        seed: Of the draw of images.
    """
    labelled = images[images["target"].notna() & images["image_id"].isin(embeddings.image_id)]
    if labelled["target"].nunique() < 2 or len(labelled) < 2 * _NEIGHBOURS:
        return Finding(
            "MEL010",
            NOT_CHECKED,
            0,
            "no embeddings were given, or of fewer than 20 pictures or two targets",
            EMBED,
        )
    apart = "lesion_id" if "lesion_id" in labelled and labelled["lesion_id"].notna().any() else ""
    asked = labelled["image_id"].sample(min(_ASKED, len(labelled)), random_state=seed)
    near = nearest_neighbours(embeddings, labelled, of=asked, count=_NEIGHBOURS, apart=apart)
    label = labelled["target"].to_numpy(dtype=object)
    orders = {"as they are": label, "in the opposite order": label[::-1]}
    orders |= {f"moved by {k} rows": np.roll(label, k) for k in _MOVES}
    excess = {name: _excess(near, labelled["image_id"], one) for name, one in orders.items()}
    best = max(excess, key=lambda name: excess[name][0])
    as_stated, error = excess["as they are"]
    words = (
        f"neighbours agree {as_stated:+.3f} beyond chance (error {error:.3f}); best {best}, "
        f"{excess[best][0]:+.3f}"
    )
    if excess[best][0] > max(2 * as_stated, 2 * excess[best][1]):
        return Finding("MEL010", FAIL, len(labelled), words)
    fits = as_stated > 2 * error
    return Finding("MEL010", PASS if fits else REVIEW, 0 if fits else len(labelled), words)


def _excess(near: pd.DataFrame, ids: pd.Series, labels: np.ndarray) -> tuple[float, float]:
    """Return by how much neighbours share a label beyond chance, and its error over images."""
    label_of = pd.Series(pd.factorize(labels)[0], index=ids.to_numpy())
    ours, theirs = near["image_id"].map(label_of), near["neighbour"].map(label_of)
    # Chance by class: a share of neighbours of the class, among all neighbours.
    chance = ours.map(theirs.value_counts(normalize=True)).fillna(0.0)
    by_image = (ours.eq(theirs) - chance).groupby(near["image_id"]).mean()
    return float(by_image.mean()), float(by_image.std() / np.sqrt(len(by_image)))
