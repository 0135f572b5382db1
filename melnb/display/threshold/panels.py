"""What the explorer's panels are sent, and the chosen point as a file."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from melnb.display.gallery import OpenPicture, open_file, read_tile
from melnb.evaluation.decisions.flagged import limits_by_count
from melnb.evaluation.decisions.locked_threshold import read_threshold, write_threshold
from melnb.evaluation.rows import binary_rows, first_by_score, joined_rows, threshold_counts
from melnb.evaluation.subgroups.subgroup_metrics import Arrays, join_levels, too_few
from melnb.tables import diagnoses
from melnb.tables.checks import TableError

# Groups of images whose sensitivity and specificity move with the threshold.

MOST_LEVELS = 12  # of a column: more rows are a table to scroll, not a picture


@dataclass(frozen=True)
class Grouping:
    """A column of groups: its levels, and the level of each row.

    Attributes:
        column: The column's name.
        levels: In the order to show; `unknown` is last.
        codes: n numbers, each a place in `levels`.
    """

    column: str
    levels: tuple[str, ...]
    codes: np.ndarray


def groupings(rows: pd.DataFrame, groups: pd.DataFrame | None) -> list[Grouping]:
    """Return each column's level for each row, joined by `image_id`.

    Args:
        rows: n rows with `image_id`.
        groups: `image_id` and columns of a few levels each: `subgroup_columns`, say; None: none.

    Raises:
        TableError: `join_levels` refuses the groups, or a column has too many levels to show.
    """
    if groups is None:
        return []
    return [_grouping(name, column) for name, column in join_levels(rows, groups).items()]


def _grouping(name: str, column: pd.Categorical) -> Grouping:
    held = column.remove_unused_categories()
    if len(held.categories) > MOST_LEVELS:
        raise TableError(
            f"groups: {name} has {len(held.categories)} levels, {MOST_LEVELS} at most can be "
            "shown: cut numbers into bands (pandas.cut), or join rare levels"
        )
    codes = np.asarray(held.codes, dtype=np.uint8)
    return Grouping(name, tuple(str(level) for level in held.categories), codes)


# Numbers made small for the page, bit for bit: what `unpacked` in packed.js undoes.
#
# Scores fall and counts rise, so that each differs little from the one before: the differences of
# their bits, sorted into eight planes of bytes, are mostly zeros, which deflate drops. A row of
# 401,059 predictions costs 1 to 6 bytes instead of 16; no score is rounded, because a threshold
# that was typed must flag the same images in the page and in Python.

_LEVEL = 6  # 9 takes four times as long and saves one byte in a hundred


def packed(values: np.ndarray) -> bytes:
    """Pack whole or real numbers, losing nothing: eight bytes each, differences, planes, deflate.

    Args:
        values: n numbers; whole ones not below 0.
    """
    real = np.issubdtype(values.dtype, np.floating)
    # -0.0 + 0.0 is 0.0: both are one score, and one in the page.
    bits = (values + 0.0).astype("<f8").view("<u8") if real else values.astype("<u8")
    steps = np.diff(bits, prepend=np.zeros(1, "<u8"))  # they wrap round below 0, and back
    return deflated(steps.view(np.uint8).reshape(-1, 8).T)


def deflated(codes: np.ndarray) -> bytes:
    """Pack small numbers that follow no order: one byte each, deflate."""
    return zlib.compress(np.ascontiguousarray(codes, dtype=np.uint8).tobytes(), _LEVEL)


# Intervals at every threshold, as Python computes them: the page looks them up, by no formula.
#
# Sensitivity is a matter of how many positives are flagged, and specificity of how many others, so
# that a class of n rows has n + 1 pairs of limits. They are sent as whole numbers of `LIMIT_STEPS`.

LIMIT_STEPS = 10_000_000  # to 1: finer than any number that the page writes


def limit_steps(arrays: Arrays, *, confidence: float) -> np.ndarray:
    """Return the limits of sensitivity, then of the share of others that is flagged, by counts.

    Args:
        arrays: n rows, from the highest score down.
        confidence: Of the intervals.

    Returns:
        Lower limits and upper limits of the one, then of the other, as whole numbers; above
        `LIMIT_STEPS`: there are none.
    """
    entries = []
    for members in (arrays.truth, ~arrays.truth):
        codes = None if arrays.clusters is None else arrays.clusters[members]
        limits = limits_by_count(codes, int(members.sum()), confidence=confidence)
        steps = np.rint(limits * LIMIT_STEPS)
        entries.append(np.where(np.isnan(steps), 2 * LIMIT_STEPS, steps).ravel())
    return np.concatenate(entries).astype(np.int64)


def few_in_levels(
    arrays: Arrays, group: Grouping, *, positive: str, smallest: int, cluster: str
) -> list[list[str]]:
    """Return why the sensitivity and the specificity of each level are not shown; empty: they are.

    Arguments are those of `subgroup_metrics.too_few`, whose rule is that of the report.
    """
    how: dict[str, Any] = {"positive": positive, "smallest": smallest, "cluster": cluster}
    levels = [arrays.take(group.codes == code) for code in range(len(group.levels))]
    return [
        [too_few(level, needs, **how) for needs in ("positive", "negative")] for level in levels
    ]


# A second run beside the first, on the images that both have.

Counts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Distinct scores, falling; the positive and the other images at or above each."""


@dataclass(frozen=True)
class Pair:
    """What a page needs to compare two runs at any threshold of the first.

    Attributes:
        name: Of the second run.
        n: Images that both have.
        own: Counts of the first run on them.
        other: Counts of the second.
        alone: For each distinct score of the first run, the positive and the other images that it
            flags from there up, and that the second, at a specificity no lower, does not.
    """

    name: str
    n: int
    own: Counts
    other: Counts
    alone: tuple[np.ndarray, np.ndarray]


def paired(rows: pd.DataFrame, other: pd.DataFrame, *, positive: str) -> Pair:
    """Join a second run to the rows of the first, by image id.

    Args:
        rows: `rows.binary_rows` of the first run.
        other: Predictions table of the second.
        positive: The class looked for.

    Raises:
        TableError: The two have too few images in common, or disagree about a truth.
    """
    theirs = binary_rows(other, positive=positive)[["image_id", "truth", "score"]]
    both = joined_rows(rows, theirs, suffix="_other")
    truth = both["truth"].to_numpy()
    if not truth.any() or truth.all():
        raise TableError(
            f"other: {len(both)} of its {len(theirs)} images are among the {len(rows)} of the "
            f"first run, {int(truth.sum())} of them {positive!r}: name a run of the same images"
        )
    wrong = truth != both["truth_other"].to_numpy()
    if wrong.any():
        raise TableError(
            f"other: truth of {both.loc[wrong, 'image_id'].iloc[0]} differs between the two "
            f"tables ({int(wrong.sum())} such images): they must be of the same labels"
        )
    second = both.assign(score=both["score_other"])
    ours, counts = threshold_counts(both), threshold_counts(second)
    name = str(other["run"].iloc[0])
    return Pair(name, len(both), ours, counts, _alone(both, second, ours, counts))


def _alone(
    first: pd.DataFrame, second: pd.DataFrame, ours: Counts, other: Counts
) -> tuple[np.ndarray, np.ndarray]:
    """Count images that the first run flags alone, as its threshold falls.

    An image is flagged by the first run from its own rank on; by the second from the rank at which
    the first has let as many others through as the second does at the image's score.
    """
    flagged = np.searchsorted(-ours[0], -first["score"].to_numpy())
    rank = np.searchsorted(-other[0], -second["score"].to_numpy())
    follows = np.searchsorted(ours[2], other[2][rank])
    truth, n = first["truth"].to_numpy(), len(ours[0])
    entries = []
    for part in (truth, ~truth):
        begins = np.bincount(flagged[part], minlength=n + 1)
        ends = np.bincount(np.maximum(flagged, follows)[part], minlength=n + 1)
        entries.append(np.cumsum(begins - ends)[:n])
    return entries[0], entries[1]


# The images that can be among the worst errors at some threshold, with their pictures.
#
# At any threshold the worst missed positives are the lowest-scored ones, as many as lie below it,
# and the worst false alarms the highest-scored others: two lists that a threshold only cuts off.

Picture: TypeAlias = bytes | str | None
Pictures: TypeAlias = Mapping[str, Picture] | Callable[[str], Picture]
"""From an image's id to its picture: a JPEG, a `data:image/…` address, or nothing."""


def pictures_of(
    images: pd.DataFrame | None, *, size: int = 96, open_picture: OpenPicture = open_file
) -> Callable[[str], bytes] | None:
    """Return what reads the small JPEG of an image; empty when there is none.

    Args:
        images: Images table; None: nothing is known of them, and nothing reads.
        size: Pixels on a side.
        open_picture: Opens a path as a square picture.
    """
    if images is None:
        return None
    rows = images.set_index("image_id")[["path"]].to_dict("index")

    def read(image_id: str) -> bytes:
        row = rows.get(image_id)
        return read_tile(pd.Series(row), size, open_picture) if row else b""

    return read


def candidates(
    rows: pd.DataFrame,
    groups: list[Grouping],
    *,
    kept: int,
    pictures: Pictures | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return the lowest-scored positives and the highest-scored others, the worst first.

    Args:
        rows: `rows.binary_rows` and `label`, the class of each row; numbered from 0.
        groups: Of the same rows; their levels are among an image's facts.
        kept: Images of each kind.
        pictures: Asked for these images alone.

    Returns:
        `missed` and `alarms`: each image's `score`, its `facts` as pairs of a name and a value
        (JSON's mappings may lose their order; the id is first), and its `picture` as a data
        address, which may be empty.
    """
    lists = {}
    for name, part, rising in (("missed", rows["truth"], True), ("alarms", ~rows["truth"], False)):
        order = first_by_score(rows[part], kept, rising=rising)
        lists[name] = [_candidate(rows.loc[k], groups, k, pictures) for k in order.index]
    return lists


def data_address(picture: Picture) -> str:
    """Return a picture as an address that holds it.

    Raises:
        ValueError: A text is no address of a picture's data.
    """
    if isinstance(picture, str) and picture and not picture.startswith("data:image/"):
        raise ValueError(
            f"pictures: {picture[:40]!r} is no data:image/… address: give a JPEG's bytes"
        )
    if isinstance(picture, bytes):
        picture = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" if picture else ""
    return picture or ""


def _candidate(
    row: pd.Series, groups: list[Grouping], place: int, pictures: Pictures | None
) -> dict[str, Any]:
    image_id = str(row["image_id"])
    facts: dict[str, Any] = {
        "image_id": image_id,
        "truth": diagnoses.title(str(row["label"])),
        "score": float(row["score"]),
        "fold": int(row["fold"]),
    }
    facts |= {group.column: group.levels[group.codes[place]] for group in groups}
    read = pictures if callable(pictures) or pictures is None else pictures.get
    return {
        "score": facts["score"],
        "facts": [list(pair) for pair in facts.items()],
        "picture": data_address(read(image_id)) if read else "",
    }


CHOICE_FILE = "operating_point.json"


def write_choice(choice: Mapping[str, Any], path: str | Path) -> Path:
    """Write what was chosen, whole or not at all; a folder gets a file of the usual name.

    Args:
        choice: `ThresholdExplorer.choice`.
        path: A file or a folder.
    """
    path = Path(path)
    return write_threshold(choice, path / CHOICE_FILE if path.is_dir() else path)


def choice_before(folder: str | Path, *, run: str, positive: str) -> dict[str, Any]:
    """Return what somebody chose for a run before; empty when nobody did.

    Args:
        folder: Of the run of 06c_choose, where `write_choice` wrote it.
        run: Of the predictions; a choice for another run does not count.
        positive: The class looked for, likewise.
    """
    file = Path(folder) / CHOICE_FILE
    if not file.is_file():
        return {}
    choice = read_threshold(file)
    same = (choice.get("run"), choice.get("positive")) == (run, positive)
    return choice if same else {}


class Replacement:
    """Writes a chosen point, and asks before it replaces what another wrote."""

    def __init__(self) -> None:
        self._own = self._asked = b""  # what we wrote last, and what we asked about

    def write(self, choice: Mapping[str, Any], path: Path, *, replace: bool) -> str:
        """Write, unless something else lies there; return the question, empty if it is written.

        Args:
            choice: `ThresholdExplorer.choice`.
            path: A file.
            replace: The answer was yes. It holds for what was asked about, and for no later file.
        """
        before = path.read_bytes() if path.exists() else b""
        free = before in (b"", self._own) or (replace and before == self._asked)
        held = {} if free else _read(path)
        if not free and held != choice:
            self._asked = before
            return f"{path.name} holds {_words(held)}. Replace it by {_words(choice)}?"
        self._own = write_choice(choice, path).read_bytes()
        return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_threshold(path)
    except TableError:
        return {}


def _words(choice: Mapping[str, Any]) -> str:
    if not choice:
        return "something else"
    threshold, run = choice["threshold"], choice.get("run", "?")
    return f"the threshold {threshold:.4g} of {run}"
