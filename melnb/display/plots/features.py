"""Figures of features: what there is of each, permutation importance, partial dependence."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.display.plots import strokes
from melnb.tables import diagnoses
from melnb.tables.within_patient import mean_and_deviation

# Figures of partial dependence: what a model says when a feature alone is changed.

MISSING = "missing"

_ACROSS = 3  # panels
_PANEL = 250  # pixels of height
_TOP = 124  # pixels for title, legend and the panels' names
_SHARE_TOP = 5.0  # bars of shares fill a fifth of a panel


def partial_dependence(
    table: pd.DataFrame,
    *,
    axis: str = "Mean prediction",
    title: str = "What each feature does, all else as it is",
) -> go.Figure:
    """Draw partial dependence, a panel for each feature, all of one scale.

    Friedman 2001, Annals of Statistics 29:1189. Numbers are lines over the bands of their
    intervals, words and missing values are points; the grey bars are the shares of images that
    have such a value, for where there are none a line says little.

    Args:
        table: `feature`, `x` (a number or a word; NaN: missing), `model`, `value`, `low`, `high`,
            `share`.
        axis: What a value is.
        title: Of the figure.
    """
    names = list(dict.fromkeys(table["feature"]))
    rows, across = max(1, math.ceil(len(names) / _ACROSS)), min(_ACROSS, max(1, len(names)))
    height = _PANEL * rows + 130
    figure = make_subplots(
        rows, across, subplot_titles=[name.replace("_", " ") for name in names],
        specs=[[{"secondary_y": True}] * across] * rows,
        horizontal_spacing=0.06, vertical_spacing=min(0.3, 90 / height),
    )  # fmt: skip
    figure.update_layout(theme.layout(title, "", "", height=height))
    figure.update_annotations(font_size=13)
    models = {model: k for k, model in enumerate(dict.fromkeys(table["model"]))}
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
    top = _TOP if len(models) > 1 else _TOP - 28
    legend = {"orientation": "h", "yanchor": "bottom", "x": 0, "y": 1 + 26 / (height - top - 56)}
    words = "grey: share of the images" if names else "no feature"
    figure.update_layout(title_subtitle_text=words, margin_t=top, legend=legend)
    return figure.update_layout(showlegend=len(models) > 1)


def _add_panel(
    figure: go.Figure, rows: pd.DataFrame, models: dict[str, int], place: dict[str, int]
) -> None:
    """Add one feature: its shares at the bottom, then each model."""
    rows, ticks, gap = _placed(rows)
    bars = rows.drop_duplicates("at").sort_values("at")
    figure.add_bar(
        x=bars["at"], y=bars["share"], width=0.7 * gap, customdata=bars["name"], showlegend=False,
        marker={"color": theme.GREY, "opacity": 0.35, "line": {"color": theme.GREY, "width": 1}},
        hovertemplate="%{customdata}: %{y:.1%} of the images<extra></extra>", **place,
    )  # fmt: skip
    top = _SHARE_TOP * max(float(bars["share"].fillna(0).max()), 1e-9)
    figure.update_yaxes(range=[0, top], **place, secondary_y=False)
    if ticks:
        figure.update_xaxes(tickvals=[*ticks], ticktext=[*ticks.values()], **place)
    if rows["number"].any():
        figure.update_xaxes(tickangle=0, **place)
    for model, k in models.items():
        mine = rows[rows["model"] == model]
        line, points = mine[mine["number"]].sort_values("at"), mine[~mine["number"]]
        colour = theme.SERIES[k % len(theme.SERIES)]
        shared = {"name": model, "legendgroup": model, "secondary_y": True, **place}
        named = {trace.name for trace in figure.data}
        if len(line):
            _add_line(figure, line, colour, shared | {"showlegend": model not in named})
            named |= {model}
        if len(points):
            aside = 0.5 * gap * (k - (len(models) - 1) / 2) / len(models)
            shifted = points.assign(at=points["at"] + aside)
            _add_points(figure, shifted, colour, shared | {"showlegend": model not in named})


def _placed(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[float, str], float]:
    """Return the rows of a feature with their places on its axis.

    Returns:
        The rows with `at`, `name` and whether x is a `number`; the ticks by place, none where
        plotly's own will do; the least gap between two places.
    """
    numeric = rows["x"].notna()
    values = list(dict.fromkeys(rows.loc[numeric, "x"]))
    words = any(isinstance(value, str) for value in values)
    places = {value: float(k if words else value) for k, value in enumerate(values)}
    at = np.unique([*places.values()])
    gap = 1.0 if words or not mean_and_deviation(at)[1] else float(np.diff(at).min())
    end = max(at[-1] + gap, at[-1] + 0.3 * np.ptp(at)) if len(at) else 0.0
    placed = rows.assign(
        at=rows["x"].map(places).where(numeric, end).astype(float),
        name=[(x if words else f"{x:.4g}") if x == x else MISSING for x in rows["x"]],
        number=numeric & (not words),
    ).sort_values("at", kind="stable")
    ticks = {place: str(value) for value, place in places.items()} if words else {}
    if not numeric.all():
        ticks = (ticks or _round_ticks(at)) | {float(end): MISSING}
    return placed, ticks, gap


def _round_ticks(at: np.ndarray) -> dict[float, str]:
    """Return some three to seven round numbers within places; they stand beside `missing`."""
    if not mean_and_deviation(at)[1]:
        return {float(place): f"{place:.4g}" for place in at[:1]}
    rough = float(np.ptp(at)) / 5
    scale = 10.0 ** math.floor(math.log10(rough))
    step = scale * next(s for s in (1, 2, 5, 10) if s * scale >= rough)
    first, last = math.ceil(at[0] / step - 1e-9), math.floor(at[-1] / step + 1e-9)
    return {k * step: f"{k * step:.6g}" for k in range(first, last + 1)}


def _add_line(
    figure: go.Figure, rows: pd.DataFrame, colour: str, shared: dict[str, object]
) -> None:
    """Add a line over the band of its intervals, where there are any."""
    if rows["low"].notna().all():
        tint = "rgba({}, {}, {}, 0.16)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
        edge = shared | {"showlegend": False, "hoverinfo": "skip", "line_width": 0, "name": None}
        figure.add_scatter(x=rows["at"], y=rows["high"], mode="lines", **edge)
        fill = {"fill": "tonexty", "fillcolor": tint}
        figure.add_scatter(x=rows["at"], y=rows["low"], mode="lines", **fill, **edge)
    figure.add_scatter(
        x=rows["at"], y=rows["value"], mode="lines+markers", line={"color": colour, "width": 2.5},
        marker={"color": colour, "size": 4}, **_hover(rows), **shared,
    )  # fmt: skip


def _add_points(
    figure: go.Figure, rows: pd.DataFrame, colour: str, shared: dict[str, object]
) -> None:
    """Add points with their intervals."""
    whiskers = {
        "type": "data", "array": rows["high"] - rows["value"],
        "arrayminus": rows["value"] - rows["low"], "thickness": 2, "width": 4,
    }  # fmt: skip
    figure.add_scatter(
        x=rows["at"], y=rows["value"], mode="markers", error_y=whiskers,
        marker={"color": colour, "size": 8}, **_hover(rows), **shared,
    )  # fmt: skip


def _hover(rows: pd.DataFrame) -> dict[str, object]:
    hover = "%{customdata[0]}: %{y:.4f} (%{customdata[1]:.4f} – %{customdata[2]:.4f})"
    return {"customdata": rows[["name", "low", "high"]], "hovertemplate": hover}


def _span(table: pd.DataFrame) -> list[float]:
    """Return a range that holds every value and interval."""
    values = table[["value", "low", "high"]].to_numpy(dtype=float)
    if not np.isfinite(values).any():
        return [0.0, 1.0]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(high - low, 1e-6)
    return [low - 0.06 * room, high + 0.08 * room]


_ROUNDING = 1e-9  # what it leaves of a mean of 0, in deviations


def feature_overview(
    table: pd.DataFrame, *, title: str = "What is known of the images"
) -> go.Figure:
    """Draw `feature_rows.feature_overview`: what share of the images each feature is known for."""
    kept = table[table["kind"] != "left out"]
    figure = go.Figure(layout=theme.layout(title, "Known for", "", height=130 + 26 * len(kept)))
    figure.update_layout(barmode="overlay", bargap=0.3, margin_t=76)
    figure.update_layout(
        legend={"orientation": "h", "yanchor": "bottom", "y": 1, "x": 1, "xanchor": "right"}
    )
    for kind, colour in (("number", theme.BLUE), ("word", theme.GREEN)):
        of_kind = kept[kept["kind"] == kind]
        if len(of_kind):
            figure.add_bar(
                x=1 - of_kind["missing"],
                y=of_kind["feature"],
                orientation="h",
                marker={"color": colour},
                text=[_words(row) for _, row in of_kind.iterrows()],
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
    figure = strokes.interval_figure(ranked, "feature", "value", title=title, axis=axis)
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
    return figure.add_vline(0, line=strokes.CHANCE).update_layout(showlegend=False)


def _words(row: pd.Series) -> str:
    """Say what a feature is like, beside its bar."""
    if row["note"] or row["kind"] == "word":
        return f"{row['levels']} words, {row['note']}" if row["kind"] == "word" else row["note"]
    if row["missing"] == 1:
        return "empty"
    mean = row["mean"] if abs(row["mean"]) > _ROUNDING * row["sd"] else 0.0
    return " ± ".join(f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}" for v in (mean, row["sd"]))


# A map of embeddings.

UNLABELLED = "unlabelled"


def embedding_map(
    table: pd.DataFrame, *, title: str = "How the encoder lays the pictures out"
) -> go.Figure:
    """Draw the two directions in which the vectors vary most, a point for each picture.

    Args:
        table: Of `embeddings.embedding_map`: `image_id`, `target`, `x`, `y`, and in
            `attrs["explained"]` the share of the variance along each.
        title: Of the figure.
    """
    first, second = (f"{share:.0%}" for share in table.attrs["explained"])
    figure = go.Figure(
        layout=theme.layout(
            title, f"First component ({first} of the variance)", f"Second ({second})", height=460
        )
    )
    counts = table["target"].fillna(UNLABELLED).value_counts()
    for k, name in enumerate(counts.index):  # the rarest last, on top
        members = table[table["target"].fillna(UNLABELLED) == name]
        figure.add_scattergl(
            x=members["x"], y=members["y"], mode="markers", text=members["image_id"],
            name=f"{diagnoses.title(str(name))} (n = {len(members):,})",
            marker={"size": 6, "opacity": 0.7, "color": theme.class_colour(str(name), k)},
            hovertemplate="%{text}",
        )  # fmt: skip
    return figure
