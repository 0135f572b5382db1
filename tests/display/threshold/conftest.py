"""A page with an explorer in it, opened from its file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.display.report.report_page import Section, write_report
from melnb.display.threshold.threshold_explorer import ThresholdExplorer


@pytest.fixture
def open_page(page: Any, tmp_path: Path) -> Callable[..., Any]:
    """Open an explorer in a report of its own, from its file."""

    def opened(explorer: ThresholdExplorer) -> Any:
        path = tmp_path / "report.html"
        write_report(path, title="Report", sections=[Section("Explorer", explorer)])
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    return opened


@pytest.fixture(scope="session")
def groups(predictions: pd.DataFrame) -> pd.DataFrame:
    """Two columns of groups; a few images lack each, and one site has few of them."""
    draw = np.random.default_rng(1)
    n = len(predictions)
    sex = pd.Series(draw.choice(["female", "male"], n), dtype=object).where(draw.random(n) > 0.1)
    site = draw.choice(["torso", "head", "palm"], n, p=[0.7, 0.28, 0.02])
    return pd.DataFrame({"image_id": predictions["image_id"], "sex": sex, "site": site})


@pytest.fixture(scope="session")
def second(predictions: pd.DataFrame) -> pd.DataFrame:
    """Another run of the same images, in another order, that ranks them somewhat differently."""
    draw = np.random.default_rng(2)
    score = predictions["p_melanoma"] + draw.normal(0, 0.1, len(predictions))
    other = predictions.assign(p_melanoma=score.clip(0, 1).round(2), run="b1")
    return other.assign(p_other=1 - other["p_melanoma"]).sample(frac=1, random_state=0)
