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
from scipy import fft

from melnb.data.augmentation import artefacts, stamps
from melnb.data.augmentation.draws import spread_normal
from melnb.data.augmentation.filters import compress
from melnb.data.cleaning import remove_hairs

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
    return stamps.patch(images, draw, 1.0, radius=radius)


def _characters(images: Pixels, draw: np.ndarray, height: float) -> Any:
    return stamps.characters(images, draw, 1.0, height=height)


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
    "gel": Corruption("artefact", _faded(stamps.gel), _OPACITY, "opacity of the edge"),
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
