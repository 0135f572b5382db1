"""Predictions and images of a few rows, and a browser where there is one."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.tables import schema


@pytest.fixture(scope="session")
def make() -> Callable[..., pd.DataFrame]:
    """Make two-class predictions of n rows in three folds, scores rounded so that many tie."""

    def made(n: int = 600, *, seed: int = 0, digits: int = 2, shift: float = 1.5) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        truth = draw.random(n) < 0.2
        score = np.round(1 / (1 + np.exp(2 - draw.normal(size=n) - shift * truth)), digits)
        return schema.make_predictions(
            [f"i{k:06d}" for k in range(n)],
            np.arange(n) % 3,
            np.where(truth, "melanoma", "other"),
            np.column_stack([1 - score, score]),
            classes=("other", "melanoma"),
            run="b0",
        )

    return made


@pytest.fixture(scope="session")
def predictions(make: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Twelve images of three classes, half without age, sex or site; pictures 40 x 30 pixels."""
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    rows = []
    for k in range(12):
        path = folder / f"i{k}.jpg"
        pixels = draw.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        rows.append(
            {
                "image_id": f"i{k}",
                "patient_id": f"p{k // 3}",
                "lesion_id": f"l{k // 2}",
                "path": str(path),
                "diagnosis": ("melanoma", "nevus", np.nan)[k % 3],
                "target": ("melanoma", "nevus", np.nan)[k % 3],
                "sex": ("male", "female")[k // 6] if k % 2 else np.nan,
                "age": 20.0 + 5 * k if k % 2 else np.nan,
                "site": "torso" if k % 2 else np.nan,
                "source": "synthetic",
                "width": 40,
                "height": 30,
            }
        )
    return schema.check_images(pd.DataFrame(rows))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page; at its end nothing may have failed in it, nor been asked of a network."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    opened.on("request", lambda r: wrong.append(r.url[:99]) if r.url.startswith("http") else None)
    yield opened
    context.close()
    assert wrong == []
