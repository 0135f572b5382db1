"""Figures of an executed notebook that draw without a network, wherever the file is taken.

plotly's own `notebook` renderer leaves 4.8 MB of plotly.js in each notebook and has every figure
ask a server for MathJax. Here the library is there once, compressed to 1.8 MB, unpacked by the
page itself when a figure first asks for it; JupyterLab, which has a plotly of its own, never does.
"""

from __future__ import annotations

import base64
import functools
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

from IPython.display import HTML, display
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from melnb.imports import GRAMMAR, without

with without(GRAMMAR):
    from plotly.io import renderers
    from plotly.io.base_renderers import MimetypeRenderer

NAME = "melnb"
_HEIGHT = 450  # pixels of a figure that names none: plotly's own default
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
  async function unpack() {
    const { textContent, dataset } = document.querySelector("script.melnb-plotly");
    const packed = new Blob([bytesOf(textContent, Number(dataset.bytes))]);
    const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  }
  let library;
  return () => (library ??= unpack());
})();
""".replace("DIGITS", repr(_DIGITS))
_DRAW = """
window.melnbPlotly?.().then((library) => {{
  const node = document.getElementById("{node}");
  if (node) library.newPlot(node, {figure});
}});
"""


class OfflineRenderer(MimetypeRenderer):  # type: ignore[misc]
    """Gives each figure as HTML that draws itself by the library shown once above it."""

    def activate(self) -> None:
        """Show the library, unseen, in the cell that makes this the renderer."""
        display(HTML(library_html()))

    def to_mimebundle(self, fig_dict: Mapping[str, Any]) -> dict[str, str]:
        """Return a figure as HTML."""
        return {"text/html": figure_html(fig_dict)}


def library_html() -> str:
    """Return plotly.js, compressed, and the function that unpacks it once for a page."""
    packed = _packed()
    attributes = f'type="text/plain" class="melnb-plotly" data-bytes="{len(packed)}"'
    whole = packed + bytes(-len(packed) % 4)
    text = base64.b85encode(whole).decode("ascii").translate(str.maketrans("&<>", ":,."))
    return f"<script {attributes}>{text}</script><script>{_UNPACK}</script>"


def figure_html(figure: Mapping[str, Any]) -> str:
    """Return a figure's place and the script that fills it, for a page with `library_html`."""
    node = f"plotly-{uuid.uuid4()}"
    height = figure.get("layout", {}).get("height") or _HEIGHT
    whole = {**figure, "config": {"responsive": True, "displaylogo": False}}
    script = _DRAW.format(node=node, figure=to_json_plotly(whole))  # it escapes <, > and /
    place = f'<div id="{node}" class="plotly-graph-div" style="height:{height}px"></div>'
    return f"{place}<script>{script}</script>"


@functools.cache
def _packed() -> bytes:
    return zlib.compress(get_plotlyjs().encode(), 6)


renderers[NAME] = OfflineRenderer()
