"""Resampling against resampled rows, scikit-learn and DeLong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.discrimination import comparisons, ranking
from melnb.evaluation.rows import binary_rows, row_clusters
from melnb.evaluation.statistics import bootstrap, intervals

Cancer = tuple[np.ndarray, dict[str, np.ndarray]]


def test_resampling_agrees_with_delong(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = columns["mean texture"]
    value, wanted = intervals.auc_delong(truth, score)
    se, low, high = bootstrap.bootstrap_interval(
        truth, score, statistic=bootstrap.aucs, draws=4000, seed=1
    )
    assert se == pytest.approx(wanted, rel=0.05)
    assert (low, high) == pytest.approx((value - 1.96 * wanted, value + 1.96 * wanted), abs=0.004)


def test_resampling_agrees_with_resampled_rows(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = np.round(columns["mean texture"], 2)  # ties
    generator = np.random.default_rng(0)
    naive = []
    for _ in range(400):
        rows = generator.integers(len(truth), size=len(truth))
        naive.append(average_precision_score(truth[rows], score[rows]))
    se, low, high = bootstrap.bootstrap_interval(
        truth, score, statistic=bootstrap.average_precisions, draws=4000
    )
    assert se == pytest.approx(np.std(naive), rel=0.15)
    assert (low, high) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.015)


def test_few_steps_and_many_rows_are_drawn_alike(
    breast_cancer: Cancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, columns = breast_cancer
    score = np.round(columns["mean texture"], 2)

    def limits(cost: float) -> tuple[float, float, float]:
        monkeypatch.setattr(bootstrap, "_CELL_COST", cost)
        return bootstrap.bootstrap_interval(truth, score, statistic=bootstrap.aucs, draws=4000)

    assert limits(0) != limits(1e9)  # counts are drawn, or rows
    assert limits(0) == pytest.approx(limits(1e9), rel=0.05)


def test_whole_clusters_are_drawn(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = columns["mean texture"]
    twice, both, n = np.tile(truth, 2), np.tile(score, 2), len(truth)
    _, wanted = intervals.auc_delong(truth, score)
    se, *_ = bootstrap.bootstrap_interval(
        twice, both, statistic=bootstrap.aucs, clusters=np.tile(np.arange(n), 2)
    )
    assert se == pytest.approx(wanted, rel=0.1)


def test_the_seed_decides(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer

    def limits(seed: int) -> tuple[float, float, float]:
        return bootstrap.bootstrap_interval(
            truth, columns["mean radius"], statistic=bootstrap.aucs, draws=50, seed=seed
        )

    assert limits(3) == limits(3)
    assert limits(3) != limits(4)


def test_blocks_change_no_resample() -> None:
    whole = np.concatenate([*bootstrap.resample_counts(37, draws=50, seed=5)])
    parts = np.concatenate([*bootstrap.resample_counts(37, draws=50, seed=5, block=7)])
    assert np.array_equal(whole, parts)
    assert (whole.sum(axis=1) == 37).all()
    # Of each thing, binomial(37, 1/37): mean 1, variance 1 - 1/37.
    many = np.concatenate([*bootstrap.resample_counts(37, draws=4000, seed=5)])
    assert many.mean(axis=0) == pytest.approx(1, abs=0.06)
    assert many.var(axis=0) == pytest.approx(36 / 37, rel=0.15)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9), st.booleans()), min_size=1),
    st.integers(0, 99),
)
def test_sums_and_means_are_those_of_the_rows_drawn(
    rows: list[tuple[int, int, bool]], seed: int
) -> None:
    _, clusters = np.unique([r[0] for r in rows], return_inverse=True)
    value, weight = np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float)
    sums = bootstrap.resampled_sums(
        np.column_stack([value, weight]), clusters=clusters, draws=9, seed=seed
    )
    means = bootstrap.resampled_means(
        value[:, None], weights=weight, clusters=clusters, draws=9, seed=seed
    )[:, 0]
    number = clusters.max() + 1
    (drawn,) = bootstrap.resample_counts(number, draws=9, seed=seed)
    for times, found, mean in zip(drawn, sums, means, strict=True):
        repeated = np.repeat(np.arange(len(rows)), times[clusters])
        assert found == pytest.approx([value[repeated].sum(), weight[repeated].sum()])
        if weight[repeated].sum():
            assert mean == pytest.approx(np.average(value[repeated], weights=weight[repeated]))
        else:
            assert np.isnan(mean)


def test_a_means_error_is_the_known_one() -> None:
    value = np.random.default_rng(0).normal(size=(500, 3)) * [1, 2, 3]
    made = bootstrap.resampled_means(value, draws=4000)
    se, low, high = bootstrap.percentile_interval(made, confidence=0.9)
    wanted = value.std(axis=0) / np.sqrt(500)
    assert se == pytest.approx(wanted, rel=0.05)
    assert high - low == pytest.approx(2 * 1.645 * wanted, rel=0.05)
    # Rows in pairs that are alike are half as many.
    twice, pairs = np.repeat(value, 2, axis=0), np.repeat(np.arange(500), 2)
    clustered = bootstrap.resampled_means(twice, clusters=pairs, draws=4000)
    assert clustered == pytest.approx(made, abs=1e-12)


def test_sums_refuse_and_have_limits() -> None:
    with pytest.raises(ValueError, match=r"values\[1, 0\] is nan"):
        bootstrap.resampled_sums(np.array([[1.0], [np.nan]]))
    with pytest.raises(ValueError, match=r"shape \(2,\): pass rows x sums"):
        bootstrap.resampled_sums(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="confidence is 95"):
        bootstrap.percentile_interval(np.zeros(9), confidence=95)
    assert bootstrap.resampled_sums(np.empty((0, 2)), draws=3).tolist() == [[0, 0]] * 3
    assert bootstrap.resampled_sums(np.ones((2, 2)), draws=0).shape == (0, 2)
    empty = np.array([], dtype=int)
    assert bootstrap.resampled_sums(np.empty((0, 1)), clusters=empty, draws=2).tolist() == [[0]] * 2


def test_half_the_draws_must_be_finite() -> None:
    values = np.column_stack([np.arange(10.0), np.full(10, np.nan), np.arange(10.0)])
    values[:5, 2] = np.inf
    se, low, high = bootstrap.percentile_interval(values)
    assert se[0] == pytest.approx(np.arange(10).std(ddof=1))
    assert (low[0], high[0]) == pytest.approx((0.225, 8.775))
    assert np.isnan([se[1:], low[1:], high[1:]]).all()
    assert np.isnan(bootstrap.percentile_interval(np.array([1.0]))[0])
    assert float(bootstrap.percentile_interval(values[:, 0])[0]) == se[0]


def test_a_ranking_of_clusters_is_that_of_the_rows_drawn(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score, clusters = np.round(columns["mean texture"], 2), np.arange(len(truth)) // 4
    both = (bootstrap.aucs, bootstrap.average_precisions)
    made = bootstrap.resampled_statistics(
        truth, score, statistics=both, draws=20, seed=3, clusters=clusters
    )
    (drawn,) = bootstrap.resample_counts(clusters.max() + 1, draws=20, seed=3)
    for times, found in zip(drawn, made, strict=True):
        weight = times[clusters]
        wanted = (
            roc_auc_score(truth, score, sample_weight=weight),
            average_precision_score(truth, score, sample_weight=weight),
        )
        assert found == pytest.approx(wanted, abs=1e-12)
    nothing = np.array([], dtype=bool)
    empty = bootstrap.resampled_statistics(nothing, nothing * 1.0, statistics=both, draws=2)
    assert np.isnan(empty).all()


def test_a_lone_row_has_no_interval() -> None:
    truth = np.array([True, False, False, False])
    found = bootstrap.bootstrap_interval(
        truth, np.array([0.9, 0.2, 0.3, 0.4]), statistic=bootstrap.aucs
    )
    assert np.isnan(found).all()


@pytest.mark.data
def test_errors_of_a_published_out_of_fold_file(siim_predictions: Path) -> None:
    table = read_foreign(siim_predictions / "oof_efficientnet_b1.csv")
    by_row = ranking.auc(table, positive="melanoma").iloc[0]
    assert by_row["value"] == pytest.approx(0.8997782, abs=5e-8)
    assert by_row["se"] == pytest.approx(0.0057100, abs=5e-8)
    rows = binary_rows(table, positive="melanoma")
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    patients = row_clusters(rows, "patient_id")
    both = {"statistic": bootstrap.aucs, "draws": 10_000}
    se, *_ = bootstrap.bootstrap_interval(truth, score, **both)
    assert se == pytest.approx(by_row["se"], rel=0.03)
    se, low, high = bootstrap.bootstrap_interval(truth, score, clusters=patients, **both)
    assert se == pytest.approx(0.0065, abs=0.0001)
    assert (low, high) == pytest.approx((0.8866, 0.9126), abs=0.0006)
    by_patient = ranking.auc(table, positive="melanoma", cluster="patient_id").iloc[0]
    assert by_patient["se"] == pytest.approx(se, rel=0.05)
    told = comparisons.leaderboard_error(by_row["value"], 584, 32_542).iloc[0]
    assert by_row["se"] < told["se_normal"] < 1.2 * by_row["se"]  # from the counts alone
