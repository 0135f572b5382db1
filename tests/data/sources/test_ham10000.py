import pytest

from melnb.data.sources.ham10000 import read_ham10000
from melnb.tables.checks import TableError

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"


def test_codes_lesions_and_two_folders_of_pictures(tmp_path, text, touch):
    text(
        "HAM10000_metadata.csv", HEADER,
        "HAM_1,ISIC_1,bkl,histo,80.0,male,scalp",
        "HAM_1,ISIC_2,akiec,histo,,unknown,unknown",
        "HAM_2,ISIC_3,vasc,consensus,0.0,female,trunk",
    )  # fmt: skip
    touch("HAM10000_images_part_1", ["ISIC_1"])
    touch("HAM10000_images_part_2", ["ISIC_2", "ISIC_3"])
    touch("HAM10000_segmentations_lesion_tschandl", ["ISIC_3_segmentation"], ".png")
    images = read_ham10000(tmp_path)
    assert images["target"].tolist() == [
        "benign_keratosis", "actinic_keratosis", "vascular_lesion",
    ]  # fmt: skip
    assert images["lesion_id"].tolist() == ["HAM_1", "HAM_1", "HAM_2"]
    assert images["site"].tolist()[::2] == ["head/neck", "torso"]
    assert images.loc[1, ["sex", "age", "site"]].isna().all()
    assert images["age"].tolist()[::2] == [80.0, 0.0]
    assert images["mask_path"].notna().tolist() == [False, False, True]
    assert images["path"].str.contains("part_2").tolist() == [False, True, True]


def test_a_code_outside_the_ontology(tmp_path, text):
    text("HAM10000_metadata.csv", HEADER, "H,I,nvv,histo,80.0,male,scalp")
    with pytest.raises(TableError, match=r"HAM10000_metadata\.csv line 2: diagnosis 'nvv'"):
        read_ham10000(tmp_path)


@pytest.mark.data
def test_real_counts(real):
    images = read_ham10000(real("ham10000"))
    counts = {
        "nevus": 6705, "melanoma": 1113, "benign_keratosis": 1099, "basal_cell_carcinoma": 514,
        "actinic_keratosis": 327, "vascular_lesion": 142, "dermatofibroma": 115,
    }  # fmt: skip
    assert images["target"].value_counts().to_dict() == counts
    assert images["lesion_id"].nunique() == 7470
    assert images[["path", "mask_path"]].notna().all(axis=None)
    assert images["sex"].isna().sum() == 57
    assert images["age"].isna().sum() == 57
    assert images["site"].isna().sum() == 234
