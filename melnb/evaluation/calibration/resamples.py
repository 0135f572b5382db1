"""Sums over bins, of the rows and of each resample; every score of a calibration follows from them.

The bins are those of the rows, held fixed over the resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from melnb.evaluation import bootstrap
from melnb.evaluation.calibration.probabilities import log_losses
from melnb.evaluation.calibration.reliability import Spacing, bin_codes
from melnb.evaluation.rows import row_clusters

if TYPE_CHECKING:
    from scipy import sparse

_DENSE = 0.2  # of the cells of a table


@dataclass(frozen=True)
class Sums:
    """Sums over rows: a line for each draw.

    Attributes:
        count: draws x bins, rows.
        probability: draws x bins, of the probabilities.
        positive: draws x bins, of the truths.
        squares: draws, of the squared probabilities.
        found: draws, of the probabilities of the positive rows.
        log_loss: draws, of what the probability of the truth costs.
    """

    count: np.ndarray
    probability: np.ndarray
    positive: np.ndarray
    squares: np.ndarray
    found: np.ndarray
    log_loss: np.ndarray

    @property
    def n(self) -> np.ndarray:
        """Rows of each draw."""
        return np.asarray(self.count.sum(axis=1))

    def per_bin(self, values: np.ndarray) -> np.ndarray:
        """Return values divided by the rows of their bin, 0 where there are none."""
        shares: np.ndarray = np.divide(
            values, self.count, out=np.zeros_like(values), where=self.count > 0
        )
        return shares


def resampled_bins(
    rows: pd.DataFrame, *, bins: int, spacing: Spacing, cluster: str, draws: int, seed: int
) -> tuple[Sums, Sums]:
    """Return the sums of the rows (one line), and those of each resample.

    Args:
        rows: Binary rows, one or more, with probabilities.
        bins: How many.
        spacing: `width` or `mass`.
        cluster: A column whose values are drawn whole; empty: rows are drawn.
        draws: Number of resamples.
        seed: Of the generator: the same seed draws the same rows or clusters.
    """
    # Imported here, as it would double what this module costs to import. Sparse, since a row is in
    # one bin alone: 401,059 rows in 10 bins would else be 100 MB to read for each resample.
    from scipy import sparse

    score, truth = rows["score"].to_numpy(), rows["truth"].to_numpy().astype(float)
    codes = bin_codes(score, bins=bins, spacing=spacing)
    number, n = int(codes.max()) + 1, len(rows)
    cost = log_losses(np.where(truth > 0, score, 1 - score))
    data = np.concatenate([np.ones(n), score, truth, score**2, score * truth, cost])
    line = [
        codes,
        codes + number,
        codes + 2 * number,
        *(np.full(n, 3 * number + k) for k in (0, 1, 2)),
    ]
    column = np.tile(np.arange(n), 6)
    parts = sparse.csr_array((data, (np.concatenate(line), column)), shape=(3 * number + 3, n))
    whole, drawn = resampled_parts(parts, row_clusters(rows, cluster), draws=draws, seed=seed)
    return _sums(whole, number), _sums(drawn, number)


def resampled_parts(
    parts: sparse.csr_array, clusters: np.ndarray | None, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of what each row adds: of the rows (1 x k), and of each resample (draws x k).

    Args:
        parts: k x rows.
        clusters: Of the rows, whole numbers from 0, drawn whole; None: rows are drawn.
        draws: Number of resamples.
        seed: Of the generator: the same seed draws the same rows or clusters.
    """
    from scipy import sparse

    if clusters is not None:
        n = len(clusters)
        shape = (n, int(clusters.max()) + 1)
        parts = parts @ sparse.csr_array((np.ones(n), (np.arange(n), clusters)), shape=shape)
        # Where clusters lie in most bins, zeros cost less than the places of what is not zero. Else
        # by cluster: the sums that it adds to stay in a core's cache.
        dense = parts.nnz > _DENSE * parts.shape[0] * parts.shape[1]
        parts = parts.toarray() if dense else parts.tocsc()
    whole = (parts @ np.ones((parts.shape[1], 1))).T
    made = [
        (parts @ np.ascontiguousarray(counts.T, dtype=float)).T
        for counts in bootstrap.resample_counts(parts.shape[1], draws=draws, seed=seed)
    ]
    return whole, np.concatenate(made) if made else np.empty((0, parts.shape[0]))


def _sums(table: np.ndarray, number: int) -> Sums:
    parts = np.split(table[:, : 3 * number], 3, axis=1)
    return Sums(*parts, *table[:, 3 * number :].T)
