"""The clustered bootstrap against a loop over scikit-learn: the same numbers, how much faster?

Scores of the size and shape of SIIM-ISIC 2020: 33,126 images of 2,056 patients, 584 melanomas.
Run with `-s` to read the tables.
"""

import time
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from melnb.evaluation.statistics import bootstrap

pytestmark = pytest.mark.benchmark

BOTH = (bootstrap.aucs, bootstrap.average_precisions)
LOOPED = 30  # resamples that the loop is timed on; its time for more is this, scaled


def make_rows(times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, score and patient of so many cohorts, each with patients of its own."""
    draw = np.random.default_rng(0)
    n, patients = 33_126 * times, 2_056 * times
    truth = np.zeros(n, dtype=bool)
    truth[draw.choice(n, 584 * times, replace=False)] = True
    clusters = np.concatenate([np.arange(patients), draw.integers(patients, size=n - patients)])
    score = 1.8 * truth + 0.5 * draw.normal(size=patients)[clusters] + draw.normal(size=n)
    return truth, 1 / (1 + np.exp(4 - score)), clusters


def ours(rows: tuple[np.ndarray, ...], draws: int) -> tuple[float, np.ndarray]:
    truth, score, clusters = rows
    start = time.perf_counter()
    made = bootstrap.resampled_statistics(
        truth, score, statistics=BOTH, draws=draws, seed=1, clusters=clusters
    )
    return time.perf_counter() - start, made


def theirs(rows: tuple[np.ndarray, ...], draws: int) -> tuple[float, np.ndarray]:
    """Repeat the rows of the patients drawn, and score them, as a notebook would."""
    truth, score, clusters = rows
    number = int(clusters.max()) + 1
    resamples = np.concatenate([*bootstrap.resample_counts(number, draws=draws, seed=1)])
    made = []
    start = time.perf_counter()
    for counts in resamples:
        drawn = np.repeat(np.arange(len(truth)), counts[clusters])
        pair = truth[drawn], score[drawn]
        made.append((roc_auc_score(*pair), average_precision_score(*pair)))
    return time.perf_counter() - start, np.array(made)


def test_a_hundred_times_a_plain_loop() -> None:
    rows = make_rows(1)
    ours(rows, 10)  # imports
    looped, wanted = theirs(rows, LOOPED)
    fast, made = ours(rows, 1_000)
    slow = looped / LOOPED * 1_000
    print("\n| 1,000 resamples by patient, AUC and average precision | seconds |\n|---|---|")
    print(f"| scikit-learn in a loop ({LOOPED} timed, scaled) | {slow:.1f} |")
    print(
        f"| `bootstrap.resampled_statistics` | {fast:.3f} |\n| times faster | {slow / fast:.0f} |"
    )
    assert np.abs(made[:LOOPED] - wanted).max() < 1e-12
    assert slow / fast > 100


def test_cost_is_linear_in_rows_and_memory_bounded() -> None:
    head = ("rows", "patients", "resamples", "seconds", "peak MB", "µs a row")
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    per_row = []
    for times in (1, 4, 12):
        rows = make_rows(times)
        seconds = min(ours(rows, 10_000)[0] for _ in range(2 if times == 1 else 1))
        tracemalloc.start()
        ours(rows, 50)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        n, patients = len(rows[0]), int(rows[2].max()) + 1
        per_row.append(seconds / n * 1e6)
        print(f"| {n:,} | {patients:,} | 10,000 | {seconds:.2f} | {peak:.0f} | {per_row[-1]:.1f} |")
        assert times > 1 or seconds < 10
        assert peak < 60 + 200 * n / 1e6
    assert max(per_row) < 2 * min(per_row)


def test_weighted_sums_of_many_columns() -> None:
    truth, score, clusters = make_rows(1)
    flagged = score[:, None] >= np.quantile(score, np.linspace(0.5, 0.99, 100))
    start = time.perf_counter()
    sums = bootstrap.resampled_sums(
        np.concatenate([flagged & truth[:, None], truth[:, None]], axis=1), clusters=clusters
    )
    seconds = time.perf_counter() - start
    print(f"\n1,000 resamples of the sensitivity at 100 thresholds: {seconds:.2f} s")
    assert sums.shape == (1_000, 101)
    assert seconds < 5
