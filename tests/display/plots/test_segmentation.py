"""Figures of masks, by their titles, axes and traces."""

import numpy as np
import pandas as pd
import pytest

from melnb.display import theme
from melnb.display.plots import segmentation
from melnb.evaluation import mask_failures, mask_scores


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    jaccard = np.append(np.clip(draw.normal(0.8, 0.12, 98), 0, 1), [0.65, 0.649])
    return pd.DataFrame(
        {
            "image_id": [f"i{k:03d}" for k in range(100)],
            "fold": np.arange(100) % 5,
            "jaccard": jaccard,
            "threshold_jaccard": np.where(jaccard >= 0.65, jaccard, 0),
            "hd95": 40 * (1 - jaccard),
            "tp": 10,
            "fn": 5,
        }
    )


@pytest.fixture(scope="module")
def disagreement(scores: pd.DataFrame) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    views = np.clip(1 - scores["jaccard"] + draw.normal(0, 0.1, 100), 0, 1)
    return pd.DataFrame({"image_id": scores["image_id"], "views": views, "folds": draw.random(100)})


def test_a_measure_by_fold_with_what_others_reached(scores: pd.DataFrame) -> None:
    table = mask_scores.segmentation_summary(scores, draws=50)
    figure = segmentation.segmentation_summary(
        table, metric="threshold jaccard", others={"founding system": 0.749}
    )
    assert figure.layout.title.text == "Threshold Jaccard index by fold"
    assert figure.layout.xaxis.title.text == "Mean threshold Jaccard index"
    own = table[table["metric"] == "threshold jaccard"]
    (trace,) = figure.data
    assert list(trace.y) == [*(f"fold {k}" for k in range(5)), "out of fold"]
    assert list(trace.x) == own["value"].tolist()
    np.testing.assert_allclose(trace.error_x.array, own["high"] - own["value"])
    assert figure.layout.shapes[0].x0 == 0.749
    assert figure.layout.annotations[0].text == "founding system"
    plain = segmentation.segmentation_summary(table, metric="hd95", title="T")
    assert (plain.layout.title.text, plain.layout.xaxis.title.text) == ("T", "Mean HD95, pixels")
    assert not plain.layout.shapes


def test_the_distribution_parts_at_the_least_index(scores: pd.DataFrame) -> None:
    figure = segmentation.mask_scores(scores)
    assert figure.layout.title.text == "Jaccard index of each mask"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == (
        "Jaccard index", "Masks",
    )  # fmt: skip
    failed, held = figure.data
    low = scores["jaccard"] < 0.65
    assert failed.name == f"counts as 0: {low.sum()} ({low.mean():.1%})"
    assert (failed.marker.color, held.marker.color) == (theme.VERMILLION, theme.BLUE)
    assert (sum(failed.y), sum(held.y)) == (low.sum(), 100 - low.sum())
    assert sum(failed.y[13:]) == sum(held.y[:13]) == 0  # thirteen bins of .05 end at .65
    assert failed.y[12] >= 1  # .649
    assert figure.layout.shapes[0].x0 == 0.65
    assert sum(segmentation.mask_scores(scores.head(0)).data[0].y) == 0


def test_predictors_of_failure(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    table = mask_failures.failure_prediction(scores, disagreement)
    figure = segmentation.failure_prediction(table)
    assert list(figure.data[0].x) == table["value"].tolist()
    assert figure.layout.shapes[0].x0 == 0.5
    curves = segmentation.failure_roc(mask_failures.failure_roc(scores, disagreement))
    assert curves.layout.title.text == "Failure foretold by disagreement"
    assert [t.name for t in curves.data] == ["chance", "views", "folds"]
    assert (curves.data[1].x[-1], curves.data[1].y[-1]) == (1, 1)


def test_the_most_agreed_masks(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    table = mask_failures.jaccard_by_coverage(scores, disagreement)
    figure = segmentation.jaccard_by_coverage(table)
    assert [t.name for t in figure.data] == ["views", "folds"]
    assert figure.layout.yaxis.title.text == "Mean Jaccard index"
    line = figure.data[0]
    own = table[table["predictor"] == "views"]
    assert set(line.y) <= set(own["jaccard"])
    assert line.x[-1] == 1
    assert line.x[0] >= own.loc[own["n"] >= min(50, len(scores) // 2), "coverage"].iloc[0]
    assert figure.layout.shapes[0].y0 == pytest.approx(scores["jaccard"].mean())
