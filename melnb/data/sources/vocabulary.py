"""What published columns say, in the words of the images table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.sources.layout import optional_column
from melnb.diagnoses import MELANOMA, OTHER, find_diagnosis
from melnb.tables import TableError

UNKNOWN = "unknown"
_UNSAID = frozenset({"", UNKNOWN, "unk", "n/a", "na", "nan", "none", "null", "-1"})
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female"}
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
    """Map published diagnoses onto the ontology; empty stays empty, unknown stays unknown.

    Args:
        values: Texts; the index holds lines of the file.
        file: For the message.

    Raises:
        TableError: A text is outside the ontology: file, line, value and the nearest are named.
    """
    return _translate(values, find_diagnosis, file)


def read_sexes(values: pd.Series, file: Path) -> pd.Series:
    """Map to `male`, `female` or NaN.

    Raises:
        TableError: A text is neither, nor a word for unknown.
    """

    def sex(text: str) -> str | float:
        if text.lower() not in _SEXES | dict.fromkeys(_UNSAID):
            raise ValueError(f"sex {text!r} is not male, female or unknown")
        return _SEXES.get(text.lower(), np.nan)

    return _translate(values, sex, file)


def read_ages(values: pd.Series, file: Path) -> pd.Series:
    """Map to years (float) or NaN.

    Raises:
        TableError: A text is neither a number nor a word for unknown.
    """

    def age(text: str) -> float:
        if text.lower() in _UNSAID:
            return np.nan
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"age {text!r} is not a number of years") from None

    return _translate(values, age, file).astype("float64")


def read_sites(values: pd.Series, file: Path) -> pd.Series:
    """Map to the sites of ISIC, all parts of the torso to `torso`; others stay, in lower case."""

    def site(text: str) -> str | float:
        text = " ".join(text.lower().split())
        return np.nan if text in _UNSAID else _SITE_OF.get(text, text)

    return _translate(values, site, file)


def read_flags(values: pd.Series, file: Path) -> pd.Series:
    """Map 1 to True and 0 to False, however written (`1`, `1.0`).

    Raises:
        TableError: A value is neither, or empty: whether it means 0 is not for us to say.
    """
    if values.isna().any():
        raise TableError(f"{file} line {values.index[values.isna()][0]}: {values.name} is empty")

    def flag(text: str) -> bool:
        try:
            return {0.0: False, 1.0: True}[float(text)]
        except (ValueError, KeyError):
            raise ValueError(f"{values.name} is {text!r}, neither 0 nor 1") from None

    return _translate(values, flag, file).eq(True)


def read_people(table: pd.DataFrame, file: Path) -> dict[str, pd.Series]:
    """Read what a table says of age, sex and site, under any of their published names."""
    found: dict[str, pd.Series] = {}
    for name, (columns, read) in _PEOPLE.items():
        values = optional_column(table, *columns)
        if values is not None:
            found[name] = read(values, file)
    return found


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
