import pytest

from melnb.data.sources.catalogue import class_order, read_source
from melnb.data.sources.isic_challenges import read_isic2018_task1

PICTURES = "ISIC2018_Task1-2_{}_Input"
MASKS = "ISIC2018_Task1_{}_GroundTruth"


@pytest.fixture
def challenge(text, touch):
    """The official layout: licences among the files, attributes of Task 2 beside the masks."""
    for part, names in {"Training": ["ISIC_1", "ISIC_2"], "Validation": ["ISIC_7"]}.items():
        touch(PICTURES.format(part), names)
        touch(MASKS.format(part), [f"{name}_segmentation" for name in names], ".png")
        for folder in (PICTURES, MASKS):
            text(f"{folder.format(part)}/LICENSE.txt", "CC-0")
            text(f"{folder.format(part)}/ATTRIBUTION.txt", "ISIC")
    attributes = ["ISIC_1_attribute_streaks", "ISIC_1_attribute_globules"]
    touch("ISIC2018_Task2_Training_GroundTruth_v3", attributes, ".png")


def test_pictures_and_masks_without_diagnoses(tmp_path, challenge):
    images = read_isic2018_task1(tmp_path)
    assert images["image_id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_7"]
    assert images["split"].tolist() == ["train", "train", "test"]
    assert images[["target", "diagnosis", "patient_id", "lesion_id"]].isna().all(axis=None)
    assert images["path"][2] == str(tmp_path / PICTURES.format("Validation") / "ISIC_7.jpg")
    assert images["mask_path"].str.endswith("_segmentation.png").all()
    assert set(images["source"]) == {"isic2018_task1"}


def test_a_mask_without_its_picture_is_refused_or_listed(tmp_path, challenge, touch):
    touch(MASKS.format("Training"), ["ISIC_3_segmentation"], ".png")
    with pytest.raises(FileNotFoundError, match=r"1 of the 3 .*GroundTruth .* is ISIC_3: complete"):
        read_isic2018_task1(tmp_path)
    images = read_isic2018_task1(tmp_path, missing="drop")
    assert images["image_id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_7"]
    assert images.attrs["missing"] == ("ISIC_3",)


def test_one_part_is_needed(tmp_path, touch):
    touch("Test_Input", ["ISIC_9"])
    said = r"no pictures .* ISIC2018_Task1-2_Training_Input .*Test_Input'\].*2018, Task 1"
    with pytest.raises(FileNotFoundError, match=said):
        read_isic2018_task1(tmp_path)


def test_without_diagnoses_masks_alone_can_be_learnt(tmp_path, challenge):
    bare = read_source("isic2018_task1", tmp_path)
    assert class_order(bare) == ()
    assert bare["split"].eq("test").all()
    assert bare.attrs["unlabelled"] == tuple(bare["image_id"])
    images = read_source("isic2018_task1", tmp_path, task="mask")
    assert images["target"].tolist() == ["lesion"] * 3
    assert class_order(images) == ("lesion",)


@pytest.mark.data
def test_real_pairs(real):
    images = read_source("isic2018_task1", real("isic2018_task1"), task="mask")
    assert len(images) == 2000
    assert images[["path", "mask_path"]].notna().all(axis=None)
    assert images["target"].eq("lesion").all()
