"""The report card: a model card that the run fills in itself, and what guidelines still ask for.

After Mitchell et al. 2019, Model Cards for Model Reporting (FAT*). What a run did not record is
not guessed: it is listed by name, guideline by guideline, for the authors to add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from melnb.display import cells
from melnb.display.report import report_page
from melnb.tables.files import replacing

LIMITS = (
    "The numbers hold for images like those described here. Labels are those of the source, some "
    "of them not proven by histology. Images outside the trained classes are called one of them "
    "all the same."
)
_CHECKLISTS = Path(__file__).parent / "checklists.yaml"
_ITEMS: dict[str, dict[str, str]] = {
    "Intended use": {"intended_use": "Use", "goal": "Goal", "limits": "Limits"},
    "Data": {
        "source": "Source", "selection": "Selection", "preprocessing": "Preprocessing",
        "outcome": "Outcome", "numbers": "Numbers",
        "partition_numbers": "Numbers by fold", "clusters": "Images that belong together",
        "diagnoses": "Diagnoses", "demographics": "People", "sites": "Sites of the body",
        "skin_tone": "Skin tone", "missing": "Missing values", "licences": "Licences",
        "audit": "Audit",
    },
    "Folds": {"partitions": "Folds", "disjoint": "Kept apart by", "internal": "Evaluation",
              "external": "External data"},
    "Model": {
        "technology": "Technology", "network": "Network", "initial_weights": "Initial weights",
        "predictors": "Inputs", "colour": "Colour", "training": "Training",
        "augmentation": "Augmentation", "imbalance": "Class imbalance",
        "epoch_choice": "Choice of epoch", "ensembling": "Ensembling", "calibrator": "Calibrator",
        "software": "Software and hardware", "availability": "Availability",
    },
    "Results": {
        "unit": "What is judged", "discrimination": "Discrimination", "by_fold": "By fold",
        "calibration": "Calibration",
        "threshold_choice": "Threshold", "operating_point": "Operating point",
        "cross_table": "Counts", "class_decision": "Calls of many classes",
        "subgroups": "Subgroups", "robustness": "Robustness",
        "comparison": "Against other models", "shortcut": "Without the lesion",
        "failures": "Failures",
        "uncertainty": "Uncertainty",
    },
}  # fmt: skip
KEYS = {key for items in _ITEMS.values() for key in items}


def report_card(answers: Mapping[str, str]) -> pd.DataFrame:
    """Return the card, a row for each item that has an answer.

    Args:
        answers: By key (`answers.data_answers`, `model_answers`, `result_answers` together).

    Returns:
        `section`, `item`, `answer`.

    Raises:
        ValueError: A key belongs to no item.
    """
    unknown = sorted({*answers} - KEYS)
    if unknown:
        raise ValueError(f"the card has no item {unknown[0]!r} (items: {sorted(KEYS)})")
    texts = {"intended_use": report_page.INTENDED_USE[0], "limits": LIMITS, **answers}
    rows = [
        (section, item, texts[key])
        for section, items in _ITEMS.items()
        for key, item in items.items()
        if texts.get(key)
    ]
    return pd.DataFrame(rows, columns=["section", "item", "answer"])


def checklist_items(answers: Mapping[str, str]) -> pd.DataFrame:
    """Return every item of the guidelines, with the card's item that answers it.

    Items are named by their topic in words of our own; the guidelines themselves say more.

    Returns:
        `guideline`, `number` (empty where the guideline's own was not to hand), `topic`,
        `answered_by` (empty: missing), `source`.
    """
    names = {key: item for items in _ITEMS.values() for key, item in items.items()}
    keys = {"intended_use", "limits", *(key for key, text in answers.items() if text)}
    rows = [
        {
            "guideline": guideline,
            "number": item["number"],
            "topic": item["topic"],
            "answered_by": names[item["answer"]] if item["answer"] in keys else "",
            "source": facts["source"],
        }
        for guideline, facts in _read_checklists().items()
        for item in facts["items"]
    ]
    return pd.DataFrame(rows)


def write_card(
    folder: str | Path, card: pd.DataFrame, items: pd.DataFrame, *, title: str
) -> list[Path]:
    """Write `report_card.md` and `report_card.html`, each whole or not at all.

    Args:
        folder: Where to.
        card: `report_card`.
        items: `checklist_items`.
        title: Of both files.

    Returns:
        The two paths.
    """
    folder = Path(folder)
    with replacing(folder / "report_card.md") as temporary:
        temporary.write_text(_markdown(card, items, title), encoding="utf-8")
    sections = [
        report_page.Section(str(name), dict(zip(part["item"], part["answer"], strict=True)))
        for name, part in card.groupby("section", sort=False)
    ]
    html = report_page.write_report(
        folder / "report_card.html",
        title=title,
        subtitle="Report card",
        sections=[*sections, *checklist_sections(items)],
    )
    return [folder / "report_card.md", html]


def checklist_sections(items: pd.DataFrame) -> list[report_page.Section]:
    """Return a section for each guideline: its answered items as a table, the missing by name."""
    sections = []
    for guideline, part in items.groupby("guideline", sort=False):
        missing = part[part["answered_by"] == ""]
        answered = part[part["answered_by"] != ""][["number", "topic", "answered_by"]]
        heading = f"{guideline}: {len(answered)} of {len(part)} items answered"
        source = f"{part['source'].iloc[0]}. Topics are in our words: read the original."
        sections.append(
            report_page.Section(heading, source, answered, f"Missing: {_listed(missing)}.")
        )
    return sections


def _markdown(card: pd.DataFrame, items: pd.DataFrame, title: str) -> str:
    lines = [f"# Report card: {_plain(title)}", ""]
    for section, part in card.groupby("section", sort=False):
        lines += [f"## {section}", ""]
        lines += [f"- **{row.item}:** {_plain(row.answer)}" for row in part.itertuples()] + [""]
    lines += ["## Reporting guidelines", ""]
    for guideline, part in items.groupby("guideline", sort=False):
        answered, missing = part[part["answered_by"] != ""], part[part["answered_by"] == ""]
        lines += [f"### {guideline}: {len(answered)} of {len(part)} items answered", ""]
        lines += [f"{part['source'].iloc[0]}. Topics are in our words: read the original.", ""]
        lines += [f"- [x] {_item(row)}: see *{row.answered_by}*" for row in answered.itertuples()]
        lines += [f"- [ ] {_item(row)}: **missing**" for row in missing.itertuples()] + [""]
    return "\n".join(lines)


def _item(row: object) -> str:
    number, topic = getattr(row, "number", ""), getattr(row, "topic", "")
    return f"{number} {topic}".strip()


def _listed(missing: pd.DataFrame) -> str:
    return "; ".join(_item(row) for row in missing.itertuples()) or "nothing"


def _plain(text: object) -> str:
    """Return text that Markdown shows as it is: names come with the data."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in str(text))
    return " ".join(escaped.split())


def _read_checklists() -> dict[str, dict[str, list[dict[str, str]]]]:
    read: dict[str, dict[str, list[dict[str, str]]]] = yaml.safe_load(
        _CHECKLISTS.read_text(encoding="utf-8")
    )
    return read


# How a report came about: the runs behind it, a row each, a run of many folds in one.

_OF_A_FOLD = ("fold", "outputs")  # what differs between the folds of one run, and where it lies


def run_facts(
    records: Sequence[Mapping[str, Any]], defaults: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return how runs came about; folds that were set alike share a row.

    Args:
        records: Of `documents.read_run`, in the order to show.
        defaults: Of `catalogue.defaults`: what is not set, by stage.

    Returns:
        `run`; `results`, the numbers that it recorded, fold by fold; `settings`, the parameters
        that are not at their default; `device`, `seconds` of all folds, `started`, `commit`, and
        the libraries' `versions`.
    """
    alike: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        name, _, fold = f"{record['stage']}/{record['run']}".partition("/fold")
        alike.setdefault(
            (
                name,
                _words(_settings(record, defaults.get(record["stage"], {}))),
                "fold" if fold else "",
            ),
            [],
        ).append(record)
    return pd.DataFrame(
        {
            "run": name + _folds(group),
            "results": _results(group),
            "settings": settings,
            "device": group[0]["device"],
            "seconds": sum(record["seconds"] for record in group),
            "started": group[0]["started"][:16].replace("T", " "),
            "commit": str(group[0]["commit"] or "")[:9],
            "versions": _words(group[0]["versions"]),
        }
        for (name, settings, _), group in alike.items()
    )


def _folds(group: Sequence[Mapping[str, Any]]) -> str:
    folds = [
        str(record["run"]).rpartition("/fold")[2] for record in group if "/fold" in record["run"]
    ]
    return f"/fold{', '.join(folds)}" if folds else ""


def _results(group: Sequence[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(name for record in group for name in record["results"])
    ends = {f"{name}_{end}" for name in names for end in ("low", "high")}
    texts = {n: [_result(r["results"], n) for r in group] for n in names if n not in ends}
    return ", ".join(
        # One word where all say the same; else a word for each fold, however often it comes.
        f"{name.replace('_', ' ')} {' | '.join(values if len({*values}) > 1 else values[:1])}"
        for name, values in texts.items()
    )


def _result(results: Mapping[str, Any], name: str) -> str:
    """Return a result with its limits, if it has any."""
    if name not in results:
        return cells.NOTHING
    low, high = (results.get(f"{name}_{end}") for end in ("low", "high"))
    limits = "" if low is None or high is None else f" ({_word(low)} – {_word(high)})"
    return f"{_word(results[name])}{limits}"


def _settings(record: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in record["parameters"].items()
        if name not in _OF_A_FOLD and (name not in defaults or defaults[name] != value)
    }


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in values.items())


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or "none"
    return cells.number(value) if isinstance(value, float) else str(value)
