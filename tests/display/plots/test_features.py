"""Figures of features say what their tables say."""

import numpy as np
import pandas as pd

from melnb.data.features.feature_rows import feature_overview
from melnb.display import theme
from melnb.display.plots import features


def importances(n: int) -> pd.DataFrame:
    value = np.random.default_rng(0).normal(0.05, 0.05, n)
    table = pd.DataFrame({"feature": [f"f{k}" for k in range(n)], "value": value})
    return table.assign(low=value - 0.02, high=value + 0.03, n=500, note="")


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


def test_a_map_shows_each_class_in_its_colour() -> None:
    table = pd.DataFrame(
        {
            "image_id": list("abcde"),
            "target": ["nevus", "nevus", "melanoma", None, "nevus"],
            "x": [0.0, 1, 2, 3, 4],
            "y": [4.0, 3, 2, 1, 0],
        }
    )
    table.attrs["explained"] = [0.6, 0.25]
    figure = features.embedding_map(table)
    assert figure.layout.xaxis.title.text == "First component (60% of the variance)"
    assert figure.layout.yaxis.title.text == "Second (25%)"
    nevi, *rare = figure.data
    assert nevi.name == "Nevus (n = 3)"
    assert nevi.x.tolist() == [0, 1, 4]
    assert nevi.text.tolist() == ["a", "b", "e"]
    assert {trace.name for trace in rare} == {"Melanoma (n = 1)", "Unlabelled (n = 1)"}
    colours = {trace.name: trace.marker.color for trace in figure.data}
    assert colours["Melanoma (n = 1)"] == theme.VERMILLION
    assert colours["Nevus (n = 3)"] == theme.BLUE
