"""Formulas: no cell of ours is run by a spreadsheet, and each comes back as it was."""

import ast
import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import melnb
from melnb.evaluation.challenges.submissions import check_submission, write_submission
from melnb.runs import raw_data
from melnb.tables.checks import TableError
from melnb.tables.delimited import read_delimited
from melnb.tables.schema import make_predictions, read_table, write_table
from melnb.tables.values import is_written, neutral, neutralise, restore, restored

PACKAGE = Path(melnb.__file__).parent

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


def written_by(code: str) -> set[str]:
    """Return the names of what in a code writes a CSV."""
    calls = {n.attr for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Attribute)}
    return calls & {"to_csv", "writer", "DictWriter", "savetxt", "to_excel"}


def test_tables_are_written_by_one_door() -> None:
    """Raw files' names are written by a door of their own, which the next test is of."""
    doors = {str(p.relative_to(PACKAGE)): written_by(p.read_text()) for p in PACKAGE.rglob("*.py")}
    assert {name: found for name, found in doors.items() if found} == {
        "tables/schema.py": {"to_csv"}, "runs/raw_data.py": {"writer"},
    }  # fmt: skip
    for path in (PACKAGE.parent / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [c["source"] for c in cells if c["cell_type"] == "code"]
        assert not any(written_by("".join(source)) for source in code), path


@pytest.mark.parametrize("name", [f"{text}.jpg" for text in (*RUN, *SAFE) if "/" not in text])
def test_a_raw_files_name_does_not_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_text("x")
    files = raw_data.read_raw(tmp_path / "raw")
    assert list(files) == ([name] if name[0] != "." else [])
    path = raw_data.write_files({"=raw": files}, tmp_path / raw_data.FILE)
    for row in csv.reader(gzip.decompress(path.read_bytes()).decode().splitlines()):
        assert [neutral(restored(cell)) for cell in row] == row
        assert row[0] == "'=raw"
    assert raw_data.read_files(path, "=raw", raw_data.digest(files)) == files


@pytest.mark.parametrize("challenge", ["siim2020", "isic2016"])
def test_a_challenge_gets_its_ids_as_they_are_or_no_file(challenge: str, tmp_path: Path) -> None:
    plain = make_predictions(
        ["a+b", "7", "_1-2"], -1, None, np.full((3, 2), 0.5), classes=["other", "melanoma"], run="r"
    )
    path = write_submission(plain, tmp_path / "s.csv", challenge=challenge)
    ids = [row[0] for row in cells(path)][challenge == "siim2020" :]
    assert ids == ["a+b", "7", "_1-2"]
    assert len(check_submission(path, challenge=challenge, ids=ids)) == 3
    for name in (text for text in RUN if neutral(text) != text):
        with pytest.raises(TableError, match="unsafe as a file name"):
            write_submission(
                plain.assign(image_id=["a+b", "7", name]), tmp_path / "t.csv", challenge=challenge
            )
    assert not (tmp_path / "t.csv").exists()


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
