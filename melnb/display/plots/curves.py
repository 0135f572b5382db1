"""Curves of a ranking: one table, or tables by label (folds, runs).

Curves are thinned for drawing alone; every number on a figure comes out of a table.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from melnb.display.plots import marks


def roc_curve(
    tables: marks.Tables, *, point: pd.DataFrame | None = None, title: str = "ROC curve"
) -> go.Figure:
    """Draw ROC curves.

    Args:
        tables: `metrics.roc_curve`, or several by label.
        point: `points.operating_point`, marked when given.
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
        prevalence: That of the curve, the precision of chance; drawn when given.
        point: `points.operating_point`, marked when given.
        title: Of the figure.
    """
    figure = marks.square_figure(title, "Recall (sensitivity)", "Precision (PPV)")
    if prevalence is not None:
        marks.add_chance(figure, (prevalence, prevalence), f"chance: prevalence {prevalence:.2g}")
    marks.add_curves(figure, tables, "recall", "precision")
    if point is not None:
        first = tables if isinstance(tables, pd.DataFrame) else next(iter(tables.values()))
        marks.add_point(figure, *on_precision_recall(point, first), point)
    return figure


def on_precision_recall(point: pd.DataFrame, curve: pd.DataFrame) -> tuple[float, float]:
    """Return where a point lies on a curve, whatever prevalence its own PPV is for."""
    row = point.iloc[0]
    share = float(curve["prevalence"].iloc[0]) if "prevalence" in curve else float("nan")
    right, wrong = row["sensitivity"] * share, (1 - row["specificity"]) * (1 - share)
    wrong = 0.0 if share == 1 else wrong  # without others nothing is flagged in error
    return float(row["sensitivity"]), float(right / (right + wrong)) if right else float("nan")
