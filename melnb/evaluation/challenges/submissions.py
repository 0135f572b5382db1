"""Submission files, exactly as each challenge asks for them.

https://challenge.isic-archive.com/data/ and
https://www.kaggle.com/c/siim-isic-melanoma-classification
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.class_decision import ClassDecision, apply_class_decision
from melnb.evaluation.summaries import unit_of
from melnb.tables.checks import TEST, TableError
from melnb.tables.diagnoses import MELANOMA, code
from melnb.tables.schema import check_predictions, class_names, write_table

_SEVEN = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis",
    "benign_keratosis", "dermatofibroma", "vascular_lesion",
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """What a challenge's file looks like.

    Attributes:
        id_column: The first column.
        columns: The others, in order: their name and the class whose value they hold.
        header: Whether the first row names the columns.
        optional: Classes that a model may not know: their column is then 0.
    """

    id_column: str
    columns: dict[str, str]
    header: bool = True
    optional: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "isic2016": Format("image_id", {"confidence": MELANOMA}, header=False),
    "isic2017": Format(
        "image_id", {"melanoma": MELANOMA, "seborrheic_keratosis": "benign_keratosis"}
    ),
    "isic2018": Format("image", {code(name): name for name in _SEVEN}),
    "isic2019": Format(
        "image",
        # 2019 says AK where 2018 said AKIEC.
        {code(name).replace("AKIEC", "AK"): name for name in _SEVEN}
        | {"SCC": "squamous_cell_carcinoma", "UNK": "unknown"},
        optional=("unknown",),
    ),
    "siim2020": Format("image_name", {"target": MELANOMA}),
    "isic2024": Format("isic_id", {"target": "malignant"}),
}
BY_CALLS = ("isic2018", "isic2019")  # judged by what is called, not by how values rank
_ALIKE = (MELANOMA, "malignant")  # of two classes, either may be what a challenge asks for
_SUFFIX = r"(?i)\.jpe?g$"  # of a file's name, which the challenges' own checks forgive


def asked_class(challenge: str, classes: Sequence[str], *, positive: str = "") -> str:
    """Return which class a challenge's measures and its single column are of.

    Args:
        challenge: One of `FORMATS`.
        classes: Of the predictions.
        positive: Taken where the challenge's own class is absent, if it is malignant where
            melanoma is asked for, or the reverse.

    Returns:
        A class, or an empty text if there is none.
    """
    _format(challenge)
    sought = "malignant" if challenge == "isic2024" else MELANOMA
    if sought in classes:
        return sought
    return positive if positive in classes and positive in _ALIKE else ""


def write_submission(
    predictions: pd.DataFrame,
    path: str | Path,
    *,
    challenge: str,
    positive: str = "",
    ids: Iterable[str] | None = None,
) -> Path:
    """Write a challenge's file, checked, whole or not at all.

    Args:
        predictions: Test rows alone, or out-of-fold rows alone: every row is written.
        path: Of the file.
        challenge: One of `FORMATS`.
        positive: Of a challenge with one column: see `asked_class`.
        ids: The images that the challenge asks for; None: not checked.

    Raises:
        TableError: A class is wanting, rows are of both sorts, or images differ from `ids`.
    """
    layout = _format(challenge)
    check_predictions(predictions)
    if 0 < (predictions["fold"] == TEST).sum() < len(predictions):
        raise TableError(
            f"{challenge}: predictions hold test and out-of-fold rows: pass the rows to submit"
        )
    classes = class_names(predictions)
    columns = dict(layout.columns)
    if len(columns) == 1:
        ((column, label),) = columns.items()
        columns = {column: asked_class(challenge, classes, positive=positive) or label}
    lacking = [c for c in columns.values() if c not in (*classes, *layout.optional)]
    if lacking:
        raise TableError(
            f"{challenge} asks for the classes {lacking}, and predictions have {list(classes)}: "
            "train on the challenge's own classes (task native)"
        )
    table = pd.DataFrame({layout.id_column: predictions["image_id"]})
    for column, name in columns.items():
        table[column] = predictions[f"p_{name}"] if name in classes else 0.0
    _check(table, layout, challenge, None if ids is None else set(ids))
    return write_table(table, path, header=layout.header)


def submission_table(
    predictions: pd.DataFrame,
    folder: str | Path,
    *,
    challenge: str,
    positive: str = "",
    decision: ClassDecision | None = None,
) -> pd.DataFrame:
    """Write a challenge's `submission.csv` if it can be, and return what became of it.

    A server that judges by balanced accuracy takes the highest value of a row for its call, so that
    there the values are weighted by the frozen decision.

    Args:
        predictions: Of which the test rows are written.
        folder: Of the file.
        challenge: One of `FORMATS`, or `none`.
        positive: See `write_submission`.
        decision: How classes are called (`fit_class_decision`); None: by the most probable.

    Returns:
        `challenge`, `file` (empty: none was written), `rows`, `note` (why not); no row where no
        challenge is asked for.
    """
    columns = ["challenge", "file", "rows", "note"]
    if challenge == "none":
        return pd.DataFrame(columns=columns)
    rows = predictions[predictions["fold"] == TEST]
    file, note = "", "no file: no row is a test row" if rows.empty else ""
    if unit_of(predictions) != "image":
        note = f"no file: a row is a {unit_of(predictions)}, and images are asked for: unit image"
    elif len(rows):
        path = Path(folder) / "submission.csv"
        try:
            if decision is not None and challenge in BY_CALLS:
                rows = apply_class_decision(rows, decision)
            file = write_submission(rows, path, challenge=challenge, positive=positive).name
        except TableError as error:
            note = f"no file: {error}"
    return pd.DataFrame([(challenge, file, len(rows), note)], columns=columns)


def check_submission(path: str | Path, *, challenge: str, ids: Iterable[str]) -> pd.DataFrame:
    """Return a submission file's table if the challenge would take it.

    Ids that end in `.jpg` are taken without it.

    Args:
        path: Of the file.
        challenge: One of `FORMATS`.
        ids: The images that the challenge asks for, in any order.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: Columns, rows or values are not as asked for.
    """
    layout = _format(challenge)
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: write_submission makes it")
    names = [layout.id_column, *layout.columns]
    with path.open(encoding="utf-8", newline="") as file:
        first = next(csv.reader(file), [])
    if layout.header and first != names:
        raise TableError(f"{challenge}: {path} has the columns {first}, not {names}")
    if not layout.header and (len(first) != len(names) or first[0] == layout.id_column):
        raise TableError(
            f"{challenge}: {path} begins with {first}: this challenge's file has no header and "
            f"the {len(names)} columns {names}"
        )
    table = _read_cells(path, names, challenge, header=layout.header)
    table[layout.id_column] = table[layout.id_column].str.replace(_SUFFIX, "", regex=True)
    for column in layout.columns:
        table[column] = pd.to_numeric(table[column], errors="coerce")
    _check(table, layout, challenge, set(ids))
    return table


def _read_cells(path: Path, names: list[str], challenge: str, *, header: bool) -> pd.DataFrame:
    """Return every cell as text; pandas would read a row that is too long as if it were not."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [cells for cells in csv.reader(file) if cells][1 if header else 0 :]
    wrong = [cells for cells in lines if len(cells) != len(names)]
    if wrong:
        raise TableError(
            f"{challenge}: {path} has a row {wrong[0]} of {len(wrong[0])} values, not "
            f"{len(names)} ({len(wrong)} such rows)"
        )
    return pd.DataFrame(lines, columns=names, dtype=str)


def _format(challenge: str) -> Format:
    if challenge not in FORMATS:
        raise ValueError(f"challenge is {challenge!r}: use one of {list(FORMATS)}")
    return FORMATS[challenge]


def _check(table: pd.DataFrame, layout: Format, challenge: str, ids: set[str] | None) -> None:
    names = table[layout.id_column]
    doubled = names[names.duplicated()]
    if len(doubled):
        raise TableError(
            f"{challenge}: {doubled.iloc[0]} stands in more than one row ({len(doubled)} too many)"
        )
    values = table[list(layout.columns)].to_numpy(dtype=float)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise TableError(
            f"{challenge}: {list(layout.columns)[column]} of {names.iloc[row]} is "
            f"{values[row, column]}, not a number from 0 to 1 ({int(wrong.sum())} such values)"
        )
    if ids is None:
        return
    for lost, what in (
        (ids - set(names), "missing from"),
        (set(names) - ids, "not asked for but in"),
    ):
        if lost:
            raise TableError(
                f"{challenge}: {min(lost)} is {what} the submission ({len(lost)} such images): "
                "it must hold each image of the test set once"
            )
