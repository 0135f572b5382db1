import pytest

from melnb.data.sources.any_csv import read_any_csv
from melnb.tables.checks import TableError

COLUMNS = {"image_id": "name", "diagnosis": "dx", "patient_id": "person"}


def test_a_column_map(tmp_path, text, touch):
    text(
        "mine.csv", "name,dx,person,age,given_fold",
        "a.jpg,NV,p1,30,0", "b.jpg,melanoma,p2,,1", "c.jpg,unknown,p2,,1", "d.jpg,,p3,,1",
    )  # fmt: skip
    touch("pictures/deep", ["a", "b", "c", "d"])
    images = read_any_csv(tmp_path, columns=COLUMNS)
    assert images["image_id"].tolist() == ["a", "b", "c", "d"]
    assert images["diagnosis"].tolist()[:3] == ["nevus", "melanoma", "unknown"]
    assert images["target"].tolist()[:2] == ["nevus", "melanoma"]
    assert images["target"].isna().tolist() == [False, False, True, True]  # unknown: no class
    assert images["patient_id"].tolist() == ["p1", "p2", "p2", "p3"]
    assert images["age"][0] == 30  # not mapped, but named as ours
    assert images["given_fold"].tolist() == ["0", "1", "1", "1"]
    assert images["path"][0] == str(tmp_path / "pictures/deep/a.jpg")


def test_the_file_itself_and_paths_relative_to_it(tmp_path, text, touch):
    touch("shots", ["one", "two"], ".PNG")
    touch("masks", ["one"], ".png")
    text("other.csv", "x", "1")
    file = text(
        "mine.csv", "file,label,mask", "shots/one.PNG,1,masks/one.png", "./shots/two.PNG,0,"
    )
    columns = {"path": "file", "target": "label", "mask_path": "mask"}
    images = read_any_csv(file, columns=columns)
    assert images["image_id"].tolist() == ["one", "two"]
    assert images["path"][1] == str(tmp_path / "shots/two.PNG")
    assert images["mask_path"][0] == str(tmp_path / "masks/one.png")
    assert images["target"].tolist() == ["melanoma", "other"]
    with pytest.raises(FileNotFoundError, match=r"2 CSV files .*instead of the folder"):
        read_any_csv(tmp_path, columns=columns)


@pytest.mark.parametrize(
    ("values", "targets"),
    [
        (("0.0", "1.0"), ["other", "melanoma"]),
        (("benign", "malignant"), ["benign", "malignant"]),
        (("BCC", "My own class"), ["basal_cell_carcinoma", "my_own_class"]),
    ],
)
def test_targets(tmp_path, text, values, targets):
    text("mine.csv", "image_id,target", *(f"i{k},{v}" for k, v in enumerate(values)))
    assert read_any_csv(tmp_path, missing="keep")["target"].tolist() == targets


@pytest.mark.parametrize(
    ("column", "targets"),
    [
        ("melanoma", ["other", "melanoma"]),
        ("is_malignant", ["benign", "malignant"]),
        ("Benign", ["malignant", "benign"]),
        ("BCC", ["other", "basal_cell_carcinoma"]),
        ("cancer", ["benign", "malignant"]),
        ("excised", ["other", "melanoma"]),
    ],
)
def test_what_1_means_is_told_by_the_columns_name(tmp_path, text, column, targets):
    text("mine.csv", f"image_id,{column}", "a,0", "b,1.0")
    mapped = read_any_csv(tmp_path, columns={"target": column}, missing="keep")
    assert mapped["target"].tolist() == targets
    if column == "BCC":  # which may be a feature
        with pytest.raises(TableError, match="no column target or diagnosis, but 'BCC' holds 0, 1"):
            read_any_csv(tmp_path, missing="keep")
    elif column != "excised":  # whose name says nothing
        assert read_any_csv(tmp_path, missing="keep")["target"].tolist() == targets
    text("mine.csv", "image_id,melanoma", "a,0", "b,maybe")
    with pytest.raises(TableError, match=r"line 3: melanoma is 'maybe', neither 0 nor 1"):
        read_any_csv(tmp_path, missing="keep")


def test_a_mapped_column_is_not_read_twice(tmp_path, text):
    text("mine.csv", "image_id,target", "a,nevus")
    images = read_any_csv(tmp_path, columns={"diagnosis": "target"}, missing="keep")
    assert images.loc[0, ["diagnosis", "target"]].tolist() == ["nevus", "nevus"]


def test_a_column_that_is_not_there_is_named(tmp_path, text):
    text("mine.csv", "name,dx", "a,nevus")
    with pytest.raises(TableError, match=r"mine\.csv: no column 'nme' .*did you mean 'name'"):
        read_any_csv(tmp_path, columns={"image_id": "nme"})
    with pytest.raises(TableError, match="no column 'image_id'"):
        read_any_csv(tmp_path)


def test_a_map_the_wrong_way_round(tmp_path, text):
    with pytest.raises(ValueError, match=r"'diagnosys' is no column.*did you mean 'diagnosis'"):
        read_any_csv(tmp_path, columns={"diagnosys": "dx"})


@pytest.mark.parametrize(
    ("header", "line", "said"),
    [
        ("image_id,diagnosis", "a,mole", "line 2: diagnosis 'mole'"),
        ("image_id,split", "a,both", "line 2: split 'both' is not train or test"),
        ("image_id,width", "a,wide", "line 2: width is 'wide', not a number"),
        ("image_id,sex", "a,7", "line 2: sex '7'"),
        ("image_id,age", "a,130", "age of a is 130"),
        ("image_id,x", "a.jpg,1\na.png,2", "'a' stands in lines 2 and 3"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, header, line, said):
    text("mine.csv", header, line)
    with pytest.raises(TableError, match=said):
        read_any_csv(tmp_path, missing="keep")


def test_missing_files(tmp_path, text, touch):
    with pytest.raises(FileNotFoundError, match=r"no \*\.csv"):
        read_any_csv(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.csv"):
        read_any_csv(tmp_path / "none.csv")
    text("mine.csv", "image_id,path", "a,a.jpg", "b,b.jpg")
    touch(".", ["a"])
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 .* first is b"):
        read_any_csv(tmp_path)
    assert read_any_csv(tmp_path, missing="drop").attrs["missing"] == ("b",)
