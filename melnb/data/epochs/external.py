"""External data, and the training set: images of other datasets, learnt from beside one's own.

What could tell a network of an image that it will be judged on is left out: the same image, a
picture of the same patient or lesion, and the same picture under another name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.audit.duplicates import find_identical
from melnb.data.datasets import Dataset, read_dataset
from melnb.data.epochs.training_rows import EXTERNAL, Rows, join_rows, read_rows
from melnb.data.metadata import Cells, Encoder, fit_encoder
from melnb.data.pseudo_labels import pseudo_rows, read_labels
from melnb.data.shards.examples import read_examples
from melnb.data.shards.records import read_index
from melnb.tables import overlap
from melnb.tables.checks import TEST
from melnb.tables.diagnoses import OTHER, find_diagnosis
from melnb.tables.schema import join_images, read_images


def add_external(
    rows: Rows,
    datasets: Sequence[Dataset],
    *,
    own: Dataset,
    fold: int | None,
    image_size: int,
    drop: Collection[str] = (),
) -> tuple[Rows, pd.DataFrame]:
    """Add what may be learnt from other datasets to the training rows of one's own.

    Args:
        rows: Training rows of `own`.
        datasets: None, one or several; an image that stands in two is taken from the first.
        own: See `external_rows`, also for what follows.
        fold: Held out; None: none is.
        image_size: Pixels on a side.
        drop: Classes left out on purpose; not every dataset need have them.

    Returns:
        All rows, and a table of what became of the images: dataset, reason, images.

    Raises:
        ValueError: As `external_rows`; or a class to drop is in none of the datasets.
    """
    there = {name for dataset in datasets for name in dataset.classes}
    if unknown := sorted(set(drop) - there):
        raise ValueError(f"drop names {unknown}, none of the external classes {sorted(there)}")
    tables = [pd.DataFrame(columns=["dataset", "reason", "images"])]
    for dataset in datasets:
        part, table = external_rows(
            dataset, own=own, fold=fold, image_size=image_size,
            drop=set(drop) & set(dataset.classes), taken=rows.image_id,
        )  # fmt: skip
        tables.append(table.assign(dataset=dataset.dataset)[[*tables[0].columns]])
        rows = join_rows([rows, part])
    return rows, pd.concat(tables, ignore_index=True).astype({"images": "int64"})


def external_rows(
    dataset: Dataset,
    *,
    own: Dataset,
    fold: int | None,
    image_size: int,
    drop: Collection[str] = (),
    taken: Collection[str] = (),
    group: int = EXTERNAL,
) -> tuple[Rows, pd.DataFrame]:
    """Read what may be learnt from another dataset while a fold of one's own is held out.

    Args:
        dataset: The other dataset, prepared by 02_prepare; its test images stay unseen.
        own: The dataset that is judged on; its classes are the ones learnt.
        fold: Of `own`, held out; None: none is.
        image_size: Pixels on a side; the next larger size that is there serves too.
        drop: Classes of the other dataset that are left out on purpose.
        taken: Images that an earlier dataset gave already.
        group: Of the rows.

    Returns:
        The rows, and a table of what became of every image: reason, images (the row `kept` first).

    Raises:
        ValueError: A class of the other dataset is none of one's own, or nothing is left.
    """
    matched = match_classes(dataset.classes, own.classes, drop=drop)
    folds = sorted({shard.fold for shard in dataset.shards} - {TEST})
    paths = dataset.paths(folds, image_size, exact=False)
    rows = read_rows(paths, n_classes=len(dataset.classes), group=group, labelled=False)
    unlabelled = np.isnan(rows.truth).any(axis=1)
    dropped = np.array([name not in matched for name in dataset.classes])[rows.labels]
    before = overlap.keys(pd.Series([*taken], dtype=object))
    copies = _identical(dataset, paths, own, image_size)
    reasons = {
        "no label": unlabelled,
        "class left out": dropped & ~unlabelled,
        **_meeting(read_index(paths), own, fold, image_size, copies),
        "in a dataset before": overlap.keys(pd.Series(rows.image_id)).isin(before).to_numpy(),
        "same picture": np.isin(rows.image_id, copies["image_id"]),
    }
    table, kept = _count(reasons)
    if not kept.any():
        raise ValueError(
            f"nothing is left of the {len(rows)} images of {dataset.dataset!r}: "
            f"{dict(table.to_numpy().tolist())}"
        )
    return _translate(rows.take(kept), dataset.classes, own.classes, matched), table


def match_classes(
    theirs: Sequence[str], ours: Sequence[str], *, drop: Collection[str] = ()
) -> dict[str, str]:
    """Match the classes of another dataset with one's own, by name and never by position.

    A class is its namesake, or the class of the same diagnosis (`seborrheic_keratosis` is
    `benign_keratosis`); a diagnosis without a class is `other`, where there is such a class.

    Args:
        theirs: Classes of the other dataset.
        ours: Classes of one's own.
        drop: Of theirs, left out on purpose.

    Returns:
        Their name to ours, without those dropped.

    Raises:
        ValueError: Classes of theirs are none of ours; all are listed.
    """
    if unknown := sorted(set(drop) - set(theirs)):
        raise ValueError(f"drop names {unknown}, none of the classes {list(theirs)}")
    by_diagnosis = {_diagnosis(name): name for name in ours}
    matched, lost = {}, []
    for name in theirs:
        diagnosis = _diagnosis(name)
        label = name if name in ours else by_diagnosis.get(diagnosis) if diagnosis else None
        if label is None and diagnosis and OTHER in ours:
            label = OTHER
        if name not in drop:
            matched[name] = label or ""
            lost += [] if label else [name]
    if lost:
        raise ValueError(
            f"external classes {lost} are none of {list(ours)}: name them in drop, or prepare "
            "both datasets with the same task"
        )
    return matched


def _diagnosis(name: str) -> str:
    try:
        return find_diagnosis(name)
    except ValueError:
        return ""


def _meeting(
    index: pd.DataFrame, home: Dataset, fold: int | None, size: int, copies: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Return which images stand in one's own dataset, or whose patient or lesion is judged on."""
    every = read_index(home.paths(None, size, exact=False))
    judged_on = [*([] if fold is None else [fold]), *([TEST] if home.has_test else [])]
    judged = read_index(home.paths(judged_on, size, exact=False))
    renamed = copies.loc[copies["own"].isin(judged["image_id"]), ["image_id"]]
    met = overlap.met_images(index, pd.concat([judged, renamed], ignore_index=True))
    reasons = {"image in the dataset": overlap.met_images(index[["image_id"]], every)}
    for name in ("patient", "lesion"):
        reasons[f"{name} held out or in test"] = met[met["met_by"] == name]
    return {
        reason: index["image_id"].isin(table["image_id"]).to_numpy()
        for reason, table in reasons.items()
    }


def _identical(dataset: Dataset, paths: Sequence[Path], home: Dataset, size: int) -> pd.DataFrame:
    """Return the images that are pictures of one's own dataset: as raw files, or as records.

    Returns:
        `image_id` and that of `home`, a row per pair.
    """
    ours = _digests(home.paths(None, size, exact=False))
    pairs = [
        (copy, image)
        for digest, copies in _digests(paths).items()
        for copy in copies
        for image in ours.get(digest, ())
    ]
    tables = [one.folder / "images.csv" for one in (dataset, home)]
    if all(table.is_file() for table in tables):
        theirs, mine = (read_images(table) for table in tables)
        both = pd.concat([theirs, mine], ignore_index=True)
        names = both["image_id"].tolist()
        both["image_id"] = both.index.map(str)  # one id may stand in both
        same = find_identical(both).astype({"image_id": int})
        for _, places in same.groupby("identical")["image_id"]:
            copies = [names[k] for k in places if k < len(theirs)]
            pairs += [(c, names[k]) for c in copies for k in places if k >= len(theirs)]
    return pd.DataFrame(pairs, columns=["image_id", "own"])


def _digests(paths: Sequence[Path]) -> dict[bytes, list[str]]:
    """Return the images of each picture, by a hash of its encoded bytes."""
    names_of: dict[bytes, list[str]] = {}
    for path in paths:
        for example in read_examples(path, keys=("image_name", "image"), check=False):
            digest = hashlib.blake2b(example["image"], digest_size=16).digest()
            names_of.setdefault(digest, []).append(example.get("image_name", b"").decode())
    return names_of


def _count(reasons: dict[str, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Count each image at its first reason, and tell which have none."""
    left_out = np.array([*reasons.values()])
    first = left_out & (np.cumsum(left_out, axis=0) == 1)
    kept = np.asarray(~left_out.any(axis=0))
    counts = {"kept": int(kept.sum())} | {
        name: int(row.sum()) for name, row in zip(reasons, first, strict=True)
    }
    return pd.DataFrame({"reason": [*counts], "images": [*counts.values()]}), kept


def _translate(
    rows: Rows, theirs: Sequence[str], ours: Sequence[str], matched: dict[str, str]
) -> Rows:
    table = np.zeros((len(theirs), len(ours)), "float32")
    for name, columns in matched.items():
        table[theirs.index(name), ours.index(columns)] = 1
    return replace(rows, truth=rows.truth @ table)


# The training set: all that one fold's network may learn from, and what it is told besides pixels.
#
# One's own images come first, then those of other datasets, then those that only networks have
# labelled; none of them is, or is near to, an image that the fold is judged on.


@dataclass(frozen=True)
class TrainingSet:
    """What one fold's network may learn from.

    Attributes:
        rows: Images to learn from, with their metadata if any is asked for.
        borrowed: What became of the images of other datasets: dataset, reason, images.
        images: The images table of all datasets.
        encoder: How metadata become numbers; None: none are asked for.
        held_out_metadata: n x cells of the held-out images in file order; None: none.
    """

    rows: Rows
    borrowed: pd.DataFrame
    images: pd.DataFrame
    encoder: Encoder | None = None
    held_out_metadata: np.ndarray | None = None

    @property
    def cells(self) -> Cells | int:
        """Return what a network has to know of the metadata; 0: there are none."""
        return self.encoder.cells if self.encoder else 0


def training_set(
    own: Dataset,
    *,
    fold: int | None,
    image_size: int,
    external: Sequence[str] = (),
    external_drop: Collection[str] = (),
    pseudo: str = "",
    metadata: Sequence[str] = (),
    find: Callable[[str, Sequence[str]], Sequence[Path]],
) -> TrainingSet:
    """Read what may be learnt from while a fold is held out.

    Args:
        own: The prepared dataset that is judged on.
        fold: Held out; None: none is.
        image_size: Pixels on a side; the next larger size that is there serves too.
        external: Runs of 02_prepare: other datasets; see `add_external`.
        external_drop: Classes of theirs that are left out.
        pseudo: A run of 04b_pseudo_label; see `pseudo_rows`.
        metadata: Columns of the images table, encoded as the images learnt from fix it.
        find: Called with a stage and names of its runs, returns the folders (`Run.finds`).

    Raises:
        ValueError: As the functions named; or a column tells nothing.
    """
    learnt, held_out = own.split(fold, image_size)
    others = [read_dataset(folder) for folder in find("02_prepare", external)]
    rows, borrowed = add_external(
        read_rows(learnt, n_classes=len(own.classes)), others, own=own, fold=fold,
        image_size=image_size, drop=external_drop,
    )  # fmt: skip
    if pseudo and fold is None:
        raise ValueError("pseudo labels are by networks that never met the fold held out: name it")
    for folder in find("04b_pseudo_label", [pseudo] if pseudo else []):
        labels = read_labels(folder / "pseudo.csv")
        student = pseudo_rows(labels, own, fold=fold or 0, image_size=image_size)
        rows = join_rows([rows, student])
    images = join_images(dataset.folder for dataset in (own, *others))
    if not metadata:
        return TrainingSet(rows, borrowed, images)
    encoder = fit_encoder(images[images["image_id"].isin(rows.image_id)], metadata)
    return TrainingSet(
        rows.with_metadata(encoder.rows_for(rows.image_id, images)), borrowed, images, encoder,
        encoder.rows_for(read_index(held_out)["image_id"], images),
    )  # fmt: skip
