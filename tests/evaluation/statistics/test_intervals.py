"""DeLong against published and brute-force values; proportions against SciPy and limit cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binomtest, norm, rankdata

from melnb.evaluation.statistics import intervals

Cancer = tuple[np.ndarray, dict[str, np.ndarray]]


def brute_force(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong by its definition: every positive against every negative."""
    v10, v01 = [], []
    for score in scores:
        pairs = score[truth][:, None] - score[~truth][None]
        won = (pairs > 0) + 0.5 * (pairs == 0)
        v10.append(won.mean(axis=1))
        v01.append(won.mean(axis=0))
    s10, s01 = np.atleast_2d(np.cov(v10)), np.atleast_2d(np.cov(v01))
    covariance = s10 / truth.sum() + s01 / (~truth).sum()
    return np.mean(v10, axis=1), covariance


def test_published_values(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    names = ["mean radius", "mean texture", "mean smoothness"]
    values, covariance = intervals.delong_covariance(truth, np.stack([columns[n] for n in names]))
    errors = np.sqrt(np.diag(covariance))
    assert values == pytest.approx([0.937517, 0.775824, 0.722042], abs=5e-7)
    assert errors == pytest.approx([0.010457, 0.019734, 0.021266], abs=5e-7)
    assert covariance[0, 1] == pytest.approx(4.686e-6, abs=5e-10)
    assert covariance[1, 2] == pytest.approx(-7.2e-5, abs=5e-7)
    for first, second, z in ((0, 1, 7.308787), (1, 2, 1.713345)):
        variance = covariance[first, first] + covariance[second, second]
        variance -= 2 * covariance[first, second]
        assert (values[first] - values[second]) / math.sqrt(variance) == pytest.approx(z, abs=5e-6)
    assert intervals.two_sided_p(1.713345) == pytest.approx(0.086649, abs=5e-7)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4).filter(
        lambda rows: 2 <= sum(r[0] for r in rows) <= len(rows) - 2
    )
)
def test_midranks_give_what_the_definition_gives(rows: list[tuple[bool, int, int]]) -> None:
    truth = np.array([r[0] for r in rows])
    scores = np.array([[r[1] for r in rows], [r[2] for r in rows]], dtype=float)
    values, covariance = intervals.delong_covariance(truth, scores)
    wanted, error = brute_force(truth, scores)
    assert values == pytest.approx(wanted, abs=1e-12)
    assert covariance == pytest.approx(error, abs=1e-12)


@given(st.lists(st.integers(-5, 5)))
def test_midranks(values: list[int]) -> None:
    assert intervals.midranks(np.array(values, dtype=float)).tolist() == rankdata(values).tolist()


def test_auc_at_its_limits() -> None:
    truth = np.array([True, False])
    assert intervals.auc_delong(truth, np.array([0.9, 0.1]))[0] == 1
    assert math.isnan(intervals.auc_delong(truth, np.array([0.9, 0.1]))[1])
    assert intervals.auc_delong(np.array([True] * 3 + [False] * 3), np.full(6, 0.3)) == (0.5, 0)
    for lone in (np.array([True, True]), np.array([False, False]), np.array([], dtype=bool)):
        value, se = intervals.auc_delong(lone, np.linspace(0, 1, len(lone)))
        assert math.isnan(value)
        assert math.isnan(se)


def test_clusters_err_together(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = columns["mean texture"]
    n = len(truth)
    _, se = intervals.auc_delong(truth, score)
    _, alone = intervals.auc_delong(truth, score, np.arange(n))
    assert alone == pytest.approx(se)
    # Every row twice: no more is known than before, which only the clustered error sees.
    twice, both = np.tile(truth, 2), np.tile(score, 2)
    _, blind = intervals.auc_delong(twice, both)
    _, clustered = intervals.auc_delong(twice, both, np.tile(np.arange(n), 2))
    assert blind == pytest.approx(se / math.sqrt(2), rel=0.01)
    assert clustered == pytest.approx(se, rel=0.01)
    assert math.isnan(intervals.auc_delong(truth, score, np.zeros(n, dtype=int))[1])


def obuchowski(truth: np.ndarray, score: np.ndarray, clusters: np.ndarray) -> float:
    """The variance of Obuchowski 1997, Biometrics 53:567, as she writes it, pair by pair."""
    beaten = (score[truth][:, None] > score[~truth]) + 0.5 * (
        score[truth][:, None] == score[~truth]
    )
    m, n, area = truth.sum(), (~truth).sum(), beaten.mean()
    names = np.unique(clusters)
    x = np.array([(beaten[clusters[truth] == c].mean(1) - area).sum() for c in names])
    y = np.array([(beaten[:, clusters[~truth] == c].mean(0) - area).sum() for c in names])
    i10, i01, i = len(set(clusters[truth])), len(set(clusters[~truth])), len(names)
    s10 = i10 / ((i10 - 1) * m) * (x**2).sum()
    s01 = i01 / ((i01 - 1) * n) * (y**2).sum()
    s11 = i / (i - 1) * (x * y).sum()
    return float(s10 / m + s01 / n + 2 * s11 / (m * n))


@pytest.mark.parametrize("few", [2, 6, 40])
def test_clustered_errors_are_obuchowskis_to_the_letter(few: int) -> None:
    draw = np.random.default_rng(few)
    clusters = np.repeat(np.arange(60), draw.integers(1, 7, 60))
    truth = (clusters < few) & (draw.random(len(clusters)) < 0.6)
    truth[np.isin(clusters, (0, 1)) & (np.diff(clusters, prepend=-1) > 0)] = True
    score = np.round(draw.normal(size=60)[clusters] + draw.normal(size=len(clusters)) + truth, 1)
    _, se = intervals.auc_delong(truth, score, clusters)
    assert se**2 == pytest.approx(obuchowski(truth, score, clusters))
    # Of two scores: the difference has the variance that one such sum of both would have.
    other = np.round(score + draw.normal(size=len(score)), 1)
    _, covariance = intervals.delong_covariance(truth, np.stack([score, other]), clusters)
    assert covariance[1, 1] == pytest.approx(obuchowski(truth, other, clusters))
    assert np.linalg.eigvalsh(covariance)[0] > -1e-12


@given(st.floats(0.02, 0.98), st.floats(0.001, 0.5), st.sampled_from([0.8, 0.95]))
def test_limits_of_an_area_are_walds_on_the_logit(area: float, se: float, level: float) -> None:
    low, high = intervals.auc_limits(area, se, confidence=level)
    assert 0 <= low < area < high <= 1
    half = norm.ppf((1 + level) / 2) * se / (area * (1 - area))
    assert (low, high) == pytest.approx(tuple(expit(logit(area) + np.array([-half, half]))))
    # What is positive is a name: the other way round, the limits change places.
    assert intervals.auc_limits(1 - area, se, confidence=level) == pytest.approx(
        (1 - high, 1 - low)
    )


def test_an_area_without_error_has_no_limits() -> None:
    for area, se in ((1.0, 0.0), (0.5, 0.0), (math.nan, math.nan), (0.7, math.nan)):
        assert np.isnan(intervals.auc_limits(area, se)).all()


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(k: int, n: int, confidence: float) -> None:
    k = min(k, n)
    wanted = binomtest(k, n).proportion_ci(confidence, method="wilson")
    low, high = intervals.wilson_interval(k, n, confidence=confidence)
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_wilson_published_and_empty() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    for k, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
    ):
        assert intervals.wilson_interval(k, n) == pytest.approx((low, high), abs=5e-5)
    assert np.isnan(intervals.wilson_interval(0, 0)).all()


def test_a_mean_of_one_or_of_equals() -> None:
    assert intervals.mean_interval([0.3], [0.1], [0.7]) == pytest.approx((0.3, 0.1, 0.7))
    mean, low, high = intervals.mean_interval([0.5] * 4, [0.3] * 4, [0.7] * 4)
    assert (mean, low, high) == pytest.approx((0.5, 0.4, 0.6))
    assert intervals.mean_interval([0.2, 1], [0.1, 0.9], [0.4, 1], (1, 0)) == pytest.approx(
        (0.2, 0.1, 0.4)
    )


def test_confidence_is_a_share() -> None:
    assert intervals.normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    with pytest.raises(ValueError, match="confidence is 95"):
        intervals.normal_quantile(95)
