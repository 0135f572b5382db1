"""Which column of anyone's predictions is what: told by what it holds, and by its name.

A column of 0 and 1 beside one of fractions is the truth, whatever the two are called. What can be
read in two ways is refused: a label that is taken for a prediction makes a perfect model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.contents import (
    EITHER,
    FLAGS,
    FRACTIONS,
    MIXED,
    NOTHING,
    NUMBERS,
    PREDICTION,
    TRUTH,
    WORDS,
    Column,
    class_name,
    column_of,
    what_it_holds,
)
from melnb.tables import ID_COLUMNS, TableError

_IDS = (*ID_COLUMNS[:-1], "image_path", "filepath", "file_path", "path", "id")
_FOLDS = ("fold", "folds", "kfold", "k_fold", "cv_fold", "fold_id")
_PEOPLE = {
    "patient_id": ("patient_id", "patient", "patientid"),
    "lesion_id": ("lesion_id", "lesion", "lesionid"),
}
_UNNAMED = re.compile(r"(Unnamed: \d+.*)?")


@dataclass(frozen=True)
class Roles:
    """Which column of a file is what.

    Attributes:
        image_id: The column of ids.
        prediction: The column of each class; of two classes, that of the positive may stand alone.
        truth: The columns of truths that agree, the first leading; none: truths are not given.
        one_hot: The column of 0 and 1 of each class; empty: truths are in one column, or not given.
        fold: Empty: not given.
        people: `patient_id`, `lesion_id` and other columns ending in `_id`, and theirs.
    """

    image_id: str
    prediction: Mapping[str, str]
    truth: tuple[str, ...] = ()
    one_hot: Mapping[str, str] = field(default_factory=dict)
    fold: str = ""
    people: Mapping[str, str] = field(default_factory=dict)


def find_roles(
    table: pd.DataFrame, *, positive: str, columns: Mapping[str, str] | None = None
) -> Roles:
    """Return which column is what.

    Args:
        table: Of texts.
        positive: The class that a single probability is of.
        columns: What is settled beforehand, ours to theirs: `image_id`, `truth`, `prediction` or
            `p_<class>`, `fold`, `patient_id`, `lesion_id`; an empty text: the file has none.

    Raises:
        TableError: There is no id or prediction, or it is not plain which column is which.
    """
    given = dict(columns or {})
    image_id = given.get("image_id") or _find_id(table)
    fold = given["fold"] if "fold" in given else _find(table, _FOLDS)
    people = {
        **{str(c): str(c) for c in table.columns if str(c).endswith("_id")},
        **{ours: _find(table, names) for ours, names in _PEOPLE.items()},
        **{ours: given[ours] for ours in _PEOPLE if ours in given},
    }
    people = {k: c for k, c in people.items() if c and c not in (image_id, fold, "image_id")}
    taken = {image_id, fold, *people.values(), *given.values()}
    rest = [
        made
        for name in map(str, table.columns)
        if name not in taken and not _UNNAMED.fullmatch(name)
        for made in [column_of(name, table[name], positive)]
        if made is not None and made.holds != NOTHING
    ]
    prediction, rest = _predictions(table, rest, given, positive)
    truth, one_hot = _truths(table, rest, given, prediction, positive)
    return Roles(image_id, prediction, truth, one_hot, fold, people)


def sums_to_one(values: pd.DataFrame | np.ndarray) -> bool:
    """Return whether the classes' values of every row sum to one, but for rounding."""
    return bool((np.abs(np.asarray(values, dtype=float).sum(axis=1) - 1) <= 1e-3).all())


def _find(table: pd.DataFrame, names: Iterable[str]) -> str:
    """Return the table's own spelling of the first name that it has, or an empty text."""
    spelt = {str(c).strip().lower(): str(c) for c in reversed(table.columns)}
    return next((spelt[name] for name in names if name in spelt), "")


def _find_id(table: pd.DataFrame) -> str:
    own = _find(table, _IDS)
    if own:
        return own
    first = str(table.columns[0]) if len(table.columns) else "no column"
    if _UNNAMED.fullmatch(first) and table[first].is_unique and what_it_holds(table[first]) in (
        WORDS, MIXED,
    ):  # fmt: skip
        return first  # the index of a table, written without a name
    raise TableError(
        f"no id among the columns {list(table.columns)}: name it one of {list(ID_COLUMNS)}, or say "
        "which it is: columns={image_id: …}"
    )


def _predictions(
    table: pd.DataFrame, rest: list[Column], given: Mapping[str, str], positive: str
) -> tuple[dict[str, str], list[Column]]:
    """Return the column of each predicted class, and the columns that are left."""
    named = {class_name(k[2:]): c for k, c in given.items() if k.startswith("p_")}
    if "prediction" in given:
        named[positive] = given["prediction"]
    if named:
        return named, rest
    by_class = _class_predictions(table, rest)
    if by_class:
        return by_class, [c for c in rest if c.name not in by_class.values()]
    found = _single_prediction(table, rest, positive)
    return {positive: found.name}, [c for c in rest if c is not found]


def _class_predictions(table: pd.DataFrame, rest: list[Column]) -> dict[str, str]:
    """Return the columns of two or more classes; none if a single column is the prediction."""
    marked = [c for c in rest if c.of and c.role == PREDICTION]
    bare = [c for c in rest if c.of and c.role in (EITHER, "")]
    soft = [c for c in bare if c.holds not in (FLAGS, WORDS)]
    if len({c.of for c in marked}) > 1:
        if len({c.of for c in soft}) > 1:
            _refuse(table, rest, "it is not plain which columns are the predictions")
        group = marked
    elif soft and not marked and len({c.of for c in bare}) > 1:
        # A class that nobody is given is a column of 0; beside fractions it is one of them.
        group = [c for c in bare if c.holds != WORDS]
    elif len({c.of for c in bare}) > 1 and not marked and not _fractions(rest):
        _refuse(
            table, bare, "the columns of classes hold 0 and 1 alone: labels, no predictions", ""
        )
    else:
        return {}
    twice = [c for c in group if sum(c.of == other.of for other in group) > 1]
    if twice:
        _refuse(table, twice, f"more than one column is of {twice[0].of}")
    if all(c.holds == FLAGS for c in group):
        _refuse(table, group, "the predictions are 0 and 1 alone: calls or labels")
    if any(c.name[-1:].isdigit() for c in group) and not (
        len(group) == 2 and sums_to_one(table[[c.name for c in group]].apply(pd.to_numeric))
    ):
        _refuse(table, group, "numbered columns do not say of which class they are")
    return {c.of: c.name for c in group}


def _fractions(columns: Iterable[Column]) -> list[Column]:
    return [c for c in columns if c.holds == FRACTIONS]


def _single_prediction(table: pd.DataFrame, rest: list[Column], positive: str) -> Column:
    """Return the one column that is the prediction of the positive class."""
    own = [c for c in rest if c.of in ("", positive)]
    by_name = [c for c in own if c.role == PREDICTION]
    for role in (PREDICTION, EITHER, ""):
        if not role and not any(c.holds == FLAGS for c in own):
            break  # of no telling name, and beside no truth: it may be anything
        found = _one_of_equals(table, _fractions(c for c in own if c.role == role))
        if len(found) > 1:
            _refuse(table, found, "it is not plain which column is the prediction")
        if found and role != PREDICTION and by_name:
            why = f"{by_name[0].name!r} is named as a prediction and holds {by_name[0].holds}"
            _refuse(table, own, f"it is not plain which column is the prediction: {why}")
        numbers = [c for c in by_name if c.holds not in (FLAGS, WORDS)]
        if found or numbers:  # numbers beyond 0 to 1 are refused by their values
            return (found or numbers)[0]
    worded = [c for c in by_name if c.holds == WORDS]
    if worded:  # percent signs, decimal commas: the values say what is wrong
        return worded[0]
    hard = [c for c in own if c.holds == FLAGS and c.role != TRUTH]
    if hard:
        why = (
            "no column holds fractions, and 0 and 1 are labels or calls, of which no curve is made"
        )
        _refuse(table, own, why, (by_name or hard)[-1].name)
    odd = [c for c in own if c.role == EITHER and c.holds in (NUMBERS, MIXED)]
    if odd:
        return odd[0]
    _refuse(table, own, f"no prediction among the columns {list(map(str, table.columns))}")


def _one_of_equals(table: pd.DataFrame, columns: list[Column]) -> list[Column]:
    """Return the columns less those that say the same as the first."""
    return columns[:1] + [c for c in columns[1:] if (table[c.name] != table[columns[0].name]).any()]


def _truths(
    table: pd.DataFrame,
    rest: list[Column],
    given: Mapping[str, str],
    prediction: Mapping[str, str],
    positive: str,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the columns of truths, the leading one first, and those of one-hot truths."""
    if "truth" in given:
        return ((given["truth"],) if given["truth"] else ()), {}
    flags = [c for c in rest if c.of and c.holds == FLAGS and c.role != PREDICTION]
    one_hot = {c.of: c.name for c in flags} if len({c.of for c in flags}) > 1 else {}
    named = [c for c in rest if not c.of and c.role in (TRUTH, EITHER)]
    if not one_hot:
        named += [c for c in flags if c.of == positive]
    sure = [c for c in named if c.holds == FLAGS] + [c for c in named if c.holds == WORDS]
    odd = [c for c in named if c.holds in (FRACTIONS, MIXED, NUMBERS)]
    if one_hot and len(prediction) > 1:
        return (), one_hot
    if one_hot:
        sure += [c for c in flags if c.of == positive]
    if sure or odd:
        return tuple(c.name for c in sure or odd[:1]), {}
    bare = _one_of_equals(table, [c for c in rest if not c.role and not c.of and c.holds == FLAGS])
    if len(bare) > 1:
        _refuse(table, bare, "it is not plain which column is the truth")
    return tuple(c.name for c in bare), {}


def _refuse(
    table: pd.DataFrame, columns: list[Column], why: str, prediction: str | None = None
) -> NoReturn:
    """Refuse with what the columns hold, and the parameter that settles it.

    Args:
        table: Of the file.
        columns: Those in question.
        why: What is not plain.
        prediction: The column that may be meant; None: any; empty: there is none.
    """
    shown = ", ".join(f"{c.name!r} holds {c.holds}" for c in columns[:12])
    shown = shown or f"the columns are {[str(c) for c in table.columns]}"
    if prediction == "":
        raise TableError(f"{why} ({shown}): give a file with a probability of each class")
    truth = next((c.name for c in columns if c.holds == FLAGS and c.name != prediction), "")
    own = prediction or next((c.name for c in columns if c.name != truth), "…")
    settled = ", ".join([*([f"truth: {truth}"] if truth else []), f"prediction: {own}"])
    raise TableError(
        f"{why} ({shown}): say which is which, as columns={{{settled}}} of 05_ensemble, 06_report "
        "and 06d_external"
    )
