"""Shortcuts and leaks: areas become findings, and a leak has a worth."""

import numpy as np
import pandas as pd
import pytest

from melnb.data.audit.leaky_splits import (
    REPEAT,
    known_features,
    leaky_splits,
    principal_features,
)
from melnb.data.embeddings import Embeddings
from melnb.evaluation.discrimination.ranking import auc
from melnb.evaluation.shortcuts import (
    leak_worth,
    over_best_shortcut,
    over_finding,
    shortcut_areas,
    shortcut_findings,
)
from melnb.evaluation.units import unit_table
from melnb.tables.findings import FAIL, NOT_CHECKED, PASS, REVIEW

NO_MODEL = NO_ERRORS = pd.DataFrame()


def scored(shift: float, seed: int = 0, n: int = 400) -> pd.DataFrame:
    """Predictions of a normal score whose classes lie `shift` deviations apart."""
    truth = np.arange(n) % 4 == 0
    score = np.random.default_rng(seed).normal(size=n) + shift * truth
    p = 1 / (1 + np.exp(-score))
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)], "fold": np.arange(n) % 2,
            "truth": np.where(truth, "melanoma", "other"), "p_melanoma": p, "p_other": 1 - p,
            "run": "r", "views": "none", "kind": "probability",
        }
    )  # fmt: skip


def test_the_lower_limit_of_an_area_decides() -> None:
    given = {"file": scored(0.0), "patient": scored(0.8, 1), "border": scored(2.0, 2)}
    areas = shortcut_areas(given, positive="melanoma")
    assert areas["run"].tolist() == ["border", "patient", "file"]
    severities = {f.code: f.severity for f in shortcut_findings(areas, NO_MODEL, NO_ERRORS)}
    verdicts = {"MEL011": PASS, "MEL012": REVIEW, "MEL013": FAIL, "MEL014": NOT_CHECKED}
    verdicts |= {"MEL015": NOT_CHECKED}
    assert severities == verdicts
    whole = scored(0.0).assign(p_melanoma=lambda t: t["truth"].eq("melanoma") * 0.5 + 0.2)
    alone = shortcut_areas({"file": whole}, positive="melanoma")
    (perfect, *_) = shortcut_findings(alone, NO_MODEL, NO_ERRORS)
    assert perfect.severity == FAIL, "it has no interval"
    assert perfect.evidence == "out of fold, AUC 1.000 (wholly apart)"
    tied = shortcut_areas({"file": scored(0.0).assign(p_melanoma=0.5)}, positive="melanoma")
    assert shortcut_findings(tied, NO_MODEL, NO_ERRORS)[0].severity == NOT_CHECKED
    none = shortcut_findings(shortcut_areas({}, positive="melanoma"), NO_MODEL, NO_ERRORS)
    assert {f.severity for f in none} == {NOT_CHECKED}


def test_a_model_is_set_against_the_best_shortcut() -> None:
    blind = {"file": scored(0.2, 1), "border": scored(1.0, 2)}
    over = over_best_shortcut({"m": scored(2.5, 3)}, blind, positive="melanoma")
    assert over["second"].tolist() == ["border", "file"]
    assert over_finding(over).severity == PASS
    areas = shortcut_areas(blind, positive="melanoma")
    assert shortcut_findings(areas, over, NO_ERRORS)[-2] == over_finding(over)
    no_better = over_best_shortcut({"m": scored(1.0, 3)}, blind, positive="melanoma")
    assert over_finding(no_better).severity == FAIL
    few = no_better.assign(difference=0.01)  # above, and its interval reaches 0
    assert over_finding(few).severity == REVIEW
    assert over_finding(over_best_shortcut({}, blind, positive="melanoma")).severity == NOT_CHECKED


def test_rows_that_are_not_of_the_same_images_or_labels_are_not_paired() -> None:
    blind = {"file": scored(1.0, 2)}
    model = scored(2.0, 3)
    paired = over_best_shortcut({"m": model}, blind, positive="melanoma").iloc[0]
    strangers = model.assign(image_id="t" + model["image_id"], fold=-1)
    renamed = model.assign(truth=model["truth"].to_numpy()[::-1])
    for rows, why in ((strangers, "no image is of both"), (renamed, "their truths differ")):
        row = over_best_shortcut({"m": rows}, blind, positive="melanoma").iloc[0]
        assert row["note"] == f"not paired: {why}"
        assert np.isnan(row["difference"])
        for end in ("", "_low", "_high"):
            assert row[f"auc_second{end}"] == pytest.approx(paired[f"auc_second{end}"])
        assert row["auc_first_low"] < row["auc_first"] < row["auc_first_high"]
    finding = over_finding(over_best_shortcut({"m": strangers}, blind, positive="melanoma"))
    assert finding.severity == NOT_CHECKED
    untold = model.assign(truth=np.nan)
    assert over_best_shortcut({"m": untold}, blind, positive="melanoma").empty
    assert over_best_shortcut({"m": model}, blind, positive="nevus").empty


def test_lesions_are_compared_with_lesions() -> None:
    lesion = [f"l{k % 100}" for k in range(400)]  # a quarter of them melanomas, as their images
    blind, model = (scored(shift, seed).assign(lesion_id=lesion, fold=0) for shift, seed in
                    ((1.0, 2), (2.0, 3)))  # fmt: skip
    rows = unit_table(model, unit="lesion", positive="melanoma")
    row = over_best_shortcut({"m": rows}, {"file": blind}, positive="melanoma").iloc[0]
    assert row["n"] == 100
    alone = auc(unit_table(blind, unit="lesion", positive="melanoma"), positive="melanoma")
    assert row["auc_second"] == alone["value"].iloc[0]


def cohort() -> tuple[pd.DataFrame, pd.DataFrame, Embeddings]:
    """Sixty lesions of three near-equal pictures, of two classes that nothing tells apart."""
    rng = np.random.default_rng(0)
    lesion = np.arange(180) // 3
    images = pd.DataFrame({"image_id": [f"i{k:03}" for k in range(180)], "patient_id": np.nan})
    images["lesion_id"] = [f"l{k}" for k in lesion]
    images["target"] = np.where(lesion % 5 == 0, "melanoma", "other")
    values = rng.normal(size=(60, 8))[lesion] + 0.01 * rng.normal(size=(180, 8))
    folds = images[["image_id"]].assign(fold=lesion // 5 % 3)
    return images, folds, Embeddings(images["image_id"].to_numpy(dtype=object), values, {})


def nearest(part: object) -> pd.DataFrame:
    """Predict each row by the nearest row of the other folds."""
    images, folds, features = part  # type: ignore[misc]
    values, fold = features.drop(columns="image_id").to_numpy(), folds["fold"].to_numpy()
    far = ((values[:, None] - values) ** 2).sum(axis=2)
    far[fold[:, None] == fold] = np.inf
    p = images["target"].eq("melanoma").to_numpy()[far.argmin(axis=1)].astype(float)
    more = {"p_melanoma": p, "p_other": 1 - p, "run": "r", "views": "none", "kind": "probability"}
    return images.rename(columns={"target": "truth"}).assign(fold=fold, **more)


def test_a_leak_alone_makes_a_perfect_probe_of_noise() -> None:
    images, folds, vectors = cohort()
    features = principal_features(vectors, width=5)
    assert features.shape == (180, 6)
    splits = leaky_splits(images, folds, features)
    assert splits["honest"].folds["fold"].tolist() == folds["fold"].tolist()
    repeated = splits["up-sampled before"].images
    assert repeated["target"].value_counts().nunique() == 1
    assert repeated["image_id"].is_unique
    assert repeated["image_id"].str.contains(REPEAT).sum() == len(repeated) - 180
    fits = {(name, "nearest"): nearest(part) for name, part in splits.items()}
    worth = leak_worth(fits, positive="melanoma", cluster="lesion_id").set_index("split")
    assert worth["auc"]["honest"] < 0.65
    assert worth["auc"]["folds of images"] > 0.9
    assert worth["accuracy"]["up-sampled before"] > 0.95
    assert worth["gain_low"]["folds of images"] > 0.2
    assert np.isnan(worth["gain"]["honest"])
    assert worth["accuracy_low"]["honest"] < worth["accuracy"]["honest"]


def test_without_vectors_or_with_one_class_or_fold_there_is_nothing_to_split() -> None:
    images, folds, vectors = cohort()
    assert leaky_splits(images, folds, principal_features(Embeddings.none())) == {}
    features = principal_features(vectors)
    assert leaky_splits(images.assign(target="a"), folds, features) == {}
    assert leaky_splits(images, folds.assign(fold=0), features) == {}
    assert leak_worth({}, positive="melanoma").empty


def test_what_a_table_knows_is_what_varies() -> None:
    images, folds, _ = cohort()
    known = images.assign(sex="male", age=50.0, site=["torso", "head"] * 90, width=pd.NA, height=8)
    assert known_features(known).columns.tolist() == ["image_id", "site"]
    sized = known.assign(width=pd.array([640, 1024] * 90, dtype="Int64"))
    assert known_features(sized)["width"].dtype == float
    assert set(leaky_splits(known, folds, known_features(known))) == {
        "honest", "folds of images", "up-sampled before",
    }  # fmt: skip
    assert leaky_splits(images, folds, known_features(images)) == {}


@pytest.mark.parametrize("fold", [-1])
def test_test_rows_take_no_part(fold: int) -> None:
    images, folds, vectors = cohort()
    folds.loc[:8, "fold"] = fold
    parts = leaky_splits(images, folds, principal_features(vectors))
    assert len(parts["honest"].images) == 171
