"""The threshold explorer: choose the score from which an image is flagged, and see what follows.

The state is a plain object that needs no browser. Its view is one anywidget that redraws curves,
histogram, confusion matrix and numbers in the page: the scores are sent once, and no kernel is
asked while a slider moves.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from melnb import diagnoses, tables
from melnb.evaluation.rows import binary_rows, threshold_counts

# Three parts of one ECMAScript module, in the order in which they build on each other.
_PARTS = ("counts.js", "drawings.js", "view.js")
_HERE = Path(__file__).parent
MODULE = "\n".join((_HERE / part).read_text(encoding="utf-8") for part in _PARTS)
STYLE = (_HERE / "explorer.css").read_text(encoding="utf-8")

_TOP = float(np.nextafter(1.0, 2.0))  # flags nothing, even where a score is 1
_MANY_LOW = 0.05  # half the scores below this: a linear axis would show one spike


class ThresholdExplorer(traitlets.HasTraits):  # type: ignore[misc]
    """What follows from a threshold, and from the prevalence where the model will be used.

    Args:
        predictions: Predictions table. A threshold is chosen on out-of-fold rows where there are
            any; rows without a truth are left out.
        positive: The class looked for.
        threshold: To begin with, 0-1; None: the one of the largest sensitivity + specificity.
        prevalence: Share of positives where the model will be used; None or 0: the data's.
        title: Shown above the sliders; empty: the run's name.

    Attributes:
        threshold: The chosen threshold; moving a slider changes it, and setting it moves them.
        prevalence: The chosen prevalence, likewise.

    Raises:
        TableError: The table has no such class, or the rows with a truth lack one of both classes.
    """

    threshold = traitlets.Float(0.5, min=0.0, max=_TOP)
    prevalence = traitlets.Float(0.5, min=0.0, max=1.0)

    def __init__(
        self,
        predictions: pd.DataFrame,
        *,
        positive: str = diagnoses.MELANOMA,
        threshold: float | None = None,
        prevalence: float | None = None,
        title: str = "",
    ) -> None:
        rows = binary_rows(predictions, positive=positive)
        out_of_fold = rows[rows["fold"] != tables.TEST]
        rows = out_of_fold if len(out_of_fold) else rows
        if rows["truth"].nunique() < 2:
            raise tables.TableError(
                f"predictions: {int(rows['truth'].sum())} of {len(rows)} rows with a truth are "
                f"{positive!r}: a threshold needs rows of it and others"
            )
        self.positive = positive
        self.title = title or f"Threshold explorer: {predictions['run'].iloc[0]}"
        self._scores, self._tp, self._fp = threshold_counts(rows)
        self._positives, self._others = int(self._tp[-1]), int(self._fp[-1])
        super().__init__(
            threshold=self._youden() if threshold is None else threshold,
            prevalence=prevalence or self._positives / len(rows),
        )

    def at(self, threshold: float | None = None) -> pd.DataFrame:
        """Return what follows from a threshold, as one row; None: from the chosen one.

        Returns:
            The columns of `thresholds.threshold_table`: `threshold`, `sensitivity`, `specificity`;
            `ppv`, `npv` and the share `flagged` at the chosen prevalence; the counts `tp`, `fp`,
            `tn`, `fn` of the data.
        """
        cut = self.threshold if threshold is None else threshold
        k = int(np.searchsorted(-self._scores, -cut, side="right"))
        tp, fp = (int(counts[k - 1]) if k else 0 for counts in (self._tp, self._fp))
        return pd.DataFrame([self._row(cut, tp, fp)])

    def view(self) -> anywidget.AnyWidget:
        """Build the widget; the chosen values follow its sliders, and its sliders follow them."""
        view = _View(**self._shown(), **self._counts())
        for name in ("threshold", "prevalence"):
            traitlets.link((self, name), (view, name))
        return view

    def page_state(self) -> dict[str, Any]:
        """Return what the same module needs in a page without a kernel, as plain JSON values.

        Returns:
            `values` as the widget's, and `buffers`: little-endian counts in base64.
        """
        buffers = {name: base64.b64encode(b).decode() for name, b in self._counts().items()}
        return {"values": self._shown(), "buffers": buffers}

    def _row(self, cut: float, tp: int, fp: int) -> dict[str, float]:
        sensitivity, specificity = tp / self._positives, 1 - fp / self._others
        found, missed = sensitivity * self.prevalence, (1 - sensitivity) * self.prevalence
        left, alarms = (
            specificity * (1 - self.prevalence),
            (1 - specificity) * (1 - self.prevalence),
        )
        flagged = found + alarms
        return {
            "threshold": cut,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": found / flagged if flagged else np.nan,
            "npv": left / (left + missed) if left + missed else np.nan,
            "flagged": flagged,
            "tp": tp,
            "fp": fp,
            "tn": self._others - fp,
            "fn": self._positives - tp,
        }

    def _youden(self) -> float:
        gain = self._tp / self._positives - self._fp / self._others
        return float(self._scores[int(np.argmax(gain))])

    def _shown(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "prevalence": self.prevalence,
            "positive": diagnoses.title(self.positive),
            "title": self.title,
            "scale": "logit" if self._median() < _MANY_LOW else "linear",
        }

    def _counts(self) -> dict[str, bytes]:
        return {
            "scores": self._scores.astype("<f8").tobytes(),
            "true_positives": self._tp.astype("<u4").tobytes(),
            "false_positives": self._fp.astype("<u4").tobytes(),
        }

    def _median(self) -> float:
        rank = np.searchsorted(self._tp + self._fp, (self._positives + self._others) / 2)
        return float(self._scores[rank])


class _View(anywidget.AnyWidget):  # type: ignore[misc]
    _esm = MODULE
    _css = STYLE
    threshold = traitlets.Float().tag(sync=True)
    prevalence = traitlets.Float().tag(sync=True)
    positive = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    scale = traitlets.Unicode().tag(sync=True)
    scores = traitlets.Bytes().tag(sync=True)
    true_positives = traitlets.Bytes().tag(sync=True)
    false_positives = traitlets.Bytes().tag(sync=True)
