"""Learning curves that are redrawn while a network is fitted."""

from __future__ import annotations

from html import escape

import ipywidgets
import numpy as np
import pandas as pd

from melnb.display import theme

_WIDTH, _HEIGHT, _EDGE = 360, 180, 34
_PANELS = {
    "Loss": ("loss", "val_loss"),
    "AUC": ("val_auc",),
    "Jaccard index": ("val_jaccard",),
    "Threshold Jaccard index": ("val_threshold_jaccard",),
}


class LiveCurves:
    """Loss and measures of the epochs so far, as one small drawing that each epoch replaces.

    A drawing of a few lines in place of a plotly figure keeps an executed notebook small: a figure
    for each epoch would add megabytes.

    Args:
        monitor: The column by which the best epoch is marked.

    Attributes:
        history: What is drawn.
    """

    def __init__(self, *, monitor: str = "val_auc") -> None:
        self.monitor = monitor
        self.history = pd.DataFrame()
        self._page = ipywidgets.HTML("Nothing is fitted yet.")

    def view(self) -> ipywidgets.HTML:
        """Return the widget; it follows `show`."""
        return self._page

    def show(self, history: pd.DataFrame) -> None:
        """Draw a history: a row for each finished epoch."""
        self.history = history
        self._page.value = self.html()

    def html(self) -> str:
        """Return the drawing: a panel a measure, training dotted and held out solid."""
        if self.history.empty:
            return "Nothing is fitted yet."
        panels = [
            self._panel(title, columns)
            for title, columns in _PANELS.items()
            if columns[-1] in self.history
        ]
        return f'<div style="display:flex;flex-wrap:wrap;gap:24px">{"".join(panels)}</div>'

    def _panel(self, title: str, columns: tuple[str, ...]) -> str:
        drawn = [column for column in columns if column in self.history]
        values = self.history[drawn].to_numpy(dtype=float)
        low, high = np.nanmin(values), np.nanmax(values)
        spread = high - low or 1.0
        x = np.linspace(_EDGE, _WIDTH - 10, max(len(values), 2))[: len(values)]
        y = _HEIGHT - _EDGE - (values - low) / spread * (_HEIGHT - 2 * _EDGE)
        lines = [_line(x, y[:, k], dotted=name == "loss") for k, name in enumerate(drawn)]
        best = self._best()
        mark = (
            f'<circle cx="{x[best]:.1f}" cy="{y[best, -1]:.1f}" r="5" fill="{theme.VERMILLION}"/>'
        )
        words = f"{title}: {values[-1, -1]:.3f} after epoch {len(values)}, best {best + 1}"
        return (
            f'<svg role="img" aria-label="{escape(words)}" width="{_WIDTH}" height="{_HEIGHT}" '
            f'font-family="{escape(theme.FONT)}" font-size="12" fill="currentColor">'
            f'<text x="{_EDGE}" y="16">{escape(words)}</text>'
            f'<text x="0" y="{_EDGE + 4}">{high:.2f}</text>'
            f'<text x="0" y="{_HEIGHT - _EDGE + 4}">{low:.2f}</text>{"".join(lines)}{mark}</svg>'
        )

    def _best(self) -> int:
        values = self.history[self.monitor].to_numpy(dtype=float)
        return int(values.argmin() if self.monitor == "val_loss" else values.argmax())


def _line(x: np.ndarray, y: np.ndarray, *, dotted: bool) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b))
    dash = ' stroke-dasharray="3 4"' if dotted else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{theme.BLUE}" stroke-width="2.5"{dash}/>'
    )
