"""Figures of doubt: what a model may decide alone, and what it had better leave to an expert."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb import diagnoses
from melnb.display import theme
from melnb.display.plots import marks
from melnb.evaluation.decisions.conformal import WARNING
from melnb.evaluation.metrics import thin_curve

_RULES = {
    "none": "nobody is referred",
    "set": "set not of one class, error rate {:g}",
    "band": "odds within {:g} × of the threshold",
}
_APART = 0.15  # of a row, so that two estimates do not hide each other


def risk_coverage(
    tables: marks.Tables,
    *,
    chosen: pd.DataFrame | None = None,
    risk: str = "Share of accepted calls that are wrong",
    title: str = "Risk against coverage",
) -> go.Figure:
    """Draw the risk among the calls accepted against their share.

    Args:
        tables: `selective.risk_coverage`, or several by label.
        chosen: `selective.risk_at_coverage` of the first, its intervals drawn when given.
        risk: What the risk is, upwards.
        title: Of the figure.
    """
    curves = {"calls": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    figure = go.Figure(layout=theme.layout(title, "Coverage (share of calls accepted)", risk))
    for k, (label, table) in enumerate(curves.items()):
        note = str(table["note"].iloc[0]) if len(table) else ""
        # Both axes about 0-1, or a low risk would be thinned to a straight line.
        scaled = table.assign(up=table["risk"] / max(float(table["risk"].max()), 1e-9))
        thin = thin_curve(scaled, points=theme.DRAWN_POINTS, x="coverage", y="up")
        figure.add_scatter(
            x=thin["coverage"],
            y=thin["risk"],
            mode="lines",
            name=f"{label} {note}".strip(),
            showlegend=len(curves) > 1 or bool(note),
            line={"color": theme.SERIES[k % len(theme.SERIES)], "width": 2},
            hovertemplate="%{x:.1%} accepted: %{y:.4f}",
        )
    if chosen is not None:
        figure.add_scatter(
            x=chosen["coverage"],
            y=chosen["value"],
            error_y=_arms(chosen, "value", "low", "high"),
            mode="markers",
            name="with interval",
            marker={"size": 9, "color": theme.INK_ON_ANY},
        )
    figure.update_xaxes(range=[-0.01, 1.02], tickformat=".0%")
    return figure.update_yaxes(rangemode="tozero")


def coverage_by_class(
    table: pd.DataFrame,
    *,
    error_rate: float | None = None,
    title: str = "How often the set holds the truth",
) -> go.Figure:
    """Draw `conformal.coverage_by_class` or `coverage_by_group`, with what was promised.

    Args:
        table: Either table.
        error_rate: Of the sets; 1 less it is marked when given.
        title: Of the figure.
    """
    by = [] if table.columns[0] == "rows" else [str(table.columns[0])]
    parts = [*by, *(["rows"] if table["rows"].nunique() > 1 else [])]
    words = [table[c].astype(str) for c in parts] + [table["class"].map(diagnoses.title)]
    named = table.assign(label=[", ".join(row) for row in zip(*words, strict=True)])
    figure = marks.interval_figure(
        named, "label", "value", title=title, axis="Share of images whose set holds their class"
    )
    figure.update_layout(title={"subtitle": {"text": _wrapped(WARNING)}})
    figure.update_layout(margin={"t": 104}, height=figure.layout.height + 50)
    if error_rate is not None:
        figure.add_vline(1 - error_rate, line=marks.CHANCE)
        place = {"x": 1 - error_rate, "y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(place, text="promised", showarrow=False)
    return figure


def referral_table(
    table: pd.DataFrame, *, rows: str = "", title: str = "Refer what is uncertain to an expert"
) -> go.Figure:
    """Draw what each rule refers, and what it finds alone and with an expert who is always right.

    Args:
        table: `referral.referral_table`.
        rows: `out of fold` or `test`; empty: those of the first row.
        title: Of the figure.
    """
    own = table[table["rows"] == (rows or table["rows"].iloc[0])]
    names = [_RULES[r].format(s) for r, s in zip(own["rule"], own["setting"], strict=True)]
    heads = ("Referred", "Sensitivity", "Specificity")
    figure = make_subplots(cols=3, subplot_titles=heads, horizontal_spacing=0.03)
    figure.update_layout(theme.layout(title, "", "", height=180 + 40 * len(own)))
    for col, measure in enumerate(("referred", "sensitivity", "specificity"), start=1):
        kinds = ("",) if col == 1 else ("", "assisted_")
        for kind in kinds:
            places = np.arange(len(own)) + (0 if col == 1 else _APART if kind else -_APART)
            dots = _estimates(own, kind + measure, places, legend=col == 2)
            figure.add_trace(dots, row=1, col=col)
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickvals=list(range(len(own))), ticktext=names)
    figure.update_yaxes(range=[len(own) - 0.5, -0.5], zeroline=False)
    figure.update_yaxes(showticklabels=False, ticks="", col=2)
    figure.update_yaxes(showticklabels=False, ticks="", col=3)
    return figure.update_layout(
        margin={"t": 90}, legend={"orientation": "h", "y": -0.12, "yanchor": "top", "x": 0}
    )


def _estimates(
    table: pd.DataFrame, measure: str, places: np.ndarray, *, legend: bool
) -> go.Scatter:
    assisted = measure.startswith("assisted")
    colour = theme.INK_ON_ANY if measure == "referred" else theme.SERIES[1 if assisted else 0]
    return go.Scatter(
        x=table[measure],
        y=places,
        error_x=_arms(table, measure, f"{measure}_low", f"{measure}_high"),
        mode="markers",
        marker={"size": 9, "color": colour, "symbol": "diamond" if assisted else "circle"},
        name="with an expert who is always right" if assisted else "the model, on what it keeps",
        showlegend=legend,
        hovertemplate="%{x:.1%}<extra></extra>",
    )


def _arms(table: pd.DataFrame, value: str, low: str, high: str) -> dict[str, object]:
    middle, lower, upper = (pd.to_numeric(table[c]).to_numpy() for c in (value, low, high))
    arms = {"array": np.maximum(upper - middle, 0), "arrayminus": np.maximum(middle - lower, 0)}
    return {"type": "data", "thickness": 1.8, "width": 4, **arms}


def _wrapped(text: str) -> str:
    first, _, rest = text.partition(": ")
    return f"{first}:<br>{rest}"
