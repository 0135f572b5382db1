"""Teachers: read by fold, averaged over runs by image, and of the student's folds."""

from pathlib import Path

import numpy as np
import pytest

from melnb.data.pseudo_labels import check_teachers, read_teachers
from melnb.tables.schema import make_predictions, write_predictions


def write_run(folder: Path, scores: dict[int, dict[str, float]], truth: str | None = None) -> Path:
    """Write what 04_predict leaves: the test predictions of each fold's network."""
    (folder / "folds").mkdir(parents=True)
    for fold, said in scores.items():
        p = np.array([*said.values()])
        truths: list[str | None] = [None] * (len(p) - 1) + [truth]
        table = make_predictions(
            [*said],
            -1,
            truths,
            np.stack([1 - p, p], axis=1),
            classes=("other", "melanoma"),
            run="r",
        )
        write_predictions(table, folder / "folds" / f"test-by-fold{fold}.csv")
        table.assign(fold=fold, truth="other").to_csv(folder / "folds" / f"fold{fold}-single.csv")
    return folder


def test_runs_are_averaged_by_fold_and_image(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", {0: {"t0": 0.2, "t1": 0.4}, 1: {"t0": 0.6, "t1": 0.8}})
    two = write_run(tmp_path / "two", {0: {"t1": 0.0, "t0": 0.4}, 1: {"t1": 1.0, "t0": 0.2}})
    table = read_teachers([one, two])
    assert table["teacher_fold"].tolist() == [0, 0, 1, 1]
    assert table["image_id"].tolist() == ["t0", "t1", "t0", "t1"]
    np.testing.assert_allclose(table["p_melanoma"], [0.3, 0.2, 0.4, 0.9])
    np.testing.assert_allclose(table["p_other"], 1 - table["p_melanoma"])


def test_images_with_a_label_are_for_testing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", {0: {"t0": 0.2, "t1": 0.4}}, truth="melanoma")
    assert read_teachers([run])["image_id"].tolist() == ["t0"]
    run = write_run(tmp_path / "two", {0: {"t1": 0.4}}, truth="melanoma")
    with pytest.raises(ValueError, match="every test image has a label"):
        read_teachers([run])


def test_runs_that_differ_are_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", {0: {"t0": 0.2}, 1: {"t0": 0.6}})
    two = write_run(tmp_path / "two", {0: {"t0": 0.2}})
    with pytest.raises(ValueError, match="differ in classes, folds or test images"):
        read_teachers([one, two])
    (tmp_path / "three").mkdir()
    with pytest.raises(FileNotFoundError, match="found no test images"):
        read_teachers([tmp_path / "three"])
    with pytest.raises(ValueError, match="no teachers"):
        read_teachers([])


def test_teachers_of_other_folds_are_refused() -> None:
    records = [
        {"stage": "03_train", "parameters": {"dataset": "ham"}},
        {"stage": "04_predict", "parameters": {"dataset": "ham"}},
        {"stage": "02_prepare", "parameters": {"dataset": "isic2019"}},  # learnt from beside it
    ]
    check_teachers(records, dataset="ham")
    with pytest.raises(ValueError, match="03_train of the teachers used dataset 'ham', not 'siim'"):
        check_teachers(records, dataset="siim")
