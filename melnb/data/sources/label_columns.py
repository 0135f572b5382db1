"""Labels of any table: in a column, or in one of 0 and 1 for each class."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pandas as pd

from melnb.data.sources.layout import optional_column
from melnb.data.sources.vocabulary import (
    GROUPS,
    UNKNOWN,
    find_classes,
    find_odds,
    read_flags,
    read_hierarchy,
    read_malignancy,
    read_one_hot,
)
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import MELANOMA, NAMES, OTHER, find_diagnosis
from melnb.tables.values import NAMES as UNSAID_NAMES
from melnb.tables.values import blank_missing, whole_ids

_BINARY = dict.fromkeys(("0", "0.0", "false", "no"), OTHER) | dict.fromkeys(
    ("1", "1.0", "true", "yes"), MELANOMA
)
_TELLING = frozenset({"label", "labels", "class", "truth", "ground_truth", "gt", "y", "y_true"})


def read_labels(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Read labels that stand in several columns, or say no more than benign or malignant.

    Args:
        table: `image_id`, and columns of no name of ours; the index holds lines of the file.
        file: For messages.

    Returns:
        The table with `target` and `diagnosis`, where it says them.
    """
    classes = find_classes(table, file)
    told = table[list(classes.values())].notna().any(axis=1)
    if len(classes) > 1 and told.any():
        name = read_one_hot(table[told], file, list(classes))
        named = name.where(name.isin(NAMES), UNKNOWN)
        return table.drop(columns=list(classes.values())).assign(target=name, diagnosis=named)
    alone = next(iter(classes)) if len(classes) == 1 else ""
    if alone in (MELANOMA, "malignant") and told.any():
        flag = read_flags(table.loc[told, classes[alone]], file)
        rest = OTHER if alone == MELANOMA else "benign"
        return table.assign(target=flag.map({True: alone, False: rest}).astype(object))
    diagnosis = read_hierarchy(table)
    widest = optional_column(table, "benign_malignant", "diagnosis_1", "iddx_1")
    if widest is not None:
        target, doubt = read_malignancy(widest, file)
        table = table.assign(target=target)
        table.attrs["indeterminate"] = tuple(table["image_id"][doubt])
    return table if diagnosis is None else table.assign(diagnosis=diagnosis)


def check_labels(table: pd.DataFrame, file: Path) -> None:
    """Refuse a table of which target, diagnosis and marked class contradict each other.

    Raises:
        TableError: They do; the first line is named.
    """
    said = {name: table[name].astype(object) for name in ("target", "diagnosis") if name in table}
    marked = _marked(table.drop(columns=list(said)), file)
    if marked is not None:
        said["class marked"] = marked
    for (one, first), (other, second) in combinations(said.items(), 2):
        odd = find_odds(first, second) | find_odds(second, first)
        if odd.any():
            line = odd.index[odd][0]
            raise TableError(
                f"{file} line {line}: {table['image_id'].loc[line]} is {first[line]} by its {one} "
                f"and {second[line]} by its {other} ({int(odd.sum())} such rows): correct one, or "
                f"say that {one} is not meant (columns={{{one}: ''}})"
            )


def _marked(table: pd.DataFrame, file: Path) -> pd.Series | None:
    """Return the class of each row that has one mark among columns of 0 and 1, if there are any."""
    classes = find_classes(table, file)
    cells = table[list(classes.values())].replace({"0.0": "0", "1.0": "1"})
    if len(classes) < 2 or not (cells.isin(["0", "1"]) | cells.isna()).all(axis=None):
        return None
    marks = (cells == "1").set_axis(list(classes), axis="columns")
    return marks.idxmax(axis="columns").where(marks.sum(axis="columns") == 1).astype(object)


def check_no_labels(table: pd.DataFrame, file: Path) -> None:
    """Refuse a table without labels if a column of no telling name holds what may be some."""
    for name in map(str, table.columns):
        texts = [str(text) for text in table[name].dropna().unique()[:100]]
        ours = "diagnosis" if all(map(_is_diagnosis, texts)) else "target"
        classes = all(_is_diagnosis(text) or text.lower() in GROUPS for text in texts)
        marks = _is_diagnosis(name) or name.lower() in _TELLING
        if texts and (classes or (marks and {t.lower() for t in texts} <= _BINARY.keys())):
            raise TableError(
                f"{file}: no column target or diagnosis, but {name!r} holds "
                f"{', '.join(texts[:3])}: read it as one (columns={{{ours}: {name}}}), or say that "
                f"there is none (columns={{{ours}: ''}})"
            )


def read_targets(values: pd.Series, file: Path, *, own: bool) -> pd.Series:
    """Read classes; a word for missing is none, and one that may name a class is refused."""
    said = whole_ids(blank_missing(values, names=False))
    texts = {str(text) for text in said.dropna().unique()}
    numbers = {text for text in texts if text.lstrip("-").isdigit()}
    if "-1" in texts and texts == numbers:
        if "0" not in texts:
            raise TableError(
                f"{file}: {values.name} says -1 beside {sorted(texts - {'-1'})}: is -1 a class, "
                "or is it unknown? Write 0 and 1, or leave the cells empty"
            )
        said = said.mask(said == "-1")
    unsaid = said[said.astype(str).str.lower().isin(UNSAID_NAMES)]
    if len(unsaid) and not own:
        raise TableError(
            f"{file} line {unsaid.index[0]}: {values.name} is {unsaid.iloc[0]!r} ({len(unsaid)} of "
            f"{len(values)} such): is that a class, or is it not known? Leave the cell empty where "
            f"it is not known; name a class otherwise (no_lesion, say); or map the column as the "
            f"diagnosis (columns: diagnosis={values.name}), which may be unknown"
        )
    texts -= {"-1"}
    if texts and {text.lower() for text in texts} <= _BINARY.keys():
        return said.str.lower().map(_BINARY)
    soft = said[said.astype(str).str.fullmatch(r"\d*[.,]\d+")]
    if len(soft):
        raise TableError(
            f"{file} line {soft.index[0]}: {values.name} is {soft.iloc[0]!r} ({len(soft)} such "
            "rows), a fraction and no class: predictions are no labels; write 0 and 1, or names"
        )
    names = {}
    for text in texts:
        try:
            names[text] = find_diagnosis(text)
        except ValueError:  # a class of the user's own
            names[text] = "_".join(text.lower().split())
    return said.map(names)


def _is_diagnosis(text: str) -> bool:
    try:
        return find_diagnosis(text) != UNKNOWN
    except ValueError:
        return False
