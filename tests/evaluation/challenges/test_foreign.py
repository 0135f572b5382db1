"""Files of every known kind, and a clear word about the others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.tables import schema
from melnb.tables.checks import TableError


def write(folder: Path, text: str) -> Path:
    path = folder / "theirs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_out_of_fold_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "image_name,patient_id,target,fold,pred\n"
        "ISIC_2.jpg,IP_1,0,1,0.25\nISIC_1,,1,2,0.30000000000000004\n",
    )
    table = read_foreign(path, name="b1")
    assert table["image_id"].tolist() == ["ISIC_2", "ISIC_1"]
    assert table["truth"].tolist() == ["other", "melanoma"]
    assert table["fold"].tolist() == [0, 1], "counted from 1, as others do"
    assert table["p_melanoma"].tolist() == [0.25, 0.30000000000000004]
    assert table["p_other"].tolist() == [0.75, 0.7]
    assert table["patient_id"].iloc[0] == "IP_1"
    assert pd.isna(table["patient_id"].iloc[1])
    assert table[["run", "kind"]].iloc[0].tolist() == ["b1", "probability"]
    schema.check_predictions(table)


def test_submission(tmp_path: Path) -> None:
    table = read_foreign(write(tmp_path, "image_name,target\nISIC_1,0.5\nISIC_2,1\n"))
    assert table["fold"].tolist() == [-1, -1]
    assert table["truth"].isna().all()
    assert table["p_melanoma"].tolist() == [0.5, 1]
    assert table["run"].iloc[0] == "theirs"


@pytest.mark.parametrize("column", ["prediction", "p_melanoma", "melanoma", "Probability", "score"])
@pytest.mark.parametrize("index", ["image", "image_id", "isic_id", "id"])
def test_names_of_columns(tmp_path: Path, index: str, column: str) -> None:
    path = write(tmp_path, f"{column},label,{index}\n0.25,malignant,a\n0.5,benign,b\n")
    table = read_foreign(path)
    assert table["p_melanoma"].tolist() == [0.25, 0.5]
    assert table["truth"].tolist() == ["melanoma", "other"]
    assert table["fold"].tolist() == [0, 0]
    assert table["image_id"].tolist() == ["a", "b"]


@pytest.mark.parametrize("column", ["benign", "is_benign", "Benign"])
@pytest.mark.parametrize("cells", ["01", "10", ("true", "false"), ("no", "yes")])
def test_a_column_of_benign_says_no(tmp_path: Path, column: str, cells: tuple[str, str]) -> None:
    path = write(tmp_path, f"id,{column},p_melanoma\na,{cells[0]},0.25\nb,{cells[1]},0.5\n")
    names = {"0": "melanoma", "false": "melanoma", "no": "melanoma"}
    expected = [names.get(cell, "other") for cell in cells]
    assert read_foreign(path)["truth"].tolist() == expected
    named = read_foreign(path, columns={"truth": column, "prediction": "p_melanoma"})
    assert named["truth"].tolist() == expected
    both = write(tmp_path, f"id,target,{column},p_melanoma\na,1,0,0.25\nb,0,1,0.5\n")
    assert read_foreign(both)["truth"].tolist() == ["melanoma", "other"]


def test_0_and_1_go_without_saying_unless_they_mean_the_reverse(tmp_path: Path) -> None:
    usual = read_foreign(write(tmp_path, "image,label,p\na,1.0,0.8\nb,0,0.3\n"))
    assert "label: " not in usual.attrs["read_as"]["note"]
    reverse = read_foreign(write(tmp_path, "image,benign,p\na,1,0.2\nb,0,0.3\n"))
    assert "benign: 0 is melanoma, 1 is other" in reverse.attrs["read_as"]["note"]


def test_the_truth_of_another_class_is_no_truth_of_ours(tmp_path: Path) -> None:
    path = write(tmp_path, "id,nevus,p_melanoma\na,0,0.25\nb,1,0.5\n")
    with pytest.raises(TableError, match="'nevus' says which rows are nevus, not which are melano"):
        read_foreign(path)
    assert read_foreign(path, columns={"truth": ""})["truth"].isna().all()


def test_another_positive_class(tmp_path: Path) -> None:
    path = write(tmp_path, "isic_id,target,pred\na,1,0.25\nb,0,0.5\n")
    table = read_foreign(path, positive="malignant")
    assert schema.class_names(table) == ("benign", "malignant")
    assert table["truth"].tolist() == ["malignant", "benign"]


def test_a_column_per_diagnosis_in_any_order(tmp_path: Path) -> None:
    path = write(
        tmp_path, "image,NV,MEL,AK,SCC,UNK\nISIC_1,0.1,0.6,0.1,0.1,0.1\nISIC_2,0.9,0.1,0,0,0\n"
    )
    table = read_foreign(path)
    assert schema.class_names(table) == (
        "melanoma", "nevus", "actinic_keratosis", "squamous_cell_carcinoma", "unknown",
    )  # fmt: skip
    assert table["p_melanoma"].tolist() == [0.6, 0.1]
    assert table["kind"].iloc[0] == "probability"
    sure_of_all = write(tmp_path, "image,NV,MEL\nISIC_1,0.9,0.9\n")
    assert read_foreign(sure_of_all)["kind"].iloc[0] == "score"


@pytest.mark.parametrize(
    ("cells", "label"),
    [
        (("Positive", "Negative"), ""), (("pos", "NEG"), ""), (("yes", "no"), ""),
        (("2", "1"), "2"), (("1", "-1"), "1"), (("1", "2"), "1.0"), (("Excise", "leave"), "excise"),
    ],
)  # fmt: skip
def test_labels_of_any_words_once_it_is_said_which_is_positive(
    tmp_path: Path, cells: tuple[str, str], label: str
) -> None:
    yes, no = cells
    text = f"image,class,score\na,{yes},0.8\nb,{no},0.3\nc,{no},0.2\nd,,0.1\n"
    path = write(tmp_path, text)
    if label:
        with pytest.raises(TableError, match=r"columns=\{truth: class, positive_label: …\} says"):
            read_foreign(path)
    table = read_foreign(path, columns={"positive_label": label} if label else {})
    assert table["truth"].tolist()[:3] == ["melanoma", "other", "other"]
    assert table["fold"].tolist() == [0, 0, 0, -1]
    assert table["p_melanoma"].tolist() == [0.8, 0.3, 0.2, 0.1]
    note = table.attrs["read_as"]["note"]
    assert f"{yes.lower()} is melanoma" in note
    assert f"{no.lower()} is other" in note


def test_a_positive_label_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, "image,truth,score\na,2,0.8\nb,1,0.3\n")
    with pytest.raises(TableError, match=r"no truth is '3' \(labels: '1', '2'\): say which"):
        read_foreign(path, columns={"positive_label": "3"})
    many = write(tmp_path, "image,dx,MEL,NV,BCC\na,x,0.8,0.1,0.1\nb,y,0.3,0.3,0.4\n")
    with pytest.raises(TableError, match=r"positive_label 'x' parts two classes, and \['mel"):
        read_foreign(many, columns={"positive_label": "x"})


def test_isic2017_has_a_silent_third_class(tmp_path: Path) -> None:
    path = write(tmp_path, "image_id,melanoma,seborrheic_keratosis\nISIC_1,0.2,0.3\nISIC_2,0,1\n")
    table = read_foreign(path)
    assert schema.class_names(table) == ("melanoma", "nevus", "benign_keratosis")
    assert table["p_nevus"].tolist() == [0.5, 0]
    assert table["kind"].iloc[0] == "probability"
    path = write(tmp_path, "image_id,melanoma,seborrheic_keratosis\nISIC_1,0.8,0.7\n")
    assert read_foreign(path)["kind"].iloc[0] == "score"


def test_isic2016_has_no_header(tmp_path: Path) -> None:
    table = read_foreign(write(tmp_path, "ISIC_0000003,0.25\nISIC_0000004,0.5\n"))
    assert table["image_id"].tolist() == ["ISIC_0000003", "ISIC_0000004"]
    assert table["p_melanoma"].tolist() == [0.25, 0.5]


def test_our_own_table_comes_back_whole(tmp_path: Path) -> None:
    made = schema.make_predictions(
        ["a", "b"], [0, -1], ["nevus", None], np.array([[0.1, 0.9], [1 / 3, 2 / 3]]),
        classes=("melanoma", "nevus"), run="r", views="dihedral",
    )  # fmt: skip
    path = schema.write_predictions(made, tmp_path / "ours.csv")
    found = read_foreign(path)
    assert found["p_melanoma"].tolist() == [0.1, 1 / 3]
    assert found["views"].tolist() == ["dihedral"] * 2


def test_unknown_truths_are_test_rows(tmp_path: Path) -> None:
    table = read_foreign(write(tmp_path, "id,target,pred\na,,0.2\nb,1,0.3\n"))
    assert table["fold"].tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,pred\na,0.5\n", "no id among the columns"),
        ("image,colour\na,0.5\n", "no prediction among the columns"),
        ("image,label,p_nevus\na,mel,0.5\nb,nv,0.25\n", "'p_nevus' is of nevus, and no prediction"),
        ("image,pred\na,0.5\nb,7\n", "pred of b is '7', not a number from 0 to 1"),
        ("image,pred\na,0.5\nb,\n", "pred of b is ''"),
        ("image,pred\na,0.5\nb,nan\n", "pred of b is 'nan'"),
        ("image,pred\na,0.5\na.jpg,0.5\n", "'a' stands in more than one row"),
        ("image,pred,target\na,0.5,perhaps\n", "target of a is 'perhaps', not a truth"),
        ("image,pred,fold,target\na,0.5,one,1\n", "fold of a is 'one'"),
        ("image,pred,fold,target\na,0.5,1,\n", "a has no truth"),
        ('image,pred\n"a,0.5\n', "line 2: quotes are not in pairs"),
    ],
)
def test_errors_name_file_and_value(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TableError) as error:
        read_foreign(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no gone\.csv"):
        read_foreign(tmp_path / "gone.csv")


@pytest.mark.data
def test_real_files(siim_predictions: Path) -> None:
    table = read_foreign(siim_predictions / "oof_efficientnet_b1.csv")
    assert len(table) == 33_126
    assert (table["truth"] == "melanoma").sum() == 584
    assert sorted(table["fold"].unique()) == [0, 1, 2, 3, 4]
    assert table["patient_id"].nunique() == 2_056
    assert table["kind"].iloc[0] == "probability"
    truth = siim_predictions.parents[1] / "ham10000" / "ISIC2018_Task3_Training_GroundTruth.csv"
    with pytest.raises(TableError, match="labels, no predictions"):
        read_foreign(truth)
    blend = read_foreign(siim_predictions / "ensemble.csv")
    assert blend["kind"].iloc[0] == "probability"


def test_one_folds_file_keeps_its_number(tmp_path: Path) -> None:
    text = "image,target,fold,pred\na,1,1,0.5\nb,0,1,0.2\nc,0,-1,0.1\n"
    assert read_foreign(write(tmp_path, text))["fold"].tolist() == [1, 1, -1]
