"""Class folders: every layout of them, the ids, and what is no class folder."""

import numpy as np
import pytest
from PIL import Image

from melnb.data.sources.catalogue import class_order, read_source
from melnb.data.sources.class_folders import read_folders


def targets(table):
    said = table["target"].fillna("")
    return dict(zip(table["image_id"], said, strict=True))


def test_the_folder_is_the_label(tmp_path, touch):
    touch("MEL", ["ISIC_0000001"])
    touch("nv/patient7/more", ["b"], ".PNG")
    touch("Stucco Keratosis", ["c d"])
    table = read_folders(tmp_path)
    assert targets(table) == {
        "ISIC_0000001": "melanoma", "b": "nevus", "c_d": "stucco_keratosis",
    }  # fmt: skip
    assert table["diagnosis"].dropna().tolist() == ["melanoma", "nevus"]
    assert table["patient_id"].isna().all()
    assert "split" not in table
    assert read_source("folders", tmp_path, task="melanoma")["target"].tolist().count("other") == 2


@pytest.mark.parametrize(
    "layout", ["{split}/{label}", "{label}/{split}", "unzipped/{split}/{label}"]
)
def test_what_was_held_out_is_test(tmp_path, touch, layout):
    for split, name in (("Train", "a"), ("val", "b"), ("test", "c")):
        touch(layout.format(split=split, label="benign"), [name])
    touch(layout.format(split="Train", label="malignant"), ["d"])
    table = read_folders(tmp_path)
    assert dict(zip(table["image_id"], table["split"], strict=True)) == {
        "a": "train", "b": "test", "c": "test", "d": "train",
    }  # fmt: skip
    assert dict(zip(table["image_id"], table["part"], strict=True)) == {
        "a": "train", "b": "val", "c": "test", "d": "train",
    }  # fmt: skip
    assert class_order(table) == ("benign", "malignant")


def test_numbers_within_a_folder_are_called_by_folder_and_the_rest_as_they_are(tmp_path, touch):
    touch("train/benign", ["im0", "im1"])
    touch("train/malignant", ["IM0", "ISIC_0000007"])
    assert set(read_folders(tmp_path)["image_id"]) == {
        "train_benign_im0", "im1", "train_malignant_IM0", "ISIC_0000007",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("benign/ISIC_0000007.jpg", "malignant/ISIC_0000007.jpg"),
        ("benign/a.jpg", "benign/a.png"),
        ("benign/a.jpg", "benign/thumbs/a.jpg"),
    ],
)
def test_two_files_of_one_picture_or_class_are_refused_with_both_paths(tmp_path, touch, one, other):
    for file in (one, other, "malignant/b.jpg"):
        folder, _, name = file.rpartition("/")
        touch(folder, [name[:-4]], name[-4:])
    with pytest.raises(ValueError, match=rf"{one} and .*{other}: remove one"):
        read_folders(tmp_path)


def test_pictures_without_a_class_are_test_rows(tmp_path, touch):
    touch("train/nevus", ["a"])
    touch("test", ["b"])
    assert targets(read_folders(tmp_path)) == {"a": "nevus", "b": ""}
    table = read_folders(tmp_path / "test")
    assert table[["image_id", "split"]].to_numpy().tolist() == [["b", "test"]]
    assert table["target"].isna().all()


def test_a_word_for_missing_is_no_class(tmp_path, touch):
    for label, name in (("test/NA", "a"), ("test/unknown", "b"), ("train/nv", "c")):
        touch(label, [name])
    assert targets(read_folders(tmp_path)) == {"a": "", "b": "", "c": "nevus"}


@pytest.mark.parametrize("file", ["overview", "train/sheet", "more/benign/x"])
def test_a_picture_to_learn_from_lies_in_a_class_folder(tmp_path, touch, file):
    touch("train/benign", ["a"])
    folder, _, name = file.rpartition("/")
    touch(folder or ".", [name])
    with pytest.raises(ValueError, match=rf"{name}\.jpg lies .*move"):
        read_folders(tmp_path)


def test_companions_are_no_pictures_and_an_empty_class_is_named(tmp_path, touch):
    touch("benign", ["a", "._a", ".DS_Store"])
    touch("__MACOSX/benign", ["._a", "a"])
    touch("malignant", ["b"])
    assert set(read_folders(tmp_path)["image_id"]) == {"a", "b"}
    (tmp_path / "akiec").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no picture in .*akiec \(1 such"):
        read_folders(tmp_path)
    assert read_folders(tmp_path, missing="drop").attrs["empty"] == ("akiec",)


def test_a_mask_beside_its_picture_is_its_mask(tmp_path):
    (tmp_path / "benign").mkdir()
    for name in ("benign (1).png", "benign (1)_mask.png", "mask.png"):
        Image.fromarray(np.zeros((4, 4), "uint8")).save(tmp_path / "benign" / name)
    table = read_folders(tmp_path).set_index("image_id")
    assert set(table.index) == {"benign_1_", "mask"}
    assert table.loc["benign_1_", "mask_path"] == str(tmp_path / "benign" / "benign (1)_mask.png")
    assert read_source("folders", tmp_path, task="mask", missing="drop")["target"].tolist() == [
        "lesion"
    ]
