"""The door for tables: any dialect is read back, and what is no table is said to be none."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from melnb.tables import delimited, encodings
from melnb.tables.checks import TableError
from melnb.tables.delimited import read_delimited, read_first_row
from melnb.tables.signatures import describe_file

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)
WORDS = st.text("ab,;\t |\"'\n .é", max_size=4)


@pytest.fixture(scope="module", params=[1, encodings._BLOCK], ids=["by line", "at once"])
def path(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return a file's place; it is read in blocks of a line each, or in one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "_BLOCK", request.param)
        yield tmp_path_factory.mktemp("tables") / "t.csv"


@given(
    rows=st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(CELLS | WORDS, min_size=n, max_size=n), min_size=1, max_size=5)
    ),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example(rows=[["0\t"]], delimiter="\t", quoting=csv.QUOTE_MINIMAL, encoding="utf-8", end="\n")
@example(rows=[["0\x0c", "0"]], delimiter=",", quoting=csv.QUOTE_ALL, encoding="utf-8", end="\n")
@example(rows=[['"\t\n0']], delimiter=",", quoting=csv.QUOTE_ALL, encoding="utf-8", end="\n")
def test_what_any_dialect_wrote_is_read_back(
    path: Path, rows: list[list[str]], delimiter: str, quoting: int, encoding: str, end: str
) -> None:
    header = [f"c{k}" for k in range(len(rows[0]))]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([header, *rows])
    path.write_bytes(f"sep={delimiter}{end}{text.getvalue()}".encode(encoding))
    expected = [[c.replace("\u00a0", " ").strip() for c in row] for row in rows]
    expected = [row for row in expected if any(row)]
    assert read_first_row(path) == header
    if expected:
        read = read_delimited(path)
        assert read.fillna("").to_numpy(dtype=object).tolist() == expected
        assert list(read.columns) == header
    else:
        with pytest.raises(TableError, match=r"no row that holds|header alone"):
            read_delimited(path)


@given(data=st.binary(max_size=60) | st.text('a,b;"\t\n\r=sep1 ', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_by_name(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    refusals, read = [], []
    try:
        read.append(read_delimited(path))
    except TableError as refusal:
        refusals.append(str(refusal))
    assert all(len(table) and table.columns.is_unique for table in read)
    assert all(str(path) in said for said in refusals)
    assert len(refusals) + len(read) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x,y,z", "line 40: 3 cells where the header has 2"),
        ("x", "line 40: 1 cells where the header has 2"),
        ("id,n", "line 40 is the header once more"),
        ('x,"y', "line 40: quotes are not in pairs"),
    ],
)
def test_what_is_wrong_far_down_is_named(path: Path, line: str, words: str) -> None:
    path.write_text("id,n\n" + "a,1\n" * 38 + line + "\n" + "b,2\n" * 20, encoding="utf-8")
    with pytest.raises(TableError, match=words):
        read_delimited(path)


@pytest.mark.parametrize("cell", ["y ", "\ty", "\u2003y", "y\u00a0", '" y"'])
def test_a_blank_far_down_is_trimmed(path: Path, cell: str) -> None:
    path.write_text("id,n\n" + "a,y\n" * 38 + f"x,{cell}\n", encoding="utf-8")
    assert read_delimited(path)["n"].tolist() == ["y"] * 39


BARE = ["", "  ", " \t", ",,", ' , "", ']


@pytest.mark.parametrize("bare", [*([line] for line in BARE), ["", ""], BARE], ids=repr)
@pytest.mark.parametrize("before", [0, 1, 30, 60])
@pytest.mark.parametrize("only", [(), ("N",)])
def test_a_row_without_a_cell_is_passed_over_at_once(
    path: Path, bare: list[str], before: int, only: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"i{k},{k}," for k in range(60)]
    path.write_text("\n".join(["id,n,m", *rows[:before], *bare, *rows[before:]]), encoding="utf-8")
    if not only or not any("," in line for line in bare):  # else columns left out may hold a cell
        monkeypatch.setattr(delimited, "_read_odd", None)
    read = read_delimited(path, only=only)
    assert read["n"].tolist() == [str(k) for k in range(60)]
    lines = [*range(2, 2 + before), *range(2 + before + len(bare), 62 + len(bare))]
    assert read.index.tolist() == lines


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_a_blank_line_is_no_row_of_any_dialect(path: Path, delimiter: str) -> None:
    text = f"a{delimiter}b\n\n1{delimiter}2\n{delimiter * 4}\n\n3{delimiter}\n\n"
    path.write_text(text, encoding="utf-8")
    read = read_delimited(path)
    assert read.fillna("").to_numpy(dtype=object).tolist() == [["1", "2"], ["3", ""]]
    assert read.index.tolist() == [3, 6]


def test_columns_wanted_are_found_in_any_case(path: Path) -> None:
    path.write_text("A, b ,c\n1,2,3\n", encoding="utf-8")
    assert read_delimited(path, only=("a", "B")).to_dict("list") == {"A": ["1"], "b": ["2"]}


def test_a_file_without_a_header_has_the_names_given(path: Path) -> None:
    path.write_text("x,1\ny,\n", encoding="utf-8")
    read = read_delimited(path, names=("id", "n"))
    assert read.index.tolist() == [1, 2]
    assert read["id"].tolist() == ["x", "y"]
    assert read["n"].isna().tolist() == [False, True]


def test_an_empty_table_is_one_where_that_is_meant(path: Path) -> None:
    path.write_text("a,b\n", encoding="utf-8")
    assert read_delimited(path, empty=True).columns.tolist() == ["a", "b"]
    with pytest.raises(TableError, match="header alone"):
        read_delimited(path)


@pytest.mark.parametrize("index", [["i1", "i2"], [0, 1], [7, 3]])
def test_an_index_of_pandas_is_kept_if_it_says_more_than_numbers(
    path: Path, index: list[object]
) -> None:
    pd.DataFrame({"x": ["a", "b"]}, index=index).to_csv(path)
    named = ["Unnamed: 0", "x"] if isinstance(index[0], str) else ["x"]
    assert read_delimited(path).columns.tolist() == named


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\xef\xbb\xbf<html>", "web page"),
        (b"  <!DOCTYPE HTML PUBLIC", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid x\nsize 7\n", "of a file of 7 bytes"),
        (b"PK\x03\x04....xl/workbook.xml", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0", "old Excel"),
        (b"image_id,sex\n", ""),
        (b"BZhang,1\n", ""),
        (b"", ""),
    ],
)
def test_files_are_known_by_their_first_bytes(head: bytes, words: str) -> None:
    said = describe_file(head)
    assert words in said
    assert bool(said) == bool(words)
