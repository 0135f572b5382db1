"""Augmentation: a pure function of the images and of uniform draws, one row of draws per image.

Nothing here draws a random number: whoever calls decides where the draws come from, so a picture
can be made again from (seed, epoch, position). Written in `keras.ops`, it runs batched on the
accelerator, inside the compiled step, and gives the same picture eagerly, in a graph, jitted, on
TensorFlow and on JAX.

Pixels are float32, batch x height x width x 3, 0-255.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation import geometry, holes, policies
from melnb.data.augmentation.artefacts import marks
from melnb.data.augmentation.artefacts.hairs import hairs as draw_hairs
from melnb.data.augmentation.camera import colour, compression, equalisation, filters
from melnb.data.augmentation.camera.constancy import colour_constancy
from melnb.data.augmentation.draws import DRAWS, NAMES, draw_of
from melnb.data.augmentation.geometry import VIEWS, dihedral, undo_dihedral

__all__ = [
    "DRAWS", "NAMES", "SHOWN", "VIEWS", "Augmentation", "augment", "augment_pair", "dihedral",
    "sample_views", "undo_dihedral",
]  # fmt: skip

# Strengths at which each operation shows well in a gallery of pictures of some 200 pixels.
SHOWN = {
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
    randaugment: int = 0, randaugment_magnitude: float = policies.MAGNITUDE, augmix: float = 0.0,
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
    images = marks.ruler(images, draw["ruler"], ruler)
    images = marks.ink(images, draw["ink"], ink)
    images = marks.bubbles(images, draw["bubbles"], bubbles)
    chosen = policies.rand_augment(draw["policy"], randaugment, randaugment_magnitude)
    images = geometry.move(
        images, draws, rotation=rotation, shear=shear, zoom=zoom, shift=shift, flips=flips,
        transpose=transpose, grid_distortion=grid_distortion, elastic=elastic,
        then=policies.affine_of(images, chosen),
    )  # fmt: skip
    images = marks.microscope(images, draw["microscope"], microscope)
    images = colour.tint(
        images, draws, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
    )
    images = policies.recolour_by(images, chosen)
    images = policies.aug_mix(images, draw["policy"], augmix)
    images = filters.blur(images, draw["blur"], blur)
    images = filters.noise(images, draw["noise"], noise)
    images = equalisation.clahe(images, draw["clahe"], clahe)
    images = colour_constancy(images, draw["constancy"], constancy)
    images = compression.jpeg(images, draw["jpeg"], jpeg)
    return holes.cutout(images, draw["cut_x"], draw["cut_y"], cutout)


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
    magnitude = strengths.get("randaugment_magnitude", policies.MAGNITUDE)
    chosen = policies.rand_augment(draw_of(draws, "policy"), number, magnitude)
    moves = {name: strengths[name] for name in _MOVES if name in strengths}
    moved = geometry.move(masks, draws, **moves, then=policies.affine_of(masks, chosen))
    return augment(images, draws, **strengths), moved


def sample_views(
    picture: Any,
    strengths: dict[str, Any],
    *,
    n: int = 6,
    seed: int = 0,
    together: bool = True,
) -> dict[str, list[np.ndarray]]:
    """Show what each operation alone makes of a picture, and all of them together.

    Args:
        picture: Square, height x width x 3, 0-255.
        strengths: Of `augment`; those of 0 are left out. `SHOWN` has one for every operation.
        n: Views of each operation.
        seed: Of the draws.
        together: Whether to show all of them together, too.

    Returns:
        Name of the operation to n pictures, uint8.
    """
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
    made = {
        name: ops.convert_to_numpy(augment(images, ops.convert_to_tensor(draws), **alone))
        for name, alone in rows.items()
    }
    return {name: list(np.clip(np.rint(v), 0, 255).astype("uint8")) for name, v in made.items()}


def sample_pairs(
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
    made = augment_pair(images, masks[..., None], ops.convert_to_tensor(draws), **strengths)
    seen, moved = (ops.convert_to_numpy(x) for x in made)
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
