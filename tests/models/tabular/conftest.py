"""People whose age, sex and site say something of their diagnosis, and some of whom say nothing."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.models.tabular.table_rows import Rows, make_rows
from melnb.tables.checks import TEST
from melnb.tables.schema import IMAGE_COLUMNS

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
FEATURES = ["image_id", "sex", "age", "site", "noise"]


def make_tables(
    n: int = 240, classes: tuple[str, ...] = ("other", "melanoma"), n_folds: int = 3, seed: int = 0
) -> Tables:
    """Return images, features and folds; patients of two images, a tenth of them in test."""
    random = np.random.default_rng(seed)
    patient = np.arange(n) // 2
    images = pd.DataFrame(index=range(n), columns=list(IMAGE_COLUMNS), dtype=object)
    images["image_id"] = [f"i{k:04d}" for k in range(n)]
    images["patient_id"] = [f"p{k}" for k in patient]
    age = random.normal(50, 12, n).round().clip(1, 99)
    site = random.choice(["torso", "head/neck", "palms/soles"], n)
    score = (age - 50) / 12 + 1.5 * (site == "head/neck") + random.normal(0, 1, n)
    edges = np.quantile(score, np.linspace(0, 1, len(classes) + 1)[1:-1] ** 0.5)
    images["target"] = np.array(classes, dtype=object)[np.searchsorted(edges, score)]
    images["age"] = np.where(random.random(n) < 0.1, np.nan, age)
    images["site"] = pd.Series(site, dtype=object).where(random.random(n) > 0.1, np.nan)
    images["sex"] = random.choice(["male", "female"], n)
    fold = np.where(patient % 10 == 9, TEST, patient % n_folds)
    images.loc[fold == TEST, "target"] = np.nan
    features = images.assign(noise=random.normal(0, 1, n))[FEATURES]
    return images, features, pd.DataFrame({"image_id": images["image_id"], "fold": fold})


@pytest.fixture(scope="session")
def tables() -> Tables:
    """Two classes, three folds and a test set."""
    return make_tables()


@pytest.fixture(scope="session")
def rows(tables: Tables) -> Rows:
    """The same, joined."""
    images, features, folds = tables
    return make_rows(features, folds, images, classes=("other", "melanoma"))


@pytest.fixture(scope="session")
def three_classes() -> Rows:
    """Rows of three classes, other people."""
    images, features, folds = make_tables(300, ("bcc", "melanoma", "nevus"), seed=1)
    return make_rows(features, folds, images)


@pytest.fixture(scope="session")
def making() -> Callable[..., Tables]:
    """The function that makes tables."""
    return make_tables
