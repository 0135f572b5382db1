"""A trial: columns are found by what they hold, and words of one's own are named."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from melnb.data import trial_table as trial
from melnb.tables.checks import TableError


@pytest.fixture
def photos(tmp_path: Path, draw_photos: Callable[[Path, int], Path]) -> Path:
    return draw_photos(tmp_path / "photos", 8)


HEADERS = {
    "plain": ("image,label", "IMG_{k}.jpg,{word}"),
    "isic": ("isic_id,benign_malignant,age_approx", "IMG_{k},{word},50"),
    "path": ("filepath,patient_id,target", "c:\\x\\IMG_{k}.JPG,p{k},{word}"),
    "german": ("Bild;Befund;Notiz", "IMG_{k}.jpg;{word};Text {k}"),
    "verdict last": ("nr,lesion,file name,verdict", "{k},l{k},img_{k}.jpg,{word}"),
    "dx": ("image_id,dx,dx_type", "IMG_{k},{word},histo"),
}


TELLING = set(HEADERS) - {"german", "verdict last"}  # numbers under other names are asked about
WORDS = [(name, pair) for name in HEADERS for pair in (("malignant", "benign"), ("mel", "nv"))]


@pytest.mark.parametrize(("name", "words"), [*WORDS, *((n, ("1", "0")) for n in sorted(TELLING))])
def test_six_headers_are_read_without_a_word(
    photos: Path, name: str, words: tuple[str, str]
) -> None:
    head, row = HEADERS[name]
    lines = [row.format(k=k, word=words[k % 2]) for k in range(8)]
    file = photos.parent / "labels.csv"
    file.write_text("\n".join([head, *lines]))
    found = trial.read_trial(photos, file)
    table = found.table.set_index("image_id")
    task, positive = trial.choose_task(found.table)
    assert (table["target"] == positive).tolist() == [True, False] * 4
    malignancy = words[0] == "malignant" or (name == "isic" and words[0] == "1")
    assert task == ("native" if malignancy else "melanoma")
    assert [Path(p).name for p in table["path"]] == [f"IMG_{k}.jpg" for k in range(8)]
    assert "pictures are named by" in found.taken[0]


@pytest.mark.parametrize(
    ("head", "rows", "classes"),
    [
        ("image,malignant", ("1", "0"), "malignant benign"),
        ("image,benign", ("0", "1"), "malignant benign"),
        ("image,is_benign", ("no", "yes"), "malignant benign"),
        ("image,cancer", ("positive", "negative"), "malignant benign"),
        ("image,label", ("POS", "neg"), "melanoma other"),
        ("image,case,cancer", ("p{k},yes", "p{k},no"), "malignant benign"),
        ("image,bcc,age", ("1,5{k}", "0,6{k}"), "basal_cell_carcinoma other"),
        ("image,MEL,NV,BCC", ("1.0,0.0,0.0", "0.0,1.0,0.0"), "melanoma nevus"),
        ("image,benign,malignant", ("0,1", "1,0"), "malignant benign"),
        ("IMG_0.jpg,malignant", ("malignant", "benign"), "malignant benign"),
        ("IMG_0,1,1", ("1,1", "0,0"), ""),
    ],
)
def test_what_0_and_1_mean_is_told_by_the_columns_name(
    photos: Path, head: str, rows: tuple[str, str], classes: str
) -> None:
    first = int(head.startswith("IMG"))  # no header, but a row
    lines = [f"IMG_{k},{rows[k % 2].format(k=k)}" for k in range(first, 8)]
    file = photos.parent / "labels.csv"
    file.write_text("\n".join([head, *lines]))
    if not classes:
        with pytest.raises(TableError, match="--label-column column 2"):
            trial.read_trial(photos, file)
        return
    table = trial.read_trial(photos, file).table.set_index("image_id")
    assert [*table["target"]] == [*classes.split()] * 4


def test_a_column_that_nothing_tells_is_asked_for_by_its_option(photos: Path) -> None:
    file = photos.parent / "labels.csv"
    lines = [f"IMG_{k},{k % 2},{k % 3}" for k in range(8)]
    file.write_text("\n".join(["image,a,b", *lines]))
    with pytest.raises(TableError, match="--label-column a"):
        trial.read_trial(photos, file)
    found = trial.read_trial(photos, file, label_column="a")
    assert trial.choose_task(found.table) == ("melanoma", "melanoma")
    with pytest.raises(TableError, match="no column 'c' among"):
        trial.read_trial(photos, file, label_column="c")


def test_what_does_not_belong_together_is_counted(photos: Path) -> None:
    file = photos.parent / "labels.csv"
    lines = [f"IMG_{k},{'mel' if k % 2 else 'nv'}" for k in range(6)]
    file.write_text("\n".join(["image,dx", *lines, "gone,nv", "IMG_7,"]))
    (photos / "bad.jpg").write_text("nothing")
    found = trial.read_trial(photos, file)
    assert len(found.table) == 6
    assert found.unlabelled == ("IMG_6", "IMG_7")
    assert found.taken[1] == "labels: nv is read as nevus, mel is read as melanoma"
    assert found.taken[2].startswith("1 of 8 rows have no picture (gone is the first)")
    assert found.refused["file"].tolist() == [str(photos / "bad.jpg")]
    file.write_text("image,dx\nq,nv\nr,mel\n")
    with pytest.raises(TableError, match="no cell names a picture"):
        trial.read_trial(photos, file)


def test_class_folders_need_no_table(photos: Path) -> None:
    for k, path in enumerate(sorted(photos.iterdir())):
        (photos / ("Naevus" if k % 2 else "melanoma")).mkdir(exist_ok=True)
        path.rename(photos / ("Naevus" if k % 2 else "melanoma") / path.name)
    found = trial.read_trial(photos)
    assert found.table["target"].value_counts().to_dict() == {"melanoma": 4, "nevus": 4}


def test_words_of_ones_own_are_translated_and_slips_are_named(photos: Path) -> None:
    table = pd.DataFrame({"image_id": list("abcdefgh"), "patient_id": None,
                          "target": ["take_out"] * 4 + ["leave"] * 4})  # fmt: skip
    assert trial.unknown_words(table) == {"take_out": 4, "leave": 4}
    told = trial.translate(table, {"Take out": "MEL", "leave": "other"})
    assert told["target"].value_counts().to_dict() == {"melanoma": 4, "other": 4}
    assert trial.choose_task(told) == ("melanoma", "melanoma")
    assert trial.count_folds(told, "melanoma") == 2
    with pytest.raises(ValueError, match=r"no picture is labelled 'leve' \(labels: take_out, lea"):
        trial.translate(table, {"leve": "other"})
    with pytest.raises(ValueError, match="'bad' is no class that we know"):
        trial.translate(table, {"leave": "bad"})
    with pytest.raises(ValueError, match="nothing is called melanoma or malignant"):
        trial.choose_task(trial.translate(table, {"take out": "nevus", "leave": "other"}))
    with pytest.raises(ValueError, match="2 pictures of melanoma and 4 others"):
        trial.choose_task(told.drop(index=[0, 1]))


def write_labels(photos: Path, head: str, row: str) -> Path:
    file = photos.parent / "labels.csv"
    rows = [row.format(k=k, half=k // 2, word="mel" if k % 2 else "nv") for k in range(8)]
    file.write_text("\n".join([head, *rows]))
    return file


@pytest.mark.parametrize("name", ["patient_id", "Patient", "subject"])
def test_patients_are_known_by_the_names_that_others_give_them(photos: Path, name: str) -> None:
    found = trial.read_trial(
        photos, write_labels(photos, f"image,{name},dx", "IMG_{k},p{half},{word}")
    )
    assert found.table["patient_id"].tolist() == [f"p{k // 2}" for k in range(8)]
    assert found.taken[-1] == "4 patients: no one of them in two folds"
    folded = trial.read_trial(
        photos, write_labels(photos, "image,Fold,dx", "IMG_{k},{half},{word}")
    )
    assert folded.taken[-1].startswith("folds are cut anew, and 'Fold' is not")
    bare = trial.read_trial(photos, write_labels(photos, "image,dx", "IMG_{k},{word}"))
    assert bare.taken[-1].startswith("no column names patients: if one has several pictures, add")


def test_a_row_that_may_mean_two_pictures_is_refused_with_both(photos: Path) -> None:
    (photos / "again").mkdir()
    (photos / "again" / "IMG_3.JPG").write_bytes((photos / "IMG_3.jpg").read_bytes())
    with pytest.raises(
        TableError, match=r"'img_3' may mean .*IMG_3\.(jpg|JPG) or .*IMG_3\.(jpg|JPG) \(2"
    ):
        trial.read_trial(photos, write_labels(photos, "image,dx", "IMG_{k},{word}"))
    (photos / "again" / "IMG_3.JPG").rename(photos / "again" / "other.jpg")
    found = trial.read_trial(photos, write_labels(photos, "image,dx", "IMG_{k},{word}"))
    assert (len(found.table), found.unlabelled) == (8, ("other",))


def test_a_split_that_somebody_made_is_not_passed_over_in_silence(photos: Path) -> None:
    file = write_labels(photos, "image,split,dx", "IMG_{k},train,{word}")
    file.write_text(file.read_text().replace("IMG_7,train", "IMG_7,test"))
    assert trial.read_trial(photos, file).taken[-1].startswith("1 pictures are set apart as test")


def test_one_class_alone_is_named_where_labels_are_sought(photos: Path) -> None:
    file = write_labels(photos, "image,what", "IMG_{k},melanoma")
    with pytest.raises(TableError, match="two classes are needed: what says 'melanoma' alone"):
        trial.read_trial(photos, file)


def test_a_malignant_picture_is_not_learnt_as_no_melanoma() -> None:
    words = ["melanoma"] * 4 + ["malignant"] * 4 + ["benign"] * 4
    table = pd.DataFrame({"image_id": list("abcdefghijkl"), "patient_id": None, "target": words})
    with pytest.raises(ValueError, match=r"4 pictures are called malignant beside .* melanoma"):
        trial.choose_task(table)
    both = trial.translate(table, {"melanoma": "malignant"})
    assert trial.choose_task(both) == ("native", "malignant")
    none = trial.translate(table, {"malignant": "other"})
    assert trial.choose_task(none) == ("melanoma", "melanoma")


def test_pictures_in_no_class_folder_ask_for_labels(photos: Path) -> None:
    with pytest.raises(TableError, match="give a CSV of labels, or put each picture into a folder"):
        trial.read_trial(photos)
