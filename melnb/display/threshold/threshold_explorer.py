"""The threshold explorer: choose the score from which an image is flagged, and see what follows.

The state is a plain object that needs no browser. Its view is one anywidget that redraws curves,
counts, groups and errors in the page: everything is sent once, and no kernel is asked while a
slider moves.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from melnb.display import cells
from melnb.display.threshold.panels import (
    CHOICE_FILE,
    Counts,
    Grouping,
    Pictures,
    Replacement,
    candidates,
    deflated,
    few_in_levels,
    groupings,
    limit_steps,
    packed,
    paired,
    write_choice,
)
from melnb.display.threshold.still import Still, draw_still
from melnb.evaluation.decisions.locked_threshold import KIND
from melnb.evaluation.decisions.operating_point import OUT_OF_FOLD, TEST_ROWS
from melnb.evaluation.rows import binary_rows, threshold_counts
from melnb.evaluation.subgroups.subgroup_metrics import Arrays, check_limits, row_arrays
from melnb.evaluation.summaries import cluster_column, of_intervals, rival, unit_of
from melnb.tables import checks, diagnoses

# Parts of one ECMAScript module, in the order in which they build on each other.
_PARTS = (
    "packed.js", "counts.js", "drawings.js", "panels.js", "benefit.js",
    "groups.js", "pair.js", "errors.js", "saving.js", "answer.js", "view.js",
)  # fmt: skip
_HERE = Path(__file__).parent
MODULE = "\n".join((_HERE / part).read_text(encoding="utf-8") for part in _PARTS)
STYLE = (_HERE / "explorer.css").read_text(encoding="utf-8")

_TOP = float(np.nextafter(1.0, 2.0))  # flags nothing, even where a score is 1
_MANY_LOW = 0.05  # half the scores below this: a linear axis would show one spike
_RESULTS = ("threshold", "prevalence", "sensitivity", "specificity", "run", "n", "positives")
_STATED = ("sensitivity", "specificity", "ppv", "npv", "number_needed_to_biopsy", "flagged")
_SYNCED = ("threshold", "prevalence", "chosen")


class ThresholdExplorer(traitlets.HasTraits):  # type: ignore[misc]
    """What follows from a threshold, and from the prevalence where the model will be used.

    Args:
        predictions: Predictions table. A threshold is chosen on out-of-fold rows where there are
            any; rows without a truth are left out.
        positive: The class looked for.
        threshold: To begin with, 0-1; None or NaN: the one of the largest sensitivity +
            specificity.
        prevalence: Share of positives where the model will be used; None or 0: the data's.
        title: Shown above the sliders; empty: the run's name.
        groups: `image_id` and columns of a few levels each (`subgroup_levels.subgroup_columns`),
            whose sensitivity and specificity are shown; None: none.
        other: Predictions table of a second run, compared on the images that both have; or several
            by name, of which the first of the very same images is.
        pictures: From an image's id to its picture, asked for the worst errors alone; None: the
            errors are a table (`panels.pictures_of`).
        kept: Worst images of each kind that are sent; more errors than these are counted only.
        confidence: Of the intervals in the page, which count patients (else lesions) where they
            are known, as the report's do.
        smallest: Fewest rows and patients of a class for which a group's number is shown.
        point: `operating_point` on these rows: where the threshold is its own, the page says how
            wide its intervals are when the threshold is chosen anew; None: it does not know.
        save_to: File that the button writes the chosen point to, asking before it replaces one;
            empty: it downloads it.

    Attributes:
        threshold: The chosen threshold; moving a slider changes it, and setting it moves them.
        prevalence: The chosen prevalence, likewise.
        chosen: Facts of the image that was clicked; empty: none was.
        save_to: Where the button writes to; no page can change it.
        recorder: Is given `results` whenever `save_to` has been written; None: nobody.

    Raises:
        TableError: The table has no such class, the rows with a truth lack one of both classes,
            the groups have doubled ids or too many levels, or the other run is of other images.
    """

    threshold = traitlets.Float(0.5, min=0.0, max=_TOP)
    prevalence = traitlets.Float(0.5, min=0.0, max=1.0)
    chosen = traitlets.Dict()
    save_to = traitlets.Unicode()

    def __init__(
        self,
        predictions: pd.DataFrame,
        *,
        positive: str = diagnoses.MELANOMA,
        threshold: float | None = None,
        prevalence: float | None = None,
        title: str = "",
        groups: pd.DataFrame | None = None,
        other: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
        pictures: Pictures | None = None,
        kept: int = 60,
        confidence: float = 0.95,
        smallest: int = 10,
        point: pd.DataFrame | None = None,
        save_to: str | Path = "",
    ) -> None:
        check_limits(smallest)
        rows = _deciding_rows(predictions, positive)
        self.positive, self.run = positive, str(predictions["run"].iloc[0])
        self.title = title or f"Threshold explorer: {self.run}"
        # A table of scores of no said kind is taken at its word, as `check_predictions` would.
        self._kind = str(predictions["kind"].iloc[0]) if "kind" in predictions else "probability"
        self._rows, self._pictures, self._kept = rows, pictures, kept
        self._confidence, self._smallest, self._point = confidence, smallest, point
        self._cluster = cluster_column(rows)
        self._unit = unit_of(predictions)
        self._scores, self._tp, self._fp = threshold_counts(rows)
        self._positives, self._others = int(self._tp[-1]), int(self._fp[-1])
        self._which = TEST_ROWS if (rows["fold"] == checks.TEST).all() else OUT_OF_FOLD
        self._groups = groupings(rows, groups)
        if isinstance(other, Mapping):
            other = rival(predictions, other)
        self._pair = None if other is None else paired(rows, other, positive=positive)
        self._replacement = Replacement()
        self.recorder: Callable[[Mapping[str, Any]], object] | None = None
        super().__init__(
            threshold=self._youden() if threshold is None or threshold != threshold else threshold,
            prevalence=prevalence or self._positives / len(rows),
            save_to=str(save_to),
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

    def choice(self) -> dict[str, Any]:
        """Return the chosen operating point as the button writes it, for `choose: threshold`."""
        row = self.at().iloc[0]
        return {
            "melnb": KIND,
            "threshold": self.threshold,
            "positive": self.positive,
            "prevalence": self.prevalence,
            "choose": "threshold",
            "at": self.threshold,
            "run": self.run,
            "rows": self._which,
            "n": self._positives + self._others,
            "positives": self._positives,
            "sensitivity": float(row["sensitivity"]),
            "specificity": float(row["specificity"]),
        }

    def results(self) -> dict[str, Any]:
        """Return what a run records of the chosen operating point."""
        choice = self.choice()
        return {name: choice[name] for name in _RESULTS}

    def save(self, path: str | Path = "") -> Path:
        """Write the chosen operating point; return the file.

        Args:
            path: A file or a folder; empty: `save_to`, else the working directory.
        """
        file = write_choice(self.choice(), path or self.save_to or CHOICE_FILE)
        self._record(file)
        return file

    def view(self) -> anywidget.AnyWidget:
        """Build the widget; the chosen values follow its sliders, and its sliders follow them."""
        view = _View(words=self._words, data=self._data)
        for name in _SYNCED:
            traitlets.link((self, name), (view, name))
        traitlets.dlink((self, "save_to"), (view, "writes"), bool)
        view.observe(lambda _: self._answer(view), "asked")
        return view

    def still(self) -> Still:
        """Return the explorer at the chosen threshold as a picture, where no widget lives."""
        rates = np.stack([self._fp / self._others, self._tp / self._positives], axis=1)
        scores, truth = (self._rows[name].to_numpy() for name in ("score", "truth"))
        return draw_still(
            np.concatenate([[[0.0, 0.0]], rates]), (scores[~truth], scores[truth]),
            self.at().iloc[0], positive=diagnoses.title(self.positive),
        )  # fmt: skip

    def page_state(self) -> dict[str, Any]:
        """Return what the same module needs in a page without a kernel, as plain JSON values.

        Returns:
            `values` as the widget's, and `data`: packed numbers in base64.
        """
        values = {"threshold": self.threshold, "prevalence": self.prevalence}
        data = {name: base64.b64encode(b).decode() for name, b in self._data.items()}
        return {"values": values | {"words": self._words}, "data": data}

    def _answer(self, view: _View) -> None:
        """Write the point that a view shows, and tell it where; or a question, or why not."""
        if not self.save_to:  # then the page has no such button
            return
        # One message may bring a move and the click: the links may not have been followed yet.
        self.threshold, self.prevalence = view.threshold, view.prevalence
        path, choice = Path(self.save_to), self.choice()
        try:
            view.question = self._replacement.write(choice, path, replace=view.replace)
            if not view.question:
                self._record(path)
                view.saved = f"Written to {path}"
        except (OSError, ValueError) as error:
            view.saved = f"Not written: {error}"

    def _record(self, path: Path) -> None:
        if self.recorder is not None and path == Path(self.save_to):
            self.recorder(self.results())

    def _row(self, cut: float, tp: int, fp: int) -> dict[str, float]:
        sensitivity, specificity = tp / self._positives, 1 - fp / self._others
        hits, missed = sensitivity * self.prevalence, (1 - sensitivity) * self.prevalence
        left, alarms = (
            specificity * (1 - self.prevalence),
            (1 - specificity) * (1 - self.prevalence),
        )
        flagged = hits + alarms
        return {
            "threshold": cut,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": hits / flagged if flagged else np.nan,
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

    @cached_property
    def _words(self) -> dict[str, Any]:
        """What the page shows or needs that is no long row of numbers."""
        return {
            "positive": diagnoses.title(self.positive),
            "title": self.title,
            "kind": self._kind,
            "intervals": of_intervals(self._cluster, self._confidence, self._unit),
            "few": self._few_words(),
            "unit": self._unit,
            "cluster": self._cluster.removesuffix("_id"),
            "point": self._point_limits(),
            "scale": "logit" if self._median() < _MANY_LOW else "linear",
            "groups": [self._group_words(group) for group in self._groups],
            "other": self._pair and {"name": self._pair.name, "n": self._pair.n},
            "candidates": candidates(
                self._rows, self._groups, kept=self._kept, pictures=self._pictures
            ),
            "choice": {"positive": self.positive, "run": self.run, "rows": self._which},
        }

    @cached_property
    def _data(self) -> dict[str, bytes]:
        """Numbers by name, packed."""
        data = _packed_counts("", (self._scores, self._tp, self._fp))
        data |= {"limits": packed(limit_steps(self._falling, confidence=self._confidence))}
        for k, group in enumerate(self._groups):
            codes = group.codes[self._order]
            levels = [self._falling.take(codes == level) for level in range(len(group.levels))]
            steps = [limit_steps(level, confidence=self._confidence) for level in levels]
            data |= {f"group{k}": deflated(codes), f"limits{k}": packed(np.concatenate(steps))}
        if self._pair is not None:
            data |= _packed_counts("other_", self._pair.other)
            if self._pair.n < len(self._rows):
                data |= _packed_counts("own_", self._pair.own)
            alone = zip(("alone_positives", "alone_others"), self._pair.alone, strict=True)
            data |= {name: packed(counts) for name, counts in alone}
        return data

    @cached_property
    def _order(self) -> np.ndarray:
        """Places of the rows by falling score; of those that tie, the positives first."""
        return np.lexsort((~self._rows["truth"].to_numpy(), -self._rows["score"].to_numpy()))

    @cached_property
    def _falling(self) -> Arrays:
        """The rows in that order."""
        return row_arrays(self._rows, threshold=0, cluster=self._cluster).take(self._order)

    def _group_words(self, group: Grouping) -> dict[str, Any]:
        sorted_group = Grouping(group.column, group.levels, group.codes[self._order])
        how: dict[str, Any] = {"smallest": self._smallest, "cluster": self._cluster}
        few = few_in_levels(self._falling, sorted_group, positive=self.positive, **how)
        levels = [{"name": n, "few": f} for n, f in zip(group.levels, few, strict=True)]
        return {"column": group.column, "levels": levels}

    def _few_words(self) -> str:
        """Return below what a group's number is not shown."""
        of = self._cluster.removesuffix("_id")
        units = f"{self._unit}s" + (f" or {of}s" if of and of != self._unit else "")
        return f"not shown: fewer than {self._smallest} {units}" if self._smallest else ""

    def _point_limits(self) -> dict[str, Any] | None:
        """Return the report's own point with both of its intervals, where it is known."""
        if self._point is None or self._point["threshold"].isna().all():
            return None
        row = self._point.iloc[0]
        ends = ("fixed_low", "fixed_high", "low", "high")
        limits = {
            name: [float(v) if np.isfinite(v := row[f"{name}_{end}"]) else None for end in ends]
            for name in _STATED
        }
        anew = row["choose"] not in ("threshold", "locked")
        point = {name: float(row[name]) for name in ("threshold", "prevalence")}
        return point | {"limits": limits, "anew": anew}

    def _median(self) -> float:
        rank = np.searchsorted(self._tp + self._fp, (self._positives + self._others) / 2)
        return float(self._scores[rank])


class _View(anywidget.AnyWidget):  # type: ignore[misc]
    _esm = MODULE
    _css = STYLE
    threshold = traitlets.Float().tag(sync=True)
    prevalence = traitlets.Float().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)
    writes = traitlets.Bool().tag(sync=True)  # the button does, and need not download
    asked = traitlets.Int().tag(sync=True)  # how often a button was pressed
    replace = traitlets.Bool().tag(sync=True)  # it was the one that says yes
    question = traitlets.Unicode().tag(sync=True)  # what is to be said yes or no to
    saved = traitlets.Unicode().tag(sync=True)  # what came of it
    words = traitlets.Dict().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)


class NothingToExplore(str):
    """Why there is no explorer: shown in its place, in a notebook and in a report."""

    __slots__ = ()

    def view(self) -> str:
        """Return the reason."""
        return str(self)

    def still(self) -> cells.Words:
        """Return nothing to see, as the reason is said."""
        return cells.Words()


def explore(
    predictions: pd.DataFrame, *, confidence: float = 0.95, **options: Any
) -> ThresholdExplorer | NothingToExplore:
    """Return `ThresholdExplorer`, or why there is none: rows of one class leave nothing to choose.

    Args:
        predictions: Predictions table.
        confidence: Of the intervals in the page.
        options: Of `ThresholdExplorer`.
    """
    try:
        return ThresholdExplorer(predictions, confidence=confidence, **options)
    except checks.TableError as error:
        return NothingToExplore(f"nothing to explore: {error}")


def _deciding_rows(predictions: pd.DataFrame, positive: str) -> pd.DataFrame:
    """Return binary rows and their `label`, out of fold where there are any, numbered from 0."""
    rows = binary_rows(predictions, positive=positive)
    labels = predictions.loc[predictions["truth"].notna(), "truth"]
    rows = rows.assign(label=labels.to_numpy())
    out_of_fold = rows[rows["fold"] != checks.TEST]
    rows = (out_of_fold if len(out_of_fold) else rows).reset_index(drop=True)
    if rows["truth"].nunique() < 2:
        raise checks.TableError(
            f"predictions: {int(rows['truth'].sum())} of {len(rows)} rows with a truth are "
            f"{positive!r}: a threshold needs rows of it and others"
        )
    return rows


def _packed_counts(prefix: str, counts: Counts) -> dict[str, bytes]:
    names = ("scores", "true_positives", "false_positives")
    return {f"{prefix}{name}": packed(values) for name, values in zip(names, counts, strict=True)}
