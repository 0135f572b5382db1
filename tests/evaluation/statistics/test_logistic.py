"""The fit against scikit-learn and statsmodels, and where classes are wholly apart."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from melnb.evaluation.statistics.logistic import expit, fit_logistic, logistic_covariance


def sample(n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(2)
    columns = draw.normal(size=(n, 2)) * [1.0, 5.0] + [0.0, 3.0]
    truth = draw.random(n) < expit(columns @ [1.0, 0.2] - 1)
    return np.column_stack([np.ones(n), columns]), truth.astype(float)


def test_the_fit_and_its_covariance_are_those_of_statsmodels() -> None:
    design, truth = sample()
    found = fit_logistic(design, truth)
    model = sm.Logit(truth, design).fit(disp=0)
    assert found == pytest.approx(model.params, abs=1e-6)
    made = logistic_covariance(design, truth, np.zeros(len(truth)), found)
    assert made == pytest.approx(model.cov_params(), abs=1e-6)


def test_an_offset_is_added_to_the_log_odds() -> None:
    design, truth = sample()
    offset = design[:, 1]
    found = fit_logistic(design[:, [0, 2]], truth, offset=offset)
    model = sm.GLM(truth, design[:, [0, 2]], family=sm.families.Binomial(), offset=offset).fit()
    assert found == pytest.approx(model.params, abs=1e-6)


def test_the_ridge_is_that_of_scikit_learn() -> None:
    design, truth = sample()
    columns = design[:, 1:]
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled, truth)
    centred = np.column_stack([design[:, 0], columns - columns.mean(axis=0)])
    found = fit_logistic(centred, truth, ridge=(0.0, 1.0, 1.0))
    assert found[1:] * columns.std(axis=0) == pytest.approx(model.coef_[0], abs=1e-5)


def test_a_ridge_holds_what_would_be_infinite_or_unknown() -> None:
    design = np.column_stack([np.ones(4), [-1.5, -0.5, 0.5, 1.5], np.zeros(4)])
    found = fit_logistic(design, np.array([0.0, 0, 1, 1]), ridge=(0.0, 1.0, 1.0))
    assert np.isfinite(found).all()
    assert found[1] > 0
    assert found[2] == pytest.approx(0, abs=1e-6)
