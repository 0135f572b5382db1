"""The mask explorer: choose from which probability a pixel is lesion, and how smooth, and look.

The state is a plain object that needs no browser; its static twin is a gallery. Its view is one
anywidget that draws the outlines in the page: no kernel is asked while a slider moves.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets
from PIL import Image, ImageDraw

from melnb.display import theme
from melnb.display.gallery import Gallery, Tile, encode
from melnb.display.threshold import threshold_explorer
from melnb.evaluation.challenges.jaccard import LEAST_JACCARD, lesion_plane
from melnb.evaluation.mask_scores import REFERENCE_SIDE, cleaned_mask, segmentation_scores
from melnb.tables.checks import TableError

# Both outlines over a picture: the true one white and unbroken, the predicted one blue, dashed.

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
    """Make a gallery of `mask_scores.worst_masks`, both outlines over each picture.

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
    outlines = [(line[:, ::-1] - 0.5) * scale for line in lines]
    return [np.clip(line, 0, np.array(size) - 1) for line in outlines]


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


_HERE = Path(__file__).parent
_SHARED = _HERE.parent / "threshold"
# Parts of one ECMAScript module, in the order in which they build on each other.
_PARTS = (
    *(_SHARED / part for part in ("packed.js", "counts.js", "drawings.js", "panels.js")),
    *(_HERE / part for part in ("lesion.js", "outline.js", "view.js")),
)
MODULE = "\n".join(part.read_text(encoding="utf-8") for part in _PARTS)
STYLE = threshold_explorer.STYLE + (_HERE / "explorer.css").read_text(encoding="utf-8")

MOST_SMOOTHING = 8.0  # pixels of a plane of REFERENCE_SIDE, the slider's end
_STEPS = 65535  # of a probability: two bytes
_LARGEST = 320  # pixels on a plane's side: above, a move takes longer than a frame
_SHOWN = 400  # pixels on the longer side of a picture in the page
_SYNCED = ("threshold", "smoothing", "image")
_LEVEL = 6


class MaskExplorer(traitlets.HasTraits):  # type: ignore[misc]
    """The mask that follows from a threshold and a smoothing, beside the true one.

    Args:
        pictures: Image id and pixels, height x width x 3, 0-255, of any size. They are all sent to
            the page: a dozen with their planes, of 224 pixels each, cost 1 to 1.5 MB.
        truths: Image id and true mask, of its probabilities' size; an image may lack one, and is
            then not scored.
        probabilities: Image id and plane, height x width, 0-1, at most 320 pixels on a side; they
            are kept to 1 in 65,535. Of none there is no view and no gallery.
        threshold: To begin with: lesion is above it.
        smoothing: Likewise, of the blur before it (`mask_scores.cleaned_mask`).
        title: Shown above the sliders.

    Attributes:
        threshold: The chosen threshold; moving the slider changes it, and setting it moves it.
        smoothing: The chosen smoothing, likewise.
        image: The chosen image's place, from 0, likewise.

    Raises:
        TableError: An image has no picture, or a mask is not of its probabilities' size.
        ValueError: A plane is no plane of probabilities.
    """

    threshold = traitlets.Float(0.5, min=0.0, max=1.0)
    smoothing = traitlets.Float(2.0, min=0.0, max=MOST_SMOOTHING)
    image = traitlets.Int(0, min=0)

    def __init__(
        self,
        pictures: Mapping[str, np.ndarray],
        truths: Mapping[str, np.ndarray],
        probabilities: Mapping[str, np.ndarray],
        *,
        threshold: float = 0.5,
        smoothing: float = 2.0,
        title: str = "Mask explorer",
    ) -> None:
        self.title, self.image_ids = title, list(probabilities)
        self._codes = {i: _codes(i, plane) for i, plane in probabilities.items()}
        self._truths = {
            i: _truth(i, truths[i], self._codes[i].shape) for i in self.image_ids if i in truths
        }
        for image in self.image_ids:
            if image not in pictures:
                raise TableError(f"pictures: none of {image}, of which there are probabilities")
        self._pictures = {i: np.asarray(pictures[i]) for i in self.image_ids}
        super().__init__(threshold=threshold, smoothing=smoothing)

    def at(
        self,
        threshold: float | None = None,
        smoothing: float | None = None,
        image: int | str | None = None,
    ) -> pd.DataFrame:
        """Return what follows from a threshold and a smoothing, as one row; None: the chosen.

        Args:
            threshold: Lesion is above it.
            smoothing: Of the blur, pixels of a plane of `cleaning.REFERENCE_SIDE`.
            image: Its place, from 0, or its id.

        Returns:
            `image_id`, `threshold`, `smoothing`, `area` (pixels), `area_share`, and what
            `mask_scores.segmentation_scores` has: NaN where the true mask is not known.
        """
        name = self._name(self.image if image is None else image)
        cut = self.threshold if threshold is None else threshold
        blur = self.smoothing if smoothing is None else smoothing
        mask = self.mask(cut, blur, name)
        truth = self._truths.get(name)
        scores = segmentation_scores({name: mask if truth is None else truth}, {name: mask})
        row = scores.drop(columns="image_id").astype(object)
        if truth is None:
            row[:] = np.nan
        facts = {"image_id": name, "threshold": cut, "smoothing": blur}
        facts |= {"area": int(mask.sum()), "area_share": float(mask.mean())}
        return pd.concat([pd.DataFrame([facts]), row.infer_objects()], axis=1)

    def mask(self, threshold: float, smoothing: float, image: int | str) -> np.ndarray:
        """Return the mask of an image at a threshold and a smoothing, height x width booleans."""
        plane = self._codes[self._name(image)] / _STEPS
        return cleaned_mask(plane, threshold=threshold, smoothing=smoothing)

    def gallery(
        self, threshold: float | None = None, smoothing: float | None = None, *, size: int = 224
    ) -> OutlineGallery | None:
        """Return the static twin: every image with both outlines, without a slider.

        Args:
            threshold: None: the chosen.
            smoothing: None: the chosen.
            size: Pixels on a side of a picture.
        """
        cut = self.threshold if threshold is None else threshold
        blur = self.smoothing if smoothing is None else smoothing
        tiles = []
        for name in self.image_ids:
            row = self.at(cut, blur, name).iloc[0]
            caption = f"{name} · Jaccard {row['jaccard']:.3f}"
            if name not in self._truths:
                caption = f"{name} · area {row['area_share']:.1%}"
            masks = (self._truths.get(name), self.mask(cut, blur, name))
            tiles.append(outlined_tile(self._pictures[name], *masks, caption=caption, size=size))
        title = f"{self.title}: threshold {cut:g}, smoothing {blur:g}"
        return OutlineGallery(title, {"": tiles}, size) if tiles else None

    def view(self) -> anywidget.AnyWidget | None:
        """Build the widget; the chosen values follow its sliders, and its sliders follow them."""
        if not self.image_ids:
            return None
        view = _View(words=self._words, data=self._data)
        for name in _SYNCED:
            traitlets.link((self, name), (view, name))
        return view

    def page_state(self) -> dict[str, Any]:
        """Return what the same module needs in a page without a kernel, as plain JSON values.

        Returns:
            `values` as the widget's, and `data`: packed planes and pictures in base64.
        """
        values = {name: getattr(self, name) for name in _SYNCED} | {"words": self._words}
        return {
            "values": values,
            "data": {name: base64.b64encode(b).decode() for name, b in self._data.items()},
        }

    @traitlets.validate("image")  # type: ignore[untyped-decorator]
    def _check_image(self, proposal: Any) -> int:
        self._name(proposal["value"])
        return int(proposal["value"])

    def _name(self, image: int | str) -> str:
        """Return the id of an image, given it or its place."""
        if isinstance(image, str) and image in self._codes:
            return image
        if isinstance(image, int | np.integer) and 0 <= image < len(self.image_ids):
            return self.image_ids[image]
        last = len(self.image_ids) - 1
        raise ValueError(f"image is {image!r}: use a place from 0 to {last}, or one of the ids")

    @cached_property
    def _words(self) -> dict[str, Any]:
        """What the page shows or needs that is no plane."""
        images = [
            {"id": i, "height": c.shape[0], "width": c.shape[1], "truth": i in self._truths}
            for i, c in self._codes.items()
        ]
        return {
            "title": self.title,
            "images": images,
            "reference": REFERENCE_SIDE,
            "least": LEAST_JACCARD,
            "most": MOST_SMOOTHING,
        }

    @cached_property
    def _data(self) -> dict[str, bytes]:
        """Planes by the image's place, packed, and pictures as JPEGs."""
        data = {}
        for k, name in enumerate(self.image_ids):
            pixels = np.clip(np.rint(self._pictures[name]), 0, 255).astype(np.uint8)
            data[f"picture{k}"] = encode(Image.fromarray(pixels), _SHOWN)
            low_and_high = self._codes[name].reshape(-1, 1).view(np.uint8).T  # bytes alike are near
            data[f"probability{k}"] = zlib.compress(low_and_high.tobytes(), _LEVEL)
            if name in self._truths:
                data[f"truth{k}"] = zlib.compress(self._truths[name].tobytes(), _LEVEL)
        return data


class _View(anywidget.AnyWidget):  # type: ignore[misc]
    _esm = MODULE
    _css = STYLE
    threshold = traitlets.Float().tag(sync=True)
    smoothing = traitlets.Float().tag(sync=True)
    image = traitlets.Int().tag(sync=True)
    words = traitlets.Dict().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)


def _codes(image: str, plane: np.ndarray) -> np.ndarray:
    """Return a plane of probabilities in two bytes each, little end first."""
    values = np.asarray(plane, dtype=float)
    if values.ndim != 2 or not 0 < max(values.shape) <= _LARGEST:
        raise ValueError(
            f"the probabilities of {image} are of shape {values.shape}: pass height x width, at "
            f"most {_LARGEST} pixels on a side"
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"the probabilities of {image} go from {values.min():.3g} to {values.max():.3g}: pass "
            "0 to 1 (of logits, the sigmoid)"
        )
    return np.asarray(np.rint(values * _STEPS), dtype="<u2")


def _truth(image: str, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    plane = lesion_plane(image, mask)
    if plane.shape != shape:
        raise TableError(
            f"truths: the mask of {image} is {plane.shape} and its probabilities {shape}: read it "
            "at the size of the probabilities"
        )
    return plane
