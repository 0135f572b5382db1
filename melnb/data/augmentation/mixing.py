"""Mixing: mixup and CutMix, on pictures and on whatever goes with them.

A plan says with which other image of its batch each is mixed, how, and how much of itself it
keeps; pictures, truths and metadata are then mixed by the same plan. It is a function of the draws
of the batch. `keras.layers.MixUp` and `CutMix` draw their own numbers, one share for a whole batch,
and mix all of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from scipy.special import betaincinv

from melnb.data.augmentation.draws import DRAWS, draw_of, per_image, spread

NONE, MIXUP, CUTMIX = 0, 1, 2
_STEPS = 1024  # of a table of quantiles


class Mix(NamedTuple):
    """With what each image of a batch is mixed.

    Attributes:
        partner: Number of another image of the batch, batch int32; each is taken once.
        own: Share that the image keeps, batch float32, 0-1; 1: it stays as it is.
        kind: NONE, MIXUP or CUTMIX, batch int32.
        box: First row, last row + 1, first column and last column + 1 of what CutMix pastes, batch
            x 4 float32.
    """

    partner: Any
    own: Any
    kind: Any
    box: Any


def plan_mixing(
    draws: Any,
    *,
    height: int,
    width: int,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    mixup_alpha: float = 0.2,
    cutmix_alpha: float = 1.0,
) -> Mix:
    """Choose a share of the images of a batch, and what they are mixed with.

    The partners are the next in the order of one draw: a permutation that leaves none alone
    with itself. The share kept is Beta(alpha, alpha) distributed; for CutMix it is then what the
    box, cut off at the edge, leaves of the image, to the pixel.

    Args:
        draws: batch x DRAWS.
        height: Of the pictures, pixels.
        width: Of the pictures, pixels.
        mixup: Share of the images to mix by mixup (Zhang et al. 2018, arXiv 1710.09412).
        cutmix: Share to mix by CutMix (Yun et al. 2019, arXiv 1905.04899).
        mixup_alpha: Of the Beta distribution; the smaller, the more often next to nothing is mixed.
        cutmix_alpha: Of that for CutMix; 1: uniform.

    Raises:
        ValueError: The shares are not shares, or sum to more than 1, or an alpha is not positive.
    """
    _check(mixup, cutmix, mixup_alpha, cutmix_alpha)
    choice, strength, x, y = ops.unstack(spread(draw_of(draws, "mix"), (4,)), 4, axis=1)
    kind = ops.where(choice < mixup, MIXUP, ops.where(choice < mixup + cutmix, CUTMIX, NONE))
    kept = _quantile(cutmix_alpha, strength)
    box = _box(x, y, ops.sqrt(1 - kept), height, width)
    pasted = (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2]) / (height * width)
    weight = ops.where(kind == MIXUP, _quantile(mixup_alpha, strength), 1 - pasted)
    weight = ops.where(kind == NONE, 1.0, weight)
    return Mix(_partners(draw_of(draws, "partner")), weight, ops.cast(kind, "int32"), box)


def mix_images(images: Any, mix: Mix) -> Any:
    """Mix batch x height x width x channels by a plan."""
    other = ops.take(images, mix.partner, axis=0)
    height, width = images.shape[1:3]
    top, bottom, left, right = (per_image(edge) for edge in ops.unstack(mix.box, 4, axis=1))
    row = np.arange(height, dtype="float32")[None, :, None, None]
    column = np.arange(width, dtype="float32")[None, None, :, None]
    inside = ops.logical_and(row >= top, row < bottom)
    inside = ops.logical_and(inside, ops.logical_and(column >= left, column < right))
    blended = images + per_image(1 - mix.own) * (other - images)
    pasted = ops.where(inside, other, images)
    return ops.where(per_image(mix.kind == CUTMIX), pasted, blended)


def blend(values: Any, mix: Mix) -> Any:
    """Mix truths or metadata, batch x any number, by a plan: the image's own share of its own."""
    other = ops.take(values, mix.partner, axis=0)
    return values + ops.reshape(1 - mix.own, (-1, 1)) * (other - values)


def mixup(
    images: Any, truth: Any, draws: Any, *, share: float = 1.0, alpha: float = 0.2
) -> tuple[Any, Any]:
    """Mix a share of the images, and their truth, by mixup alone: see `plan`."""
    height, width = images.shape[1:3]
    mix = plan_mixing(draws, height=height, width=width, mixup=share, mixup_alpha=alpha)
    return mix_images(images, mix), blend(truth, mix)


def cutmix(
    images: Any, truth: Any, draws: Any, *, share: float = 1.0, alpha: float = 1.0
) -> tuple[Any, Any]:
    """Mix a share of the images, and their truth, by CutMix alone: see `plan`."""
    height, width = images.shape[1:3]
    mix = plan_mixing(draws, height=height, width=width, cutmix=share, cutmix_alpha=alpha)
    return mix_images(images, mix), blend(truth, mix)


def sample_mixes(pictures: Any, *, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Show pictures mixed with one another by mixup (half and half) and by CutMix.

    Args:
        pictures: batch x height x width x 3, 0-255; at least two.
        seed: Of the draws.

    Returns:
        Name of the mixing to as many pictures, uint8.
    """
    images = np.asarray(pictures, "float32")
    draws = np.random.default_rng(seed).random((len(images), DRAWS)).astype("float32")
    nothing = np.zeros((len(images), 1), "float32")
    mixes = {
        "mixup": mixup(images, nothing, draws, alpha=20.0)[0],
        "cutmix": cutmix(images, nothing, draws)[0],
    }
    whole = {name: np.rint(ops.convert_to_numpy(seen)) for name, seen in mixes.items()}
    return {name: list(np.clip(seen, 0, 255).astype("uint8")) for name, seen in whole.items()}


def _check(mixup: float, cutmix: float, mixup_alpha: float, cutmix_alpha: float) -> None:
    if min(mixup, cutmix) < 0 or mixup + cutmix > 1:
        raise ValueError(
            f"mixup is {mixup} and cutmix is {cutmix}: use shares of the images, 0 to 1 together"
        )
    for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
        if alpha <= 0:
            raise ValueError(f"{name} is {alpha}; use more than 0")


def _partners(draw: Any) -> Any:
    """Return who comes next in the order of a draw, the first after the last."""
    order = ops.argsort(draw)
    place = ops.argsort(order)
    return ops.cast(ops.take(ops.roll(order, -1), place, axis=0), "int32")


def _box(x: Any, y: Any, share: Any, height: int, width: int) -> Any:
    """Return the edges of a box about (x, y), shares of the sides, in whole pixels within them."""
    edges = [
        ops.clip(ops.round((centre + side * share / 2) * length), 0.0, float(length))
        for centre, length in ((y, height), (x, width))
        for side in (-1, 1)
    ]
    return ops.stack(edges, axis=1)


def _quantile(alpha: float, share: Any) -> Any:
    """Return quantiles of Beta(alpha, alpha), between those of a table."""
    place = share * _STEPS
    before = ops.floor(place)
    index = ops.cast(before, "int32")
    low, high = (ops.take(_quantiles(alpha), index + k, axis=0) for k in (0, 1))
    return low + (high - low) * (place - before)


@cache
def _quantiles(alpha: float) -> np.ndarray:
    shares = np.arange(_STEPS + 1) / _STEPS
    return np.asarray(betaincinv(alpha, alpha, shares), "float32")
