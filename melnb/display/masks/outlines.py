"""Both outlines over a picture: the true one white and unbroken, the predicted one blue, dashed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from melnb.display import theme
from melnb.display.gallery import Gallery, Tile

TRUTH, PREDICTION = "#FFFFFF", theme.SKY
EDGE = "#14181D"  # below both lines, so that they are seen on pale skin too
_FINE = 3  # drawn so many times larger, then reduced: lines without steps
_WIDTH, _RIM = 2.2, 0.8  # pixels: of a line, and of its edge on either side
_DASH = (9.0, 4.5)  # pixels: drawn, left out

_KINDS = (("true", TRUTH, ""), ("predicted", PREDICTION, ' stroke-dasharray="7 4"'))


@dataclass(frozen=True)
class OutlineGallery(Gallery):
    """A gallery whose pictures bear outlines, with a legend that says which is which.

    Attributes:
        kinds: How many of the two outlines there are: the true one alone, or both.
    """

    kinds: int = 2

    def html(self) -> str:
        """Return the gallery as HTML, the legend below its title, every text escaped."""
        title, pictures = Gallery(self.title, {}), Gallery("", self.rows, self.size)
        return title.html() + _legend(self.kinds) + pictures.html()


def overlay(
    pixels: np.ndarray, truth: np.ndarray | None, predicted: np.ndarray | None, *, size: int = 224
) -> np.ndarray:
    """Return a picture with both outlines.

    Args:
        pixels: Height x width x 3, 0-255, uint8 or float.
        truth: The lesion, booleans or uint8 of 0-255, of any size and the picture's shape; None:
            unknown.
        predicted: Likewise.
        size: Pixels on the longer side of what is returned.

    Returns:
        Height x width x 3, uint8.

    Raises:
        ValueError: The picture has not three colours, or a mask is no plane.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels has the shape {pixels.shape}: pass height x width x 3")
    picture = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    scale = size / max(picture.size)
    wide, high = (max(1, round(side * scale)) for side in picture.size)
    drawn = picture.resize((wide * _FINE, high * _FINE), Image.Resampling.BICUBIC)
    for mask, colour, dashed in ((truth, TRUTH, False), (predicted, PREDICTION, True)):
        if mask is not None:
            _draw(drawn, np.asarray(mask), colour, dashed=dashed)
    return np.asarray(drawn.resize((wide, high), Image.Resampling.BOX))


def true_masks(
    pictures: Mapping[str, np.ndarray],
    truths: Mapping[str, np.ndarray],
    *,
    size: int = 160,
    title: str = "Pictures and their masks",
) -> OutlineGallery:
    """Make a gallery of pictures and their true outlines.

    Args:
        pictures: Image id and pixels, height x width x 3, 0-255.
        truths: Image id and mask; an image may lack one.
        size: Pixels on a side of a picture.
        title: Of the gallery.
    """
    tiles = [
        outlined_tile(pixels, truths.get(image), None, caption=image, size=size)
        for image, pixels in pictures.items()
    ]
    return OutlineGallery(title, {"": tiles}, size, kinds=1)


def worst_masks(
    table: pd.DataFrame,
    pictures: Mapping[str, np.ndarray],
    truths: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    *,
    size: int = 224,
    title: str = "Masks that match worst",
) -> OutlineGallery:
    """Make a gallery of `scores.worst_masks`, both outlines over each picture.

    Args:
        table: `image_id` and `jaccard`; `hd95` is told where it is known.
        pictures: Image id and pixels, height x width x 3, 0-255. Asked for these images alone, so
            that a mapping may load them from files.
        truths: Image id and mask; an image may lack one.
        predicted: Image id and mask; an image may lack one.
        size: Pixels on a side of a picture.
        title: Of the gallery.

    Raises:
        KeyError: An image has no picture.
    """
    tiles = []
    for _, row in table.iterrows():
        image = str(row["image_id"])
        caption = f"{image} · Jaccard {row['jaccard']:.3f}"
        if pd.notna(row.get("hd95")):
            caption += f" · HD95\N{NO-BREAK SPACE}{row['hd95']:.0f}\N{NO-BREAK SPACE}px"
        masks = (truths.get(image), predicted.get(image))
        tiles.append(outlined_tile(pictures[image], *masks, caption=caption, size=size))
    return OutlineGallery(title, {"": tiles}, size)


def outlined_tile(
    pixels: np.ndarray,
    truth: np.ndarray | None,
    predicted: np.ndarray | None,
    *,
    caption: str,
    size: int,
) -> Tile:
    """Return a picture with both outlines as a tile; arguments are those of `overlay`."""
    seen = overlay(pixels, truth, predicted, size=size)
    words = f"{caption}: the true outline white, the predicted one blue and dashed"
    file = io.BytesIO()
    # Whole colours: halved, as JPEGs have them, a thin blue line turns grey.
    Image.fromarray(seen).save(file, "JPEG", quality=85, subsampling=0, optimize=True)
    return Tile(file.getvalue(), caption, words)


def _legend(kinds: int) -> str:
    entries = "".join(
        '<span><svg width="34" height="10" style="vertical-align:middle;margin-right:6px" '
        f'aria-hidden="true"><path d="M1 5H33" stroke="{EDGE}" stroke-width="6"{dash}/>'
        f'<path d="M2 5H32" stroke="{colour}" stroke-width="3"{dash}/></svg>{words}</span>'
        for words, colour, dash in _KINDS[:kinds]
    )
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:2px 18px;font-size:13px;margin:2px 0 4px">'
        f"{entries}</div>"
    )


def _draw(picture: Image.Image, mask: np.ndarray, colour: str, *, dashed: bool) -> None:
    """Draw the outlines of a mask over a picture, in place."""
    pen = ImageDraw.Draw(picture)
    lines = [_dashes(line) if dashed else [line] for line in _outlines(mask, picture.size)]
    for width, ink in ((_WIDTH + 2 * _RIM, EDGE), (_WIDTH, colour)):
        for pieces in lines:
            for piece in pieces:
                points = [tuple(point) for point in piece]
                pen.line(points, fill=ink, width=round(width * _FINE), joint="curve")


def _outlines(mask: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Return a mask's outlines as points x 2 (across, down) of a picture of a size."""
    if mask.ndim != 2:
        raise ValueError(f"mask has the shape {mask.shape}: pass height x width")
    # Imported here, as it would double what this module costs to import.
    from skimage.measure import find_contours

    plane = np.pad((mask if mask.dtype == bool else mask > 128).astype(float), 1)
    scale = np.array([size[0] / mask.shape[1], size[1] / mask.shape[0]])
    # A pixel's centre lies half a pixel inside; the rim of the padding takes a whole one back.
    lines = find_contours(plane, 0.5)  # type: ignore[no-untyped-call]
    found = [(line[:, ::-1] - 0.5) * scale for line in lines]
    return [np.clip(line, 0, np.array(size) - 1) for line in found]


def _dashes(line: np.ndarray) -> list[np.ndarray]:
    """Cut a line into dashes."""
    step = np.hypot(*np.diff(line, axis=0).T)
    along = np.append(0.0, np.cumsum(step))
    drawn, left = (_FINE * part for part in _DASH)
    # As many whole dashes as fit, so that the end meets the beginning.
    number = max(1, round(along[-1] / (drawn + left)))
    period = along[-1] / number
    pieces = []
    for k in range(number):
        start, end = k * period, k * period + period * drawn / (drawn + left)
        inner = along[(along > start) & (along < end)]
        at = np.concatenate([[start], inner, [end]])
        pieces.append(np.stack([np.interp(at, along, line[:, c]) for c in (0, 1)], axis=1))
    return pieces
