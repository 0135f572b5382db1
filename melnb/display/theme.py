"""How everything looks: colours, fonts, sizes and the plotly renderer, settled here alone.

The colours are those of Okabe and Ito (2008), told apart by readers with any common kind of colour
blindness. A class has one colour in every figure.
"""

from __future__ import annotations

import base64
import functools
import json
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from IPython import get_ipython
from IPython.display import HTML, display
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from melnb.display.cells import table_html
from melnb.tables.processes import GRAMMAR, without

# Figures of an executed notebook that draw without a network, wherever the file is taken.
#
# plotly's own `notebook` renderer leaves 4.8 MB of plotly.js in each notebook and has every
# figure ask a server for MathJax. Here the library is there once, compressed to 1.8 MB, unpacked
# by the page itself when a figure first asks for it; JupyterLab, which has a plotly of its own,
# never does. The look that figures share is said once, too, they are drawn in single precision,
# and what a page draws is compressed like the library.

with without(GRAMMAR):
    from plotly.io import renderers
    from plotly.io.base_renderers import MimetypeRenderer

NAME = "melnb"
JSON = "application/vnd.plotly.v1+json"  # what JupyterLab and others draw by a plotly of their own
CONFIG = {  # of every figure, wherever it is shown: nothing of it is sent anywhere
    "responsive": True,
    "displaylogo": False,  # which leads to plotly's site
    "showSendToCloud": False,  # a button, which plotly.js 4 shows unasked
    "plotlyServerURL": "about:blank",  # for an empty one plotly 6 puts its own site
}
_HEIGHT = 450  # pixels of a figure that names none: plotly's own default
_EXACT = 1e6  # single precision has seven digits
_DIGITS = (  # of Base85, which takes a sixth less than Base64; none means anything in HTML
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%:()*+-;,=.?@^_`{|}~"
)
_UNPACK = """
window.melnbPlotly ??= (() => {
  function bytesOf(text, length) {
    const value = Object.fromEntries([...DIGITS].map((digit, k) => [digit.charCodeAt(0), k]));
    const words = new DataView(new ArrayBuffer((text.length / 5) * 4));
    for (let k = 0, word = 0; k < text.length; word += 4) {
      let sum = 0;
      for (const end = k + 5; k < end; k += 1) sum = sum * 85 + value[text.charCodeAt(k)];
      words.setUint32(word, sum);
    }
    return words.buffer.slice(0, length);
  }
  function unpack({ textContent, dataset }) {
    const packed = new Blob([bytesOf(textContent, Number(dataset.bytes))]);
    const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  }
  async function load() {
    const script = document.createElement("script");
    script.textContent = await unpack(document.querySelector("script.melnb-plotly"));
    document.head.append(script);
    return window.Plotly;
  }
  let library;
  return {
    async draw(name) {
      const figure = JSON.parse(await unpack(document.getElementById(`${name}-packed`)));
      figure.layout.template ??= window.melnbTemplate;
      const plotly = await (library ??= load());
      const place = document.getElementById(name); // none: the cell was cleared meanwhile
      if (place) plotly.newPlot(place, figure);
    },
  };
})();
""".replace("DIGITS", repr(_DIGITS))


class OfflineRenderer(MimetypeRenderer):  # type: ignore[misc]
    """Gives each figure as HTML that draws itself by the library shown once above it."""

    def __init__(self) -> None:
        self._template: Any = None  # as the page was told

    def activate(self) -> None:
        """Show the library, unseen, in the cell that makes this the renderer."""
        self._template = go.Figure().to_dict()["layout"].get("template")
        display(HTML(library_html(self._template)))

    def to_mimebundle(self, fig_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return a figure for who has a plotly of his own, and as HTML for who has none."""
        content = json.loads(to_json_plotly(_shown(fig_dict)))
        return {JSON: content, "text/html": figure_html(fig_dict, template=self._template)}


def settle_others() -> None:
    """Give plotly's own renderers the same configuration; what somebody chose for one stays."""
    for name in renderers:
        renderer = renderers[name]
        if hasattr(renderer, "config"):
            renderer.config = CONFIG | (renderer.config or {})


def library_html(template: Any = None) -> str:
    """Return plotly.js, compressed, the function that unpacks it once for a page, and a look.

    Args:
        template: The plotly template of figures that bring none.
    """
    packed = _script(_library(), 'class="melnb-plotly"')
    look = f"window.melnbTemplate = {to_json_plotly(template)};"
    return f"{packed}<script>{look}{_UNPACK}</script>"


def figure_html(figure: Mapping[str, Any], *, template: Any = None) -> str:
    """Return a figure's place and the script that fills it, for a page with `library_html`.

    Args:
        figure: As `Figure.to_dict` gives it.
        template: What the page knows: a figure with the same does not repeat it.
    """
    node = f"plotly-{uuid.uuid4()}"
    shown = _shown(figure)
    if shown["layout"].get("template") == template:
        shown["layout"].pop("template", None)
    height = shown["layout"].get("height") or _HEIGHT
    place = f'<div id="{node}" class="plotly-graph-div" style="height:{height}px"></div>'
    packed = _script(zlib.compress(to_json_plotly(shown).encode(), 9), f'id="{node}-packed"')
    return f"{place}{packed}<script>window.melnbPlotly?.draw('{node}');</script>"


def _shown(figure: Mapping[str, Any]) -> dict[str, Any]:
    layout = dict(figure.get("layout", {}))
    return {"data": _single(figure["data"]), "layout": layout, "config": CONFIG}


def _script(packed: bytes, attributes: str) -> str:
    """Return a script that runs nowhere and holds bytes, as `bytesOf` reads them."""
    text = base64.b85encode(packed + bytes(-len(packed) % 4)).decode("ascii")
    text = text.translate(str.maketrans("&<>", ":,."))
    return f'<script type="text/plain" {attributes} data-bytes="{len(packed)}">{text}</script>'


def _single(part: Any) -> Any:
    """Return a part of a figure with its arrays in single precision: no screen shows more.

    Values from a million on, such as dates, stay exact.
    """
    if isinstance(part, dict) and part.get("dtype") == "f8":
        exact = np.frombuffer(base64.b64decode(part["bdata"]), dtype="<f8")
        if np.any(np.abs(exact[np.isfinite(exact)]) >= _EXACT):
            return part
        single = base64.b64encode(exact.astype("<f4").tobytes()).decode("ascii")
        return part | {"dtype": "f4", "bdata": single}
    if isinstance(part, dict):
        return {name: _single(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [_single(value) for value in part]
    return part


@functools.cache
def _library() -> bytes:
    return zlib.compress(get_plotlyjs().encode(), 9)


renderers[NAME] = OfflineRenderer()


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


def use_theme(renderer: str = "") -> None:
    """Make melnb's look the default of every figure and table, and figures visible everywhere.

    In a notebook tables are then shown as the report shows them (`tidy`); what they hold, and what
    `print` says of them, stays as it is.

    Args:
        renderer: A plotly renderer. Empty: on Colab, Kaggle and the like, plotly's own choice;
            elsewhere one that JupyterLab shows live and that an exported page shows without a
            network (`renderer`). Plotly's default is blank in exported pages of notebooks run
            headless.
    """
    settle_others()
    pio.templates["melnb"] = make_template(LIGHT)
    pio.templates.default = "melnb"
    chosen = renderer or str(pio.renderers.default)
    if not renderer and chosen not in _HOSTED:
        chosen = NAME
    pio.renderers.default = chosen
    if shell := get_ipython():
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, table_html)


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
