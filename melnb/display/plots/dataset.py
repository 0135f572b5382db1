"""Figures of the data: who and what is in an images table, and how the folds share it out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.evaluation.summaries import cluster_column
from melnb.tables import diagnoses
from melnb.tables.checks import TEST
from melnb.tables.schema import IMAGE_COLUMNS, OPTIONAL_IMAGE_COLUMNS

UNKNOWN = "unknown"
UNLABELLED = "unlabelled"
_AGES = np.arange(0, 95, 5)


def class_counts(images: pd.DataFrame, *, column: str = "target") -> go.Figure:
    """Draw how many images each class has, the commonest on top.

    Args:
        images: Images table.
        column: `target` or `diagnosis`.
    """
    counts = images[column].fillna(UNLABELLED).value_counts()
    share = counts / counts.sum()
    figure = go.Figure(
        layout=theme.layout("Images of each class", "Images", "", height=130 + 36 * len(counts))
    )
    figure.add_bar(
        x=counts.to_numpy(),
        y=[diagnoses.title(str(name)) for name in counts.index],
        orientation="h",
        marker={"color": [theme.class_colour(str(n), k) for k, n in enumerate(counts.index)]},
        text=[f"{n:,}  ({s:.1%})" for n, s in zip(counts, share, strict=True)],
        textposition="outside",
        cliponaxis=False,
        name="images",
    )
    figure.update_xaxes(range=[0, 1.22 * float(counts.max())])
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def ages(images: pd.DataFrame, *, by: str = "target") -> go.Figure:
    """Draw the ages of each class in steps of five years, as a share of the class's known ages."""
    figure = go.Figure(layout=theme.layout("Age by class", "Age (years)", "Share of the class"))
    aged = images.dropna(subset=["age", by])
    for k, name in enumerate(_by_size(aged[by])):
        counts, _ = np.histogram(aged.loc[aged[by] == name, "age"], bins=_AGES)
        figure.add_scatter(
            x=_AGES[:-1],
            y=counts / max(1, counts.sum()),
            mode="lines+markers",
            line={"shape": "spline", "smoothing": 0.4, "color": theme.class_colour(name, k)},
            marker={"size": 5},
            name=f"{diagnoses.title(name)} (n = {counts.sum():,})",
        )
    return figure.update_yaxes(rangemode="tozero")


def shares_by_class(images: pd.DataFrame, column: str, *, by: str = "target") -> go.Figure:
    """Draw what share of each class has each value of a column.

    Args:
        images: Images table.
        column: Such as `sex`, `site` or `source`.
        by: The column of classes.
    """
    counts = pd.crosstab(images[by].fillna(UNLABELLED), images[column].fillna(UNKNOWN))
    shares = counts.div(counts.sum(axis=1), axis=0)
    titles = [f"{diagnoses.title(str(n))} ({counts.loc[n].sum():,})" for n in counts.index]
    figure = go.Figure(
        layout=theme.layout(
            f"{column.capitalize()} by class",
            "Share of the class",
            "",
            height=170 + 38 * len(counts),
            barmode="stack",
        )
    )
    for k, value in enumerate(_by_size(images[column].fillna(UNKNOWN))):
        colour = theme.GREY if value == UNKNOWN else theme.SERIES[k % (len(theme.SERIES) - 1)]
        figure.add_bar(
            x=shares[value],
            y=titles,
            orientation="h",
            name=value,
            marker={"color": colour},
            customdata=counts[value],
            hovertemplate="%{y}: %{x:.1%} (%{customdata:,} images)",
        )
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_layout(legend={"traceorder": "normal"})
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def missing_values(images: pd.DataFrame) -> go.Figure:
    """Draw the share of images that lack each column's value; a complete column shows 0%."""
    columns = [c for c in (*IMAGE_COLUMNS, *OPTIONAL_IMAGE_COLUMNS) if c in images.columns]
    share = images[columns].isna().mean()
    figure = go.Figure(
        layout=theme.layout("Missing values", "Share of images", "", height=130 + 24 * len(columns))
    )
    figure.add_bar(
        x=share.to_numpy(),
        y=columns,
        orientation="h",
        marker={"color": theme.GREY},
        text=[f"{value:.1%}" for value in share],
        textposition="outside",
        cliponaxis=False,
        name="missing",
    )
    figure.update_xaxes(range=[0, 1.1], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def images_per_group(images: pd.DataFrame, group: str = "") -> go.Figure:
    """Draw how many patients, or lesions, have one image, two images and so on.

    Args:
        images: Images table.
        group: `patient_id` or `lesion_id`; unknown ids are left out. Empty: patients where any is
            known, else lesions.
    """
    group = group or cluster_column(images) or "lesion_id"
    word = {"patient_id": "patient", "lesion_id": "lesion"}.get(group, group)
    sizes = images[group].dropna().value_counts()
    counts = sizes.value_counts().sort_index()
    title = f"Images of each {word} ({len(sizes):,} {word}s)"
    figure = go.Figure(layout=theme.layout(title, f"Images of one {word}", f"{word.capitalize()}s"))
    figure.add_bar(x=counts.index.to_numpy(), y=counts.to_numpy(), name=f"{word}s")
    if len(counts) and counts.max() > 50 * counts.min():
        figure.update_yaxes(type="log", dtick=1)
    return figure


def image_sizes(images: pd.DataFrame) -> go.Figure:
    """Draw the sizes of the pictures; a circle's area is the number of images of that size.

    Args:
        images: Images table with `width` and `height`; rows without them are left out.
    """
    sizes = images.dropna(subset=["width", "height"]).groupby(["width", "height"]).size()
    table = sizes.reset_index(name="images")
    title = f"Sizes of pictures ({len(table):,} different)"
    figure = go.Figure(layout=theme.layout(title, "Width (pixels)", "Height (pixels)", height=440))
    figure.add_scatter(
        x=table["width"].astype(float),
        y=table["height"].astype(float),
        mode="markers",
        marker={
            "size": table["images"],
            "sizemode": "area",
            "sizeref": 2 * float(table["images"].max()) / 40**2 if len(table) else 1,
            "sizemin": 4,
            "opacity": 0.6,
            "color": theme.BLUE,
        },
        customdata=table["images"],
        hovertemplate="%{x:,.0f} x %{y:,.0f} pixels: %{customdata:,} images",
        name="images",
    )
    equal = {"rangemode": "tozero", "constrain": "domain", "constraintoward": "left"}
    return figure.update_xaxes(**equal).update_yaxes(rangemode="tozero", scaleanchor="x")


def mean_colours(table: pd.DataFrame, *, by: str = "target") -> go.Figure:
    """Draw `gallery.mean_colours`: the mean red, green and blue of the pictures of each class.

    A class (or a source) that stands apart here can be told by its camera, without its lesions.
    """
    figure = go.Figure(
        layout=theme.layout(
            "Mean colour by class", "", "Mean of the picture (0–255)", boxmode="group"
        )
    )
    measured = table.dropna(subset=["red"])
    long = measured.melt([by], ["red", "green", "blue"], var_name="channel", value_name="level")
    for k, name in enumerate(_by_size(measured[by].dropna())):
        part = long[long[by] == name]
        figure.add_box(
            x=part["channel"].str.capitalize(),
            y=part["level"],
            name=f"{diagnoses.title(name)} (n = {len(part) // 3:,})",
            marker={"color": theme.class_colour(name, k), "size": 3},
            boxpoints=False,
        )
    return figure.update_yaxes(range=[0, 255])


def fold_balance(table: pd.DataFrame) -> go.Figure:
    """Draw `folds.fold_balance`: each class's images in each fold, as a share of the class's mean.

    Even folds lie on 1; the test images (fold -1) are no fold and are left out.
    """
    folds = table[table["fold"] != TEST]
    fixed = {"fold", "images", "patients", "images_per_patient", "lesions", "source"}
    counted = ["images", "patients", *(str(c) for c in table.columns if c not in fixed)]
    colours = {"images": theme.INK_ON_ANY, "patients": theme.GREY}
    figure = go.Figure(
        layout=theme.layout("Balance of the folds", "Fold", "Count, mean fold = 1", barmode="group")
    )
    for k, column in enumerate(c for c in counted if folds[c].sum() > 0):
        figure.add_bar(
            x=folds["fold"].astype(str),
            y=folds[column] / folds[column].mean(),
            name=diagnoses.title(column),
            marker={"color": colours.get(column) or theme.class_colour(column, k)},
            customdata=folds[column],
            hovertemplate="fold %{x}: %{customdata:,}",
        )
    figure.add_hline(1, line={"color": theme.INK_ON_ANY, "width": 1, "dash": "dot"})
    return figure.update_yaxes(rangemode="tozero")


def _by_size(values: pd.Series) -> list[str]:
    """Return the values, the commonest first, `unknown` last."""
    names = [str(name) for name in values.value_counts().index]
    return sorted(names, key=lambda name: name == UNKNOWN)
