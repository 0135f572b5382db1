"""How a report came about: the runs behind it, a row each, a run of many folds in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from melnb.display import cells
from melnb.params import STAGES

_OF_A_FOLD = ("fold", "outputs")  # what differs between the folds of one run, and where it lies


def run_facts(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return how runs came about; folds that were set alike share a row.

    Args:
        records: Of `runs.read_run`, in the order to show.

    Returns:
        `run`; `results`, the numbers that it recorded, fold by fold; `settings`, the parameters
        that are not at their default; `device`, `seconds` of all folds, `started`, `commit`, and
        the libraries' `versions`.
    """
    alike: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        name, _, fold = f"{record['stage']}/{record['run']}".partition("/fold")
        alike.setdefault((name, _words(_settings(record)), "fold" if fold else ""), []).append(
            record
        )
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
    told = {
        name: [_word(r["results"][name]) for r in group if name in r["results"]] for name in names
    }
    return ", ".join(f"{name} {' | '.join(dict.fromkeys(values))}" for name, values in told.items())


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    fields = STAGES[record["stage"]].model_fields if record["stage"] in STAGES else {}
    return {
        name: value
        for name, value in record["parameters"].items()
        if name not in _OF_A_FOLD and (name not in fields or fields[name].default != value)
    }


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in values.items())


def _word(value: Any) -> str:
    return cells.number(value) if isinstance(value, float) else str(value)
