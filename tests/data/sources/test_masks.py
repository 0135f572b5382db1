"""Images without a mask: refused with both paths, or listed; files of nearly the right name."""

import numpy as np
import pytest
from PIL import Image

from melnb.data import folds
from melnb.data.shards.examples import read_examples
from melnb.data.shards.records import RecordsError, make_records
from melnb.data.sources.catalogue import class_order, read_source
from melnb.data.sources.layout import find_near_masks
from melnb.data.sources.tasks import set_task

PART1 = "ISBI2016_ISIC_Part1_{}"


def test_a_file_may_be_meant_whatever_its_tail_and_case():
    files = [
        "/m/ISIC_1_Segmentation.png", "/m/isic_2_segmentation.PNG", "/m/ISIC_3-mask.png",
        "/m/ISIC_4.png", "/m/ISIC_5.jpg", "/m/ISIC_6_superpixels.png", "/m/ISIC_66_lesion.bmp",
        "/m/ISIC_1_segmentation.txt",
    ]  # fmt: skip
    found = find_near_masks([f"ISIC_{k}" for k in range(1, 7)], files)
    assert found == {f"ISIC_{k + 1}": files[k] for k in range(4)}


@pytest.fixture
def pairs_2016(tmp_path, touch):
    """Part 1 alone: pictures and masks, no labels."""
    touch(PART1.format("Training_Data"), ["ISIC_1", "ISIC_2", "ISIC_3"])
    names = [f"ISIC_{k}_Segmentation" for k in (1, 2, 3)]
    touch(PART1.format("Training_GroundTruth"), names, ".png")
    touch(PART1.format("Test_Data"), ["ISIC_9"])
    touch(PART1.format("Test_GroundTruth"), ["ISIC_9_Segmentation"], ".png")
    return tmp_path


def test_2016_part_1_needs_no_labels_to_learn_masks(pairs_2016):
    images = read_source("isic2016", pairs_2016, task="mask")
    assert images["image_id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_9"]
    assert images["split"].tolist() == ["train"] * 3 + ["test"]
    assert images["target"].tolist() == ["lesion"] * 4
    assert images["diagnosis"].isna().all()
    with pytest.raises(FileNotFoundError, match=r"no ISBI2016_ISIC_Part3\*_Training_\w+\.csv"):
        read_source("isic2016", pairs_2016)


def test_2016_with_labels_keeps_its_diagnoses_beside_the_task(pairs_2016, text):
    lines = ["ISIC_1,benign", "ISIC_2,malignant", "ISIC_3,benign"]
    text("ISBI2016_ISIC_Part3_Training_GroundTruth.csv", *lines)
    images = read_source("isic2016", pairs_2016, task="mask")
    assert images["target"].tolist() == ["lesion"] * 4
    assert images["diagnosis"].tolist()[:3] == ["unknown", "melanoma", "unknown"]


def test_2017_part_1_and_its_superpixels(tmp_path, touch):
    head = "ISIC-2017_{}"
    for part, name in {"Training": "ISIC_1", "Validation": "ISIC_2", "Test_v2": "ISIC_3"}.items():
        touch(head.format(part) + "_Data", [name])
        touch(head.format(part) + "_Data", [f"{name}_superpixels"], ".png")
        masks = head.format(part) + "_Part1_GroundTruth"
        touch(masks, [f"{name}_segmentation"], ".png")
    images = read_source("isic2017", tmp_path, task="mask")
    assert images["image_id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_3"]
    assert images["split"].tolist() == ["train", "test", "test"]
    assert images["mask_path"].notna().all()


def test_a_wrong_name_is_told_with_both_paths(pairs_2016):
    folder = pairs_2016 / PART1.format("Training_GroundTruth")
    (folder / "ISIC_2_Segmentation.png").rename(folder / "ISIC_2_segmentation.png")
    (folder / "ISIC_1_Segmentation.png").unlink()
    with pytest.raises(FileNotFoundError) as error:
        read_source("isic2016", pairs_2016, task="mask")
    said = str(error.value)
    assert said.startswith("isic2016: 2 of 4 images have no mask; of ")
    assert str(pairs_2016 / PART1.format("Training_Data") / "ISIC_2.jpg") in said
    assert "no ISIC_2_Segmentation.png" in said
    assert f"{folder / 'ISIC_2_segmentation.png'} (1 such): rename it" in said


def test_left_out_or_kept_when_asked(pairs_2016):
    folder = pairs_2016 / PART1.format("Training_GroundTruth")
    (folder / "ISIC_2_Segmentation.png").unlink()
    images = read_source("isic2016", pairs_2016, task="mask", missing="drop")
    assert images["image_id"].tolist() == ["ISIC_1", "ISIC_3", "ISIC_9"]
    assert images.attrs == {"missing": (), "without_mask": ("ISIC_2",)}
    kept = read_source("isic2016", pairs_2016, task="mask", missing="keep")
    assert kept["target"].isna().tolist() == [False, True, False, False]
    with pytest.raises(folds.FoldError, match=r"target is missing in 1 images .*ISIC_2"):
        folds.make_folds(kept, n_folds=2, seed=0)


@pytest.mark.parametrize("missing", ["error", "drop", "keep"])
def test_no_mask_at_all(tmp_path, text, touch, missing):
    text("images.csv", "image_id,diagnosis", "a,nevus", "b,melanoma")
    touch("pictures", ["a", "b"])
    with pytest.raises(ValueError, match="task mask: none of 2 images of csv has a mask"):
        read_source("csv", tmp_path, task="mask", missing=missing)
    table = read_source("csv", tmp_path)
    with pytest.raises(ValueError, match=r"none of 2 images has a mask \(column mask_path\)"):
        set_task(table, "mask")


def test_a_csv_names_its_masks(tmp_path, text, touch):
    lines = ["image_id,mask_path", "a,masks/a.png", "b,", "c,masks/c.png"]
    text("images.csv", *lines)
    touch("pictures", ["a", "b", "c"])
    touch("masks", ["a", "c"], ".png")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 .*b\.jpg there is no mask_path; complete"):
        read_source("csv", tmp_path / "images.csv", task="mask")
    images = read_source("csv", tmp_path / "images.csv", task="mask", missing="drop")
    assert images["image_id"].tolist() == ["a", "c"]
    # The folder of masks comes first, and each mask bears its picture's name.
    assert [path.split("/")[-2] for path in images["path"]] == ["pictures", "pictures"]


def write_pair(folder, name, mask):
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    Image.new("RGB", (24, 20)).save(folder / "pictures" / f"{name}.jpg")
    Image.fromarray(mask).save(folder / "masks" / f"{name}.png")


def test_folds_and_records_of_the_one_class(tmp_path, text):
    """Folds keep lesions whole, records hold pictures and masks, one class is enough."""
    names = [f"i{k}" for k in range(12)]
    for k, name in enumerate(names):
        mask = np.zeros((20, 24), "uint8")
        mask[: k + 1] = 255
        write_pair(tmp_path, name, mask)
    lines = [f"{name},masks/{name}.png,L{k // 2}" for k, name in enumerate(names)]
    text("images.csv", "image_id,mask_path,lesion_id", *lines)
    images = read_source("csv", tmp_path / "images.csv", task="mask")
    fold_of = folds.make_folds(images, n_folds=3, seed=0)
    assert fold_of["fold"].value_counts().to_dict() == {0: 4, 1: 4, 2: 4}
    assert (fold_of["fold"].to_numpy().reshape(6, 2).std(axis=1) == 0).all()
    folds.check_balance(images, fold_of)
    balance = folds.fold_balance(images, fold_of, classes=class_order(images))
    assert balance["lesion"].tolist() == [4, 4, 4]
    given = {"classes": class_order(images), "image_sizes": [20], "workers": 1, "progress": False}
    written = make_records(images, fold_of, tmp_path / "records", **given)
    examples = [example for shard in written.shards for example in read_examples(shard.path)]
    assert sorted(e["image_name"].decode() for e in examples) == sorted(names)
    assert all(e["mask"] and e["image"] and e["target"] == 0 for e in examples)
    wrong = Image.new("L", (20, 20), 255)
    wrong.save(tmp_path / "masks" / "i3.png")
    with pytest.raises(RecordsError, match="1 pictures cannot be read") as error:
        make_records(images, fold_of, tmp_path / "others", **given)
    for path in ("masks/i3.png", "pictures/i3.jpg"):
        assert str(tmp_path / path) in str(error.value)
    given["skip_unreadable"] = True
    skipped = make_records(images, fold_of, tmp_path / "others", **given).skipped
    assert skipped["image_id"].tolist() == ["i3"]
