"""Figures of groups: every level has a mark or a reason, and no number that its table lacks."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from melnb.display.plots import subgroups
from melnb.evaluation.patient_context import STRATEGIES, top_k_sensitivity_curve, ugly_duckling_gain
from melnb.evaluation.subgroups.gaps import gap_tests
from melnb.evaluation.subgroups.subgroup_metrics import METRICS, subgroup_metrics

ARGS = {"positive": "melanoma", "threshold": 0.3}


@pytest.fixture(scope="module")
def patients(make: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make(900).assign(patient_id=[f"p{k // 9}" for k in range(900)])


@pytest.fixture(scope="module")
def levels(patients: pd.DataFrame) -> pd.DataFrame:
    sex = np.repeat(["female", "male", "unknown"], [440, 440, 20])
    camera = np.resize(["x", "y"], 900)
    columns = {"sex": sex, "camera_type": camera, "diagnosis": patients["truth"]}
    return pd.DataFrame({"image_id": patients["image_id"], **columns})


def ticks(figure: go.Figure) -> list[str]:
    return list(figure.layout.yaxis.ticktext)


def test_a_forest_has_a_mark_or_a_reason_for_each_level(
    patients: pd.DataFrame, levels: pd.DataFrame
) -> None:
    table = subgroup_metrics(patients, levels, cluster="patient_id", draws=20, **ARGS)
    for metric in METRICS:
        figure = subgroups.subgroup_metrics(table, metric=metric)
        own = table[(table["metric"] == metric) & ~table["column"].isin(["all", "diagnosis"])]
        marks, reasons = own["value"].notna().sum(), own["value"].isna().sum()
        drawn = {t.mode: len(t.x) for t in figure.data}
        assert drawn.get("markers", 0) == marks
        assert drawn.get("text", 0) == reasons
        low, high = figure.layout.xaxis.range
        limits = own[["low", "high"]].to_numpy()
        assert low < np.nanmin(limits) <= np.nanmax(limits) < high
    figure = subgroups.subgroup_metrics(table)
    assert figure.layout.title.text == "AUC by subgroup"
    heads = [text for text in ticks(figure) if text.startswith("<b>")]
    assert heads == ["<b>Sex</b>", "<b>Camera type</b>"], "a diagnosis says the truth itself"
    pooled = table.loc[(table["column"] == "all") & (table["metric"] == "AUC"), "value"].iloc[0]
    assert pooled in [shape.x0 for shape in figure.layout.shapes]
    row = table[(table["level"] == "male") & (table["metric"] == "AUC")].iloc[0]
    place = ticks(figure).index(f"male ({row['positives']} of 440)")
    drawn = next(t for t in figure.data if t.mode == "markers")
    assert drawn.x[list(drawn.y).index(place)] == row["value"]
    reason = next(t for t in figure.data if t.mode == "text")
    assert "too few" in reason.text[0]
    with pytest.raises(ValueError, match="metric is 'F1'"):
        subgroups.subgroup_metrics(table, metric="F1")


def test_a_forest_of_reasons_alone_is_drawn(patients: pd.DataFrame, levels: pd.DataFrame) -> None:
    table = subgroup_metrics(patients, levels, smallest=9999, draws=0, **ARGS)
    figure = subgroups.subgroup_metrics(table)
    assert {t.mode for t in figure.data if len(t.x)} == {"text"}
    gaps = subgroups.gap_tests(gap_tests(patients, levels, smallest=9999, **ARGS))
    assert {t.mode for t in gaps.data if len(t.x)} == {"text"}


def test_gaps_that_are_shown_are_full(patients: pd.DataFrame, levels: pd.DataFrame) -> None:
    table = gap_tests(patients, levels, cluster="patient_id", **ARGS)
    table.loc[0, "p_holm"] = 0.001
    figure = subgroups.gap_tests(table)
    drawn = {t.name: t for t in figure.data}
    assert list(drawn["gap shown"].x) == [table["gap"].iloc[0]]
    assert len(drawn["no gap shown"].x) == len(table) - 1
    assert drawn["no gap shown"].marker.color == "white"
    assert list(drawn["least gap found 4 times in 5"].x) == table["detectable"].tolist()
    lowest, highest = table[["lowest", "highest"]].iloc[0]
    assert f"AUC: {lowest} → {highest}" in ticks(figure)


def test_each_way_of_looking_has_a_line(patients: pd.DataFrame) -> None:
    table = top_k_sensitivity_curve(patients, positive="melanoma", ks=(1, 3, 9))
    figure = subgroups.top_k_sensitivity_curve(table)
    lines = [t for t in figure.data if t.name in STRATEGIES]
    assert [t.name for t in lines] == [*STRATEGIES, *STRATEGIES]
    assert [list(t.x) for t in lines] == [[1, 3, 9]] * 6
    assert lines[0].y[-1] == 1
    assert len(figure.data) == 6 + 4  # a band each, but none for chance
    nothing = patients.assign(patient_id=np.nan)
    empty = top_k_sensitivity_curve(nothing, positive="melanoma", ks=(1,))
    drawn = subgroups.top_k_sensitivity_curve(empty)
    assert "not estimable" in drawn.layout.title.subtitle.text


def test_the_gain_has_a_row_for_each_feature(patients: pd.DataFrame) -> None:
    table = ugly_duckling_gain(patients, positive="melanoma")
    figure = subgroups.ugly_duckling_gain(table)
    assert list(figure.data[0].x) == table["difference"].tolist()
    assert figure.data[0].y[0] == "Standard deviations from the<br>patient's mean"
    assert figure.layout.shapes[0].x0 == 0
