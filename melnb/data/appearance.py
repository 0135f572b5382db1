"""Picture quality (blur, light, hair) and appearance (colour, layout, texture), of any picture.

Measured on the square that a network gets, alike for new pictures and for those learnt from, and by
nothing that has learnt: so what is far from all that was learnt from is seen even where the network
itself sees no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from melnb.data.cleaning import FINEST, find_hairs
from melnb.data.pictures import decode_picture, fit_picture, read_picture
from melnb.data.shards.examples import read_examples

QUALITY = ("brightness", "sharpness")
_SIDE = 64  # pixels at which appearance is measured
_BINS = 5  # of each colour channel
_ANGLES, _CELLS = 6, 4  # of gradients; cells on a side
_SCALES = (0.7, 1.4, 2.8, 5.6)  # pixels: deviations between which texture is measured
_MIDDLE = 0.35  # of the side: radius of the disc in which hair counts
_HAIRY = 0.08  # of the middle: more under hair hides structure
_WIDTHS = (8 * 8 * 3, _BINS**3, _CELLS**2 * _ANGLES, 4 * (len(_SCALES) + 1))  # of the parts
_FEWEST = 0.005  # of known pictures are as blurred or dark as one that is called so

Appearance = np.ndarray


def picture_quality(encoded: Sequence[bytes]) -> pd.DataFrame:
    """Measure light and sharpness of pictures.

    Args:
        encoded: n pictures, as `read_encoded` gives them.

    Returns:
        n rows: `brightness`, the mean grey of the middle, 0-255; `sharpness`, the deviation of the
        Laplacian of grey over that of grey, of which a blur leaves little.
    """
    rows = []
    for pixels in map(_decoded, encoded):
        grey = np.asarray(Image.fromarray(pixels).convert("L"), float)
        spread = float(np.std(ndimage.laplace(grey))) / max(float(np.std(grey)), 1.0)
        rows.append((float(grey[_disc(_SIDE)].mean()), spread))
    return pd.DataFrame(rows, columns=list(QUALITY))


def hair_shares(paths: Iterable[str]) -> np.ndarray:
    """Return the share of the middle of each picture that lies under dark hairs.

    Args:
        paths: Of files: hairs are looked for at 512 pixels, for at 64 none is left.
    """
    squares = [np.asarray(read_picture(path, FINEST)) for path in paths]
    return np.array([float(find_hairs(p)[_disc(len(p))].mean()) for p in squares])


def read_encoded(index: pd.DataFrame) -> list[bytes]:
    """Read the encoded pictures of shards' rows, each shard once.

    Args:
        index: `path` (`<shard>::<record>`) of n rows.
    """
    places = index["path"].str.rpartition("::")
    pictures: dict[tuple[str, int], bytes] = {}
    for shard, rows in places.groupby(0):
        wanted = {*rows[2].astype(int)}
        for number, example in enumerate(read_examples(str(shard), keys=("image",), check=False)):
            if number in wanted:
                pictures[str(shard), number] = bytes(example["image"])
    return [
        pictures[shard, int(number)] for shard, number in zip(places[0], places[2], strict=True)
    ]


def quality_flags(quality: pd.DataFrame, known: pd.DataFrame, hair: np.ndarray) -> list[str]:
    """Return what is wrong with each picture, in words; empty if nothing.

    Dark and blurred is what at most 1 in 200 of the known pictures is; hairy, more than a twelfth
    of the middle under dark hairs.

    Args:
        quality: Of new pictures, `picture_quality`.
        known: Of pictures that were learnt from.
        hair: Of the new pictures' files, `hair_shares`.
    """
    dark, blurred = (float(np.quantile(known[name], _FEWEST, method="lower")) for name in QUALITY)
    words = [
        ("too dark", quality["brightness"] < dark),
        ("blurred", quality["sharpness"] < blurred),
        ("hair over the lesion", pd.Series(hair > _HAIRY)),
    ]
    return [
        "; ".join(word for word, wrong in words if wrong.iloc[row]) for row in range(len(quality))
    ]


def picture_appearance(encoded: Sequence[bytes]) -> Appearance:
    """Describe pictures by layout, colours, edges and texture.

    Args:
        encoded: n pictures, as `read_encoded` gives them.

    Returns:
        n x 433 float32: a thumbnail of 8 x 8; the root of the joint histogram of colours, 5 each;
        in 4 x 4 cells the gradients by 6 directions; in 2 x 2 cells the deviations of 5 bands.
    """
    return np.stack([_describe(pixels) for pixels in map(_decoded, encoded)])


def standardised(known: Appearance, new: Appearance) -> tuple[Appearance, Appearance]:
    """Bring the four parts of descriptions to one weight, by the spread of known ones in each."""
    ends = np.cumsum([0, *_WIDTHS])
    pairs = []
    for start, end in pairwise(ends):
        centre = known[:, start:end].mean(axis=0)
        spread = np.sqrt(((known[:, start:end] - centre) ** 2).sum(axis=1).mean())
        pairs.append([(part[:, start:end] - centre) / max(spread, 1e-9) for part in (known, new)])
    first, second = (np.hstack(parts) for parts in zip(*pairs, strict=True))
    return first, second


def _decoded(encoded: bytes) -> np.ndarray:
    square = decode_picture(encoded, "a record", size=_SIDE).pixels
    return np.asarray(fit_picture(square, _SIDE))


def _describe(pixels: np.ndarray) -> np.ndarray:
    thumbnail = np.asarray(
        Image.fromarray(pixels).resize((8, 8), Image.Resampling.BOX), float
    ).ravel()
    counts, _ = np.histogramdd(
        pixels.reshape(-1, 3).astype(float), bins=(_BINS,) * 3, range=((0, 256),) * 3
    )
    colours = np.sqrt(counts.ravel() / counts.sum())
    grey = pixels.astype(float).mean(axis=2)
    return np.concatenate([thumbnail / 255, colours, _edges(grey), _texture(grey)], dtype="float32")


def _edges(grey: np.ndarray) -> np.ndarray:
    down, across = np.gradient(grey)
    angle = ((np.arctan2(down, across) % np.pi) / np.pi * _ANGLES).astype(int).clip(0, _ANGLES - 1)
    length, side = np.hypot(down, across), _SIDE // _CELLS
    cell = np.arange(_SIDE) // side
    place = (cell[:, None] * _CELLS + cell[None, :]) * _ANGLES + angle
    sums = np.bincount(place.ravel(), length.ravel(), minlength=_CELLS**2 * _ANGLES)
    return np.asarray(np.log1p(sums / side**2))


def _texture(grey: np.ndarray) -> np.ndarray:
    smooth = [grey, *(ndimage.gaussian_filter(grey, scale) for scale in _SCALES)]
    bands = [one - other for one, other in pairwise(smooth)] + [smooth[-1]]
    half = _SIDE // 2
    quarters = [(slice(r, r + half), slice(c, c + half)) for r in (0, half) for c in (0, half)]
    return np.array([np.log1p(band[quarter].std()) for band in bands for quarter in quarters])


def _disc(size: int) -> np.ndarray:
    place = (np.arange(size) + 0.5) / size - 0.5
    return np.asarray(np.hypot(place[:, None], place[None, :]) <= _MIDDLE)
