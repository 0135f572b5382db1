"""The measures table: skin tone, colours and sizes of every picture, a row each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Literal

import numpy as np
import pandas as pd

from melnb.data.pictures import read_picture
from melnb.data.skin import Measures, measure_picture
from melnb.tables.processes import count_cores, make_pool

Bands = Literal["chardon", "kinyanjui"]
COLUMNS = ("image_id", "ita", "skin_tone", *Measures._fields[1:])

# Lower edges, degrees, from the lightest; what lies below the last is dark.
_BANDS: dict[str, dict[str, float]] = {
    "chardon": {
        "very light": 55, "light": 41, "intermediate": 28, "tan": 10, "brown": -30,
    },
    "kinyanjui": {
        "very light": 55, "light 2": 48, "light 1": 41, "intermediate 2": 34.5,
        "intermediate 1": 28, "tan 2": 19, "tan 1": 10,
    },
}  # fmt: skip
_DARKEST = "dark"
_FEW = 256  # pictures that one process measures before another has started
_CHUNK = 32  # pictures handed to a worker at once


def measure_images(
    images: pd.DataFrame, *, workers: int = 0, bands: Bands = "chardon", wanted: bool = True
) -> pd.DataFrame:
    """Measure the pictures of an images table, one by one; nothing is kept but the numbers.

    Args:
        images: The images table; `mask_path` where there are masks. Without a mask a picture has
            its mean colour alone.
        workers: Processes; 0: one for each core; 1: this one.
        bands: Of `skin_tone` (see `ita_bands`).
        wanted: Whether they are measured; if not, there are no rows.

    Returns:
        `image_id`, `ita` (degrees), `skin_tone` and the other `skin.Measures`, in the order of the
        images; what is NaN has a `note`.

    Raises:
        RuntimeError: A worker died; a script without `if __name__ == "__main__":`, say.
    """
    images = images if wanted else images.head(0)
    paths = images["path"].fillna("").astype(str).tolist()
    masks = images.get("mask_path", pd.Series("", index=images.index)).fillna("").astype(str)
    table = pd.DataFrame(_measured(paths, masks.tolist(), workers), columns=Measures._fields)
    table.insert(0, "image_id", images["image_id"].to_numpy())
    tones = ita_bands(table["ita"], bands=bands).astype(object)
    table.insert(2, "skin_tone", tones.where(tones.notna(), np.nan))
    return table


def ita_bands(ita: pd.Series, *, bands: Bands = "chardon") -> pd.Series:
    """Return the named band of each typology angle, from the lightest to the darkest.

    `chardon`: six bands; Chardon et al. 1991, International Journal of Cosmetic Science 13:191,
    with edges at 55, 41, 28, 10 and -30 degrees. `kinyanjui`: eight bands that part the lighter
    skins of dermoscopic sets finer; Kinyanjui et al. 2020, MICCAI, LNCS 12266:320.

    Returns:
        An ordered categorical; missing where the angle is, and where it is past 90 degrees: the
        picture then has a blue cast, and its skin might have any tone.

    Raises:
        ValueError: `bands` is unknown.
    """
    if bands not in _BANDS:
        raise ValueError(f"bands is {bands!r}: use one of {list(_BANDS)}")
    edges = _BANDS[bands]
    angles = ita.to_numpy(dtype=float)
    # Edges fall, so both sides are negated; an angle on an edge is of the darker side.
    codes = np.searchsorted(-np.array([*edges.values()]), -angles, side="right")
    codes[~(np.abs(angles) <= 90)] = -1
    names = pd.Index([*edges, _DARKEST])
    cells = pd.Categorical.from_codes(codes.tolist(), names, ordered=True)
    return pd.Series(cells, index=ita.index, name="skin_tone")


def _measured(paths: list[str], masks: list[str], workers: int) -> list[Measures]:
    processes = min(workers or count_cores(), len(paths) if workers else len(paths) // _FEW + 1)
    if processes <= 1:
        return [measure_picture(*pair) for pair in zip(paths, masks, strict=True)]
    return list(_pooled(paths, masks, processes))


def _pooled(paths: list[str], masks: list[str], processes: int) -> Iterator[Measures]:
    with make_pool(processes) as pool:
        try:
            yield from pool.map(measure_picture, paths, masks, chunksize=_CHUNK)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker that measured pictures died: call measure_images below "
                '`if __name__ == "__main__":` in a script, or with workers=1'
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def mean_colours(
    images: pd.DataFrame,
    *,
    n: int = 500,
    size: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the mean colour of pictures drawn at random, for its picture of that name.

    Args:
        images: Images table; rows without a path are left out.
        n: Pictures measured at most.
        size: Pixels on a side at which they are measured.
        seed: Of the draw.

    Returns:
        `image_id`, `target`, `source` and the means `red`, `green`, `blue`, 0-255; NaN for a
        picture that cannot be read.
    """
    pictured = images.dropna(subset=["path"])
    drawn = pictured.sample(min(n, len(pictured)), random_state=seed)
    colours = np.full((len(drawn), 3), np.nan)
    for k, path in enumerate(drawn["path"]):
        with contextlib.suppress(OSError, ValueError):
            colours[k] = np.asarray(read_picture(str(path), size), float).mean(axis=(0, 1))
    table = drawn[["image_id", "target", "source"]].reset_index(drop=True)
    return table.assign(red=colours[:, 0], green=colours[:, 1], blue=colours[:, 2])
