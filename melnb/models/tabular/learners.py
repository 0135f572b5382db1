"""Learners: an estimator with its encoder, the weights of its classes and its balancing."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.tabular.table_rows import Missing, Rows, column_kinds, make_encoder
from melnb.tables.processes import one_thread

# Balancing: which training rows are learnt from, and how often.
#
# Only the rows given are chosen from, and those are training rows: up-sampling before the folds are
# cut puts copies of one image on both sides, and a model seems better than it is.


def choose_rows(
    image_ids: np.ndarray, codes: np.ndarray, *, over: float = 0.0, under: float = 0.0, seed: int
) -> np.ndarray:
    """Choose rows so that classes come closer in number: first over-sample, then under-sample.

    Of two classes, both are the ratio of the smaller to the larger that is reached, as in
    imbalanced-learn; the winners of ISIC 2024 over-sampled to 0.003 and then under-sampled to 0.01.
    What is chosen hangs on image ids and the seed alone, not on the order of rows.

    Args:
        image_ids: n texts.
        codes: n whole numbers, the class of each.
        over: Classes with fewer rows than this share of the largest are repeated up to it: every
            row as often as it goes, and a part of them once more. 0: none is.
        under: Then classes with more rows than the smallest one's number divided by this are cut
            to that. 0: none is.
        seed: Of the choice.

    Returns:
        Row numbers, sorted by image id; repeated where over-sampled.

    Raises:
        ValueError: A ratio is not between 0 and 1.
    """
    check_ratios(over, under)
    key = pd.util.hash_array(
        np.asarray(image_ids, dtype=object), hash_key=f"{seed % 10**16:016d}", categorize=False
    )
    by_key = np.lexsort((image_ids.astype(str), key))
    present = np.unique(codes)
    pools = [by_key[codes[by_key] == code] for code in present]
    wanted = np.array([len(pool) for pool in pools])
    if over:
        wanted = np.maximum(wanted, np.round(over * wanted.max()).astype(int))
    if under:
        wanted = np.minimum(wanted, np.round(wanted.min() / under).astype(int))
    # np.resize repeats the pool as often as needed, or cuts it.
    chosen = np.concatenate([np.resize(p, n) for p, n in zip(pools, wanted, strict=True)])
    return np.asarray(chosen[np.argsort(image_ids[chosen].astype(str), kind="stable")])


def check_ratios(over: float, under: float) -> None:
    """Refuse ratios that have no meaning."""
    for name, value in (("over", over), ("under", under)):
        if not 0 <= value <= 1:
            raise ValueError(
                f"{name} is {value}, not a ratio of the smaller class to the larger: use 0 (off) "
                "to 1 (as many of each)"
            )


# Estimators by name, with the settings that they start from.

# Boosted trees are few and small, for tables of metadata have few columns and few melanomas.
DEFAULTS: dict[str, dict[str, Any]] = {
    "logistic": {"C": 1.0, "max_iter": 2000},
    "forest": {"n_estimators": 1000, "max_depth": 2},
    # Of scikit-learn's 1e-9, a cell that one class lacks has no variance there, and decides alone.
    "naive_bayes": {"var_smoothing": 1e-3},
    # Of more columns than images the covariance is shrunk by the formula of Ledoit and Wolf (2004).
    "discriminant": {"solver": "lsqr", "shrinkage": "auto"},
    "neighbours": {"n_neighbors": 25, "weights": "distance"},
    "boosting": {"learning_rate": 0.05, "max_iter": 150, "max_depth": 3, "min_samples_leaf": 50},
    "lightgbm": {
        "learning_rate": 0.05, "n_estimators": 150, "num_leaves": 8, "min_child_samples": 50,
    },
    "xgboost": {
        "learning_rate": 0.05, "n_estimators": 150, "max_depth": 3, "tree_method": "hist",
    },
    "catboost": {"learning_rate": 0.05, "iterations": 300, "depth": 3},
}  # fmt: skip
ESTIMATORS = tuple(DEFAULTS)
_KEEP_MISSING = ("boosting", "lightgbm", "xgboost", "catboost")
_SEEDLESS = ("logistic", "naive_bayes", "discriminant", "neighbours")
# These take no class weights: the priors of naive Bayes are the classes' shares, neighbours vote.
_UNWEIGHTED = ("naive_bayes", "neighbours")


def make_estimator(name: str, settings: Mapping[str, Any] | None = None, *, seed: int = 0) -> Any:
    """Make an estimator that is not yet fitted.

    A forest works in one thread: summed in several, its trees' votes differ in their last bits from
    run to run.

    Args:
        name: `logistic` (l2), `forest`, `naive_bayes` (Gaussian), `discriminant` (linear, of a
            shrunk covariance), `neighbours` (nearest, by distance), `boosting` (histograms, of
            scikit-learn), `lightgbm`, `xgboost` or `catboost`.
        settings: By the estimator's own names, over `DEFAULTS`.
        seed: Of those that draw.

    Raises:
        ValueError: The name, or a setting, is unknown.
        ImportError: One of the last three is not installed.
    """
    if name not in DEFAULTS:
        raise ValueError(f"estimator is {name!r}; use one of {list(ESTIMATORS)}")
    kind, fixed = _load(name, seed)
    names = _setting_names(kind)
    for setting in settings or {}:
        if setting not in names or setting in fixed:
            raise ValueError(
                f"settings of {name} names {setting!r}; use some of {sorted(names - set(fixed))}"
            )
    return kind(**{**DEFAULTS[name], **(settings or {}), **fixed})


def missing_numbers(name: str) -> Missing:
    """Return what an estimator wants to become of missing numbers."""
    return "keep" if name in _KEEP_MISSING else "fill"


def draws(name: str) -> bool:
    """Tell whether an estimator's result may hang on its seed."""
    return name not in _SEEDLESS


def _setting_names(kind: type) -> set[str]:
    """Return what a class takes, its parents' arguments too: XGBoost's passes them on unnamed."""
    taken = [
        argument
        for parent in kind.__mro__
        if "__init__" in vars(parent) and parent is not object
        for argument in inspect.signature(parent.__init__).parameters.values()  # type: ignore[misc]
    ]
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {argument.name for argument in taken if argument.kind not in unnamed} - {"self"}


def _load(name: str, seed: int) -> tuple[type, dict[str, Any]]:
    """Return the class, and what is not to be set by others."""
    if name == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression, {}
    if name == "naive_bayes":
        from sklearn.naive_bayes import GaussianNB

        return GaussianNB, {}
    if name == "discriminant":
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        return LinearDiscriminantAnalysis, {}
    if name == "neighbours":
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier, {"n_jobs": 1}
    if name == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier, {"random_state": seed, "n_jobs": 1}
    if name == "boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        # Its early stopping sets rows aside, not patients: it would stop by images of patients
        # that it has learnt from.
        return HistGradientBoostingClassifier, {"random_state": seed, "early_stopping": False}
    return _load_extra(name, seed)


def _load_extra(name: str, seed: int) -> tuple[type, dict[str, Any]]:
    try:
        library = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f'{name} is not installed: pip install "melnb[boosting]"') from error
    if name == "lightgbm":
        # Of two ways to count, it tries which is faster, and they differ in their last bits.
        same = {"deterministic": True, "force_row_wise": True}
        fixed = {"random_state": seed, "n_jobs": 1, "verbosity": -1, **same}
        return library.LGBMClassifier, fixed
    if name == "xgboost":
        return library.XGBClassifier, {"random_state": seed, "n_jobs": 1, "verbosity": 0}
    quiet = {"verbose": False, "allow_writing_files": False}  # else it leaves catboost_info/
    return library.CatBoostClassifier, {"random_seed": seed, "thread_count": 1, **quiet}


WEIGHTS = ("ones", "balanced")
_FEW = 64  # columns: of more, hardly two rows are alike


@dataclass(frozen=True)
class Learner:
    """What to fit.

    Attributes:
        estimator: See `learners.make_estimator`.
        weights: `ones`, or `balanced`: each class weighs the same. Rows are weighted; of naive
            Bayes and the discriminant that makes the classes' priors equal. Neighbours take none.
        settings: Of the estimator, over its defaults.
        over: See `learners.choose_rows`.
        under: See `learners.choose_rows`.
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

    Naive Bayes and neighbours get no class weights: the priors of the one are the classes' shares,
    and the others vote.

    Args:
        estimators: Names, see `learners.make_estimator`.
        class_weights: `balanced` or `ones`.
        settings: Of an estimator, by its name.
        over: See `learners.choose_rows`.
        under: See `learners.choose_rows`.

    Raises:
        ValueError: A name, a ratio or the class weights have no meaning.
    """
    return {
        name: Learner(
            name,
            weights="ones" if name in _UNWEIGHTED else class_weights,
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
    settings = dict(learner.settings)
    counts = np.bincount(codes)
    if learner.weights == "balanced" and learner.estimator == "discriminant":
        settings = {"priors": np.full(len(counts), 1 / len(counts))} | settings
    estimator = make_estimator(learner.estimator, settings, seed=seed)
    model = Pipeline([("encoder", encoder), ("estimator", estimator)])
    given: dict[str, np.ndarray] = {}
    if learner.weights == "balanced" and learner.estimator not in ("discriminant", "neighbours"):
        present = np.count_nonzero(counts)
        given["estimator__sample_weight"] = (len(codes) / (present * counts.clip(1)))[codes]
    with one_thread():
        return model.fit(rows.features.iloc[numbers], codes, **given)


def predict_rows(models: Sequence[Any], features: pd.DataFrame) -> np.ndarray:
    """Return the mean probabilities of fitted models.

    Of few columns, rows that are alike are asked about once: of 33,126 images of age, sex and site
    alone, there are some 300 different ones.

    Args:
        models: Of `fit_learner`.
        features: n x columns, as `encoding.read_features` gives them.

    Returns:
        n x classes.
    """
    different, back = features, np.arange(len(features))
    if features.shape[1] <= _FEW:
        every = [pd.factorize(features[c], use_na_sentinel=False)[0] for c in features]
        codes = np.column_stack(every)
        _, first, back = np.unique(codes, axis=0, return_index=True, return_inverse=True)
        different = features.iloc[first]
    with one_thread():
        values = np.mean([np.asarray(m.predict_proba(different), float) for m in models], axis=0)
    return np.asarray(values[back.reshape(-1)])
