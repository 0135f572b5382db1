"""What the figures of sources show, and that nothing is drawn of nothing."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.display.plots import shift
from melnb.evaluation.decisions import locked_threshold, operating_point
from melnb.evaluation.shift import areas, at_threshold, score_shift
from melnb.evaluation.shift import areas as discrimination
from melnb.evaluation.shift import at_threshold as elsewhere
from melnb.evaluation.shift.other_sources import source_tables

Make = Callable[..., pd.DataFrame]
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def judged(make: Make) -> Tables:
    there = make(300, seed=1, digits=4, shift=0.5).assign(fold=-1)
    there["image_id"] = "there" + there["image_id"]
    return source_tables(make(digits=4), {"there": there}, positive="melanoma")


def lines(figure: object) -> list[float]:
    return [s.x0 for s in figure.layout.shapes if s.type == "line"]  # type: ignore[attr-defined]


def test_areas_stand_against_the_internal_one(judged: Tables) -> None:
    table = discrimination.external_metrics(judged, positive="melanoma", draws=20)
    figure = shift.external_metrics(table)
    areas = table[table["metric"] == "AUC"]
    assert figure.layout.title.text == "AUC by source"
    assert figure.layout.xaxis.title.text == "AUC"
    assert list(figure.data[0].y) == ["internal", "there"]
    assert list(figure.data[0].x) == areas["value"].tolist()
    assert lines(figure) == [areas["value"].iloc[0]]
    band = next(s for s in figure.layout.shapes if s.type == "rect")
    assert (band.x0, band.x1) == tuple(areas.iloc[0][["low", "high"]])
    assert shift.external_metrics(table, metric="prevalence").layout.title.text.startswith("Prev")


def test_heaps_share_an_axis_and_hold_a_threshold(judged: Tables) -> None:
    table = score_shift.source_histogram(judged, positive="melanoma", bins=10)
    figure = shift.source_histogram(table, positive="melanoma", threshold=0.2)
    assert figure.layout.title.text == "Scores by source and class"
    assert [a.text for a in figure.layout.annotations] == ["internal", "there"]
    assert figure.layout.xaxis.matches == "x2"
    assert figure.layout.xaxis2.title.text == "Log odds"
    assert [t.name for t in figure.data] == ["Other", "Melanoma"] * 2
    own = table[(table["source"] == "there") & (table["class"] == "melanoma")]
    assert list(figure.data[3].y[:-1]) == own["share"].tolist()
    assert len(figure.data[3].x) == len(own) + 1
    assert lines(figure) == pytest.approx([np.log(0.25)] * 2)


def test_each_version_has_a_mark_in_each_panel(judged: Tables) -> None:
    versions = score_shift.source_versions(judged, positive="melanoma")
    table = score_shift.external_calibration(versions, positive="melanoma", draws=20)
    figure = shift.external_calibration(table)
    assert [a.text for a in figure.layout.annotations] == [
        "In the large", "Slope", "ECE, debiased", "Brier score",
    ]  # fmt: skip
    shown = [t for t in figure.data if t.showlegend]
    assert [t.name for t in shown] == ["as it came", "at its prevalence", "recalibrated"]
    assert list(figure.layout.yaxis.ticktext) == ["internal", "there"]
    assert len(figure.data) == 12
    slopes = next(t for t in figure.data if t.name == "recalibrated" and t.xaxis == "x2")
    own = table[table["version"] == "recalibrated"]
    assert list(slopes.x) == own["slope"].tolist()
    assert slopes.x + slopes.error_x.array == pytest.approx(own["slope_high"])
    assert lines(figure) == [0, 1, 0]
    assert len({t.marker.color for t in shown}) == 3
    assert len({y for t in figure.data[::4] for y in t.y}) == len(table)  # no mark on another


def test_the_threshold_drifts_from_the_internal_band(judged: Tables) -> None:
    point = operating_point.operating_point(judged["internal"], positive="melanoma", draws=20)
    table = elsewhere.external_points(
        judged, locked=locked_threshold.lock_threshold(point), draws=20
    )
    figure = shift.external_points(table)
    assert figure.layout.title.text == "The locked threshold, by source"
    assert [a.text for a in figure.layout.annotations] == ["Sensitivity", "Specificity"]
    assert list(figure.data[1].x) == table["specificity"].tolist()
    assert lines(figure) == table[["sensitivity", "specificity"]].iloc[0].tolist()
    assert tuple(figure.layout.xaxis.range) == (-0.01, 1.01)


def test_levels_are_rows_and_sources_panels(judged: Tables) -> None:
    ids = judged["internal"]["image_id"]
    sex = np.where(np.arange(len(ids)) % 2, "male", "female")
    groups = {"internal": pd.DataFrame({"image_id": ids, "sex": sex})}
    table = at_threshold.source_subgroups(
        judged, groups, positive="melanoma", threshold=0.5, draws=0
    )
    figure = shift.source_subgroups(table)
    assert figure.layout.title.text == "AUC by subgroup and source"
    assert list(figure.layout.yaxis.ticktext) == ["All images", "Sex: female", "Sex: male"]
    assert [a.text for a in figure.layout.annotations] == ["internal", "there"]
    assert [list(t.y) for t in figure.data] == [[0, 1, 2], [0]]
    assert len(lines(figure)) == 2
    assert figure.layout.xaxis2.matches == "x"


def test_nothing_is_drawn_of_nothing(judged: Tables) -> None:
    areas = discrimination.external_metrics(judged, positive="melanoma", draws=20)
    heaps = score_shift.source_histogram({}, positive="melanoma")
    stated = score_shift.external_calibration({}, positive="melanoma")
    point = elsewhere.external_points({}, locked={})
    levels = at_threshold.source_subgroups({}, {}, positive="melanoma", threshold=0.5)
    for figure in (
        shift.external_metrics(areas.head(0)),
        shift.source_histogram(heaps, positive="melanoma"),
        shift.external_calibration(stated),
        shift.external_points(point),
        shift.source_subgroups(levels),
    ):
        assert figure.layout.title.text
        assert all(not len(trace.x) for trace in figure.data)


def test_the_summary_is_a_line_and_the_next_source_the_last_row(judged: Tables, make: Make) -> None:
    more = {f"s{k}": make(300, seed=k, digits=4).assign(fold=-1) for k in (3, 4)}
    more = {n: t.assign(image_id=n + t["image_id"]) for n, t in more.items()}
    tables = judged | source_tables(make(digits=4), more, positive="melanoma")
    table = areas.external_summary(tables, positive="melanoma", draws=500)
    figure = shift.external_summary(table)
    assert list(figure.data[0].y) == table["source"].tolist()
    assert list(figure.data[0].x) == table["value"].tolist()
    assert lines(figure) == [table["value"].iloc[-2]]
    few = areas.external_summary(judged, positive="melanoma")
    assert lines(shift.external_summary(few)) == [few["value"].iloc[-2]]
