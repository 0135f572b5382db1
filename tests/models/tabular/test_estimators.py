"""Estimators: nine names, one way to fit them; weights do what scikit-learn's own would."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from melnb.models.tabular import cross_fitting, learners
from melnb.models.tabular.learners import (
    ESTIMATORS,
    Learner,
    fit_learner,
    make_estimator,
    make_learners,
    predict_rows,
)
from melnb.models.tabular.table_rows import Rows

EXTRA = ("lightgbm", "xgboost", "catboost")
QUICK = {"forest": {"n_estimators": 20}}


def learner(name: str, weights: str = "ones") -> Learner:
    if name in EXTRA:
        pytest.importorskip(name)
    return Learner(name, weights=weights, settings=QUICK.get(name, {}))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("weights", ["ones", "balanced"])
def test_each_learns_three_classes_again_and_again_alike(
    name: str, weights: str, three_classes: Rows
) -> None:
    rows, own = three_classes, three_classes.outside(0)
    model = fit_learner(learner(name, weights), rows, own, seed=3)
    values = predict_rows([model], rows.features)
    assert values.shape == (len(rows.codes), 3)
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-6)
    inside = rows.inside(0)
    assert roc_auc_score(rows.codes[inside] == 2, values[inside, 2]) > 0.65
    again = fit_learner(learner(name, weights), rows, own, seed=3)
    np.testing.assert_array_equal(predict_rows([again], rows.features), values)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_setting_of_the_grids_is_one(name: str) -> None:
    if name in EXTRA:
        pytest.importorskip(name)
    for setting, values in cross_fitting.GRIDS[name].items():
        for value in values:
            made = make_estimator(name, {setting: value})
            assert made.get_params()[setting] == value


def test_weighted_rows_are_class_weights(rows: Rows) -> None:
    own = rows.outside(0)
    for name, theirs in (
        ("logistic", LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced")),
        (
            "forest",
            RandomForestClassifier(20, max_depth=2, class_weight="balanced", random_state=5),
        ),
    ):
        ours = fit_learner(learner(name, "balanced"), rows, own, seed=5)
        cells = ours["encoder"].transform(rows.features)
        theirs.fit(cells[own], rows.codes[own])
        found = predict_rows([ours], rows.features)
        np.testing.assert_allclose(found, theirs.predict_proba(cells), atol=1e-6)


def test_balanced_naive_bayes_has_equal_priors_and_the_same_order(rows: Rows) -> None:
    own = rows.outside(0)
    plain, balanced = (
        fit_learner(learner("naive_bayes", weights), rows, own, seed=0)
        for weights in ("ones", "balanced")
    )
    np.testing.assert_allclose(balanced["estimator"].class_prior_, [0.5, 0.5])
    first, second = (predict_rows([m], rows.features)[:, 1] for m in (plain, balanced))
    assert first.mean() < second.mean()
    np.testing.assert_array_equal(first.argsort(kind="stable"), second.argsort(kind="stable"))


def test_the_seed_matters_where_something_is_drawn(rows: Rows) -> None:
    for name in ("logistic", "forest"):
        values = [
            predict_rows([fit_learner(learner(name), rows, rows.outside(0), seed=s)], rows.features)
            for s in (0, 1)
        ]
        assert np.array_equal(*values) != learners.draws(name)
    assert learner("logistic").seeds([4, 5]) == (4,)
    assert replace(learner("logistic"), under=0.5).seeds([4, 5]) == (4, 5)
    assert learner("forest").seeds([4, 5]) == (4, 5)


def test_a_balanced_discriminant_is_that_of_equal_priors(rows: Rows) -> None:
    own = rows.outside(0)
    ours = fit_learner(learner("discriminant", "balanced"), rows, own, seed=0)
    cells = ours["encoder"].transform(rows.features)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
    theirs.fit(cells[own], rows.codes[own])
    found = predict_rows([ours], rows.features)
    np.testing.assert_allclose(found, theirs.predict_proba(cells), atol=1e-9)


def test_rows_of_many_columns_are_predicted_as_those_of_few(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit_learner(learner("logistic"), rows, rows.outside(0), seed=0)
    values = predict_rows([model, model], rows.features)
    monkeypatch.setattr(learners, "_FEW", 0)
    np.testing.assert_allclose(predict_rows([model, model], rows.features), values, atol=1e-12)


def test_who_takes_no_class_weights() -> None:
    made = make_learners(["naive_bayes", "forest"], settings={"forest": {"max_depth": 3}}, over=0.1)
    assert made == {
        "naive_bayes": Learner("naive_bayes", over=0.1),
        "forest": Learner("forest", weights="balanced", settings={"max_depth": 3}, over=0.1),
    }
    assert make_learners(["neighbours"]) == {"neighbours": Learner("neighbours")}
    assert make_learners(["forest"], class_weights="ones") == {"forest": Learner("forest")}
    # Without settings these are those of the founding system.
    assert learners.DEFAULTS["forest"] == {"n_estimators": 1000, "max_depth": 2}


@pytest.mark.parametrize("name", EXTRA)
def test_what_is_not_installed_says_how(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'{name} is not installed: pip install "melnb\[boost'):
        make_estimator(name)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="estimator is 'svm'; use one of"):
        make_estimator("svm")
    with pytest.raises(ValueError, match="estimator is 'svm'; use one of"):
        Learner("svm")
    with pytest.raises(ValueError, match="weights is 'sqrt'"):
        Learner("forest", weights="sqrt")
    with pytest.raises(ValueError, match="under is 2"):
        Learner("forest", under=2)
    with pytest.raises(ValueError, match="settings of forest names 'depth'; use some of"):
        make_estimator("forest", {"depth": 3})
    with pytest.raises(ValueError, match="settings of boosting names 'early_stopping'"):
        make_estimator("boosting", {"early_stopping": True})  # it would part patients
