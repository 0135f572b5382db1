"""Each challenge's file, byte for byte, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.challenges import submissions
from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.challenges.submissions import FORMATS, check_submission, write_submission
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import NAMES

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def nine(many_classes: Make) -> pd.DataFrame:
    """Two rows; a class's value is its place in the ontology, 1 to 9, over 45."""
    rows = [range(1, 10), range(9, 0, -1)]
    table = many_classes(["melanoma", "nevus"], [list(r) for r in rows], NAMES)
    return table.assign(image_id=["ISIC_2", "ISIC_1"], fold=-1)


@pytest.mark.parametrize(
    ("challenge", "first", "values"),
    [
        ("isic2016", "ISIC_2,", [1]),
        ("isic2017", "image_id,melanoma,seborrheic_keratosis", [1, 5]),
        ("isic2018", "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC", [1, 2, 3, 4, 5, 6, 7]),
        ("isic2019", "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("siim2020", "image_name,target", [1]),
    ],
)
def test_each_challenge_gets_its_columns(
    tmp_path: Path, nine: pd.DataFrame, challenge: str, first: str, values: list[int]
) -> None:
    path = write_submission(nine, tmp_path / "made" / "s.csv", challenge=challenge)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(first)
    assert len(lines) == (2 if challenge == "isic2016" else 3)
    row = next(line for line in lines if line.startswith("ISIC_2")).split(",")
    assert [float(v) for v in row[1:]] == [v / 45 for v in values]
    assert list(path.parent.iterdir()) == [path]
    assert len(check_submission(path, challenge=challenge, ids=["ISIC_1", "ISIC_2"])) == 2
    again = read_foreign(path).set_index("image_id")
    assert again.loc["ISIC_1", "p_melanoma"] == 9 / 45


def test_columns_go_by_name_and_an_unknown_class_may_be_wanting(
    tmp_path: Path, nine: pd.DataFrame
) -> None:
    eight = nine.drop(columns="p_unknown").assign(kind="score")
    turned = eight[[*eight.columns[::-1]]]
    path = write_submission(turned, tmp_path / "s.csv", challenge="isic2019")
    row = path.read_text(encoding="utf-8").splitlines()[1].split(",")
    assert [float(v) for v in row[1:]] == [*(k / 45 for k in range(1, 9)), 0]


def test_what_cannot_be_written(tmp_path: Path, binary: Make, nine: pd.DataFrame) -> None:
    path = tmp_path / "s.csv"
    two = binary([True, False], [0.5, 0.25])
    with pytest.raises(TableError, match="isic2018 asks for the classes"):
        write_submission(two, path, challenge="isic2018")
    with pytest.raises(TableError, match="test and out-of-fold rows"):
        write_submission(two.assign(fold=[-1, 0]), path, challenge="siim2020")
    with pytest.raises(TableError, match=r"ISIC_9 is missing .* \(1 such images\)"):
        write_submission(nine, path, challenge="siim2020", ids=["ISIC_1", "ISIC_2", "ISIC_9"])
    with pytest.raises(ValueError, match="challenge is 'isic2020'"):
        write_submission(two, path, challenge="isic2020")
    with pytest.raises(TableError, match="is nan, not between"):
        write_submission(two.assign(p_melanoma=np.nan), path, challenge="siim2020")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("challenge", "text", "message"),
    [
        ("siim2020", "image_name,target\na,0.5\n", "b is missing from"),
        ("siim2020", "image_name,target\na,0.5\nb,0.5\nc,0.5\n", "c is not asked for"),
        ("siim2020", "image_name,target\na,0.5\nb,0.5\nb,0.5\n", "b stands in more than one row"),
        ("siim2020", "image,target\na,0.5\nb,0.5\n", "has the columns"),
        ("siim2020", "target,image_name\n0.5,a\n0.5,b\n", "has the columns"),
        ("siim2020", "image_name,target\na,0.5\nb,1.5\n", "target of b is 1.5"),
        ("siim2020", "image_name,target\na,0.5\nb,\n", "target of b is nan"),
        ("siim2020", "image_name,target\na,0.5\nb,high\n", "target of b is nan"),
        ("isic2016", "image_id,confidence\na,0.5\nb,0.5\n", "has no header"),
        ("isic2016", "a,0.5,0.5\nb,0.5,0.5\n", "has no header and the 2 columns"),
        ("siim2020", "image_name,target\na,0.5\nb,-0.1\n", "target of b is -0.1"),
        ("siim2020", "image_name,target\na,0.5\nb,inf\n", "target of b is inf"),
        ("siim2020", "image_name,target\na,0.5,0.5\nb,0.5,0.5\n", "of 3 values, not 2 (2 such"),
        ("siim2020", "image_name,target\na,0.5\nb\n", "a row ['b'] of 1 values"),
        ("siim2020", "image_name,target,extra\na,0.5,1\nb,0.5,1\n", "has the columns"),
        ("siim2020", "image_name,target\na,0.5\nb,0.5\nb.jpg,0.5\n", "b stands in more than one"),
        ("siim2020", "image_name,target\na,0.5\nb.png,0.5\n", "b is missing from"),
        ("siim2020", "", "has the columns []"),
        ("isic2024", "image_name,target\na,0.5\nb,0.5\n", "not ['isic_id', 'target']"),
        ("isic2018", "image,MEL,NV\na,0.5,0.5\nb,0.5,0.5\n", "has the columns"),
    ],
)
def test_what_a_challenge_would_refuse(
    tmp_path: Path, challenge: str, text: str, message: str
) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TableError) as error:
        check_submission(path, challenge=challenge, ids=["b", "a"])
    assert message in str(error.value)


def test_a_files_suffix_is_forgiven(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("image_name,target\na.jpg,0.5\n\nb.JPEG,1\n", encoding="utf-8")
    table = check_submission(path, challenge="siim2020", ids=["a", "b"])
    assert table["image_name"].tolist() == ["a", "b"]
    assert table["target"].tolist() == [0.5, 1]


def test_2024_asks_for_malignant(tmp_path: Path, binary: Make) -> None:
    table = binary([True, False], [0.5, 0.25], fold=-1).replace(
        {"melanoma": "malignant", "other": "benign"}
    )
    table = table.rename(columns={"p_melanoma": "p_malignant", "p_other": "p_benign"})
    path = write_submission(table, tmp_path / "s.csv", challenge="isic2024")
    text = path.read_text(encoding="utf-8")
    assert text == "isic_id,target\ni00000,0.5\ni00001,0.25\n"
    assert len(check_submission(path, challenge="isic2024", ids=["i00000", "i00001"])) == 2


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="write_submission makes it"):
        check_submission(tmp_path / "s.csv", challenge="siim2020", ids=[])


def test_formats_are_those_of_the_report() -> None:
    from typing import get_args

    from melnb.params.catalogue import Report

    known = get_args(Report.model_fields["submission"].annotation)
    assert set(known) <= {"none", *FORMATS}


@pytest.mark.data
def test_a_published_submission_passes(siim_predictions: Path) -> None:
    ids = pd.read_csv(siim_predictions.parent / "test.csv")["image_name"]
    table = check_submission(siim_predictions / "ensemble.csv", challenge="siim2020", ids=ids)
    assert len(table) == 10_982


def test_a_file_for_isic2024_is_of_what_is_looked_for(binary: Make, tmp_path: Path) -> None:
    table = binary([True, False, None], [0.5, 0.25, 0.75], fold=[0, 1, -1])
    how = {"challenge": "isic2024", "positive": "melanoma"}
    found = submissions.submission_table(table, tmp_path, **how).iloc[0]
    assert found.tolist() == ["isic2024", "submission.csv", 1, ""]
    assert (tmp_path / "submission.csv").read_text(
        encoding="utf-8"
    ) == "isic_id,target\ni00002,0.75\n"
    for challenge, positive, words in (
        ("isic2024", "other", "isic2024 asks for the classes"),
        ("isic2018", "melanoma", "isic2018 asks for the classes"),
    ):
        how = {"challenge": challenge, "positive": positive}
        found = submissions.submission_table(table, tmp_path / "b", **how).iloc[0]
        assert words in found["note"]
        assert not (tmp_path / "b").exists()
    units = table.assign(unit="lesion", n_images=2)
    found = submissions.submission_table(units, tmp_path / "b", **how).iloc[0]
    assert found["note"] == "no file: a row is a lesion, and images are asked for: unit image"
    none = submissions.submission_table(table.head(2), tmp_path / "b", challenge="siim2020")
    assert none["note"].tolist() == ["no file: no row is a test row"]
    assert submissions.submission_table(table, tmp_path / "b", challenge="none").empty
