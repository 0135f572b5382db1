"""Figures of an executed notebook that draw without a network, wherever the file is taken.

plotly's own `notebook` renderer leaves 4.8 MB of plotly.js in each notebook and has every figure
ask a server for MathJax. Here the library is there once, compressed to 1.9 MB, unpacked by the
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

from melnb.imports import no_grammar

with no_grammar():
    from plotly.io import renderers
    from plotly.io.base_renderers import MimetypeRenderer

NAME = "melnb"
_HEIGHT = 450  # pixels of a figure that names none: plotly's own default
_UNPACK = """
window.melnbPlotly ??= (() => {
  async function unpack() {
    const packed = document.querySelector("script.melnb-plotly").textContent;
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  }
  let library;
  return () => (library ??= unpack());
})();
"""
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
    packed = f'<script type="text/plain" class="melnb-plotly">{_packed()}</script>'
    return f"{packed}<script>{_UNPACK}</script>"


def figure_html(figure: Mapping[str, Any]) -> str:
    """Return a figure's place and the script that fills it, for a page with `library_html`."""
    node = f"plotly-{uuid.uuid4()}"
    height = figure.get("layout", {}).get("height") or _HEIGHT
    whole = {**figure, "config": {"responsive": True, "displaylogo": False}}
    script = _DRAW.format(node=node, figure=to_json_plotly(whole))  # it escapes <, > and /
    place = f'<div id="{node}" class="plotly-graph-div" style="height:{height}px"></div>'
    return f"{place}<script>{script}</script>"


@functools.cache
def _packed() -> str:
    return base64.b64encode(zlib.compress(get_plotlyjs().encode(), 6)).decode("ascii")


renderers[NAME] = OfflineRenderer()
