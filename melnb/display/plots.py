"""Figures of evaluation tables: `metrics.roc_curve` makes one, `plots.roc_curve` draws it.

A curve function takes one table, or tables by label (folds, runs). Curves are thinned for drawing
alone; every number on a figure comes out of a table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb import diagnoses
from melnb.display import marks, theme
from melnb.evaluation.rows import binary_rows


def roc_curve(
    tables: marks.Tables, *, point: pd.DataFrame | None = None, title: str = "ROC curve"
) -> go.Figure:
    """Draw ROC curves.

    Args:
        tables: `metrics.roc_curve`, or several by label.
        point: `decisions.operating_point`, marked when given.
        title: Of the figure.
    """
    figure = marks.square_figure(title, "1 − specificity", "Sensitivity")
    marks.add_chance(figure, (0, 1), "chance")
    marks.add_curves(figure, tables, "false_positive_rate", "sensitivity")
    if point is not None:
        marks.add_point(
            figure, 1 - point["specificity"].iloc[0], point["sensitivity"].iloc[0], point
        )
    return figure


def precision_recall_curve(
    tables: marks.Tables,
    *,
    prevalence: float | None = None,
    point: pd.DataFrame | None = None,
    title: str = "Precision–recall curve",
) -> go.Figure:
    """Draw precision-recall curves.

    Args:
        tables: `metrics.precision_recall_curve`, or several by label.
        prevalence: Of the data, the precision of chance; drawn when given.
        point: `decisions.operating_point`, marked when given.
        title: Of the figure.
    """
    figure = marks.square_figure(title, "Recall (sensitivity)", "Precision (PPV)")
    if prevalence is not None:
        marks.add_chance(figure, (prevalence, prevalence), f"chance: prevalence {prevalence:.2g}")
    marks.add_curves(figure, tables, "recall", "precision")
    if point is not None:
        marks.add_point(figure, *_on_precision_recall(point), point)
    return figure


def operating_point(
    point: pd.DataFrame,
    *,
    roc: pd.DataFrame,
    precision_recall: pd.DataFrame,
    positive: str,
    title: str = "Operating point",
) -> go.Figure:
    """Draw the operating point on both curves, and its four counts: the explorer's static twin.

    Args:
        point: `decisions.operating_point`.
        roc: `metrics.roc_curve`.
        precision_recall: `metrics.precision_recall_curve`.
        positive: The class looked for.
        title: Of the figure.
    """
    row = point.iloc[0]
    words = f"{title}: threshold {row['threshold']:.4g}"
    heads = ("ROC curve", "Precision–recall curve", "Confusion matrix")
    figure = make_subplots(cols=3, subplot_titles=heads, horizontal_spacing=0.09)
    figure.update_layout(theme.layout(words, "", "", height=400))
    figure.update_layout(showlegend=False, margin={"t": 90})
    lines = (
        (roc, "false_positive_rate", "sensitivity", (1 - row["specificity"], row["sensitivity"])),
        (precision_recall, "recall", "precision", _on_precision_recall(point)),
    )
    for col, (table, x, y, spot) in enumerate(lines, start=1):
        marks.add_curves(figure, table, x, y, col=col)
        marks.add_point(figure, *spot, point, col=col)
    counts = pd.DataFrame([[row["tp"], row["fn"]], [row["fp"], row["tn"]]])
    counts.index = counts.columns = pd.Index([diagnoses.title(positive), "Other"])
    figure.add_trace(marks.heat_map(counts), row=1, col=3)
    names = ("1 − specificity", "Recall (sensitivity)", "Called")
    for col, name in enumerate(names, start=1):
        figure.update_xaxes(title_text=name, row=1, col=col, **(marks.UNIT if col < 3 else {}))
    for col, name in enumerate(("Sensitivity", "Precision (PPV)", "Truth"), start=1):
        figure.update_yaxes(title_text=name, row=1, col=col, **(marks.UNIT if col < 3 else {}))
    figure.update_xaxes(showgrid=False, row=1, col=3)
    figure.update_yaxes(autorange="reversed", tickangle=-90, showgrid=False, row=1, col=3)
    return figure


def confusion(table: pd.DataFrame, *, title: str = "Confusion matrix") -> go.Figure:
    """Draw counts, truths down and calls across; a cell's tint is its share of its row.

    Args:
        table: `decisions.confusion` or `classes.confusion_by_class`.
        title: Of the figure.
    """
    named = table.rename(index=diagnoses.title, columns=diagnoses.title)
    side = 300 + 55 * len(table)
    figure = go.Figure(marks.heat_map(named), theme.layout(title, "Called", "Truth", height=side))
    figure.update_layout(width=side + 60, xaxis_showgrid=False, yaxis_showgrid=False)
    return figure.update_yaxes(autorange="reversed")


def confusion_by_class(table: pd.DataFrame, *, title: str = "Confusion by class") -> go.Figure:
    """Draw `classes.confusion_by_class` (see `confusion`)."""
    return confusion(table, title=title)


def threshold_table(
    table: pd.DataFrame, *, threshold: float | None = None, title: str = "What each threshold does"
) -> go.Figure:
    """Draw sensitivity, specificity, PPV, NPV and the flagged share against the threshold.

    Args:
        table: `decisions.threshold_table`.
        threshold: The chosen one, marked when given.
        title: Of the figure.
    """
    figure = go.Figure(layout=theme.layout(title, "Threshold", "Share"))
    drawn = table.iloc[marks.spread_rows(table["threshold"])]
    shown = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV"}
    for k, (column, name) in enumerate((shown | {"flagged": "Flagged"}).items()):
        line = {"color": theme.SERIES[k], "dash": "dot" if column == "flagged" else "solid"}
        figure.add_scatter(
            x=drawn["threshold"], y=drawn[column], name=name, mode="lines", line=line
        )
    if marks.are_low(table["threshold"]):
        figure.update_xaxes(**marks.LOG)
    if threshold is not None:
        marks.add_threshold(figure, threshold, 1.0)
    return figure.update_yaxes(**marks.UNIT).update_layout(hovermode="x unified")


def score_histogram(
    predictions: pd.DataFrame,
    *,
    positive: str,
    threshold: float | None = None,
    bins: int = 60,
    title: str = "Scores by class",
) -> go.Figure:
    """Draw the scores of the positive class and of the rest, each as a share of its own.

    Args:
        predictions: Predictions table; rows without a truth are left out.
        positive: The class looked for.
        threshold: The chosen one, marked when given.
        bins: Bars across; of equal width on the axis that is drawn.
        title: Of the figure.
    """
    rows = binary_rows(predictions, positive=positive)
    figure = go.Figure(layout=theme.layout(title, "Score", "Share of the class"))
    edges = marks.score_edges(rows["score"], bins)
    if marks.are_low(rows["score"]):
        figure.update_xaxes(**marks.LOG)
    tallest = 0.0
    for truth, name in ((False, "Other"), (True, diagnoses.title(positive))):
        scores = rows.loc[rows["truth"] == truth, "score"].clip(edges[0], edges[-1])
        counts, _ = np.histogram(scores, bins=edges)
        shares = np.append(counts, counts[-1]) / max(1, len(scores))
        tallest = max(tallest, float(shares.max()))
        figure.add_scatter(
            x=edges,
            y=shares,
            name=f"{name} (n = {len(scores):,})",
            mode="lines",
            line={"shape": "hv", "width": 1.5, "color": theme.TRUTHS[truth]},
            fill="tozeroy",
        )
    if threshold is not None:
        marks.add_threshold(figure, threshold, tallest)
    return figure.update_yaxes(rangemode="tozero")


def metrics_by_fold(
    table: pd.DataFrame, *, metric: str = "AUC", title: str = "AUC by fold"
) -> go.Figure:
    """Draw one metric of `metrics.metrics_by_fold`, a row each with its interval."""
    chosen = table[table["metric"] == metric]
    return marks.interval_figure(chosen, "rows", "value", title=title, axis=metric)


def auc_by_class(table: pd.DataFrame, *, title: str = "AUC of each class") -> go.Figure:
    """Draw `classes.auc_by_class` with its intervals."""
    return marks.interval_figure(
        table, "class", "value", title=title, axis="AUC, this class against the rest"
    )


def sensitivity_by_class(
    table: pd.DataFrame, *, title: str = "Sensitivity of each class"
) -> go.Figure:
    """Draw `classes.sensitivity_by_class` with its intervals."""
    return marks.interval_figure(table, "class", "sensitivity", title=title, axis="Sensitivity")


def auc_comparison(table: pd.DataFrame, *, title: str = "Difference of AUC") -> go.Figure:
    """Draw `metrics.auc_comparison`; where an interval spans 0, neither run is shown better."""
    named = table.assign(runs=table["first"] + " − " + table["second"])
    figure = marks.interval_figure(
        named, "runs", "difference", title=title, axis="AUC of the first − of the second"
    )
    return figure.add_vline(0, line=marks.CHANCE)


def _on_precision_recall(point: pd.DataFrame) -> tuple[float, float]:
    """Return where a point lies on the curve of the data, whatever prevalence its PPV is for."""
    row = point.iloc[0]
    flagged = row["tp"] + row["fp"]
    return float(row["sensitivity"]), float(row["tp"] / flagged) if flagged else float("nan")
