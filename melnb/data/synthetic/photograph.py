"""One photograph: a view of skin, lesion and artefacts through one lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from melnb.data.synthetic import pigment as lesions
from melnb.data.synthetic import textures
from melnb.data.synthetic.textures import Field

# What lies between the lens and the lesion: hairs, ruler, ink, bubbles, dark corners.
#
# Each function draws on a picture (3 x size x size, 0-1) in place. Coordinates go from 0 to 1
# across the picture.

Points = NDArray[np.float64]


def draw_hairs(
    picture: Field, rng: np.random.Generator, place: Callable[[Points], Points], thickness: float
) -> None:
    """Draw hairs that lie roughly along one direction.

    Args:
        picture: Drawn upon.
        rng: The lesion's own stream: hairs stay where they grow.
        place: Moves points from the skin (n x 2, the middle at 0.5) to the picture.
        thickness: Of the lens: 1 at zoom 1.
    """
    size = picture.shape[1]
    number = int(np.clip(rng.lognormal(2.0, 0.8), 2, 45))
    direction = rng.uniform(0, np.pi)
    lines = [place(_hair(rng, direction)) for _ in range(number)]
    widths = thickness * rng.uniform(0.003, 0.0085, number)
    cover = textures.strokes(size, lines, widths.tolist()) * np.float32(rng.uniform(0.55, 0.95))
    light = rng.random() < 0.15
    colour = np.array([0.62, 0.50, 0.38] if light else [0.13, 0.09, 0.08])
    _cover(picture, cover, colour * rng.uniform(0.6, 1.3))


def draw_ruler(picture: Field, rng: np.random.Generator) -> None:
    """Draw a millimetre scale along one side of the picture."""
    step, start = rng.uniform(0.028, 0.06), rng.uniform(0.05, 0.25)
    number = int(rng.integers(10, 18))
    edge = rng.uniform(0.05, 0.13)
    along = start + step * np.arange(number)
    length = np.where(np.arange(number) % 5 == 0, 0.05, 0.028)
    ticks = [np.array([[a, edge], [a, edge + t]]) for a, t in zip(along, length, strict=True)]
    if rng.random() < 0.6:
        ticks.append(np.array([[along[0], edge], [along[-1], edge]]))
    quarters, width = int(rng.integers(0, 4)), rng.uniform(0.003, 0.006)
    lines = [_turned(tick, quarters) for tick in ticks]
    cover = textures.strokes(picture.shape[1], lines, [width] * len(lines))
    _cover(picture, 0.85 * cover, np.array([0.10, 0.09, 0.11]))


def draw_ink(picture: Field, rng: np.random.Generator, place: Callable[[Points], Points]) -> None:
    """Draw a surgical pen's mark beside the lesion: violet, uneven, letting skin show through.

    Args:
        picture: Drawn upon.
        rng: The lesion's own stream: ink stays on the skin.
        place: As in `draw_hairs`.
    """
    size = picture.shape[1]
    t = np.linspace(0, 1, 24)
    edge = rng.uniform(0.03, 0.14) + rng.normal(0, 0.05) * np.sin(3 * t) + 0.02 * np.sin(9 * t)
    along = rng.uniform(-0.2, 0.2) + rng.uniform(0.5, 1.2) * t
    line = place(_turned(np.stack([along, edge], axis=1), int(rng.integers(0, 4))))
    cover = textures.strokes(size // 4, [line], [rng.uniform(0.025, 0.06)])
    uneven = textures.clouds(rng, size, slope=1.0, cells=64)
    amount = np.clip(textures.enlarge(cover, size) * (0.7 + 0.35 * uneven), 0, 1)
    for channel, taken in enumerate((1.15, 1.35, 0.40)):
        picture[channel] *= np.exp(-taken * amount)


def draw_bubbles(picture: Field, rng: np.random.Generator) -> None:
    """Draw air bubbles in the gel: a bright rim, a dark one inside it, a glint."""
    size, number = picture.shape[1], int(rng.integers(2, 14))
    places, radii = rng.random((number, 2)), rng.gamma(2.0, 0.011, number)
    outer, rim = (textures.dots(size, places, radii * k) for k in (1.0, 0.82))
    glints = textures.dots(size, places - 0.4 * radii[:, None], 0.22 * radii)
    picture += 0.16 * np.clip(outer - rim, 0, 1) - 0.05 * rim
    _cover(picture, 0.8 * glints, np.ones(3))


def draw_corners(picture: Field, rng: np.random.Generator) -> None:
    """Darken what lies outside the lens's round field of view."""
    x, y = textures.grid(picture.shape[1], 1.0)
    radius, softness = rng.uniform(1.02, 1.36), rng.uniform(0.01, 0.06)
    left, up = rng.normal(0, 0.04, 2)
    beyond = (np.sqrt((x - left) ** 2 + (y - up) ** 2) - radius) / softness
    _cover(picture, 1 / (1 + np.exp(np.clip(-beyond, -30, 30))), np.full(3, 0.03))


def _hair(rng: np.random.Generator, direction: float) -> Points:
    """Return one hair on the skin: a curve with one bend."""
    middle, turn = rng.uniform(-0.2, 1.2, 2), direction + rng.normal(0, 0.45)
    half = rng.uniform(0.12, 0.5) * np.array([np.cos(turn), np.sin(turn)])
    bend = rng.normal(0, 0.22) * np.array([-half[1], half[0]])
    t = np.linspace(-1, 1, 13)[:, None]
    return middle + t * half + (1 - t * t) * bend


def _turned(points: Points, quarters: int) -> Points:
    """Turn points about the picture's middle by quarters of a circle."""
    x, y = points[:, 0], points[:, 1]
    return np.stack([(x, y), (1 - y, x), (1 - x, 1 - y), (y, 1 - x)][quarters], axis=1)


def _cover(picture: Field, cover: Field, colour: NDArray[np.float64]) -> None:
    """Paint a colour over a picture, as thickly as `cover` (0-1) says."""
    for channel in range(3):
        picture[channel] += cover * (np.float32(colour[channel]) - picture[channel])


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
    bare = textures.draw_skin(ground, ita=ita, size=round(_DETAIL * image_size))
    seen = chosen.see(bare, _SKIN_EXTENT, beyond=(0, 0, 0))
    frame = max(round(_DETAIL * 2 * lesions.EXTENT * radius * image_size), 24)
    pigment = lesions.draw_pigment(shape, atypia=atypia, keratotic=keratotic, size=frame)
    seen, mask = _lay(seen, pigment, chosen, radius)
    picture = _planes(seen)
    if has_hair:
        draw_hairs(picture, hair, chosen.place, chosen.zoom)
    if has_ink:
        draw_ink(picture, ink, chosen.place)
    _light(picture, light)
    if has_bubbles:
        draw_bubbles(picture, things[0])
    if has_ruler:
        draw_ruler(picture, things[1])
    if has_corners:
        draw_corners(picture, things[2])
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
