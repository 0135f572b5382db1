"""The table of check and fault: each check speaks of its own fault, and of no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb import data, evaluation, models
from melnb.data.audit.duplicates import find_identical
from melnb.data.embeddings import Embeddings
from melnb.data.folds import FoldError
from melnb.data.sources.catalogue import read_source
from melnb.data.synthetic.album import write_pictures
from melnb.data.synthetic.cohort import make_cohort
from melnb.data.synthetic.faults import FAULTS, plant_faults
from melnb.params.base import ParameterError
from melnb.params.catalogue import choices, stage_class
from melnb.tables.findings import CHECKS, FAIL, NOT_CHECKED, PASS
from melnb.tables.schema import IMAGE_COLUMNS, make_predictions

SIZE = 64
Said = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    """People whose pictures, ages and files tell nothing of their diagnoses."""
    table = make_cohort(images=200, positives=0.3)
    rng = np.random.default_rng(0)
    plain = dict.fromkeys((c for c in table if c.startswith("has_")), False)
    ages = pd.Series(rng.integers(30, 80, 999), index=[f"SP_{k:06d}" for k in range(1, 1000)])
    return table.assign(
        **plain, keratotic=False, atypia=0.0, ita=45.0, age=table["patient_id"].map(ages),
        sex="male", site="torso",
    )  # fmt: skip


@pytest.fixture(scope="module")
def album(cohort: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of the clean set: a fault draws those alone that it changes."""
    folder = tmp_path_factory.mktemp("album")
    rows = plant_faults(cohort, [])
    write_pictures(rows.to_dict("records"), folder, image_size=SIZE, workers=1)
    return folder / "images"


@pytest.fixture(scope="module")
def said(cohort: pd.DataFrame, album: Path, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """Return a function that plants a fault, audits the set, and returns what is no PASS."""
    clean = plant_faults(cohort, []).set_index("image_id")

    def audited(fault: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("planted")
        names = [fault] if fault in FAULTS else []
        table = plant_faults(cohort, names)
        looks = [c for c in clean if c.startswith(("has_", "drawn", "change", "quality"))]
        before = clean.reindex(table["image_id"])[looks].reset_index(drop=True)
        own = table[looks].ne(before).any(axis=1)
        write_pictures(table[own].to_dict("records"), folder, image_size=SIZE, workers=1)
        home = np.where(own, str(folder / "images"), str(album))
        path = [f"{place}/{name}.jpg" for place, name in zip(home, table["image_id"], strict=True)]
        return findings(table.assign(path=path), blind_model=fault == "blind_model")

    return audited


def findings(table: pd.DataFrame, *, blind_model: bool) -> dict[str, str]:
    """Audit a planted set, as `02b_audit` does, with an encoder and a model that know the truth."""
    target = table["diagnosis"].map(lambda d: "melanoma" if d == "melanoma" else "other", "ignore")
    images = table.assign(target=target, source="synthetic")[[*IMAGE_COLUMNS]]
    folds = table[["image_id", "fold"]]
    rows = data.audit_rows(images, folds)
    truth = table["true_diagnosis"].eq("melanoma").to_numpy()
    vectors = Embeddings(images["image_id"].to_numpy(dtype=object), encoded(table, truth), {})
    looks = data.look_at_pictures(images, workers=1)
    copies = data.find_copies(images, looks)
    pairs = data.near_duplicates(vectors, looks)
    how: dict[str, Any] = {"positive": "melanoma", "cluster": "patient_id"}
    blind = {
        name: models.cross_fit(
            models.make_rows(features, folds, images), learners=models.make_learners(["logistic"])
        )["logistic"].predictions.merge(images[["image_id", "patient_id"]])
        for name, features in data.shortcut_features(looks, images, folds).items()
    }
    areas = evaluation.shortcut_areas(blind, **how)
    score = np.random.default_rng(5).normal(0, 0.8, len(table)) + 2.4 * truth * (not blind_model)
    judged = folds["fold"].ge(0).to_numpy()
    p = 1 / (1 + np.exp(3 - 2.5 * score[judged]))
    model = make_predictions(
        images["image_id"][judged], folds["fold"][judged], target[judged],
        np.column_stack([p, 1 - p]), classes=("melanoma", "other"), run="m",
    ).merge(images[["image_id", "patient_id"]])  # fmt: skip
    known = images[judged]
    near = data.nearest_neighbours(vectors, known, of=vectors.image_id, count=10, apart="lesion_id")
    errors = evaluation.label_errors([] if blind_model else [model], near)
    told = [
        *data.leak_findings(rows, copies=copies), *data.order_findings(rows, vectors, images),
        data.duplicate_finding(pairs, rows, copies=copies),
        *evaluation.shortcut_findings(
            areas, evaluation.over_best_shortcut({"m": model}, blind, **how), errors
        ),
    ]  # fmt: skip
    return {f.code: f.severity for f in told if f.severity != PASS}


def encoded(table: pd.DataFrame, truth: np.ndarray) -> np.ndarray:
    """Return vectors that lie by class, and for one picture nearly together."""
    shown = pd.factorize(table["drawn_as"])[0]
    rng = np.random.default_rng(3)
    own = rng.normal(size=(shown.max() + 1, 24))[shown] + 0.1 * rng.normal(size=(len(table), 24))
    own[:, 0] += 5 * truth
    return own.astype(np.float32)


def test_of_a_clean_set_no_check_says_anything(said: Said) -> None:
    assert said("") == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_check_speaks_of_its_own_fault_alone(fault: str, said: Said) -> None:
    planted = FAULTS[fault]
    told = said(fault)
    assert told.get(planted.code) == planted.severity
    assert set(told) == {planted.code, *planted.also}


def test_a_model_that_ranks_by_chance_is_no_better_than_a_shortcut(said: Said) -> None:
    told = said("blind_model")
    assert told == {"MEL014": FAIL, "MEL015": NOT_CHECKED}


def test_every_check_has_its_fault() -> None:
    assert {fault.code for fault in FAULTS.values()} == {*CHECKS} - {"MEL014"}


def test_a_fault_that_is_unknown_or_finds_no_room_is_refused(cohort: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no fault 'copies': faults are torn_patient, torn_lesion"):
        plant_faults(cohort, ["copies"])
    with pytest.raises(ValueError, match="3 images are too few for copy: make more of them"):
        plant_faults(cohort.head(3), ["copy"])


@pytest.mark.parametrize(("faults", "told"), [([], {}), (["upsampled"], {"MEL006": "REVIEW"})])
def test_a_fault_that_is_asked_of_the_source_comes_through_02_prepare(
    faults: list[str], told: dict[str, str], tmp_path: Path
) -> None:
    source: dict[str, Any] = {"rows": 60, "task": "melanoma", "faults": faults}
    images = read_source("synthetic", tmp_path / "drawn", **source)
    assert (len(images) > 60, "fold" in images) == (bool(faults), bool(faults))
    copies = find_identical(images)
    rows = data.audit_rows(images, data.make_folds(images, n_folds=2, seed=0, identical=copies))
    findings = data.leak_findings(rows, copies=copies)
    assert {f.code: f.severity for f in findings if f.severity != PASS} == told
    with pytest.raises(ValueError, match=r"faults \[.*\], but faults is \['copy'\]: name another"):
        read_source("synthetic", tmp_path / "drawn", rows=60, faults=["copy"])


def test_a_test_row_met_in_training_is_left_out_of_it_and_its_check_passes(tmp_path: Path) -> None:
    images = read_source("synthetic", tmp_path, rows=60, task="melanoma", faults=["met_test"])
    with pytest.raises(FoldError, match="set test_overlap leave_out"):
        data.make_folds(images, n_folds=2, seed=0)
    strangers, left_out = data.leave_out_met(images)
    assert set(left_out["met_by"]) == {"patient"}
    folds = data.make_folds(strangers, n_folds=2, seed=0)
    (finding,) = (
        f for f in data.leak_findings(data.audit_rows(strangers, folds)) if f.code == "MEL008"
    )
    assert finding.severity == PASS
    assert folds["fold"].eq(-1).sum() == images["split"].eq("test").sum()


def test_a_fault_is_chosen_from_a_list_and_of_synthetic_lesions_alone() -> None:
    prepare = stage_class("02_prepare")
    assert choices(prepare, "faults") == [*FAULTS]
    assert prepare.check({"faults": ["copy", "met_test"]}).plain()["faults"] == ["copy", "met_test"]
    with pytest.raises(ParameterError, match="planted in source synthetic alone: leave faults out"):
        prepare.check({"source": "ph2", "folder": "a", "faults": ["copy"]})
    with pytest.raises(ParameterError, match="leave source, folder, columns and faults"):
        prepare.check({"applied": "crop", "faults": ["copy"]})
    with pytest.raises(ValueError, match="synthetic alone, not in ph2"):
        read_source("ph2", "a", faults=["copy"])
