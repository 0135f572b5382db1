"""The dataset: survives a round trip and a move, and says what it lacks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from melnb.data.datasets import (
    Dataset,
    DatasetError,
    class_counts,
    read_dataset,
    write_dataset,
)
from melnb.data.shards.examples import Shard, write_shard
from melnb.data.shards.records import read_index


def make(folder: Path, test: bool = True) -> Dataset:
    places = [(size, fold) for size in (32, 64) for fold in ([-1] if test else []) + [0, 1, 2]]
    shards = []
    for size, fold in places:
        path = folder / f"records/{size}px/fold{fold}-00-5.tfrec"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        shards.append(Shard(path, size, fold, 5, "0123abcd"))
    return Dataset(
        folder, "demo", "csv", "melanoma", ("other", "melanoma"), 3, (32, 64), "crop", 20,
        tuple(shards),
    )  # fmt: skip


def test_a_dataset_survives_a_round_trip(tmp_path):
    dataset = make(tmp_path)
    assert write_dataset(dataset) == tmp_path / "dataset.json"
    assert read_dataset(tmp_path) == read_dataset(tmp_path / "dataset.json") == dataset
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["dataset.json"]


def test_a_dataset_of_before_cleaning_is_one_without(tmp_path):
    path = write_dataset(make(tmp_path))
    content = json.loads(path.read_text())
    assert content.pop("cleaning") == "none"
    path.write_text(json.dumps(content))
    assert read_dataset(tmp_path).cleaning == "none"


def test_a_dataset_of_tables_alone_says_so_when_pictures_are_asked_for(tmp_path):
    alone = replace(make(tmp_path), image_sizes=(), shards=())
    write_dataset(alone)
    assert read_dataset(tmp_path) == alone
    with pytest.raises(DatasetError, match="is of tables alone, without pictures to learn from"):
        alone.paths(0, 64)


def test_shards_move_with_the_folder_and_those_outside_stay(tmp_path):
    outside = tmp_path / "kaggle" / "train00-5.tfrec"
    dataset = make(tmp_path / "run.partial")
    dataset = replace(dataset, shards=(*dataset.shards, Shard(outside, 512, 0, 5)))
    write_dataset(dataset)
    shutil.move(tmp_path / "run.partial", tmp_path / "run")
    moved = read_dataset(tmp_path / "run")
    assert all(path.exists() for path in moved.paths(image_size=64))
    assert moved.shards_of(0, 512)[0].path == outside


def test_folds_and_sizes_choose_the_shards(tmp_path):
    dataset = make(tmp_path)
    assert dataset.other_folds(1) == (0, 2)
    assert [s.fold for s in dataset.shards_of(dataset.other_folds(1), 32)] == [0, 2]
    assert [s.fold for s in dataset.shards_of(image_size=64)] == [-1, 0, 1, 2]
    assert [p.parent.name for p in dataset.paths(2, 64)] == ["64px"]
    assert dataset.count(image_size=32) == 20
    assert dataset.count([0, 1]) == 10
    assert dataset.has_test
    assert not make(tmp_path, test=False).has_test


@pytest.mark.parametrize(("asked", "size"), [(16, 32), (32, 32), (48, 64), (64, 64), (512, 64)])
def test_the_next_larger_size_does_when_it_need_not_be_exact(tmp_path, asked, size):
    assert {s.image_size for s in make(tmp_path).shards_of(0, asked, exact=False)} == {size}


def test_what_is_not_there_is_named(tmp_path):
    dataset = make(tmp_path)
    with pytest.raises(DatasetError, match=r"image_size is 48, but .*json holds .* \[32, 64\]"):
        dataset.paths(image_size=48)
    with pytest.raises(DatasetError, match="image_size is not given"):
        dataset.paths(0)
    with pytest.raises(DatasetError, match=r"no shards of fold 7 at 32 .*\[-1, 0, 1, 2\]"):
        dataset.paths([0, 7], 32)
    dataset.shards[1].path.unlink()
    with pytest.raises(FileNotFoundError, match=r"fold0-00-5\.tfrec.*1 of 4 shards are gone"):
        dataset.paths(image_size=32)


def test_a_missing_dataset_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no dataset\.json in .*: run 02_prepare first"):
        read_dataset(tmp_path)


def test_a_damaged_dataset_is_refused_by_key(tmp_path):
    path = write_dataset(make(tmp_path))
    content = json.loads(path.read_text())
    for change, reason in (
        ({"classes": None}, "it has no 'classes'"),
        ({"shards": []}, "no shards"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"shards": [{"path": "a"}]}, r"shards\[0\] has no 'image_size'"),
        ({"classes": "ab"}, "classes is 'ab', not a valid"),
        ({"n_folds": "3"}, "n_folds is '3', not a valid integer"),
    ):
        wrong = {k: v for k, v in (content | change).items() if v is not None}
        path.write_text(json.dumps(wrong))
        with pytest.raises(DatasetError, match=rf"dataset\.json: {reason}"):
            read_dataset(tmp_path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(DatasetError, match=r"dataset\.json: "):
        read_dataset(tmp_path)


def write(folder: Path, targets: list[int]) -> Path:
    examples = [
        {"image_name": f"i{k}".encode(), "patient_id": f"p{k}".encode(), "target": target}
        for k, target in enumerate(targets)
    ]
    path = folder / f"fold0-00-{len(targets)}.tfrec"
    write_shard(path, examples)
    return path


def test_classes_are_counted_by_set_and_unlabelled_images_are_not(tmp_path):
    (tmp_path / "b").mkdir()
    sets = {"a": [write(tmp_path, [0, 1, 1, -1])], "b": [write(tmp_path / "b", [0])]}
    counts = class_counts(sets, ("other", "melanoma"))
    assert counts.to_dict() == {
        "a": {"other": 1, "melanoma": 2}, "b": {"other": 1, "melanoma": 0},
    }  # fmt: skip


def test_what_a_model_says_is_labelled_by_the_shards(tmp_path):
    dataset = make(tmp_path)
    rows = read_index([write(tmp_path, [1, 0])])
    table = dataset.label(rows, np.array([[0.2, 0.8], [0.6, 0.4]]), fold=2, run="r", views="none")
    assert table["truth"].tolist() == ["melanoma", "other"]
    assert table["p_melanoma"].tolist() == [0.8, 0.4]
    assert table["patient_id"].tolist() == ["p0", "p1"]
    unlabelled = read_index([write(tmp_path, [-1])])
    assert dataset.label(unlabelled, np.array([[0.2, 0.8]]), fold=-1, run="r")["truth"].isna().all()


@pytest.mark.parametrize(("name", "value"), [("fit", "squash"), ("cleaning", "hair")])
def test_pictures_that_were_made_otherwise_are_no_data_for_a_network(tmp_path, name, value):
    learnt = make(tmp_path)
    learnt.check_prepared_alike(replace(learnt, dataset="other"), "the networks")
    wanted = getattr(learnt, name)
    assert wanted != value
    other = replace(learnt, dataset="other", **{name: value})
    match = f"networks learnt from .* {name} '{wanted}' .*'other' are of '{value}': .*{name}="
    with pytest.raises(ValueError, match=match):
        learnt.check_prepared_alike(other, "networks")
