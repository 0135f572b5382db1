"""`melnb check`: exit codes, words and JSON, and no TensorFlow."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from melnb.cli import main
from melnb.tables.findings import CHECKS
from melnb.tables.schema import IMAGE_COLUMNS, write_folds, write_images

DATA = os.environ.get("MELNB_DATA", "")


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["check", *words])


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of twelve images, two a patient, and their pictures' bytes."""
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    home = tmp_path / "outputs" / "02_prepare" / "mine"
    home.mkdir(parents=True)
    images = pd.DataFrame({"image_id": [f"i{k:02}" for k in range(12)]}).reindex(
        columns=list(IMAGE_COLUMNS)
    )
    images["patient_id"] = [f"p{k // 2}" for k in range(12)]
    images["target"] = ["melanoma", "melanoma", "other", "other"] * 3
    images["path"] = [str(tmp_path / f"{k}.jpg") for k in range(12)]
    for k in range(12):
        (tmp_path / f"{k}.jpg").write_bytes(bytes([k]) * 9)
    write_images(images, home / "images.csv")
    write_folds(images[["image_id"]].assign(fold=[0, 0, 1, 1, 2, 2] * 2), home / "folds.csv")
    return home


def test_a_dataset_that_does_not_leak_passes(dataset: Path) -> None:
    result = call(str(dataset))
    assert result.exit_code == 0, result.output
    assert "MEL001  PASS         a patient in two parts: 6 patients" in result.output
    assert "MEL004  PASS" in result.output
    assert "MEL009, MEL010, MEL011, MEL012" in result.output
    assert result.output.endswith("worst: not checked\n")
    (dataset.parents[2] / "11.jpg").write_bytes(bytes([10]) * 9)
    assert call(str(dataset)).exit_code == 1  # two of one patient are equal


def test_tables_that_leak_fail_and_json_says_so(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("image_id,patient_id,fold\na,1,0\nb,1,1\nc,2,0\n")
    result = call(str(file), "--json")
    assert result.exit_code == 2
    content = json.loads(result.stdout)
    assert content["severity"] == "FAIL"
    assert [row["code"] for row in content["findings"]] == list(CHECKS)
    first = content["findings"][0]
    assert (first["severity"], first["rows"]) == ("FAIL", 2)
    assert "1 of 2 patients (50.0%)" in first["evidence"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.csv",), "none.csv"),
        (("a.csv", "b"), "name one dataset"),
        (("b", "--part", "x"), "name one dataset"),
    ],
)
def test_what_cannot_be_read_has_an_exit_code_of_its_own(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.exit_code == 3
    assert message in result.output


def test_no_tensorflow_is_imported(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image_id,patient_id,fold\na,1,0\nb,2,1\n")
    code = (
        "import sys\nfrom melnb.running.check import check_named\n"
        f"check_named([{str(tmp_path / 'rows.csv')!r}])\n"
        "assert not {'tensorflow', 'keras', 'sklearn', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_stands_beside_test_rows_alone_is_not_said_to_be_apart(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("image_id,patient_id\na,1\nb,2\n")
    (tmp_path / "test.csv").write_text("image_id,patient_id\nx/A.JPG,3\nc,4\n")
    result = call(str(tmp_path / "train.csv"), str(tmp_path / "test.csv"))
    assert result.exit_code == 2
    assert (
        "MEL001  not checked  a patient in two parts: beside test rows, of which MEL008 asks"
        in (result.output)
    )
    assert "1 of 2 test rows stand among the others: 1 by image; the first 'x/A.JPG'" in (
        result.output
    )
    one = tmp_path / "one.csv"
    one.write_text("image_id,patient_id,split\na,1,train\nb,2,\nc,1,Test\nd,3,valid\n")
    assert "1 of 1 test rows stand among the others: 1 by patient" in call(str(one)).output
    assert "2 patients, each in one part; 1 rows without patient_id or part were not asked" in (
        call(str(one)).output
    )


def test_a_workbook_is_named_for_what_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "rows.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", "<x/>")
    result = call(str(tmp_path / "rows.xlsx"))
    assert result.exit_code == 3
    assert "an Excel workbook: save it from there as CSV UTF-8" in result.output
