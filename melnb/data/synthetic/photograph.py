"""One photograph: a view of skin, lesion and artefacts through one lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from melnb.data.synthetic import artefacts, lesions, skin, textures
from melnb.data.synthetic.textures import Field

_MODES = {3: "RGB", 4: "CMYK"}  # RGBA would be multiplied by its last layer
_DETAIL = 0.65  # pixels drawn for one seen: sharper than a dermoscope would cost twice the time
_SKIN_EXTENT = 1.1  # half the side of the skin that is drawn, in sides of the picture
# Lenses and lights of different makers: gains of red, green and blue.
_CASTS = np.array([[1.0, 1.0, 1.0], [1.03, 0.93, 0.96], [0.97, 0.95, 1.06], [1.04, 0.99, 0.91]])


@dataclass(frozen=True)
class View:
    """How a lens looks at the skin: lengths in sides of the picture, the lesion at the origin.

    Attributes:
        size: Pixels on a side.
        turn: Radians.
        zoom: Above 1 is nearer.
        shift: Where the lesion lies, from the picture's middle.
    """

    size: int
    turn: float
    zoom: float
    shift: tuple[float, float]

    def see(self, layers: Field, extent: float, *, beyond: tuple[int, ...]) -> Image.Image:
        """Return square layers, spanning -extent to extent on the skin, as the lens sees them.

        Args:
            layers: c x n x n, 0-1. They become bytes: a transform of floats costs four times more.
            extent: Half the side, in sides of the picture.
            beyond: The c values, 0-255, outside the square.

        Returns:
            A picture of size x size with c bands.
        """
        n = layers.shape[-1]
        scale = n / (2 * extent) / self.zoom / self.size
        cosine, sine = scale * np.cos(self.turn), scale * np.sin(self.turn)
        left, up = (self.size * (0.5 + s) for s in self.shift)
        matrix = (
            cosine, sine, n / 2 - cosine * left - sine * up,
            -sine, cosine, n / 2 + sine * left - cosine * up,
        )  # fmt: skip
        levels = np.minimum(layers * np.float32(255) + np.float32(0.5), 255).astype(np.uint8)
        return Image.merge(
            _MODES[len(layers)], [Image.fromarray(layer) for layer in levels]
        ).transform(
            (self.size, self.size),
            Image.Transform.AFFINE,
            matrix,
            Image.Resampling.BILINEAR,
            fillcolor=beyond,
        )

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points on the skin (n x 2, the lesion at 0.5) lie in the picture, 0-1."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        turned = (points - 0.5) @ np.array([[cosine, sine], [-sine, cosine]])
        placed: NDArray[np.float64] = self.zoom * turned + 0.5 + np.array(self.shift)
        return placed


def draw_lesion(
    *,
    lesion: int,
    view: int,
    ita: float,
    atypia: float,
    keratotic: bool = False,
    has_hair: bool = False,
    has_ruler: bool = False,
    has_ink: bool = False,
    has_bubbles: bool = False,
    has_corners: bool = False,
    seed: int = 0,
    image_size: int = 256,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one photograph of one lesion, and its mask.

    Args:
        lesion: The lesion's number: the same number is the same lesion.
        view: The photograph's number: the same number is the same way of looking.
        ita: Typology angle of the skin, in degrees.
        atypia: How far the lesion departs from a quiet mole, in standard deviations.
        keratotic: Whether it is thickened horn rather than pigment cells.
        has_hair: Whether hairs grow there.
        has_ruler: Whether a scale lies in the picture.
        has_ink: Whether a pen's mark is on the skin.
        has_bubbles: Whether the gel holds air.
        has_corners: Whether the field of view is round.
        seed: Of the data set.
        image_size: Pixels on a side.

    Returns:
        The picture, image_size x image_size x 3, 0-255, and the mask, image_size x image_size,
        0 or 255.
    """
    # One stream for each part: a part that is left out moves no other.
    shape, ground, hair, ink = (np.random.default_rng([seed, 1, lesion, k]) for k in range(4))
    look, light, *things = (np.random.default_rng([seed, 2, view, k]) for k in range(5))
    radius = float(np.clip(shape.lognormal(-1.40 + 0.14 * np.tanh(atypia), 0.28), 0.11, 0.36))
    chosen = _view(look, image_size)
    bare = skin.draw_skin(ground, ita=ita, size=round(_DETAIL * image_size))
    seen = chosen.see(bare, _SKIN_EXTENT, beyond=(0, 0, 0))
    frame = max(round(_DETAIL * 2 * lesions.EXTENT * radius * image_size), 24)
    pigment = lesions.draw_pigment(shape, atypia=atypia, keratotic=keratotic, size=frame)
    seen, mask = _lay(seen, pigment, chosen, radius)
    picture = _planes(seen)
    if has_hair:
        artefacts.draw_hairs(picture, hair, chosen.place, chosen.zoom)
    if has_ink:
        artefacts.draw_ink(picture, ink, chosen.place)
    _light(picture, light)
    if has_bubbles:
        artefacts.draw_bubbles(picture, things[0])
    if has_ruler:
        artefacts.draw_ruler(picture, things[1])
    if has_corners:
        artefacts.draw_corners(picture, things[2])
    return _pixels(picture), mask


def _view(rng: np.random.Generator, size: int) -> View:
    turn, zoom = rng.normal(0, 0.25), np.exp(rng.normal(0, 0.12))
    left, up = np.clip(rng.normal(0, 0.035, 2), -0.09, 0.09)
    return View(size, float(turn), float(np.clip(zoom, 0.72, 1.35)), (float(left), float(up)))


def _lay(
    ground: Image.Image, pigment: lesions.Pigment, view: View, radius: float
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Return skin with a lesion laid on it, and the lesion's mask."""
    # The mask and the white share a band, for a fifth would be a second transform: up to a half
    # it rises across the border, and the white lies above.
    rise = np.clip(8 * pigment.inside + 0.5, 0, 1)
    cover = 0.5 * rise + 0.5 * pigment.white * (rise == 1)
    layers = np.concatenate([np.exp(-pigment.absorption), cover[None]])
    seen = view.see(layers, lesions.EXTENT * radius, beyond=(255, 255, 255, 0))
    *left, last = seen.split()
    white = last.point([max(2 * level - 255, 0) for level in range(256)])
    picture = ImageChops.multiply(ground, Image.merge("RGB", left))
    scar = tuple(
        round(share * np.asarray(band).max())
        for share, band in zip((0.86, 0.78, 0.80), ground.split(), strict=True)
    )
    picture.paste(scar, mask=white)
    return picture, np.asarray(last.point([0] * 64 + [255] * 192))


def _planes(picture: Image.Image) -> Field:
    """Return a picture as 3 x size x size, 0-1."""
    planes = np.empty((3, picture.height, picture.width), dtype=np.float32)
    for plane, band in zip(planes, picture.split(), strict=True):
        np.multiply(np.asarray(band), np.float32(1 / 255), out=plane)
    return planes


def _pixels(picture: Field) -> NDArray[np.uint8]:
    """Return a picture, 3 x size x size and 0-1, as size x size x 3 and 0-255."""
    pixels = np.empty((*picture.shape[1:], 3), dtype=np.uint8)
    for channel, plane in enumerate(picture):
        pixels[..., channel] = np.clip(plane * np.float32(255) + np.float32(0.5), 0, 255)
    return pixels


def _light(picture: Field, rng: np.random.Generator) -> None:
    """Light a picture, in place: exposure, cast, falloff, a slope, haze and grain."""
    size = picture.shape[1]
    x, y = textures.grid(size, 1.0)
    across, down = rng.normal(0, 0.04, 2).tolist()
    lit = 1 + across * x + down * y - rng.uniform(0.0, 0.13) * (x * x + y * y)
    cast = _CASTS[rng.integers(len(_CASTS))] * np.exp(rng.normal(0, 0.015, 3))
    gains = cast * np.exp(rng.normal(0.05, 0.05))
    haze = rng.uniform(0.0, 0.05)
    # Bytes are the cheapest noise: their standard deviation is 74.
    noise = np.frombuffer(rng.bytes(size * size), dtype=np.uint8).reshape(size, size)
    grain = (noise.astype(np.float32) - 127.5) * (rng.uniform(0.004, 0.014) / 74)
    for channel, gain in enumerate(gains.tolist()):
        picture[channel] *= (gain * (1 - haze)) * lit
        picture[channel] += haze + grain
