"""Predictions that others wrote: challenge submissions and out-of-fold files of any solution.

Columns are known by what they hold and by their names, never by their positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.columns import (
    Roles,
    find_roles,
    negative_class,
    says_no,
    sums_to_one,
)
from melnb.evaluation.statistics.intervals import midranks
from melnb.tables.checks import TEST, TableError
from melnb.tables.delimited import read_delimited, read_first_row
from melnb.tables.diagnoses import MELANOMA, NAMES, find_diagnosis
from melnb.tables.files import picture_id, safe_id
from melnb.tables.schema import class_names, make_predictions, read_predictions
from melnb.tables.values import NO, UNSAID, YES, read_group_ids

# The truths of anyone's table: words, 0 and 1 or a column a class become names of classes.


def row_truths(
    table: pd.DataFrame,
    ids: pd.Series,
    roles: Roles,
    classes: tuple[str, ...],
    positive: str,
    positive_label: str = "",
) -> pd.Series | None:
    """Return the class of each row, NaN where it is not said; None without such columns.

    Args:
        table: Of the file, texts.
        ids: Of its rows.
        roles: Which column is what.
        classes: That are predicted.
        positive: The class that is looked for.
        positive_label: What the leading column calls it, any other label being of the rest; empty:
            told by its words.
    """
    if roles.one_hot:
        return pd.Series(_one_hot_truths(table, ids, roles.one_hot, classes), dtype=object)
    if not roles.truth:
        return None
    truths: dict[str, np.ndarray] = {}
    for k, column in enumerate(roles.truth):
        try:
            if k == 0 and positive_label:
                truths[column] = _told_truths(table[column], classes, positive, positive_label)
            else:
                truths[column] = _named_truths(table[column], ids, classes, positive)
        except TableError:
            if k == 0:  # the others are looked at only to find them agree
                raise
    return pd.Series(_agreeing(truths, ids), dtype=object)


def _told_truths(
    cells: pd.Series, classes: tuple[str, ...], positive: str, label: str
) -> np.ndarray:
    """Return the truths of a column of which a person has said what is positive."""
    if len(classes) != 2:
        raise TableError(
            f"positive_label {label!r} parts two classes, and {list(classes)} are predicted: write "
            f"names of classes in {cells.name}"
        )
    words = cells.map(_plain_label)
    if not words.eq(_plain_label(label)).any():
        labels = ", ".join(map(repr, sorted({*words} - UNSAID)[:6]))
        raise TableError(
            f"no {cells.name} is {label!r} (labels: {labels}): say which of them means {positive}, "
            "as columns={positive_label: …}"
        )
    named = np.where(words.eq(_plain_label(label)), positive, negative_class(positive))
    return np.where(words.isin(UNSAID), np.nan, named.astype(object))


def _plain_label(text: str) -> str:
    return " ".join(text.lower().split()).removesuffix(".0")


def _named_truths(
    cells: pd.Series, ids: pd.Series, classes: tuple[str, ...], positive: str
) -> np.ndarray:
    words: dict[str, str | float] = dict.fromkeys(UNSAID, np.nan)
    cleaned = cells.str.strip().str.lower()
    if len(classes) == 2:
        no, yes = classes[::-1] if says_no(cells, positive) else classes
        words |= dict.fromkeys(NO, no) | dict.fromkeys(YES, yes)
        words |= dict.fromkeys(("benign", "other", "rest"), classes[0]) | {"malignant": classes[1]}
        if cleaned.isin(("0", "0.0")).any():
            words |= dict.fromkeys(("-1", "-1.0"), np.nan)
    class_of = {text: _class_of(text, classes, positive) for text in cleaned.unique()}
    words |= {text: name for text, name in class_of.items() if name}
    words |= {name.lower(): name for name in classes}
    wrong = ~cleaned.isin(words)
    if wrong.any():
        numbered = cells[wrong].str.strip().str.isdigit().all() and len(classes) > 2
        what = "numbers have no names: write" if numbered else "use"
        raise TableError(
            f"{cells.name} of {ids[wrong].iloc[0]} is {cells[wrong].iloc[0]!r}, not a truth "
            f"({int(wrong.sum())} such rows): {what} one of "
            f"{[*classes, *(NO[:1] + YES[:1] if len(classes) == 2 else ())]}, or leave the cell "
            "empty"
            + (
                f"; columns={{truth: {cells.name}, positive_label: …}} says which label means "
                f"{positive}"
                if len(classes) == 2
                else ""
            )
            + "; a file without truths is read with columns={truth: ''}"
        )
    return np.array([words[word] for word in cleaned], dtype=object)


def _class_of(text: str, classes: tuple[str, ...], positive: str) -> str:
    """Return the class that a diagnosis stands for: itself, or the rest of two."""
    try:
        diagnosis = find_diagnosis(text)
    except ValueError:
        return ""
    if diagnosis in classes:
        return diagnosis
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
    stated = names[np.where(marks.any(axis=1), marks.argmax(axis=1), len(one_hot))]
    strange = ~np.isin(stated.astype(str), (*classes, ""))
    if strange.any():
        raise TableError(
            f"{ids[strange].iloc[0]} is {stated[strange][0]}, of which no prediction is among "
            f"{list(classes)} ({int(strange.sum())} such rows): leave these rows out"
        )
    # Of ISIC 2017's three classes the third is the one of neither column.
    silent = "nevus" if {*one_hot} == {MELANOMA, "benign_keratosis"} else np.nan
    return np.where(stated == "", silent, stated)


def _agreeing(truths: Mapping[str, np.ndarray], ids: pd.Series) -> np.ndarray:
    """Return the truths of the leading column, each unknown one from the next that knows it.

    Args:
        truths: Of each column, n class names or NaN.
        ids: n, for the error.

    Raises:
        TableError: Two columns say different things of an image.
    """
    (leading, agreed), *others = truths.items()
    agreed = agreed.copy()
    for name, other in others:
        both = ~pd.isna(agreed) & ~pd.isna(other)
        wrong = both & (agreed != other)
        if wrong.any():
            row = int(wrong.argmax())
            raise TableError(
                f"{ids.iloc[row]} is {agreed[row]} by {leading!r} and {other[row]} by {name!r} "
                f"({int(wrong.sum())} such rows): say which column is the truth, as "
                f"columns={{truth: {leading}}}"
            )
        agreed = np.where(pd.isna(agreed), other, agreed)
    return agreed


_BARE_ID = re.compile(r"ISIC_\d+(\.jpe?g)?")
_ARCHIVE_ID = re.compile(r"isic_\d", re.IGNORECASE)
_FOLD = re.compile(r"(?:fold[ _-]?)?(-?\d+)(?:\.0*)?", re.IGNORECASE)
LABEL = "positive_label"  # among columns it is no column, but a cell of the truths
_MOST_WORDS = 8  # of labels that are said
_FEWEST_RANKS = 20  # rows in which equal steps are no chance


def read_foreign(
    path: str | Path,
    *,
    positive: str = MELANOMA,
    name: str = "",
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read anyone's predictions as a predictions table.

    Known: our own table; an id with one probability, and truth and fold if they are there
    (`image_name,target,fold,pred`); a submission, whose `target` alone is the prediction; a column
    per diagnosis, by ISIC code or name, and its truths in one column or in one a class; the two
    columns of ISIC 2017; two columns without a header. A column of 0 and 1 beside one of fractions
    is the truth; what is not plain is refused. Folds 1 to k become 0 to k - 1, as in `02_prepare`.
    Without folds, rows are fold 0 if they have truths and test rows if not. Fractions that stand in
    equal steps are ranks: of kind `score`, as are rows of classes that do not sum to one.

    Args:
        path: A CSV file.
        positive: The class that a single probability is of.
        name: The run's name; empty: the file's.
        columns: What is settled beforehand, ours to theirs: `image_id`, `truth`, `prediction` or
            `p_<class>`, `fold`, `patient_id`, `lesion_id`; an empty text: the file has none. A
            column that the file lacks is meant for another file. And `positive_label`: what the
            truths call the positive class.

    Returns:
        A checked predictions table; other columns ending in `_id` (patient, lesion) are kept.
        `attrs["read_as"]` says which column was read as what.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: No column is known as an id or a prediction, it is not plain which is which, or
            a value is refused.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: give the path of a CSV file")
    table = _read_text(path)
    if {"image_id", "truth", "kind"} <= set(table.columns):
        predictions = read_predictions(path)
        classes = ", ".join(f"p_{c}" for c in class_names(predictions))
        roles = Roles("image_id", {"": classes}, ("truth",), fold="fold")
        predictions.attrs["read_as"] = _read_as(path, roles, settled=())
        return predictions
    settled = {k: c for k, c in (columns or {}).items() if not c or c in table.columns}
    label = settled.pop(LABEL, (columns or {}).get(LABEL, ""))
    try:
        return _predictions(table, positive, name or path.stem, settled, path, label)
    except TableError as error:
        raise TableError(f"{path}: {error}") from error


def _read_text(path: Path) -> pd.DataFrame:
    """Read every cell as text, so that numbers are parsed once and ids are never numbers."""
    first = read_first_row(path)
    bare = len(first) == 2 and _BARE_ID.fullmatch(first[0]) is not None
    table = read_delimited(path, names=["image_id", "prediction"] if bare else ())
    return table.fillna("")


def _predictions(
    table: pd.DataFrame,
    positive: str,
    run: str,
    settled: Mapping[str, str],
    path: Path,
    label: str,
) -> pd.DataFrame:
    roles = find_roles(table, positive=positive, columns=settled)
    ids = table[roles.image_id].map(_bare_id)
    classes, values = _values(table, ids, roles.prediction, positive)
    truths = row_truths(table, ids, roles, classes, positive, label)
    folds = _folds(table, ids, roles.fold, truths)
    note = _no_probabilities(values, folds)
    predictions = make_predictions(
        ids,
        pd.Series(folds),
        truths,
        values,
        classes=classes,
        run=run,
        kind="score" if note else "probability",
    )
    people = {ours: read_group_ids(table[theirs], path) for ours, theirs in roles.people.items()}
    predictions = predictions.assign(
        **{c: cells.astype(object).to_numpy() for c, cells in people.items()}
    )
    if not roles.fold and (predictions["fold"] != TEST).any():
        trusted = "no folds: one fold, taken for images that were not learnt from"
        note = "; ".join(filter(None, (note, trusted)))
    note = "; ".join(
        filter(None, (note, _words_read(table, roles, predictions["truth"], positive)))
    )
    predictions.attrs["read_as"] = _read_as(path, roles, settled.values(), note)
    return predictions


def _read_as(path: Path, roles: Roles, settled: Iterable[str], note: str = "") -> dict[str, str]:
    """Return which column was read as what, in words; of them, by line, what was settled."""
    truths = ", ".join(roles.one_hot.values()) or " = ".join(roles.truth)
    return {
        "file": path.name,
        "id_column": roles.image_id,
        "truth_column": truths or "none",
        "prediction_column": ", ".join(roles.prediction.values()),
        "fold_column": roles.fold or "none",
        "note": note,
        "settled": "\n".join(settled),
    }


def _words_read(table: pd.DataFrame, roles: Roles, truths: pd.Series, positive: str) -> str:
    """Return which class each label was read as (`cancer: no is other, yes is melanoma`).

    Names of classes, and 0 and 1 in their usual sense, go without saying.
    """
    if not roles.truth:
        return ""
    words = table[roles.truth[0]].map(_plain_label)
    pairs = pd.DataFrame({"word": words.to_numpy(), "read": truths.to_numpy()}).dropna()
    usual = {"0": negative_class(positive), "1": positive}
    if (pairs["word"].map(usual).fillna(pairs["word"]) == pairs["read"]).all():
        return ""
    named = [f"{word} is {read}" for word, read in sorted({*pairs.itertuples(index=False)})]
    return f"{roles.truth[0]}: {', '.join(named[:_MOST_WORDS])}" if named else ""


def _bare_id(text: str) -> str:
    """Return the name of a picture without its folder and suffix, as the archive spells it."""
    name = safe_id(picture_id(text))
    return name[:4].upper() + name[4:] if _ARCHIVE_ID.match(name) else name


def _values(
    table: pd.DataFrame, ids: pd.Series, prediction: Mapping[str, str], positive: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes, and the values of each, rows x classes."""
    numbers = {name: _numbers(table[column], ids) for name, column in prediction.items()}
    if {*numbers} == {positive}:
        return (negative_class(positive), positive), np.column_stack(
            [1 - numbers[positive], numbers[positive]]
        )
    if len(numbers) < 2:
        raise TableError(
            f"columns names p_{next(iter(numbers))} alone: name p_{positive}, or every class"
        )
    if {*numbers} == {MELANOMA, "benign_keratosis"}:
        # ISIC 2017 asks two questions of three classes; what neither claims is the third's.
        rest = np.clip(1 - sum(numbers.values()), 0, 1)
        numbers = {MELANOMA: numbers[MELANOMA], "nevus": rest} | numbers
    order = [negative_class(positive), *NAMES, *numbers]
    classes = tuple(sorted(numbers, key=order.index))
    return classes, np.column_stack([numbers[name] for name in classes])


def _numbers(cells: pd.Series, ids: pd.Series) -> np.ndarray:
    """Return cells as numbers from 0 to 1, each the float nearest to its text."""
    values = np.empty(len(cells))
    for row, text in enumerate(cells):
        try:
            values[row] = float(text)
        except ValueError:
            values[row] = np.nan
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        first = int(wrong.argmax())
        raise TableError(
            f"{cells.name} of {ids.iloc[first]} is {cells.iloc[first]!r}, not a number from 0 to 1 "
            f"({int(wrong.sum())} such rows): {_remedy(values, cells.iloc[first])}"
        )
    return values


def _remedy(values: np.ndarray, text: str) -> str:
    """Return what numbers beyond 0 to 1, of which one is a text, look like, and what to do."""
    finite = values[np.isfinite(values)]
    if text.strip().endswith("%"):
        return "leave out the percent signs, and divide by 100"
    if re.fullmatch(r"\d*,\d+", text.strip()):
        return "write decimals with a point"
    if len(finite) == 0 or ((finite >= 0) & (finite <= 1)).all():
        return "fill gaps, or leave such rows out"
    if finite.min() < 0:
        return "they look like logits: write 1 / (1 + exp(-x)) in their place"
    if len(finite) > 2 and np.abs(midranks(finite) - finite).max() < 1e-9:
        return "they look like ranks: divide ranks by their number first"
    if finite.max() <= 100:
        return "if they are percent, divide by 100; divide ranks by their number; fill gaps"
    return "divide ranks by their number first, and fill gaps"


def _no_probabilities(values: np.ndarray, folds: np.ndarray) -> str:
    """Return why values are scores, not probabilities, or an empty text."""
    if not sums_to_one(values):
        sums = values.sum(axis=1)
        return f"scores: the classes of a row sum to {sums.min():.3g} to {sums.max():.3g}"
    if values.shape[1] != 2:
        return ""
    if np.isin(values, (0, 1)).all():
        return "scores: calls of 0 and 1"
    parts = [values[:, 1], *(values[folds == k, 1] for k in np.unique(folds))]
    if _are_ranks(parts[0]) or all(map(_are_ranks, parts[1:])):
        return "scores: ranks, in equal steps"
    return ""


def _are_ranks(values: np.ndarray) -> bool:
    """Return whether values are a straight line of their own ranks, ties sharing their mean."""
    if len(values) < _FEWEST_RANKS or len(np.unique(values)) < _FEWEST_RANKS / 2:
        return False
    ranks = midranks(values)
    low, high = int(values.argmin()), int(values.argmax())
    step = (values[high] - values[low]) / (ranks[high] - ranks[low])
    line = values[low] + step * (ranks - ranks[low])
    return bool(np.abs(line - values).max() < step / 100)


def _folds(
    table: pd.DataFrame, ids: pd.Series, column: str, truths: pd.Series | None
) -> np.ndarray:
    if not column:
        unknown = pd.Series(True, index=ids.index) if truths is None else truths.isna()
        return np.where(unknown, TEST, 0)
    cells = table[column].str.strip()
    numbers = pd.to_numeric(cells.str.replace(_FOLD, r"\1", regex=True), errors="coerce")
    numbers = numbers.mask(cells.str.lower() == "test", TEST)
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        raise TableError(
            f"{column} of {ids[wrong].iloc[0]} is {table.loc[wrong, column].iloc[0]!r}: "
            "use 0, 1, 2 … and -1 for test"
        )
    folds = numbers.to_numpy(dtype=int)
    given = np.unique(folds[folds != TEST])
    # Others count folds from 1. One number alone may be a single fold's file, and stays.
    from_one = len(given) > 1 and np.array_equal(given, np.arange(1, len(given) + 1))
    return np.where(folds == TEST, TEST, folds - 1) if from_one else folds
