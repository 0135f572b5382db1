from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_limits

from melnb.evaluation.ensembles.cross_fit import fit_boosted_stacker
from melnb.models.tabular.learners import Learner, fit_learner, predict_rows
from melnb.models.tabular.table_rows import Rows
from melnb.tables.processes import one_thread


def allowed() -> int:
    """How many threads boosted trees would take now: several OpenMPs may be in this process."""
    return int(_openmp_effective_n_threads())


def stack() -> None:
    values = {"a": np.random.default_rng(0).dirichlet([1, 1], 60)}
    fit_boosted_stacker(values, np.arange(60) % 2).apply(values)


def learn() -> None:
    codes = np.arange(60) % 2
    ids = np.array([f"i{k}" for k in range(60)])
    rows = Rows(
        image_ids=ids, features=pd.DataFrame({"age": np.arange(60.0)}), codes=codes,
        fold=codes, classes=("other", "melanoma"),
    )  # fmt: skip
    predict_rows([fit_learner(Learner("boosting"), rows, np.arange(60), seed=0)], rows.features)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that boosted trees were allowed, each time that they worked."""
    noted: list[int] = []

    def watch(name: str, method: Callable[..., Any]) -> None:
        def noting(self: Any, *given: Any, **named: Any) -> Any:
            noted.append(allowed())
            return method(self, *given, **named)

        monkeypatch.setattr(HistGradientBoostingClassifier, name, noting)

    for name in ("fit", "predict_proba"):
        watch(name, getattr(HistGradientBoostingClassifier, name))
    return noted


@pytest.mark.parametrize("work", [stack, learn])
def test_boosted_trees_work_in_one_thread(seen: list[int], work: Callable[[], None]) -> None:
    with threadpool_limits(2, "openmp"):
        work()
        assert allowed() == 2, "as before"
    assert seen == [1, 1]


def test_the_limit_is_that_of_the_calling_thread() -> None:
    def two() -> int:
        threadpool_limits(2, "openmp")
        return allowed()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(two).result() == 2
        with one_thread():
            assert allowed() == 1
            assert pool.submit(allowed).result() == 2
