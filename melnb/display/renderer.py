"""Figures of an executed notebook that draw without a network, wherever the file is taken.

plotly's own `notebook` renderer leaves 4.8 MB of plotly.js in each notebook and has every figure
ask a server for MathJax. Here the library is there once, compressed to 1.8 MB, unpacked by the
page itself when a figure first asks for it; JupyterLab, which has a plotly of its own, never does.
The look that figures share is said once, too, they are drawn in single precision, and what a page
draws is compressed like the library.
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
import plotly.graph_objects as go
from IPython.display import HTML, display
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from melnb.imports import GRAMMAR, without

with without(GRAMMAR):
    from plotly.io import renderers
    from plotly.io.base_renderers import MimetypeRenderer

NAME = "melnb"
JSON = "application/vnd.plotly.v1+json"  # what JupyterLab and others draw by a plotly of their own
CONFIG = {  # of every figure, wherever it is shown: nothing of it is sent anywhere
    "responsive": True,
    "displaylogo": False,  # which leads to plotly's site
    "showSendToCloud": False,  # a button, which plotly.js 4 shows unasked
    "plotlyServerURL": "",
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
        own = json.loads(to_json_plotly(_shown(fig_dict)))
        return {JSON: own, "text/html": figure_html(fig_dict, template=self._template)}


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
