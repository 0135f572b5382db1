"""Figures of groups: levels of the images beside each other, and lesions among their patient's."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import cells, theme
from melnb.display.plots import strokes
from melnb.evaluation.patient_context import RANDOM, STRATEGIES, WITHIN
from melnb.evaluation.subgroups.subgroup_metrics import ALL
from melnb.tables import diagnoses

_TITLES = {
    "sex": "Sex", "age": "Age (years)", "site": "Site", "skin_tone": "Skin tone",
    "diagnosis": "Diagnosis", "source": "Source", "picture_size": "Picture size",
}  # fmt: skip
_FEATURES = {
    "score_z": "Standard deviations from the patient's mean",
    "score_rank": "Rank among the patient's",
    "score_difference": "Difference from the patient's mean",
    "score_ratio": "Ratio to the patient's mean",
    "score_lof": "Outlier factor of the score",
    "measures_lof": "Outlier factor of colours and size",
}
_LINES = dict(
    zip(
        STRATEGIES, ((theme.BLUE, "solid"), (theme.VERMILLION, "dash"), (theme.GREY, "dot")),
        strict=True,
    )
)  # fmt: skip
_PAIR = ["lowest", "highest"]
_ROW = 25  # pixels
_SHOWN = 0.05  # of p, below which a gap is drawn full


def subgroup_metrics(table: pd.DataFrame, *, metric: str = "AUC", title: str = "") -> go.Figure:
    """Draw one metric of `evaluation.subgroup_metrics`: a row per level, the pooled as a line.

    Args:
        table: `subgroup_metrics.subgroup_metrics`.
        metric: One of its metrics.
        title: Of the figure; empty: the metric's.

    Raises:
        ValueError: The table has no such metric.
    """
    chosen = table[table["metric"] == metric].reset_index(drop=True)
    if chosen.empty:
        raise ValueError(f"metric is {metric!r}: use one of {sorted(table['metric'].unique())}")
    pooled, levels = chosen[chosen["column"] == ALL], chosen[chosen["column"] != ALL]
    levels = levels[~levels["column"].isin(saying_truth(levels))].reset_index(drop=True)
    places, labels = _places(levels)
    words = title or f"{_name(metric)} by subgroup"
    height = 150 + _ROW * max(len(labels), 2)
    figure = go.Figure(layout=theme.layout(words, _name(metric), "", height=height))
    figure.update_layout(title_subtitle_text="in brackets: positives of images", margin_t=76)
    shown = levels[levels["value"].notna()]
    low, high = _span(chosen)
    for _, row in pooled[pooled["value"].notna()].iterrows():
        if row["low"] == row["low"]:
            figure.add_vrect(
                row["low"], row["high"], fillcolor=theme.GREY, opacity=0.16, line_width=0
            )
        figure.add_vline(row["value"], line={"color": theme.INK_ON_ANY, "dash": "dash"})
    if metric == "observed − expected":
        figure.add_vline(0, line=strokes.CHANCE)
    _add_estimates(figure, shown, places[levels["value"].notna()])
    _add_reasons(figure, levels[levels["value"].isna()], places[levels["value"].isna()], low)
    figure.update_xaxes(range=[low, high])
    return _on_rows(figure, labels)


def saying_truth(levels: pd.DataFrame) -> list[str]:
    """Return the columns that say the truth, as a diagnosis does: all of a level, or none, is
    positive, so that its sensitivity and specificity are those of all images over again.
    """
    whole = (levels["positives"] == 0) | (levels["positives"] == levels["n"])
    mixed = {*levels.loc[~whole, "column"]}
    return [c for c in dict.fromkeys(levels["column"]) if c not in mixed]


def gap_tests(table: pd.DataFrame, *, title: str = "Largest gaps between levels") -> go.Figure:
    """Draw `gaps.gap_tests`: the largest gap of each column, and the least that would be found.

    A full mark is a gap shown (p below 0.05 after Holm), an open one is none shown.
    """
    named = table.assign(n=table["levels"], positives=np.nan).reset_index(drop=True)
    pairs = [f": {a} → {b}" if isinstance(a, str) else "" for a, b in named[_PAIR].to_numpy()]
    named["level"] = named["metric"].map(_name) + pairs
    places, labels = _places(named)
    height = 160 + _ROW * max(len(labels), 2)
    axis = "Highest less lowest level"
    figure = go.Figure(layout=theme.layout(title, axis, "", height=height))
    estimable = named["gap"].notna()
    low, high = _span(named.assign(value=named["gap"]), also=("detectable",))
    low = min(low, -0.02)
    figure.add_vline(0, line=strokes.CHANCE)
    for shown, name in ((True, "gap shown"), (False, "no gap shown")):
        which = estimable & ((named["p_holm"] < _SHOWN) == shown)
        if which.any():
            words = named["p_holm"].map("p {:.2g} after Holm".format)
            rows = named[which].assign(value=named["gap"], word=words)
            _add_estimates(figure, rows, places[which], full=shown, name=name)
    if named["detectable"].notna().any():
        figure.add_scatter(
            x=named["detectable"],
            y=places,
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 13, "color": theme.VERMILLION},
            name="least gap found 4 times in 5",
            hovertemplate="%{x:.3f}",
        )
    _add_reasons(figure, named[~estimable], places[~estimable], low)
    figure.update_xaxes(range=[low, high])
    figure.update_layout(
        showlegend=True,
        margin_t=84,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    return _on_rows(figure, labels)


def top_k_sensitivity_curve(
    table: pd.DataFrame,
    *,
    title: str = "Found by looking at the k most suspicious of each patient",
) -> go.Figure:
    """Draw `patient_context.top_k_sensitivity_curve`, by image and by patient."""
    heads = ("Positive images found", "Patients of whom one was found")
    figure = make_subplots(cols=2, subplot_titles=heads, horizontal_spacing=0.08)
    figure.update_layout(theme.layout(title, "", "", height=420))
    for col, unit in enumerate(("image", "patient"), start=1):
        for strategy in STRATEGIES:
            curve = table[(table["unit"] == unit) & (table["strategy"] == strategy)]
            colour, dash = _LINES[strategy]
            if curve["low"].notna().any():
                _add_band(figure, curve, colour, col)
            figure.add_scatter(
                x=curve["k"],
                y=curve["value"],
                mode="lines+markers" if len(curve) < 2 else "lines",
                name=strategy,
                legendgroup=strategy,
                showlegend=col == 1,
                line={"color": colour, "dash": dash, "width": 3 if strategy == WITHIN else 2},
                customdata=np.stack([curve["found"], curve["n"], curve["seen"]], axis=1),
                hovertemplate="k = %{x}: %{y:.3f} (%{customdata[0]:.1f} of %{customdata[1]:,}, "
                "%{customdata[2]:,} pictures seen)",
                row=1,
                col=col,
            )
        figure.update_xaxes(title_text="k, pictures seen of each patient", row=1, col=col)
        figure.update_yaxes(**strokes.UNIT, row=1, col=col)
    figure.update_yaxes(title_text="Share found", row=1, col=1)
    figure.update_layout(margin={"t": 84, "b": 90})
    figure.update_layout(legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0})
    notes = table.loc[table["strategy"] != RANDOM, "note"].unique()
    return figure.update_layout(title_subtitle_text="; ".join(n for n in notes if n))


def ugly_duckling_gain(
    table: pd.DataFrame, *, title: str = "What knowing the patient's other lesions adds"
) -> go.Figure:
    """Draw `patient_context.ugly_duckling_gain`: right of 0, context helps."""
    several = table["rows"].nunique() > 1
    names = table["feature"].map(lambda name: _FEATURES.get(name, _name(name)))
    labelled = table.assign(label=names + (", " + table["rows"] if several else ""))
    figure = strokes.interval_figure(
        labelled, "label", "difference", title=title, axis="AUC with context − AUC of the score"
    )
    return figure.add_vline(0, line=strokes.CHANCE)


def _places(levels: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return the row of each level, and a label for each row: columns head their levels."""
    places, labels, column = [], [], None
    for _, row in levels.iterrows():
        if row["column"] != column:
            column = row["column"]
            labels.append(f"<b>{_TITLES.get(column, _name(column))}</b>")
        places.append(len(labels))
        level = diagnoses.title(row["level"]) if column == "diagnosis" else row["level"]
        counts = (
            f"{row['positives']:,} of {row['n']:,}" if row["positives"] == row["positives"] else ""
        )
        labels.append(f"{level} ({counts})" if counts else str(level))
    return np.array(places, dtype=int), labels


def _add_estimates(
    figure: go.Figure, rows: pd.DataFrame, places: np.ndarray, *, full: bool = True, name: str = ""
) -> None:
    words = rows["word"] if "word" in rows else rows["n"].map("n = {:,}".format)
    figure.add_scatter(
        x=rows["value"],
        y=places,
        error_x={
            "type": "data",
            "array": rows["high"] - rows["value"],
            "arrayminus": rows["value"] - rows["low"],
            "color": theme.BLUE,
            "thickness": 2,
            "width": 4,
        },
        mode="markers",
        marker={
            "size": 9,
            "color": theme.BLUE if full else "white",
            "line": {"width": 2, "color": theme.BLUE},
        },
        customdata=np.stack([rows["low"], rows["high"], words], axis=1),
        hovertemplate="%{x:.3f} (%{customdata[0]:.3f} – %{customdata[1]:.3f}), %{customdata[2]}",
        name=name or "estimate",
        showlegend=bool(name),
    )


def _add_reasons(figure: go.Figure, rows: pd.DataFrame, places: np.ndarray, x: float) -> None:
    """Write why a level has no estimate where its mark would be."""
    if len(rows):
        figure.add_scatter(
            x=[x] * len(rows),
            y=places,
            mode="text",
            text=" " + rows["note"].map(in_brief),
            textposition="middle right",
            textfont={"size": 11, "color": theme.INK_ON_ANY},
            hoverinfo="skip",
            showlegend=False,
        )


def in_brief(note: str) -> str:
    """Return a reason as short as a telephone has room for: `too few: 15 of 3 patients`."""
    few = re.match(r"suppressed: ([\d,]+) .*?row\(s\)(?: of ([\d,]+) (\w+?)(?:_id)?)?, fewer", note)
    if few:
        return f"too few: {few[1]}" + (f" of {few[2]} {few[3]}s" if few[2] else "")
    return cells.plain(note).removeprefix("not estimable: ")


def _add_band(figure: go.Figure, curve: pd.DataFrame, colour: str, col: int) -> None:
    figure.add_scatter(
        x=[*curve["k"], *curve["k"][::-1]],
        y=[*curve["high"], *curve["low"][::-1]],
        fill="toself",
        fillcolor=colour,
        opacity=0.14,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=col,
    )


def _span(rows: pd.DataFrame, also: tuple[str, ...] = ()) -> tuple[float, float]:
    """Return the ends of an axis that holds estimates and limits with some room."""
    cells = rows[["value", "low", "high", *also]].to_numpy(dtype=float)
    if not np.isfinite(cells).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    room = 0.04 * (high - low) or 0.05
    return low - room, high + room


def _on_rows(figure: go.Figure, labels: list[str]) -> go.Figure:
    rows = list(range(len(labels)))
    return figure.update_yaxes(
        tickvals=rows,
        ticktext=labels,
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        ticks="",
    )


def _name(metric: str) -> str:
    return metric[:1].upper() + metric[1:].replace("_", " ")
