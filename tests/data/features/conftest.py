"""Images of a few patients, in two folds and a test set."""

import numpy as np
import pandas as pd
import pytest

from melnb.tables.checks import TEST


@pytest.fixture
def images() -> pd.DataFrame:
    """120 images of 24 patients, one in five melanoma, ages, sexes and sites with gaps."""
    draw = np.random.default_rng(0)
    n = 120
    sizes = np.resize([1, 2, 3, 5, 8, 13], n)
    patients = np.repeat([f"p{k:02d}" for k in range(n)], sizes)[:n]
    gaps = draw.random((3, n)) < 0.1
    return pd.DataFrame(
        {
            "image_id": [f"i{k:03d}" for k in range(n)],
            "patient_id": patients,
            "lesion_id": np.nan,
            "path": np.nan,
            "diagnosis": np.nan,
            "target": np.where(draw.random(n) < 0.2, "melanoma", "other"),
            "sex": pd.Series(draw.choice(["female", "male"], n)).mask(gaps[0]),
            "age": pd.Series(draw.integers(4, 18, n) * 5.0).mask(gaps[1]),
            "site": pd.Series(draw.choice(["torso", "head/neck"], n)).mask(gaps[2]),
            "source": "x",
            "width": pd.array(draw.choice([640, 1024, 6000], n), dtype="Int64"),
        }
    ).sample(frac=1, random_state=0, ignore_index=True)  # fmt: skip


@pytest.fixture
def folds(images: pd.DataFrame) -> pd.DataFrame:
    number = images["patient_id"].str[1:].astype(int)
    fold = np.where(number % 3 == 2, TEST, number % 3)
    return images[["image_id"]].assign(fold=fold)
