"""Figures of features say what their tables say."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from melnb.data.features.tables import feature_overview
from melnb.display import theme
from melnb.display.plots import features


def importances(n: int) -> pd.DataFrame:
    value = np.random.default_rng(0).normal(0.05, 0.05, n)
    table = pd.DataFrame({"feature": [f"f{k}" for k in range(n)], "value": value})
    return table.assign(low=value - 0.02, high=value + 0.03, n=500, note="")


def dependence() -> pd.DataFrame:
    """Two models on a number of three values and on a word of two."""
    rows = [
        {"feature": feature, "x": x, "model": model, "value": value, "share": 1 / len(values)}
        for model in ("forest", "logistic")
        for feature, values in (("age", (60.0, 20.0, 40.0)), ("sex", ("male", "female")))
        for value, x in enumerate(values)
    ]
    table = pd.DataFrame(rows)
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.2)


def named(figure: go.Figure) -> dict[str, list[go.Scatter]]:
    traces: dict[str, list[go.Scatter]] = {}
    for trace in figure.data:
        if trace.name:
            traces.setdefault(trace.name, []).append(trace)
    return traces


def test_the_overview_shows_what_is_known() -> None:
    rows = pd.DataFrame(
        {"image_id": list("abcd"), "age": [1.0, 3.0, np.nan, 5.0], "sex": ["m", "f", "m", None]}
    ).assign(shift=[-1e-17, 1.0, -1.0, 0.0], none=np.nan)
    rows.attrs["left_out"] = {"m.csv: dx": "tells the truth"}
    figure = features.feature_overview(feature_overview(rows))
    assert figure.layout.title.text == "What is known of the images"
    assert figure.layout.xaxis.title.text == "Known for"
    numbers, words = figure.data
    assert list(zip(numbers.y, numbers.x, numbers.text, strict=True)) == [
        ("age", 0.75, "3 ± 2"), ("shift", 1, "0 ± 0.816"), ("none", 0, "empty")
    ]  # fmt: skip
    assert list(zip(words.y, words.x, words.text, strict=True)) == [
        ("sex", 0.75, "2 words, m: 67%")
    ]
    assert figure.layout.yaxis.categoryarray == ("none", "shift", "sex", "age")
    assert not features.feature_overview(feature_overview(rows[["image_id"]]).head(0)).data


def test_importances_are_ranked_with_their_intervals() -> None:
    table = importances(8)
    table.loc[3, ["value", "low", "high", "note"]] = [np.nan, np.nan, np.nan, "same everywhere"]
    figure = features.feature_importance(table)
    assert figure.layout.xaxis.title.text == "AUC lost when the feature is shuffled"
    ranked = table.sort_values("value", ascending=False)
    points, words = figure.data
    assert list(points.y) == ranked["feature"].tolist()
    np.testing.assert_allclose(points.x, ranked["value"])
    np.testing.assert_allclose(points.x + points.error_x.array, ranked["high"])
    assert (words.y, words.text) == (("f3",), ("same everywhere",))
    assert figure.layout.shapes[0].x0 == 0
    assert figure.layout.title.subtitle.text is None


def test_few_are_drawn_of_many() -> None:
    figure = features.feature_importance(importances(40), most=5, axis="AP lost")
    assert len(figure.data[0].y) == 5
    assert figure.layout.title.subtitle.text == "the first 5 of 40 features"
    assert figure.layout.xaxis.title.text == "AP lost"
    assert not len(features.feature_importance(importances(0)).data[0].x)


def test_numbers_are_lines_and_words_are_points() -> None:
    figure = features.partial_dependence(dependence())
    assert [a.text for a in figure.layout.annotations] == ["age", "sex"]
    assert figure.layout.yaxis2.title.text == "Mean prediction"
    assert figure.layout.yaxis2.range == figure.layout.yaxis4.range
    assert figure.layout.yaxis2.range[0] < -0.1 < 2.2 < figure.layout.yaxis2.range[1]
    traces = named(figure)
    assert [*traces] == ["forest", "logistic"]
    for (line, points), colour in zip(traces.values(), theme.SERIES, strict=False):
        assert (list(line.x), list(line.y)) == ([20, 40, 60], [1, 2, 0])
        assert line.mode == "lines+markers"
        assert (points.mode, list(points.y)) == ("markers", [0, 1])
        np.testing.assert_allclose(points.error_y.array, 0.2)
        np.testing.assert_allclose(points.error_y.arrayminus, 0.1)
        assert {line.line.color, points.marker.color} == {colour}
        assert (line.showlegend, points.showlegend) == (True, False)
    first, second = (np.array(traces[name][1].x) for name in traces)
    assert (np.round(first) == [0, 1]).all()
    assert (first < second).all()  # beside each other, not over each other
    assert figure.layout.xaxis2.ticktext == ("male", "female")
    bars = [trace for trace in figure.data if isinstance(trace, go.Bar)]
    assert [list(bar.y) for bar in bars] == [pytest.approx([1 / 3] * 3), [0.5, 0.5]]
    bands = [*figure.select_traces({"fill": "tonexty"})]
    np.testing.assert_allclose(bands[0].y, [0.9, 1.9, -0.1])


def test_one_model_or_none_and_many_features() -> None:
    one = dependence()[lambda t: t["model"] == "forest"]
    figure = features.partial_dependence(one.assign(low=np.nan, high=np.nan), axis="Log odds")
    assert not figure.layout.showlegend
    assert not [*figure.select_traces({"fill": "tonexty"})]
    many = pd.concat([one[one["feature"] == "sex"].assign(feature=f"f{k}") for k in range(7)])
    figure = features.partial_dependence(many)
    assert [a.text for a in figure.layout.annotations] == [f"f{k}" for k in range(7)]
    titles = [a.title.text for a in figure.select_yaxes() if a.title.text]
    assert titles == ["Mean prediction"] * 3
    empty = features.partial_dependence(one.head(0))
    assert not empty.data
    assert empty.layout.title.subtitle.text == "no feature"
