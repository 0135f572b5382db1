"""Statistics of a ranking, from the counts of positives and negatives at its steps.

The ROC and the precision-recall curve depend on the rows only through these counts, and runs of
negatives between two positives are one step: 33,126 rows with 584 positives are some 1,100 steps.
So nothing is sorted twice, and a block of resamples is one call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


def ranking_steps(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the step of each row, from 0 for the highest score; ties share a step.

    Neighbouring scores that only negatives have are one step, which changes no curve.
    """
    _, group = np.unique(-score, return_inverse=True)
    number = int(group.max()) + 1 if len(group) else 0
    holds = np.bincount(group[truth], minlength=number) > 0
    begins = holds.copy()
    begins[1:] |= holds[:-1]
    return np.asarray((np.cumsum(begins) - begins[:1])[group])


def step_counts(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positives and the negatives at each step, each 1 x steps."""
    step = ranking_steps(truth, score)
    counts = np.bincount(step * 2 + truth).astype(float)
    counts = np.pad(counts, (0, len(counts) % 2)).reshape(1, -1, 2)
    return counts[..., 1], counts[..., 0]


def aucs(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the area under each ROC curve.

    Args:
        positives: draws x steps, counts from the highest score down.
        negatives: As positives.

    Returns:
        draws values, NaN where a class is absent.
    """
    won = ((np.cumsum(positives, axis=1) - positives / 2) * negatives).sum(axis=1)
    return quotient(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precisions(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the average precision of each draw: the step-wise sum, without interpolation.

    Arguments and result are those of `aucs`; one absent negative class is no hindrance.
    """
    found = np.cumsum(positives, axis=1)
    flagged = found + np.cumsum(negatives, axis=1)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    return quotient((positives * precision).sum(axis=1), positives.sum(axis=1))


def quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below, NaN where below is 0 or less."""
    nothing = np.full(np.shape(above), np.nan)
    result: np.ndarray = np.divide(above, below, out=nothing, where=below > 0)
    return result
