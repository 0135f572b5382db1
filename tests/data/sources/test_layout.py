import pandas as pd
import pytest

from melnb.data.sources import layout
from melnb.tables.checks import TableError


def listing(folder, source="test"):
    return layout.list_folder(folder, source=source, home="the shop")


def test_files_are_found_at_any_depth_the_shallow_ones_first(tmp_path, text):
    text("a/b/train.csv", "deep")
    text("z/train.csv", "shallow")
    assert listing(tmp_path).find("train.csv") == tmp_path / "z" / "train.csv"
    assert listing(tmp_path).find("tr*.csv") == tmp_path / "z" / "train.csv"
    assert listing(tmp_path).find("no.csv", "train.csv") is not None
    assert listing(tmp_path).find("no.csv") is None


def test_a_file_that_is_needed_says_what_is_there_and_where_to_get_it(tmp_path, text):
    text("other.csv", "x")
    with pytest.raises(FileNotFoundError, match=r"test: no train\.csv.*other\.csv.*the shop"):
        listing(tmp_path).need("train.csv")


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_that_is_not_there(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no folder '{folder}'.*the shop"):
        listing(folder)


def test_pictures_come_in_the_order_of_folders_and_names_each_time(tmp_path, touch):
    touch("a", [f"x{k}" for k in range(10)])
    touch("b", [f"w{k}" for k in range(10)])
    found = list(listing(tmp_path).pictures("**"))
    assert found == [*(f"x{k}" for k in range(10)), *(f"w{k}" for k in range(10))]


def test_pictures_by_folder_and_tail(tmp_path, touch):
    touch("jpeg/train", ["a", "b"])
    touch("masks", ["a_mask", "c"], ".png")
    touch("jpeg", ["notes"], ".txt")
    files = listing(tmp_path)
    assert files.pictures("jpeg/train") == {
        "a": str(tmp_path / "jpeg/train/a.jpg"),
        "b": str(tmp_path / "jpeg/train/b.jpg"),
    }
    assert files.pictures("masks", tail="_mask") == {"a": str(tmp_path / "masks/a_mask.png")}
    assert set(files.pictures("**")) == {"a", "b", "a_mask", "c"}
    assert files.pictures("test") == {}


def test_the_earlier_folder_wins(tmp_path, touch):
    touch("one", ["a"], ".JPG")
    touch("two", ["a", "b"], ".png")
    found = listing(tmp_path).pictures("two", "one")
    assert found == {"a": str(tmp_path / "two/a.png"), "b": str(tmp_path / "two/b.png")}


def test_two_pictures_of_one_name_are_refused_with_both_paths_where_one_is_asked_for(tmp_path):
    for file, data in {
        "benign/im0.jpg": b"1", "malignant/im0.jpg": b"2", "benign/same.jpg": b"3",
        "copy/same.jpg": b"3", "copy/im1.jpg": b"4", "copy/._im1.jpg": b"5",
    }.items():  # fmt: skip
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(data)
    found = listing(tmp_path).pictures("**")
    with pytest.raises(ValueError, match=r"called im0: .*benign/im0\.jpg and .*malignant/im0\.jpg"):
        found.of(pd.Series(["same", "im0"]))
    assert found.of(pd.Series(["same", "im1", "no"])).dropna().tolist() == [
        str(tmp_path / "benign/same.jpg"), str(tmp_path / "copy/im1.jpg"),
    ]  # fmt: skip
    assert listing(tmp_path).pictures("malignant", "benign").of(pd.Series(["im0"])).tolist() == [
        str(tmp_path / "malignant/im0.jpg")
    ]


@pytest.mark.parametrize("file", ["ISIC_1.jpg.dcm", "Input/isic_1.JPG", "Input/ISIC_1.heic"])
def test_a_picture_under_another_name_is_no_incomplete_download(tmp_path, file):
    (tmp_path / "Input").mkdir()
    (tmp_path / file).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/ISIC_2.png").touch()
    table = pd.DataFrame({"image_id": ["ISIC_1", "ISIC_2", "ISIC_3"]})
    files = listing(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"3 of the 3 .* \d of them lie there .*such as "
    ) as e:
        layout.place_pictures(
            table, files.pictures("Input"), files, file=tmp_path / "t.csv", missing="error"
        )
    assert "2 of them" in str(e.value)
    assert "in a folder Input" in str(e.value)
    assert "complete the download" not in str(e.value)


def test_links_are_followed_but_not_in_circles(tmp_path, touch):
    touch("data/real", ["a"])
    (tmp_path / "data" / "real" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "linked").symlink_to(tmp_path / "data" / "real")
    (tmp_path / "data" / "real" / "round").symlink_to("round")
    found = listing(tmp_path)
    assert set(found.pictures("**")) == set(found.pictures("real")) == {"a"}
    assert found.broken == (str(tmp_path / "data/real/round"),)


def test_rows_carry_the_lines_of_the_file(text):
    file = text("t.csv", "id,x", "a,1", "b,")
    rows = layout.read_rows(file)
    assert rows.index.tolist() == [2, 3]
    assert rows["x"].tolist()[0] == "1"
    assert pd.isna(rows["x"][3])
    assert layout.read_rows(file, names=("id", "x")).index.tolist() == [1, 2, 3]


def test_a_byte_order_mark_and_words_for_nothing_are_no_trouble(tmp_path):
    file = tmp_path / "t.csv"
    file.write_bytes(b"\xef\xbb\xbfid,dx\r\nNA,None\r\n")
    rows = layout.read_rows(file)
    assert list(rows.columns) == ["id", "dx"]
    assert rows.iloc[0].tolist() == ["NA", "None"]  # "NA" is a text, only emptiness is missing


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "is utf-16 but breaks off"),
        (b"a,b\n1,2,3\n4,5,6,7\n", "line 2: 3 cells where the header has 2"),
    ],
)
def test_what_is_no_table_is_said_to_be_none(tmp_path, data, words):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(TableError, match=rf"t\.csv {words}"):
        layout.read_rows(tmp_path / "t.csv")


def test_a_column_is_found_in_any_case_and_its_absence_names_the_nearest(tmp_path):
    table = pd.DataFrame({"Image_Name": ["a"], "targe": ["1"]})
    assert layout.column(table, tmp_path, "image", "image_name").tolist() == ["a"]
    with pytest.raises(TableError, match=r"no column 'target' .*did you mean 'targe'"):
        layout.column(table, tmp_path, "target")


def test_ids_empty_and_doubled_name_their_lines(tmp_path):
    with pytest.raises(TableError, match="line 3: the image id is empty"):
        layout.check_ids(pd.Series(["a", None], index=[2, 3]), tmp_path)
    with pytest.raises(TableError, match=r"'a' stands in lines 2 and 4 \(1 ids"):
        layout.check_ids(pd.Series(["a", "b", "a"], index=[2, 3, 4]), tmp_path)


def test_what_is_done_with_missing_pictures(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "b", "c"]})
    there = {"a": "a.jpg"}

    def place(missing):
        return layout.place_pictures(
            table, there, listing(tmp_path), file=tmp_path / "t.csv", missing=missing
        )

    with pytest.raises(FileNotFoundError, match=r"2 of the 3 images in t\.csv .* first is b"):
        place("error")
    dropped = place("drop")
    assert dropped["image_id"].tolist() == ["a"]
    assert dropped.attrs["missing"] == ("b", "c")
    assert place("keep")["path"].isna().tolist() == [False, True, True]
    with pytest.raises(ValueError, match="missing is 'ignore'"):
        place("ignore")


def test_parts_are_joined_into_a_checked_table():
    one, two = pd.DataFrame({"image_id": ["a"], "x": [1]}), pd.DataFrame({"image_id": ["b"]})
    one.attrs["missing"], two.attrs["missing"] = ("m",), ("n",)
    images = layout.make_images("test", [one, two, one.iloc[:0]])
    assert images["image_id"].tolist() == ["a", "b"]
    assert images["source"].tolist() == ["test", "test"]
    assert list(images.columns)[-1] == "x"
    assert images.attrs["missing"] == ("m", "n", "m")
    with pytest.raises(TableError, match="more than one row"):
        layout.make_images("test", [one, one])
    with pytest.raises(FileNotFoundError, match="no image"):
        layout.make_images("test", [one.iloc[:0]])
