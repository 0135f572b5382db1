"""The report of a notebook: each cell shows a number and its picture, and the page collects them.

`report.show(evaluation.roc_curve, "Curves")` calls the function with those of the report's values
that it takes by name (`predictions`, `positive`, `confidence` …), draws it by the picture of the
same name in `display`, and keeps both for the section "Curves" of the page; run again, anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from melnb import display
from melnb.display import cells
from melnb.display.report import answers, card
from melnb.display.report.answer import Answer, answer
from melnb.display.report.facts import as_read, by_fold, of_shared_images, rival
from melnb.display.report.ledger import licence_answer
from melnb.display.report.prose import Around, Number, Shown, page_sections, read_prose
from melnb.display.report.report_page import Part, Section, write_figures, write_report
from melnb.display.threshold.panels import CHOICE_FILE, pictures_of
from melnb.display.threshold.threshold_explorer import (
    NothingToExplore,
    ThresholdExplorer,
    explore,
)
from melnb.evaluation.decisions.class_decision import write_class_decision
from melnb.evaluation.decisions.class_gain import gain_results
from melnb.evaluation.decisions.locked_threshold import lock_threshold, write_threshold
from melnb.evaluation.summaries import (
    class_results,
    cluster_column,
    of_intervals,
    of_known_patients,
    out_of_fold,
    run_results,
    unit_of,
)
from melnb.evaluation.unjudged import unjudged_results, why_unjudged
from melnb.tables.checks import TEST
from melnb.tables.findings import Audit
from melnb.tables.schema import class_names, write_table

Shows = Literal["", "figure", "table", "both", "appendix"]

NUMBERS = {
    "point": "operating_point", "by_fold": "metrics_by_fold", "sets": "prediction_sets",
    "roc": "roc_curve", "precision_recall": "precision_recall_curve",
    "decision": "fit_class_decision",
}  # fmt: skip
"""Arguments that are an earlier number of the report, and which."""

_PROBABILITIES = {
    "net_benefit_table": "A decision curve", "reliability_table": "Calibration",
    "calibration_scores": "Calibration", "calibration_curve": "A calibration curve",
    "calibration_indices": "A calibration curve",
    "multiclass_calibration_scores": "Calibration of all classes",
}  # fmt: skip
_UNJUDGED = ("unjudged_facts", "unjudged_scores", "unjudged_context")  # where others are judged
_SEVERAL_FOLDS = ("fold_dispersion", "cross_validated_auc")  # they say nothing of one
_ALL_CLASSES = (  # they say of two what was said of one
    "class_scores", "auc_by_class", "confusion_by_class", "multiclass_calibration_scores",
    "class_gain", "decision_by_class",
)  # fmt: skip
_OF_LEADS = (
    "Of a leaderboard's entry only the AUC and the number of images are known. A "
    "lead over it that is smaller than the least lead is within the noise, the more so the less "
    "alike the two err (correlation)."
)


class Report:
    """What a notebook shows of predictions, collected for one page, its CSVs and its figures.

    Args:
        kept: Where it is collected: a notebook gives the run's own (`job.figures`), which stays
            when the cell that makes the report is run again.
        members: Name and predictions of each run, all rows; the first is reported.
        shared: What functions may ask for by name: `positive`, `confidence`, `seed`, `prevalence`,
            `groups`, `images`, `open_picture`, `audit` and whatever else. The report adds `members`
            and `predictions` (the first member's), of their out-of-fold rows; `shortcuts` of the
            audit; `cluster`, whose images err together; `threshold`, of the operating point once
            it is known; and `NUMBERS`.

    Attributes:
        judged: Whether any row has a truth.
    """

    def __init__(
        self, kept: dict[str, Any], members: Mapping[str, pd.DataFrame], **shared: Any
    ) -> None:
        judged = out_of_fold(members)
        self.predictions = next(iter(judged.values()))
        audit = shared.get("audit") or Audit()
        numbers = {"members": judged, "predictions": self.predictions, "shortcuts": audit.shortcuts}
        self._shared = {**numbers, **shared, "audit": audit}
        self._everything = next(iter(members.values()))
        self.judged = bool(self._everything["truth"].notna().any())
        self._prose: Mapping[str, Around] = {}
        self._numbers: dict[str, Number] = kept.setdefault("numbers", {})
        self._shown: dict[str, Shown] = kept.setdefault("shown", {})
        if audit.run:
            self.include("Audit", audit.findings, always=True, folded=True)

    def __getitem__(self, name: str) -> Any:
        """Return the number of a name: a table, or tables by label.

        Raises:
            KeyError: It was not made.
        """
        return self._number(name).value

    @property
    def threshold(self) -> float:
        """That of the operating point; NaN where none can be chosen."""
        return float(self["operating_point"]["threshold"].iloc[0])

    @property
    def folds(self) -> dict[str, pd.DataFrame]:
        """All out-of-fold rows, and those of each fold, by label."""
        return by_fold(self.predictions)

    @property
    def members(self) -> dict[str, pd.DataFrame]:
        """The out-of-fold rows of each of several runs, of the images that all have, by label."""
        return of_shared_images(self._shared["members"])

    @property
    def known_patients(self) -> pd.DataFrame:
        """The rows whose patient is known."""
        return of_known_patients(self.predictions)

    @property
    def intervals(self) -> str:
        """How wide every interval is, and what counts as independent in it, in words."""
        how = cluster_column(self.predictions), self._shared["confidence"]
        return of_intervals(*how, unit_of(self.predictions))

    @property
    def sections(self) -> list[Section]:
        """Those of the page, in the order of the cells; then those of its appendix."""
        return page_sections(self._shown, self._prose, judged=self.judged)

    @property
    def answer(self) -> Answer:
        """What stands on top of the page: a sentence, four figures, and what limits them."""
        return answer(
            {name: number.value for name, number in self._numbers.items() if not number.lack},
            self.predictions,
            positive=self._shared["positive"],
            confidence=self._shared["confidence"],
            unjudged=why_unjudged(self._everything),
            audited=self._shared["audit"].sentence,
        )

    def number(
        self,
        function: Callable[..., Any],
        *,
        over: Mapping[str, pd.DataFrame] | None = None,
        csv: str = "",
        **options: Any,
    ) -> Any:
        """Return what a function makes of the report's values, kept under its name.

        Args:
            function: Of `evaluation`.
            over: Predictions by label, to make one of each; None: one of the report's.
            csv: The name of its file.
            options: Instead of the report's values, or beside them.

        Raises:
            TypeError: The function takes no such option.
        """
        _check_options(options, function)
        return self._made(function, function.__name__, over, csv, options).value

    def show(
        self,
        function: Callable[..., Any],
        section: str = "",
        *,
        page: Shows = "",
        csv: str = "",
        over: Mapping[str, pd.DataFrame] | None = None,
        of: str = "",
        name: str = "",
        words: str = "",
        always: bool = False,
        folded: bool = False,
        **options: Any,
    ) -> Any:
        """Make a number and its picture, keep both, and return what the cell shows.

        Args:
            function: Of `evaluation`, drawn by the function of its name in `display`, if there is
                one; or of `display`: a picture, or a table to read, by itself.
            section: Of the page; empty: it stands in the notebook alone.
            page: What the page has of it, `figure`, `table` or `both`; without a picture, the
                table. `appendix`: both, the table there. Empty: the figure, and both where all
                stands in the appendix. The cell shows the picture, and the table where the page
                has it.
            csv: The name of the table's file; empty: it is not written.
            over: Predictions by label, to make one number of each and one picture of all; of none
                nothing is shown.
            of: The number that a function of `display` draws.
            name: By which both are kept, and of the figure's file; empty: the function's. What was
                kept by it is replaced.
            words: A paragraph above; empty: what every reader of such a number must know.
            always: Keep the section where no row has a truth.
            folded: All of it stands in the appendix.
            options: Instead of the report's values, for the function and its picture.

        Raises:
            TypeError: Neither takes an option.
        """
        kept = name or function.__name__
        if over is not None and not over:
            self._shown.pop(kept, None)
            return cells.cell(())
        drawn, tables, lack = self._seen(function, kept, over, csv, of, options)
        folded = folded or (self.judged and function.__name__ in _UNJUDGED)
        page = page or ("both" if folded else "figure")
        chosen = {"figure": [drawn], "table": tables}.get(page, [drawn, *tables])
        parts = [part for part in chosen if part is not None] or tables or [lack]
        above = [text for text in [words or self._above(function.__name__)] if text]
        figure = drawn if isinstance(drawn, go.Figure) else None
        fitting = self._fitting(function.__name__, parts)
        below = [p for p in fitting if folded or (page == "appendix" and p is not drawn)]
        onto = [p for p in fitting if not any(p is other for other in below)]
        texts = above if onto or not below else []
        self._shown[kept] = Shown(
            section, (*texts, *onto), tuple(below if texts else [*above, *below]), figure, always
        )
        return cells.cell([*above, *([drawn] if page == "table" else []), *parts])

    def by_run(self, section: str, *functions: Callable[..., Any]) -> Any:
        """Draw curves of several runs over each other, in the appendix, without the first's point.

        Args:
            section: Of the page.
            functions: Of `evaluation`, drawn by functions of their names in `display`.
        """
        how: dict[str, Any] = {"over": self.members, "folded": True, "point": None}
        drawn = [self.show(f, section, name=f"{f.__name__}_by_run", **how) for f in functions]
        figures = [figure for figure in drawn if isinstance(figure, go.Figure)]
        for figure in figures:
            figure.update_layout(title_text=f"{figure.layout.title.text} of each run")
        return cells.cell(figures)

    def include(
        self, section: str, *parts: Part, always: bool = False, folded: bool = False
    ) -> Any:
        """Put text, tables or anything that a page can show under a heading; return it.

        Args:
            section: Of the page; what was included in it before is replaced.
            parts: In reading order.
            always: Keep the section where no row has a truth.
            folded: It stands in the appendix.
        """
        onto, below = ((), parts) if folded else (parts, ())
        self._shown[section] = Shown(section, onto, below, always=always)
        return cells.cell(parts)

    def explore(self, section: str) -> ThresholdExplorer | NothingToExplore:
        """Return the threshold explorer, or why there is none, and put it under a heading.

        Args:
            section: Of the page.
        """
        images, opened = self._shared["images"], self._shared["open_picture"]
        pictures = None if images is None else pictures_of(images, open_picture=opened)
        names = ("positive", "prevalence", "groups", "confidence", "smallest")
        explorer = explore(
            self.predictions,
            threshold=self.threshold,
            point=self["operating_point"],
            other=rival(self._shared["members"]),
            pictures=pictures,
            **{name: self._shared[name] for name in names},
        )
        self.include(section, explorer)
        return explorer

    def results(self) -> dict[str, object]:
        """Return the numbers that `run.json` keeps."""
        facts = run_results(self["metrics_by_fold"], self["operating_point"])
        facts |= class_results(self["class_scores"])
        if "class_gain" in self._numbers:
            facts |= gain_results(self["class_gain"])
        return facts | unjudged_results(self["unjudged_facts"])

    def lock(self, folder: str | Path) -> dict[str, object]:
        """Write what was chosen here, to be applied elsewhere as it is; return `results`.

        Args:
            folder: Of `operating_point.json`, and where a decision of many classes was fitted, of
                `class_decision.json`.
        """
        write_threshold(lock_threshold(self["operating_point"]), Path(folder) / CHOICE_FILE)
        if "fit_class_decision" in self._numbers:
            write_class_decision(self["fit_class_decision"], Path(folder) / "class_decision.json")
        return self.results()

    def write(
        self,
        folder: str | Path,
        *,
        title: str,
        subtitle: str = "",
        page: str = "report.html",
        notebook: Path | None = None,
    ) -> Path:
        """Write the page, the figures and the tables; return the page.

        Args:
            folder: Of the page, `figures/` and the CSV files.
            title: Of the page.
            subtitle: A line below it.
            page: Its file.
            notebook: Whose sentences stand around its pictures; then the page begins with the
                answer. None: neither.
        """
        for number in self._numbers.values():
            if number.csv:
                write_table(number.value, Path(folder) / f"{number.csv}.csv")
        figures = {
            name: shown.figure for name, shown in self._shown.items() if shown.figure is not None
        }
        write_figures(Path(folder) / "figures", figures)
        self._prose = {} if notebook is None else read_prose(notebook)
        return write_report(
            Path(folder) / page,
            title=title,
            subtitle=subtitle,
            sections=self.sections,
            answer=None if notebook is None else self.answer,
        )

    def write_card(
        self,
        folder: str | Path,
        records: answers.Records,
        *,
        title: str,
        calibrator: str = "none",
    ) -> pd.DataFrame:
        """Write the report card, and return how many items of each guideline it answers.

        Args:
            folder: Of `report_card.md` and `report_card.html`.
            records: Of the runs behind the predictions (`runs.lineage`).
            title: Of both files.
            calibrator: The method that was applied.

        Returns:
            `sum` and `size` (answered, and all), by `guideline`.
        """
        named = {
            "scores": "metrics_by_fold", "point": "operating_point",
            "calibration": "calibration_scores", "groups": "subgroup_metrics",
            "compared": "auc_comparison",
        }  # fmt: skip
        later = {"decided": "class_gain", "over": "over_best_shortcut"}  # of few reports
        named |= {key: name for key, name in later.items() if name in self._numbers}
        tables = {key: self._number(name) for key, name in named.items()}
        numbers: dict[str, Any] = {k: None if n.lack else n.value for k, n in tables.items()}
        texts = answers.data_answers(records, self._shared["images"], self._shared["audit"])
        texts |= answers.model_answers(records) | answers.result_answers(
            self.predictions,
            positive=self._shared["positive"],
            cluster=cluster_column(self.predictions),
            calibrator=calibrator,
            **numbers,
        )
        texts["licences"] = licence_answer(records)
        items = card.checklist_items(texts)
        card.write_card(folder, card.report_card(texts), items, title=title)
        answered = items.assign(answered=items["answered_by"] != "")
        return answered.groupby("guideline")["answered"].agg(["sum", "size"])

    def _number(self, name: str) -> Number:
        if name not in self._numbers:
            raise KeyError(f"the report has no {name}: run the cell that shows it first")
        return self._numbers[name]

    def _seen(
        self,
        function: Callable[..., Any],
        name: str,
        over: Mapping[str, pd.DataFrame] | None,
        csv: str,
        of: str,
        options: Mapping[str, Any],
    ) -> tuple[Any, list[Any], str]:
        """Return a picture (None: there is none), tables to read, and why there is neither."""
        drawing = function.__module__.startswith(display.__name__)
        picture = function if drawing else getattr(display, function.__name__, None)
        _check_options(options, function, picture)
        if not drawing:
            number = self._made(function, name, over, csv, options)
        else:
            number = self._number(of) if of else Number(None)
        drawn = None if number.lack else self._drawn(picture, number.value, options)
        return drawn, [] if drawing else _read(function.__name__, number), number.lack

    def _made(
        self,
        function: Callable[..., Any],
        name: str,
        over: Mapping[str, pd.DataFrame] | None,
        csv: str,
        options: Mapping[str, Any],
    ) -> Number:
        """Make a number, or a table that says why there is none, and keep it."""
        each = {"": options} if over is None else {
            label: {**options, "predictions": rows} for label, rows in over.items()
        }  # fmt: skip
        filled = {label: self._filled(function, keywords) for label, keywords in each.items()}
        lacks = {label: self._lack(function, keywords) for label, keywords in filled.items()}
        values = {k: function(**keywords) for k, keywords in filled.items() if not lacks[k]}
        if values:
            number = Number(values[""] if over is None else values, csv)
        else:
            lack = next(iter(lacks.values()), "no predictions")
            number = Number(pd.DataFrame({"note": [f"not estimable: {lack}"]}), csv, lack)
        self._numbers[name] = number
        return number

    def _filled(self, function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the options and of the report's values that a function takes."""
        takes = inspect.signature(function).parameters
        rows = options.get("predictions", self.predictions)
        keywords = self._shared | {"cluster": cluster_column(rows)}
        keywords |= {k: self._numbers[n].value for k, n in NUMBERS.items() if n in self._numbers}
        if "operating_point" in self._numbers:
            keywords["threshold"] = self.threshold
        keywords |= options
        return {name: value for name, value in keywords.items() if name in takes}

    def _lack(self, function: Callable[..., Any], filled: Mapping[str, Any]) -> str:
        """Return why a function has nothing to make a number of; empty: it has."""
        name, rows = function.__name__, filled.get("predictions", self.predictions)
        if name in _PROBABILITIES and not (rows["kind"] == "probability").all():
            words = "needs probabilities: these are ranks or scores. Choose a calibrator."
            return f"{_PROBABILITIES[name]} {words}"
        if name == "prediction_sets" and not (rows["fold"] != TEST).any():
            return "no row is out of fold: nothing to calibrate sets on"
        needed = (self._numbers.get(number) for key, number in NUMBERS.items() if key in filled)
        return next((number.lack for number in needed if number and number.lack), "")

    def _drawn(
        self,
        picture: Callable[..., Any] | None,
        value: Any,
        options: Mapping[str, Any],
    ) -> Any:
        """Return a number's picture; None where there is none, or it lacks what it needs."""
        if picture is None:
            return None
        filled = self._filled(picture, options)
        if value is None:  # of `display`, and by itself
            return picture(**filled)
        first, *others = inspect.signature(picture).parameters.values()
        needed = [other.name for other in others if other.default is other.empty]
        if any(filled.get(name, "") is None for name in needed):
            return None
        return picture(value, **{k: v for k, v in filled.items() if k != first.name})

    def _above(self, name: str) -> str:
        """Return what every reader of a number must know first; empty: nothing."""
        return {"members_table": self.intervals, "lead_needed": _OF_LEADS}.get(name, "")

    def _fitting(self, name: str, parts: Sequence[Part]) -> Sequence[Part]:
        """Return the parts for the page: none of several folds where there is one, nor of all
        classes where there are two, of which one says all.
        """
        rows = self.predictions[self.predictions["fold"] != TEST]
        if name in _SEVERAL_FOLDS and rows["fold"].nunique() < 2:
            return ()
        return () if name in _ALL_CLASSES and len(class_names(self.predictions)) < 3 else parts


def _check_options(options: Mapping[str, Any], *functions: Callable[..., Any] | None) -> None:
    takes = {name for f in functions if f is not None for name in inspect.signature(f).parameters}
    for name in options.keys() - takes:
        raise TypeError(f"{functions[0] and functions[0].__name__} takes no {name!r}")


def _read(name: str, number: Number) -> list[Any]:
    """Return the tables of a number as a reader wants them; none where it has many, or a lack."""
    if number.lack or not isinstance(number.value, pd.DataFrame):
        return []
    return as_read(name, number.value)
