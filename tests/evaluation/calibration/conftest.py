"""Predictions whose miscalibration is known, and out-of-fold predictions of patients."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.tables import schema

Make = Callable[..., pd.DataFrame]
SEVEN = ("melanoma", "nevus", "bcc", "ak", "bkl", "df", "vasc")


def make_stretched(
    n: int = 4000, *, scale: float = 2.0, shift: float = 0.0, seed: int = 0, folds: int = 4
) -> pd.DataFrame:
    """Make two-class predictions whose logit is `scale` times the true one, plus `shift`."""
    draw = np.random.default_rng(seed)
    true = draw.normal(-1.5, 1.5, n)
    truth = draw.random(n) < 1 / (1 + np.exp(-true))
    stated = 1 / (1 + np.exp(-scale * true - shift))
    made = schema.make_predictions(
        [f"i{k:05d}" for k in range(n)],
        (np.arange(n) // 4) % folds,
        np.where(truth, "melanoma", "other"),
        np.column_stack([1 - stated, stated]),
        classes=("other", "melanoma"),
        run="b0",
    )
    return made.assign(patient_id=[f"p{k // 4}" for k in range(n)])


def make_many(
    n: int = 3000, *, scale: float = 2.0, seed: int = 0, classes: tuple[str, ...] = SEVEN
) -> pd.DataFrame:
    """Make predictions of many classes whose logits are `scale` times the true ones."""
    draw = np.random.default_rng(seed)
    true = draw.normal(0, 1.2, (n, len(classes)))
    weight = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    code = (draw.random((n, 1)) > np.cumsum(weight, axis=1)).sum(axis=1)
    stated = np.exp(scale * true)
    return schema.make_predictions(
        [f"i{k:05d}" for k in range(n)],
        np.arange(n) % 3,
        np.array(classes)[np.minimum(code, len(classes) - 1)],
        stated / stated.sum(axis=1, keepdims=True),
        classes=classes,
        run="many",
    )


@pytest.fixture(scope="session")
def stretched() -> Make:
    return make_stretched


@pytest.fixture(scope="session")
def many() -> Make:
    return make_many
