"""Aligned pixels: template matching of two thumbnails over turns, mirrors, sizes and places.

Two pictures that are the same, one perhaps turned, cropped or in another light, agree when the
middle of one is laid on the other in the right way; those of two lesions do not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

_COARSE = 16  # pixels on a side at which the eight moves are compared
_MOVES_TRIED = 2  # of the eight, by their coarse agreement
_SIZES = (0.8, 0.85, 0.9, 0.95, 1.0, 1.06, 1.12, 1.18, 1.25)  # of one picture against the other
_ROUGH_SIZES, _BETWEEN = (1, 4, 7), 1  # those of the first look; steps about the best of them
_ROUGH = 0.85  # agreement at half size below which nobody looks twice
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

    The highest normalised cross-correlation of grey levels over two of the eight moves, nine sizes
    from .8 to 1.25 and all places: at half size first, then, where that is above .85, at full size.

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
    order = np.argsort(-coarse, axis=1, kind="stable")[:, :_MOVES_TRIED]
    own, other = (p.mean(axis=3, dtype=np.float32) for p in (first, second))
    moves = np.stack([*dihedral(other)], axis=1)
    best = np.full(len(own), -1.0, np.float32)
    move, size = np.zeros(len(own), int), np.zeros(len(own), int)
    rows, rough = np.arange(len(own)), _half(own)
    for rank in range(_MOVES_TRIED):
        template = _template(_half(moves[rows, order[:, rank]]))
        for k in _ROUGH_SIZES:
            found = _matched(_resized(rough, _SIZES[k]), template)
            better = found > best
            best[better], move[better], size[better] = found[better], order[better, rank], k
    again = np.flatnonzero(best > _ROUGH)
    best[again] = -1.0
    for k, scale in enumerate(_SIZES):
        some = again[np.abs(size[again] - k) <= _BETWEEN]
        if len(some):
            template = _template(moves[some, move[some]])
            best[some] = np.maximum(best[some], _matched(_resized(own[some], scale), template))
    return best


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


def _matched(pictures: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """Return the highest normalised cross-correlation of each template over its picture."""
    side, width = pictures.shape[1], templates.shape[1]
    free = side - width + 1
    length = next_fast_len(side, real=True)  # what wraps round lies beyond the free places
    product = rfft2(pictures, s=(length, length))
    product *= np.conj(rfft2(templates, s=(length, length)))
    sums = irfft2(product, s=(length, length))[:, :free, :free]
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)  # less is lost in the squares
    spread = _boxes(centred**2, width) - _boxes(centred, width) ** 2 / width**2
    return np.asarray((sums / np.sqrt(np.maximum(spread, 1.0))).max(axis=(1, 2)), np.float32)


def _boxes(values: np.ndarray, width: int) -> np.ndarray:
    """Return the sums over all squares of a width."""
    total = np.zeros((len(values), values.shape[1] + 1, values.shape[2] + 1))
    total[:, 1:, 1:] = values.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    down = total[:, width:] - total[:, :-width]
    return np.asarray(down[:, :, width:] - down[:, :, :-width])
