"""Mask levels: which pixels are lesion, whatever the author of a mask wrote for it.

Two levels are background and lesion, whichever they are; levels between them are the edge of one
that was resized or compressed. A third level, or two that do not say which is which, is refused:
a mask read as empty or inverted would be learnt from in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Where = NDArray[np.bool_]
Plane = NDArray[Any]
Rows = Callable[[int, int], Plane]
"""Gives the rows of a picture from one to before another; all at once may not fit into memory."""

_PALE = 16 / 255  # so near the lowest or the highest, a level is a filter's or a JPEG's ripple
_FLAT = 0.001  # share of the picture from which a level that is no edge counts
_FEW = 8  # levels of a label map; of edges there are more
_APART = 48  # of 255: colours nearer than this are one, compressed
_BLACK = 32  # of 255: no channel of black is above it
_NEAR = 0.12  # of the whole range: grey levels nearer than this are one, filtered or compressed
_NOISE = 6  # of 255: how far a JPEG moves the levels of an even area
_SOFT = 0.5  # share of the picture that may be grey
_PART = 1 << 20  # pixels that are worked on at a time
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
    plane = _grey(image, lossy)
    if not np.isfinite(plane).all():
        raise LevelError("the mask holds levels that are no numbers: save it as 0 and 255")
    levels = _cut(plane, _top(plane), lossy)
    frame = np.concatenate([f.ravel() for f in (levels.lesion[[0, -1]], levels.lesion[:, [0, -1]])])
    hole = 1 - levels.lesion.mean()
    if frame.all() and hole > _FLAT:
        raise InvertedError(
            f"the mask is inverted: its whole frame is lesion (level {_word(plane.max())}) around "
            f"a background (level {_word(plane.min())}, {hole:.1%}): invert it"
        )
    return levels


def _grey(image: Image.Image, lossy: bool) -> Plane:
    """Return the levels of a mask; of a coloured one, 0 where it is background and 255 if not."""
    size, rows = (image.height, image.width), _rows_of(image, "RGB")
    if image.has_transparency_data:
        alpha = _whole(lambda top, bottom: _rows_of(image, "RGBA")(top, bottom)[..., 3], size)
        low, high = alpha.min(), alpha.max()
        if high == 0 or (low < high and _is_mark(image)):
            return alpha
        rows = rows if low == high else _on_black(image)
    elif image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return _whole(_rows_of(image), size)
    plane = np.zeros(size, np.uint8)
    for top, bottom in _spans(size):
        part = rows(top, bottom)
        if np.ptp(part, axis=2).max() > _BLACK:
            return _one_colour(rows, size, _first(image), lossy)
        plane[top:bottom] = part.max(axis=2)
    labels = image.mode == "P" and not image.has_transparency_data
    if labels and len(_count([plane])[0]) != len(image.getcolors() or ()):
        return _whole(_rows_of(image), size)  # a palette that shows several labels as one grey
    return plane


def _is_mark(image: Image.Image) -> bool:
    """Tell whether what is opaque is of one colour, or nothing is."""
    lows, highs = [], []
    for span in _spans((image.height, image.width)):
        part = _rows_of(image, "RGBA")(*span)
        marks = part[part[..., 3] > 127][:, :3]
        if len(marks):
            lows.append(marks.min(axis=0).astype(int))
            highs.append(marks.max(axis=0).astype(int))
    return not lows or bool((np.max(highs, axis=0) - np.min(lows, axis=0)).max() <= _APART)


def _on_black(image: Image.Image) -> Rows:
    """Return the colours of what is opaque, black where it is not."""

    def rows(top: int, bottom: int) -> Plane:
        part = _rows_of(image, "RGBA")(top, bottom)
        return np.where(part[..., 3:] > 127, part[..., :3], np.uint8(0))

    return rows


def _first(image: Image.Image) -> NDArray[np.int_] | None:
    """Return a palette's first colour."""
    palette = image.getpalette("RGB") if image.mode == "P" else None
    return np.array(palette[:3]) if palette else None


def _one_colour(
    rows: Rows, size: tuple[int, int], first: NDArray[np.int_] | None, lossy: bool
) -> Plane:
    """Return 0 where a picture has the colour of the background, 255 where it has the other."""
    exact = not lossy and _has_few(rows, size)
    kinds = [(c.astype(int), n) for c, n in _common(rows, size, 0 if exact else _APART, lossy)]
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
        if back is None or (_frame(rows, size) == back).all(axis=1).mean() < _HELD:
            raise LevelError(
                f"the mask is of the colours {names}, neither of them black: which is lesion is "
                "not told: save it as 0 and 255"
            )
    back, mark = kinds[black.index(True)][0], kinds[black.index(False)][0]

    def along(top: int, bottom: int) -> Plane:
        part = (rows(top, bottom).astype(float) - back) @ (mark - back) / ((mark - back) ** 2).sum()
        return np.asarray(np.rint(np.clip(part, 0, 1) * 255), dtype=np.uint8)

    return _whole(along, size)


def _top(plane: Plane) -> float:
    """Return the highest level that there could be."""
    most = plane.max()
    if plane.dtype.kind == "b" or (plane.dtype.kind == "f" and most <= 1):
        return 1.0
    return 255.0 if most <= 255 else 65535.0


def _cut(plane: Plane, top: float, lossy: bool) -> Levels:
    """Tell lesion from background by grey levels alone."""
    values, counts = _count(plane[slice(*span)] for span in _spans(plane.shape))
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
    apart = 0 if few else _NEAR * (high - low)
    kinds = _common(lambda a, b: plane[a:b, :, None], plane.shape, apart, lossy)
    full = sorted(float(level[0]) for level, share in kinds if share > _FLAT)
    if high - low <= _PALE * top or len(full) > 2:
        raise LevelError(_name_levels(values, counts, plane.size))
    if len(full) == 2:  # beyond them a filter overshot
        low, high = full
    return _halved(plane, low, high)


def _halved(plane: Plane, low: float, high: float) -> Levels:
    """Cut grey levels at the half.

    Raises:
        LevelError: Too many are neither low nor high.
    """
    lesion, between = np.zeros(plane.shape, bool), np.zeros(plane.shape, bool)
    for top, bottom in _spans(plane.shape):
        scaled = (plane[top:bottom].astype(np.float32) - low) / (high - low)
        lesion[top:bottom] = scaled > 0.5
        between[top:bottom] = (scaled > _PALE) & (scaled < 1 - _PALE)
    if between.mean() > _SOFT:
        raise LevelError(
            f"the mask is grey in {between.mean():.0%} of its pixels: it may be a photograph, or "
            "probabilities: save it as 0 and 255"
        )
    return Levels(lesion, between)


def _name_levels(values: NDArray[Any], counts: NDArray[Any], pixels: int) -> str:
    most = sorted(zip(counts, values, strict=True), reverse=True)[:5]
    names = ", ".join(f"{_word(v)} ({n / pixels:.1%})" for n, v in most)
    return (
        f"the mask is of {len(values)} levels, {names}{' …' * (len(values) > 5)}: which are "
        "lesion is not told: save it as 0 and 255"
    )


def _has_few(rows: Rows, size: tuple[int, ...]) -> bool:
    """Tell whether there are `_FEW` colours at most."""
    codes = np.array([], np.uint32)
    for span in _spans(size):
        codes = np.union1d(codes, _codes(rows(*span)))
        if len(codes) > _FEW:
            return False
    return True


def _frame(rows: Rows, size: tuple[int, int]) -> Plane:
    """Return the pixels of a picture's edge; those of its corners twice."""
    sides = [rows(*span)[:, [0, -1]].reshape(-1, 3) for span in _spans(size)]
    return np.concatenate([rows(0, 1)[0], rows(size[0] - 1, size[0])[0], *sides])


def _codes(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)


def _common(
    rows: Rows, size: tuple[int, ...], apart: float, lossy: bool
) -> list[tuple[NDArray[Any], float]]:
    """Return the levels or colours (rows x width x channels) that fill areas, and their shares.

    The most common comes first; what is no further `apart` from one is counted with it.
    """
    coloured = rows(0, 1).shape[2] == 3
    read: Callable[[Plane], Plane] = _codes if coloured else np.asarray
    codes, counts = _count(read(part) for part in _flat(rows, size, _NOISE if lossy else 0))
    if not len(codes) and coloured:  # all edge: too small to be told by areas
        codes, counts = _count(_codes(rows(*span)) for span in _spans(size))
    split = [codes >> 16, codes >> 8 & 255, codes & 255] if coloured else [codes]
    colours = np.stack(split, axis=1).astype(float)
    kinds: list[tuple[NDArray[Any], float]] = []
    while len(counts):
        colour = colours[counts.argmax()]
        same = np.abs(colours - colour).max(axis=1) <= apart
        share = float(counts[same].sum() / (size[0] * size[1]))
        if share > _FLAT or len(kinds) < 2:
            kinds.append((colour, share))
        counts, colours = counts[~same], colours[~same]
    return kinds


def _flat(rows: Rows, size: tuple[int, ...], within: float) -> Iterator[Plane]:
    """Yield the pixels (n x channels) that are as their eight neighbours are: none is an edge."""
    for top, bottom in _spans(size):
        above, below = top > 0, bottom < size[0]
        part = rows(top - above, bottom + below)
        padded = np.pad(part, ((not above, not below), (1, 1), (0, 0)), mode="edge")
        padded = padded.astype(np.int32) if within else padded
        pixels = part[int(above) : int(above) + bottom - top]
        same = np.ones(pixels.shape[:2], bool)
        for row in range(3):
            for column in range(3):
                neighbour = padded[row : row + bottom - top, column : column + size[1]]
                near = np.abs(neighbour - pixels) <= within if within else neighbour == pixels
                same &= near.all(axis=2)
        yield pixels[same]


def _count(parts: Iterable[Plane]) -> tuple[Plane, NDArray[np.int_]]:
    """Return the values of all parts together, in order, and how many there are of each."""
    values, counts = np.array([]), np.array([], int)
    for part in parts:
        new, added = np.unique(part, return_counts=True)
        if not len(values):
            values, counts = new, added
        elif np.array_equal(new, values):
            counts = counts + added
        else:
            values, places = np.unique(np.concatenate([values, new]), return_inverse=True)
            sums = np.zeros(len(values), int)
            np.add.at(sums, places, np.concatenate([counts, added]))
            counts = sums
    return values, counts


def _spans(size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield first and last row of parts of so many pixels that memory is that of the mask alone."""
    height, width = size[:2]
    step = max(1, _PART // width)
    return ((top, min(top + step, height)) for top in range(0, height, step))


def _whole(rows: Rows, size: tuple[int, int]) -> Plane:
    """Return all rows together."""
    plane = np.zeros(size, rows(0, 1).dtype)
    for top, bottom in _spans(size):
        plane[top:bottom] = rows(top, bottom)
    return plane


def _rows_of(image: Image.Image, mode: str = "") -> Rows:
    """Return what gives the rows of an image, in another mode perhaps."""

    def rows(top: int, bottom: int) -> Plane:
        part = image.crop((0, top, image.width, bottom))
        return np.asarray(part.convert(mode) if mode else part)

    return rows


def _word(level: float | np.generic) -> str:
    return f"{float(level):g}"
