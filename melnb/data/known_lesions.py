"""Known lesions beside new ones: nearest neighbours, and novelty (out-of-distribution distance).

A network has a space of its own, in which only the fold that it was not trained on lies as new
pictures do. So each network measures how far its held-out lesions lie from those that it has learnt
from, and new pictures likewise; distances are in units of the median of the held-out ones, so that
networks can be compared. What *every* network finds far is strange: if each turns away a share of
its held-out lesions, all together turn away no more than the mean of these shares.

The distance is the mean one to the nearest few, of vectors of length one: Sun et al. 2022,
"Out-of-distribution detection with deep nearest neighbors", ICML.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from melnb.data.appearance import (
    QUALITY,
    hair_shares,
    picture_appearance,
    picture_quality,
    quality_flags,
    read_encoded,
    standardised,
)
from melnb.data.datasets import Dataset
from melnb.data.shards.examples import file_crc
from melnb.tables.checks import TEST
from melnb.tables.files import replacing
from melnb.tables.schema import read_folds

NEAREST = 5  # neighbours whose distance is averaged
SAME = 0.999  # a cosine, in every network: the same picture, saved anew
_FILE = "known.npz"
_BLOCK = 512  # rows compared at a time


class Comparison(NamedTuple):
    """Known and new pictures, compared.

    Attributes:
        known_distance: n, of each known one by the network that was trained without it.
        new_distance: m, the least over the networks.
        similarity: m x n, the mean cosine over the networks.
        least: m x n, the least cosine over the networks.
    """

    known_distance: np.ndarray
    new_distance: np.ndarray
    similarity: np.ndarray
    least: np.ndarray


class Described(NamedTuple):
    """Pictures as networks and measures see them.

    Attributes:
        vectors: Fold and n x width, by the network that was trained without it.
        appearance: n descriptions.
        quality: n rows of `appearance.picture_quality`.
    """

    vectors: dict[int, np.ndarray]
    appearance: np.ndarray
    quality: pd.DataFrame


class Compared(NamedTuple):
    """New pictures among known lesions.

    Attributes:
        near: In the space of the networks.
        known: `image_id, network_distance, appearance_distance` of each known one, out of fold.
        new: The same of the new ones.
        quality: What is wrong with each new picture, in words; empty: nothing.
    """

    near: Comparison
    known: pd.DataFrame
    new: pd.DataFrame
    quality: list[str]


def compare_lesions(
    known: pd.DataFrame,
    new: pd.DataFrame,
    extractors: Mapping[int, Any],
    *,
    images: pd.DataFrame,
    keep: str | Path = "",
    earlier: Iterable[str | Path] = (),
) -> Compared:
    """Compare new pictures with known lesions: in the networks' eyes, and in anybody's.

    Args:
        known: Of `sample_known`.
        new: `image_id`, `path` (`<shard>::<record>`).
        extractors: As of `describe_lesions`.
        images: The new ones' images table: hair is looked for in the files themselves.
        keep: As of `describe_lesions`.
        earlier: Likewise.

    Raises:
        ValueError: As of `compare_known`.
    """
    described = describe_lesions(known, extractors, keep=keep, earlier=earlier)
    fresh, fold = describe_lesions(new, extractors), known["fold"].to_numpy()
    near = compare_known(described.vectors, fresh.vectors, fold)
    looks = compare_appearance(described.appearance, fresh.appearance, fold)
    ours, theirs = (
        rows[["image_id"]].assign(network_distance=network, appearance_distance=look)
        for rows, network, look in zip((known, new), near[:2], looks, strict=True)
    )
    files = new["image_id"].map(images.set_index("image_id")["path"])
    quality = quality_flags(fresh.quality, described.quality, hair_shares(files))
    return Compared(near, ours, theirs, quality)


def describe_lesions(
    index: pd.DataFrame,
    extractors: Mapping[int, Any],
    *,
    keep: str | Path = "",
    earlier: Iterable[str | Path] = (),
) -> Described:
    """Describe pictures of shards by every network and every measure.

    Args:
        index: `image_id`, `path` (`<shard>::<record>`) of n rows.
        extractors: Fold and `models.make_own_extractor` of its network.
        keep: A folder to keep the descriptions in; empty: they are not kept.
        earlier: Folders in which they may lie already: of the same networks and shards.
    """
    key, file = _key(index, extractors), Path(keep) / _FILE
    for folder in (*([keep] if keep else []), *earlier):
        if (description := _read_described(Path(folder) / _FILE, key)) is not None:
            if keep and folder != keep:
                _keep(file, description, key, of=Path(folder) / _FILE)
            return description
    encoded = read_encoded(index)
    vectors = {
        fold: np.asarray(extract(encoded), np.float32) for fold, extract in extractors.items()
    }
    description = Described(vectors, picture_appearance(encoded), picture_quality(encoded))
    if keep:
        _keep(file, description, key)
    return description


def _keep(file: Path, described: Described, key: str, *, of: Path | None = None) -> None:
    """Write descriptions; where they lie in a file already, that file bears another name more.

    Two thousand lesions and three networks are 34 MB, which each look would write again.
    """
    with replacing(file) as temporary:
        if of:
            with suppress(OSError):  # another disk, or one without links
                temporary.hardlink_to(of)
                return
        named = {f"fold{fold}": values for fold, values in described.vectors.items()}
        named |= {"appearance": described.appearance, "quality": described.quality.to_numpy()}
        with temporary.open("wb") as stream:
            np.savez(stream, key=np.array(key), **named)  # type: ignore[arg-type]


def _key(index: pd.DataFrame, extractors: Mapping[int, Any]) -> str:
    """Return what tells descriptions from all others: networks, shards and rows."""
    sums = hashlib.sha256(
        json.dumps([[f, e.facts["digest"]] for f, e in extractors.items()]).encode()
    )
    shards = sorted({path.rpartition("::")[0] for path in index["path"]})
    for shard in shards:
        sums.update(f"{Path(shard).name} {file_crc(shard)}\n".encode())
    names = index["path"].map(lambda path: Path(path).name)
    sums.update("\n".join(index["image_id"].astype(str) + " " + names).encode())
    return sums.hexdigest()


def _read_described(file: Path, key: str) -> Described | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            vectors = {int(n[4:]): kept[n] for n in kept.files if n.startswith("fold")}
            quality = pd.DataFrame(kept["quality"], columns=list(QUALITY))
            return Described(vectors, kept["appearance"], quality)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # none, or half of one
        return None


def compare_appearance(
    known: np.ndarray, new: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far pictures look from known ones, by `appearance.picture_appearance`.

    Args:
        known: n descriptions.
        new: m descriptions.
        fold: n whole numbers: a known picture is compared with those of other folds alone, among
            which is no other of its patient.

    Returns:
        n and m distances, in units of the median of the known ones.
    """
    ours, theirs = standardised(known, new)
    far = np.full(len(ours), np.nan)
    for number in np.unique(fold):
        far[fold == number] = _euclidean(ours[fold == number], ours[fold != number])
    unit = max(float(np.median(far)), 1e-9)
    return far / unit, _euclidean(theirs, ours) / unit


def read_known(
    learnt: Dataset, size: int, judged: Iterable[str], *, most: int, seed: int = 0
) -> pd.DataFrame:
    """Return the lesions of a dataset that new ones are compared with: `sample_known`.

    Args:
        learnt: The dataset that was learnt from.
        size: Pixels on a side, the networks'.
        judged: Ids of the images that were predicted out of fold; others are left out.
        most: Rows at most.
        seed: Of the draw.
    """
    fold_of = read_folds(learnt.folder / "folds.csv").set_index("image_id")["fold"]
    index = learnt.read_index(learnt.paths(None, size, exact=False))
    return sample_known(index, fold_of[fold_of.index.isin(judged)], most=most, seed=seed)


def sample_known(
    index: pd.DataFrame, fold_of: Mapping[str, int] | pd.Series, *, most: int, seed: int = 0
) -> pd.DataFrame:
    """Return the lesions that new ones are compared with.

    Rare classes first: of each class, from the rarest on, as many as an equal share of what is
    left allows.

    Args:
        index: Of the shards: `image_id`, `target` (a class or missing), `path`.
        fold_of: Fold of each image; those in none were not learnt from and are left out.
        most: Rows at most.
        seed: Of the draw.

    Returns:
        Rows of the index with `fold`, in its order.
    """
    rows = index.assign(fold=index["image_id"].map(fold_of).fillna(TEST).astype(int))
    rows = rows[(rows["fold"] != TEST) & rows["target"].notna()]
    counts = rows["target"].value_counts().sort_index().sort_values(kind="stable")
    chosen, left = [], most
    for place, name in enumerate(counts.index):
        of_class = rows[rows["target"] == name]
        share = min(len(of_class), left // (len(counts) - place))
        chosen.append(of_class.sample(share, random_state=seed))
        left -= share
    return pd.concat(chosen).sort_index().reset_index(drop=True) if chosen else rows


def compare_known(
    known: Mapping[int, np.ndarray], new: Mapping[int, np.ndarray], fold: np.ndarray
) -> Comparison:
    """Compare new pictures with known ones in the space of every network.

    Args:
        known: Fold and n x width vectors by the network that was trained without it.
        new: The same of m new pictures.
        fold: n whole numbers: that each known one lies in.

    Raises:
        ValueError: A network has learnt from fewer known lesions than are averaged, or no network
            was trained without any of them.
    """
    n, m = len(fold), len(next(iter(new.values())))
    known_distance, scaled = np.full(n, np.nan), []
    total, least = np.zeros((m, n), np.float32), np.ones((m, n), np.float32)
    for number, vectors in known.items():
        learnt, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(learnt) < NEAREST or not len(held_out):
            raise ValueError(
                f"of {n} known lesions the network of fold {number} has learnt {len(learnt)} and "
                f"not {len(held_out)}: compare with more (n_known)"
            )
        centre = vectors[learnt].mean(axis=0)
        ours, theirs = _unit(vectors), _unit(new[number])
        distance = _euclidean(ours[held_out], ours[learnt])
        unit = max(float(np.median(distance)), 1e-6)
        known_distance[held_out] = distance / unit
        scaled.append(_euclidean(theirs, ours[learnt]) / unit)
        # Without the mean, all pictures of skin point the same way, and are alike.
        cosines = _unit(new[number] - centre) @ _unit(vectors - centre).T
        total += cosines
        least = np.minimum(least, cosines)
    return Comparison(known_distance, np.min(scaled, axis=0), total / len(known), least)


def nearest_strangers(
    compared: Comparison,
    known: pd.DataFrame,
    images: pd.DataFrame,
    met: pd.DataFrame,
    *,
    count: int = 6,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all new pictures that were met, and the known lesions most like each new one.

    Args:
        compared: Of `compare_known`.
        known: As of `nearest_known`, and so `images` and `count`.
        images: See there.
        met: `tables.met_images`; what is a known picture, saved anew, is met too.
        count: See there.

    Returns:
        As `tables.met_images`; and as `nearest_known`.
    """
    anew = same_pictures(compared, known, images)
    every_met = pd.concat([met, anew]).drop_duplicates("image_id")
    return every_met, nearest_known(compared, known, images, count=count, met=every_met)


def nearest_known(
    compared: Comparison,
    known: pd.DataFrame,
    images: pd.DataFrame,
    *,
    count: int = 6,
    met: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the known lesions that are most like each new picture; never the picture itself.

    Args:
        compared: Of `compare_known`.
        known: `image_id`, `target`, and `lesion_id` where known; n rows.
        images: m new ones: `image_id`.
        count: Of each.
        met: `tables.met_images`: what was learnt from under that name, or is the same picture, is
            no neighbour, nor is another of its lesion.

    Returns:
        `image_id`, `neighbour`, `rank` (from 1), `similarity` (mean cosine), `target` (missing),
        `neighbour_target`.
    """
    shared = {} if met is None else dict(zip(met["image_id"], met["shared"], strict=True))
    parts = []
    for row, name in enumerate(images["image_id"]):
        itself = known["image_id"].isin([name, shared.get(name)]).to_numpy()
        other = itself | (compared.least[row] >= SAME)
        if "lesion_id" in known:
            lesions = known.loc[other, "lesion_id"].dropna()
            other = other | known["lesion_id"].isin(lesions).to_numpy()
        values = np.where(other, -np.inf, compared.similarity[row])
        best = np.argsort(-values, kind="stable")[:count]
        best = best[np.isfinite(values[best])]
        parts.append(pd.DataFrame({
            "image_id": name, "neighbour": known["image_id"].to_numpy()[best],
            "rank": np.arange(1, len(best) + 1), "similarity": values[best].astype(float),
            "target": None, "neighbour_target": known["target"].to_numpy()[best],
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def same_pictures(compared: Comparison, known: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Name the new pictures that are a known one, saved anew; columns as `tables.met_images`."""
    rows, places = np.nonzero(compared.least >= SAME)
    first = pd.DataFrame({"row": rows, "place": places}).drop_duplicates("row")
    return pd.DataFrame({
        "image_id": images["image_id"].to_numpy(dtype=object)[first["row"]], "met_by": "picture",
        "shared": known["image_id"].to_numpy(dtype=object)[first["place"]],
    })  # fmt: skip


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def _euclidean(asked: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean distance to the nearest few of the reference."""
    squares, parts = (reference**2).sum(axis=1), []
    for start in range(0, len(asked), _BLOCK):
        block = asked[start : start + _BLOCK]
        far = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ reference.T
        nearest = np.partition(far, NEAREST - 1, axis=1)[:, :NEAREST]
        parts.append(np.sqrt(np.maximum(nearest, 0)).mean(axis=1))
    return np.concatenate(parts).astype(float)
