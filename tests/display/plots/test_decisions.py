"""Figures of worth and of doubt say what their tables say."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from melnb.display import theme
from melnb.display.plots import decisions
from melnb.evaluation.decisions import conformal, selective
from melnb.evaluation.decisions.net_benefit import net_benefit_table
from melnb.evaluation.decisions.selective import referral_table

Make = Callable[..., pd.DataFrame]


def axes(figure: go.Figure) -> tuple[str, str]:
    return figure.layout.xaxis.title.text, figure.layout.yaxis.title.text


def test_a_decision_curve_has_a_band_and_both_defaults(predictions: pd.DataFrame) -> None:
    table = net_benefit_table(predictions, positive="melanoma", draws=50)
    figure = decisions.net_benefit_table(table, threshold=0.1)
    assert figure.layout.title.text == "Decision curve"
    assert axes(figure) == ("Threshold probability", "Net benefit (found positives per image)")
    named = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    assert list(named) == ["model", "biopsy all", "biopsy none", "threshold 0.1"]
    assert list(named["model"].y) == table["net_benefit"].tolist()
    assert list(figure.data[0].y) == table["net_benefit_high"].tolist()
    assert figure.data[1].fill == "tonexty"
    bottom, top = figure.layout.yaxis.range
    assert bottom < 0 < table["net_benefit_high"].max() < top


def test_the_standardised_curve_is_the_same_over_the_prevalence(predictions: pd.DataFrame) -> None:
    table = net_benefit_table(predictions, positive="melanoma", draws=50)
    figure = decisions.standardised_net_benefit(table)
    named = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    assert list(named["model"].y) == table["standardised"].tolist()
    assert list(figure.data[0].y) == table["standardised_high"].tolist()
    everyone = (table["biopsy_all"] / table["prevalence"]).tolist()
    assert list(named["biopsy all"].y) == everyone
    assert axes(figure)[1] == "Net benefit (share of the greatest)"
    absent = net_benefit_table(
        predictions[lambda t: t["truth"] == "other"], positive="melanoma", draws=5
    )
    assert "not estimable" in decisions.standardised_net_benefit(absent).data[0].name


def test_several_models_share_the_defaults(make: Make) -> None:
    tables = {
        name: net_benefit_table(make(seed=k), positive="melanoma", draws=20)
        for k, name in enumerate(("b0", "b1"))
    }
    tables["empty"] = net_benefit_table(
        make()[lambda t: t["truth"] == "other"], positive="melanoma"
    )
    figure = decisions.net_benefit_table(tables)
    named = [t for t in figure.data if t.showlegend is not False]
    assert [t.name for t in named] == [
        "b0", "b1", "biopsy all", "biopsy none", "empty not estimable: no row is melanoma"
    ]  # fmt: skip
    assert [t.line.color for t in named[:2]] == list(theme.SERIES[:2])
    alone = decisions.net_benefit_table(tables["empty"])
    assert [t.name for t in alone.data] == ["model not estimable: no row is melanoma"]


def test_risk_against_coverage(make: Make) -> None:
    table = make(5000, digits=8)
    curve = selective.risk_coverage(table, positive="melanoma", threshold=0.2)
    figure = decisions.risk_coverage(curve)
    assert axes(figure) == (
        "Coverage (share of calls accepted)",
        "Share of accepted calls that are wrong",
    )
    (line,) = figure.data
    assert len(line.x) <= theme.DRAWN_POINTS < len(curve)
    assert (line.x[-1], line.y[-1]) == (1, curve["risk"].iloc[-1])
    # A rare risk keeps its shape when it is thinned.
    missed = selective.risk_coverage(table, positive="melanoma", threshold=0.02, risk="missed")
    thin = decisions.risk_coverage({"all": missed, "again": missed}).data[0]
    at = np.interp(missed["coverage"], thin.x, thin.y)
    assert np.abs(at - missed["risk"]).max() < 0.05 * missed["risk"].max()


def test_referral_shows_each_rule(predictions: pd.DataFrame) -> None:
    table = referral_table(predictions, positive="melanoma", threshold=0.2)
    figure = decisions.referral_table(table)
    assert [a.text for a in figure.layout.annotations] == ["Referred", "Sensitivity", "Specificity"]
    assert figure.layout.yaxis.ticktext[:3] == (
        "nobody is referred",
        "set not of one class, error rate 0.05",
        "set not of one class, error rate 0.1",
    )
    assert figure.layout.yaxis.ticktext[-1] == "odds within 4 × of the threshold"
    for trace, measure in zip(
        figure.data,
        ("referred", "sensitivity", "assisted_sensitivity", "specificity", "assisted_specificity"),
        strict=True,
    ):
        assert list(trace.x) == table[measure].tolist()
    test = pd.concat([table, table.assign(rows="test", referred=0.5)])
    assert set(decisions.referral_table(test, rows="test").data[0].x) == {0.5}


def test_coverage_stands_beside_what_was_promised_and_what_was_not(
    predictions: pd.DataFrame,
) -> None:
    sets = conformal.prediction_sets(predictions)
    table = conformal.coverage_by_class(sets)
    figure = decisions.coverage_by_class(table, error_rate=0.1)
    assert list(figure.data[0].y) == ["Other", "Melanoma"]
    assert list(figure.data[0].x) == table["value"].tolist()
    assert figure.layout.shapes[0].x0 == pytest.approx(0.9)
    assert "not for one patient" in figure.layout.title.subtitle.text
    groups = predictions[["image_id"]].assign(sex=["male", "female"] * 300)
    grouped = decisions.coverage_by_class(conformal.coverage_by_group(sets, groups, by="sex"))
    assert list(grouped.data[0].y) == [
        "female, Other", "female, Melanoma", "male, Other", "male, Melanoma"
    ]  # fmt: skip
