"""Near duplicates: one picture, or one lesion, under two names, found by embeddings and by pixels.

Proposed are the nearest of each picture by its whitened vector, and by its thumbnail, mirrored and
turned onto itself; then pixels are laid on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from melnb.data.audit.leaks import HELD_OUT, SAME_COLUMNS
from melnb.data.audit.shortcut_features import Looks
from melnb.data.audit.template_matching import (
    aligned_agreement,
    coarse_agreement,
    coarse_cells,
    dihedral,
)
from melnb.data.embeddings import Embeddings
from melnb.tables.checks import check_columns
from melnb.tables.findings import EMBED, FAIL, NOT_CHECKED, PASS, REVIEW, Finding
from melnb.tables.marks import ALIKE, LESION, PICTURE

PAIR_COLUMNS = (*SAME_COLUMNS, "aligned", "rank")
_WIDTH, _A_DIRECTION = 512, 10  # directions of whitening; images that each rests on, at least
_LOOKS_WIDTH = 64
_BY_VECTOR, _BY_LOOK = 20, 5  # neighbours of each picture that are compared
# Pixels that agree so are of one picture; so, if vectors agree a little; vectors that make a lesion
# likely. Set on HAM10000: of 275, and of 282 further pairs, 95 % and 89 % are of one lesion by id.
_SAME, _NEARLY, _SUPPORT, _LIKELY = 0.99, 0.985, 0.1, 0.25
_CHANCE = 2.5  # deviations of a cosine of strangers: in few directions many are alike by chance
_BY_PIXELS = 0.1  # weight of pixels beside vectors when pairs are ranked
_PARTNERS = 3  # of each picture, whose pixels are aligned
_TWINS = 0.95  # coarse agreement at which pixels are aligned whatever the vectors say
_EXACT, _PROBES, _BLOCK, _ASKED, _ROWS = 20_000, 12, 2048, 512, 16_384


def whitened(vectors: np.ndarray, *, most: int = _WIDTH) -> np.ndarray:
    """Return vectors of length one along which a set varies alike in every direction.

    What varies most in pictures of skin is light, colour and the place of the lesion; whitened,
    what is peculiar to a picture counts as much (Jegou and Chum 2012, ECCV).

    Args:
        vectors: n x width.
        most: Directions kept: the strongest, and at most one for each ten images.
    """
    n, width = vectors.shape
    mean, spread = vectors.mean(axis=0), np.zeros((width, width))
    for start in range(0, n, _ROWS):  # in blocks, as double precision of all is much
        block = (vectors[start : start + _ROWS] - mean).astype(np.float64)
        spread += block.T @ block
    kept = max(1, min(most, width, n // _A_DIRECTION))
    strengths, directions = np.linalg.eigh(spread)
    strengths = np.maximum(strengths[-kept:], 1e-9 * strengths[-1])
    # The scale is free, as each is brought to length one.
    scaled = (directions[:, -kept:] / np.sqrt(strengths)).astype(np.float32)
    white = np.empty((n, kept), np.float32)
    for start in range(0, n, _ROWS):
        block = (vectors[start : start + _ROWS] - mean) @ scaled
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        white[start : start + _ROWS] = block / np.maximum(lengths, 1e-12)
    return white


def nearest_rows(unit: np.ndarray, count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose cosines with each row are highest, itself apart.

    Up to 20,000 rows all are compared with all. Above, rows are gathered about centres, and each is
    compared with the rows of the twelve cells whose centres are nearest to itself (an inverted
    file, many probes: Jegou, Douze and Schmid 2011, IEEE PAMI 33:117), as a copy is nearly where it
    is: time grows with the number to the power 1.5, and a pair that is far apart may be missed.

    Args:
        unit: n x width, each of length one.
        count: Neighbours of each.
        seed: Of the rows by which centres are found.

    Returns:
        n x count rows, the nearest first, and their cosines (below -1: there were too few).
    """
    n = len(unit)
    count = min(count, n - 1)
    rows, cosines = np.zeros((n, count), np.int32), np.full((n, count), -2.0, np.float32)
    for asking, others in _cells(unit, seed):
        for start in range(0, len(asking), _ASKED):
            block = asking[start : start + _ASKED]
            product = unit[block] @ unit[others].T
            product[block[:, None] == others] = -2.0
            near = _best(product, count)
            values = np.hstack([cosines[block], np.take_along_axis(product, near, axis=1)])
            candidates = np.hstack([rows[block], others[near]])
            best = _best(values, count)
            cosines[block] = np.take_along_axis(values, best, axis=1)
            rows[block] = np.take_along_axis(candidates, best, axis=1)
    for start in range(0, n, _ROWS):
        some = slice(start, start + _ROWS)
        order = np.argsort(-cosines[some], axis=1, kind="stable")
        rows[some] = np.take_along_axis(rows[some], order, axis=1)
        cosines[some] = np.take_along_axis(cosines[some], order, axis=1)
    return rows, cosines


def _best(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the highest of each row, in any order; all where there are no more."""
    if values.shape[1] <= count:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, values.shape[1] - count, axis=1)[:, -count:]


def _cells(unit: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows, and the rows that they are compared with."""
    n = len(unit)
    if n <= _EXACT:
        yield np.arange(n), np.arange(n, dtype=np.int32)
        return
    from sklearn.cluster import MiniBatchKMeans

    centres = round(np.sqrt(_PROBES * n))  # as long to find the cells as to search them
    drawn = np.random.default_rng(seed).choice(n, min(n, 20 * centres), replace=False)
    clusters = MiniBatchKMeans(centres, batch_size=8192, n_init=1, random_state=seed, max_iter=5,
                               init="random")  # fmt: skip
    places = clusters.fit(unit[drawn]).cluster_centers_.astype(np.float32)
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12)
    nearest, home = np.empty((n, _PROBES), np.int32), np.empty(n, np.int32)
    for start in range(0, n, _BLOCK):
        some = slice(start, start + _BLOCK)
        product = unit[some] @ places.T
        nearest[some] = _best(product, _PROBES)
        home[some] = product.argmax(axis=1)
    asking, members = _gathered(nearest.ravel(), centres), _gathered(home, centres)
    for (order, some), (others, there) in zip(asking, members, strict=True):
        if there.start < there.stop:
            yield order[some] // _PROBES, others[there]


def _gathered(cell: np.ndarray, cells: int) -> Iterator[tuple[np.ndarray, slice]]:
    """Yield the order in which places of one cell stand together, and where those of each do."""
    order = np.argsort(cell, kind="stable").astype(np.int32)
    ends = np.searchsorted(cell[order], np.arange(cells + 1))
    yield from ((order, slice(a, b)) for a, b in pairwise(ends))


def near_duplicates(
    embeddings: Embeddings, looks: Looks, *, most: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Propose pairs of pictures that may be one picture, or one lesion, the likeliest first.

    A pair's similarity is the cosine of whitened vectors less the mean of what the two have with
    their own ten next (cross-domain similarity local scaling: Conneau et al. 2018, ICLR), so that
    pictures to which many are alike are not proposed again and again. Then grey levels are laid on
    each other (`template_matching.aligned_agreement`). Pairs of one picture by their pixels come
    first, each kind by its similarity and a tenth of Fisher's z of the pixels.

    Args:
        embeddings: Of `read_embeddings`.
        looks: Of the same images, in any order; those that it lacks are not compared.
        most: Pairs returned.
        seed: Of the search among more than 20,000 pictures.

    Returns:
        `image_id`, `same_as`, `kind` (`same picture`: pixels agree; `same lesion`: likely by
        vectors; `look-alike`), `similarity`, `aligned` (-1 to 1) and `rank` (from 1).
    """
    look_of = pd.Index(looks.table["image_id"]).get_indexer(pd.Index(embeddings.image_id))
    rows = np.flatnonzero((look_of >= 0) & looks.table["note"].eq("").to_numpy()[look_of])
    if len(rows) < 2 * _A_DIRECTION:
        return pd.DataFrame({name: [] for name in PAIR_COLUMNS})
    thumbnails, place = looks.thumbnails, look_of[rows]
    cells = coarse_cells(thumbnails[place])
    white = whitened(embeddings.vectors(rows))
    likely = max(_LIKELY, _CHANCE / np.sqrt(white.shape[1]))
    others = whitened(_mirrored(cells), most=_LOOKS_WIDTH)
    first, second, similarity = _candidates(white, others, seed)
    aligned = np.full(len(first), np.nan)
    chosen = _worth(first, second, similarity, cells)
    for start in range(0, len(chosen), _BLOCK):
        some = chosen[start : start + _BLOCK]
        aligned[some] = aligned_agreement(
            thumbnails[place[first[some]]], thumbnails[place[second[some]]]
        )
    same = (aligned >= _SAME) | ((aligned >= _NEARLY) & (similarity >= _SUPPORT))
    kinds = np.where(same, PICTURE, np.where(similarity >= likely, LESION, ALIKE))
    standing = similarity + _BY_PIXELS * np.arctanh(np.clip(np.nan_to_num(aligned), 0, 0.9995))
    order = np.lexsort((-standing, ~same))[:most]
    names = embeddings.image_id[rows]
    return pd.DataFrame(
        {
            "image_id": names[first[order]], "same_as": names[second[order]], "kind": kinds[order],
            "similarity": similarity[order].astype(float), "aligned": aligned[order],
            "rank": np.arange(1, len(order) + 1),
        }
    )  # fmt: skip


def _mirrored(cells: np.ndarray) -> np.ndarray:
    """Return what is left of pictures when all their turns and mirrors are averaged."""
    total = np.zeros_like(cells)
    for move in dihedral(cells):
        total += move
    return total.reshape(len(cells), -1)


def _candidates(
    vectors: np.ndarray, looks: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of rows, each once, and their similarity."""
    rows, cosines = nearest_rows(vectors, _BY_VECTOR, seed=seed)
    around = cosines[:, 1:11].mean(axis=1) if cosines.shape[1] > 1 else cosines[:, 0]
    others, _ = nearest_rows(looks, _BY_LOOK, seed=seed)
    n = len(vectors)
    pairs = []
    for near in (rows, others):
        row = np.repeat(np.arange(n), near.shape[1])
        near = near.reshape(-1).astype(np.int64)
        pairs.append(np.minimum(row, near) * n + np.maximum(row, near))  # a pair as one number
    first, second = np.divmod(np.unique(np.concatenate(pairs)), n)
    products = np.concatenate([
        np.einsum("ij,ij->i", vectors[first[s : s + _BLOCK]], vectors[second[s : s + _BLOCK]])
        for s in range(0, len(first), _BLOCK)
    ])  # fmt: skip
    return first, second, products - (around[first] + around[second]) / 2


def _worth(
    first: np.ndarray, second: np.ndarray, similarity: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    """Return the pairs whose pixels are aligned: each picture's likeliest, and coarse twins."""
    rank = pd.Series(similarity)
    chosen = np.zeros(len(first), bool)
    for side in (first, second):
        chosen |= rank.groupby(side).rank(ascending=False, method="first").to_numpy() <= _PARTNERS
    for start in range(0, len(first), _BLOCK):
        some = slice(start, start + _BLOCK)
        coarse = coarse_agreement(cells[first[some]], cells[second[some]])
        chosen[some] |= coarse.max(axis=1) >= _TWINS
    return np.flatnonzero(chosen)


def duplicate_finding(
    pairs: pd.DataFrame, rows: pd.DataFrame, *, copies: pd.DataFrame | None = None
) -> Finding:
    """Say whether verified pairs lie in two parts, and how many wait to be settled (MEL009).

    Args:
        pairs: Of `near_duplicates`.
        rows: Of `leaks.audit_rows`; pairs of one lesion by their ids are no news.
        copies: Of `find_copies`: equal pictures are told by MEL004; None: not known.
    """
    check_columns(pairs, PAIR_COLUMNS, "pairs")
    if pairs.empty:
        words = f"no embeddings were given, or of fewer than {2 * _A_DIRECTION} pictures"
        return Finding("MEL009", NOT_CHECKED, 0, words, EMBED)
    news = unknown_pairs(pairs, rows)
    if copies is not None:
        number = copies.set_index("image_id")["identical"]
        one, other = news["image_id"].map(number), news["same_as"].map(number)
        news = news[~(one.notna() & one.eq(other))]
    part = rows.set_index("image_id")["part"]
    same = news[news["kind"].eq(PICTURE)]
    sides = same["image_id"].map(part), same["same_as"].map(part)
    torn = (sides[0].notna() & sides[1].notna() & sides[0].ne(sides[1])).sum()
    words = (
        f"{len(same):,} pairs of other lesions are the same picture by their pixels, {torn:,} in "
        f"two parts ({HELD_OUT} among them); {int(news['kind'].eq(LESION).sum()):,} more may be "
        "one lesion"
    )
    severity = FAIL if torn else REVIEW if news["kind"].ne(ALIKE).any() else PASS
    return Finding("MEL009", severity, int(2 * len(same)), words)


def unknown_pairs(pairs: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs whose lesions are not known to be one, in their order."""
    lesion = images.set_index("image_id")["lesion_id"]
    one, other = pairs["image_id"].map(lesion), pairs["same_as"].map(lesion)
    return pairs[~(one.notna() & one.eq(other))].reset_index(drop=True)


def pair_precision(
    pairs: pd.DataFrame, images: pd.DataFrame, *, counts: tuple[int, ...] = (100, 500, 1000)
) -> pd.DataFrame:
    """Return the share of the likeliest pairs that are of one lesion by their ids.

    A lower limit, as ids do not know all that is the same; and the share of all pairs of one lesion
    that were proposed.

    Args:
        pairs: Of `near_duplicates`.
        images: The images table; pairs with an unknown lesion are left out.
        counts: Of pairs, from the likeliest.

    Returns:
        `pairs`, `precision`, `recall`; no row where no lesion is known.
    """
    lesion = images.set_index("image_id")["lesion_id"]
    one, other = pairs["image_id"].map(lesion), pairs["same_as"].map(lesion)
    both = one.notna() & other.notna()
    same = one[both].eq(other[both]).to_numpy()
    sizes = lesion.value_counts()
    every = int((sizes * (sizes - 1) // 2).sum())
    precisions = [
        {"pairs": n, "precision": float(same[:n].mean()), "recall": same[:n].sum() / max(every, 1)}
        for n in counts
        if n <= len(same)
    ]
    return pd.DataFrame(precisions, columns=["pairs", "precision", "recall"])


def settled_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that are taken for one unless a person says otherwise: `same_as.csv`.

    Args:
        pairs: Of `unknown_pairs`; look-alikes are left out.
    """
    settled = pairs.loc[pairs["kind"].ne(ALIKE), list(SAME_COLUMNS)]
    return settled.reset_index(drop=True)
