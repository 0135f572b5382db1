"""What may be a feature: numbers and words; no truths, no names, no places of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from melnb.diagnoses import find_diagnosis
from melnb.missing import blank_missing
from melnb.numerals import is_numeric, plain_numbers, read_numbers
from melnb.tables import TableError

_FLAGS = {"true": 1.0, "false": 0.0}
MOST_LEVELS = 50  # words of a column; with more it names images, and becomes as many columns
FEW = 10  # images of a class: with fewer, a column may part them by chance

_TRUTHS = {
    "target", "truth", "label", "labels", "benign_malignant", "benign", "malignant", "other",
    "melanocytic",
}  # fmt: skip
# ISIC 2024 gives diagnoses and the pathologist's report; HAM10000 how the truth was found.
_TRUTHS_BEGIN = ("diagnosis", "dx", "iddx", "mel_")
_PLACES = {
    "image", "image_name", "path", "mask_path", "fold", "split", "shard", "tfrecord", "patient",
    "patient_code", "lesion", "duplicate", "run", "views", "kind", "note", "attribution",
    "copyright_license",
}  # fmt: skip


def reason_against(name: str) -> str:
    """Say why a column of that name is no feature; empty if it may be one."""
    key = name.strip().lower()
    if key in _TRUTHS or key.startswith(_TRUTHS_BEGIN) or _is_diagnosis(key):
        return "tells the truth, or how it was found"
    if key in _PLACES or key.endswith("_id") or key.startswith("unnamed:"):
        return "names an image or a group, or says where it lies"
    return ""


def feature_column(
    values: pd.Series, file: str | Path = "images", *, row: str = "line"
) -> pd.Series:
    """Return a column as float64 if it is meant as numbers or as truths, else as words.

    Words for missing are NaN. A column of which half or more are numbers is one of numbers: a cell
    that is none would make it words, of as many kinds as there are numbers.

    Args:
        values: The column; the index holds what `row` says.
        file: For the message.
        row: What the index holds.

    Raises:
        TableError: A cell of a column of numbers is none, or is infinite.
    """
    if is_numeric_dtype(values):
        column = values.astype("float64")
    elif (plain := plain_numbers(values)) is not None:
        column = plain
    else:
        known = blank_missing(values.astype(object), names=False)
        truths = known.dropna().astype(str).str.lower().isin(_FLAGS)
        if truths.all():
            return known.astype(str).str.lower().map(_FLAGS).astype("float64")
        if not is_numeric(known):
            return known
        column = read_numbers(known, file, row=row)
    if np.isinf(column).any():
        raise TableError(
            f"feature {values.name!r} is infinite in {int(np.isinf(column).sum())} rows: "
            "leave such cells empty"
        )
    return column


def reason_against_values(values: pd.Series, truth: pd.Series) -> str:
    """Say why a column with such values is no feature; empty if it may be one.

    A column of few values, each of which goes with one class alone, is a truth under another name
    (a diagnosis, say); missing counts as a value. What only nearly tells the truth is not found.

    Args:
        values: As of `feature_column`.
        truth: The classes of the same rows; NaN where unknown.
    """
    if values.isna().all():
        return "is empty"
    levels = values.nunique()
    if levels == 1 and values.notna().all():
        return "is the same in every image"
    if not is_numeric_dtype(values) and levels > MOST_LEVELS:
        return f"has {levels} different words, more than {MOST_LEVELS}: a name or a free text"
    labelled = truth.notna().to_numpy()
    codes, names = pd.factorize(values[labelled], use_na_sentinel=False)
    classes, _ = pd.factorize(truth[labelled])
    sizes = np.sort(np.bincount(classes))
    if len(sizes) > 1 and sizes[-2] >= FEW and len(names) <= len(codes) / FEW:
        pairs = np.unique(codes.astype(np.int64) * len(sizes) + classes)
        if len(pairs) == len(names):
            return "tells the truth: each of its values goes with one class alone"
    return ""


def _is_diagnosis(key: str) -> bool:
    try:
        find_diagnosis(key)
    except ValueError:
        return False
    return True
