"""Formulas: no cell of ours is run by a spreadsheet, and each comes back as it was."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.delimited import read_delimited
from melnb.formulas import is_written, neutralise, restore
from melnb.tables import read_table, write_table

RUN = ["=cmd|' /C calc'!A0", "@SUM(A1)", "+1+cmd", "-2+3", "==", "'=x", "''@x", "=1", "-", "+49 30"]
SAFE = ["p1", "-5", "+0.5", "-1e-3", "-.5", "'quoted'", "it's", "a=b", "'-5", "", "5-6"]


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_text_that_would_run_gets_an_apostrophe_and_comes_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(len(RUN))], "patient_id": RUN})
    path = write_table(table, tmp_path / "t.csv")
    assert [row[1] for row in cells(path)[1:]] == [f"'{text}" for text in RUN]
    found = read_delimited(path)
    assert found["patient_id"].tolist() == RUN


def test_what_does_not_run_is_written_as_it_is() -> None:
    table = pd.DataFrame({"note": SAFE, "number": range(len(SAFE))})
    assert neutralise(table) is table
    assert restore(table) is table


def test_a_name_of_a_column_does_not_run_either(tmp_path: Path) -> None:
    path = write_table(pd.DataFrame({"image_id": ["a"], "=cmd|x": [1.5]}), tmp_path / "t.csv")
    assert cells(path)[0] == ["image_id", "'=cmd|x"]
    assert read_table(path)["=cmd|x"].tolist() == [1.5]


def test_missing_values_and_numbers_stay(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "site": ["=x", None], "value": [-1.5, 2.0]})
    found = read_table(write_table(table, tmp_path / "t.csv"))
    assert found["site"].tolist()[0] == "=x"
    assert found["site"].isna().tolist() == [False, True]
    assert found["value"].tolist() == [-1.5, 2.0]


@given(st.lists(st.text(alphabet="'=+-@1.e ax,\"", min_size=1, max_size=6), min_size=1))
def test_every_text_comes_back(texts: list[str]) -> None:
    table = pd.DataFrame({"t": texts})
    written = neutralise(table)
    assert restore(written)["t"].tolist() == texts
    assert not any(text[0] in "=@" for text in written["t"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a\n'=x\n", True), (b"a,'+x", True), (b'"\'@x"', True), (b"it's =x", False),
        (b"a\n=x\n", False),
    ],
)  # fmt: skip
def test_a_table_without_any_is_known_at_a_glance(data: bytes, said: bool) -> None:
    assert is_written(data) == said
