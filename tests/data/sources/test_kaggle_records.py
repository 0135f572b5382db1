import io

import numpy as np
import pytest
from PIL import Image

from melnb.data.pictures import read_picture
from melnb.data.shards.examples import RecordError, write_shard
from melnb.data.sources.kaggle_records import read_kaggle_records
from melnb.tables.checks import TableError


def jpeg(level=0):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(out, "JPEG")
    return out.getvalue()


def record(name, target=None, **further):
    """Make a record as the published ones are: words as numbers."""
    values = {
        "image": jpeg(), "image_name": name.encode(), "patient_id": 3, "sex": 1, "age_approx": 45,
        "anatom_site_general_challenge": 3, "diagnosis": 0,
    }  # fmt: skip
    return values | ({} if target is None else {"target": target}) | further


@pytest.fixture
def shards(tmp_path):
    write_shard(
        tmp_path / "train00-2.tfrec",
        [
            record("ISIC_1", 0),
            record("ISIC_2", 1, diagnosis=2, sex=0, patient_id=7, image=jpeg(200)),
        ],
    )
    unlabelled = record("ISIC_9", sex=-1, patient_id=-1, anatom_site_general_challenge=-1)
    del unlabelled["diagnosis"]
    write_shard(
        tmp_path / "train14-1.tfrec", [record("ISIC_3", 0, diagnosis=7, width=100, height=50)]
    )
    write_shard(tmp_path / "test03-1.tfrec", [unlabelled])


def test_words_for_missing_are_no_patient_and_no_word(tmp_path):
    words = {"patient_id": b"NA", "sex": b"n/a", "diagnosis": b"-", "lesion_id": b" L1 "}
    write_shard(tmp_path / "train00-1.tfrec", [record("ISIC_1", 0, **words)])
    row = read_kaggle_records(tmp_path).iloc[0]
    assert row[["patient_id", "sex", "diagnosis"]].isna().all()
    assert row["lesion_id"] == "L1"


def test_published_records_are_decoded(tmp_path, shards):
    images = read_kaggle_records(tmp_path).set_index("image_id")
    assert images["target"].to_dict() | {"ISIC_9": None} == {
        "ISIC_1": "other", "ISIC_2": "melanoma", "ISIC_3": "other", "ISIC_9": None,
    }  # fmt: skip
    assert images.loc["ISIC_9", ["target", "sex", "site", "patient_id", "diagnosis"]].isna().all()
    assert images.loc["ISIC_2", ["sex", "age", "site", "diagnosis", "patient_id"]].tolist() == [
        "male", 45.0, "torso", "melanoma", "patient_7",
    ]  # fmt: skip
    assert images["diagnosis"]["ISIC_3"] == "unknown"  # cafe-au-lait macule
    assert images["shard"].to_dict() == {
        "ISIC_1": "0",
        "ISIC_2": "0",
        "ISIC_3": "14",
        "ISIC_9": "3",
    }
    assert images["split"].to_dict() == {
        "ISIC_1": "train", "ISIC_2": "train", "ISIC_3": "train", "ISIC_9": "test",
    }  # fmt: skip
    assert images.loc["ISIC_3", ["width", "height"]].tolist() == [100, 50]
    assert images["width"].isna().sum() == 3


def test_the_paths_open(tmp_path, shards):
    images = read_kaggle_records(tmp_path).set_index("image_id")
    assert images["path"]["ISIC_2"] == f"{tmp_path / 'train00-2.tfrec'}::1"
    assert np.asarray(read_picture(images["path"]["ISIC_2"])).mean() > 190
    assert np.asarray(read_picture(images["path"]["ISIC_1"])).mean() < 10


def test_another_collection_counts_otherwise_so_its_numbers_stay_unknown(tmp_path):
    # ISIC 2019: nevus came first and melanoma second.
    write_shard(
        tmp_path / "train01-2.tfrec", [record("a", 0, diagnosis=0), record("b", 1, diagnosis=1)]
    )
    images = read_kaggle_records(tmp_path)
    assert images["target"].tolist() == ["other", "melanoma"]
    assert images[["sex", "site", "diagnosis"]].isna().all(axis=None)
    assert images["patient_id"].tolist() == ["patient_3", "patient_3"]


def test_tables_beside_the_shards_win(tmp_path, shards, text):
    text(
        "train.csv",
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,target",
        "ISIC_3,IP_33,female,,head/neck,lentigo NOS,0",
        "ISIC_1,IP_11,male,30.0,,unknown,0",
        "ISIC_0,IP_00,male,30.0,,unknown,0",  # a removed duplicate: in no shard
    )
    images = read_kaggle_records(tmp_path).set_index("image_id")
    assert sorted(images.index) == ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_9"]
    assert images["patient_id"]["ISIC_1"] == "IP_11"
    assert images["patient_id"]["ISIC_2"] == "patient_7"
    assert images["diagnosis"]["ISIC_3"] == "benign_keratosis"
    assert np.isnan(images["age"]["ISIC_3"])  # the record holds the mean instead
    assert images["shard"]["ISIC_3"] == "14"


def test_records_of_ours_hold_words(tmp_path):
    ours = {
        "image": jpeg(), "image_name": b"x", "patient_id": b"IP_5", "lesion_id": b"",
        "sex": b"male", "age_approx": -1, "anatom_site_general_challenge": b"torso",
        "diagnosis": b"benign_keratosis", "target": 0, "width": 8, "height": 8,
    }  # fmt: skip
    write_shard(tmp_path / "fold0-00-1.tfrec", [ours])
    image = read_kaggle_records(tmp_path).iloc[0]
    assert image[["patient_id", "sex", "site", "diagnosis"]].tolist() == [
        "IP_5", "male", "torso", "benign_keratosis",
    ]  # fmt: skip
    assert image[["lesion_id", "age"]].isna().all()


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([{"image": b"x"}], "record 0 has no image_name"),
        ([record("a", 5)], r"train00-1\.tfrec::0: target is 5, neither 0 nor 1"),
        ([record("a", 0), record("a", 0)], r"'a' stands in lines .*::0 and .*::1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, examples, said):
    write_shard(tmp_path / f"train00-{len(examples)}.tfrec", examples)
    with pytest.raises(TableError, match=said):
        read_kaggle_records(tmp_path)


def test_no_shards_and_damaged_shards(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \*\.tfrec .*Kaggle"):
        read_kaggle_records(tmp_path)
    write_shard(tmp_path / "train00-1.tfrec", [record("a", 0)])
    with (tmp_path / "train00-1.tfrec").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(RecordError, match=r"train00-1\.tfrec: record 0"):
        read_kaggle_records(tmp_path)
