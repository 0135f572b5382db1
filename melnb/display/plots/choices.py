"""Figures of thresholds: the chosen one, all others, and the scores that they cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb import diagnoses
from melnb.display import theme
from melnb.display.plots import marks
from melnb.display.plots.curves import on_precision_recall
from melnb.evaluation.rows import binary_rows


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
        point: `points.operating_point`.
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
        (precision_recall, "recall", "precision", on_precision_recall(point, precision_recall)),
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


def threshold_table(
    table: pd.DataFrame, *, threshold: float | None = None, title: str = "What each threshold does"
) -> go.Figure:
    """Draw sensitivity, specificity, PPV, NPV and the flagged share against the threshold.

    Args:
        table: `thresholds.threshold_table`.
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
        scores = rows.loc[rows["truth"] == truth, "score"]
        tallest = max(tallest, _add_heap(figure, scores, edges, name, theme.TRUTHS[truth]))
    if threshold is not None:
        marks.add_threshold(figure, threshold, tallest)
    return figure.update_yaxes(rangemode="tozero")


def unjudged_scores(
    predictions: pd.DataFrame,
    *,
    positive: str,
    threshold: float | None = None,
    bins: int = 60,
    title: str = "Scores of rows without a truth",
) -> go.Figure:
    """Draw the scores of a class, of whatever rows.

    Args:
        predictions: Predictions table: `unjudged.without_truth`.
        positive: The class looked for.
        threshold: Marked when given, and known.
        bins: Bars across; of equal width on the axis that is drawn.
        title: Of the figure.
    """
    scores = predictions[f"p_{positive}"].reset_index(drop=True)
    figure = go.Figure(layout=theme.layout(title, "Score", "Share of the rows"))
    if scores.empty:
        return figure
    if marks.are_low(scores):
        figure.update_xaxes(**marks.LOG)
    edges = marks.score_edges(scores, bins)
    tallest = _add_heap(figure, scores, edges, "No truth known", theme.GREY)
    if threshold is not None:
        marks.add_threshold(figure, threshold, tallest)
    return figure.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def _add_heap(
    figure: go.Figure, scores: pd.Series, edges: np.ndarray, name: str, colour: str
) -> float:
    """Add a histogram as shares of its own, and return the tallest."""
    counts, _ = np.histogram(scores.clip(edges[0], edges[-1]), bins=edges)
    shares = np.append(counts, counts[-1]) / max(1, len(scores))
    figure.add_scatter(
        x=edges,
        y=shares,
        name=f"{name} (n = {len(scores):,})",
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": colour},
        fill="tozeroy",
    )
    return float(shares.max())
