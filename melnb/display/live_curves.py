"""Learning curves while a network is fitted: in the notebook, and as a page of their own.

The page is written after each epoch, whole or not at all, from the history that the run keeps: so
it is right after a kill, too. It needs no network and no kernel, and looks for its own news.
"""

from __future__ import annotations

import time
from functools import cache
from html import escape
from pathlib import Path

import ipywidgets
import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from melnb.display import cells, theme
from melnb.tables.files import replacing

PAGE = "curves.html"
_WIDTH, _HEIGHT, _EDGE = 360, 180, 34
_PANELS = {
    "Loss": ("loss", "val_loss"),
    "AUC": ("val_auc",),
    "Jaccard index": ("val_jaccard",),
    "Threshold Jaccard index": ("val_threshold_jaccard",),
}
_NAMES = {"auc": "AUC", "jaccard": "Jaccard", "threshold_jaccard": "threshold Jaccard"}
_UNSAID = ("seconds", "image_size", "batch_size")  # of the history, in the page's table


class LiveCurves:
    """Loss and measures of the epochs so far, as one small drawing that each epoch replaces.

    A drawing of a few lines in place of a plotly figure keeps an executed notebook small: a figure
    for each epoch would add megabytes.

    Args:
        monitor: The column by which the best epoch is marked.
        folder: Of the run, `…/<stage>/<run>/<fold>`, whose page each epoch writes anew; empty: none
            is written.
        epochs: That are planned, for what is left of them; 0: not known.

    Attributes:
        history: What is drawn.
    """

    def __init__(
        self, *, monitor: str = "val_auc", folder: str | Path = "", epochs: int = 0
    ) -> None:
        self.monitor, self.epochs = monitor, epochs
        self.folder = Path(folder) if folder else None
        self.history = pd.DataFrame()
        self._shown = ipywidgets.HTML("Nothing is fitted yet.")

    def view(self) -> ipywidgets.HTML:
        """Return the widget; it follows `show`."""
        return self._shown

    def show(self, history: pd.DataFrame) -> None:
        """Draw a history, a row for each finished epoch, and write the page."""
        self.history = history
        self._shown.value = self.html()
        if self.folder is not None and self.folder.is_dir():  # else the run has its end
            self._write(self.folder / PAGE, done=False)

    def write(self, folder: str | Path) -> Path:
        """Write the page of a run that has come to its end, `curves.html`; return it.

        Args:
            folder: Of the run.
        """
        return self._write(Path(folder) / PAGE, done=True)

    def html(self) -> str:
        """Return the drawing: a panel a measure, training dotted and held out solid."""
        if self.history.empty:
            return "Nothing is fitted yet."
        panels = [
            self._panel(title, columns)
            for title, columns in _PANELS.items()
            if any(column in self.history for column in columns)
        ]
        return f'<div style="display:flex;flex-wrap:wrap;gap:24px">{"".join(panels)}</div>'

    def _write(self, file: Path, *, done: bool) -> Path:
        page = _template().render(
            title="/".join(file.parent.parts[-3:]).removesuffix(".partial"),
            state=self._state(done=done),
            panels=Markup(self.html()),
            table=cells.tidy(self._table()),
            done=done,
            left=max(0, self.epochs - len(self.history)),
            seconds=self.history["seconds"].tail(5).mean() if "seconds" in self.history else 0,
            written=time.time(),
            light=Markup(theme.css_variables(theme.LIGHT)),
            dark=Markup(theme.css_variables(theme.DARK)),
            font=Markup(theme.FONT),
        )
        with replacing(file) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return file

    def _state(self, *, done: bool) -> str:
        """Return in words where the run stands."""
        number = len(self.history)
        many = f"{number} epoch{'s' if number != 1 else ''}"
        best = ""
        if self.monitor in self.history:
            best = f"; best by {_words(self.monitor)}: epoch {self._best() + 1}"
        if done:
            return f"Finished after {many}{best}"
        return f"{number} of {self.epochs} epochs{best}" if self.epochs else f"{many}{best}"

    def _table(self) -> pd.DataFrame:
        """Return the history as it is read: the last epoch first, every column in words."""
        shown = self.history.drop(columns=[*_UNSAID], errors="ignore").iloc[::-1]
        rates = shown["learning_rate"].map("{:.2e}".format) if "learning_rate" in shown else None
        shown = shown if rates is None else shown.assign(learning_rate=rates)
        heads = {str(column): _words(str(column)) for column in shown}
        named = {column: head[:1].upper() + head[1:] for column, head in heads.items()}
        return shown.rename(columns=named).reset_index(drop=True)

    def _panel(self, title: str, columns: tuple[str, ...]) -> str:
        drawn = [column for column in columns if column in self.history]
        values = self.history[drawn].to_numpy(dtype=float)
        low, high = np.nanmin(values), np.nanmax(values)
        spread = high - low or 1.0
        x = np.linspace(_EDGE, _WIDTH - 10, max(len(values), 2))[: len(values)]
        y = _HEIGHT - _EDGE - (values - low) / spread * (_HEIGHT - 2 * _EDGE)
        lines = [_line(x, y[:, k], dotted=name == "loss") for k, name in enumerate(drawn)]
        words, mark = f"{title}: {values[-1, -1]:.3f} after epoch {len(values)}", ""
        if self.monitor in self.history:  # else nothing is held out
            best = self._best()
            where = f'cx="{x[best]:.1f}" cy="{y[best, -1]:.1f}"'
            mark = f'<circle {where} r="5" fill="{theme.VERMILLION}"/>'
            words += f", best {best + 1}"
        grid = "".join(
            f'<path d="M{_EDGE} {at}H{_WIDTH - 10}" stroke="currentColor" stroke-opacity="0.15"/>'
            for at in (_EDGE, _HEIGHT - _EDGE)
        )
        return (
            f'<svg role="img" aria-label="{escape(words)}" width="{_WIDTH}" height="{_HEIGHT}" '
            f'viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'font-family="{escape(theme.FONT)}" font-size="12" fill="currentColor">{grid}'
            f'<text x="{_EDGE}" y="16">{escape(words)}</text>'
            f'<text x="0" y="{_EDGE + 4}">{high:.2f}</text>'
            f'<text x="0" y="{_HEIGHT - _EDGE + 4}">{low:.2f}</text>'
            f'<text x="{_EDGE}" y="{_HEIGHT - 14}">1</text>'
            f'<text x="{x[-1]:.0f}" y="{_HEIGHT - 14}" text-anchor="end">'
            f"{len(values) if len(values) > 1 else ''}</text>{''.join(lines)}{mark}</svg>"
        )

    def _best(self) -> int:
        values = self.history[self.monitor].to_numpy(dtype=float)
        return int(values.argmin() if self.monitor == "val_loss" else values.argmax())


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = Path(__file__).with_name("live_curves.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def _words(column: str) -> str:
    name = column.removeprefix("val_")
    words = _NAMES.get(name, name.replace("_", " "))
    return words if name == column else f"held-out {words}"


def _line(x: np.ndarray, y: np.ndarray, *, dotted: bool) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b))
    dash = ' stroke-dasharray="3 4"' if dotted else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{theme.BLUE}" stroke-width="2.5"{dash}/>'
    )
