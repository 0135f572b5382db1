"""Figures of features: what there is of each, what a model would lose without it, what it does."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.display.plots import marks

_ACROSS = 3  # panels
_PANEL = 250  # pixels of height
_TOP = 124  # pixels for title, legend and the panels' names
_SHARE_TOP = 5.0  # bars of shares fill a fifth of a panel
_ROUNDING = 1e-9  # what it leaves of a mean of 0, in deviations
_LEGEND = {"orientation": "h", "yanchor": "bottom"}


def feature_overview(
    table: pd.DataFrame, *, title: str = "What is known of the images"
) -> go.Figure:
    """Draw `tables.feature_overview`: what share of the images each feature is known for."""
    kept = table[table["kind"] != "left out"]
    figure = go.Figure(layout=theme.layout(title, "Known for", "", height=130 + 26 * len(kept)))
    figure.update_layout(barmode="overlay", bargap=0.3, margin_t=76)
    figure.update_layout(legend=_LEGEND | {"y": 1.0, "x": 1, "xanchor": "right"})
    for kind, colour in (("number", theme.BLUE), ("word", theme.GREEN)):
        own = kept[kept["kind"] == kind]
        if len(own):
            figure.add_bar(
                x=1 - own["missing"],
                y=own["feature"],
                orientation="h",
                marker={"color": colour},
                text=[_words(row) for _, row in own.iterrows()],
                textposition="outside",
                cliponaxis=False,
                name=f"{kind}s",
                hovertemplate="%{y}: known for %{x:.1%}<extra></extra>",
            )
    figure.update_xaxes(range=[0, 1.45], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    order = [*reversed(kept["feature"].tolist())]
    return figure.update_yaxes(categoryorder="array", categoryarray=order, showgrid=False)


def feature_importance(
    table: pd.DataFrame,
    *,
    axis: str = "AUC lost when the feature is shuffled",
    most: int = 30,
    title: str = "What the model would lose without each feature",
) -> go.Figure:
    """Draw importances with their intervals, the greatest on top.

    Args:
        table: `feature`, `value`, `low`, `high` and, if they are there, `n` and `note`; the note
            stands in place of a value that is NaN.
        axis: What a value is.
        most: Features drawn; a subtitle says how many more there are.
        title: Of the figure.
    """
    ranked = table.sort_values("value", ascending=False, kind="stable").head(most)
    figure = marks.interval_figure(ranked, "feature", "value", title=title, axis=axis)
    if len(table) > most:
        words = f"the first {most} of {len(table)} features"
        figure.update_layout(title_subtitle_text=words, margin_t=76)
    lost = ranked[pd.to_numeric(ranked["value"]).isna()]
    if len(lost):
        figure.add_scatter(
            x=np.zeros(len(lost)),
            y=lost["feature"],
            mode="text",
            text=lost.get("note", "not estimable"),
            textposition="middle right",
            textfont={"color": theme.INK_ON_ANY},
            hoverinfo="skip",
        )
    return figure.add_vline(0, line=marks.CHANCE).update_layout(showlegend=False)


def partial_dependence(
    table: pd.DataFrame,
    *,
    axis: str = "Mean prediction",
    title: str = "What each feature does, all else as it is",
) -> go.Figure:
    """Draw partial dependence, a panel for each feature, all of one scale.

    Friedman 2001, Annals of Statistics 29:1189. Numbers are lines over the bands of their
    intervals, words are points; the grey bars are the shares of images that have such a value, for
    where there are none a line says little.

    Args:
        table: `feature`, `x` (a number or a word), `model`, `value`, `low`, `high`, `share`.
        axis: What a value is.
        title: Of the figure.
    """
    names = list(dict.fromkeys(table["feature"]))
    rows = max(1, math.ceil(len(names) / _ACROSS))
    across = min(_ACROSS, max(1, len(names)))
    height = _PANEL * rows + 130
    figure = make_subplots(
        rows, across, subplot_titles=names, specs=[[{"secondary_y": True}] * across] * rows,
        horizontal_spacing=0.06, vertical_spacing=min(0.3, 90 / height),
    )  # fmt: skip
    figure.update_layout(theme.layout(title, "", "", height=height))
    figure.update_annotations(font_size=13)
    models = {model: k for k, model in enumerate(dict.fromkeys(table["model"]))}
    top = _TOP if len(models) > 1 else _TOP - 28
    for k, name in enumerate(names):
        place = {"row": k // _ACROSS + 1, "col": k % _ACROSS + 1}
        _add_panel(figure, table[table["feature"] == name], models, place)
        if k % _ACROSS == 0:
            figure.update_yaxes(title_text=axis, **place, secondary_y=True)
    figure.update_yaxes(visible=False, secondary_y=False)
    figure.update_yaxes(
        range=_span(table), side="left", tickmode="auto", nticks=6, showticklabels=False,
        secondary_y=True,
    )  # fmt: skip
    figure.update_yaxes(showticklabels=True, col=1, secondary_y=True)
    figure.update_layout(
        title_subtitle_text="grey: share of the images" if names else "no feature",
        margin_t=top,
        showlegend=len(models) > 1,
        legend=_LEGEND | {"y": 1 + 26 / (height - top - 56), "x": 0},
    )
    return figure


def _add_panel(
    figure: go.Figure, own: pd.DataFrame, models: dict[str, int], place: dict[str, int]
) -> None:
    """Add one feature: its shares at the bottom, then each model."""
    words = bool(pd.to_numeric(own["x"], errors="coerce").isna().any())
    values = list(dict.fromkeys(own["x"] if words else np.sort(own["x"].astype(float))))
    at = pd.Series({x: k if words else x for k, x in enumerate(values)}, dtype=float)
    shares = own.drop_duplicates("x").set_index("x")["share"].reindex(values).fillna(0.0)
    gap = float(np.diff(np.sort(at)).min()) if len(at) > 1 else 1.0
    figure.add_bar(
        x=at, y=shares, width=0.7 * gap, marker={"color": theme.GREY, "opacity": 0.35},
        marker_line={"color": theme.GREY, "width": 1}, customdata=values, showlegend=False,
        hovertemplate="%{customdata}: %{y:.1%} of the images<extra></extra>", **place,
    )  # fmt: skip
    top = _SHARE_TOP * max(float(shares.max()), 1e-9)
    figure.update_yaxes(range=[0, top], **place, secondary_y=False)
    named = {trace.name for trace in figure.data}
    for model, k in models.items():
        mine = own[own["model"] == model]
        aside = 0.5 * (k - (len(models) - 1) / 2) / len(models) if words else 0.0
        x = at.reindex(mine["x"]).to_numpy() + aside
        _add_model(figure, mine.assign(at=x), model, k, words, place, model not in named)
    if words:
        texts = [str(value) for value in values]
        figure.update_xaxes(tickvals=at, ticktext=texts, showgrid=False, **place)


def _add_model(
    figure: go.Figure, mine: pd.DataFrame, model: str, k: int, words: bool,
    place: dict[str, int], named: bool,
) -> None:  # fmt: skip
    """Add one model's line over its band, or its points with their intervals."""
    colour = theme.SERIES[k % len(theme.SERIES)]
    shared = {"legendgroup": model, "secondary_y": True, **place}
    mine = mine if words else mine.sort_values("at")
    if not words and mine["low"].notna().all():
        tint = "rgba({}, {}, {}, 0.16)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
        edge = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
        figure.add_scatter(x=mine["at"], y=mine["high"], **edge, **shared)
        figure.add_scatter(
            x=mine["at"], y=mine["low"], fill="tonexty", fillcolor=tint, **edge, **shared
        )
    whiskers = {
        "type": "data", "array": mine["high"] - mine["value"],
        "arrayminus": mine["value"] - mine["low"], "thickness": 2, "width": 4,
    }  # fmt: skip
    figure.add_scatter(
        x=mine["at"],
        y=mine["value"],
        mode="markers" if words else "lines+markers",
        line={"color": colour, "width": 2.5},
        marker={"color": colour, "size": 9 if words else 4},
        error_y=whiskers if words else None,
        customdata=mine[["x", "low", "high"]],
        hovertemplate="%{customdata[0]}: %{y:.4f} (%{customdata[1]:.4f} – %{customdata[2]:.4f})",
        name=model,
        showlegend=named,
        **shared,
    )


def _span(table: pd.DataFrame) -> list[float]:
    """Return a range that holds every value and interval."""
    values = table[["value", "low", "high"]].to_numpy(dtype=float)
    if not np.isfinite(values).any():
        return [0.0, 1.0]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(high - low, 1e-6)
    return [low - 0.06 * room, high + 0.08 * room]


def _words(row: pd.Series) -> str:
    """Say what a feature is like, beside its bar."""
    if row["note"] or row["kind"] == "word":
        return f"{row['levels']} words, {row['note']}" if row["kind"] == "word" else row["note"]
    if row["missing"] == 1:
        return "empty"
    mean = row["mean"] if abs(row["mean"]) > _ROUNDING * row["sd"] else 0.0
    return " ± ".join(f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}" for v in (mean, row["sd"]))
