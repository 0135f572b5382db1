"""Pseudo-labels: what is chosen, and that no student hears of what it is judged on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.data.datasets import Dataset
from melnb.data.epochs.sampling import PSEUDO, join_rows, make_sampling, plan_epoch, read_rows
from melnb.data.pseudo_labels import (
    check_labels,
    choose_labels,
    count_labels,
    pseudo_histogram,
    pseudo_rows,
    read_labels,
    write_labels,
)
from melnb.data.shards.examples import Shard, write_shard

CLASSES = ("other", "melanoma")


def make_teachers(scores: dict[int, list[float]], classes: tuple[str, ...] = CLASSES) -> Any:
    """Teachers of each fold, with a probability of melanoma for test images t0, t1 …"""
    rows = [
        {"teacher_fold": fold, "image_id": f"t{k}", "p_other": 1 - p, "p_melanoma": p}
        for fold, values in scores.items()
        for k, p in enumerate(values)
    ]
    return pd.DataFrame(rows)[["teacher_fold", "image_id", *(f"p_{name}" for name in classes)]]


TEACHERS = make_teachers({0: [0.02, 0.1, 0.4, 0.69, 0.7, 0.97], 1: [0.3, 0.05, 0.5, 0.8, 0.2, 0.6]})


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two folds of two images, and six test images without a label."""
    names = {0: ["a0", "a1"], 1: ["b0", "b1"], -1: [f"t{k}" for k in range(6)]}
    shards = []
    for fold, images in names.items():
        path = tmp_path / f"fold{fold}-00-{len(images)}.tfrec"
        examples = [
            {
                "image": b"\xff\xd8\xff",
                "image_name": name.encode(),
                "target": -1 if fold < 0 else k % 2,
            }
            for k, name in enumerate(images)
        ]
        write_shard(path, examples)
        shards.append(Shard(path, 16, fold, len(images)))
    return Dataset(
        tmp_path, "demo", "csv", "melanoma", CLASSES, 2, (16,), "crop", 10, tuple(shards)
    )


def kept(labels: pd.DataFrame, fold: int) -> list[str]:
    return labels.loc[labels["kept"] & (labels["teacher_fold"] == fold), "image_id"].tolist()


def test_hard_labels_lie_beyond_the_thresholds() -> None:
    labels = choose_labels(TEACHERS, positive="melanoma", method="hard")
    assert kept(labels, 0) == ["t0", "t1", "t4", "t5"]
    assert kept(labels, 1) == ["t1", "t3"]
    told = labels.loc[labels["kept"], ["p_other", "p_melanoma"]].to_numpy()
    assert told.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]]
    np.testing.assert_array_equal(labels["score"], TEACHERS["p_melanoma"])


def test_a_hard_label_below_the_threshold_is_the_most_probable_other_class() -> None:
    said = {"p_nevus": [0.3, 0.2], "p_melanoma": [0.05, 0.75], "p_keratosis": [0.65, 0.05]}
    teachers = pd.DataFrame({"teacher_fold": 0, "image_id": ["t0", "t1"], **said})
    labels = choose_labels(teachers, positive="melanoma", method="hard")
    assert labels[[*said]].to_numpy().tolist() == [[0, 0, 1], [0, 1, 0]]


def test_soft_labels_are_what_the_teachers_said_of_the_most_certain() -> None:
    every = choose_labels(TEACHERS, positive="melanoma")
    assert every["kept"].all()
    np.testing.assert_array_equal(every["p_melanoma"], TEACHERS["p_melanoma"])
    half = choose_labels(TEACHERS, positive="melanoma", share=0.5, per_class=False)
    assert kept(half, 0) == ["t0", "t1", "t5"]
    assert kept(half, 1) == ["t1", "t3", "t4"]


def test_a_share_of_each_class_keeps_the_rare_one() -> None:
    teachers = make_teachers({0: [0.01] * 8 + [0.51, 0.6]})
    whole = choose_labels(teachers, positive="melanoma", share=0.5, per_class=False)
    assert kept(whole, 0) == ["t0", "t1", "t2", "t3", "t4"]
    each = choose_labels(teachers, positive="melanoma", share=0.5, per_class=True)
    assert kept(each, 0) == ["t0", "t1", "t2", "t3", "t9"]


def test_the_counts_are_of_each_teacher_and_class() -> None:
    counts = count_labels(choose_labels(TEACHERS, positive="melanoma", method="hard"))
    assert counts.to_numpy().tolist() == [[0, 2, 2, 2], [1, 1, 1, 4]]
    assert list(counts) == ["teacher_fold", "other", "melanoma", "not kept"]
    histogram = pseudo_histogram(
        choose_labels(TEACHERS, positive="melanoma", method="hard"), bins=10
    )
    assert histogram[["kept", "not_kept"]].sum().tolist() == [6, 6]
    assert histogram["kept"].iloc[0] == 2


@pytest.mark.parametrize("fold", [0, 1])
def test_a_student_is_told_by_the_teachers_of_its_own_fold_alone(
    dataset: Dataset, tmp_path: Path, fold: int
) -> None:
    labels = choose_labels(TEACHERS, positive="melanoma", share=0.5, per_class=False)
    labels = read_labels(write_labels(labels, tmp_path / "pseudo.csv"))
    rows = pseudo_rows(labels, dataset, fold=fold, image_size=16)
    assert rows.image_id.tolist() == kept(labels, fold)
    own = TEACHERS[TEACHERS["teacher_fold"] == fold].set_index("image_id")
    expected = own.loc[rows.image_id, ["p_other", "p_melanoma"]]
    np.testing.assert_allclose(rows.truth, expected, rtol=1e-6)
    assert (rows.group == PSEUDO).all()


def test_another_folds_teachers_change_nothing_that_a_student_learns(dataset: Dataset) -> None:
    """They have learnt from what it is judged on: their words may not reach it."""
    lying = TEACHERS.copy()
    others = lying["teacher_fold"] == 1
    lying.loc[others, ["p_other", "p_melanoma"]] = lying.loc[
        others, ["p_melanoma", "p_other"]
    ].to_numpy()
    plans = []
    for teachers in (TEACHERS, lying):
        labels = choose_labels(teachers, positive="melanoma", method="hard")
        told = pseudo_rows(labels, dataset, fold=0, image_size=16)
        own = read_rows(dataset.paths(dataset.other_folds(0), 16), n_classes=2)
        rows = join_rows([own, told])
        sampling = make_sampling("balanced", classes=CLASSES, pseudo_share=0.5)
        plan = plan_epoch(rows, sampling=sampling, seed=0, epoch=0)
        assert not {"a0", "a1"} & set(rows.image_id[plan])
        plans.append((rows.truth, rows.image_id.tolist(), plan))
    for one, other in zip(*plans, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("fold", [-1, np.nan])
def test_labels_of_all_folds_together_are_refused(dataset: Dataset, fold: float) -> None:
    """Their mean has seen the truth of every fold."""
    labels = choose_labels(TEACHERS, positive="melanoma")
    mean = labels.groupby("image_id")[["score", "p_other", "p_melanoma"]].mean().reset_index()
    mean = mean.assign(teacher_fold=fold, kept=True)
    for use in (check_labels, lambda t: pseudo_rows(t, dataset, fold=0, image_size=16)):
        with pytest.raises(ValueError, match=r"all folds' teachers .* what every student is"):
            use(mean)


def test_a_fold_without_teachers_of_its_own_is_refused(dataset: Dataset) -> None:
    labels = choose_labels(TEACHERS[TEACHERS["teacher_fold"] == 1], positive="melanoma")
    with pytest.raises(ValueError, match=r"did not learn from fold 0, only of folds \[1\]"):
        pseudo_rows(labels, dataset, fold=0, image_size=16)


def test_labels_of_other_images_or_classes_are_refused(dataset: Dataset) -> None:
    labels = choose_labels(TEACHERS, positive="melanoma")
    strange = labels.assign(image_id=labels["image_id"].replace("t2", "a0"))  # of a fold
    with pytest.raises(ValueError, match="'a0' has a pseudo-label, but is no test image"):
        pseudo_rows(strange, dataset, fold=0, image_size=16)
    named = labels.rename(columns={"p_other": "p_nevus"})
    with pytest.raises(ValueError, match=r"are of \['nevus', 'melanoma'\]"):
        pseudo_rows(named, dataset, fold=0, image_size=16)
    with pytest.raises(ValueError, match="no pseudo-label is kept for fold 0"):
        pseudo_rows(labels.assign(kept=False), dataset, fold=0, image_size=16)


def test_classes_are_joined_by_name(dataset: Dataset) -> None:
    labels = choose_labels(TEACHERS, positive="melanoma")
    turned = labels[["kept", "p_melanoma", "score", "p_other", "image_id", "teacher_fold"]]
    one, other = (pseudo_rows(t, dataset, fold=1, image_size=16) for t in (labels, turned))
    np.testing.assert_array_equal(one.truth, other.truth)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_fold": 0}, "stands twice"),
        ({"p_other": 0.9}, "do not sum to one"),
        ({"p_other": np.nan}, "do not sum to one"),
    ],
)
def test_a_damaged_table_is_refused(change: dict[str, Any], message: str) -> None:
    labels = choose_labels(TEACHERS, positive="melanoma")
    with pytest.raises(ValueError, match=message):
        check_labels(labels.assign(**change))
    with pytest.raises(ValueError, match="no column 'kept'"):
        check_labels(labels.drop(columns="kept"))


@pytest.mark.parametrize(
    "given",
    [{"method": "medium"}, {"positive": "nevus"}, {"low": 0.8}, {"share": 0.0}, {"high": 1.2}],
)
def test_what_has_no_meaning_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="; use "):
        choose_labels(TEACHERS, **{"positive": "melanoma", **given})


def test_a_missing_file_names_the_notebook(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run 04b_pseudo_label first"):
        read_labels(tmp_path / "pseudo.csv")
