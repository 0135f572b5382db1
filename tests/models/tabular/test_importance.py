"""Importance: a column that says nothing is worth nothing, and the interval says how surely."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.inspection import permutation_importance as theirs

from melnb.models.tabular.cross_fitting import CrossFit, cross_fit
from melnb.models.tabular.feature_importance import fold_interval, permutation_importance
from melnb.models.tabular.learners import Learner, predict_rows
from melnb.models.tabular.table_rows import Rows

LEARNERS = {"logistic": Learner("logistic", weights="balanced")}


@pytest.fixture(scope="module")
def fit(rows: Rows) -> CrossFit:
    return cross_fit(rows, learners=LEARNERS)["logistic"]


def test_what_decides_comes_first_and_noise_is_worth_nothing(fit: CrossFit, rows: Rows) -> None:
    table = permutation_importance(fit, rows, positive="melanoma", n_repeats=10)
    assert list(table) == ["feature", "value", "low", "high", "n", "note"]
    assert set(table["feature"][:2]) == {"age", "site"}
    assert (table["low"][:2] > 0).all()
    last = table.set_index("feature").loc[["noise", "sex"]]
    assert (last["low"] < 0).all()
    assert (last["high"] > -0.02).all()
    assert (table["n"] == (rows.fold >= 0).sum()).all()
    assert (table["note"] == "").all()


def test_scikit_learn_finds_the_same(rows: Rows) -> None:
    rows = replace(rows, features=rows.features[["age", "site"]])
    fit = cross_fit(rows, learners=LEARNERS)["logistic"]
    ours = permutation_importance(fit, rows, positive="melanoma", n_repeats=60)
    values = []
    for fold, models in fit.models.items():
        own = rows.inside(fold)
        found = theirs(
            models[0],
            rows.features.iloc[own],
            rows.codes[own],
            scoring="roc_auc",
            n_repeats=10,
            random_state=1,
        )
        values.append(found.importances_mean)
    expected = pd.Series(np.mean(values, axis=0), index=list(rows.features))
    np.testing.assert_allclose(ours["value"], expected[ours["feature"]], atol=0.02)


def test_the_order_of_columns_changes_nothing(rows: Rows, fit: CrossFit) -> None:
    turned = replace(rows, features=rows.features[rows.features.columns[::-1]])
    again = permutation_importance(fit, turned, positive="melanoma")
    pd.testing.assert_frame_equal(again, permutation_importance(fit, rows, positive="melanoma"))


def test_the_class_looked_for_may_be_either_of_two(rows: Rows, fit: CrossFit) -> None:
    one, other = (permutation_importance(fit, rows, positive=c) for c in rows.classes)
    pd.testing.assert_frame_equal(one, other)


def test_a_fold_of_one_class_is_left_out_and_named(rows: Rows, fit: CrossFit) -> None:
    codes = rows.codes.copy()
    codes[rows.inside(2)] = 0
    table = permutation_importance(fit, replace(rows, codes=codes), positive="melanoma")
    assert (table["n"] == len(rows.inside(0)) + len(rows.inside(1))).all()
    assert table["note"].str.contains(r"without fold\(s\) \[2\]").all()
    codes[rows.inside(1)] = 0
    table = permutation_importance(fit, replace(rows, codes=codes), positive="melanoma")
    assert table["low"].isna().all()
    assert table["value"].notna().all()
    assert table["note"].str.contains(r"not estimable: 1 fold\(s\); without").all()


def test_the_interval_by_hand() -> None:
    values, sizes = [0.1, 0.2, 0.4, 0.1], [(300, 100)] * 4
    value, low, high, note = fold_interval(values, sizes, 0.95)
    error = np.sqrt(np.var(values, ddof=1) * (1 / 4 + 100 / 300))
    expected = stats.t.interval(0.95, 3, loc=0.2, scale=error)
    np.testing.assert_allclose((value, low, high), (0.2, *expected))
    assert note == ""
    assert np.isnan(fold_interval([], [], 0.95)[0])
    with pytest.raises(ValueError, match="confidence is 95"):
        fold_interval(values, sizes, 95)


def test_the_interval_covers_where_a_plain_one_does_not() -> None:
    """Ten-fold means of folds that share their training rows: the plain t interval is too short."""
    random = np.random.default_rng(0)
    held, plain = 0, 0
    for _ in range(400):
        # A part of the error is common to all folds, as one training sample is: Nadeau and Bengio's
        # model with correlation n_test / (n_test + n_train).
        share = 1 / 10
        common = random.normal(0, np.sqrt(share))
        values = common + random.normal(0, np.sqrt(1 - share), 10)
        _, low, high, _ = fold_interval(list(values), [(900, 100)] * 10, 0.95)
        held += low <= 0 <= high
        half = stats.t(9).ppf(0.975) * values.std(ddof=1) / np.sqrt(10)
        plain += abs(values.mean()) <= half
    assert held / 400 > 0.925
    assert plain / 400 < 0.9


def test_rows_that_are_alike_are_asked_about_once(fit: CrossFit, rows: Rows) -> None:
    twice = pd.concat([rows.features, rows.features.iloc[::-1]])
    model = fit.models[0][0]
    found = predict_rows([model], twice)
    np.testing.assert_allclose(found, model.predict_proba(twice), atol=1e-12)


def test_refusals(fit: CrossFit, rows: Rows) -> None:
    with pytest.raises(ValueError, match="n_repeats is 0"):
        permutation_importance(fit, rows, positive="melanoma", n_repeats=0)
    with pytest.raises(ValueError, match="positive is 'mel'"):
        permutation_importance(fit, rows, positive="mel")
