"""Where a run writes, and what it records.

A run works in `<outputs>/<stage>/<name>.partial/`; `finish` writes `run.json` last and renames the
folder, so `<outputs>/<stage>/<name>/` is a whole run or absent. An unfinished folder is continued
by a run of the same parameters and wiped by any other.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from melnb.params.catalogue import ParameterError, Parameters
from melnb.runs import raw_data
from melnb.runs.folders import (
    OPENED,
    RECORD,
    RESERVED,
    RunError,
    claim,
    hold,
    mend,
    partial,
    replace,
    write_json,
)
from melnb.runs.provenance import (
    ABSENT,
    LAUNCH,
    check_written,
    commit,
    hash_path,
    identity,
    list_files,
    plain,
    stamps,
    versions,
)
from melnb.tables.documents import DamagedError as DamagedError
from melnb.tables.documents import Record as Record
from melnb.tables.documents import read_json as read_json
from melnb.tables.documents import read_run as read_run
from melnb.tables.files import is_table

_LAST: WeakValueDictionary[Path, Run] = WeakValueDictionary()  # opened by this process
_SHOWN = 5  # files in an error's message
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def project_root() -> Path:
    """Return the folder that holds `notebooks/` and `params/`, above or at the working directory.

    The environment variable `MELNB_ROOT` wins; without either, the working directory is returned.
    """
    if given := os.environ.get("MELNB_ROOT"):
        return Path(given).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    return here


def notebook_file(stage: str) -> Path:
    """Return where the project's notebook of a stage lies, whether it does or not."""
    return project_root() / "notebooks" / f"{stage}.ipynb"


def resolve(text: str | Path) -> Path:
    """Expand `~` and `$VARIABLES`; a relative path is relative to the project root.

    Raises:
        ParameterError: A variable is not set.
    """
    expanded = os.path.expandvars(str(text))
    if unset := _VARIABLE.search(expanded):
        name = unset[1].strip("{}")
        raise ParameterError(f"{str(text)!r}: the environment variable {name} is not set; set it")
    return project_root() / Path(expanded).expanduser()


def located(file: str | Path) -> Path:
    """Return a file that a person named, from where they stand or from the project root."""
    return Path(file) if Path(file).exists() else resolve(file)


def outputs_root(outputs: str | Path = "") -> Path:
    """Return the folder that holds all runs: `outputs/` of the project unless another is given."""
    return resolve(outputs or "outputs")


def run_name(parameters: Parameters) -> str:
    """Return the folder below the stage's that a run of these parameters has.

    It is `<run>/fold<k>` where a fold is trained, `<run>` where a run is named, else `<dataset>`.
    """
    values = parameters.plain()
    name = str(values.get("run") or values["dataset"])
    return f"{name}/fold{values['fold']}" if "fold" in values else name


def find_run(stage: str, run: str, outputs: str | Path = "", *, unfinished: bool = False) -> Path:
    """Return the folder of a finished run.

    Args:
        stage: The notebook's stem.
        run: The folder below the stage's.
        outputs: Where runs are written; empty: the project's `outputs/`.
        unfinished: Whether that of one which is not finished will do.

    Raises:
        FileNotFoundError: It was never run, or not to its end.
    """
    final = outputs_root(outputs) / stage / run
    mend(final)
    if (final / RECORD).is_file():
        return final
    if partial(final).is_dir():
        if unfinished:
            return partial(final)
        raise FileNotFoundError(
            f"{stage}/{run} is not finished ({partial(final)}): run {stage} to its end first"
        )
    raise FileNotFoundError(f"no {stage}/{run} in {outputs_root(outputs)}: run {stage} first")


def find_table(name: str, outputs: str | Path = "", *, file: str = "predictions.csv") -> Path:
    """Return the file that a text names: one of a finished run (`04_predict/b3`), or a CSV's path.

    Raises:
        FileNotFoundError: The run is not finished, or the file is not there.
    """
    stage, _, run = name.partition("/")
    is_path = is_table(name) or not run
    path = resolve(name) if is_path else find_run(stage, run, outputs) / file
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: name a run as stage/run, or a CSV file")
    return path


class Run:
    """A run that is being written; made by `open_run`.

    Attributes:
        stage: The notebook's stem.
        name: The folder below the stage's.
        folder: Where to write. After `finish` it is the finished folder.
        resumed: Whether files of an earlier, unfinished try were found in it.
        figures: What the notebook has drawn so far, by name.
    """

    def __init__(
        self, stage: str, name: str, *, parameters: Mapping[str, Any], outputs: str | Path = ""
    ) -> None:
        if name.endswith(RESERVED):
            raise RunError(f"a run may not be named {name!r}: {RESERVED} end unfinished ones")
        self.stage, self.name, self._outputs = stage, name, outputs
        self._final = outputs_root(outputs) / stage / name
        self._parameters = dict(json.loads(json.dumps(parameters)))
        self._lock = hold(self._final)
        self.resumed = claim(self._final, self._parameters)
        self.folder = partial(self._final)
        self.figures: dict[str, Any] = {}
        self._inputs: dict[str, str] = {}
        self._raw: dict[str, raw_data.Files] = {}
        self._written: set[str] = set()
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        before = _LAST.get(self._final)
        if before and identity(before._parameters) == identity(self._parameters):
            # The cell was run again: what others read, drew and wrote belongs to this run too.
            self.figures, self._inputs = before.figures, {**before._inputs}
            self._raw = {**before._raw}
            self._written = before._written
        _LAST[self._final] = self

    def reads(self, path: str | Path) -> Path:
        """Record a file or an earlier run as read, with its hash; return its path.

        Raises:
            FileNotFoundError: There is nothing at the path.
            DamagedError: It is of a run, and not what that run wrote.
        """
        path = resolve(path)
        check_written(path)
        self._inputs[_in_project(path)] = hash_path(path)
        return path

    def given(self, path: str | Path | None) -> str | Path:
        """Record a file or folder that may be named, as `reads` does.

        Args:
            path: Empty or None: none is named.

        Returns:
            Its path, or the empty text.
        """
        return self.reads(path) if path else ""

    def finds(self, stage: str, names: Iterable[str]) -> list[Path]:
        """Find finished runs of an earlier stage and record them as read; empty names are none.

        Raises:
            FileNotFoundError: One is not there; those that are are named.
        """
        return [self.reads(find_run(stage, name, self._outputs)) for name in names if name]

    def seeks(self, path: str | Path) -> Path:
        """Record a file or folder as read if it is there, and that it is not if not.

        One that comes later would have been read: it makes the run another. Return its path.

        Raises:
            DamagedError: It is of a run, and not what that run wrote.
        """
        path = resolve(path)
        if path.exists():
            return self.reads(path)
        self._inputs[_in_project(path)] = ABSENT
        return path

    def reads_raw(
        self, root: str | Path, used: Iterable[str | Path] = (), *, most: int | None = None
    ) -> Path:
        """Record raw data as read: a source's tables, and its pictures; return its path.

        Args:
            root: The source's folder or table.
            used: Pictures whose content counts; empty names and NaN are none.
            most: Bytes of these: of more, size and time must do.

        Raises:
            FileNotFoundError: There is nothing at the root.
        """
        root = resolve(root)
        files = raw_data.read_raw(root, (u for u in used if u and u == u), most=most)
        name = _in_project(root)
        self._raw[name], self._inputs[name] = files, f"raw:{raw_data.digest(files)}"
        return root

    def finish(
        self, results: Mapping[str, Any], *, device: str = "cpu", folders: Iterable[str] = ()
    ) -> Path:
        """Write `run.json` and give the folder its final name; return the finished folder.

        A cell that is run again after the end records again, into the finished folder. A run that
        was opened again after its end takes the place of the finished one once it has all its
        files.

        Args:
            results: Numbers, texts or lists of them; NaN is recorded as null.
            device: What it ran on.
            folders: Those of the run that hold thousands of files, such as `masks`: each is
                recorded as one entry.

        Raises:
            TypeError: A result is not plain.
            RunError: The same notebook finished this run before, with files that are not there now.
        """
        apart = (RECORD, OPENED, "notebook.ipynb", raw_data.FILE)
        if self._raw:
            raw_data.write_files(self._raw, self.folder / raw_data.FILE)
        files = list_files(self.folder, hashed=True, but=apart, folders=folders)
        record = {
            "stage": self.stage,
            "run": self.name,
            "parameters": self._parameters,
            "inputs": [{"path": p, "sha256": h} for p, h in sorted(self._inputs.items())],
            "results": plain(results),
            "files": files,
            "stamps": stamps(files, self.folder),
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock, 1),
            "resumed": self.resumed,
            "commit": commit(project_root()),
            "versions": versions(),
            "device": device,
            "launch": os.environ.get(LAUNCH, ""),
        }
        self._keep({file["path"] for file in files})
        write_json(record, self.folder / RECORD)
        if self.folder != self._final:
            replace(self._final)
            self.folder = self._final
            self._lock.release()
        return self.folder

    def _keep(self, written: set[str]) -> None:
        """Remember what is finished; refuse less than the same notebook finished before."""
        lost = sorted(self._written - written)
        if lost and self.folder != self._final:
            more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
            raise RunError(
                f"{self.stage}/{self.name} was opened again after its end, and lacks files that it "
                f"had: {', '.join(lost[:_SHOWN])}{more}. The finished run stays: run the cells "
                "that write them too, then this one; if none does any more, restart the kernel "
                "and run all"
            )
        self._written = written


def _in_project(path: Path) -> str:
    """Return a path, relative in the project: one that was moved is still up to date."""
    root = project_root()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def open_run(
    stage: str, name: str, *, parameters: Mapping[str, Any], outputs: str | Path = ""
) -> Run:
    """Open the folder of a run for writing, alone.

    An unfinished folder of the same parameters is continued with all its files, one of others is
    wiped. A finished run of that name stays until the new one is whole.

    Args:
        stage: The notebook's stem, such as `03_train`.
        name: The folder below the stage's, such as `b3/fold2`.
        parameters: As resolved, plain values.
        outputs: Where runs are written; empty: the project's `outputs/`.

    Raises:
        RunError: Another process is writing this run, or the name is reserved.
    """
    return Run(stage, name, parameters=parameters, outputs=outputs)
