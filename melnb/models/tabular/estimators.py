"""Estimators by name, with the settings that they start from."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from melnb.models.tabular.encoding import Missing

# Boosted trees are few and small, for tables of metadata have few columns and few melanomas.
DEFAULTS: dict[str, dict[str, Any]] = {
    "logistic": {"C": 1.0, "max_iter": 2000},
    "forest": {"n_estimators": 1000, "max_depth": 2},
    # Of scikit-learn's 1e-9, a cell that one class lacks has no variance there, and decides alone.
    "naive_bayes": {"var_smoothing": 1e-3},
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
_SEEDLESS = ("logistic", "naive_bayes")


def make_estimator(name: str, settings: Mapping[str, Any] | None = None, *, seed: int = 0) -> Any:
    """Make an estimator that is not yet fitted.

    A forest works in one thread: summed in several, its trees' votes differ in their last bits from
    run to run.

    Args:
        name: `logistic` (l2), `forest`, `naive_bayes` (Gaussian), `boosting` (histograms, of
            scikit-learn), `lightgbm`, `xgboost` or `catboost`.
        settings: By the estimator's own names, over `DEFAULTS`.
        seed: Of those that draw.

    Raises:
        ValueError: The name, or a setting, is unknown.
        ImportError: One of the last three is not installed.
    """
    if name not in DEFAULTS:
        raise ValueError(f"estimator is {name!r}; use one of {list(ESTIMATORS)}")
    made, fixed = _load(name, seed)
    known = _setting_names(made)
    for setting in settings or {}:
        if setting not in known or setting in fixed:
            raise ValueError(
                f"settings of {name} names {setting!r}; use some of {sorted(known - set(fixed))}"
            )
    return made(**{**DEFAULTS[name], **(settings or {}), **fixed})


def missing_numbers(name: str) -> Missing:
    """Return what an estimator wants to become of missing numbers."""
    return "keep" if name in _KEEP_MISSING else "fill"


def draws(name: str) -> bool:
    """Tell whether an estimator's result may hang on its seed."""
    return name not in _SEEDLESS


def _setting_names(made: type) -> set[str]:
    """Return what a class takes, its parents' arguments too: XGBoost's passes them on unnamed."""
    taken = [
        argument
        for parent in made.__mro__
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
