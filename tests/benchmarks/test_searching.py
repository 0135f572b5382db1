"""The search of every subset against a loop over scikit-learn: the same numbers, how much faster?

Members of the size of SIIM-ISIC 2020: 33,126 images, 584 melanomas, five folds. Run with `-s` to
read the table.
"""

import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from melnb.evaluation.ensembles import candidates, search
from melnb.tables.schema import make_predictions

pytestmark = pytest.mark.benchmark

LOOPED = 40  # subsets that the loop is timed on; its time for more is this, scaled


def make_members(number: int) -> dict[str, pd.DataFrame]:
    """Return members whose errors are alike by half."""
    draw = np.random.default_rng(0)
    n = 33_126
    truth = np.zeros(n, dtype=bool)
    truth[draw.choice(n, 584, replace=False)] = True
    shared, made = draw.normal(size=n), {}
    for k in range(number):
        score = 1 / (1 + np.exp(4 - 1.8 * truth - 0.7 * (shared + draw.normal(size=n))))
        made[f"m{k:02d}"] = make_predictions(
            [f"i{k:05d}" for k in range(n)],
            np.arange(n) % 5,
            np.where(truth, "melanoma", "other"),
            np.column_stack([1 - score, score]),
            classes=("other", "melanoma"),
            run=f"m{k:02d}",
        )
    return made


def test_every_subset_of_fifteen_members() -> None:
    members = make_members(15)
    truth = members["m00"]["truth"].to_numpy() == "melanoma"
    scores = np.stack([t["p_melanoma"] for t in members.values()])
    draw = np.random.default_rng(1)
    start = time.perf_counter()
    for _ in range(LOOPED):
        roc_auc_score(truth, scores[draw.random(15) < 0.5].sum(axis=0))
    loop = (time.perf_counter() - start) / LOOPED * (2**15 - 1) * 6  # by all rows, and 5 folds
    print("\n| 32,767 subsets, of all rows and without each of 5 folds | seconds | peak MB |")
    print(f"|---|---|---|\n| scikit-learn in a loop ({LOOPED} timed, scaled) | {loop:.0f} | |")
    for method in ("mean", "rank"):
        made = candidates.make_candidates(members, positive="melanoma", method=method)
        for jobs in (1, 2):
            tracemalloc.start()
            start = time.perf_counter()
            found = search.exhaustive_search(made, jobs=jobs)
            seconds = time.perf_counter() - start
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            print(f"| {method}, {jobs} job(s) | {seconds:.1f} | {peak:.0f} |")
            assert seconds < 120
            assert peak < 40
        score = (found.chosen() @ made.scores).astype(float)
        assert found.aucs[-1].max() == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert loop / seconds > 10
