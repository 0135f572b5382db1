"""A step of a pipeline that fills and standardises numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from melnb.spread import mean_and_deviation, standardised


class Standardiser(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers to their distance from the training mean in deviations, 0 where missing.

    Missing numbers count as the mean in the deviation too. Unlike scikit-learn's scaler it takes
    numbers of any size, and a column that hardly varied in training is 0 everywhere.
    """

    def fit(self, values: Any, target: Any = None) -> Standardiser:
        """Fix means and deviations by the training rows, n x columns."""
        numbers = np.asarray(values, dtype=float)
        self.mean_, _ = mean_and_deviation(numbers)
        filled = np.where(np.isnan(numbers), self.mean_, numbers)
        _, self.deviation_ = mean_and_deviation(filled)
        return self

    def transform(self, values: Any) -> np.ndarray:
        """Return n x columns without NaN."""
        made = standardised(np.asarray(values, dtype=float), self.mean_, self.deviation_)
        return np.where(np.isnan(made), 0.0, made)
