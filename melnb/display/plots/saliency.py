"""Saliency maps over their pictures, and how the maps score."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image, ImageFilter
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.display.plots import strokes
from melnb.tables import diagnoses

# From nothing over orange and vermillion to brown: it darkens all the way, for any eye.
RAMP = ((0.0, "#F7E9D0"), (0.35, theme.ORANGE), (0.7, theme.VERMILLION), (1.0, "#6E1A00"))
RANDOM = "random order"
_DASHES = {RANDOM: "dot"}
_PALE = 0.5  # of a picture's contrast below a map
_COVER = 0.85  # of a picture that a map's greatest value covers
_QUALITY = 88


def overlays(
    images: np.ndarray,
    maps: Mapping[str, np.ndarray],
    *,
    captions: Sequence[str],
    masks: np.ndarray | None = None,
    title: str = "Where the prediction comes from",
    size: int = 168,
    smooth: float = 1 / 64,
) -> go.Figure:
    """Draw each picture, and below it each method's map over it; the lesion is outlined.

    A map is coloured by its share of its own greatest value: maps of different pictures are not
    compared. The picture below is grey, for its own colours would be read as the map's.

    Args:
        images: n x side x side x 3, 0-255.
        maps: n x side x side for each method, 0 or more.
        captions: One for each picture.
        masks: n x side x side booleans, outlined; a mask of nothing is not known.
        title: Of the figure.
        size: Pixels on a side of a picture.
        smooth: Deviation of a blur for drawing alone, of the side: single pixels are not seen.
    """
    rows = ["picture", *maps]
    figure = make_subplots(
        rows=len(rows), cols=len(images), column_titles=list(captions), row_titles=rows,
        horizontal_spacing=0.012, vertical_spacing=0.02,
    )  # fmt: skip
    for col, image in enumerate(images):
        outline = None if masks is None else masks[col]
        shown = [_enlarge(image, size)]
        shown += [cover(image, m[col], outline, size=size, smooth=smooth) for m in maps.values()]
        for row, pixels in enumerate(shown):
            trace = go.Image(source=_source(pixels), hoverinfo="skip")
            figure.add_trace(trace, row=row + 1, col=col + 1)
    width = 130 + len(images) * (size + 8)
    figure.update_layout(
        theme.layout(title, "", "", height=112 + len(rows) * (size - 6), width=max(width, 420)),
        margin={"l": 16, "r": 110, "t": 92, "b": 8},
    )
    figure.update_xaxes(visible=False, title=None).update_yaxes(visible=False, title=None)
    figure.update_annotations(font={"size": 12})
    _add_bar(figure)
    return figure


def captions(calls: pd.DataFrame) -> list[str]:
    """Return the captions of pictures: id, truth and score of `flagged.surest_calls`."""
    rows = zip(calls["image_id"], calls["truth"], calls["score"], strict=True)
    return [f"{i}<br>{diagnoses.title(str(truth))}<br>p {p:.2f}" for i, truth, p in rows]


def cover(
    image: np.ndarray, map_: np.ndarray, mask: np.ndarray | None, *, size: int, smooth: float = 0
) -> np.ndarray:
    """Return a picture in pale grey with a map over it and the lesion's outline, uint8."""
    grey = np.asarray(_to_image(image).convert("L").resize((size, size), Image.Resampling.LANCZOS))
    pale = 255 - _PALE * (255 - grey[..., None].astype(float))
    greatest = float(map_.max())
    plane = Image.fromarray((map_ / greatest if greatest > 0 else map_).astype("float32"))
    share = np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 1)
    if smooth:
        blur = ImageFilter.GaussianBlur(smooth * size)
        bytes_ = Image.fromarray((share * 255).astype("uint8")).filter(blur)
        share = np.asarray(bytes_, float) / max(1, np.asarray(bytes_).max()) * (greatest > 0)
    alpha = _COVER * np.minimum(1, share * 2)[..., None]
    seen = pale * (1 - alpha) + _colours(share) * alpha
    if mask is not None and mask.any():
        seen = _outline(seen, mask, size)
    return np.asarray(seen.clip(0, 255).astype("uint8"))


def inside_mask(
    scores: pd.DataFrame, *, title: str = "How much lies in the lesion"
) -> go.Figure | None:
    """Draw the share of each map inside the lesion against the lesion's share of the picture.

    On the line lies a map that knows nothing of the lesion.

    Args:
        scores: `image_id`, `method`, `inside`, `lesion_share`.
        title: Of the figure.

    Returns:
        None where no lesion is known.
    """
    if scores["inside"].isna().all():
        return None
    figure = strokes.square_figure(title, "Lesion's share of the picture", "Map's share inside it")
    strokes.add_chance(figure, (0, 1), "flat map")
    for k, (method, rows) in enumerate(scores.groupby("method", sort=False)):
        figure.add_scatter(
            x=rows["lesion_share"], y=rows["inside"], mode="markers", name=str(method),
            marker={"size": 7, "color": theme.SERIES[k], "symbol": ("circle", "diamond")[k % 2]},
            customdata=rows["image_id"],
            hovertemplate="%{customdata}: %{y:.2f} inside, lesion %{x:.2f}",
            opacity=0.75,
        )  # fmt: skip
    figure.update_layout(legend={"x": 0.98, "xanchor": "right", "y": 0.03, "yanchor": "bottom"})
    return figure


def metadata_attributions(
    means: pd.DataFrame, *, score: str, title: str = "Metadata"
) -> go.Figure | None:
    """Draw the mean size of what each column of metadata adds to a score; None: there is none.

    Args:
        means: `grouped_means` of `size`, a row per `column`.
        score: What is explained.
        title: Of the figure.
    """
    if means.empty:
        return None
    axis = f"Mean size in the {score}"
    return strokes.interval_figure(means, "column", "value", title=title, axis=axis)


def removal_curves(means: pd.DataFrame, *, title: str = "Taken out, and put in") -> go.Figure:
    """Draw the mean probability while the map's best cells are taken out, and put in.

    Args:
        means: `method`, `share`, `metric` (`deletion`, `insertion`), `value`, `low`, `high`.
        title: Of the figure.
    """
    heads = ("Deletion: lower is better", "Insertion: higher is better")
    figure = make_subplots(cols=2, subplot_titles=heads, shared_yaxes=True)
    figure.update_layout(theme.layout(title, "", "", height=400, margin={"t": 96}))
    for col, metric in enumerate(("deletion", "insertion"), start=1):
        for k, (method, rows) in enumerate(
            means[means["metric"] == metric].groupby("method", sort=False)
        ):
            colour = theme.GREY if method == RANDOM else theme.SERIES[k]
            _add_band(figure, rows, colour, col)
            figure.add_scatter(
                x=rows["share"], y=rows["value"], mode="lines", name=str(method),
                legendgroup=str(method), showlegend=col == 1,
                line={"color": colour, "width": 2.5, "dash": _DASHES.get(str(method), "solid")},
                customdata=rows[["low", "high"]], row=1, col=col,
                hovertemplate="%{x:.0%}: %{y:.3f} (%{customdata[0]:.3f} – %{customdata[1]:.3f})",
            )  # fmt: skip
        words = "taken out" if col == 1 else "put in"
        figure.update_xaxes(title_text=f"Share {words}", tickformat=".0%", row=1, col=col)
    figure.update_yaxes(title_text="Mean probability of the class", row=1, col=1)
    return figure.update_yaxes(rangemode="tozero")


def randomization(
    means: pd.DataFrame, *, title: str = "What is left of the map in a destroyed network"
) -> go.Figure:
    """Draw the mean rank correlation with the network's own map, the more of it is destroyed.

    Args:
        means: `method`, `layers` (share destroyed), `value`, `low`, `high`.
        title: Of the figure.
    """
    figure = go.Figure(
        layout=theme.layout(title, "Layers destroyed, from the head down", "Rank correlation")
    )
    for k, (method, rows) in enumerate(means.groupby("method", sort=False)):
        figure.add_scatter(
            x=[0, *rows["layers"]], y=[1, *rows["value"]], mode="lines+markers", name=str(method),
            error_y={
                "array": [0, *(rows["high"] - rows["value"])],
                "arrayminus": [0, *(rows["value"] - rows["low"])],
                "thickness": 1.5,
            },
            line={"color": theme.SERIES[k], "width": 2.5},
            marker={"size": 8, "symbol": ("circle", "diamond")[k % 2]},
            hovertemplate="%{x:.0%} destroyed: %{y:.2f}",
        )  # fmt: skip
    figure.add_hline(y=0, line=strokes.CHANCE)
    return figure.update_xaxes(tickformat=".0%").update_yaxes(range=[-1.05, 1.05])


def _outline(seen: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """Draw a white line with a dark edge, to be seen on any picture."""
    large = Image.fromarray((mask * 255).astype("uint8")).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    plane = large.point([255 if level > 127 else 0 for level in range(256)])
    seen = seen.copy()
    for width, colour in ((5, 25), (3, 255)):
        grown, shrunk = (
            np.asarray(plane.filter(kind(width)))
            for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
        )
        seen[grown != shrunk] = colour
    return seen


def _add_bar(figure: go.Figure) -> None:
    """Add the one colour bar, by a mark that is not seen."""
    figure.add_scatter(
        x=[None], y=[None], mode="markers", showlegend=False, hoverinfo="skip",
        marker={
            "color": [0], "cmin": 0, "cmax": 1, "colorscale": RAMP, "showscale": True,
            "colorbar": {
                "title": {"text": "share of the<br>map's maximum<br> ", "font": {"size": 11}},
                "thickness": 12, "len": 0.6, "y": 0.35, "x": 1.0, "xpad": 34, "tickformat": ".0%",
                "tickfont": {"size": 11}, "dtick": 0.25,
            },
        },
    )  # fmt: skip


def _add_band(figure: go.Figure, rows: pd.DataFrame, colour: str, col: int) -> None:
    red, green, blue = _rgb(colour)
    figure.add_scatter(
        x=[*rows["share"], *rows["share"][::-1]], y=[*rows["low"], *rows["high"][::-1]],
        fill="toself", fillcolor=f"rgba({red},{green},{blue},0.15)", line={"width": 0},
        mode="lines", showlegend=False, hoverinfo="skip", row=1, col=col,
    )  # fmt: skip


def _colours(share: np.ndarray) -> np.ndarray:
    """Return the colour of each value from 0 to 1, as the colour bar shows it."""
    places = [place for place, _ in RAMP]
    channels = np.array([_rgb(colour) for _, colour in RAMP]).T
    return np.stack([np.interp(share, places, channel) for channel in channels], axis=-1)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(_to_image(image).resize((size, size), Image.Resampling.LANCZOS))


def _to_image(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(image), 0, 255).astype("uint8"))


def _source(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
