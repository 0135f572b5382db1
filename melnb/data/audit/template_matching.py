"""Aligned pixels: template matching of two thumbnails over turns, mirrors, sizes and places.

Two pictures that are the same, one perhaps turned, cropped or in another light, agree when the
middle of one is laid on the other in the right way; those of two lesions do not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

_COARSE = 16  # pixels on a side at which the eight moves are compared
_MOVES_TRIED = 4  # of the eight: as it is, as crops mostly are, and the best by coarse agreement
_SIZES = (0.8, 0.85, 0.9, 0.95, 1.0, 1.06, 1.12, 1.18, 1.25)  # of one picture against the other
_ROUGH_SIZES, _BETWEEN = (1, 4, 7), 1  # those of the first look; steps about the best of them
_ROUGH = 0.85  # agreement at half size below which nobody looks twice
_STEPS, _RIDGE = 6, 1e-4  # of the adjustment below a pixel; its damping
_BLOCK = 256  # pairs at once


def dihedral(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Yield n x side x side … in the eight turns and mirrors of a square, as it is first."""
    for turned in (pictures, pictures.swapaxes(1, 2)):
        for rows in (turned, turned[:, ::-1]):
            yield from (rows, rows[:, :, ::-1])


def coarse_cells(pictures: np.ndarray) -> np.ndarray:
    """Return colours in 16 x 16 cells, each colour about its mean and of length one.

    Args:
        pictures: n x side x side x 3, side a multiple of 16.

    Returns:
        n x 16 x 16 x 3, float32.
    """
    n, side = pictures.shape[:2]
    step = side // _COARSE
    blocks = pictures.reshape(n, _COARSE, step, _COARSE, step, 3)
    cells = blocks.mean(axis=(2, 4), dtype=np.float32)
    cells -= cells.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((cells**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(cells / np.maximum(length, 1e-6))


def coarse_agreement(own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the correlation of colours in each of the eight moves.

    Args:
        own: n x 16 x 16 x 3, of `coarse_cells`.
        theirs: The same.

    Returns:
        n x 8, -1 to 1: the mean over the three colours, so that a cast does not count.
    """
    moves = [np.einsum("nijc,nijc->n", own, move) for move in dihedral(theirs)]
    return np.stack(moves, axis=1) / 3


def aligned_agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how well the middle of one picture is found in the other (Lewis 1995).

    The highest normalised cross-correlation of grey levels over four of the eight moves, nine sizes
    from .8 to 1.25 and all places: at half size first, then, where that is above .85, at full size
    and a little blurred, as resampling is, from where size and place are adjusted below a pixel.

    Args:
        first: n x side x side x 3, side a multiple of 16.
        second: The same.

    Returns:
        n numbers, -1 to 1; of the second look, or of the first where there is none.
    """
    blocks = range(0, len(first), _BLOCK)
    parts = [_aligned(first[s : s + _BLOCK], second[s : s + _BLOCK]) for s in blocks]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _aligned(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    coarse = coarse_agreement(coarse_cells(first), coarse_cells(second))
    coarse[:, 0] = np.inf  # of a crop aside the cells differ most where nothing was moved
    order = np.argsort(-coarse, axis=1, kind="stable")[:, :_MOVES_TRIED]
    grey, other = (p.mean(axis=3, dtype=np.float32) for p in (first, second))
    moves = np.stack([*dihedral(other)], axis=1)
    best = np.full(len(grey), -1.0, np.float32)
    move, size = np.zeros(len(grey), int), np.zeros(len(grey), int)
    rows, rough = np.arange(len(grey)), _half(grey)
    for rank in range(_MOVES_TRIED):
        template = _template(_half(moves[rows, order[:, rank]]))
        for k in _ROUGH_SIZES:
            agreement, _ = _placed(_resized(rough, _SIZES[k]), template)
            better = agreement > best
            best[better], move[better], size[better] = agreement[better], order[better, rank], k
    again = np.flatnonzero(best > _ROUGH)
    if len(again):
        best[again] = _second_look(grey[again], moves[again, move[again]], size[again])
    return best


def _second_look(pictures: np.ndarray, other: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the agreement at full size, about the best size of the first look and below a pixel.

    Args:
        pictures: n x side x side.
        other: The same, moved.
        size: n places in `_SIZES`.
    """
    pictures, templates = _blurred(pictures), _template(_blurred(other))
    best = np.full(len(pictures), -1.0, np.float32)
    start = np.zeros((len(pictures), 3), np.float32)  # pixels of a step, and the middle's place
    middle = (templates.shape[1] - 1) / 2
    for k, scale in enumerate(_SIZES):
        some = np.flatnonzero(np.abs(size - k) <= _BETWEEN)
        if len(some):
            agreement, place = _placed(_resized(pictures[some], scale), templates[some])
            better = agreement > best[some]
            scale = round(pictures.shape[1] * scale) / pictures.shape[1]
            chosen = some[better]
            best[chosen] = agreement[better]
            start[chosen, 0] = 1 / scale
            start[chosen, 1:] = (place[better] + middle + 0.5) / scale - 0.5
    return np.asarray(np.maximum(best, _adjusted(pictures, templates, start)))


def _adjusted(pictures: np.ndarray, templates: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the highest correlation on the way to the best size and place (Lucas and Kanade 1981).

    Each step solves for light and contrast too, so that it climbs the correlation (as the enhanced
    correlation coefficient: Evangelidis and Psarakis 2008, IEEE PAMI 30:1858).

    Args:
        pictures: n x side x side.
        templates: n x width x width, each about its mean and of length one.
        start: n x 3: pixels of `own` for a pixel of the template, row and column of its middle.
    """
    n, width = templates.shape[:2]
    away = np.arange(width, dtype=np.float32) - (width - 1) / 2
    down, across = (grid.ravel() for grid in np.meshgrid(away, away, indexing="ij"))
    wanted, best = templates.reshape(n, -1), np.full(n, -1.0, np.float32)
    pose, identity = start.copy(), np.eye(5, dtype=np.float32) * _RIDGE
    for _ in range(_STEPS):
        y, x = (pose[:, 1 + k, None] + pose[:, :1] * far for k, far in enumerate((down, across)))
        levels, by_y, by_x = _sampled(pictures, y, x)
        levels = levels - levels.mean(axis=1, keepdims=True)
        length = np.maximum(np.linalg.norm(levels, axis=1, keepdims=True), 1e-3)
        best = np.maximum(best, (wanted * levels / length).sum(axis=1))
        parts = np.stack([by_y * down + by_x * across, by_y, by_x], axis=1) / length[:, None]
        parts = np.concatenate([parts, (levels / length)[:, None]], axis=1)
        parts = np.concatenate([parts, np.full((n, 1, width**2), 1 / width, np.float32)], axis=1)
        scale = np.maximum(np.linalg.norm(parts, axis=2, keepdims=True), 1e-6)
        parts = parts / scale
        normal = parts @ parts.swapaxes(1, 2) + identity
        solved = np.linalg.solve(normal, parts @ wanted[:, :, None]) / scale
        gain = np.maximum(solved[:, 3], 0.1)
        pose += np.clip(solved[:, :3, 0] / gain, [-0.05, -1, -1], [0.05, 1, 1])
    return best


def _sampled(
    pictures: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return levels between pixels, bilinear, and how they change downwards and across; n x m."""
    most = pictures.shape[1] - 2
    y, x = (np.clip(place, 0, most + 0.999) for place in (y, x))
    top, left = y.astype(int), x.astype(int)
    rows, low, near = np.arange(len(pictures))[:, None], y - top, x - left
    a, b = pictures[rows, top, left], pictures[rows, top, left + 1]
    c, d = pictures[rows, top + 1, left], pictures[rows, top + 1, left + 1]
    by_y, by_x = (c - a) * (1 - near) + (d - b) * near, (b - a) * (1 - low) + (d - c) * low
    return a + by_y * low + (b - a) * near, by_y, by_x


def _blurred(grey: np.ndarray) -> np.ndarray:
    """Return pictures weighted 1, 2, 1 over neighbours, down and across."""
    for axis in (1, 2):
        rows = np.pad(np.moveaxis(grey, axis, 1), ((0, 0), (1, 1), (0, 0)), mode="edge")
        grey = np.moveaxis((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4, 1, axis)
    return grey


def _half(grey: np.ndarray) -> np.ndarray:
    n, side = grey.shape[:2]
    return np.asarray(grey.reshape(n, side // 2, 2, side // 2, 2).mean(axis=(2, 4)))


def _template(grey: np.ndarray) -> np.ndarray:
    """Return the middle half of pictures, about its mean and of length one."""
    quarter = grey.shape[1] // 4
    middle = grey[:, quarter : 3 * quarter, quarter : 3 * quarter]
    middle = middle - middle.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((middle**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(middle / np.maximum(length, 1e-3))


def _resized(grey: np.ndarray, scale: float) -> np.ndarray:
    """Return squares of another size, bilinear, as two products of matrices."""
    side = grey.shape[1]
    wanted = round(side * scale)
    place = np.clip((np.arange(wanted) + 0.5) * side / wanted - 0.5, 0, side - 1)
    low = np.minimum(place.astype(int), side - 2)
    weights = np.zeros((wanted, side), np.float32)
    rows = np.arange(wanted)
    weights[rows, low] = 1 - (place - low)
    weights[rows, low + 1] = place - low
    return np.asarray(weights @ grey @ weights.T)


def _placed(pictures: np.ndarray, templates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest normalised cross-correlation of each template over its picture, and where.

    Returns:
        n numbers, and n x 2: row and column of the template's corner.
    """
    side, width = pictures.shape[1], templates.shape[1]
    free = side - width + 1
    length = next_fast_len(side, real=True)  # what wraps round lies beyond the free places
    product = rfft2(pictures, s=(length, length))
    product *= np.conj(rfft2(templates, s=(length, length)))
    sums = irfft2(product, s=(length, length))[:, :free, :free]
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)  # less is lost in the squares
    spread = _boxes(centred**2, width) - _boxes(centred, width) ** 2 / width**2
    correlation = (sums / np.sqrt(np.maximum(spread, 1.0))).reshape(len(sums), -1)
    place = correlation.argmax(axis=1)
    where = np.column_stack(np.divmod(place, free)).astype(np.float32)
    return correlation[np.arange(len(correlation)), place].astype(np.float32), where


def _boxes(values: np.ndarray, width: int) -> np.ndarray:
    """Return the sums over all squares of a width."""
    total = np.zeros((len(values), values.shape[1] + 1, values.shape[2] + 1))
    total[:, 1:, 1:] = values.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    down = total[:, width:] - total[:, :-width]
    return np.asarray(down[:, :, width:] - down[:, :, :-width])
