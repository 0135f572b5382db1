from typing import get_args

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given

from melnb.data.sources import catalogue
from melnb.data.sources.catalogue import class_order, describe_source, read_source, sample_rows
from melnb.params import prepare
from melnb.tables import diagnoses


def images(*targets, diagnosis=None, split=None):
    table = pd.DataFrame({"image_id": [f"i{k:04d}" for k in range(len(targets))]})
    table["target"] = list(targets)
    table["diagnosis"] = list(diagnosis or targets)
    return table if split is None else table.assign(split=list(split))


def test_the_parameter_class_knows_the_same_sources():
    assert set(get_args(prepare.Source)) == set(catalogue.SOURCES)


@pytest.mark.parametrize(
    ("targets", "order"),
    [
        (["melanoma", "other"], ("other", "melanoma")),
        (["melanoma"], ("other", "melanoma")),
        (["other", None], ("other", "melanoma")),
        (["malignant", "benign"], ("benign", "malignant")),
        (["nevus", "benign_keratosis", "melanoma"], ("melanoma", "nevus", "benign_keratosis")),
        (sorted(diagnoses.NAMES), diagnoses.NAMES),
        (["zebra", "nevus", "apple", "other"], ("other", "nevus", "apple", "zebra")),
    ],
)
def test_the_order_of_classes_is_by_name(targets, order):
    assert class_order(images(*targets)) == order
    assert class_order(images(*reversed(targets))) == order


def test_what_was_left_out_and_what_was_read_by_a_rule_is_told():
    table = images("benign", "malignant")
    table.attrs = {"missing": ("a", "b"), "duplicates": (), "indeterminate": ("c",)}
    assert describe_source(table).splitlines() == [
        "left out: {'missing': 2}",
        "1 images are called indeterminate: they count as benign, as ISIC 2024 counts them",
    ]


SIIM = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,target"
STEM = "ISIC-2017_Training"
LAID = {  # source: tables, folders of pictures, and what is in no row
    "csv": (
        {"metadata.csv": ("image_id,target,mask_path", "a,nevus,masks/x.jpg", "b,melanoma,")},
        {"train": "a b", "more": "X a_mask", "masks": "x"}, ("metadata.csv", "more/X.jpg"),
    ),
    "csv by paths": (
        {"metadata.csv": ("image_id,path,target", "one,p/a.jpg,nevus", "two,p/b.jpg,melanoma")},
        {"p": "a b X", "q": "one"}, ("metadata.csv", "p/X.jpg"),
    ),
    "ham10000": (
        {"HAM10000_metadata.csv": (
            "lesion_id,image_id,dx,dx_type,age,sex,localization", "L,a,nv,histo,50,male,back",
        )},
        {"HAM10000_images_part_1": "a", "HAM10000_images_part_2": "X", "masks": "a_segmentation"},
        ("HAM10000_metadata.csv", "HAM10000_images_part_2/X.jpg"),
    ),
    "isic2017": (
        {f"{STEM}_Part3_GroundTruth.csv": ("image_id,melanoma,seborrheic_keratosis", "a,1.0,0.0")},
        {f"{STEM}_Data": "a a_superpixels X X_superpixels", "ISIC-2017_Test_v2_Data": "c"},
        (f"{STEM}_Part3_GroundTruth.csv", f"{STEM}_Data/X.jpg"),
    ),
    "isic2018": (
        {f"ISIC2018_Task3_{part}_GroundTruth.csv": (
            "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC", f"{name},1,0,0,0,0,0,0",
        ) for part, name in (("Training", "a"), ("Validation", "b"))},
        {"images": "a b X"},
        ("ISIC2018_Task3_Training_GroundTruth.csv or ISIC2018_Task3_Validation_GroundTruth.csv",
         "images/X.jpg"),
    ),
    "siim2020": (
        {"train.csv": (SIIM, "a,P,male,45,torso,nevus,0", "ISIC_5194874,P,male,45,torso,nevus,0"),
         "test.csv": (SIIM.rsplit(",", 2)[0], "b,Q,male,45,torso")},
        {"jpeg_full": "a b X ISIC_5194874"}, ("train.csv or test.csv", "jpeg_full/X.jpg"),
    ),
    "isic2024": (
        {"train-metadata.csv": ("isic_id,patient_id,target,iddx_1", "a,P,0,Benign")},
        {"train-image/image": "a X"}, ("train-metadata.csv", "train-image/image/X.jpg"),
    ),
    "ph2": (
        {"PH2_dataset.txt": ("|| IMD003 || || 0 ||",)},
        {"PH2/IMD003/IMD003_Dermoscopic_Image": "IMD003",
         "PH2/IMD003/IMD003_lesion": "IMD003_lesion",
         "PH2/IMD004/IMD004_Dermoscopic_Image": "X"},
        ("PH2_dataset.txt", "IMD004/IMD004_Dermoscopic_Image/X.jpg"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAID)
def test_a_picture_in_no_row_is_told(tmp_path, text, touch, kind):
    files, folders, (table, place) = LAID[kind]
    for name, lines in files.items():
        text(name, *lines)
    for folder, names in folders.items():
        touch(folder, names.split())
    found = read_source(kind.split()[0], tmp_path)
    assert found.attrs["unlisted"] == ("X",)
    said, there = describe_source(found), found["path"].notna().sum()
    assert "'unlisted': 1" in said
    assert f"1 of {there + 1} pictures are in no row of {table}, for example" in said
    assert f"{place}: left out" in said
    for path in tmp_path.rglob("X*"):
        path.unlink()
    whole = describe_source(read_source(kind.split()[0], tmp_path))
    assert "unlisted" not in whole
    assert "in no row" not in whole


def test_what_a_table_tells_of_many_is_in_order_and_not_copied_at_each_step(tmp_path, text, touch):
    """Of 40,000 pictures and a table of 100, copies took 2.5 of 2.8 seconds."""
    text("t.csv", "image_id,target", "a,nevus", "b,melanoma", "gone,nevus")
    touch("p", [f"x{k}" for k in range(9)] + ["a", "b"])
    found = read_source("csv", tmp_path, missing="drop")
    assert found.attrs["unlisted"] == tuple(f"x{k}" for k in range(9))
    assert found.attrs["missing"] == ("gone",)
    assert "p/x0.jpg: left out" in describe_source(found)
    for name in ("unlisted", "missing"):
        assert found.copy().attrs[name] is found.attrs[name]


def test_without_a_target_there_are_no_classes():
    assert class_order(images(None, None)) == ()


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    rows=st.integers(5, 200),
    seed=st.integers(0, 9),
)
def test_a_sample_keeps_every_class_in_proportion(sizes, rows, seed):
    table = images(*(f"c{k}" for k, n in enumerate(sizes) for _ in range(n)))
    sample = sample_rows(table, rows, seed)
    counts = sample["target"].value_counts()
    assert len(sample) == min(rows, len(table))
    assert len(counts) == len(sizes)
    assert sample["image_id"].is_monotonic_increasing  # the table's order
    assert sample.index.tolist() == list(range(len(sample)))
    shuffled = table.sample(frac=1, random_state=seed)
    assert set(sample_rows(shuffled, rows, seed)["image_id"]) == set(sample["image_id"])
    if rows < len(table):
        for k, size in enumerate(sizes):
            wanted = rows * size / len(table)
            assert counts[f"c{k}"] <= max(1, wanted + 1)
            assert counts[f"c{k}"] >= max(1, wanted - len(sizes))


def test_a_sample_depends_on_the_seed_and_keeps_parts_and_notes():
    table = images(
        *["other"] * 90, *["melanoma"] * 10, *[None] * 50, split=["train"] * 100 + ["test"] * 50
    )
    table.attrs["missing"] = ("x",)
    sample = sample_rows(table, 30, seed=1)
    assert sample["split"].value_counts().to_dict() == {"train": 20, "test": 10}
    assert sample["target"].value_counts().to_dict() == {"other": 18, "melanoma": 2}
    assert sample.attrs["missing"] == ("x",)
    assert sample.equals(sample_rows(table, 30, seed=1))
    assert not sample.equals(sample_rows(table, 30, seed=2))
    with pytest.raises(ValueError, match="rows is 2, fewer than the 3 classes"):
        sample_rows(table, 2, seed=1)


def test_a_source_is_read_by_its_name(tmp_path, text):
    file = text("mine.csv", "name,dx", *(f"i{k},{'nv' if k % 3 else 'mel'}" for k in range(30)))
    table = read_source(
        "csv", file, columns={"image_id": "name", "diagnosis": "dx"},
        rows=12, seed=3, task="melanoma", missing="keep",
    )  # fmt: skip
    assert table["target"].value_counts().to_dict() == {"other": 8, "melanoma": 4}


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"no source 'isic2021' .*'isic2020'|'siim2020'"):
        read_source("isic2021", tmp_path)
    with pytest.raises(ValueError, match="columns is for source csv"):
        read_source("ph2", tmp_path, columns={"image_id": "x"})
    with pytest.raises(ValueError, match="folder is empty"):
        read_source("synthetic", "")


@pytest.mark.parametrize("source", sorted({*catalogue.SOURCES} - {"synthetic", "several"}))
def test_an_empty_folder_says_what_is_expected(tmp_path, source):
    with pytest.raises(FileNotFoundError, match=f"{source}: no .* (get it from|put the missing)"):
        read_source(source, tmp_path)


def test_synthetic_lesions_are_made_once(tmp_path):
    made = read_source("synthetic", tmp_path / "raw", rows=12, seed=5, task="melanoma")
    assert len(made) == 12
    assert class_order(made) == ("other", "melanoma")
    assert made["path"].notna().all()
    stamp = (tmp_path / "raw" / "metadata.csv").stat().st_mtime_ns
    assert read_source("synthetic", tmp_path / "raw", rows=12, seed=5, task="melanoma").equals(made)
    assert len(read_source("synthetic", tmp_path / "raw", rows=8, seed=1)) == 8
    with pytest.raises(ValueError, match=r"holds 12 synthetic images, but rows is 13: .*another"):
        read_source("synthetic", tmp_path / "raw", rows=13)
    assert (tmp_path / "raw" / "metadata.csv").stat().st_mtime_ns == stamp


@pytest.mark.data
def test_a_real_sample_keeps_the_rare(real):
    table = read_source("ham10000", real("ham10000"), rows=200, seed=0)
    assert class_order(table) == diagnoses.NAMES[:7]
    assert len(table) == 200
