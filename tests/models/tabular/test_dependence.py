"""Dependence: the mean over rows that were all given one value, and how many had it."""

import numpy as np
import pandas as pd
import pytest

from melnb.models.tabular.cross_fitting import CrossFit, cross_fit
from melnb.models.tabular.feature_importance import partial_dependence
from melnb.models.tabular.learners import Learner
from melnb.models.tabular.table_rows import Rows

LEARNERS = {
    "logistic": Learner("logistic", weights="balanced"),
    "boosting": Learner("boosting", settings={"max_iter": 20, "min_samples_leaf": 10}),
}


@pytest.fixture(scope="module")
def fits(rows: Rows) -> dict[str, CrossFit]:
    return cross_fit(rows, learners=LEARNERS)


def test_a_naive_loop_finds_the_same(fits: dict[str, CrossFit], rows: Rows) -> None:
    table = partial_dependence(fits, rows, positive="melanoma", points=5)
    assert list(table) == ["feature", "x", "model", "value", "low", "high", "share"]
    for row in table.itertuples():
        means = []
        for fold in rows.folds:
            held_out = rows.features.iloc[rows.inside(fold)].copy()
            held_out[row.feature] = row.x
            held_out[row.feature] = held_out[row.feature].astype(rows.features[row.feature].dtype)
            model = fits[row.model].models[fold][0]
            means.append(model.predict_proba(held_out)[:, 1].mean())
        assert row.value == pytest.approx(np.mean(means), abs=1e-12)
        assert 0 <= row.low <= row.value <= row.high <= 1


def test_shares_sum_to_one_and_count_missing(fits: dict[str, CrossFit], rows: Rows) -> None:
    table = partial_dependence(fits, rows, positive="melanoma", points=4)
    sums = table.groupby(["feature", "model"])["share"].sum()
    np.testing.assert_allclose(sums, 1)
    inside = rows.features[rows.fold >= 0]
    one = table[table["model"] == "logistic"].set_index("feature")
    sites = one.loc["site"].set_index("x")["share"]
    for word, share in inside["site"].value_counts(normalize=True, dropna=False).items():
        at = sites.index.isna() if pd.isna(word) else sites.index == word
        assert sites[at].iloc[0] == pytest.approx(share)
    ages = one.loc["age"]
    assert len(ages) == 5  # four points, and missing
    assert pd.isna(ages["x"].iloc[-1])
    assert ages["share"].iloc[-1] == pytest.approx(inside["age"].isna().mean())
    known = inside["age"].dropna().to_numpy()
    points = ages["x"].iloc[:-1].to_numpy(float)
    # A row in the middle between two points counts for the upper one.
    nearest = np.abs(known[:, None] - points)[:, ::-1].argmin(axis=1)
    counts = np.bincount(len(points) - 1 - nearest, minlength=4) / len(inside)
    np.testing.assert_allclose(ages["share"].iloc[:-1], counts)


def test_few_values_are_tried_as_they_are(fits: dict[str, CrossFit], rows: Rows) -> None:
    table = partial_dependence(fits, rows, positive="melanoma", features=["age"], points=200)
    tried = table.loc[table["model"] == "logistic", "x"].dropna().to_list()
    assert tried == sorted(rows.features.loc[rows.fold >= 0, "age"].dropna().unique())


def test_the_melanoma_curve_rises_with_age(fits: dict[str, CrossFit], rows: Rows) -> None:
    table = partial_dependence(
        fits, rows, positive="melanoma", features=["age"], points=10, n_rows=40
    )
    for _, own in table.dropna(subset=["x"]).groupby("model"):
        assert own["value"].iloc[-1] > own["value"].iloc[0] + 0.2
    again = partial_dependence(
        fits, rows, positive="melanoma", features=["age"], points=10, n_rows=40
    )
    pd.testing.assert_frame_equal(table, again)


def test_refusals(fits: dict[str, CrossFit], rows: Rows) -> None:
    with pytest.raises(ValueError, match="features names 'agee', none of"):
        partial_dependence(fits, rows, positive="melanoma", features=["agee"])
    with pytest.raises(ValueError, match="points is 1"):
        partial_dependence(fits, rows, positive="melanoma", points=1)
