"""Overlap: is this the same image, the same lesion, the same patient?

Whoever asks is answered here: folds, external data, pseudo-labels, relabelling, scores and folds of
others, ensembles, segmenters, external validation.

Ids are the same but for spaces around them, upper and lower case, and the `.0` of whole numbers
that were once read as fractions. An image's id is also the same but for a folder in front of it, a
picture's suffix, and the mark of ISIC 2019's smaller copies: `train/ISIC_1_downsampled.jpg` is
`ISIC_1`. What is unknown is the same as nothing. Pictures equal byte for byte under two names are
told by a table (`find_identical`). Sources that number their patients or lesions alike (1, 2 …)
seem to meet: give them ids of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.tables.checks import TEST, TableError
from melnb.tables.files import picture_id, safe_id

COLUMNS = ("image_id", "met_by", "shared")
BY = ("image", "lesion", "patient", "picture")
_PEOPLE = ("lesion", "patient")
_SMALLER = "_downsampled"  # ISIC 2019 marks smaller copies of earlier images so


def keys(ids: pd.Series, *, of: str = "image") -> pd.Series:
    """Return what is equal where ids are of the same thing; unknown ones (NaN, empty) are NaN.

    Args:
        ids: Of images, lesions or patients.
        of: `image`, `lesion` or `patient`.
    """
    codes, names = pd.factorize(ids.astype(object))
    plain = np.array([*map(_image if of == "image" else _plain, map(str, names)), ""], dtype=object)
    series = pd.Series(plain[codes], index=ids.index, dtype=object)  # the last stands for code -1
    return series.where(series != "", np.nan)


def match(asked: pd.Series, known: pd.Series) -> np.ndarray:
    """Return where each image asked for stands among those known: the join of two tables by image.

    An id that is there as it is wins; then one that differs by folder, suffix or case alone; then
    a smaller copy. Where several are equally like it, none is taken.

    Returns:
        n positions in `known`; -1 where the image is not there, or not plainly.
    """
    places = np.full(len(asked), -1)
    for name in (str, _name, _image):
        lost = np.flatnonzero(places < 0)
        if not len(lost):
            break
        theirs = known.map(name, na_action="ignore").to_numpy(dtype=object)
        rows = pd.Series(np.arange(len(known)), index=theirs)
        rows = rows[rows.index.notna() & ~rows.index.duplicated(keep=False)]
        ours = asked.iloc[lost].map(name, na_action="ignore")
        places[lost] = ours.map(rows).fillna(-1).to_numpy(dtype=np.int64)
    return places


def met_images(
    images: pd.DataFrame, learnt: pd.DataFrame, *, identical: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Name the images that a model has met, and by what: whoever was learnt from is no stranger.

    An image is met if itself, another picture of its lesion or of its patient, or the same picture
    under another name was learnt from; and so is every other of its lesion or patient.

    Args:
        images: `image_id`, and `lesion_id` and `patient_id` where known: predictions or images.
        learnt: The same, of all that was learnt from.
        identical: `image_id` and `identical`, sets of equal pictures over both; None: pictures are
            not compared.

    Returns:
        A row per met image, by id: `image_id`, `met_by` (the first of image, lesion, patient,
        picture), `shared` (the id as it was learnt from; of a picture, an image's).
    """
    image_ids = images["image_id"].astype(str)
    named = [name for name in BY[:3] if f"{name}_id" in images]
    ids_of = {name: keys(images[f"{name}_id"], of=name) for name in named}
    shared = {
        name: _shared(ids, learnt[f"{name}_id"], name)
        for name, ids in ids_of.items()
        if f"{name}_id" in learnt
    }
    if identical is not None:
        shared["picture"] = _shared_pictures(image_ids, learnt["image_id"].astype(str), identical)
    table = pd.DataFrame(shared, index=images.index, columns=list(BY), dtype=object)
    _close(table, images, ids_of)
    met = table.notna().any(axis=1)
    reasons = table[met]
    columns = {
        "image_id": image_ids[met],
        "met_by": reasons.notna().idxmax(axis=1),
        "shared": reasons.bfill(axis=1).iloc[:, 0],
    }
    made_table = pd.DataFrame(columns, columns=list(COLUMNS))
    return made_table.sort_values("image_id", ignore_index=True)


def held_out_folds(images: pd.DataFrame, learnt: pd.DataFrame, folds: pd.DataFrame) -> pd.Series:
    """Return the fold of each image in the data set that networks learnt from.

    A network that was trained without a fold has learnt from none of its images, lesions and
    patients; of an image that stands in no fold, none of the networks has learnt.

    It is that of the image itself, else that of its lesion, else that of its patient; else that of
    another image asked for that is of its lesion or patient: of siblings in several folds, the
    lowest, though all networks have then learnt from one of them.

    Args:
        images: Of any data set: `image_id`, and `lesion_id` and `patient_id` where known.
        learnt: The images table of the data set that was learnt from.
        folds: Its folds table.

    Returns:
        Whole numbers by image id, in the order of `images`: the fold, or -1 where none of them
        stands in a fold; test images are in none.

    Raises:
        TableError: The folds part a lesion or a patient.
    """
    check_together(folds, learnt)
    members = learnt.merge(folds.loc[folds["fold"] != TEST, ["image_id", "fold"]], on="image_id")
    named = {n: keys(images[f"{n}_id"], of=n) for n in BY[:3] if f"{n}_id" in images}
    places = np.full(len(images), np.nan)
    for name, ids in named.items():
        if f"{name}_id" in members:
            theirs = members.assign(key=keys(members[f"{name}_id"], of=name)).dropna(subset=["key"])
            fold_of = theirs.drop_duplicates("key").set_index("key")["fold"]
            places = np.where(np.isnan(places), ids.map(fold_of).to_numpy(dtype=float), places)
    for name in _PEOPLE:
        if name in named:
            siblings = pd.Series(places).groupby(named[name].to_numpy()).transform("min")
            places = np.where(np.isnan(places), siblings, places)
    numbers = np.where(np.isnan(places), TEST, places).astype("int64")
    return pd.Series(numbers, index=images["image_id"].to_numpy(), name="fold")


def make_groups(images: pd.DataFrame, identical: pd.DataFrame | None = None) -> np.ndarray:
    """Number the clusters of images that share a patient, a lesion, a picture or themselves.

    They are the connected components of the graph that links images to their ids, so that two
    patients who share a lesion id (an error of the source, but seen) are one cluster.

    Args:
        images: `image_id`, `patient_id` and `lesion_id`.
        identical: As `met_images` takes it.

    Returns:
        n whole numbers, in the order of each cluster's smallest name (an image is named by its
        patient, else by its lesion, else by itself), so that patients keep their order.
    """
    from scipy.sparse import coo_array  # 0.2 s, which nothing else here costs
    from scipy.sparse.csgraph import connected_components

    sets = [keys(images[f"{name}_id"], of=name) for name in BY[:3]]
    if identical is not None:
        sets.append(images["image_id"].map(identical.set_index("image_id")["identical"]))
    rows, nodes, count = [], [], len(images)
    for ids in sets:
        codes, names = pd.factorize(ids)  # -1 where unknown
        rows.append(np.flatnonzero(codes >= 0))
        nodes.append(codes[codes >= 0] + count)
        count += len(names)
    row, node = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, node)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1][: len(images)]
    three = images[["patient_id", "lesion_id", "image_id"]].astype(object)
    name = three["patient_id"].fillna(three["lesion_id"]).fillna(three["image_id"])
    smallest = name.astype(str).groupby(labels).min().sort_values(kind="stable")
    rank = pd.Series(np.arange(len(smallest)), index=smallest.index)
    return np.asarray(rank.loc[labels], dtype=np.int64)


def check_together(
    folds: pd.DataFrame,
    images: pd.DataFrame,
    *,
    of: Sequence[str] = ("patient", "lesion", "image"),
) -> None:
    """Refuse folds that part an image from its copy, a lesion or a patient; unknown are not one.

    Args:
        folds: `image_id` and `fold`.
        images: The ids, `image_id` among them.
        of: What may not be parted.

    Raises:
        TableError: They do; the first is named.
    """
    fold = images["image_id"].map(folds.set_index("image_id")["fold"])
    for name in of:
        if f"{name}_id" not in images:
            continue
        ids = keys(images[f"{name}_id"], of=name)
        if ids.is_unique:
            continue
        counts = fold.groupby(ids).nunique()
        parted = counts[counts > 1]
        if len(parted):
            first = images.loc[ids == parted.index[0], f"{name}_id"].iloc[0]
            raise TableError(
                f"folds: {name}_id {str(first)!r} lies in {parted.iloc[0]} folds ({len(parted)} "
                "such): its images would be learnt and tested on; keep each one in one fold"
            )


def _plain(name: str) -> str:
    """Return an id without spaces around it, in one case, a whole number as one."""
    key = name.strip().casefold()
    return key[:-2] if key.endswith(".0") and key[:-2].isdigit() else key


def _name(name: object) -> str:
    """Return an image's id without folder and suffix, as it is safe to be a file's name."""
    return safe_id(picture_id(_plain(str(name))))


def _image(name: str) -> str:
    return _name(name).removesuffix(_SMALLER)


def _shared(ids: pd.Series, learnt: pd.Series, name: str) -> pd.Series:
    """Return for each key the id of that key that was learnt from, else NaN."""
    theirs = keys(learnt, of=name)
    first = pd.Series(learnt.to_numpy(dtype=object), index=theirs.to_numpy(dtype=object))
    first = first[first.index.notna() & ~first.index.duplicated()]
    return ids.map(first).astype(object)


def _close(table: pd.DataFrame, images: pd.DataFrame, ids_of: dict[str, pd.Series]) -> None:
    """Let what is of the lesion or patient of a met image be met by it too, in place."""
    met, before = table.notna().any(axis=1), -1
    while before < met.sum():
        before = met.sum()
        for name in (n for n in _PEOPLE if n in ids_of):
            ids = ids_of[name]
            new = ~met & ids.isin(ids[met].dropna())
            table.loc[new, name] = images.loc[new, f"{name}_id"].astype(object)
            met |= new


def _shared_pictures(ids: pd.Series, learnt: pd.Series, identical: pd.DataFrame) -> pd.Series:
    """Return of each image one learnt from that is the same picture, else NaN."""
    number = identical.set_index(identical["image_id"].astype(str))["identical"]
    sets = number[number.index.isin(learnt)]
    first = pd.Series(sets.index, index=sets.to_numpy(), dtype=object).sort_values()
    first = first[~first.index.duplicated()]
    return ids.map(number).map(first).astype(object)
