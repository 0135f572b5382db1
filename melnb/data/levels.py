"""Levels: which pixels of a mask are lesion, whatever its author wrote for it.

Two levels are background and lesion, whichever they are; levels between them are the edge of one
that was resized or compressed. A third level, or two that do not say which is which, is refused:
a mask read as empty or inverted would be learnt from in silence.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Where = NDArray[np.bool_]
Plane = NDArray[Any]

_PALE = 16 / 255  # so near the lowest or the highest, a level is a filter's or a JPEG's ripple
_FLAT = 0.001  # share of the picture from which a level that is no edge counts
_FEW = 8  # levels of a label map; of edges there are more
_APART = 48  # of 255: colours nearer than this are one, compressed
_BLACK = 32  # of 255: no channel of black is above it
_NEAR = 0.12  # of the whole range: grey levels nearer than this are one, filtered or compressed
_NOISE = 6  # of 255: how far a JPEG moves the levels of an even area
_SOFT = 0.5  # share of the picture that may be grey
_HELD = 0.5  # share of the frame that a palette's first colour must hold to be background


class Levels(NamedTuple):
    """What a mask says.

    Attributes:
        lesion: height x width.
        between: height x width; where a level is neither the one nor the other.
    """

    lesion: Where
    between: Where


class LevelError(ValueError):
    """The levels of a mask do not tell what is lesion; the message names them."""


class InvertedError(LevelError):
    """A mask whose lesion would be all but a hole in it."""


def find_lesion(image: Image.Image, *, lossy: bool = False) -> Levels:
    """Find what is lesion in a mask.

    The rules, in order:

    1. Of what is transparent and opaque of one colour, the opaque is lesion; otherwise transparent
       is black.
    2. Of two colours, one of which is black, the other is lesion. Of two others, a palette's first
       is background if it holds at least half of the frame; else they are refused.
    3. Of two grey levels the higher is lesion: 0 and 1, 0 and 128, 0 and 65,535, false and true.
       Levels between them are cut at the half.
    4. One level is no lesion if it is 0, and lesion everywhere if it is the highest there is.
    5. Refused are a third level or colour that fills 0.1 % of the picture away from edges, and a
       background that the lesion encloses without its touching the frame anywhere: a lesion has no
       hole, so that this is an inverted mask.

    An inverted mask whose lesion touches the frame cannot be told from a large lesion.

    Args:
        image: As `decoding.decode_levels` gives it.
        lossy: Whether its format changes levels (JPEG), so that near ones may be the same.

    Raises:
        LevelError: They do not tell.
    """
    colours = _without_alpha(image)
    plane = _grey(colours, image, lossy)
    if not np.isfinite(plane).all():
        raise LevelError("the mask holds levels that are no numbers: save it as 0 and 255")
    found = _cut(plane, _top(plane), lossy)
    frame = np.concatenate([f.ravel() for f in (found.lesion[[0, -1]], found.lesion[:, [0, -1]])])
    hole = 1 - found.lesion.mean()
    if frame.all() and hole > _FLAT:
        raise InvertedError(
            f"the mask is inverted: its whole frame is lesion (level {_word(plane.max())}) around "
            f"a background (level {_word(plane.min())}, {hole:.1%}): invert it"
        )
    return found


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return an image without transparency: of an opaque mark on nothing, its opacity."""
    if not image.has_transparency_data:
        return image
    whole = image.convert("RGBA")
    alpha = whole.getchannel("A")
    low, high = alpha.getextrema()
    if low == high == 0:
        return Image.new("L", image.size)
    if low == high:
        return whole.convert("RGB")
    marks = np.asarray(whole)[np.asarray(alpha) > 127][:, :3].astype(int)
    if not len(marks) or np.ptp(marks, axis=0).max() <= _APART:
        return alpha
    black = Image.new("RGB", image.size)
    black.paste(whole.convert("RGB"), mask=alpha.point([0] * 128 + [255] * 128))
    return black


def _grey(colours: Image.Image, image: Image.Image, lossy: bool) -> Plane:
    """Return the levels of a mask; of a coloured one, 0 where it is background and 255 if not."""
    if colours.mode in ("1", "L", "F") or colours.mode.startswith("I"):
        return np.asarray(colours)
    pixels = np.asarray(colours.convert("RGB"))
    if np.ptp(pixels, axis=2).max() <= _BLACK:
        plane: Plane = pixels.max(axis=2)
        if colours.mode != "P" or len(np.unique(plane)) == len(colours.getcolors() or ()):
            return plane
        return np.asarray(colours)  # a palette that shows several labels as one grey
    first = None
    if image.mode == "P":
        first = np.array(image.getpalette("RGB")[:3])  # type: ignore[index]
    return _one_colour(pixels, first, lossy)


def _one_colour(pixels: NDArray[np.uint8], first: NDArray[np.int_] | None, lossy: bool) -> Plane:
    """Return 0 where a picture has the colour of the background, 255 where it has the other."""
    exact = not lossy and len(np.unique(_codes(pixels))) <= _FEW
    kinds = [(c.astype(int), n) for c, n in _common(pixels, 0 if exact else _APART, lossy)]
    names = ", ".join(f"#{bytes(c.astype(np.uint8)).hex()} ({share:.1%})" for c, share in kinds)
    black = [c.max() <= _BLACK for c, _ in kinds]
    if len(kinds) == 1:
        raise LevelError(f"the mask is of one colour, {names}: save it as 0 and 255")
    if len(kinds) > 2:
        raise LevelError(
            f"the mask is of {len(kinds)} colours, {names}: which are lesion is not told: save it "
            "as 0 and 255"
        )
    if sum(black) != 1:
        black = [first is not None and bool((c == first).all()) for c, _ in kinds]
        back = kinds[black.index(True)][0] if any(black) else None
        edge = np.concatenate([pixels[[0, -1]].reshape(-1, 3), pixels[:, [0, -1]].reshape(-1, 3)])
        if back is None or (edge == back).all(axis=1).mean() < _HELD:
            raise LevelError(
                f"the mask is of the colours {names}, neither of them black: which is lesion is "
                "not told: save it as 0 and 255"
            )
    back, mark = kinds[black.index(True)][0], kinds[black.index(False)][0]
    along = (pixels.astype(float) - back) @ (mark - back) / ((mark - back) ** 2).sum()
    return np.asarray(np.rint(np.clip(along, 0, 1) * 255), dtype=np.uint8)


def _top(plane: Plane) -> float:
    """Return the highest level that there could be."""
    most = plane.max()
    if plane.dtype.kind == "b" or (plane.dtype.kind == "f" and most <= 1):
        return 1.0
    return 255.0 if most <= 255 else 65535.0


def _cut(plane: Plane, top: float, lossy: bool) -> Levels:
    """Tell lesion from background by grey levels alone."""
    values, counts = np.unique(plane, return_counts=True)
    low, high = float(values[0]), float(values[-1])
    nothing: Where = np.zeros(plane.shape, bool)
    if low == high:
        if low not in (0, top):
            raise LevelError(
                f"the mask is of one level, {_word(low)}, neither 0 nor {_word(top)}: whether that "
                "is lesion is not told: save it as 0 and 255"
            )
        return Levels(nothing if low == 0 else ~nothing, nothing)
    if low > (1 - _PALE) * top:
        return Levels(~nothing, nothing)  # white all over, rippled
    if len(values) == 2 and not (lossy and high - low <= _PALE * top):
        return Levels(plane == values[1], nothing)
    few = len(values) <= _FEW and not lossy  # labels, each to the letter
    kinds = _common(plane[..., None], 0 if few else _NEAR * (high - low), lossy)
    full = sorted(float(level[0]) for level, share in kinds if share > _FLAT)
    if high - low <= _PALE * top or len(full) > 2:
        raise LevelError(_name_levels(values, counts, plane.size))
    if len(full) == 2:  # beyond them a filter overshot
        low, high = full
    scaled = (plane.astype(np.float32) - low) / (high - low)
    between = (scaled > _PALE) & (scaled < 1 - _PALE)
    if between.mean() > _SOFT:
        raise LevelError(
            f"the mask is grey in {between.mean():.0%} of its pixels: it may be a photograph, or "
            "probabilities: save it as 0 and 255"
        )
    return Levels(scaled > 0.5, between)


def _name_levels(values: NDArray[Any], counts: NDArray[Any], pixels: int) -> str:
    most = sorted(zip(counts, values, strict=True), reverse=True)[:5]
    names = ", ".join(f"{_word(v)} ({n / pixels:.1%})" for n, v in most)
    return (
        f"the mask is of {len(values)} levels, {names}{' …' * (len(values) > 5)}: which are "
        "lesion is not told: save it as 0 and 255"
    )


def _codes(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)


def _common(pixels: Plane, apart: float, lossy: bool) -> list[tuple[NDArray[Any], float]]:
    """Return the levels or colours (height x width x channels) that fill areas, and their shares.

    The most common comes first; what is no further `apart` from one is counted with it.
    """
    flat = pixels[_flat(pixels, _NOISE if lossy else 0)]
    if not len(flat) and pixels.shape[2] == 3:
        flat = pixels.reshape(-1, 3)  # all edge: too small to be told by areas
    codes, counts = np.unique(_codes(flat) if flat.shape[1] == 3 else flat, return_counts=True)
    split = [codes >> 16, codes >> 8 & 255, codes & 255] if flat.shape[1] == 3 else [codes]
    colours = np.stack(split, axis=1).astype(float)
    kinds: list[tuple[NDArray[Any], float]] = []
    while len(counts):
        colour = colours[counts.argmax()]
        same = np.abs(colours - colour).max(axis=1) <= apart
        share = float(counts[same].sum() / (pixels.shape[0] * pixels.shape[1]))
        if share > _FLAT or len(kinds) < 2:
            kinds.append((colour, share))
        counts, colours = counts[~same], colours[~same]
    return kinds


def _flat(pixels: Plane, within: float) -> Where:
    """Return where a pixel is as its eight neighbours are, so that it is no edge."""
    height, width = pixels.shape[:2]
    same = np.ones((height, width), bool)
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    padded = padded.astype(np.int32) if within else padded
    for row in range(3):
        for column in range(3):
            beside = padded[row : row + height, column : column + width]
            near = np.abs(beside - pixels) <= within if within else beside == pixels
            same &= near.all(axis=2)
    return same


def _word(level: float | np.generic) -> str:
    return f"{float(level):g}"
