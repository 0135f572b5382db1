"""External data: matched by name, and free of what it will be judged on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.datasets import Dataset
from melnb.data.epochs.external import add_external, external_rows, match_classes
from melnb.data.epochs.training_rows import read_rows
from melnb.data.shards.records import make_records
from melnb.tables.schema import IMAGE_COLUMNS, write_images

TWO = ("other", "melanoma")
ISIC = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis", "benign_keratosis",
    "dermatofibroma", "vascular_lesion",
)  # fmt: skip
Prepare = Callable[..., Dataset]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Return a function that prepares a dataset of rows; a number makes a picture."""
    folder = tmp_path / "raw"
    folder.mkdir()

    def picture(number: int) -> str:
        path = folder / f"{number}.jpg"
        small = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype="uint8")
        Image.fromarray(small).resize((40, 40)).save(path, quality=90)
        return str(path)

    def make(name: str, rows: list[dict[str, Any]], **more: Any) -> Dataset:
        settings = {"classes": TWO, "quality": 95, "size": 16} | more
        table = pd.DataFrame(rows)
        images = pd.DataFrame({c: [np.nan] * len(table) for c in IMAGE_COLUMNS}, dtype=object)
        images["image_id"] = table["id"]
        images["path"] = table["picture"].map(picture)
        for column in ("patient_id", "lesion_id", "target"):
            if column in table:
                images[column] = table[column]
        folds = pd.DataFrame({"image_id": table["id"], "fold": table["fold"]})
        home = tmp_path / name
        made = make_records(
            images, folds, home / "records", classes=settings["classes"],
            image_sizes=[settings["size"]], quality=settings["quality"], workers=1, progress=False,
        )  # fmt: skip
        write_images(images, home / "images.csv")
        return Dataset(
            home, name, "csv", "native", settings["classes"], 3, (settings["size"],), "crop",
            len(images), made.shards,
        )  # fmt: skip

    return make


def row(image_id: str, picture: int, fold: int, target: str | None = "other", **ids: str) -> Any:
    return {"id": image_id, "picture": picture, "fold": fold, "target": target, **ids}


@pytest.fixture
def own(prepare: Prepare) -> Dataset:
    return prepare(
        "own",
        [
            row("a0", 0, 0, patient_id="p0", lesion_id="l0"),
            row("a1", 1, 1, patient_id="p1", lesion_id="l1"),
            row("a2", 2, 2, "melanoma", patient_id="p2", lesion_id="l2"),
            row("a3", 3, -1, None, patient_id="p3", lesion_id="l3"),
        ],
    )


def other(prepare: Prepare, **more: Any) -> Dataset:
    """One image for every reason, and two that may be learnt from."""
    return prepare(
        "other",
        [
            row("b0", 10, 0, patient_id="q0", lesion_id="m0"),
            row("b1", 11, 1, "melanoma", patient_id="p1", lesion_id="l1"),  # of a training fold
            row("a3", 12, 0),  # the image of test
            row("a2", 13, 0),  # an image that is learnt from already
            row("b4", 14, 0, patient_id="p0"),  # the patient held out
            row("b5", 15, 1, patient_id="p3"),  # a patient of test
            row("b6", 16, 1, lesion_id="l0"),  # the lesion held out
            row("b7", 0, 2),  # the picture held out
            row("b8", 18, 2, None),  # no label
            row("b9", 19, -1),  # of the other dataset's test
        ],
        **more,
    )


def counts(table: pd.DataFrame) -> dict[str, int]:
    return dict(zip(table["reason"], table["images"], strict=True))


@pytest.mark.parametrize("quality", [95, 80])
def test_what_is_judged_on_is_left_out_and_counted(
    prepare: Prepare, own: Dataset, quality: int
) -> None:
    """At another quality the records differ, and the raw files tell."""
    rows, table = external_rows(other(prepare, quality=quality), own=own, fold=0, image_size=16)
    assert sorted(rows.image_id) == ["b0", "b1"]
    labels = dict(zip(rows.image_id, rows.labels, strict=True))
    assert labels == {"b0": 0, "b1": 1}
    assert (rows.group == 1).all()
    assert counts(table) == {
        "kept": 2, "no label": 1, "class left out": 0, "image in the dataset": 2,
        "patient held out or in test": 2, "lesion held out or in test": 1,
        "in a dataset before": 0, "same picture": 1,
    }  # fmt: skip


def test_the_same_picture_is_found_in_the_records_when_the_raw_files_are_gone(
    prepare: Prepare, own: Dataset, tmp_path: Path
) -> None:
    dataset = other(prepare)
    for path in (tmp_path / "raw").iterdir():
        path.unlink()
    _, table = external_rows(dataset, own=own, fold=0, image_size=16)
    assert counts(table)["same picture"] == 1


def test_the_original_of_a_held_out_smaller_copy_is_not_learnt_from(prepare: Prepare) -> None:
    """Of ISIC 2017's 2,150 pictures 1,431 are in ISIC 2019 as `_downsampled` alone."""
    small = [row(f"ISIC_000000{k}_downsampled", k, k % 2) for k in range(8)]
    small[0]["patient_id"] = "P 1"
    names = ["ISIC_0000000", "ISIC_0000001.JPG", "isic_0000002", "ISIC_0000003_downsampled"]
    large = [row(name, 20 + k, 0) for k, name in enumerate(names)]
    large += [row("n0", 30, 0, patient_id="p 1 "), row("n1", 31, 0)]
    rows, table = external_rows(
        prepare("large", large), own=prepare("small", small), fold=0, image_size=16
    )
    assert [*rows.image_id] == ["n1"]
    assert counts(table)["image in the dataset"] == 4
    assert counts(table)["patient held out or in test"] == 1


def test_who_is_of_the_patient_of_a_held_out_picture_is_not_learnt_from(
    prepare: Prepare, own: Dataset
) -> None:
    """One's own patient has another name there: the picture alone says who it is."""
    theirs = [row("f0", 0, 0, patient_id="z"), row("f1", 51, 0, patient_id="z"), row("f2", 52, 0)]
    rows, table = external_rows(prepare("renamed", theirs), own=own, fold=0, image_size=16)
    assert [*rows.image_id] == ["f2"]
    assert counts(table)["patient held out or in test"] == 1


def test_another_fold_leaves_out_others(prepare: Prepare, own: Dataset) -> None:
    rows, _ = external_rows(other(prepare), own=own, fold=1, image_size=16)
    assert sorted(rows.image_id) == ["b0", "b4", "b6"]  # b1 is of the patient held out


def test_classes_are_translated_by_name(prepare: Prepare, own: Dataset) -> None:
    dataset = prepare(
        "seven",
        [
            row("c0", 20, 0, "nevus"),
            row("c1", 21, 1, "melanoma"),
            row("c2", 22, 1, "dermatofibroma"),
        ],
        classes=("melanoma", "nevus", "dermatofibroma"),
    )
    rows, table = external_rows(dataset, own=own, fold=0, image_size=16, drop=["dermatofibroma"])
    assert dict(zip(rows.image_id, rows.truth.tolist(), strict=True)) == {
        "c0": [1, 0], "c1": [0, 1],
    }  # fmt: skip
    assert counts(table)["class left out"] == 1


def test_rows_of_several_datasets_are_added_once(prepare: Prepare, own: Dataset) -> None:
    training = read_rows(own.paths(own.other_folds(0), 16), n_classes=2)
    again = prepare("again", [row("b0", 10, 0), row("d1", 31, 1)])
    rows, table = add_external(training, [other(prepare), again], own=own, fold=0, image_size=16)
    assert sorted(rows.image_id) == ["a1", "a2", "b0", "b1", "d1"]
    last = counts(table[table["dataset"] == "again"])
    assert (last["kept"], last["in a dataset before"]) == (1, 1)
    assert table.groupby("dataset")["images"].sum().to_dict() == {"other": 9, "again": 2}


def test_without_datasets_nothing_changes(own: Dataset) -> None:
    training = read_rows(own.paths(own.other_folds(0), 16), n_classes=2)
    rows, table = add_external(training, [], own=own, fold=0, image_size=16)
    assert rows is training
    assert table.empty
    with pytest.raises(ValueError, match=r"drop names \['scc'\], none of the external classes"):
        add_external(training, [], own=own, fold=0, image_size=16, drop=["scc"])


def test_nothing_left_is_refused_with_the_reasons(prepare: Prepare, own: Dataset) -> None:
    dataset = prepare("none", [row("a1", 40, 0), row("e1", 41, 1, patient_id="p0")])
    with pytest.raises(ValueError, match=r"nothing is left of the 2 images of 'none'.*patient"):
        external_rows(dataset, own=own, fold=0, image_size=16)


def test_every_diagnosis_has_its_class_or_other() -> None:
    assert match_classes(ISIC, ISIC) == {name: name for name in ISIC}
    two = match_classes((*ISIC, "unknown"), TWO)
    assert two == {name: "melanoma" if name == "melanoma" else "other" for name in two}
    assert len(two) == 8
    named = match_classes(("NV", "mel", "seborrheic_keratosis"), ISIC)
    assert named == {"NV": "nevus", "mel": "melanoma", "seborrheic_keratosis": "benign_keratosis"}


@pytest.mark.parametrize(
    ("theirs", "ours", "lost"),
    [
        (TWO, ISIC, r"\['other'\]"),  # of which class an other is nobody knows
        ((*ISIC, "squamous_cell_carcinoma", "unknown"), ISIC, "'squamous_cell_.*', 'unknown'"),
        (("benign", "malignant"), TWO, "'benign', 'malignant'"),
    ],
)
def test_classes_without_a_match_are_all_listed(
    theirs: tuple[str, ...], ours: tuple[str, ...], lost: str
) -> None:
    with pytest.raises(ValueError, match=rf"external classes .*{lost}.* are none of"):
        match_classes(theirs, ours)
    with pytest.raises(ValueError, match="drop names"):
        match_classes(theirs, ours, drop=["no such"])
