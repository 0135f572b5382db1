"""A source of known scores, and others that differ from it in one known way."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.tables import schema

Make = Callable[..., pd.DataFrame]
APART = 2.0  # between the classes' mean scores, in deviations
BASE = 0.2  # prevalence of the internal source, at which its probabilities are calibrated


@pytest.fixture(scope="session")
def source() -> Make:
    """Make predictions that are calibrated at the internal prevalence, then moved.

    Scores are normal in each class, so that the log odds are a line of them.
    """

    def make(
        n: int,
        *,
        prevalence: float = BASE,
        moved: float = 0.0,
        scale: float = 1.0,
        name: str = "a",
        fold: int | None = None,
        patients: int = 0,
        seed: int = 0,
    ) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        patient = np.arange(n) % (patients or n)
        of_patient = draw.random(patients or n) < prevalence
        truth = of_patient[patient]
        shared = draw.normal(size=patients or n)[patient]
        noise = shared if not patients else (shared + draw.normal(size=n)) / np.sqrt(2)
        odds = APART * (APART * truth + noise - APART / 2) + np.log(BASE / (1 - BASE))
        score = 1 / (1 + np.exp(-(scale * odds + moved)))
        table = schema.make_predictions(
            [f"{name}{k:05d}" for k in range(n)],
            np.arange(n) % 3 if fold is None else fold,
            np.where(truth, "melanoma", "other"),
            np.column_stack([1 - score, score]),
            classes=("other", "melanoma"),
            run=name,
        )
        known = {"patient_id": [f"{name}-p{k}" for k in patient]} if patients else {}
        return table.assign(**known)

    return make


@pytest.fixture(scope="session")
def judged(source: Make) -> dict[str, pd.DataFrame]:
    """The internal source, one of another prevalence, and one whose scores have moved."""
    from melnb.evaluation.shift.other_sources import source_tables

    external = {
        "commoner": source(1500, prevalence=0.5, name="b", fold=-1, seed=1),
        "moved": source(1500, moved=-2.0, scale=1.5, name="c", fold=-1, seed=2),
    }
    return source_tables(source(3000), external, positive="melanoma")
