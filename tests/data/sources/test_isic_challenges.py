import numpy as np
import pytest

from melnb.data.sources.isic_challenges import (
    read_isic2016,
    read_isic2017,
    read_isic2018,
    read_isic2019,
)
from melnb.tables.checks import TableError
from melnb.tables.schema import read_images, write_images

CODES_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
CODES_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
CLASSES = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis", "benign_keratosis",
    "dermatofibroma", "vascular_lesion", "squamous_cell_carcinoma", "unknown",
)  # fmt: skip


def one_hot(codes, marks, order=None):
    """Lines of a ground truth: one image for each mark, columns in any order."""
    order = order or codes
    rows = [
        ",".join([f"ISIC_{i:07d}", *("1.0" if c == mark else "0.0" for c in order)])
        for i, mark in enumerate(marks)
    ]
    return [",".join(["image", *order]), *rows]


@pytest.fixture
def year_2016(text, touch):
    stem = "ISBI2016_ISIC_Part"
    text(f"{stem}3_Training_GroundTruth.csv", "ISIC_1,benign", "ISIC_2,malignant", end="\r\n")
    text(f"{stem}3_Test_GroundTruth.csv", "ISIC_3,0.0", "ISIC_4,1.0")
    touch(f"{stem}3_Training_Data", ["ISIC_1", "ISIC_2"])
    touch(f"{stem}3_Test_Data", ["ISIC_3", "ISIC_4"])
    touch(f"{stem}1_Training_GroundTruth", ["ISIC_1_Segmentation"], ".png")


def test_2016_has_no_header_and_words_in_one_part_numbers_in_the_other(tmp_path, year_2016):
    images = read_isic2016(tmp_path)
    assert images["target"].tolist() == ["other", "melanoma", "other", "melanoma"]
    assert images["diagnosis"].tolist() == ["unknown", "melanoma", "unknown", "melanoma"]
    assert images["split"].tolist() == ["train", "train", "test", "test"]
    assert images["mask_path"].notna().tolist() == [True, False, False, False]
    assert images["mask_path"][0].endswith("ISIC_1_Segmentation.png")


def test_the_table_comes_back_from_its_file(tmp_path, year_2016):
    images = read_isic2016(tmp_path)
    back = read_images(write_images(images, tmp_path / "out" / "images.csv"))
    assert back.equals(images)


def test_2016_missing_pictures(tmp_path, year_2016):
    (tmp_path / "ISBI2016_ISIC_Part3_Training_Data" / "ISIC_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 .*ISIC_1: complete .*2016"):
        read_isic2016(tmp_path)
    images = read_isic2016(tmp_path, missing="drop")
    assert images["image_id"].tolist() == ["ISIC_2", "ISIC_3", "ISIC_4"]
    assert images.attrs["missing"] == ("ISIC_1",)


def test_2016_a_label_that_is_none(tmp_path, year_2016, text):
    text("ISBI2016_ISIC_Part3_Training_GroundTruth.csv", "ISIC_1,benign", "ISIC_2,malign")
    with pytest.raises(TableError, match=r"Training_GroundTruth\.csv line 2: label 'malign'"):
        read_isic2016(tmp_path)


def test_no_labels_says_which_file_and_where_to_get_it(tmp_path):
    wanted = r"no ISIC_2019_Training_GroundTruth\.csv .*challenge\.isic-archive\.com/data, 2019"
    with pytest.raises(FileNotFoundError, match=wanted):
        read_isic2019(tmp_path)


def test_2017_three_classes_from_two_columns_by_name(tmp_path, text, touch):
    head = "ISIC-2017_Training"
    text(
        f"{head}_Part3_GroundTruth.csv",
        "image_id,seborrheic_keratosis,melanoma",  # permuted
        "ISIC_1,0.0,0.0", "ISIC_2,0.0,1.0", "ISIC_3,1.0,0.0",
    )  # fmt: skip
    text(
        f"{head}_Data/{head}_Data_metadata.csv",  # inside the folder, as in the official archive
        "image_id,age_approximate,sex", "ISIC_3,unknown,unknown", "ISIC_1,55,female",
    )  # fmt: skip
    touch(f"{head}_Data", ["ISIC_1", "ISIC_2", "ISIC_3"])
    touch(f"{head}_Data", ["ISIC_1_superpixels"], ".png")
    touch(f"{head}_Part1_GroundTruth", ["ISIC_2_segmentation"], ".png")
    touch("ISIC-2017_Test_v2_Data", ["ISIC_9"])
    touch("ISIC-2017_Test_v2_Data", ["ISIC_9_superpixels"], ".png")
    images = read_isic2017(tmp_path).set_index("image_id")
    assert images["target"].tolist()[:3] == ["nevus", "melanoma", "benign_keratosis"]
    assert images.loc["ISIC_1", ["age", "sex"]].tolist() == [55.0, "female"]
    assert images.loc[["ISIC_2", "ISIC_3"], ["age", "sex"]].isna().all(axis=None)
    assert images["mask_path"].notna().tolist() == [False, True, False, False]
    # A part without labels is read from its pictures, superpixels apart.
    assert images.index.tolist()[3:] == ["ISIC_9"]
    assert images["split"]["ISIC_9"] == "test"
    assert images["target"].isna().tolist() == [False, False, False, True]


def test_2017_two_labels_in_one_row(tmp_path, text):
    text(
        "ISIC-2017_Training_Part3_GroundTruth.csv",
        "image_id,melanoma,seborrheic_keratosis",
        "a,1,1",
    )
    with pytest.raises(TableError, match="line 2: two labels"):
        read_isic2017(tmp_path)


def test_2018_is_read_by_the_names_of_its_columns(tmp_path, text, touch):
    ids = [f"ISIC_{i:07d}" for i in range(7)]
    touch("ISIC2018_Task3_Training_Input", ids)
    text(
        "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,diagnosis_confirm_type",
        *(f"{i},HAM_{k // 2},histopathology" for k, i in enumerate(ids)),
    )
    name = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
    text(name, *one_hot(CODES_2018, CODES_2018))
    straight = read_isic2018(tmp_path)
    text(name, *one_hot(CODES_2018, CODES_2018, order=sorted(CODES_2018, reverse=True)))
    permuted = read_isic2018(tmp_path)
    assert straight["target"].tolist() == list(CLASSES[:7])
    assert straight["lesion_id"].nunique() == 4
    assert straight.equals(permuted)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x,0,0,0,0,0,0,0", r"line 3: x is labelled nothing, .*1 such"),
        ("x,1,0,0,1,0,0,0", r"line 3: x is labelled \['MEL', 'AKIEC'\]"),
        ("x,0.7,0,0,0,0,0,0.3", r"line 3: MEL is '0\.7', neither 0 nor 1"),
        ("ISIC_0000000,1,0,0,0,0,0,0", "'ISIC_0000000' stands in lines 2 and 3"),
    ],
)
def test_2018_rows_that_say_no_class_or_two(tmp_path, text, line, said):
    lines = one_hot(CODES_2018, ["NV"])
    text("ISIC2018_Task3_Training_GroundTruth.csv", *lines, line)
    with pytest.raises(TableError, match=said):
        read_isic2018(tmp_path)


def test_2018_a_column_that_is_not_there_or_twice(tmp_path, text):
    name = "ISIC2018_Task3_Training_GroundTruth.csv"
    text(name, *one_hot(CODES_2018, ["NV"], order=CODES_2018[:6]))
    with pytest.raises(TableError, match="no column for vascular_lesion"):
        read_isic2018(tmp_path)
    text(name, *one_hot(CODES_2018, ["NV"], order=(*CODES_2018, "nevus")))
    with pytest.raises(TableError, match="'NV' and 'nevus' are both nevus"):
        read_isic2018(tmp_path)


def test_2019_nine_columns_downsampled_ids_and_lesions_partly_known(tmp_path, text, touch):
    lines = one_hot(CODES_2019, CODES_2019)
    lines[2] = lines[2].replace("ISIC_0000001", "ISIC_0000001_downsampled")
    ids = [line.split(",")[0] for line in lines[1:]]
    text("ISIC_2019_Training_GroundTruth.csv", *lines)
    text(
        "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        f"{ids[1]},60.0,posterior torso,BCN_1,male",
        f"{ids[0]},,,,",
    )
    touch("ISIC_2019_Training_Input", ids)
    # The official test labels carry weights of the scoring beside the classes.
    header, row = one_hot(CODES_2019, ["UNK"])
    text(
        "ISIC_2019_Test_GroundTruth.csv", f"{header},score_weight", row.replace("_0", "_9") + ",0.5"
    )
    touch("ISIC_2019_Test_Input", [row.replace("_0", "_9").split(",")[0]])
    images = read_isic2019(tmp_path)
    assert images["target"].tolist() == [*CLASSES, "unknown"]
    assert images["image_id"][1] == "ISIC_0000001_downsampled"
    assert images["lesion_id"][1] == "BCN_1"
    assert images["site"][1] == "torso"
    assert images["lesion_id"].notna().sum() == 1
    assert images["split"].tolist() == ["train"] * 9 + ["test"]


def test_2019_a_test_part_without_labels(tmp_path, text, touch):
    text("ISIC_2019_Training_GroundTruth.csv", *one_hot(CODES_2019, ["MEL"]))
    touch("ISIC_2019_Training_Input", ["ISIC_0000000"])
    touch("ISIC_2019_Test_Input", ["ISIC_0034321"])
    text("ISIC_2019_Test_Metadata.csv", "image,age_approx,sex", "ISIC_0034321,45.0,female")
    test = read_isic2019(tmp_path).iloc[1]
    assert test["split"] == "test"
    assert test["age"] == 45
    assert test[["target", "diagnosis"]].isna().all()


@pytest.mark.data
def test_real_2016(real):
    with pytest.raises(FileNotFoundError, match="54 of the 900 images"):
        read_isic2016(real("isic2016"))
    images = read_isic2016(real("isic2016"), missing="drop")
    assert len(images) == 846
    assert len(images.attrs["missing"]) == 54
    assert images["mask_path"].notna().all()
    everything = read_isic2016(real("isic2016"), missing="keep")
    assert everything["target"].value_counts().to_dict() == {"other": 727, "melanoma": 173}


@pytest.mark.data
def test_real_2017(real):
    images = read_isic2017(real("isic2017"))
    train = images[images["split"] == "train"]
    assert train["target"].value_counts().to_dict() == {
        "nevus": 1372, "melanoma": 374, "benign_keratosis": 254,
    }  # fmt: skip
    assert images["split"].value_counts().to_dict() == {"train": 2000, "test": 150}
    assert train["sex"].isna().sum() == 229
    assert train["mask_path"].notna().all()
    assert np.nanmax(train["age"]) == 85


@pytest.mark.data
def test_real_2018_agrees_with_ham10000(real):
    from melnb.data.sources.ham10000 import read_ham10000

    challenge = read_isic2018(real("ham10000")).set_index("image_id").sort_index()
    authors = read_ham10000(real("ham10000")).set_index("image_id").sort_index()
    assert challenge["target"].equals(authors["target"])
    assert challenge["lesion_id"].equals(authors["lesion_id"])
