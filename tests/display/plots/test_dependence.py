"""Figures of partial dependence say what their table says."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from melnb.display import theme
from melnb.display.plots.features import partial_dependence


def table() -> pd.DataFrame:
    """Two models on a number of three values and on a word of two."""
    rows = [
        {"feature": feature, "x": x, "model": model, "value": value, "share": 1 / len(values)}
        for model in ("forest", "logistic")
        for feature, values in (("age", (60.0, 20.0, 40.0)), ("sex", ("male", "female")))
        for value, x in enumerate(values)
    ]
    made = pd.DataFrame(rows).astype({"x": object})
    return made.assign(low=made["value"] - 0.1, high=made["value"] + 0.2)


def named(figure: go.Figure) -> dict[str, list[go.Scatter]]:
    traces: dict[str, list[go.Scatter]] = {}
    for trace in figure.data:
        if trace.name:
            traces.setdefault(trace.name, []).append(trace)
    return traces


def test_numbers_are_lines_and_words_are_points() -> None:
    figure = partial_dependence(table())
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
    one = table()[lambda t: t["model"] == "forest"]
    figure = partial_dependence(one.assign(low=np.nan, high=np.nan), axis="Log odds")
    assert not figure.layout.showlegend
    assert not [*figure.select_traces({"fill": "tonexty"})]
    many = pd.concat([one[one["feature"] == "sex"].assign(feature=f"f{k}") for k in range(7)])
    figure = partial_dependence(many)
    assert [a.text for a in figure.layout.annotations] == [f"f{k}" for k in range(7)]
    titles = [a.title.text for a in figure.select_yaxes() if a.title.text]
    assert titles == ["Mean prediction"] * 3
    empty = partial_dependence(one.head(0))
    assert not empty.data
    assert empty.layout.title.subtitle.text == "no feature"


def test_missing_stands_apart_from_numbers_and_last_among_words() -> None:
    lost = table().drop_duplicates(["feature", "model"]).assign(x=np.nan, value=0.5, share=0.25)
    figure = partial_dependence(pd.concat([lost, table()], ignore_index=True))
    assert [*named(figure)] == ["forest", "logistic"]
    for line, point, points in named(figure).values():
        assert list(line.x) == [20, 40, 60]
        assert (list(point.y), point.mode, point.customdata[0][0]) == ([0.5], "markers", "missing")
        assert point.x[0] > 60
        assert list(points.y) == [0, 1, 0.5]
        assert [name for name, *_ in points.customdata] == ["male", "female", "missing"]
    assert figure.layout.xaxis.ticktext == ("20", "30", "40", "50", "60", "missing")
    assert figure.layout.xaxis2.ticktext == ("male", "female", "missing")
    bars = [trace for trace in figure.data if isinstance(trace, go.Bar)]
    assert [list(bar.y) for bar in bars] == [pytest.approx([1 / 3] * 3 + [0.25]), [0.5, 0.5, 0.25]]
    rounded = table().replace({"x": {40: 20 + 4e-15, 60: 20 + 8e-15}})
    near = partial_dependence(pd.concat([lost, rounded], ignore_index=True))
    assert near.layout.xaxis.ticktext == ("20", "missing")
    assert near.layout.xaxis.tickvals == pytest.approx([20, 21])
    alone = partial_dependence(lost[lost["feature"] == "age"])
    assert alone.layout.xaxis.ticktext == ("missing",)
