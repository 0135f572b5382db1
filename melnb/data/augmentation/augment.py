"""Augmentation: a pure function of images and uniform draws; RandAugment, AugMix.

Nothing here draws a random number: whoever calls decides where the draws come from, so a picture
can be made again from (seed, epoch, position). Written in `keras.ops`, it runs batched on the
accelerator, inside the compiled step, and gives the same picture eagerly, in a graph, jitted, on
TensorFlow and on JAX.

Pixels are float32, batch x height x width x 3, 0-255.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation import artefacts, colour, filters, geometry
from melnb.data.augmentation.artefacts import hairs as draw_hairs
from melnb.data.augmentation.colour import autocontrast, colour_constancy, recolour
from melnb.data.augmentation.draws import DRAWS, NAMES, draw_of, per_image, spread
from melnb.data.augmentation.filters import sharpen
from melnb.data.augmentation.geometry import (
    VIEWS,
    Affine,
    dihedral,
    multiply,
    transform,
    undo_dihedral,
)

# Policies: which of many small operations each image gets is drawn, too.
#
# RandAugment (Cubuk et al. 2020, arXiv 1909.13719) and AugMix (Hendrycks et al. 2020, arXiv
# 1912.02781) over one list of operations. Every image of a batch gets other ones, at no cost: an
# operation that is not chosen has the value 0, at which it changes nothing, so that all moves are
# one affine map and all colours one matrix. Chosen operations are therefore done in the order of
# the list, not in a drawn one. Of the papers' lists posterize, solarize and equalize are left
# out: they make colours that no dermatoscope gives; zoom and hue are added.
# `keras.layers.RandAugment` and `AugMix` draw their own numbers.

# The value of each at magnitude 1, either way; most are those of the papers.
OPERATIONS = {
    "shift_x": 0.3, "shift_y": 0.3,  # shares of the sides
    "rotation": math.radians(30), "shear_x": 0.3, "shear_y": 0.3, "zoom": math.log(1.3),
    "sharpness": 0.9,
    "brightness": 0.3,  # share of the range
    "contrast": 0.9, "saturation": 0.9,  # shares of what there is
    "hue": math.radians(36), "autocontrast": 1.0,
}  # fmt: skip
_MIXED = {name: most for name, most in OPERATIONS.items() if name != "sharpness"}  # by AugMix
MAGNITUDE = 0.3  # of RandAugment, unless said otherwise
WIDTH = 3  # chains of AugMix
_DEPTH = 3  # operations of a chain at most


def rand_augment(draw: Any, number: int, magnitude: float) -> dict[str, Any]:
    """Choose as many different operations for each image, all at one magnitude either way.

    Args:
        draw: One uniform draw an image.
        number: Of operations; 0: none.
        magnitude: 0 (none) to 1.

    Returns:
        Name of each operation to its values, one an image, 0 where it is not chosen; empty without
        a number or a magnitude.

    Raises:
        ValueError: There are not so many operations.
    """
    if not (number and magnitude):
        return {}
    if not 0 < number <= len(OPERATIONS):
        raise ValueError(f"randaugment is {number}; use 1 to {len(OPERATIONS)} operations, or 0")
    value, _ = _choose(draw, OPERATIONS, number, salt=0)
    return _named(OPERATIONS, value * magnitude)


def affine_of(images: Any, chosen: dict[str, Any]) -> Affine | None:
    """Return how the chosen operations move the pixels of images of that size; of none, None."""
    if not chosen:
        return None
    height, width = images.shape[1:3]
    turn, size = chosen["rotation"], ops.exp(-chosen["zoom"])
    cos, sin = ops.cos(turn) * size, ops.sin(turn) * size
    linear = multiply((cos, -sin, sin, cos), (1.0, chosen["shear_x"], chosen["shear_y"], 1.0))
    return Affine(linear, (chosen["shift_x"] * width, chosen["shift_y"] * height))


def recolour_by(images: Any, chosen: dict[str, Any]) -> Any:
    """Do the chosen operations that change colours."""
    if not chosen:
        return images
    if "sharpness" in chosen:
        images = sharpen(images, chosen["sharpness"])
    images = recolour(
        images, 255 * chosen["brightness"], 1 + chosen["contrast"], 1 + chosen["saturation"],
        chosen["hue"],
    )  # fmt: skip
    return autocontrast(images, ops.abs(chosen["autocontrast"]))


def aug_mix(images: Any, draw: Any, severity: float) -> Any:
    """Mix each image with three chains of one to three operations on it.

    The chains' weights are Dirichlet(1, 1, 1), the image's own is Beta(1, 1), and each operation's
    magnitude is uniform from 0 to the severity: all drawn for each image. The paper's consistency
    loss is not part of this.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image.
        severity: 0 (none) to 1.
    """
    if not severity:
        return images
    shares = spread(draw, (2 * WIDTH + 1,), salt=1)
    depth = ops.floor(shares[:, :WIDTH] * _DEPTH) + 1
    weight = -ops.log(
        shares[:, WIDTH : 2 * WIDTH] + 0.5**25
    )  # exponential, so normalised Dirichlet
    weight = weight / ops.sum(weight, axis=-1, keepdims=True)
    mixed = 0.0
    for chain in range(WIDTH):
        value, size = _choose(draw, _MIXED, depth[:, chain : chain + 1], salt=chain + 2)
        chosen = _named(_MIXED, value * size * severity)
        view = recolour_by(transform(images, affine_of(images, chosen)), chosen)
        mixed = mixed + per_image(weight[:, chain]) * view
    mixed = images + per_image(shares[:, -1]) * (mixed - images)
    return ops.clip(mixed, 0.0, 255.0)  # as far as rounding leads beyond


def _choose(draw: Any, operations: dict[str, float], number: Any, *, salt: int) -> tuple[Any, Any]:
    """Choose operations for each image.

    Returns:
        Values at magnitude 1, of either sign, 0 of what is not chosen, and a uniform number for
        each; both batch x operations.
    """
    order, side, size = ops.unstack(spread(draw, (3, len(operations)), 10 + salt), 3, axis=1)
    before = ops.cast(order[:, None, :] < order[:, :, None], "float32")
    chosen = ops.cast(ops.sum(before, axis=-1) < number, "float32")
    most = np.array(list(operations.values()), "float32")
    return chosen * ops.where(side < 0.5, -1.0, 1.0) * most, size


def _named(operations: dict[str, float], values: Any) -> dict[str, Any]:
    return dict(zip(operations, ops.unstack(values, len(operations), axis=1), strict=True))


__all__ = [
    "AUGMENTATIONS", "DRAWS", "NAMES", "VIEWS", "Augmentation", "augment", "augment_pair",
    "dihedral", "sample_views", "undo_dihedral",
]  # fmt: skip

# Strengths at which each operation shows well in a gallery of pictures of some 200 pixels.
AUGMENTATIONS = {
    "flips": True, "transpose": True, "rotation": 180.0, "shear": 20.0, "zoom": 0.3, "shift": 0.15,
    "grid_distortion": 0.5, "elastic": 0.08, "brightness": 0.2, "contrast": 0.3, "saturation": 0.5,
    "hue": 0.05, "blur": 3.0, "noise": 25.0, "clahe": 3.0, "jpeg": 0.9, "cutout": 0.3,
    "randaugment": 2, "randaugment_magnitude": 0.5, "augmix": 0.5, "hairs": 20, "ruler": 1.0,
    "ink": 1.0, "bubbles": 1.0, "microscope": 1.0, "constancy": 1.0,
}  # fmt: skip
_MOVES = (
    "rotation", "shear", "zoom", "shift", "flips", "transpose", "grid_distortion", "elastic",
)  # fmt: skip
_SETTINGS = ("randaugment_magnitude",)  # of an operation, and none themselves


def augment(
    images: Any, draws: Any, *,
    rotation: float = 0.0, shear: float = 0.0, zoom: float = 0.0, shift: float = 0.0,
    flips: bool = False, transpose: bool = False,
    grid_distortion: float = 0.0, elastic: float = 0.0,
    brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0,
    randaugment: int = 0, randaugment_magnitude: float = MAGNITUDE, augmix: float = 0.0,
    blur: float = 0.0, noise: float = 0.0,
    clahe: float = 0.0, constancy: float = 0.0, jpeg: float = 0.0, cutout: float = 0.0,
    hairs: int = 0, ruler: float = 0.0, ink: float = 0.0, bubbles: float = 0.0,
    microscope: float = 0.0,
) -> Any:  # fmt: skip
    """Augment a batch of images.

    With all strengths 0 the images come back as they are, and what has strength 0 costs nothing.
    Pictures are changed in the order in which they come about: what lies on the skin (hairs, ruler,
    ink, bubbles), how the camera is held (all moves as one), its dark rim, light and colours
    (brightness to hue as one, then RandAugment's, then AugMix), lens and sensor (blur, noise), the
    program (CLAHE, colour constancy), the file (JPEG); last a hole. Beyond the edge the picture is
    mirrored.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draws: batch x DRAWS, uniform in [0, 1).
        rotation: Degrees either way; a draw of 0.5 is neutral, 0 and 1 are the strength either way,
            here and for shear, zoom, shift and the colours.
        shear: Degrees either way.
        zoom: Share either way: sizes from 1 / (1 + zoom) to 1 + zoom.
        shift: Share of the side either way.
        flips: Whether to mirror left-right and up-down, each for a draw above 0.5.
        transpose: Whether to swap rows and columns for a draw above 0.5; with `flips` all eight
            symmetries of a square.
        grid_distortion: Share, below 1, by which columns and rows of a grid are widened or
            narrowed.
        elastic: How far, as a share of the side, a smooth random field displaces at most; below
            0.096 nothing folds.
        brightness: Share of the range either way.
        contrast: Share either way, about the mean luminance of the image.
        saturation: Share either way.
        hue: Share of the circle either way, in the YIQ plane.
        randaugment: Number of operations of RandAugment on each image.
        randaugment_magnitude: Of each of them, 0-1 (M = 10 of the paper).
        augmix: Severity of AugMix, 0-1 (10 of the paper).
        blur: Greatest standard deviation of a Gaussian, pixels.
        noise: Greatest standard deviation of Gaussian noise, on the scale of 0-255.
        clahe: Clip limit of local equalisation, 2 (mild) to 10 (harsh), mixed in by a share that is
            the draw.
        constancy: Share of images shown as under white light.
        jpeg: How low the quality of a JPEG file may fall: from 100 (0) to 1 (1).
        cutout: Side of one hole as a share of the picture's side; it gets the mean colour.
        hairs: Greatest number of hairs.
        ruler: Share of images with a scale.
        ink: Share with a surgical pen's marks.
        bubbles: Share with air bubbles in the gel.
        microscope: Share with a dark rim.

    Returns:
        Images as given, 0-255.

    Raises:
        ValueError: A strength cannot be had.
    """
    draw = {name: draws[:, k] for k, name in enumerate(NAMES)}
    images = draw_hairs(images, draw["hairs"], hairs)
    images = artefacts.ruler(images, draw["ruler"], ruler)
    images = artefacts.ink(images, draw["ink"], ink)
    images = artefacts.bubbles(images, draw["bubbles"], bubbles)
    chosen = rand_augment(draw["policy"], randaugment, randaugment_magnitude)
    images = geometry.move(
        images, draws, rotation=rotation, shear=shear, zoom=zoom, shift=shift, flips=flips,
        transpose=transpose, grid_distortion=grid_distortion, elastic=elastic,
        then=affine_of(images, chosen),
    )  # fmt: skip
    images = artefacts.microscope(images, draw["microscope"], microscope)
    images = colour.tint(
        images, draws, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
    )
    images = recolour_by(images, chosen)
    images = aug_mix(images, draw["policy"], augmix)
    images = filters.blur(images, draw["blur"], blur)
    images = filters.noise(images, draw["noise"], noise)
    images = filters.clahe(images, draw["clahe"], clahe)
    images = colour_constancy(images, draw["constancy"], constancy)
    images = filters.jpeg(images, draw["jpeg"], jpeg)
    return geometry.cutout(images, draw["cut_x"], draw["cut_y"], cutout)


def augment_pair(images: Any, masks: Any, draws: Any, **strengths: Any) -> tuple[Any, Any]:
    """Augment images, and move their masks as they move; all else leaves masks alone.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        masks: batch x height x width x 1, float32. Resampling leaves values between at borders:
            cut at the half.
        draws: batch x DRAWS.
        strengths: Of `augment`.

    Returns:
        Images and masks.

    Raises:
        ValueError: With AugMix, which overlays pictures that moved in different ways.
    """
    if strengths.get("augmix"):
        raise ValueError(
            f"augmix is {strengths['augmix']}, but no mask follows a mixture of pictures that "
            "moved in different ways: set augmix to 0"
        )
    number = strengths.get("randaugment", 0)
    magnitude = strengths.get("randaugment_magnitude", MAGNITUDE)
    chosen = rand_augment(draw_of(draws, "policy"), number, magnitude)
    moves = {name: strengths[name] for name in _MOVES if name in strengths}
    moved = geometry.move(masks, draws, **moves, then=affine_of(masks, chosen))
    return augment(images, draws, **strengths), moved


def sample_views(
    picture: Any,
    strengths: dict[str, Any] | None = None,
    *,
    n: int = 6,
    seed: int = 0,
    together: bool = True,
) -> dict[str, list[np.ndarray]]:
    """Show what each operation alone makes of a picture, and all of them together.

    Args:
        picture: Square, height x width x 3, 0-255.
        strengths: Of `augment`; those of 0 are left out. None: those of `AUGMENTATIONS`, one for
            every operation.
        n: Views of each operation.
        seed: Of the draws.
        together: Whether to show all of them together, too.

    Returns:
        Name of the operation to n pictures, uint8.
    """
    strengths = dict(AUGMENTATIONS) if strengths is None else strengths
    pixels = np.asarray(picture, "float32")
    images = ops.convert_to_tensor(np.repeat(pixels[None], n, axis=0))
    draws = np.random.default_rng(seed).random((n, DRAWS)).astype("float32")
    settings = {name: strengths[name] for name in _SETTINGS if name in strengths}
    rows = {
        name: {name: value, **settings}
        for name, value in strengths.items()
        if value and name not in _SETTINGS
    }
    if together:
        rows["all together"] = strengths
    views = {
        name: ops.convert_to_numpy(augment(images, ops.convert_to_tensor(draws), **alone))
        for name, alone in rows.items()
    }
    return {name: list(np.clip(np.rint(v), 0, 255).astype("uint8")) for name, v in views.items()}


def sample_mask_views(
    picture: Any, mask: Any, strengths: dict[str, Any], *, n: int = 6, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Show what all operations together make of a picture and its mask.

    Args:
        picture: Square, height x width x 3, 0-255.
        mask: height x width, bool.
        strengths: Of `augment`.
        n: Views.
        seed: Of the draws.

    Returns:
        n pairs of a picture, uint8, and its mask, bool.
    """
    draws = np.random.default_rng(seed).random((n, DRAWS)).astype("float32")
    pairs = (np.repeat(np.asarray(x, "float32")[None], n, axis=0) for x in (picture, mask))
    images, masks = (ops.convert_to_tensor(x) for x in pairs)
    views = augment_pair(images, masks[..., None], ops.convert_to_tensor(draws), **strengths)
    seen, moved = (ops.convert_to_numpy(x) for x in views)
    pixels = np.clip(np.rint(seen), 0, 255).astype("uint8")
    return list(zip(pixels, moved[..., 0] > 0.5, strict=True))


@keras.saving.register_keras_serializable("melnb")
class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """`augment` as a layer of (images, draws), at work in training alone.

    Args:
        strengths: Of `augment`.
    """

    def __init__(self, strengths: dict[str, Any] | None = None, **keywords: Any) -> None:
        super().__init__(**{"dtype": "float32", **keywords})  # 16 bits would blur coordinates
        self.strengths = dict(strengths or {})

    def call(self, images: Any, draws: Any, training: bool = False) -> Any:
        """Return the images, augmented if training."""
        return augment(images, draws, **self.strengths) if training else images

    def compute_output_shape(self, images_shape: Any, draws_shape: Any) -> Any:
        """Return the shape of the images."""
        return images_shape

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "strengths": self.strengths}
