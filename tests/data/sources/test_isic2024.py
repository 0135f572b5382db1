import io

import h5py
import numpy as np
import pytest
from PIL import Image

from melnb.data.pictures import read_picture
from melnb.data.sources.isic2024 import read_isic2024

HEADER = (
    "isic_id,target,patient_id,age_approx,sex,anatom_site_general,tbp_lv_x,iddx_1,iddx_3,lesion_id"
)
ROWS = (
    "ISIC_1,0,IP_1,60.0,male,posterior torso,1.5,Benign,,",
    'ISIC_2,1,IP_1,60.0,male,head/neck,1.5,Malignant,"Melanoma, NOS",IL_1',
    "ISIC_3,1,IP_2,,,,1.5,Malignant,Basal cell carcinoma,IL_2",
    "ISIC_4,0,IP_2,,female,anterior torso,1.5,Benign,Angiofibroma,IL_3",
    "ISIC_5,1,IP_3,,female,torso,1.5,Malignant,Melanoma in situ,IL_4",
)


def jpeg(level):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def files(tmp_path, text):
    text("train-metadata.csv", HEADER, *ROWS)
    with h5py.File(tmp_path / "train-image.hdf5", "w") as pictures:
        for number in range(1, 6):
            pictures[f"ISIC_{number}"] = np.bytes_(jpeg(40 * number))


def test_pictures_inside_one_file_and_diagnoses_of_the_third_level(tmp_path, files):
    images = read_isic2024(tmp_path)
    assert images["target"].tolist() == ["benign", "malignant", "malignant", "benign", "malignant"]
    assert images["diagnosis"].tolist() == [
        "unknown", "melanoma", "basal_cell_carcinoma", "unknown", "melanoma",
    ]  # fmt: skip
    assert images["site"].tolist()[:2] == ["torso", "head/neck"]
    assert images["lesion_id"].isna().tolist() == [True, False, False, False, False]
    assert images["patient_id"].nunique() == 3
    assert images["path"][2] == f"{tmp_path / 'train-image.hdf5'}::ISIC_3"


def test_the_paths_open(tmp_path, files):
    for number, path in enumerate(read_isic2024(tmp_path)["path"], start=1):
        pixels = np.asarray(read_picture(path))
        assert pixels.shape == (8, 8, 3)
        assert abs(pixels.mean() - 40 * number) < 2


def test_a_picture_that_is_not_inside(tmp_path, files, text):
    text("train-metadata.csv", HEADER, *ROWS, "ISIC_6,0,IP_1,60.0,male,,,,,")
    with pytest.raises(FileNotFoundError, match=r"1 of the 6 .*ISIC_6"):
        read_isic2024(tmp_path)


def test_jpegs_in_a_folder_and_test_rows(tmp_path, text, touch):
    text("train-metadata.csv", HEADER, ROWS[0])
    text("test-metadata.csv", "isic_id,patient_id,age_approx,sex", "ISIC_9,IP_9,50.0,male")
    touch("train-image/image", ["ISIC_1"])
    touch("test-image", ["ISIC_9"])
    images = read_isic2024(tmp_path)
    assert images["split"].tolist() == ["train", "test"]
    assert images["target"].isna().tolist() == [False, True]
    assert images["path"][0] == str(tmp_path / "train-image/image/ISIC_1.jpg")
