import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sklearn.metrics import roc_auc_score

from melnb.display import theme
from melnb.display.plots import decisions, discrimination, strokes
from melnb.evaluation.decisions import operating_point, thresholds
from melnb.evaluation.discrimination import classes, ranking
from melnb.tables import schema

Make = Callable[..., pd.DataFrame]


def title(figure: go.Figure) -> str:
    return str(figure.layout.title.text)


def axes(figure: go.Figure) -> tuple[str, str]:
    return figure.layout.xaxis.title.text, figure.layout.yaxis.title.text


def names(figure: go.Figure) -> list[str]:
    return [trace.name for trace in figure.data]


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """Predictions of three classes."""
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 3, 300)
    values = draw.random((300, 3)) + 0.8 * np.eye(3)[truth]
    found = ("melanoma", "nevus", "benign_keratosis")
    return schema.make_predictions(
        [f"i{k}" for k in range(300)],
        0,
        np.array(found)[truth],
        values / values.sum(axis=1, keepdims=True),
        classes=found,
        run="many",
    )


def test_roc_curve_of_folds_and_all(predictions: pd.DataFrame) -> None:
    lines = {
        f"fold {k}": ranking.roc_curve(part, positive="melanoma")
        for k, part in predictions.groupby("fold")
    }
    lines[strokes.POOLED] = ranking.roc_curve(predictions, positive="melanoma")
    point = operating_point.operating_point(predictions, positive="melanoma")
    figure = discrimination.roc_curve(lines, point=point)
    assert title(figure) == "ROC curve"
    assert axes(figure) == ("1 − specificity", "Sensitivity")
    threshold = f"threshold {point['threshold'].iloc[0]:.4g}"
    assert names(figure) == ["chance", "fold 0", "fold 1", "fold 2", "out of fold", threshold]
    assert figure.data[4].line.width > figure.data[1].line.width
    marked = figure.data[-1]
    assert (marked.x[0], marked.y[0]) == (
        1 - point["specificity"].iloc[0],
        point["sensitivity"].iloc[0],
    )


def test_a_drawn_curve_is_thin_and_has_the_area_of_all_rows(make: Make) -> None:
    predictions = make(20_000, digits=8)
    figure = discrimination.roc_curve(ranking.roc_curve(predictions, positive="melanoma"))
    curve = figure.data[1]
    assert len(curve.x) <= theme.DRAWN_POINTS
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    exact = roc_auc_score(predictions["truth"] == "melanoma", predictions["p_melanoma"])
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(exact, abs=2e-3)
    assert len(json.dumps(figure.to_plotly_json(), default=list)) < 60_000


def test_a_curve_that_is_not_estimable_says_so(predictions: pd.DataFrame) -> None:
    lonely = predictions[predictions["truth"] == "other"]
    figure = discrimination.roc_curve(ranking.roc_curve(lonely, positive="melanoma"))
    assert "not estimable" in names(figure)[-1]
    assert figure.data[-1].showlegend


def test_precision_recall_curve(predictions: pd.DataFrame) -> None:
    table = ranking.precision_recall_curve(predictions, positive="melanoma")
    figure = discrimination.precision_recall_curve(table, prevalence=0.2)
    assert axes(figure) == ("Recall (sensitivity)", "Precision (PPV)")
    assert names(figure) == ["chance: prevalence 0.2", "curve"]
    assert figure.data[0].y == (0.2, 0.2)
    assert figure.layout.legend.x == 0.02, "on the curve of a good model"
    poor = table.assign(precision=table["precision"] / 4)
    assert discrimination.precision_recall_curve(poor).layout.legend.x != 0.02


def test_a_point_for_another_prevalence_still_lies_on_the_curve(predictions: pd.DataFrame) -> None:
    table = ranking.precision_recall_curve(predictions, positive="melanoma")
    point = operating_point.operating_point(predictions, positive="melanoma", prevalence=0.001)
    marked = discrimination.precision_recall_curve(table, point=point).data[-1]
    row = table[table["threshold"] == point["threshold"].iloc[0]].iloc[0]
    assert (marked.x[0], marked.y[0]) == pytest.approx((row["recall"], row["precision"]))
    moved = ranking.precision_recall_curve(predictions, positive="melanoma", prevalence=0.001)
    marked = discrimination.precision_recall_curve({"run": moved}, point=point).data[-1]
    assert marked.y[0] == pytest.approx(point["ppv"].iloc[0])


def test_operating_point_shows_two_curves_and_four_counts(predictions: pd.DataFrame) -> None:
    point = operating_point.operating_point(predictions, positive="melanoma")
    figure = decisions.operating_point(
        point,
        roc=ranking.roc_curve(predictions, positive="melanoma"),
        precision_recall=ranking.precision_recall_curve(predictions, positive="melanoma"),
        positive="melanoma",
    )
    assert title(figure).startswith("Operating point: threshold ")
    heads = [a.text for a in figure.layout.annotations]
    assert heads == ["ROC curve", "Precision–recall curve", "Confusion matrix"]
    assert [trace.type for trace in figure.data] == ["scatter"] * 4 + ["heatmap"]
    row = point.iloc[0]
    texts = [cell.split("<br>")[0] for line in figure.data[-1].text for cell in line]
    assert texts == [str(row[c]) for c in ("tp", "fn", "fp", "tn")]


def test_confusion_tints_by_row(many: pd.DataFrame) -> None:
    counts = classes.confusion_by_class(many)
    figure = discrimination.confusion_by_class(counts)
    assert title(figure) == "Confusion by class"
    assert axes(figure) == ("Called", "Truth")
    assert list(figure.data[0].y) == ["Melanoma", "Nevus", "Benign keratosis"]
    np.testing.assert_allclose(figure.data[0].z.sum(axis=1), 1)
    two = discrimination.confusion(thresholds.confusion(many, positive="melanoma", threshold=0.4))
    assert list(two.data[0].x) == ["Melanoma", "Rest"]


def test_threshold_table(make: Make) -> None:
    table = thresholds.threshold_table(make(5000, digits=6), positive="melanoma")
    figure = decisions.threshold_table(table, threshold=0.3)
    assert axes(figure) == ("Threshold", "Share")
    expected = ["Sensitivity", "Specificity", "PPV", "NPV", "Flagged", "threshold 0.3"]
    assert names(figure) == expected
    assert len(figure.data[0].x) <= theme.DRAWN_POINTS
    assert set(figure.data[0].y) <= set(table["sensitivity"])


def test_low_scores_get_a_logarithmic_axis(make: Make) -> None:
    low = make(2000, digits=8)
    low["p_melanoma"] /= 1000
    low["kind"] = "score"
    table = thresholds.threshold_table(low, positive="melanoma")
    assert decisions.threshold_table(table).layout.xaxis.type == "log"
    assert decisions.score_histogram(low, positive="melanoma").layout.xaxis.type == "log"
    assert decisions.score_histogram(make(), positive="melanoma").layout.xaxis.type is None


def test_score_histogram_counts_each_class_by_itself(predictions: pd.DataFrame) -> None:
    figure = decisions.score_histogram(predictions, positive="melanoma", threshold=0.5, bins=20)
    assert title(figure) == "Scores by class"
    assert axes(figure) == ("Score", "Share of the class")
    n = predictions["truth"].value_counts()
    assert names(figure) == [
        f"Other (n = {n['other']})",
        f"Melanoma (n = {n['melanoma']})",
        "threshold 0.5",
    ]
    for trace in figure.data[:2]:
        assert trace.y[:-1].sum() == pytest.approx(1)


def test_intervals_are_drawn_as_they_stand_in_the_table(predictions: pd.DataFrame) -> None:
    table = ranking.metrics_by_fold(predictions, positive="melanoma", draws=20)
    figure = discrimination.metrics_by_fold(table, metric="AUC")
    rows = table[table["metric"] == "AUC"]
    (trace,) = figure.data
    assert list(trace.y) == ["fold 0", "fold 1", "fold 2", "out of fold"]
    np.testing.assert_allclose(trace.x + trace.error_x.array, rows["high"])
    np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, rows["low"])


def test_class_figures_name_every_class(many: pd.DataFrame) -> None:
    by_class = discrimination.auc_by_class(classes.auc_by_class(many))
    assert list(by_class.data[0].y) == ["Melanoma", "Nevus", "Benign keratosis", "Macro"]
    sensitivity = discrimination.sensitivity_by_class(classes.sensitivity_by_class(many))
    assert axes(sensitivity)[0] == "Sensitivity"


def test_a_run_alone_has_nothing_to_compare(make: Make) -> None:
    figure = discrimination.auc_comparison(
        ranking.auc_comparison({"b0": make()}, positive="melanoma")
    )
    assert len(figure.data[0].x) == 0


def test_auc_comparison_marks_no_difference(make: Make) -> None:
    runs = {"first": make(), "second": make(shift=1.0)}
    figure = discrimination.auc_comparison(ranking.auc_comparison(runs, positive="melanoma"))
    assert list(figure.data[0].y) == ["first − second"]
    assert figure.layout.shapes[0].x0 == 0


def test_rows_are_spread_over_the_axis() -> None:
    falling = pd.Series(np.linspace(1, 0, 10_001))
    rows = strokes.spread_rows(falling)
    assert rows[0] == 0
    assert rows[-1] == 10_000
    assert len(rows) == theme.DRAWN_POINTS
    assert np.diff(rows).max() <= 27
