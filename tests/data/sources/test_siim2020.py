import pytest

from melnb.data.sources.siim2020 import FURTHER_DUPLICATES, read_siim2020
from melnb.tables.checks import TableError

HEADER = (
    "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,"
    "diagnosis,benign_malignant,target"
)
ROWS = (
    "ISIC_1,IP_1,male,45.0,head/neck,unknown,benign,0",
    "ISIC_2,IP_1,male,45.0,torso,lentigo NOS,benign,0",
    "ISIC_3,IP_2,female,,,melanoma,malignant,1",
    "ISIC_4,IP_2,,,palms/soles,cafe-au-lait macule,benign,0",
)


@pytest.fixture
def tables(text):
    text("train.csv", HEADER, *ROWS)
    text(
        "test.csv", HEADER.rsplit(",", 3)[0],
        "ISIC_8,IP_8,male,70.0,", "ISIC_9,IP_8,male,70.0,lower extremity",
    )  # fmt: skip


def test_unknown_is_other_and_test_rows_have_no_target(tmp_path, tables):
    images = read_siim2020(tmp_path)
    assert images["target"].tolist()[:4] == ["other", "other", "melanoma", "other"]
    assert images["diagnosis"].tolist()[:4] == [
        "unknown", "benign_keratosis", "melanoma", "unknown",
    ]  # fmt: skip
    assert images["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert images["target"].isna().tolist() == [False] * 4 + [True] * 2
    assert images["path"].isna().all()
    assert images["patient_id"].nunique() == 3


def test_without_pictures_it_is_an_error_if_so_asked(tmp_path, tables):
    with pytest.raises(FileNotFoundError, match=r"4 of the 4 images in train\.csv"):
        read_siim2020(tmp_path, missing="error")


@pytest.mark.parametrize("folder", ["jpeg/train", "train", "jpeg_512", "jpeg_full"])
def test_pictures_in_any_of_the_published_folders(tmp_path, tables, touch, folder):
    touch(folder, ["ISIC_2", "ISIC_3"])
    images = read_siim2020(tmp_path, missing="drop")
    assert images["image_id"].tolist() == ["ISIC_2", "ISIC_3"]
    assert images["path"][0] == str(tmp_path / folder / "ISIC_2.jpg")
    assert images.attrs["missing"] == ("ISIC_1", "ISIC_4", "ISIC_8", "ISIC_9")


def test_sizes_are_never_mixed_the_fullest_folder_serves_all(tmp_path, tables, touch):
    touch("jpeg_full", ["ISIC_1"])
    touch("jpeg_512", ["ISIC_2", "ISIC_3"])
    touch("jpeg/test", ["ISIC_8", "ISIC_9"])
    images = read_siim2020(tmp_path, missing="drop")
    assert images["image_id"].tolist() == ["ISIC_2", "ISIC_3", "ISIC_8", "ISIC_9"]


def test_of_a_published_pair_the_second_goes_and_is_listed(tmp_path, tables, text):
    text(
        "2020_Challenge_duplicates.csv", "ISIC_id,ISIC_id_paired,partition",
        "ISIC_1,ISIC_2,train", "ISIC_8,ISIC_9,test",
    )  # fmt: skip
    images = read_siim2020(tmp_path)
    # Test pairs stay: a submission has all 10,982 rows.
    assert images["image_id"].tolist() == ["ISIC_1", "ISIC_3", "ISIC_4", "ISIC_8", "ISIC_9"]
    assert images.attrs["duplicates"] == ("ISIC_2",)
    marked = read_siim2020(tmp_path, duplicates="mark")
    assert marked.loc[marked["duplicate"], "image_id"].tolist() == ["ISIC_2"]
    assert len(marked) == 6
    with pytest.raises(ValueError, match="duplicates is 'hide'"):
        read_siim2020(tmp_path, duplicates="hide")


def test_shards_of_the_published_records(tmp_path, tables, text):
    text(
        "train_cdeotte_x.csv", "image_name,tfrecord,width,height",
        "ISIC_3,14,100,50", "ISIC_2,-1,10,20", "ISIC_1,0,6000,4000", "ISIC_4,2,1,1",
    )  # fmt: skip
    images = read_siim2020(tmp_path)
    assert images.attrs["duplicates"] == ("ISIC_2",)
    assert images["shard"].tolist()[:3] == ["0", "14", "2"]
    assert images["shard"].isna().sum() == 2
    assert images["width"].tolist()[:3] == [6000, 100, 1]


def test_shards_in_the_table_itself(tmp_path, text):
    rows = [f"{r},{s}" for r, s in zip(ROWS, (3, -1, 4, 5), strict=True)]
    text("train.csv", f"{HEADER},tfrecord", *rows)
    images = read_siim2020(tmp_path)
    assert images["shard"].tolist() == ["3", "4", "5"]
    assert images.attrs["duplicates"] == ("ISIC_2",)


def test_the_names_of_the_archive(tmp_path, text, touch):
    header = HEADER.replace("patient_id", "patient_id,lesion_id")
    text(
        "ISIC_2020_Training_GroundTruth_v2.csv", header, ROWS[2].replace("IP_2", "IP_2,IL_7")
    )  # fmt: skip
    text(
        "ISIC_2020_Test_Metadata.csv",
        "image,patient,sex,age_approx,anatom_site_general_challenge", "ISIC_8,IP_8,male,70.0,",
    )  # fmt: skip
    touch("ISIC_2020_Training_JPEG/train", ["ISIC_3"])
    touch("ISIC_2020_Test_JPEG/ISIC_2020_Test_Input", ["ISIC_8"])
    images = read_siim2020(tmp_path, missing="error")
    assert images["lesion_id"][0] == "IL_7"
    assert images["patient_id"].tolist() == ["IP_2", "IP_8"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,p,male,1,torso,melanoma,benign,0", "line 2: diagnosis melanoma but target 0"),
        ("a,p,male,1,torso,nevus,benign,2", "line 2: target is '2'"),
        ("a,p,male,1,torso,mole,benign,0", "line 2: diagnosis 'mole'"),
        (
            "a,p,male,1,torso,nevus,benign,0\na,p,male,1,torso,nevus,benign,0",
            "'a' stands in lines 2",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, line, said):
    text("train.csv", HEADER, line)
    with pytest.raises(TableError, match=said):
        read_siim2020(tmp_path)


@pytest.mark.data
def test_real_counts(real):
    images = read_siim2020(real("siim2020"), duplicates="mark")
    train = images[images["split"] == "train"]
    assert len(train) == 33126
    assert (train["target"] == "melanoma").sum() == 584
    assert train["patient_id"].nunique() == 2056
    assert train["duplicate"].sum() == 434
    assert train["shard"].notna().sum() == 32692
    assert images["path"].notna().sum() == 203
    assert len(images) - len(train) == 10982


@pytest.mark.data
def test_real_duplicates_are_known_without_the_table_of_the_records(real, tmp_path):
    names = ("train.csv", "2020_Challenge_duplicates.csv")
    for name in names:
        (tmp_path / name).symlink_to(real("siim2020") / name)
    alone, all_files = read_siim2020(tmp_path), read_siim2020(real("siim2020"))
    assert alone.attrs["duplicates"] == all_files.attrs["duplicates"]
    assert len(alone) == 32692
    assert (alone["target"] == "melanoma").sum() == 581
    assert set(FURTHER_DUPLICATES) <= set(alone.attrs["duplicates"])


@pytest.mark.data
def test_real_shards_are_the_published_ones(real):
    images = read_siim2020(real("siim2020"))
    train = images[images["split"] == "train"]
    counts = train["shard"].astype(int).value_counts().sort_index().tolist()
    # Counts that stand in the names of the published files.
    assert counts == [
        2182, 2185, 2193, 2182, 2167, 2171, 2175, 2174, 2177, 2178, 2174, 2176, 2198, 2186, 2174,
    ]  # fmt: skip
    assert train.groupby("patient_id")["shard"].nunique().max() == 1
