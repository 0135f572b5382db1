"""Finished runs side by side: what each found, and in which parameters they differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melnb.params.base import Parameters
from melnb.params.catalogue import stage_class
from melnb.running.status import main_result, result_name, result_text, time_text
from melnb.runs.folders import RECORD, RESERVED
from melnb.runs.store import find_run, outputs_root
from melnb.tables.checks import TableError
from melnb.tables.documents import read_run
from melnb.tables.files import is_table
from melnb.tables.nearest import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_OF_MASKS = ("02c_segment_train", "02d_segment_apply")
_NEVER = ("run", "fold", "outputs")  # in the run's name, or no part of what it learnt
_OWN = ("run", "result", "time", "when")
_MOST = 28  # characters of a value
Run = dict[str, Any]


def finished(stage: str, outputs: str | Path = "", *, sort: str = "when", reverse: bool = False
) -> list[Run]:  # fmt: skip
    """Return the finished runs of a stage.

    Args:
        stage: The notebook's stem.
        outputs: Where runs are written; empty: the project's.
        sort: `run`, `when`, `time`, a recorded result, or a parameter.
        reverse: The largest first.

    Returns:
        Of each `run`, `started`, `seconds`, `results`, `parameters`; those that lack what is
        sorted by come last.

    Raises:
        ParameterError: There is no such stage.
        ValueError: There is nothing of that name to sort by.
    """
    stage_class(stage)
    home = outputs_root(outputs) / stage
    rows = []
    folders = [path.parent for depth in ("*", "*/*") for path in home.glob(f"{depth}/{RECORD}")]
    for folder in sorted(folders):  # a fold lies below its run
        if any(part.endswith(RESERVED) for part in folder.relative_to(home).parts):
            continue
        record = read_run(folder, stage=stage)
        row: Run = {"run": folder.relative_to(home).as_posix(), "started": record["started"]}
        row |= {"seconds": record["seconds"], "results": record["results"]}
        rows.append(row | {"parameters": record["parameters"]})
    values = [_sortable(row, sort) for row in rows]
    names = {*_OWN, *(name for row in rows for name in (*row["results"], *row["parameters"]))}
    if rows and sort not in names:
        raise ValueError(f"--sort {sort}: no such column{did_you_mean(sort, sorted(names))}")
    positions = [k for k, value in enumerate(values) if value is not None]
    positions.sort(key=lambda k: values[k] or (0, 0.0, ""), reverse=reverse)
    return [rows[k] for k in [*positions, *(k for k, value in enumerate(values) if value is None)]]


def lines(rows: Sequence[Run], *, width: int = 0) -> list[str]:
    """Return runs as lines of text: name, main result, time, and the parameters that differ.

    Args:
        rows: `finished`.
        width: Characters that a line may have; columns beyond it are named below. 0: any number.
    """
    if not rows:
        return ["no finished run"]
    differ = _differing([row["parameters"] for row in rows])
    table = [["run", "result", "time", "when", *differ]]
    for row in rows:
        cells = [row["run"], main_result(row["results"]), time_text(row["seconds"]), _when(row)]
        table.append([*cells, *(_short(row["parameters"].get(name)) for name in differ)])
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    shown = len(_OWN)
    while shown < len(widths) and (not width or sum(widths[: shown + 1]) + 2 * shown <= width):
        shown += 1
    texts = ["  ".join(f"{cell:{size}}" for cell, size in zip(line[:shown], widths, strict=False))
             for line in table]  # fmt: skip
    hidden = table[0][shown:]
    more = [f"they differ in {', '.join(hidden)}, too: --json shows all"] if hidden else []
    return [*(text.rstrip() for text in texts), *more]


def plain(rows: Sequence[Run]) -> str:
    """Return runs as JSON: all that was recorded of each, numbers as they are."""
    return json.dumps(list(rows), indent=1, default=str)


def differing(first: str, second: str, outputs: str | Path = "") -> list[str]:
    """Return the parameters in which two runs differ, and what each found, as lines.

    Args:
        first: `<stage>/<run>`; a file has no parameters, and nothing is said.
        second: Likewise.
        outputs: Where runs are written; empty: the project's.
    """
    records = []
    for name in (first, second):
        stage, _, run = name.partition("/")
        if not run or is_table(name):
            return []
        records.append(read_run(find_run(stage, run, outputs)))
    table = [["", first, second]]
    results = [record["results"] for record in records]
    for name in dict.fromkeys([*results[0], *results[1]]):
        if not name.endswith(("_low", "_high")) and _is_number(results, name):
            cells = (result_text(values, name) if name in values else "-" for values in results)
            table.append([result_name(name), *cells])
    parameters = [record["parameters"] for record in records]
    for name in _differing(parameters):
        if any(name not in values for values in parameters):  # of another stage
            continue
        table.append([name, *(_short(record["parameters"].get(name)) for record in records)])
    widths = [max(len(line[k]) for line in table) for k in range(3)]
    return ["  ".join(f"{cell:{size}}" for cell, size in zip(line, widths, strict=True)).rstrip()
            for line in table]  # fmt: skip


def difference(row: Any, positive: str) -> str:
    """Return a paired difference of AUC in a sentence."""
    if row["difference"] != row["difference"]:
        return f"AUC cannot be compared: {row['note']}"
    beyond = row["low"] > 0 or row["high"] < 0  # neither, where the limits are not known
    verdict = "more than chance" if beyond else "no difference is shown"
    return (
        f"AUC of {positive}: {row['auc_first']:.3f} less {row['auc_second']:.3f} is "
        f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), p {row['p']:.2g}, on "
        f"the {row['n']:,} images of both, {row['positives']:,} positive: {verdict}"
    )


def page_parameters(first: str, second: str, positive: str, outputs: str | Path = "") -> Parameters:
    """Return what 06_report is asked for the page of two runs or files, the first reported."""
    names = (Path(name).stem if is_table(name) else name for name in (first, second))
    run = "-against-".join(re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.") for name in names)
    asked = {"run": run, "predictions": [first, second], "positive": positive}
    return stage_class("06_report").check({**asked, "outputs": str(outputs)})


def masks_of(names: Sequence[str], outputs: str | Path = "") -> list[pd.DataFrame]:
    """Return the scores of masks of each run; none unless all are of a stage that judges masks.

    Raises:
        TableError: A run has judged no mask.
    """
    import pandas as pd  # half a second, which `melnb runs` need not pay

    runs = [name.partition("/") for name in names]
    if any(stage not in _OF_MASKS for stage, _, _ in runs):
        return []
    folders = [find_run(stage, run, outputs) for stage, _, run in runs]
    for name, folder in zip(names, folders, strict=True):
        if not (folder / "scores.csv").is_file():
            raise TableError(f"{name} has judged no mask: prepare its dataset with true masks")
    return [pd.read_csv(folder / "scores.csv", dtype={"image_id": str}) for folder in folders]


def mask_differences(table: pd.DataFrame) -> list[str]:
    """Return paired differences of two segmenters as lines.

    Args:
        table: Of `mask_scores.segmenter_comparison`.
    """
    lines = []
    for row in table.to_dict("records"):
        limits = row["note"] or f"({row['low']:+.4g} to {row['high']:+.4g})"
        lines.append(
            f"{row['metric']:18} {row['value_first']:.4g} less {row['value_second']:.4g} is "
            f"{row['difference']:+.4g} {limits}, on {row['n']:,} images"
        )
    return lines


def _is_number(results: Sequence[Mapping[str, Any]], name: str) -> bool:
    values = [result[name] for result in results if name in result]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _differing(parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for run in parameters for name in run if name not in _NEVER)
    return [n for n in names if len({json.dumps(run.get(n), sort_keys=True, default=str)
                                     for run in parameters}) > 1]  # fmt: skip


def _sortable(row: Run, name: str) -> tuple[int, float, str] | None:
    keys = {"run": row["run"], "when": row["started"], "time": row["seconds"]}
    keys["result"] = main_result(row["results"])
    value = {**row["parameters"], **row["results"], **keys}.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _when(row: Run) -> str:
    return f"{datetime.fromisoformat(row['started']).astimezone():%Y-%m-%d %H:%M}"


def _short(value: Any) -> str:
    text = "-" if value is None or value == "" else str(value)
    return text if len(text) <= _MOST else f"{text[: _MOST - 2]} …"
