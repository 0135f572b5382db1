"""Learners: an estimator with its encoder, the weights of its classes and its balancing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.tabular.balancing import check_ratios, choose_rows
from melnb.models.tabular.encoding import column_kinds, make_encoder
from melnb.models.tabular.estimators import ESTIMATORS, draws, make_estimator, missing_numbers
from melnb.models.tabular.rows import Rows
from melnb.threads import one_thread

WEIGHTS = ("ones", "balanced")


@dataclass(frozen=True)
class Learner:
    """What to fit.

    Attributes:
        estimator: See `estimators.make_estimator`.
        weights: `ones`, or `balanced`: each class weighs the same. Rows are weighted, so that all
            estimators take them; of naive Bayes that makes the classes' priors equal.
        settings: Of the estimator, over its defaults.
        over: See `balancing.choose_rows`.
        under: See `balancing.choose_rows`.
    """

    estimator: str
    weights: str = "ones"
    settings: Mapping[str, Any] = field(default_factory=dict)
    over: float = 0.0
    under: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator is {self.estimator!r}; use one of {list(ESTIMATORS)}")
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights is {self.weights!r}; use one of {list(WEIGHTS)}")
        check_ratios(self.over, self.under)

    def seeds(self, seeds: Sequence[int]) -> tuple[int, ...]:
        """Return the seeds that can make a difference: the first alone if nothing is drawn."""
        drawn = draws(self.estimator) or self.over or self.under
        return tuple(seeds if drawn else seeds[:1])


def make_learners(
    estimators: Iterable[str],
    *,
    class_weights: str = "balanced",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    over: float = 0.0,
    under: float = 0.0,
) -> dict[str, Learner]:
    """Make a learner of each estimator, by its name.

    Naive Bayes takes no class weights, here as in scikit-learn: its priors are the classes' shares.

    Args:
        estimators: Names, see `estimators.make_estimator`.
        class_weights: `balanced` or `ones`.
        settings: Of an estimator, by its name.
        over: See `balancing.choose_rows`.
        under: See `balancing.choose_rows`.

    Raises:
        ValueError: A name, a ratio or the class weights have no meaning.
    """
    return {
        name: Learner(
            name,
            weights="ones" if name == "naive_bayes" else class_weights,
            settings=dict((settings or {}).get(name, {})),
            over=over,
            under=under,
        )
        for name in estimators
    }


def fit_learner(learner: Learner, rows: Rows, numbers: np.ndarray, *, seed: int) -> Any:
    """Fit encoder and estimator on some rows.

    Args:
        learner: What to fit.
        rows: All rows.
        numbers: The row numbers to learn from; no other row is looked at.
        seed: Of balancing and of the estimator.

    Returns:
        A fitted scikit-learn `Pipeline` of `encoder` and `estimator`.
    """
    from sklearn.pipeline import Pipeline

    ids, codes = rows.image_ids[numbers], rows.codes[numbers]
    if learner.over or learner.under:
        chosen = choose_rows(ids, codes, over=learner.over, under=learner.under, seed=seed)
        numbers, codes = numbers[chosen], codes[chosen]
    numeric, words = column_kinds(rows.features)
    encoder = make_encoder(numeric, words, missing=missing_numbers(learner.estimator))
    estimator = make_estimator(learner.estimator, learner.settings, seed=seed)
    model = Pipeline([("encoder", encoder), ("estimator", estimator)])
    given: dict[str, np.ndarray] = {}
    if learner.weights == "balanced":
        counts = np.bincount(codes)
        present = np.count_nonzero(counts)
        given["estimator__sample_weight"] = (len(codes) / (present * counts.clip(1)))[codes]
    with one_thread():
        return model.fit(rows.features.iloc[numbers], codes, **given)


def predict_rows(models: Sequence[Any], features: pd.DataFrame) -> np.ndarray:
    """Return the mean probabilities of fitted models.

    Rows that are alike are asked about once: of 33,126 images of age, sex and site alone, there
    are some 300 different ones.

    Args:
        models: Of `fit_learner`.
        features: n x columns, as `encoding.read_features` gives them.

    Returns:
        n x classes.
    """
    codes = np.column_stack([pd.factorize(features[c], use_na_sentinel=False)[0] for c in features])
    _, first, back = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    different = features.iloc[first]
    with one_thread():
        values = np.mean([np.asarray(m.predict_proba(different), float) for m in models], axis=0)
    return np.asarray(values[back.reshape(-1)])
