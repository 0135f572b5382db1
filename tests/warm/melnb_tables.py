"""Predictions of two classes, as many tests need them."""

import numpy as np
import pandas as pd

from melnb.tables import schema

CLASSES = ("other", "melanoma")


def predictions(n: int = 60, *, folds: int = 2, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    p = np.clip(0.3 + 0.2 * truth + 0.2 * rng.standard_normal(n), 0, 1)
    return schema.make_predictions(
        [f"i{k}" for k in range(n)],
        np.arange(n) % folds,
        np.where(truth, "melanoma", "other"),
        np.column_stack([1 - p, p]),
        classes=CLASSES,
        run="r",
    )
