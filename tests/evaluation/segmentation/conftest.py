"""Masks of discs, some drawn badly, and their scores."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.mask_scores import segmentation_scores


def disc(radius: float, shift: float = 0.0, size: int = 24) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    return np.asarray((y - shift) ** 2 + x**2 <= radius**2)


@pytest.fixture(scope="session")
def truth() -> dict[str, np.ndarray]:
    return {f"i{k:02d}": disc(5 + k % 4) for k in range(40)}


@pytest.fixture(scope="session")
def predicted(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every fifth is shifted so far that it fails."""
    return {
        i: np.roll(m, 5 if k % 5 == 0 else k % 3, axis=0) for k, (i, m) in enumerate(truth.items())
    }


@pytest.fixture(scope="session")
def rows(truth: dict[str, np.ndarray]) -> pd.DataFrame:
    """Folds and patients, in another order, and an image that nobody asked for."""
    table = pd.DataFrame(
        {
            "image_id": [*truth, "more"],
            "fold": [*(k % 3 - (k % 3 == 2) * 3 for k in range(40)), 0],
            "patient_id": [*(f"p{k // 2}" for k in range(40)), "p"],
            "site": "torso",
        }
    )
    return table.sample(frac=1, random_state=0)


@pytest.fixture(scope="session")
def scores(
    truth: dict[str, np.ndarray], predicted: dict[str, np.ndarray], rows: pd.DataFrame
) -> pd.DataFrame:
    return segmentation_scores(truth, predicted, rows=rows)
