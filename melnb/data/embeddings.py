"""Embeddings: an encoder's vector of every picture, by id, and the nearest neighbours of each.

embeddings.npy   images x width, or images x views x width, in the order of
embeddings.csv   image_id, picture (a digest of its encoded bytes)
encoder.json     what made them; its `digest` tells one encoder, size and layer from another
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.pictures import read_bytes
from melnb.tables.checks import TableError, check_columns
from melnb.tables.documents import DamagedError, read_json
from melnb.tables.files import replacing
from melnb.tables.overlap import met_images
from melnb.tables.schema import join_images, read_table, write_table

VECTORS, PICTURES, ENCODER = "embeddings.npy", "embeddings.csv", "encoder.json"
_PARTS = "parts"  # below the folder while it is unfinished: one file for each shard
_BLOCK = 1024  # rows at once, when vectors are compared or copied
_DIGEST = 16  # bytes of a picture's digest
_KIND = "blake2b:"  # before the digest, which might else be read as a number
_REMEDY = "run 03d_embed again"

Embed = Callable[[Sequence[bytes]], np.ndarray]
"""From the encoded pictures of a shard to their vectors, a row for each."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors of n images.

    Attributes:
        image_id: n texts.
        values: n x width, or n x views x width; float32 or float16, on disk until used.
        encoder: What made them: backbone, weights, image_size, layer, views, digest …
    """

    image_id: np.ndarray
    values: np.ndarray
    encoder: Mapping[str, Any]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.image_id)

    def vectors(self, rows: Any = slice(None)) -> np.ndarray:
        """Return the vectors of some rows as float32, n x width, kept views averaged."""
        taken = np.asarray(self.values[rows], np.float32)
        return taken.mean(axis=1) if taken.ndim == 3 else taken

    @classmethod
    def none(cls) -> Embeddings:
        """Return the embeddings of no image: what asks for more says that it has none."""
        return cls(np.zeros(0, dtype=object), np.zeros((0, 1), np.float32), {})

    def features(self) -> pd.DataFrame:
        """Return `image_id` and a column of numbers for each cell of the vector: `e0`, `e1` …"""
        vectors = pd.DataFrame(self.vectors())
        vectors.columns = [f"e{k}" for k in range(vectors.shape[1])]
        vectors.insert(0, "image_id", self.image_id)
        return vectors

    def unit_vectors(self) -> np.ndarray:
        """Return vectors less their mean, of length one: their products are cosines.

        Without the mean, all pictures of skin point the same way, and are alike.
        """
        vectors = self.vectors()
        vectors = vectors - vectors.mean(axis=0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12))


def read_embeddings(folder: str | Path | None) -> Embeddings:
    """Read what 03d_embed wrote; the vectors stay on disk until they are used.

    Args:
        folder: Of its run; None: `Embeddings.none`.

    Raises:
        FileNotFoundError: A file is not there.
        DamagedError: A file is cut, or they do not belong together.
    """
    if folder is None:
        return Embeddings.none()
    folder = Path(folder)
    pictures, encoder = (
        read_table(folder / PICTURES),
        read_json(folder / ENCODER, _REMEDY, needs=["digest"]),
    )
    values = _open(folder / VECTORS)
    check_columns(pictures, ["image_id", "picture"], str(folder / PICTURES))
    if len(values) != len(pictures):
        words = f"it holds {len(values)} vectors, but {PICTURES} names {len(pictures)} images"
        raise DamagedError(folder / VECTORS, words, _REMEDY)
    return Embeddings(pictures["image_id"].to_numpy(dtype=object), values, encoder)


def check_unmet(images: pd.DataFrame, homes: Sequence[Path], *, weights: str) -> None:
    """Refuse an encoder that has learnt from the images that it is to make vectors of.

    Such vectors know the labels: a probe is then judged on what the encoder was told.

    Args:
        images: The images table of the dataset.
        homes: Folders of the datasets that the weights learnt from.
        weights: As the parameters name them, for the message.

    Raises:
        TableError: There are such images.
    """
    met = met_images(images, join_images(homes))
    if len(met):
        first = met.iloc[0]
        raise TableError(
            f"weights {weights} have learnt from {len(met)} of these images, or of their lesions "
            f"or patients (the first: {first['image_id']}, by {first['met_by']}): their vectors "
            "know the labels. Use weights imagenet, or embed a dataset that they never met"
        )


# Making them: a shard at a time, so that what a killed run has embedded stays.


def embed_shards(
    index: pd.DataFrame,
    embed: Embed,
    folder: str | Path,
    *,
    encoder: Mapping[str, Any],
    earlier: Iterable[str | Path] = (),
    precision: str = "float32",
) -> Embeddings:
    """Embed the pictures of shards into a folder; what an earlier call has finished is kept.

    Args:
        index: `records.read_index` of the shards: `image_id` and `path` (`<shard>::<record>`).
        embed: Makes the vectors of a shard's pictures; the same pictures give the same bits.
        folder: Where to write the three files; no other process may write there.
        encoder: What `embed` is; `digest` tells it from every other.
        earlier: Folders of other runs: vectors that the same encoder made of the same encoded
            pictures are taken from there.
        precision: `float32` or `float16`.

    Returns:
        The embeddings, in the order of the index.

    Raises:
        PictureError: A record is damaged.
        ValueError: `precision` is neither.
    """
    if precision not in ("float32", "float16"):
        raise ValueError(f"precision is {precision!r}; use float32 or float16")
    folder = Path(folder)
    for left in folder.rglob(".*.tmp"):  # by a write that was killed
        left.unlink(missing_ok=True)
    # Three whole files lie there already where all but the run's record was done.
    stored = [folder] if (folder / ENCODER).is_file() else []
    store = _Known([*stored, *earlier], encoder)
    files, digests, ids = [], [], list[str]()
    for number, (_, rows) in enumerate(index.groupby(_shard_of(index), sort=False)):
        ids += rows["image_id"].tolist()
        encoded = [read_bytes(path) for path in rows["path"]]
        digests.append(np.stack([_digest(data) for data in encoded]))
        files.append(folder / _PARTS / f"{number:05d}.npz")
        if not _is_of(files[-1], digests[-1]):
            values = store.complete(digests[-1], encoded, embed).astype(precision)
            with replacing(files[-1]) as temporary, temporary.open("wb") as stream:
                np.savez(stream, digests=digests[-1], values=values)
    del store  # a mapped file cannot be replaced everywhere
    _join(files, np.concatenate(digests), ids, folder)
    with replacing(folder / ENCODER) as temporary:
        temporary.write_text(json.dumps(dict(encoder), indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder / _PARTS)
    return read_embeddings(folder)


def _is_of(file: Path, digests: np.ndarray) -> bool:
    """Tell whether a part holds the vectors of these pictures: others may lie there since."""
    if not file.is_file():
        return False
    with np.load(file) as part:
        return np.array_equal(part["digests"], digests)


class _Known:
    """Vectors that earlier runs of the same encoder made, found by the digest of the picture."""

    def __init__(self, folders: Iterable[str | Path], encoder: Mapping[str, Any]) -> None:
        self._values: list[np.ndarray] = []
        digests, places = [np.zeros((0, _DIGEST), np.uint8)], [np.zeros((0, 2), np.int64)]
        for folder in map(Path, folders):
            if read_json(folder / ENCODER, _REMEDY).get("digest") != encoder["digest"]:
                continue
            names = read_table(folder / PICTURES)["picture"].str.removeprefix(_KIND)
            digests.append(np.stack([np.frombuffer(bytes.fromhex(n), np.uint8) for n in names]))
            rows = np.arange(len(names))
            places.append(np.column_stack([np.full(len(rows), len(self._values)), rows]))
            self._values.append(_open(folder / VECTORS))
        every = np.concatenate(digests)
        order = np.argsort(_keys(every), kind="stable")
        self._digests, self._places = every[order], np.concatenate(places)[order]
        self._sorted = _keys(self._digests)

    def complete(self, digests: np.ndarray, encoded: Sequence[bytes], embed: Embed) -> np.ndarray:
        """Return the vectors of pictures: those known, and the others embedded together."""
        last = max(len(self._sorted) - 1, 0)
        places = np.minimum(np.searchsorted(self._sorted, _keys(digests)), last)
        there = np.zeros(len(digests), bool)
        if len(self._sorted):
            there = (self._digests[places] == digests).all(axis=1)
        missing = np.flatnonzero(~there)
        wanted = [encoded[int(k)] for k in missing]
        vectors = iter(embed(wanted) if wanted else ())
        return np.stack([
            self._vector(place) if row else next(vectors)
            for row, place in zip(there, places, strict=True)
        ])  # fmt: skip

    def _vector(self, place: int) -> np.ndarray:
        run, row = self._places[place]
        return np.asarray(self._values[run][row])


def _keys(digests: np.ndarray) -> np.ndarray:
    """Return the first eight bytes of digests as numbers, to search by."""
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).reshape(-1)


def _join(files: Sequence[Path], digests: np.ndarray, ids: list[str], folder: Path) -> None:
    """Write the parts as one array, a part in memory at a time, and the table beside it."""
    with np.load(files[0]) as part:
        first = part["values"]
    with replacing(folder / VECTORS) as temporary:
        whole = np.lib.format.open_memmap(
            temporary, "w+", first.dtype, (len(digests), *first.shape[1:])
        )
        start = 0
        for file in files:
            with np.load(file) as part:
                values = part["values"]
            whole[start : start + len(values)] = values
            start += len(values)
        whole.flush()
        del whole
    names = [_KIND + row.tobytes().hex() for row in digests]
    write_table(pd.DataFrame({"image_id": ids, "picture": names}), folder / PICTURES)


def _shard_of(index: pd.DataFrame) -> pd.Series:
    return index["path"].str.rpartition("::")[0]


def _digest(data: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.blake2b(data, digest_size=_DIGEST).digest(), np.uint8)


def _open(path: Path) -> np.ndarray:
    """Map an array of numbers; one of Python objects is refused, for to read it runs code."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: run 03d_embed first")
    try:
        values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DamagedError(path, "no whole array of numbers", _REMEDY) from error
    return values


# Looking at them.


def nearest_neighbours(
    embeddings: Embeddings,
    images: pd.DataFrame,
    *,
    of: Iterable[str],
    count: int = 6,
    apart: str = "",
) -> pd.DataFrame:
    """Return the images whose vectors point most nearly the same way.

    Exact, by cosines of centred vectors: a product of a block of rows with all of them. The ten
    nearest of all of 10,015 images of 1,280 cells take a few seconds on two cores; the time grows
    with the square of the number.

    Args:
        embeddings: Of `read_embeddings`.
        images: Images table: `image_id`, and the columns that are shown or told apart by.
        of: Ids of the images asked about.
        count: Neighbours of each.
        apart: A column, `lesion_id` or `patient_id`: neighbours that share it with the image asked
            about are left out; unknown ones are not shared. Empty: none is, but the image itself.

    Returns:
        `image_id`, `neighbour`, `rank` (from 1), `similarity` (cosine, -1 to 1), `target` of the
        image and `neighbour_target`.

    Raises:
        TableError: An image is not among the embeddings, or a column is not in the table.
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}: ask for one neighbour or more")
    check_columns(images, ["image_id", "target", *([apart] if apart else [])], "images")
    asked = [*of]
    rows = pd.Index(embeddings.image_id).get_indexer(pd.Index(asked, dtype=object))
    if (rows < 0).any():
        lost = asked[int(np.argmin(rows))]
        raise TableError(f"{lost!r} is not among the {len(embeddings)} images embedded")
    about = images.set_index("image_id").reindex(embeddings.image_id)
    groups = pd.factorize(about[apart])[0] if apart else np.full(len(embeddings), -1)
    unit, parts = embeddings.unit_vectors(), []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        cosines = unit[block] @ unit.T
        same = (groups[block][:, None] == groups) & (groups[block][:, None] >= 0)
        cosines[same] = -np.inf
        cosines[np.arange(len(block)), block] = -np.inf
        parts.append(_nearest(block, cosines, count))
    table = pd.concat(parts or [_nearest(rows, np.zeros((0, len(unit))), count)])
    targets = about["target"].to_numpy(dtype=object)
    return pd.DataFrame(
        {
            "image_id": embeddings.image_id[table["row"]],
            "neighbour": embeddings.image_id[table["other"]],
            "rank": table["rank"].to_numpy(),
            "similarity": table["similarity"].to_numpy(),
            "target": targets[table["row"]],
            "neighbour_target": targets[table["other"]],
        }
    )


def _nearest(rows: np.ndarray, cosines: np.ndarray, count: int) -> pd.DataFrame:
    """Return the largest cosines of each row, the nearest first."""
    most = min(count, cosines.shape[1])
    best = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(cosines, best, axis=1)
    order = np.lexsort((best, -values), axis=1)
    best, values = (np.take_along_axis(a, order, axis=1) for a in (best, values))
    table = pd.DataFrame(
        {
            "row": np.repeat(rows, most),
            "other": best.reshape(-1),
            "rank": np.tile(np.arange(1, most + 1), len(rows)),
            "similarity": values.reshape(-1).astype(float),
        }
    )
    finite: pd.DataFrame = table.loc[np.isfinite(table["similarity"])]
    return finite


def embedding_map(
    embeddings: Embeddings, images: pd.DataFrame, *, most: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Return the two directions in which vectors vary most, for some images of each class.

    Args:
        embeddings: Of `read_embeddings`.
        images: Images table: `image_id`, `target`.
        most: Images shown; of each class its share, drawn by the seed, and two at least.
        seed: Of the draw.

    Returns:
        `image_id`, `target`, `x`, `y` (scores of the first two principal components, computed of
        all images); the shares of the variance that they explain are in `attrs["explained"]`.
    """
    vectors = embeddings.vectors()
    centred = vectors - vectors.mean(axis=0)
    spread = centred.T.astype(np.float64) @ centred
    strengths, directions = np.linalg.eigh(spread)
    axes = directions[:, [-1, -2]]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # a sign that all machines share
    points = centred @ axes
    targets = images.set_index("image_id")["target"].reindex(embeddings.image_id)
    table = pd.DataFrame(
        {
            "image_id": embeddings.image_id, "target": targets.to_numpy(dtype=object),
            "x": points[:, 0].astype(float), "y": points[:, 1].astype(float),
        }
    )  # fmt: skip
    table.attrs["explained"] = [float(s / max(spread.trace(), 1e-300)) for s in strengths[:-3:-1]]
    if len(table) <= most:
        return table
    share = most / len(table)
    parts = table.groupby("target", dropna=False, sort=False)
    drawn = [
        p.sample(min(len(p), max(2, round(share * len(p)))), random_state=seed) for _, p in parts
    ]
    chosen = pd.concat(drawn).sort_index().reset_index(drop=True)
    chosen.attrs = table.attrs
    return chosen
