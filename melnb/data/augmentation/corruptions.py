"""Corruptions of dermoscopy, for robustness: artefacts, blur, noise, light, JPEG, by strength.

Each is one row of `CORRUPTIONS`: a function, what it is given at strengths 1 to 5, and in which
unit. What is drawn is a function of (seed, corruption, image id) alone: the same picture gets the
same ruler at every strength, in every batch, and in every run.

After Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions
(ICLR), as Maron et al. 2021, European Journal of Cancer 155:191, did for dermoscopy. Of defocus,
JPEG and noise strengths 3 to 5 are the paper's 1 to 3 (lengths as shares of its 224 pixels), and 1
and 2 are what a clinic may send. Artefacts, light and colour are our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from keras import ops
from scipy import fft

from melnb.data.augmentation import artefacts
from melnb.data.augmentation.artefacts import (
    angle_of,
    beside,
    between,
    clouds,
    column,
    cover,
    coverage,
    happens,
    places,
    reach,
    side,
)
from melnb.data.augmentation.draws import spread, spread_normal
from melnb.data.augmentation.filters import compress
from melnb.data.augmentation.geometry import pick
from melnb.data.cleaning import remove_hairs

# Stamps: artefacts that training draws on no picture, and that networks learnt all the same.
#
# Coloured patches, the edge of the gel, and digits, for tests of what a network hangs on
# (`corruptions`). Written as the augmentation's own `artefacts` are, from one draw an
# image.

# Colours of children's plasters and of charts for calibration, 0-255, in sets of dermoscopy.
_PATCHES = np.array(
    [[244, 208, 63], [230, 126, 34], [203, 67, 53], [88, 172, 84], [52, 118, 190], [136, 78, 160]],
    "float32",
)


def patch(images: Any, draw: Any, probability: float, radius: float = 0.14) -> Any:
    """Lay a round coloured plaster on the skin, which the picture's side cuts.

    Such patches lie beside naevi alone in ISIC, and networks learn them: Rieger et al. 2020,
    International Conference on Machine Learning 119:8116; Nauta et al. 2022, Diagnostics 12:40.

    Args and returns: as `microscope`; the radius is a share of the shorter side.
    """
    if not probability:
        return images
    of_all = spread(draw, (5,), salt=1)
    (width, height), (x, y) = reach(images), places(images)
    angle = angle_of(of_all[:, 0])
    # As far out as the side lies in that direction.
    out = ops.maximum(ops.abs(ops.cos(angle)) / width, ops.abs(ops.sin(angle)) / height)
    away = 0.5 / out - radius * between(0.0, 0.5, of_all[:, 1])
    left, top = (column(turn(angle) * away) for turn in (ops.cos, ops.sin))
    amount = coverage(
        side(images) * (radius - ops.sqrt(ops.square(x - left) + ops.square(y - top)))
    )
    number = ops.floor(of_all[:, 2:3] * len(_PATCHES))
    chosen = ops.equal(number, np.arange(len(_PATCHES), dtype="float32"))
    colour = ops.matmul(ops.cast(chosen, "float32"), _PATCHES) * between(0.8, 1.0, of_all[:, 3:4])
    weave = 0.9 + 0.1 * clouds(images, draw, 60, salt=2)
    return cover(images, amount * weave * happens(draw, probability), colour)


def gel(images: Any, draw: Any, probability: float) -> Any:
    """Draw the edge of the gel: beyond it the skin is dry and pale, and on it lies a glare.

    Args and returns: as `microscope`.
    """
    if not probability:
        return images
    of_all = spread(draw, (7,), salt=1)
    _, across = beside(images, of_all)
    across = across + 0.16 * (clouds(images, draw, 5, salt=2) - 0.5)  # no edge of gel is straight
    soft = column(ops.maximum(between(0.006, 0.02, of_all[:, 4]), 1 / side(images)))
    dry = ops.clip(across / soft + 0.5, 0.0, 1.0) * column(between(0.15, 0.4, of_all[:, 5]))
    glare = ops.clip(1 - ops.abs(across) / (1.5 * soft), 0.0, 1.0)
    shade = ops.clip(1 - ops.abs(across + 2.5 * soft) / (1.5 * soft), 0.0, 1.0)
    chosen = happens(draw, probability)
    images = images * (1 - 0.3 * chosen * shade)[..., None]
    pale = ops.maximum(dry, column(between(0.5, 0.9, of_all[:, 6])) * glare)
    return cover(images, chosen * pale, ops.ones_like(images[:, 0, 0]) * 245.0)


# The digits 0 to 9, five rows of three pixels each, a bit a pixel from the first on.
_DIGITS = (
    0x7B6F, 0x2C97, 0x73E7, 0x73CF, 0x5BC9, 0x79CF, 0x79EF, 0x7249, 0x7BEF, 0x7BCF,
)  # fmt: skip
_GLYPHS = np.array([[(d >> (14 - k)) & 1 for k in range(15)] for d in _DIGITS], "float32")
_LETTERS = 6  # of a stamp


def characters(images: Any, draw: Any, probability: float, height: float = 0.06) -> Any:
    """Stamp a number of six digits near a side, as cameras stamp dates and charts have scales.

    Args and returns: as `microscope`; the height of a digit is a share of the shorter side.
    """
    if not probability:
        return images
    of_all, digits = spread(draw, (4,), salt=1), spread(draw, (_LETTERS, 1), salt=2)
    chosen = ops.equal(ops.floor(digits * 10), np.arange(10, dtype="float32"))
    glyphs = ops.reshape(ops.matmul(ops.cast(chosen, "float32"), _GLYPHS), (-1, _LETTERS * 15, 1))
    (width, tall), (x, y), cell = reach(images), places(images), height / 5
    room = width - 4 * _LETTERS * cell  # beside the number; below 0 it is cut
    left = column(-width / 2 + room * between(0.03, 0.97, of_all[:, 0]))
    above = between(0.02, 0.08, of_all[:, 1])
    top = ops.where(of_all[:, 2] < 0.5, above - tall / 2, tall / 2 - above - height)
    across, down = (x - left) / cell, (y - column(top)) / cell
    # A dot may be finer than a pixel: each is looked at in nine places, lest it be missed.
    steps = [k / (3 * side(images) * cell) for k in (-1, 0, 1)]
    dots = [_dots(glyphs, across + right, down + below) for right in steps for below in steps]
    amount = sum(dots) / len(dots) * happens(draw, probability)
    tone = ops.where(of_all[:, 3:4] < 0.5, 20.0, 245.0)
    return cover(images, 0.9 * amount, tone * np.ones((1, 3), "float32"))


def _dots(glyphs: Any, across: Any, down: Any) -> Any:
    """Return where dots of digits lie, 0 or 1, by how many dots right of and below their corner."""
    letter, row = ops.floor(across / 4), ops.floor(down)
    place = ops.floor(across) - 4 * letter
    on = (across >= 0) & (letter < _LETTERS) & (down >= 0) & (row < 5) & (place < 3)
    index = ops.where(on, letter * 15 + row * 3 + place, 0.0)
    return pick(glyphs, index)[..., 0] * ops.cast(on, "float32")


Pixels = np.ndarray
Change = Callable[[Pixels, np.ndarray, float], Any]
"""From images (n x height x width x 3, float32, 0-255), a draw of each and a value, to images."""

Kind = Literal["artefact", "quality", "removal"]
CLEAN = "none"  # pictures as they are
_AT_ONCE = 16  # pictures: 50 MB at 512 pixels, some ten times as much while they are blurred


@dataclass(frozen=True)
class Corruption:
    """A way in which pictures come to look otherwise.

    Attributes:
        kind: `artefact`: lies on the skin or before it, and may have been learnt in its stead;
            `quality`: of lens, light, sensor or file; `removal`: takes an artefact away again.
        change: What it does.
        values: What it is given at strength 1, 2 …: five of them, or one.
        unit: Of the values, in words.
    """

    kind: Kind
    change: Change
    values: tuple[float, ...]
    unit: str


def _faded(draw_on: Callable[[Pixels, np.ndarray, float], Any]) -> Change:
    """Return a change that draws an artefact as opaque as its value says."""

    def change(images: Pixels, draw: np.ndarray, opacity: float) -> Any:
        return images + opacity * (np.asarray(draw_on(images, draw, 1.0)) - images)

    return change


def _dark_corner(images: Pixels, draw: np.ndarray, radius: float) -> Any:
    return artefacts.microscope(images, draw, 1.0, radius=(radius, radius))


def _hairs(images: Pixels, draw: np.ndarray, number: float) -> Any:
    return artefacts.hairs(images, draw, int(number), fewest=int(number))


def _hairs_removed(images: Pixels, draw: np.ndarray, number: float) -> Any:
    hairy = np.rint(np.asarray(_hairs(images, draw, number))).astype(np.uint8)
    return np.stack([remove_hairs(picture) for picture in hairy]).astype("float32")


def _bubbles(images: Pixels, draw: np.ndarray, number: float) -> Any:
    return artefacts.bubbles(images, draw, 1.0, fewest=int(number))


def _patch(images: Pixels, draw: np.ndarray, radius: float) -> Any:
    return patch(images, draw, 1.0, radius=radius)


def _characters(images: Pixels, draw: np.ndarray, height: float) -> Any:
    return characters(images, draw, 1.0, height=height)


def _colour_cast(images: Pixels, draw: np.ndarray, gain: float) -> Any:
    """Multiply the channels by 1 + gain x a direction of no brightness, another for each image."""
    turn = 2 * np.pi * (draw[:, None] + np.arange(3) / 3)
    return images * (1 + gain * np.cos(turn))[:, None, None, :]


def _exposure(images: Pixels, draw: np.ndarray, stops: float) -> Any:
    """Double the light so many times, in a file whose levels are light to the power 1 / 2.2."""
    return images * np.float32(2 ** (stops / 2.2))


def _noise(images: Pixels, draw: np.ndarray, deviation: float) -> Any:
    return images + 255 * deviation * np.asarray(spread_normal(draw, images.shape[1:]))


def _jpeg(images: Pixels, draw: np.ndarray, quality: float) -> Any:
    return compress(images, np.full(len(images), quality, "float32"))


def _defocus(images: Pixels, draw: np.ndarray, radius: float) -> Any:
    """Spread each point over a disc, its edge a pixel soft."""
    pixels = radius * artefacts.side(images)
    down, right = _grid(int(np.ceil(pixels)) + 1)
    disc = np.clip(pixels + 1 - np.hypot(down, right), 0, 1)
    return convolve(images, np.repeat(disc[None], len(images), axis=0))


def _motion(images: Pixels, draw: np.ndarray, length: float) -> Any:
    """Spread each point over a line, in another direction for each image."""
    half = length * artefacts.side(images) / 2
    down, right = _grid(int(np.ceil(half)) + 1)
    angle = np.pi * draw[:, None, None]
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right
    away = np.hypot(across, np.maximum(np.abs(along) - half, 0))
    return convolve(images, np.clip(1 - away, 0, 1))


def _grid(reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far down and right the pixels of a kernel lie from its middle."""
    place = np.arange(-reach, reach + 1, dtype="float32")
    return place[:, None], place[None, :]


def convolve(images: Pixels, kernels: np.ndarray) -> Pixels:
    """Convolve each image with its own kernel; beyond the edge the picture is mirrored.

    By Fourier transforms, whose cost does not grow with the kernel.

    Args:
        images: n x height x width x 3.
        kernels: n x odd x odd, 0 or more; each is divided by its sum.
    """
    reach = kernels.shape[1] // 2
    kernels = kernels / kernels.sum(axis=(1, 2), keepdims=True)
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    height, width = images.shape[1:3]
    shape = [fft.next_fast_len(n + 2 * reach, real=True) for n in padded.shape[1:3]]
    waves = fft.rfft2(padded.astype("float32"), shape, axes=(1, 2))
    waves *= fft.rfft2(kernels.astype("float32"), shape, axes=(1, 2))[..., None]
    whole = fft.irfft2(waves, shape, axes=(1, 2))
    return np.asarray(whole[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width])


_OPACITY = (0.2, 0.4, 0.6, 0.8, 1.0)
_HAIRS = (5, 10, 20, 35, 60)
CORRUPTIONS: Mapping[str, Corruption] = {
    "dark_corner": Corruption(
        "artefact", _dark_corner, (0.95, 0.88, 0.81, 0.73, 0.66),
        "radius of the field of view, of half the diagonal",
    ),
    "ruler": Corruption("artefact", _faded(artefacts.ruler), _OPACITY, "opacity"),
    "characters": Corruption(
        "artefact", _characters, (0.03, 0.045, 0.06, 0.08, 0.1), "height, of the shorter side"
    ),
    "ink": Corruption("artefact", _faded(artefacts.ink), _OPACITY, "opacity"),
    "patch": Corruption(
        "artefact", _patch, (0.06, 0.1, 0.14, 0.18, 0.24), "radius, of the shorter side"
    ),
    "hairs": Corruption("artefact", _hairs, _HAIRS, "hairs"),
    "gel": Corruption("artefact", _faded(gel), _OPACITY, "opacity of the edge"),
    "bubbles": Corruption("artefact", _bubbles, (2, 4, 6, 8, 10), "bubbles, or more"),
    "colour_cast": Corruption(
        "quality", _colour_cast, (0.04, 0.08, 0.12, 0.18, 0.25), "gain of a channel, either way"
    ),
    "overexposure": Corruption("quality", _exposure, (0.25, 0.5, 0.75, 1.0, 1.5), "stops"),
    "underexposure": Corruption("quality", _exposure, (-0.5, -1.0, -1.5, -2.0, -3.0), "stops"),
    "defocus": Corruption(
        "quality", _defocus, (0.0045, 0.009, 0.0134, 0.0179, 0.0268),
        "radius of the disc, of the shorter side",
    ),
    "motion": Corruption(
        "quality", _motion, (0.02, 0.035, 0.05, 0.07, 0.1), "length, of the shorter side"
    ),
    "jpeg": Corruption("quality", _jpeg, (80, 50, 25, 18, 15), "quality"),
    "noise": Corruption(
        "quality", _noise, (0.02, 0.04, 0.08, 0.12, 0.18), "deviation, of the range"
    ),
    "hairs_removed": Corruption("removal", _hairs_removed, _HAIRS, "hairs, removed again"),
    "hair_removal": Corruption("removal", _hairs_removed, (0,), "pictures as they are, cleaned"),
}  # fmt: skip


def corrupt(
    images: Pixels, image_ids: Sequence[str], name: str, strength: int, *, seed: int = 0
) -> Pixels:
    """Corrupt pictures; each by draws of its own name, whatever stands beside it.

    Args:
        images: n x height x width x 3, float32, 0-255.
        image_ids: n names.
        name: Of `CORRUPTIONS`, or `none`.
        strength: 1 to 5; 0: none.
        seed: Of the draws.

    Returns:
        Whole numbers, 0-255, as a file would hold them, float32; the very images at strength 0.

    Raises:
        ValueError: There is no such corruption, or it has no such strength.
    """
    if strength == 0:
        return images
    value = value_of(name, strength)
    draw, change = image_draws(image_ids, name, seed), CORRUPTIONS[name].change
    parts = [
        np.asarray(change(images[k : k + _AT_ONCE], draw[k : k + _AT_ONCE], value))
        for k in range(0, len(images), _AT_ONCE)
    ]
    return np.asarray(np.clip(np.rint(np.concatenate(parts)), 0, 255), "float32")


def value_of(name: str, strength: int) -> float:
    """Return what a corruption is given at a strength.

    Raises:
        ValueError: There is no such corruption, or it has no such strength.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption is {name!r}: use some of {list(CORRUPTIONS)}")
    values = CORRUPTIONS[name].values
    if not 1 <= strength <= len(values):
        raise ValueError(f"strength of {name} is {strength}: use 0 (none) to {len(values)}")
    return values[strength - 1]


def image_draws(image_ids: Sequence[str], name: str, seed: int = 0) -> np.ndarray:
    """Return a uniform draw in [0, 1) of each image: n, float32, of (seed, name, image id)."""
    hashes = (hashlib.blake2b(f"{seed}:{name}:{i}".encode(), digest_size=3) for i in image_ids)
    # 24 bits, which float32 holds as they are.
    return np.array([int.from_bytes(h.digest()) / 2**24 for h in hashes], "float32")


def corruption_cells(names: Sequence[str], strengths: Sequence[int]) -> list[tuple[str, int]]:
    """Return every corruption at every strength that it has, clean pictures first.

    Args:
        names: Of `CORRUPTIONS`; none: all.
        strengths: 1 to 5; of a corruption with one value, it alone.

    Raises:
        ValueError: There is no such corruption, or no such strength.
    """
    cells = [(CLEAN, 0)]
    for name in names or CORRUPTIONS:
        value_of(name, 1)
        single = len(CORRUPTIONS[name].values) == 1
        cells += [(name, 1)] if single else [(name, strength) for strength in strengths]
    for name, strength in cells[1:]:
        value_of(name, strength)
    return cells


def corrupted_views(
    picture: Pixels, image_id: str, cells: Sequence[tuple[str, int]], *, seed: int = 0
) -> dict[str, list[np.ndarray]]:
    """Return a picture as each corruption shows it, a row each, by rising strength.

    Args:
        picture: height x width x 3, 0-255.
        image_id: Its name.
        cells: Of `corruption_cells`.
        seed: Of the draws.

    Returns:
        Name and unit of each corruption to pictures, uint8.
    """
    rows: dict[str, list[np.ndarray]] = {}
    image = np.asarray(picture, "float32")[None]
    for name, strength in cells:
        unit = f": {CORRUPTIONS[name].unit}" if name in CORRUPTIONS else ""
        seen = corrupt(image, [image_id], name, strength, seed=seed)[0]
        row = rows.setdefault(f"{name.replace('_', ' ')}{unit}", [])
        row.append(np.clip(np.rint(seen), 0, 255).astype(np.uint8))
    return rows
