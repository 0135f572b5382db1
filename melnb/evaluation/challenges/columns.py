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

from melnb.tables.checks import TableError
from melnb.tables.diagnoses import OTHER, find_diagnosis
from melnb.tables.schema import ID_COLUMNS, PATIENT_COLUMNS, THEIR_FOLDS
from melnb.tables.values import NO, UNSAID, YES

# What a column of anyone's table holds, and what its name says of it.

NOTHING, FLAGS, FRACTIONS, NUMBERS, WORDS, MIXED = (
    "nothing", "0 and 1 alone", "fractions", "numbers", "words", "numbers and words",
)  # fmt: skip
PREDICTION, TRUTH, EITHER = "prediction", "truth", "either"

# Words of names. What a person, a picture or a run is like is neither truth nor prediction.
_PREDICTED = {
    "p", "pred", "preds", "predicted", "prediction", "predictions", "prob", "probs", "proba",
    "probability", "probabilities", "score", "scores", "oof", "confidence", "logit", "logits",
    "sigmoid", "softmax", "hat", "yhat", "ypred", "yprob", "yscore", "output", "outputs",
}  # fmt: skip
_TRUE = {
    "truth", "true", "ytrue", "gt", "ground", "label", "labels", "actual", "reference", "dx",
    "diagnosis",
}  # fmt: skip
_OPEN = {"target", "targets", "y", "class", "classes"}
_ELSE = {
    "sex", "gender", "male", "female", "age", "anatom", "site", "location", "localization",
    "width", "height", "pixels", "size", "source", "dataset", "split", "index", "level", "tfrecord",
    "shard", "duplicate", "hair", "hairs", "ruler", "ink", "tta", "views", "run", "kind", "seed",
    "epoch", "weight", "weights", "test", "train", "valid", "val", "external", "year",
    "attribution", "copyright", "type", "tbp", "iddx", "biopsy", "melanocytic", "threshold",
    "thickness", "quality",
}  # fmt: skip
_SPREAD = {
    "std", "sd", "se", "var", "variance", "uncertainty", "entropy", "lower", "upper", "low", "high",
    "ci",
}  # fmt: skip
_POSITIVE, _NEGATIVE = {"1", "malignant", "positive", "pos"}, {
    "0", "benign", "negative", "neg", "other", "rest",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column that may be truth or prediction."""

    name: str
    holds: str
    role: str  # that its name speaks for; empty: none
    of: str = ""  # the class that it is named for


def what_it_holds(cells: pd.Series) -> str:
    """Return what a column of texts holds, in words; what is unsaid does not count."""
    texts = cells.str.strip().str.lower()
    words = pd.Series(texts[~texts.isin(UNSAID)].unique(), dtype=object)
    if words.empty:
        return NOTHING
    numbers = pd.to_numeric(words, errors="coerce")
    if numbers.isna().all() and words.isin((*YES, *NO)).all():
        return FLAGS
    if numbers.isna().all():
        return WORDS
    if numbers.isna().any():
        return MIXED
    values = {*numbers.to_numpy(dtype=float).tolist()}
    if values <= {0.0, 1.0} or values == {-1.0, 0.0, 1.0}:  # -1: unknown, beside a 0
        return FLAGS
    return FRACTIONS if min(values) >= 0 and max(values) <= 1 else NUMBERS


def negative_class(positive: str) -> str:
    """Return what all that is not positive is called, where two classes are told apart."""
    return "benign" if positive == "malignant" else OTHER


def says_no(cells: pd.Series, positive: str) -> bool:
    """Return whether 1 in a column means that it is not positive: `benign` of 0 and 1."""
    column = column_of(str(cells.name), cells, positive)
    return bool(column and column.holds == FLAGS and column.of == negative_class(positive))


def class_name(text: str) -> str:
    """Return the ontology's name of a class, or the name as it stands where it has none."""
    try:
        return find_diagnosis(text)
    except ValueError:
        return text


def _name_words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[a-z]+|\d+", parted)


def column_of(name: str, cells: pd.Series, positive: str) -> Column | None:
    """Return what a column may be; None where it is neither truth nor prediction by its name."""
    words = _name_words(name)
    of, role = _class_of(name, words, positive)
    if of:
        return Column(name, what_it_holds(cells), role or (EITHER if of == positive else ""), of)
    named = {*words}
    if named & _SPREAD:
        return None
    if named & _PREDICTED:
        role = "" if named & _TRUE else PREDICTION
    elif named & _ELSE:
        return None
    elif named & _TRUE or named == {"benign", "malignant"}:
        role = TRUTH
    else:
        role = EITHER if named & _OPEN else ""
    holds = what_it_holds(cells)
    calls = bool(named & _PREDICTED and named & _TRUE) and holds in (FLAGS, WORDS)  # pred_label
    return None if calls else Column(name, holds, role)


def _class_of(name: str, words: list[str], positive: str) -> tuple[str, str]:
    """Return the class that a column is named for, and the role that its name speaks for."""
    marks = {PREDICTION: _PREDICTED, TRUTH: _TRUE | _OPEN | {"is"}}
    roles = {role for role, names in marks.items() if {*words} & names - {"y"}}
    left = [w for w in words if not any(w in names for names in marks.values())]
    role = roles.pop() if len(roles) == 1 else ""
    if roles or not left:
        return "", ""
    text = " ".join(left)
    if text == " ".join(_name_words(positive)):
        return positive, role
    if text in _POSITIVE or text in _NEGATIVE:
        if text.isdigit() and not role:
            return "", ""
        return positive if text in _POSITIVE else negative_class(positive), role
    try:
        return find_diagnosis(text), role
    except ValueError:
        # In our own words, p_<class>, a class may have any name.
        return (name[2:], PREDICTION) if name.startswith("p_") and name[2:] else ("", "")


_IDS = (*ID_COLUMNS[:-1], "image_path", "filepath", "file_path", "path", "id")
_PEOPLE = {
    "patient_id": PATIENT_COLUMNS,
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
    fold = given["fold"] if "fold" in given else _find(table, THEIR_FOLDS)
    people = {
        **{str(c): str(c) for c in table.columns if str(c).endswith("_id")},
        **{ours: _find(table, names) for ours, names in _PEOPLE.items()},
        **{ours: given[ours] for ours in _PEOPLE if ours in given},
    }
    people = {k: c for k, c in people.items() if c and c not in (image_id, fold, "image_id")}
    taken = {image_id, fold, *people.values(), *given.values()}
    rest = [
        column
        for name in map(str, table.columns)
        if name not in taken and not _UNNAMED.fullmatch(name)
        for column in [column_of(name, table[name], positive)]
        if column is not None and column.holds != NOTHING
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
    ids = _find(table, _IDS)
    if ids:
        return ids
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
    single = _single_prediction(table, rest, positive)
    return {positive: single.name}, [c for c in rest if c is not single]


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
    candidates = [c for c in rest if c.of in ("", positive)]
    by_name = [c for c in candidates if c.role == PREDICTION]
    for role in (PREDICTION, EITHER, ""):
        if not role and not any(c.holds == FLAGS for c in candidates):
            break  # of no telling name, and beside no truth: it may be anything
        column = _one_of_equals(table, _fractions(c for c in candidates if c.role == role))
        if len(column) > 1:
            _refuse(table, column, "it is not plain which column is the prediction")
        if column and role != PREDICTION and by_name:
            why = f"{by_name[0].name!r} is named as a prediction and holds {by_name[0].holds}"
            _refuse(table, candidates, f"it is not plain which column is the prediction: {why}")
        numbers = [c for c in by_name if c.holds not in (FLAGS, WORDS)]
        if column or numbers:  # numbers beyond 0 to 1 are refused by their values
            return (column or numbers)[0]
    worded = [c for c in by_name if c.holds == WORDS]
    if worded:  # percent signs, decimal commas: the values say what is wrong
        return worded[0]
    hard = [c for c in candidates if c.holds == FLAGS and c.role != TRUTH]
    if hard:
        why = (
            "no column holds fractions, and 0 and 1 are labels or calls, of which no curve is made"
        )
        _refuse(table, candidates, why, (by_name or hard)[-1].name)
    odd = [c for c in candidates if c.role == EITHER and c.holds in (NUMBERS, MIXED)]
    if odd:
        return odd[0]
    others = [c for c in rest if c.of not in ("", positive) and c.holds in (FRACTIONS, NUMBERS)]
    if others:
        raise TableError(
            f"{others[0].name!r} is of {others[0].of}, and no prediction is of {positive}: add its "
            f"column, of two classes 1 less {others[0].name}, or look for another class (positive)"
        )
    _refuse(table, candidates, f"no prediction among the columns {list(map(str, table.columns))}")


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
    if not one_hot:  # `benign` of 0 and 1 says it, too: see `says_no`
        named += [c for c in flags if c.of in (positive, negative_class(positive))]
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
    if flags and not bare:
        raise TableError(
            f"{flags[0].name!r} says which rows are {flags[0].of}, not which are {positive}: give "
            f"the truth of {positive}; columns={{truth: ''}} reads the file without truths"
        )
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
    first = prediction or next((c.name for c in columns if c.name != truth), "…")
    settled = ", ".join([*([f"truth: {truth}"] if truth else []), f"prediction: {first}"])
    raise TableError(
        f"{why} ({shown}): say which is which, as columns={{{settled}}} of 05_ensemble, 06_report "
        "and 06d_external"
    )
