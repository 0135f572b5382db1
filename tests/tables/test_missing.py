"""Words for missing: which say that nothing is known, and of what."""

from pathlib import Path

import pandas as pd
import pytest

from melnb.tables.checks import TableError
from melnb.tables.values import blank_missing, count_missing, is_missing, read_group_ids


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "NA",
        "n/a",
        "N.A.",
        "NaN",
        "null",
        "-",
        "--",
        "?",
        ".",
        "#N/A",
        "Not  Available",
        "–",
    ],
)
def test_words_that_are_never_a_value(text: str) -> None:
    assert is_missing(text, names=False)


@pytest.mark.parametrize("text", ["unknown", "None", " UNK "])
def test_words_that_may_name_a_class(text: str) -> None:
    assert is_missing(text)
    assert not is_missing(text, names=False)


@pytest.mark.parametrize("text", ["nevus", "0", "no", "NAevus", "n", "-2", "male"])
def test_values_are_none(text: str) -> None:
    assert not is_missing(text, negative=True)


def test_minus_one_is_missing_where_it_cannot_be_meant() -> None:
    assert is_missing("-1", negative=True)
    assert not is_missing("-1")
    assert is_missing(float("nan"))
    assert not is_missing(7)


def test_ids_are_trimmed_and_whole() -> None:
    ids = pd.Series([" P1", "P1 ", "NA", None, "-1"], dtype="object")
    assert read_group_ids(ids, Path("t.csv")).dropna().tolist() == ["P1", "P1"]
    assert read_group_ids(pd.Series(["7.0", "8", "9.00"]), "t.csv").tolist() == ["7", "8", "9"]
    decimals = ["1.0", "1.1"]  # of a patient's lesions, say
    assert read_group_ids(pd.Series(decimals), "t.csv").tolist() == decimals


def test_an_id_that_a_spreadsheet_rounded_is_refused() -> None:
    ids = pd.Series(["P1", "4.2E+11"], index=[2, 3], name="patient_id")
    with pytest.raises(TableError, match=r"t\.csv line 3: patient_id '4\.2E\+11' was rounded"):
        read_group_ids(ids, "t.csv")


def test_what_was_read_as_missing_is_told() -> None:
    said = pd.Series(["NA", "x", "?", "NA", None], name="site")
    assert count_missing(said, blank_missing(said)) == "3 of 5 site say NA, ?: unknown"
    assert count_missing(said, said) == ""
