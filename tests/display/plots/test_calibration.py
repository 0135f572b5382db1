from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.display.plots import calibration as plots
from melnb.evaluation.calibration.cross_calibration import cross_calibrate
from melnb.evaluation.calibration.flexible_curve import calibration_curve
from melnb.evaluation.calibration.reliability import reliability_table
from melnb.tables import schema

Make = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def rare() -> pd.DataFrame:
    """Predictions as in screening: 2 % melanoma, most probabilities under one in a hundred."""
    draw = np.random.default_rng(0)
    true = draw.normal(-6, 2, 8000)
    truth = draw.random(8000) < 1 / (1 + np.exp(-true))
    stated = 1 / (1 + np.exp(-1.5 * true))
    return schema.make_predictions(
        [f"i{k}" for k in range(8000)],
        np.arange(8000) % 4,
        np.where(truth, "melanoma", "other"),
        np.column_stack([1 - stated, stated]),
        classes=("other", "melanoma"),
        run="rare",
    )


def test_points_are_the_table_and_intervals_its_limits(predictions: pd.DataFrame) -> None:
    table = reliability_table(predictions, positive="melanoma")
    figure = plots.reliability_table(table)
    assert figure.layout.title.text == "Reliability"
    assert figure.layout.xaxis.title.text == "Mean probability"
    assert figure.layout.yaxis.title.text == "Observed share"
    points = next(t for t in figure.data if t.name == "observed")
    shown = table[table["positives"] > 0]
    assert list(points.x) == shown["mean_probability"].tolist()
    assert list(points.y) == shown["observed"].tolist()
    assert np.array(points.y) + points.error_y.array == pytest.approx(shown["high"])
    assert np.array(points.y) - points.error_y.arrayminus == pytest.approx(shown["low"])
    assert figure.layout.xaxis.type is None
    diagonal = figure.data[0]
    assert list(diagonal.x) == list(diagonal.y)


def test_before_and_after_have_a_colour_a_mark_and_scores_each(predictions: pd.DataFrame) -> None:
    after, _ = cross_calibrate(predictions, method="platt")
    labelled = {
        "as trained": reliability_table(predictions, positive="melanoma", spacing="mass"),
        "after platt": reliability_table(after, positive="melanoma", spacing="mass"),
    }
    figure = plots.reliability_table(labelled)
    named = {t.name: t for t in figure.data if t.showlegend is not False}
    assert list(named) == ["calibrated", "as trained", "after platt"]
    first, second = named["as trained"], named["after platt"]
    assert first.marker.line.color != second.marker.line.color
    assert first.marker.symbol != second.marker.symbol
    strips = [t for t in figure.data if t.yaxis == "y2"]
    assert [t.name for t in strips] == ["as trained scores", "after platt scores"]
    # A strip's area is the number of rows.
    edges, height = np.array(strips[0].x), np.array(strips[0].y)
    assert (np.diff(edges) * height[:-1]).sum() == pytest.approx(len(predictions), rel=0.02)


def test_low_probabilities_get_logarithmic_axes(rare: pd.DataFrame) -> None:
    table = reliability_table(rare, positive="melanoma", spacing="mass")
    figure = plots.reliability_table(table)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    lower = 10 ** figure.layout.yaxis.range[0]
    hollow = [t for t in figure.data if t.name == "observed" and t.marker.color == "white"]
    assert (table["positives"] == 0).any()
    # What cannot stand on the axis stands at its edge, with the upper limit of its interval.
    assert len(hollow) == 1
    assert min(hollow[0].y) >= lower
    bare = table[table["positives"] == 0]
    assert np.array(hollow[0].y) + hollow[0].error_y.array == pytest.approx(bare["high"])
    for trace in figure.data:
        assert (np.array(trace.x, dtype=float) > 0).all()


def test_a_table_without_rows_says_so(predictions: pd.DataFrame) -> None:
    table = reliability_table(predictions.head(0), positive="melanoma")
    figure = plots.reliability_table({"test": table})
    assert figure.data[-1].name == "test not estimable: no row has a truth"
    alike = predictions.assign(p_melanoma=0.25, p_other=0.75)
    one = reliability_table(alike, positive="melanoma", spacing="mass")
    strip = plots.reliability_table(one).data[-1]
    assert np.isfinite(np.array(strip.y)).all()


def test_ranks_have_nothing_to_draw() -> None:
    figure = plots.reliability_table({})
    assert len(figure.data) == 0
    assert figure.layout.title.text == "Reliability"


def test_the_flexible_curve_has_its_band_and_the_diagonal(predictions: pd.DataFrame) -> None:
    table = calibration_curve(predictions, positive="melanoma", points=30)
    figure = plots.calibration_curve(table)
    named = {t.name: t for t in figure.data if t.showlegend is not False}
    assert list(named) == ["calibrated", "observed"]
    assert list(named["observed"].x) == table["probability"].tolist()
    assert list(named["observed"].y) == table["observed"].tolist()
    assert list(figure.data[1].y) == table["high"].tolist()
    assert list(figure.data[2].y) == table["low"].tolist()
    assert figure.layout.xaxis.title.text == "Stated probability"
    none = calibration_curve(predictions.head(0), positive="melanoma")
    both = plots.calibration_curve({"all": table, "none": none})
    assert [t.name for t in both.data][-1] == "none not estimable: no row has a truth"
    assert "not estimable" in plots.calibration_curve(none).data[0].name


def test_the_flexible_curve_of_low_probabilities_is_logarithmic(rare: pd.DataFrame) -> None:
    table = calibration_curve(rare, positive="melanoma")
    figure = plots.calibration_curve(table)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
