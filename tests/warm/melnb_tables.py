"""Predictions of two classes, as many tests need them."""

from pathlib import Path

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


def foreign(path: Path, name: str, *, prevalence: float, moved: float, folds: int) -> str:
    """Write a CSV of anyone's: 300 images of 100 patients; each fold has a scale of its own."""
    draw, patient = np.random.default_rng(len(name)), np.arange(300) // 3
    truth = draw.random(300) < prevalence
    odds = draw.normal(size=100)[patient] + draw.normal(size=300) + 2 * truth - 2 + moved
    fold = patient % folds if folds else np.full(300, -1)
    odds = odds * (1 + 0.4 * np.maximum(fold, 0)) + 0.5 * np.maximum(fold, 0)
    columns = {"image": [f"{name}{k}" for k in range(300)], "target": truth.astype(int)}
    columns |= {"patient_id": [f"{name}-p{k}" for k in patient], "fold": fold}
    table = pd.DataFrame(columns | {"pred": np.round(1 / (1 + np.exp(-odds)), 3)})
    table.to_csv(path / f"{name}.csv", index=False)
    return str(path / f"{name}.csv")
