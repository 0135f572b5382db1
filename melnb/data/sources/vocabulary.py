"""What published columns say, in the words of the images table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.sources.layout import optional_column
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import MELANOMA, NAMES, OTHER, find_diagnosis, find_in_hierarchy
from melnb.tables.schema import ID_COLUMNS
from melnb.tables.values import NO, YES, blank_missing, is_missing, read_numbers

UNKNOWN = "unknown"
_MALIGNANCY = {
    **dict.fromkeys(("benign", "indeterminate", *NO), "benign"),
    **dict.fromkeys(("malignant", *YES), "malignant"),
}
_WAY_OUT = (
    "write one of these; or read the column as classes of your own (columns={{target: {column}}}, "
    "task=native), and name the one looked for in the report (positive)"
)
GROUPS = (OTHER, "benign", "malignant")  # classes that are no diagnosis
_SPLITS = {"train": "train", "training": "train"} | dict.fromkeys(
    ("test", "testing", "val", "valid", "validation", "dev"), "test"
)
_SET = re.compile(r"[ _-]?(?:set|data|images|pictures|part|split)$")
_SEXES = {
    "male": "male", "m": "male", "man": "male", "female": "female", "f": "female",
    "woman": "female",
}  # fmt: skip
_SITES = {
    "head/neck": ("head", "neck", "face", "scalp", "ear"),
    "upper extremity": ("hand", "arm", "upper extremities"),
    "lower extremity": ("foot", "leg", "lower extremities"),
    "torso": (
        "anterior torso", "posterior torso", "lateral torso", "trunk", "back", "chest", "abdomen",
    ),
    "palms/soles": ("acral", "palms", "soles"),
    "oral/genital": ("genital", "oral"),
}  # fmt: skip
_SITE_OF = {text: name for name, texts in _SITES.items() for text in (name, *texts)}


def read_diagnoses(values: pd.Series, file: Path) -> pd.Series:
    """Map published diagnoses onto the ontology; missing becomes NaN, unknown stays unknown.

    Args:
        values: Texts; the index holds lines of the file.
        file: For the message.

    Raises:
        TableError: A text is outside the ontology: file, line, value and the nearest are named.
    """

    def diagnosis(text: str) -> str:
        if text.lower() in GROUPS:
            raise ValueError(
                f"diagnosis {text!r} is a class, no diagnosis: map its column as the target "
                f"(columns={{target: {values.name}}})"
            )
        try:
            return find_diagnosis(text)
        except ValueError as error:
            raise ValueError(f"{error}: {_WAY_OUT.format(column=values.name)}") from None

    return _translate(blank_missing(values, names=False), diagnosis, file)


def find_split(text: str) -> str:
    """Return `train` or `test` for a word that says which part an image is of, else nothing.

    Validation images were held out, and are test images here.
    """
    word = text.strip().lower()
    return _SPLITS.get(word) or _SPLITS.get(_SET.sub("", word), "")


def find_odds(target: pd.Series, diagnosis: pd.Series) -> pd.Series:
    """Tell which images are of one class by their target and of another by their diagnosis."""
    named = set(NAMES) - {UNKNOWN}
    odd = diagnosis.isin(named) & target.isin(named) & (target != diagnosis)
    return odd | ((diagnosis == MELANOMA) & target.isin([OTHER, "benign"]))


def read_sexes(values: pd.Series, file: Path) -> pd.Series:
    """Map to `male`, `female` or NaN.

    Raises:
        TableError: A text is neither, nor a word for unknown.
    """

    def sex(text: str) -> str | float:
        if text.lower() not in _SEXES:
            raise ValueError(
                f"sex {text!r} is not male, female or unknown: write one of these, or leave the "
                "cell empty"
            )
        return _SEXES[text.lower()]

    return _translate(blank_missing(values, negative=True), sex, file)


def read_ages(values: pd.Series, file: Path) -> pd.Series:
    """Map to years (float) or NaN.

    Raises:
        TableError: A text is neither a number nor a word for unknown.
    """
    return read_numbers(values, file, negative=True)


def read_sites(values: pd.Series, file: Path) -> pd.Series:
    """Map to the sites of ISIC, all parts of the torso to `torso`; others stay, in lower case."""

    def site(text: str) -> str | float:
        text = " ".join(text.lower().split())
        return _SITE_OF.get(text, text)

    return _translate(blank_missing(values, negative=True), site, file)


def read_flags(values: pd.Series, file: Path) -> pd.Series:
    """Map 1 to True and 0 to False, however written (`1`, `1.0`, `true`).

    Raises:
        TableError: A value is neither, or empty: whether it means 0 is not for us to say.
    """
    if values.isna().any():
        raise TableError(
            f"{file} line {values.index[values.isna()][0]}: {values.name} is empty, and others of "
            "its row are not: write 0 or 1"
        )

    def flag(text: str) -> bool:
        if (word := text.lower()) in (*YES, *NO):
            return word in YES
        try:
            return {0.0: False, 1.0: True}[float(text)]
        except (ValueError, KeyError):
            problem = f"{values.name} is {text!r}, neither 0 nor 1: write one of them"
            raise ValueError(problem) from None

    return _translate(values, flag, file).eq(True)


def read_people(table: pd.DataFrame, file: Path) -> dict[str, pd.Series]:
    """Read what a table says of age, sex and site, under any of their published names."""
    people: dict[str, pd.Series] = {}
    for name, (columns, read) in _PEOPLE.items():
        values = optional_column(table, *columns)
        if values is not None:
            people[name] = read(values, file)
    return people


def find_classes(table: pd.DataFrame, file: Path) -> dict[str, str]:
    """Return the column of each class that a ground truth has a column for, by its name.

    Args:
        table: The ground truth.
        file: For the message.

    Raises:
        TableError: A class has two columns.
    """
    columns: dict[str, str] = {}
    for name in table.columns:
        text = str(name).strip().lower()
        try:
            label = text if text in GROUPS else find_diagnosis(text)
        except ValueError:
            continue  # the image id; weights of the official scoring
        if label in columns:
            raise TableError(f"{file}: columns {columns[label]!r} and {name!r} are both {label}")
        columns[label] = name
    return columns


def read_one_hot(table: pd.DataFrame, file: Path, classes: Sequence[str]) -> pd.Series:
    """Read the class of each row from a column per class, found by name in any order.

    Args:
        table: The ground truth, as text; further columns are passed over.
        file: For messages.
        classes: Names that must each have a column (`find_classes`).

    Raises:
        TableError: A class has no column or two, or a row has no label or two.
    """
    columns = find_classes(table, file)
    for wanted in classes:
        if wanted not in columns:
            raise TableError(f"{file}: no column for {wanted} among {list(table.columns)}")
    marks = np.column_stack([read_flags(table[columns[c]], file) for c in classes])
    count = marks.sum(axis=1)
    if (count != 1).any():
        row = int(np.argmax(count != 1))
        labels = [columns[c] for c, mark in zip(classes, marks[row], strict=True) if mark]
        ids = optional_column(table, *ID_COLUMNS)
        image = "it" if ids is None else ids.iloc[row]
        raise TableError(
            f"{file} line {table.index[row]}: {image} is labelled "
            f"{labels or 'nothing'}, one label is needed ({int((count != 1).sum())} such rows): "
            "mark one, or leave all cells of its classes empty where nobody knows"
        )
    return pd.Series(np.asarray(classes, dtype=object)[marks.argmax(axis=1)], index=table.index)


def read_hierarchy(table: pd.DataFrame) -> pd.Series | None:
    """Read the diagnosis that a table tells in levels; None where it has no such columns.

    They are `diagnosis_1` to `diagnosis_5` in ISIC's archive, `iddx_1` to `iddx_5` (or `iddx_full`)
    in ISIC 2024. What the ontology has no class for is `unknown`.
    """
    for stem in ("diagnosis", "iddx"):
        parts = [optional_column(table, f"{stem}_{name}") for name in ("full", *range(1, 6))]
        levels = pd.DataFrame({k: values for k, values in enumerate(parts) if values is not None})
        if not levels.empty:
            distinct = levels.drop_duplicates()
            names = [find_in_hierarchy(row[row.notna()]) for _, row in distinct.iterrows()]
            translation = distinct.assign(name=names)
            return (
                levels.merge(translation, how="left")["name"].set_axis(table.index).astype(object)
            )
    return None


def read_malignancy(values: pd.Series, file: Path) -> tuple[pd.Series, pd.Series]:
    """Map to `benign` or `malignant`; what is indeterminate is benign, as ISIC 2024 counts it.

    Args:
        values: `benign`, `malignant`, `indeterminate`, or 0 and 1; the archive's older files also
            say `indeterminate/benign` and `indeterminate/malignant`, and mean what they lean to.
        file: For the message.

    Returns:
        The words, NaN where nothing is said; and which are indeterminate.

    Raises:
        TableError: A text is none of these.
    """

    def word(text: str) -> str | float:
        last = text.lower().rpartition("/")[2].strip()
        if is_missing(last):
            return np.nan
        if last not in _MALIGNANCY:
            raise ValueError(f"{values.name} {text!r} is not benign, malignant or indeterminate")
        return _MALIGNANCY[last]

    doubt = values.astype(str).str.strip().str.lower().str.startswith("indeterminate")
    return _translate(values, word, file), doubt & values.notna()


def melanoma_or_other(malignant: pd.Series) -> pd.Series:
    """Map True to `melanoma` and False to `other`."""
    return malignant.map({True: MELANOMA, False: OTHER})


_PEOPLE = {
    "age": (("age_approx", "age_approximate", "age"), read_ages),
    "sex": (("sex",), read_sexes),
    "site": (
        ("anatom_site_general_challenge", "anatom_site_general", "localization", "site"),
        read_sites,
    ),
}


def _translate(values: pd.Series, word: Callable[[str], object], file: Path) -> pd.Series:
    # Each distinct text is translated once: 33,000 rows hold nine diagnoses.
    words = {}
    for text in values.dropna().unique():
        try:
            words[text] = word(str(text).strip())
        except ValueError as error:
            line = values.index[values == text][0]
            raise TableError(f"{file} line {line}: {error}") from None
    return values.map(words).astype(object)
