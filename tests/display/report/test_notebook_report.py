"""What cells show is collected: once each, with the report's values, and with its reasons."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from melnb import display, evaluation
from melnb.display.cells import Parts
from melnb.display.report.notebook_report import NUMBERS, Report
from melnb.display.report.report_page import Section

Make = Callable[..., pd.DataFrame]
SHARED: dict[str, Any] = {
    "positive": "melanoma", "confidence": 0.9, "seed": 3, "prevalence": 0.0, "choose": "youden",
    "at": 0.5, "margin": 0.0, "smallest": 1, "error_rate": 0.1, "challenge": "none",
    "groups": pd.DataFrame({"image_id": []}), "images": None, "open_picture": None,
    "smoothing": 0.0, "decide": "argmax", "costs": {}, "tau": 1.0, "unit": "image",
    "average": "probability", "folder": Path(), "networks": {}, "audit": None,
    "shortcuts": {},
}  # fmt: skip
# What 06_report shows of the values that it shares, by the names of its functions.
GIVEN = {*SHARED, "members", "predictions", "cluster", "threshold", *NUMBERS}


def report(table: pd.DataFrame, kept: dict[str, Any] | None = None, **more: Any) -> Report:
    return Report({} if kept is None else kept, {"r": table}, **(SHARED | more))


def parts(made: Report, title: str) -> tuple[Any, ...]:
    (section,) = [section for section in made.sections if section.title == title]
    return section.parts


def test_a_number_and_its_picture_are_shown_and_kept(predictions: pd.DataFrame) -> None:
    made = report(predictions)
    shown = made.show(evaluation.roc_curve, "Curves")
    assert isinstance(shown, go.Figure)
    table = evaluation.roc_curve(predictions, positive="melanoma")
    assert shown == display.roc_curve(table)
    pd.testing.assert_frame_equal(made["roc_curve"], table)
    assert parts(made, "Curves") == (shown,)
    with pytest.raises(KeyError, match="the report has no auc: run the cell that shows it first"):
        made["auc"]


def test_a_function_gets_what_it_asks_for_by_name(predictions: pd.DataFrame) -> None:
    table = predictions.assign(patient_id=[f"p{k // 3}" for k in range(len(predictions))])
    made = report(table)
    given: dict[str, Any] = {"positive": "melanoma", "confidence": 0.9, "cluster": "patient_id"}
    wanted = evaluation.calibration_scores(table, seed=3, **given)
    pd.testing.assert_frame_equal(made.number(evaluation.calibration_scores), wanted)
    point = made.number(evaluation.operating_point)
    wanted = evaluation.operating_point(table, choose="youden", at=0.5, seed=3, **given)
    pd.testing.assert_frame_equal(point, wanted)
    cut = float(point["threshold"].iloc[0])
    wanted = evaluation.referral_table(table, threshold=cut, **given)
    pd.testing.assert_frame_equal(made.number(evaluation.referral_table), wanted)
    other = made.number(evaluation.auc, predictions=table.drop(columns="patient_id"))
    assert "patient_id" not in other["method"].iloc[0], "clusters are those of the rows given"
    with pytest.raises(TypeError, match="auc takes no 'bins'"):
        made.number(evaluation.auc, bins=3)


def test_functions_and_their_pictures_ask_by_the_names_that_a_report_knows() -> None:
    """A parameter that has no default and no value would fail in the notebook alone."""
    own = {"table", "tables", "errors", "path", "area"}  # the number itself, or in the call
    for name in (
        "metrics_by_fold", "fold_dispersion", "cross_validated_auc", "operating_point",
        "precision_recall_curve", "reliability_table", "calibration_curve", "threshold_table",
        "net_benefit_table", "auc_by_class", "confusion_by_class", "subgroup_metrics",
        "gap_tests", "coverage_by_class", "coverage_by_groups", "referral_table", "worst_errors",
        "auc_comparison", "comparison_matrix", "fold_comparison", "equivalence_table",
        "official_scores", "unjudged_facts", "prediction_sets", "lead_needed",
        "fit_class_decision", "class_gain", "decision_by_class", "unit_gain", "at_prevalence",
        "submission_table", "calibrator_comparison",
    ):  # fmt: skip
        for function in (getattr(evaluation, name), getattr(display, name, None)):
            needed = inspect.signature(function).parameters.values() if function else ()
            asked = {each.name for each in needed if each.default is each.empty}
            assert asked <= GIVEN | own, name


def test_a_repeated_call_replaces_what_it_showed(predictions: pd.DataFrame) -> None:
    kept: dict[str, Any] = {}
    made = report(predictions, kept)
    for _ in range(2):
        made.show(evaluation.metrics_by_fold, "Summary", page="both")
        made.include("Read", "a", "b")
    made.include("Read", "c")
    made.show(evaluation.auc, "Summary")
    assert [section.title for section in made.sections] == ["Summary", "Read"]
    assert parts(made, "Read") == ("c",)
    assert [type(part) for part in parts(made, "Summary")] == [
        go.Figure, pd.DataFrame, pd.DataFrame,
    ]  # fmt: skip
    again = report(predictions, kept)  # the cell that makes the report is run again
    assert [section.title for section in again.sections] == ["Summary", "Read"]
    pd.testing.assert_frame_equal(again["auc"], made["auc"])


def test_the_page_has_the_figure_the_table_or_both(predictions: pd.DataFrame) -> None:
    made = report(predictions)
    for page, kinds in (
        ("figure", [go.Figure]), ("table", [pd.DataFrame]), ("both", [go.Figure, pd.DataFrame]),
    ):  # fmt: skip
        shown = made.show(evaluation.metrics_by_fold, "S", page=page, words="")  # type: ignore[arg-type]
        assert [type(part) for part in parts(made, "S")] == kinds
        assert isinstance(shown, Parts) == (page != "figure"), "the cell has the figure always"
    made.show(evaluation.metrics_by_fold)
    assert not made.sections, "without a heading it is in the notebook alone"
    alone = made.show(evaluation.auc_comparison)
    assert isinstance(alone, go.Figure)
    assert repr(made.show(evaluation.official_scores)) == "nothing to show of these rows"
    assert repr(made.include("T", "", "A sentence.")) == "A sentence."
    made.show(evaluation.auc, "S", words="Why.")
    assert parts(made, "S")[0] == "Why."


def test_one_picture_of_several_tables(predictions: pd.DataFrame) -> None:
    made = report(predictions)
    figure = made.show(evaluation.roc_curve, "Curves", over=made.folds)
    assert list(made["roc_curve"]) == ["out of fold", "fold 0", "fold 1", "fold 2"]
    assert figure == display.roc_curve(made["roc_curve"])
    made.number(evaluation.precision_recall_curve, over=made.folds)
    point = made.number(evaluation.operating_point)
    figure = made.show(display.operating_point, "Operating point")
    alone = {
        "roc": evaluation.roc_curve(predictions, positive="melanoma"),
        "precision_recall": evaluation.precision_recall_curve(predictions, positive="melanoma"),
    }
    assert figure == display.operating_point(point, positive="melanoma", **alone)


def test_ranks_have_no_calibration_and_the_page_says_why(predictions: pd.DataFrame) -> None:
    made = report(predictions.assign(kind="score"))
    why = "needs probabilities: these are ranks or scores. Choose a calibrator."
    versions = {"as they came": predictions, "ranked": predictions.assign(kind="score")}
    drawn = made.show(evaluation.reliability_table, "Calibration", over=versions)
    assert list(made["reliability_table"]) == ["as they came"]
    assert isinstance(drawn, go.Figure)
    for function in (evaluation.reliability_table, evaluation.calibration_scores):
        assert made.show(function, "Calibration") == f"Calibration {why}"
    made.show(evaluation.net_benefit_table, "Net benefit", threshold=None)
    made.show(display.standardised_net_benefit, "Net benefit", of="net_benefit_table")
    assert parts(made, "Net benefit") == (f"A decision curve {why}",), "once"
    assert made["net_benefit_table"]["note"].tolist() == [
        f"not estimable: A decision curve {why}"
    ]  # fmt: skip


def test_what_needs_rows_out_of_fold_or_several_folds_says_so(predictions: pd.DataFrame) -> None:
    made = report(predictions.assign(fold=-1))
    made.number(evaluation.prediction_sets)
    said = made.show(evaluation.coverage_by_class, "Sets")
    assert said == "no row is out of fold: nothing to calibrate sets on"
    assert parts(made, "Sets") == (said,)
    one = report(predictions.assign(fold=0))
    one.show(evaluation.cross_validated_auc, "Within folds", page="both")
    assert parts(one, "Within folds") == ()
    assert len(one["cross_validated_auc"])


def test_without_a_truth_sections_go_that_need_one(predictions: pd.DataFrame) -> None:
    bare = predictions.assign(truth=pd.Series(np.nan, predictions.index, dtype=object))
    made = report(bare)
    made.show(evaluation.metrics_by_fold, "Summary")
    made.include("Read", "text", always=True)
    made.show(evaluation.unjudged_facts, "Without", always=True, threshold=0.5)
    assert [section.title for section in made.sections] == ["Read", "Without"]


def test_everything_is_written_under_its_name(predictions: pd.DataFrame, tmp_path: Path) -> None:
    made = report(predictions)
    made.show(evaluation.metrics_by_fold, "Summary", csv="metrics")
    made.show(evaluation.calibration_scores, "Calibration")
    drawn = {"of": "metrics_by_fold", "metric": "average precision", "name": "by_precision"}
    made.show(display.metrics_by_fold, "Summary", **drawn)
    page = made.write(tmp_path, title="T").read_text(encoding="utf-8")
    assert ">Summary</h2>" in page
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"report.html", "figures", "metrics.csv"}
    figures = {path.name for path in (tmp_path / "figures").glob("*.html")}
    assert figures == {"metrics_by_fold.html", "by_precision.html"}


def test_pictures_are_shown_where_images_are_known(
    predictions: pd.DataFrame, images: pd.DataFrame
) -> None:
    made = report(predictions)
    made.number(evaluation.operating_point)
    table = made.show(evaluation.worst_errors, "Errors", n=2)
    assert isinstance(table, pd.DataFrame)
    opened: list[str] = []

    def open_picture(path: str, size: int) -> Any:
        opened.append(path)
        raise OSError

    rows = images.assign(image_id=predictions["image_id"].head(len(images)).to_numpy())
    made = report(predictions, images=rows, open_picture=open_picture)
    made.number(evaluation.operating_point)
    assert made.show(evaluation.worst_errors, "Errors", n=600).rows
    assert opened
    explorer = made.explore("Explorer")
    assert explorer.threshold == made.threshold
    assert isinstance(made.sections[-1], Section)
    assert parts(made, "Explorer") == (explorer,)


def test_what_a_clinic_asks_of_locked_rows_is_seen_and_the_rest_folded(
    predictions: pd.DataFrame,
) -> None:
    rows = predictions.assign(fold=np.where(predictions.index < 300, predictions["fold"], -1))
    test = rows[rows["fold"] == -1]
    made = report(rows, networks={0: test, 1: test})
    made.number(evaluation.operating_point)
    shown = made.show(evaluation.locked_test_points, "Point", predictions=rows)
    seen, more, mean = parts(made, "Point")
    assert list(seen["measure"])[-1] == "flagged"
    assert list(more.table["measure"]) == list(mean.table["measure"])[8:]
    assert more.title == "Network by network, other measures"
    assert mean.title == "Mean of networks, at the same threshold"
    assert "<details><summary>Mean of networks" in shown[2]._repr_html_()


def test_what_was_chosen_is_locked(predictions: pd.DataFrame, tmp_path: Path) -> None:
    recorded = (
        evaluation.operating_point, evaluation.metrics_by_fold, evaluation.class_scores,
        evaluation.unjudged_facts,
    )  # fmt: skip
    made = report(predictions)
    point, *_ = [made.number(function) for function in recorded]
    assert made.lock(tmp_path)["threshold"] == point["threshold"].iloc[0]
    assert evaluation.read_threshold(tmp_path / "operating_point.json")["choose"] == "youden"
    for decide, files in (
        ("argmax", {"operating_point.json"}),
        ("balanced_accuracy", {"operating_point.json", "class_decision.json"}),
    ):
        made = report(predictions, decide=decide)
        for function in recorded:
            made.number(function)
        decision = made.number(evaluation.fit_class_decision)
        gains = made.number(evaluation.class_gain)
        assert gains["chosen"].any() == (decide != "argmax")
        made.lock(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == files
    assert evaluation.read_class_decision(tmp_path / "class_decision.json") == decision


def test_runs_are_drawn_over_each_other_on_the_images_that_all_have(
    predictions: pd.DataFrame,
) -> None:
    kept: dict[str, Any] = {}
    table = predictions.rename_axis(None)
    other = table.iloc[::-1].head(len(table) - 5)
    made = Report(kept, {"a": table, "b": other}, **SHARED)
    assert {name: set(rows["image_id"]) for name, rows in made.members.items()} == {
        "a": {*other["image_id"]}, "b": {*other["image_id"]},
    }  # fmt: skip
    made.number(evaluation.operating_point)
    roc, precision = made.by_run(
        "Comparison", evaluation.roc_curve, evaluation.precision_recall_curve
    )
    for figure in (roc, precision):
        assert [trace.name for trace in figure.data if "chance" not in trace.name] == ["a", "b"]
    assert roc.layout.title.text == "ROC curve of each run"
    onto, below = (s.parts for s in made.sections if s.title == "Comparison")
    assert (onto, below) == ((), (roc, precision)), "in the appendix alone"
    alone = Report(kept, {"a": table}, **SHARED)
    alone.by_run("Comparison", evaluation.roc_curve, evaluation.precision_recall_curve)
    assert not any(section.title == "Comparison" for section in alone.sections)
