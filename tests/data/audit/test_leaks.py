"""Leaks by tables: each planted fault fires its own check alone, a clean set none."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from melnb.data.audit.label_order import label_finding, order_finding
from melnb.data.audit.leaks import audit_rows, join_same, leak_findings, read_parts
from melnb.data.embeddings import Embeddings
from melnb.data.folds import make_folds
from melnb.tables.checks import TableError
from melnb.tables.findings import FAIL, NOT_CHECKED, PASS, REVIEW
from melnb.tables.schema import IMAGE_COLUMNS

DATA = os.environ.get("MELNB_DATA", "")
real = pytest.mark.skipif(not DATA, reason="MELNB_DATA is not set: no real data")


def clean(n: int = 120) -> pd.DataFrame:
    """Forty patients of three images, one lesion each, in three folds and a test part."""
    patient = np.arange(n) // 3
    part = np.array(["fold 0", "fold 1", "fold 2", "test"], dtype=object)[patient % 4]
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image_id": [f"i{k:03}" for k in rng.permutation(n)],
            "patient_id": [f"p{k}" for k in patient],
            "lesion_id": [f"l{k}" for k in patient],
            "target": np.where(rng.permutation(n // 3)[patient] % 3 == 0, "melanoma", "other"),
            "part": part,
        }
    )


COPIES = pd.DataFrame({"image_id": pd.Series(dtype=object), "identical": pd.Series(dtype=int)})


def severities(rows: pd.DataFrame, copies: pd.DataFrame | None = COPIES) -> dict[str, str]:
    findings = [*leak_findings(rows, copies=copies), order_finding(rows)]
    return {f.code: f.severity for f in findings if f.severity != PASS}


def moved(rows: pd.DataFrame, place: int, **values: object) -> pd.DataFrame:
    changed = rows.copy()
    for name, value in values.items():
        changed.loc[place, name] = value
    return changed


def test_a_clean_set_gives_no_finding() -> None:
    assert severities(clean()) == {}


@pytest.mark.parametrize("code", ["MEL001", "MEL002", "MEL003", "MEL008"])
def test_who_stands_on_both_sides_is_found_by_its_own_check_alone(code: str) -> None:
    rows = clean()
    alone = {"patient_id": "pp", "lesion_id": "ll"}  # of no one else
    planted = {
        "MEL001": moved(rows, 3, patient_id="p0", lesion_id="ll"),
        "MEL002": moved(rows, 3, patient_id="pp", lesion_id="l0"),
        "MEL003": moved(
            rows, 3, image_id=f"train/{rows['image_id'][0]}.JPG", target=rows["target"][0], **alone
        ),
        "MEL008": moved(rows, 9, patient_id="p0", lesion_id="ll"),
    }[code]
    assert severities(planted) == {code: FAIL}


def test_copies_in_two_parts_fail_and_in_one_are_to_be_seen() -> None:
    rows = clean().assign(target="other")
    rows.loc[60:, "target"] = "melanoma"
    same = rows.loc[[0, 1], "image_id"]
    one = pd.DataFrame({"image_id": same, "identical": 0})
    assert severities(rows.assign(part="fold 0"), one)["MEL004"] == REVIEW
    two = pd.DataFrame({"image_id": rows.loc[[0, 3], "image_id"], "identical": 0})
    assert severities(rows, two)["MEL004"] == FAIL
    torn = pd.DataFrame({"image_id": rows.loc[[0, 60], "image_id"], "identical": 0})
    assert severities(rows, torn)["MEL005"] == FAIL


def test_a_lesion_with_two_labels_is_to_be_seen() -> None:
    rows = clean()
    other = {"melanoma": "other", "other": "melanoma"}[rows["target"][1]]
    assert severities(moved(rows, 1, target=other)) == {"MEL005": REVIEW}


def test_a_class_up_sampled_before_the_split_is_found() -> None:
    rows = clean().assign(patient_id=np.nan, lesion_id=np.nan)
    rare = rows[rows["target"].eq("melanoma") & rows["part"].ne("test")]
    again = rare.assign(image_id=[f"{name}_aug1" for name in rare["image_id"]])
    assert severities(pd.concat([rows, again], ignore_index=True))["MEL006"] == REVIEW
    again["part"] = rare["part"].map({"fold 0": "fold 1", "fold 1": "fold 2", "fold 2": "fold 0"})
    assert severities(pd.concat([rows, again], ignore_index=True))["MEL006"] == FAIL


def test_a_file_sorted_by_class_is_found_and_one_class_is_not_asked() -> None:
    rows = clean().sort_values("target", ignore_index=True)
    assert severities(rows) == {"MEL007": REVIEW}
    assert order_finding(rows.assign(target="other")).severity == NOT_CHECKED


def test_what_is_unknown_is_not_checked() -> None:
    rows = clean().assign(patient_id=np.nan, lesion_id=np.nan, target=np.nan, part=np.nan)
    assert severities(rows, None) == dict.fromkeys(
        ("MEL001", "MEL002", "MEL003", "MEL004", "MEL005", "MEL006", "MEL007", "MEL008"),
        NOT_CHECKED,
    )


def test_labels_in_another_order_than_the_pictures_are_found() -> None:
    rng = np.random.default_rng(0)
    target = rng.choice(["a", "b", "c"], 300, p=[0.6, 0.3, 0.1])
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(300)], "target": target})
    centres = rng.normal(size=(3, 8)) * 3
    values = centres[pd.factorize(target, sort=True)[0]] + rng.normal(size=(300, 8))
    embeddings = Embeddings(images["image_id"].to_numpy(dtype=object), values, {})
    assert label_finding(embeddings, images).severity == PASS
    for wrong in (np.roll(target, 1), target[::-1]):
        assert label_finding(embeddings, images.assign(target=wrong)).severity == FAIL
    shuffled = images.assign(target=rng.permutation(target))
    assert label_finding(embeddings, shuffled).severity == REVIEW
    assert label_finding(embeddings, images.assign(target="a")).severity == NOT_CHECKED


def test_tables_of_anyone_are_parts_by_column_or_by_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("image_name,patient_id,target\na,1,0\nb,2,1\n")
    (tmp_path / "test.csv").write_text("image_name,patient_id\nc,1\nd,3\n")
    rows = read_parts([tmp_path / "train.csv", tmp_path / "test.csv"])
    assert rows["part"].tolist() == ["train", "train", "test", "test"]
    assert severities(rows, None)["MEL008"] == FAIL
    (tmp_path / "one.csv").write_text("ID,Patient,fold,shard\na,1,0,-1\nb,2,-1,0\nc,2,1,3\n")
    rows = read_parts([tmp_path / "one.csv"])
    assert rows["part"].tolist() == ["0", "test", "1"]
    assert read_parts([tmp_path / "one.csv"], part="shard")["image_id"].tolist() == ["b", "c"]
    with pytest.raises(TableError, match="no column 'fol'"):
        read_parts([tmp_path / "one.csv"], part="fol")
    (tmp_path / "bare.csv").write_text("x,y\n1,2\n")
    with pytest.raises(TableError, match="an id is needed"):
        read_parts([tmp_path / "bare.csv"])


def test_settled_pairs_are_kept_in_one_fold_and_may_be_undone(tmp_path: Path) -> None:
    n = 12
    images = clean(n).reindex(columns=[*IMAGE_COLUMNS, "part"])
    images = images.assign(patient_id=np.nan, lesion_id=np.nan, path="")
    images["target"] = ["a", "b"] * (n // 2)
    ids = images["image_id"].tolist()
    none = COPIES.assign(patient_id="", lesion_id="", target="", path="")
    equal = pd.DataFrame({"image_id": ids[2:4], "identical": 0, "path": ""})
    rows = [(ids[0], ids[2], "same picture"), (ids[4], ids[5], "look-alike"), (ids[6], "gone", "")]
    file = tmp_path / "same_as.csv"
    pd.DataFrame(rows, columns=["image_id", "same_as", "kind"]).to_csv(file, index=False)
    joined = join_same(equal, images, file)
    assert set(joined["image_id"]) == {ids[0], ids[2], ids[3]}
    assert joined["identical"].tolist() == [0, 0, 0]
    assert list(joined.columns) == list(equal.columns)
    for seed in range(5):
        folds = make_folds(images, n_folds=2, seed=seed, identical=joined).set_index("image_id")
        assert folds.loc[joined["image_id"], "fold"].nunique() == 1
    assert join_same(none, images) is none
    written = [(f"a/{ids[0].upper()}.jpg", ids[2], "")]
    pd.DataFrame(written, columns=["image_id", "same_as", "kind"]).to_csv(file, index=False)
    assert set(join_same(none, images, file)["image_id"]) == {ids[0], ids[2]}
    file.write_text("image_id,same_as\nx,y\n")
    with pytest.raises(TableError, match=r"names 1 pairs .* no image of them is among the 12"):
        join_same(none, images, file)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="image_id is needed"):
        join_same(none, images, file)


@real
@pytest.mark.data
def test_the_published_shards_part_no_patient_and_folds_of_images_nearly_all() -> None:
    table = Path(DATA) / "siim2020" / "train_cdeotte_i-pan.csv"
    rows = read_parts([table], part="tfrecord")
    assert len(rows) == 33_126 - 434  # duplicates are set aside in shard -1
    shards = {f.code: f for f in leak_findings(rows)}
    assert shards["MEL001"].severity == PASS
    assert "2,056 patients" in shards["MEL001"].evidence
    everyone = read_parts([Path(DATA) / "siim2020" / "train.csv"])
    shares = [_parted_patients(everyone, seed) for seed in range(4)]
    assert np.mean(shares) == pytest.approx(0.993, abs=0.0015)


def _parted_patients(rows: pd.DataFrame, seed: int) -> float:
    """Share of patients whom folds of images part, as the finding says it."""
    fold = np.empty(len(rows), dtype=int)
    for k, (_, held) in enumerate(KFold(5, shuffle=True, random_state=seed).split(fold)):
        fold[held] = k
    finding = leak_findings(rows.assign(part=fold.astype(str)))[0]
    assert finding.severity == FAIL
    return float(finding.evidence.partition("(")[2].partition("%")[0]) / 100


@real
@pytest.mark.data
def test_the_published_test_part_shares_no_patient_with_training() -> None:
    home = Path(DATA) / "siim2020"
    rows = read_parts([home / "train.csv", home / "test.csv"])
    found = {f.code: f.severity for f in leak_findings(rows)}
    assert (found["MEL008"], found["MEL003"]) == (PASS, NOT_CHECKED)


def test_the_rows_of_a_dataset_have_its_folds_as_parts() -> None:
    images = clean(3)[["image_id", "patient_id"]]
    folds = images[["image_id"]].assign(fold=[0, 1, -1])
    assert audit_rows(images, folds)["part"].tolist() == ["fold 0", "fold 1", "test"]
    split = images.assign(split=["train", "test", "train"])
    assert audit_rows(split)["part"].fillna("").tolist() == ["", "test", ""]
