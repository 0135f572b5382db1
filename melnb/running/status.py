"""What stands where: the state of jobs as a table, once or live."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, TextIO

from melnb.running.stage import launcher, read_failure
from melnb.running.up_to_date import look_at
from melnb.runs.folders import RECORD, damage, holder, mend
from melnb.runs.raw_data import Look
from melnb.runs.store import project_root
from melnb.tables.documents import STATE_SHAPE, DamagedError, Record, read_document, read_run

_TAIL = {".partial": "unfinished", ".running.ipynb": "unfinished", ".failed.ipynb": "failed"}
_COLOURS = {"done": "32", "up to date": "32", "running": "36", "failed": "31", "damaged": "31",
            "not run": "33", "changed": "33", "starting": "36"}  # fmt: skip
_NAMES = {"auc": "AUC", "auc_at_home": "AUC at home", "internal_auc": "internal AUC"}


@dataclass(frozen=True)
class Row:
    """One job's state: a word, and what is worth knowing about it."""

    job: str
    state: str = "waiting"
    seconds: float | None = None
    note: str = ""  # the main result, the error, or why it waits
    when: str = ""


def read_board(outputs: Path, *, whole: bool = False) -> list[Row]:
    """Return the state of every run under an outputs folder, in the order of their names.

    Args:
        outputs: The folder of all runs.
        whole: Whether all that runs read and wrote is read, and not small files alone.
    """
    records: dict[str, Record] = {}
    rows = [_row(outputs, key, records) for key in sorted(_keys(outputs))]
    looks = {
        key: look_at(record, outputs / key, outputs=outputs, whole=whole)
        for key, record in records.items()
    }
    changes = {row.job: row.note for row in rows if row.state == "damaged"}
    changes |= {key: seen.change for key, seen in looks.items()}
    sources = {key: _sources(key, records[key], outputs, changes) for key in records}
    asked: set[str] = set()
    for key in records:
        _follow(key, sources, changes, asked)
    return [_looked_at(row, changes[row.job], looks[row.job]) if row.job in looks else row
            for row in rows]  # fmt: skip


def main_result(results: Mapping[str, Any]) -> str:
    """Return the first number that a run recorded, in words; empty if it recorded none."""
    for name, value in results.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{result_name(name)} {result_text(results, name)}"
    return ""


def result_name(name: str) -> str:
    """Return a recorded result's name in words."""
    return _NAMES.get(name, name.replace("_", " "))


def result_text(results: Mapping[str, Any], name: str) -> str:
    """Return a result in words, with its limits if it has any; of a list, each with its own."""
    value, low, high = (results.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if isinstance(value, list):
        ends = [end if isinstance(end, list) else [None] * len(value) for end in (low, high)]
        return ", ".join(map(_limited, value, *ends))
    return _limited(value, low, high)


def _limited(value: Any, low: Any, high: Any) -> str:
    if value is None:
        return "not estimable"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if low is None or high is None:
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    fixed = max(abs(value), abs(low), abs(high)) <= 1  # areas, shares and their differences
    ends = [f"{end:.3f}" if fixed else f"{end:.4g}" for end in (value, low, high)]
    between = " to " if low < 0 else "-"
    return f"{ends[0]} ({ends[1]}{between}{ends[2]})"


def table(
    rows: Sequence[Row], *, job_width: int = 0, width: int = 0, colour: bool = False
) -> list[str]:
    """Return the rows as lines of text.

    Args:
        rows: What to show.
        job_width: Characters for the jobs' names; 0: as many as the longest has.
        width: Characters that a line may have; 0: any number.
        colour: Colour the states, for a terminal.
    """
    job = job_width or max((len(row.job) for row in rows), default=0)
    lines = []
    for row in rows:
        when = f"{row.when}  " if row.when else ""
        note = row.note.removeprefix(f"{row.job} ").partition("\n")[0]
        text = f"{row.job:{job}}  {row.state:10}  {when}{time_text(row.seconds):>8}  {note}"
        text = text[: width or None].rstrip()
        if colour and row.state in _COLOURS:
            word = f"\x1b[{_COLOURS[row.state]}m{row.state}\x1b[0m"
            text = text[: job + 2] + word + text[job + 2 + len(row.state) :]
        lines.append(text)
    return lines


class Board:
    """A table that follows its rows: redrawn in a terminal, a line for each change elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._drawn = 0
        self._states: dict[str, str] = {}

    def show(self, rows: Sequence[Row]) -> None:
        """Show the rows as they are now."""
        size = shutil.get_terminal_size()
        if self._live and len(rows) < size.lines:
            lines = table(rows, width=size.columns - 1, colour="NO_COLOR" not in os.environ)
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
            self._drawn = len(lines)
        else:
            new = [row for row in rows if self._states.get(row.job, "waiting") != row.state]
            widest = max(len(row.job) for row in rows)
            self._stream.write("".join(f"{line}\n" for line in table(new, job_width=widest)))
        self._states = {row.job: row.state for row in rows}
        self._stream.flush()


def read_state(file: Path, job: str) -> Row:
    """Return the state that a running job wrote, waiting if it wrote none yet."""
    try:
        state = read_document(file, STATE_SHAPE, "run the pipeline again")
    except FileNotFoundError:
        return Row(job)
    except DamagedError:  # only at its end is it known whether it was killed
        return Row(job, "running", note=f"{file} is damaged")
    seconds = state["seconds"]
    if state["state"] == "running":
        seconds = max(0.0, time.time() - state["started"])
    return Row(job, state["state"], seconds, state["note"])


def _keys(outputs: Path) -> Iterable[str]:
    """Find runs, whole or not, without looking into them."""
    keys, seen = set(), set[str]()
    for folder, folders, files in os.walk(outputs, followlinks=True):  # to another disk, say
        here, real = Path(folder), os.path.realpath(folder)
        if real in seen:  # of a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        stage = here != outputs
        names = [n for n in folders if stage and (here / n / RECORD).is_file()]
        tails = [n for n in (*folders, *files) if stage and n.endswith(tuple(_TAIL))]
        keys |= {(here / name).relative_to(outputs).as_posix() for name in names}
        for name in tails:
            end = next(tail for tail in _TAIL if name.endswith(tail))
            keys.add((here / name.removesuffix(end)).relative_to(outputs).as_posix())
        skipped = (*names, *tails)
        folders[:] = [n for n in folders if n not in skipped and n[0] != "." and n[-4:] != ".old"]
    return keys


def _sources(key: str, record: Record, outputs: Path, keys: Collection[str]) -> list[str]:
    """Return the runs that a run read, or whose files it read."""
    root, sources = project_root(), []
    for entry in record["inputs"]:
        path = PurePath(os.path.relpath(root / entry["path"], outputs))
        names = (p.as_posix() for p in (path, *path.parents))
        sources += [name for name in names if name in keys and name != key][:1]
    return sources


def _follow(
    key: str, sources: Mapping[str, list[str]], changes: dict[str, str], asked: set[str]
) -> None:
    """Say of a run, and of those that it read, what comes before it and is to run again."""
    if key in asked:
        return
    asked.add(key)  # once: of a foreign record that reads itself too
    for source in sources.get(key, ()):
        _follow(source, sources, changes, asked)
        changes[key] = changes[key] or (f"after {source}" if changes[source] else "")


def _looked_at(row: Row, change: str, seen: Look) -> Row:
    if change:
        result = f" ({row.note})" if row.note else ""
        return replace(row, state="changed", note=f"{change}{result}")
    return replace(row, note=f"{row.note}; {seen.doubt}") if seen.doubt else row


def _row(outputs: Path, key: str, records: dict[str, Record]) -> Row:
    final = outputs / key
    mend(final)
    failed = final.with_name(f"{final.name}.failed.ipynb")
    record = final / RECORD
    if who := holder(final):
        return Row(key, "running", note=f"by {who}")
    if who := launcher(final):
        return Row(key, "starting", note=f"by {who}")
    if failed.exists() and (not record.exists() or failed.stat().st_mtime > record.stat().st_mtime):
        note = f"{read_failure(failed)} ({failed})"
        return Row(key, "failed", note=note, when=_when(failed.stat().st_mtime))
    if not record.exists():
        problem = damage(final)
        note = f"{problem}: will begin anew" if problem else "run it again to go on"
        return Row(key, "unfinished", note=note)
    try:
        run = read_run(final, stage=key.partition("/")[0])
    except DamagedError as error:
        ours = key[:2].isdigit()  # as all stages are numbered
        then = "will be made anew" if ours else "it is no run of melnb's, move it elsewhere"
        return Row(key, "damaged", note=f"{error.path}: {error.problem}: {then}")
    records[key] = run
    when = _when(datetime.fromisoformat(run["started"]).timestamp())
    return Row(key, "done", run["seconds"], main_result(run["results"]), when)


def _when(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp):%Y-%m-%d %H:%M}"


def time_text(seconds: float | None) -> str:
    """Return a duration in words; empty for none."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} m"
