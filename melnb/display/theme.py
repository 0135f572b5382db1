"""How everything looks: colours, fonts, sizes and the plotly renderer, settled here alone.

The colours are those of Okabe and Ito (2008), told apart by readers with any common kind of colour
blindness. A class has one colour in every figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

from melnb.display import renderer as offline

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
OLIVE = "#999933"  # for their yellow, which is lost on white paper
BROWN = "#8C6D46"
GREY = "#8A929C"
INK_ON_ANY = "#6B7480"  # dark enough on white paper, light enough on dark

SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BROWN, GREY)  # runs, folds
SCALE = ((0.0, "#E9F2F8"), (1.0, "#0F7AB6"))  # of heat maps; opaque, to be read on any paper

APART = ((0.0, "#F2B48A"), (0.5, "#E8EBEE"), (1.0, "#8FC1E3"))  # worse, not told apart, better

TRUTHS = (BLUE, VERMILLION)  # of a rest and of the class looked for

_CLASS_COLOURS = {
    "melanoma": VERMILLION,
    "malignant": VERMILLION,
    "nevus": BLUE,
    "other": BLUE,
    "benign": BLUE,
    "basal_cell_carcinoma": GREEN,
    "actinic_keratosis": ORANGE,
    "benign_keratosis": PURPLE,
    "dermatofibroma": SKY,
    "vascular_lesion": OLIVE,
    "squamous_cell_carcinoma": BROWN,
    "unknown": GREY,
    "unlabelled": GREY,
}

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "surface": "#f5f7f9",
    "ink": "#1a1f26",
    "muted": "#5a6572",
    "line": "#dbe0e6",
    "accent": BLUE,
    "positive": VERMILLION,
    "negative": BLUE,
}
DARK: Mapping[str, str] = {
    "page": "#14181d",
    "surface": "#1c2229",
    "ink": "#e6eaee",
    "muted": "#9aa6b3",
    "line": "#353e48",
    "accent": SKY,
    "positive": "#F0803C",
    "negative": SKY,
}

HEIGHT = 380  # pixels of a figure that is as wide as the page
SQUARE = (520, 480)  # pixels: width and height of a figure with equal axes
DRAWN_POINTS = 400  # of a curve: 33,000 points cost 711 KB in a notebook, 400 cost 16 KB

# Places that show plotly figures in their own way, found by plotly itself.
_HOSTED = ("colab", "kaggle", "azure", "cocalc", "databricks")


def apply(renderer: str = "") -> None:
    """Make melnb's look the default of every plotly figure, and figures visible everywhere.

    Args:
        renderer: A plotly renderer. Empty: on Colab, Kaggle and the like, plotly's own choice;
            elsewhere one that JupyterLab shows live and that an exported page shows without a
            network (`renderer`). Plotly's default is blank in exported pages of notebooks run
            headless.
    """
    offline.settle_others()
    pio.templates["melnb"] = make_template(LIGHT)
    pio.templates.default = "melnb"
    chosen = renderer or str(pio.renderers.default)
    if not renderer and chosen not in _HOSTED:
        chosen = offline.NAME
    pio.renderers.default = chosen


def make_template(palette: Mapping[str, str]) -> go.layout.Template:
    """Make the plotly template of a palette (`LIGHT` or `DARK`)."""
    axis = {
        "gridcolor": palette["line"],
        "linecolor": palette["line"],
        "zerolinecolor": palette["line"],
        "tickcolor": palette["line"],
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 13}},
        "tickfont": {"size": 12, "color": palette["muted"]},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": palette["ink"]},
            "title": {
                "font": {"size": 16, "weight": 600},
                "subtitle": {"font": {"size": 13, "color": palette["muted"]}},
                "x": 0,
                "xanchor": "left",
                "pad": {"l": 4},
                "y": 0.97,
                "yanchor": "top",
            },
            "colorway": SERIES,
            "paper_bgcolor": palette["page"],
            "plot_bgcolor": palette["page"],
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"size": 12}},
            "hoverlabel": {"font": {"family": FONT, "size": 12}},
            "margin": {"l": 64, "r": 24, "t": 56, "b": 56},
            "bargap": 0.15,
            "annotationdefaults": {"font": {"color": palette["ink"]}},
        }
    )


def class_colour(name: str, position: int = 0) -> str:
    """Return the colour of a class; one outside the ontology takes its position's."""
    return _CLASS_COLOURS.get(name, SERIES[position % len(SERIES)])


def css_variables(palette: Mapping[str, str]) -> str:
    """Return the palette as CSS custom properties, `--melnb-ink: #1a1f26; …`."""
    return " ".join(f"--melnb-{name}: {colour};" for name, colour in palette.items())


def layout(title: str, x: str, y: str, *, height: int = HEIGHT, **more: Any) -> dict[str, Any]:
    """Return the layout that every figure has: a title, two axis titles and a height."""
    return {
        "template": make_template(LIGHT),
        "title": {"text": title},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "height": height,
        **more,
    }
