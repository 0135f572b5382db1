"""The truths of anyone's table: words, 0 and 1 or a column a class become names of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.diagnoses import MELANOMA, NAMES, find_diagnosis
from melnb.evaluation.challenges.columns import Roles
from melnb.evaluation.challenges.contents import NO, UNSAID, YES
from melnb.tables import TableError


def row_truths(
    table: pd.DataFrame, ids: pd.Series, roles: Roles, classes: tuple[str, ...], positive: str
) -> pd.Series | None:
    """Return the class of each row, NaN where it is not said; None without such columns."""
    if roles.one_hot:
        return pd.Series(_one_hot_truths(table, ids, roles.one_hot, classes), dtype=object)
    if not roles.truth:
        return None
    said: dict[str, np.ndarray] = {}
    for k, column in enumerate(roles.truth):
        try:
            said[column] = _named_truths(table[column], ids, classes, positive)
        except TableError:
            if k == 0:  # the others are looked at only to find them agree
                raise
    return pd.Series(_agreeing(said, ids), dtype=object)


def _named_truths(
    cells: pd.Series, ids: pd.Series, classes: tuple[str, ...], positive: str
) -> np.ndarray:
    words: dict[str, str | float] = dict.fromkeys(UNSAID, np.nan)
    cleaned = cells.str.strip().str.lower()
    if len(classes) == 2:
        words |= dict.fromkeys(NO, classes[0]) | dict.fromkeys(YES, classes[1])
        if cleaned.isin(("0", "0.0")).any():
            words |= dict.fromkeys(("-1", "-1.0"), np.nan)
    known = {text: _class_of(text, classes, positive) for text in cleaned.unique()}
    words |= {text: name for text, name in known.items() if name}
    words |= {name.lower(): name for name in classes}
    wrong = ~cleaned.isin(words)
    if wrong.any():
        numbered = cells[wrong].str.strip().str.isdigit().all() and len(classes) > 2
        what = "numbers have no names: write" if numbered else "use"
        raise TableError(
            f"{cells.name} of {ids[wrong].iloc[0]} is {cells[wrong].iloc[0]!r}, not a truth "
            f"({int(wrong.sum())} such rows): {what} one of "
            f"{[*classes, *(NO[:1] + YES[:1] if len(classes) == 2 else ())]}, or leave the cell "
            "empty; a file without truths is read with columns={truth: ''}"
        )
    return np.array([words[word] for word in cleaned], dtype=object)


def _class_of(text: str, classes: tuple[str, ...], positive: str) -> str:
    """Return the class that a diagnosis stands for: itself, or the rest of two."""
    try:
        found = find_diagnosis(text)
    except ValueError:
        return ""
    if found in classes:
        return found
    if text in UNSAID or len(classes) > 2 or positive not in NAMES:
        return ""
    return classes[0]


def _one_hot_truths(
    table: pd.DataFrame, ids: pd.Series, one_hot: Mapping[str, str], classes: tuple[str, ...]
) -> np.ndarray:
    marks = np.column_stack([table[c].str.strip().str.lower().isin(YES) for c in one_hot.values()])
    many = marks.sum(axis=1) > 1
    if many.any():
        raise TableError(
            f"{ids[many].iloc[0]} is of {int(marks[many][0].sum())} classes by "
            f"{list(one_hot.values())} ({int(many.sum())} such rows): mark one truth a row"
        )
    names = np.array([*one_hot, ""], dtype=object)
    found = names[np.where(marks.any(axis=1), marks.argmax(axis=1), len(one_hot))]
    strange = ~np.isin(found.astype(str), (*classes, ""))
    if strange.any():
        raise TableError(
            f"{ids[strange].iloc[0]} is {found[strange][0]}, of which there is no prediction among "
            f"{list(classes)} ({int(strange.sum())} such rows): leave these rows out"
        )
    # Of ISIC 2017's three classes the third is the one of neither column.
    silent = "nevus" if {*one_hot} == {MELANOMA, "benign_keratosis"} else np.nan
    return np.where(found == "", silent, found)


def _agreeing(truths: Mapping[str, np.ndarray], ids: pd.Series) -> np.ndarray:
    """Return the truths of the leading column, each unknown one from the next that knows it.

    Args:
        truths: Of each column, n class names or NaN.
        ids: n, for the error.

    Raises:
        TableError: Two columns say different things of an image.
    """
    (leading, known), *others = truths.items()
    known = known.copy()
    for name, other in others:
        both = ~pd.isna(known) & ~pd.isna(other)
        wrong = both & (known != other)
        if wrong.any():
            row = int(wrong.argmax())
            raise TableError(
                f"{ids.iloc[row]} is {known[row]} by {leading!r} and {other[row]} by {name!r} "
                f"({int(wrong.sum())} such rows): say which column is the truth, as "
                f"columns={{truth: {leading}}}"
            )
        known = np.where(pd.isna(known), other, known)
    return known
