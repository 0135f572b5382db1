"""Predictions made from a few numbers, and the real files where they are."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.tables import schema

Make = Callable[..., pd.DataFrame]


def make_binary(
    truth: Sequence[bool | None],
    score: Sequence[float],
    *,
    fold: Sequence[int] | int = 0,
    run: str = "run",
) -> pd.DataFrame:
    """Make two-class predictions; a truth of None is unknown."""
    if not len(truth):  # no writer makes an empty table, but a filter may
        return make_binary([True], [0.5]).head(0)
    words = [None if t is None or t != t else ("melanoma" if t else "other") for t in truth]
    values = np.asarray(score, dtype=float)
    return schema.make_predictions(
        [f"i{k:05d}" for k in range(len(words))],
        pd.Series(fold, index=range(len(words)), dtype=int),
        words,
        np.column_stack([1 - values, values]),
        classes=("other", "melanoma"),
        run=run,
    )


@pytest.fixture(scope="session")
def binary() -> Make:
    return make_binary


@pytest.fixture(scope="session")
def many_classes() -> Make:
    """Make predictions of classes from truths and rows of values, divided by their sum."""

    def make(
        truth: Sequence[str], values: Sequence[Sequence[float]], classes: Sequence[str]
    ) -> pd.DataFrame:
        rows = np.asarray(values, dtype=float).reshape(len(truth), len(classes))
        return schema.make_predictions(
            [f"i{k:05d}" for k in range(len(truth))],
            pd.Series(0, index=range(len(truth)), dtype=int),
            list(truth),
            rows / rows.sum(axis=1, keepdims=True),
            classes=classes,
            run="run",
        )

    return make


@pytest.fixture(scope="session")
def breast_cancer() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """scikit-learn's breast cancer data: truth (malignant), and features as scores from 0 to 1."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = {str(n): data.data[:, k] for k, n in enumerate(data.feature_names)}
    return data.target == 0, {n: (v - v.min()) / (v.max() - v.min()) for n, v in columns.items()}


@pytest.fixture(scope="session")
def siim_predictions() -> Path:
    """The folder of published SIIM-ISIC 2020 predictions."""
    root = os.environ.get("MELNB_DATA", "")
    if not root:
        pytest.skip("MELNB_DATA is not set: no real data")
    return Path(root) / "siim2020" / "predictions"
