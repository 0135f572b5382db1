"""Cohorts of any size, all alike: what 02_prepare, 06_report and 06d_external are given."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.evaluation.subgroups.subgroup_metrics import subgroup_columns
from melnb.tables import schema

PER_PATIENT, FOLDS = 16, 5
POSITIVE = "melanoma"
_RARE = 0.02  # of the images are positive
_SITES = ("torso", "head/neck", "upper extremity", "lower extremity", "palms/soles", "oral/genital")


class Cohort:
    """Images of some 16 a patient, one in 50 positive, and what two runs say of them.

    A patient's images err together, positives are commoner in older patients, and in each tenth
    image sex, age or site is unknown.

    Args:
        n: Images.
        folder: Where `file` is written.
        name: In front of every id, so that cohorts are strangers.
    """

    def __init__(self, n: int, folder: Path, name: str = "IP") -> None:
        draw = np.random.default_rng(0)
        self.n, self.name, self._folder = n, name, folder
        patients = max(1, n // PER_PATIENT)
        self._patient = draw.integers(patients, size=n)
        age = 5.0 * draw.integers(4, 18, size=patients)[self._patient]
        self.truth = draw.random(n) < _RARE * age / age.mean()
        self._ease = draw.normal(size=patients)[self._patient]
        self.images = self._images(draw, age)
        self.folds = pd.DataFrame({"image_id": self.images["image_id"], "fold": self.fold})
        self.predictions = self._predicted(draw, "first")
        self.second = self._predicted(draw, "second")
        self.three = self._of_three(draw)
        self.groups = subgroup_columns(self.images)[["image_id", "sex", "age", "site"]]

    @property
    def fold(self) -> np.ndarray:
        """The fold of each image: whole patients."""
        return np.asarray(self._patient % FOLDS)

    @cached_property
    def file(self) -> Path:
        """The first run's predictions as a file."""
        path = self._folder / f"{self.name}-{self.n}.csv"
        return schema.write_predictions(self.predictions, path)

    @cached_property
    def elsewhere(self) -> Cohort:
        """Half as many images of another source, of patients of their own."""
        return Cohort(self.n // 2, self._folder, "XP")

    def _images(self, draw: np.random.Generator, age: np.ndarray) -> pd.DataFrame:
        unknown = draw.random((3, self.n)) < 0.1
        sex = np.array(["male", "female"], dtype=object)[self._patient % 2]
        site = np.array(_SITES, dtype=object)[draw.integers(len(_SITES), size=self.n)]
        ids = [f"{self.name}_{k:07d}" for k in range(self.n)]
        table = {
            "image_id": ids,
            "patient_id": [f"{self.name}{k:06d}" for k in self._patient],
            "lesion_id": [f"{self.name}L{k:07d}" for k in range(self.n)],
            "path": [f"{name}.jpg" for name in ids],
            "diagnosis": np.where(self.truth, POSITIVE, "nevus"),
            "target": np.where(self.truth, POSITIVE, "other"),
            "sex": np.where(unknown[0], None, sex),
            "age": np.where(unknown[1], np.nan, age),
            "site": np.where(unknown[2], None, site),
            "source": "synthetic",
        }
        return pd.DataFrame(table)

    def _predicted(self, draw: np.random.Generator, run: str) -> pd.DataFrame:
        odds = 1.8 * self.truth + 0.5 * self._ease + draw.normal(size=self.n) - 4
        score = 1 / (1 + np.exp(-odds))
        values = np.column_stack([1 - score, score])
        return self._table(self.images["target"], values, ("other", POSITIVE), run)

    def _of_three(self, draw: np.random.Generator) -> pd.DataFrame:
        names = np.array(["nevus", "keratosis", POSITIVE], dtype=object)
        codes = np.where(self.truth, 2, draw.random(self.n) < 0.2)
        odds = 1.5 * np.eye(3)[codes] + draw.normal(size=(self.n, 3)) + [2.0, 0.0, -2.0]
        values = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        return self._table(names[codes], values, tuple(names), "three")

    def _table(
        self, truth: pd.Series | np.ndarray, values: np.ndarray, classes: tuple[str, ...], run: str
    ) -> pd.DataFrame:
        made = schema.make_predictions(
            self.images["image_id"], self.fold, truth, values, classes=classes, run=run
        )
        return made.assign(**{c: self.images[c] for c in ("patient_id", "lesion_id")})
