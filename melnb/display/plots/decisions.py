"""Figures of decisions: thresholds, decision curves, and what is left to an expert."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.display.plots import strokes
from melnb.display.plots.discrimination import on_precision_recall
from melnb.evaluation.decisions.conformal import WARNING
from melnb.evaluation.discrimination.ranking import thin_curve
from melnb.evaluation.rows import binary_rows
from melnb.tables import diagnoses

# What weights for classes bring over the most probable class.


def class_gain(
    table: pd.DataFrame, *, title: str = "What does another decision of classes bring?"
) -> go.Figure | None:
    """Draw `class_gain.class_gain`: nested gains with limits, naive ones open; None: no row.

    Of costs the share that is saved, so that all stand on one axis. Accuracies are left to the
    table, and so is what cannot be estimated.
    """
    drawn = table[(table["metric"] != "accuracy") & table["gain"].notna()]
    if drawn.empty:
        return None
    words = {"balanced accuracy": "", "macro F1": "", "mean cost": " (share saved)"}
    whole = drawn["most_probable"].where(drawn["metric"] == "mean cost", 1.0).astype(float)
    ends = {name: drawn[name].astype(float) / whole for name in ("gain", "low", "high")}
    labelled = drawn.assign(label=drawn["rule"] + drawn["metric"].map(words), **ends)
    naive = labelled["rows"] == "naive"
    honest = labelled[labelled["rows"] == "nested"]
    figure = strokes.interval_figure(honest, "label", "gain", title=title, axis="Gain")
    figure.data[0].update(name="nested: fitted on the other folds", showlegend=True)
    hollow = {"symbol": "circle-open", "size": 12, "color": theme.VERMILLION, "line": {"width": 2}}
    figure.add_scatter(
        x=labelled.loc[naive, "gain"],
        y=labelled.loc[naive, "label"].map(strokes.wrapped),
        mode="markers",
        name="naive: fitted on these rows",
        marker=hollow,
        hovertemplate="%{x:.3f}",
    )
    figure.add_vline(x=0, line=strokes.CHANCE)
    above = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
    return figure.update_layout(margin={"t": 76}, legend=above, height=figure.layout.height + 40)


# Figures of worth: a model against biopsying all and none, over threshold probabilities.

_BELOW = 0.2  # of the axis lies below 0: what is worse than that is worse enough


def net_benefit_table(
    tables: strokes.Tables, *, threshold: float | None = None, title: str = "Decision curve"
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
        strokes.add_band(
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
            strokes.add_threshold(figure, threshold, top)
    for label, table in curves.items():
        if label not in whole:
            figure.add_scatter(
                x=[None], y=[None], name=f"{label} {table['note'].iloc[0]}", showlegend=True
            )
    return figure.update_xaxes(tickformat=".0%").update_layout(hovermode="x unified")


def standardised_net_benefit(
    table: pd.DataFrame, *, title: str = "Standardised net benefit"
) -> go.Figure:
    """Draw the same divided by the prevalence: 1 is the worth of perfect predictions.

    Args:
        table: `net_benefit.net_benefit_table`.
        title: Of the figure.
    """
    ends = {f"net_benefit{end}": table[f"standardised{end}"] for end in ("", "_low", "_high")}
    everyone = table["biopsy_all"] / table["prevalence"]
    figure = net_benefit_table(table.assign(**ends, biopsy_all=everyone), title=title)
    return figure.update_yaxes(title_text="Net benefit (share of the greatest)")


def _top(tables: Mapping[str, pd.DataFrame]) -> float:
    columns = ["net_benefit", "net_benefit_high", "biopsy_all"]
    return max(1e-6, *(float(table[columns].max().max()) for table in tables.values()))


# Figures of thresholds: the chosen one, all others, and the scores that they cut.


def operating_point(
    point: pd.DataFrame,
    *,
    roc: strokes.Tables,
    precision_recall: strokes.Tables,
    positive: str,
    title: str = "Operating point",
) -> go.Figure:
    """Draw the operating point on both curves, and its four counts: the explorer's static twin.

    Args:
        point: `operating_point.operating_point`.
        roc: `ranking.roc_curve`; of several by label, the first.
        precision_recall: `ranking.precision_recall_curve`, as well.
        positive: The class looked for.
        title: Of the figure.
    """
    row = point.iloc[0]
    roc, precision_recall = strokes.first_table(roc), strokes.first_table(precision_recall)
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
        strokes.add_curves(figure, table, x, y, col=col)
        strokes.add_point(figure, *spot, point, col=col)
    counts = pd.DataFrame([[row["tp"], row["fn"]], [row["fp"], row["tn"]]])
    counts.index = counts.columns = pd.Index([diagnoses.title(positive), "Other"])
    figure.add_trace(strokes.heat_map(counts), row=1, col=3)
    names = ("1 − specificity", "Recall (sensitivity)", "Called")
    for col, name in enumerate(names, start=1):
        figure.update_xaxes(title_text=name, row=1, col=col, **(strokes.UNIT if col < 3 else {}))
    for col, name in enumerate(("Sensitivity", "Precision (PPV)", "Truth"), start=1):
        figure.update_yaxes(title_text=name, row=1, col=col, **(strokes.UNIT if col < 3 else {}))
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
    drawn = table.iloc[strokes.spread_rows(table["threshold"])]
    shown = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV"}
    for k, (column, name) in enumerate((shown | {"flagged": "Flagged"}).items()):
        line = {"color": theme.SERIES[k], "dash": "dot" if column == "flagged" else "solid"}
        figure.add_scatter(
            x=drawn["threshold"], y=drawn[column], name=name, mode="lines", line=line
        )
    if strokes.are_low(table["threshold"]):
        figure.update_xaxes(**strokes.LOG)
    if threshold is not None:
        strokes.add_threshold(figure, threshold, 1.0)
    return figure.update_yaxes(**strokes.UNIT).update_layout(hovermode="x unified")


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
    edges = strokes.score_edges(rows["score"], bins)
    if strokes.are_low(rows["score"]):
        figure.update_xaxes(**strokes.LOG)
    tallest = 0.0
    for truth, name in ((False, "Other"), (True, diagnoses.title(positive))):
        scores = rows.loc[rows["truth"] == truth, "score"]
        tallest = max(tallest, _add_heap(figure, scores, edges, name, theme.TRUTHS[truth]))
    if threshold is not None:
        strokes.add_threshold(figure, threshold, tallest)
    return figure.update_yaxes(rangemode="tozero")


def unjudged_scores(
    predictions: pd.DataFrame,
    *,
    positive: str,
    threshold: float | None = None,
    bins: int = 60,
    title: str = "Scores of rows without a truth",
) -> go.Figure:
    """Draw the scores of a class, of rows without a truth.

    Args:
        predictions: Predictions table; rows with a truth are left out.
        positive: The class looked for.
        threshold: Marked when given, and known.
        bins: Bars across; of equal width on the axis that is drawn.
        title: Of the figure.
    """
    scores = predictions.loc[predictions["truth"].isna(), f"p_{positive}"].reset_index(drop=True)
    figure = go.Figure(layout=theme.layout(title, "Score", "Share of the rows"))
    if scores.empty:
        return figure
    if strokes.are_low(scores):
        figure.update_xaxes(**strokes.LOG)
    edges = strokes.score_edges(scores, bins)
    tallest = _add_heap(figure, scores, edges, "No truth known", theme.GREY)
    if threshold is not None:
        strokes.add_threshold(figure, threshold, tallest)
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


_RULES = {
    "none": "nobody is referred",
    "set": "set not of one class, error rate {:g}",
    "band": "odds within {:g} × of the threshold",
}
_APART = 0.15  # of a row, so that two estimates do not hide each other


def risk_coverage(
    tables: strokes.Tables,
    *,
    risk: str = "Share of accepted calls that are wrong",
    title: str = "Risk against coverage",
) -> go.Figure:
    """Draw the risk among the calls accepted against their share.

    Args:
        tables: `selective.risk_coverage`, or several by label.
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
    figure = strokes.interval_figure(
        named, "label", "value", title=title, axis="Share of images whose set holds their class"
    )
    figure.update_layout(title={"subtitle": {"text": _wrapped(WARNING)}})
    figure.update_layout(margin={"t": 104}, height=figure.layout.height + 50)
    if error_rate is not None:
        figure.add_vline(1 - error_rate, line=strokes.CHANCE)
        place = {"x": 1 - error_rate, "y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(place, text="promised", showarrow=False)
    return figure


def referral_table(
    table: pd.DataFrame, *, rows: str = "", title: str = "Refer what is uncertain to an expert"
) -> go.Figure:
    """Draw what each rule refers, and what it finds alone and with an expert who is always right.

    Args:
        table: `selective.referral_table`.
        rows: `out of fold` or `test`; empty: those of the first row.
        title: Of the figure.
    """
    rules = table[table["rows"] == (rows or table["rows"].iloc[0])]
    names = [_RULES[r].format(s) for r, s in zip(rules["rule"], rules["setting"], strict=True)]
    heads = ("Referred", "Sensitivity", "Specificity")
    figure = make_subplots(cols=3, subplot_titles=heads, horizontal_spacing=0.03)
    figure.update_layout(theme.layout(title, "", "", height=180 + 40 * len(rules)))
    for col, measure in enumerate(("referred", "sensitivity", "specificity"), start=1):
        kinds = ("",) if col == 1 else ("", "assisted_")
        for kind in kinds:
            places = np.arange(len(rules)) + (0 if col == 1 else _APART if kind else -_APART)
            dots = _estimates(rules, kind + measure, places, legend=col == 2)
            figure.add_trace(dots, row=1, col=col)
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickvals=list(range(len(rules))), ticktext=names)
    figure.update_yaxes(range=[len(rules) - 0.5, -0.5], zeroline=False)
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
