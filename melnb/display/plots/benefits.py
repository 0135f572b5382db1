"""Figures of worth: a model against biopsying all and none, over threshold probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.display.plots import marks

_BELOW = 0.2  # of the axis lies below 0: what is worse than that is worse enough


def net_benefit_table(
    tables: marks.Tables, *, threshold: float | None = None, title: str = "Decision curve"
) -> go.Figure:
    """Draw the net benefit against the threshold probability, with bands, and both defaults.

    Args:
        tables: `net_benefit.net_benefit_table`, or several by label.
        threshold: Marked when given.
        title: Of the figure.
    """
    curves = {"model": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    axes = ("Threshold probability", "Net benefit (found positives per image)")
    figure = go.Figure(layout=theme.layout(title, *axes, height=420))
    whole = {label: table for label, table in curves.items() if table["threshold"].notna().all()}
    for k, (label, table) in enumerate(whole.items()):
        marks.add_band(
            figure, table, "threshold", "net_benefit", label, theme.SERIES[k % len(theme.SERIES)]
        )
    if whole:
        first = next(iter(whole.values()))
        for column, name, dash in (
            ("biopsy_all", "biopsy all", "dash"),
            ("biopsy_none", "biopsy none", "dot"),
        ):
            line = {"color": theme.INK_ON_ANY, "width": 1.6, "dash": dash}
            figure.add_scatter(
                x=first["threshold"], y=first[column], mode="lines", name=name, line=line
            )
        top = _top(whole)
        figure.update_yaxes(range=[-_BELOW * top, 1.05 * top])
        if threshold is not None:
            marks.add_threshold(figure, threshold, top)
    for label, table in curves.items():
        if label not in whole:
            figure.add_scatter(
                x=[None], y=[None], name=f"{label} {table['note'].iloc[0]}", showlegend=True
            )
    return figure.update_xaxes(tickformat=".0%").update_layout(hovermode="x unified")


def standardised_net_benefit(
    table: pd.DataFrame, *, threshold: float | None = None, title: str = "Standardised net benefit"
) -> go.Figure:
    """Draw the same divided by the prevalence: 1 is the worth of perfect predictions.

    Args:
        table: `net_benefit.net_benefit_table`.
        threshold: Marked when given.
        title: Of the figure.
    """
    ends = {f"net_benefit{end}": table[f"standardised{end}"] for end in ("", "_low", "_high")}
    everyone = table["biopsy_all"] / table["prevalence"]
    figure = net_benefit_table(
        table.assign(**ends, biopsy_all=everyone), threshold=threshold, title=title
    )
    return figure.update_yaxes(title_text="Net benefit (share of the greatest)")


def _top(tables: Mapping[str, pd.DataFrame]) -> float:
    columns = ["net_benefit", "net_benefit_high", "biopsy_all"]
    return max(1e-6, *(float(table[columns].max().max()) for table in tables.values()))
