"""The tasks: every source's diagnoses become classes, and the rare are merged, not lost."""

from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given

from melnb.data import folds
from melnb.data.sources.catalogue import class_order, read_source
from melnb.data.sources.tasks import merge_rare, set_task
from melnb.tables.diagnoses import NAMES


def images(*targets, diagnosis=None, split=None):
    table = pd.DataFrame({"image_id": [f"i{k:04d}" for k in range(len(targets))]})
    table["target"] = list(targets)
    table["diagnosis"] = list(diagnosis or targets)
    return table if split is None else table.assign(split=list(split))


def repeated(**counts):
    return images(*(name for name, n in counts.items() for _ in range(n)))


def test_melanoma_against_other():
    native = images("melanoma", "nevus", "unknown", None)
    assert set_task(native, "native") is native
    found = set_task(native, "melanoma")["target"]
    assert found.tolist()[:3] == ["melanoma", "other", "other"]
    assert pd.isna(found[3])
    assert native["target"][1] == "nevus"


def test_malignant_is_not_melanoma_the_diagnosis_tells():
    table = images(
        "malignant",
        "malignant",
        "benign",
        diagnosis=["basal_cell_carcinoma", "melanoma", "unknown"],
    )
    assert set_task(table, "melanoma")["target"].tolist() == ["other", "melanoma", "other"]


def test_a_task_that_cannot_be_set():
    with pytest.raises(ValueError, match=r"none of 2 .*\['sick', 'well'\].*task native"):
        set_task(images("sick", "well"), "melanoma")
    with pytest.raises(ValueError, match="no task 'nevus'"):
        set_task(images("nevus"), "nevus")


def test_the_diagnosis_is_the_target_and_unknown_is_a_class():
    table = images(
        "other", "melanoma", "other", "other", None,
        diagnosis=["nevus", "melanoma", "unknown", "benign_keratosis", None],
    )  # fmt: skip
    found = set_task(table, "diagnosis")
    assert found["target"].tolist()[:4] == ["nevus", "melanoma", "unknown", "benign_keratosis"]
    assert pd.isna(found["target"][4])
    assert class_order(found) == ("melanoma", "nevus", "benign_keratosis", "unknown")


def test_where_the_diagnosis_is_unknown_the_target_may_say_more():
    table = images(
        "melanoma", "zebra", "benign", "malignant", "nevus",
        diagnosis=["unknown", None, None, "unknown", "nevus"],
    )  # fmt: skip
    found = set_task(table, "diagnosis")["target"].tolist()
    assert found == ["melanoma", "zebra", "unknown", "unknown", "nevus"]


def test_malignant_is_parted_by_the_diagnosis():
    table = images(
        "malignant", "malignant", "benign",
        diagnosis=["basal_cell_carcinoma", "melanoma", "nevus"],
    )  # fmt: skip
    found = set_task(table, "diagnosis")["target"].tolist()
    assert found == ["basal_cell_carcinoma", "melanoma", "nevus"]


@pytest.mark.parametrize(
    ("target", "diagnosis"), [("other", "melanoma"), ("nevus", "melanoma"), ("melanoma", "nevus")]
)
def test_a_diagnosis_at_odds_with_the_target_is_named(target, diagnosis):
    table = images("nevus", target, diagnosis=["nevus", diagnosis])
    with pytest.raises(ValueError, match=f"i0001 has diagnosis {diagnosis} but target {target}"):
        set_task(table, "diagnosis")


def test_a_source_that_names_melanoma_alone_is_refused():
    table = images("melanoma", "other", diagnosis=["melanoma", "unknown"])
    with pytest.raises(ValueError, match=r"no diagnosis besides \['melanoma', 'unknown'\]"):
        set_task(table, "diagnosis")


def test_records_that_are_used_as_they_are_have_no_diagnoses(tmp_path):
    with pytest.raises(ValueError, match=r"kaggle_tfrecords .* targets 0 and 1"):
        read_source("kaggle_tfrecords", tmp_path, task="diagnosis")


def test_rare_classes_are_merged_and_said():
    table = repeated(nevus=30, melanoma=2, benign_keratosis=12, dermatofibroma=4, zebra=7)
    found, said = merge_rare(table, rarest=10)
    assert found["target"].value_counts().to_dict() == {
        "nevus": 30, "benign_keratosis": 12, "other": 11, "melanoma": 2,
    }  # fmt: skip
    assert said["target"].tolist() == [
        "nevus", "benign_keratosis", "zebra", "dermatofibroma", "melanoma",
    ]  # fmt: skip
    assert said["images"].tolist() == [30, 12, 7, 4, 2]
    assert said["learnt_as"].tolist() == ["nevus", "benign_keratosis", "other", "other", "melanoma"]
    assert found["diagnosis"].equals(table["diagnosis"])
    assert class_order(found) == ("other", "melanoma", "nevus", "benign_keratosis")


def test_the_next_larger_class_joins_what_is_too_few_together():
    found, _ = merge_rare(repeated(nevus=30, melanoma=20, scc=12, df=3), rarest=10)
    assert found["target"].value_counts().to_dict() == {"nevus": 30, "melanoma": 20, "other": 15}


def test_nothing_is_merged_without_need():
    table = repeated(nevus=30, melanoma=3, df=10)
    for rarest in (0, 10):
        assert merge_rare(table, rarest=rarest)[0]["target"].equals(table["target"])


def test_test_images_do_not_count_but_follow():
    split = ["train"] * 24 + ["test"] * 25
    targets = ["nevus"] * 12 + ["df"] * 9 + ["melanoma"] * 3 + ["df"] * 20 + ["unknown"] * 5
    found, said = merge_rare(images(*targets, split=split), rarest=10)
    # df: 9 to learn from are too few, even with 20 in the test; unknown is there alone.
    assert said["target"].tolist() == ["nevus", "df", "melanoma"]
    assert set(found["target"][21:24]) == {"melanoma"}
    assert set(found["target"]) == {"other", "melanoma", "unknown"}


@given(
    counts=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 40), min_size=1),
    rarest=st.integers(0, 50),
)
def test_no_class_but_melanoma_is_left_too_rare_if_it_can_be_helped(counts, rarest):
    table = repeated(**counts).sample(frac=1, random_state=rarest)
    found = merge_rare(table, rarest=rarest)[0]["target"].value_counts()
    assert found.sum() == len(table)
    assert found.get("melanoma", 0) == counts.get("melanoma", 0)
    others = found.drop("melanoma", errors="ignore")
    assert (others >= rarest).all() or set(others.index) == {"other"}


def test_synthetic_diagnoses(tmp_path: Path):
    table = read_source("synthetic", tmp_path / "raw", rows=60, task="diagnosis")
    merged, said = merge_rare(table, rarest=10)
    learnt = table[table["split"].ne("test")]
    assert said["images"].sum() == learnt["target"].notna().sum() == len(learnt) < 60
    fold_of = folds.make_folds(merged, n_folds=2, seed=0)
    assert set(fold_of["fold"]) == {-1, 0, 1}
    assert "melanoma" in class_order(merged)


def test_a_csv_of_diagnoses(text):
    rows = (f"i{k},{('nv', 'mel', 'Solar Lentigo', 'unknown')[k % 4]}" for k in range(8))
    file = text("mine.csv", "image_id,diagnosis", *rows)
    table = read_source("csv", file, task="diagnosis", missing="keep")
    # A CSV without a target has no class for unknown: whether it is benign, no one said.
    assert table["target"].dropna().unique().tolist() == ["nevus", "melanoma", "benign_keratosis"]
    assert table["target"].isna().sum() == 2


@pytest.mark.data
def test_the_real_diagnoses_of_2020(real):
    table = read_source("siim2020", real("siim2020"), task="diagnosis", missing="keep")
    train = table[table["split"] == "train"]
    # Published counts of 33,126 rows, less 434 second pictures: 27,126 unknown (27,124, and one
    # each of two names without a class), 5,193 nevi, 584 melanomas, 223 keratoses and lentigines.
    assert train["target"].value_counts().to_dict() == {
        "unknown": 26699, "nevus": 5191, "melanoma": 581, "benign_keratosis": 221,
    }  # fmt: skip
    assert table.loc[table["split"] == "test", "target"].isna().all()
    assert merge_rare(table, rarest=10)[0]["target"].equals(table["target"])
    assert class_order(table) == ("melanoma", "nevus", "benign_keratosis", "unknown")


@pytest.mark.data
def test_the_real_diagnoses_before_duplicates_are_dropped(real):
    from melnb.data.sources.siim2020 import read_siim2020

    table = set_task(read_siim2020(real("siim2020"), duplicates="mark"), "diagnosis")
    assert table["target"].value_counts().to_dict() == {
        "unknown": 27126, "nevus": 5193, "melanoma": 584, "benign_keratosis": 223,
    }  # fmt: skip


@pytest.mark.data
def test_the_real_diagnoses_of_ham10000(real):
    table = read_source("ham10000", real("ham10000"), task="diagnosis")
    native = read_source("ham10000", real("ham10000"))
    assert table["target"].tolist() == native["target"].tolist()
    merged, _ = merge_rare(table, rarest=130)  # dermatofibroma 115, vascular lesion 142
    assert merged["target"].value_counts()["other"] == 257
    fold_of = folds.make_folds(merged, n_folds=5, seed=0)
    assert folds.check_balance(merged, fold_of) is fold_of
