"""What a machine refuses is told with path, stage and remedy: real refusals, by every way in."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from melnb.models.training.checkpoints import State, write_state
from melnb.params import catalogue
from melnb.running import stage
from melnb.running.status import read_board
from melnb.runs import folders, store
from melnb.runs.folders import RunError, holder, write_json
from melnb.tables import files
from melnb.tables.files import RefusedError, replacing
from melnb.tables.schema import write_table

EXPLORE = catalogue.Explore(dataset="d")
NAMES = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EMFILE", "ENFILE", "ENAMETOOLONG",
         "ENOMEM", "EIO", "EEXIST", "ENOTDIR", "EFBIG", "ESTALE")  # fmt: skip


@contextmanager
def files_used_up() -> Iterator[None]:
    """Let this process open no file more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def write_text(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("x")


def write_arrays(path: Path) -> None:
    write_state(path, State(), {}, {"a": np.zeros(3)})


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_text, "a.txt"), (lambda path: write_json({"a": 1}, path), "a.json"),
        (lambda path: write_table(pd.DataFrame({"a": [1]}), path), "a.csv"),
        (write_arrays, "checkpoint"),
    ],
)  # fmt: skip
def test_what_is_written_names_the_file_and_never_its_temporary_name(
    tmp_path: Path, write: Callable[[Path], Any], name: str
) -> None:
    path, file = tmp_path / name, "state.npz" if name == "checkpoint" else name
    write(path)  # and imports what it needs
    with files_used_up(), pytest.raises(RefusedError) as caught:
        write(path)
    assert caught.value.errno == errno.EMFILE
    assert f"{file}: too many files are open: allow more (ulimit" in str(caught.value)
    assert ".tmp" not in str(caught.value)
    with pytest.raises(RefusedError, match=r"a{300}.*: the name is too long: give the run"):
        write(tmp_path / ("a" * 300) / name)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
def test_a_full_disk_whose_error_names_no_file_is_told_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")

    def write() -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("x")

    with pytest.raises(RefusedError, match=r"a\.txt: the disk is full: free some of it") as caught:
        write()
    assert caught.value.errno == errno.ENOSPC
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "before")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["", ": '/outputs/a.csv'"])
def test_each_refusal_of_a_cell_is_told_with_what_to_do(name: str, place: str) -> None:
    code = getattr(errno, name)
    near = Path("/outputs/03_train/demo")
    for text in (f"OSError: [Errno {code}] {os.strerror(code)}{place}",
                 f"UnknownError: {os.strerror(code)}{place}"):  # fmt: skip
        said = files.remedy(text, near=near)
        assert said.removeprefix(f"near {near}: ") in files._REMEDIES.values()
        assert said.startswith("near") == (not place)
        assert files.remedy(f"RefusedError: /a.csv: {said}") == ""  # once is enough
    assert files.describe(OSError(code, os.strerror(code), "/a")).startswith("/a: ")


def test_a_full_disk_is_no_want_of_memory() -> None:
    """TensorFlow gives both one name."""
    told = "ResourceExhaustedError: /a/b.tfrec; No space left on device [Op:WriteFile]"
    assert files.remedy(told).startswith("the disk is full")
    assert files.remedy("ResourceExhaustedError: OOM").startswith("out of memory: use a small")
    assert files.remedy("ValueError: 28 rows") == files.describe(ValueError("x")) == ""
    h5py = "[Errno 28] Unable to synchronously write (errno = 28, error message = 'No space left')"
    assert files.remedy(f"OSError: {h5py}").startswith("the disk is full")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_a_stage_says_what_was_refused(
    project: Path, kernels: Callable[[], list[str]], rewrite: Callable[..., None], code: int
) -> None:
    """In a cell, and before its kernel is there."""
    refused = f"raise OSError({code}, os.strerror({code})) #"
    rewrite("01_explore", "assert p.seed != 13", f"import os; {refused}")
    words = files._WORDS[code]
    with pytest.raises(stage.LaunchError) as caught:
        stage.launch("01_explore", parameters=EXPLORE)
    for word in ("01_explore/d failed at In [5], under 'The work'", words, "outputs/01_explore"):
        assert word in str(caught.value)
    assert words in str(read_board(project / "outputs")[0].note)


def test_a_name_that_is_too_long_stops_a_stage_before_it_begins(
    project: Path, melnb: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = melnb("run", "01_explore", f"outputs={'a' * 300}", root=project)
    assert done.returncode == 1
    assert "Error: 01_explore/" in done.stderr
    assert "/01_explore: the name is too long: give the run" in done.stderr
    assert "Errno" not in done.stderr
    (project / "file").write_text("")
    done = melnb("run", "01_explore", "outputs=file", root=project)
    assert "file/01_explore: a file lies where a folder is needed: move it" in done.stderr


def test_a_folder_of_another_person_is_read(
    project: Path, kernels: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing may be written, no lock can be asked; its note tells who writes."""
    final = stage.launch("01_explore", parameters=EXPLORE)
    final.with_name("d.old").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".d.lock")

    monkeypatch.setattr("melnb.runs.folders.FileLock.acquire", refuse)
    assert [row.state for row in read_board(project / "outputs")] == ["done"]
    assert store.find_run("01_explore", "d") == final
    write_json(
        folders.note() | {"parameters": {}}, final.with_name("d.partial") / "parameters.json"
    )
    (row,) = read_board(project / "outputs")
    assert row.note.startswith(f"by another process (pid {os.getpid()} on ")


HOLD = """
import sys, time
from melnb import runs
from melnb.running import stage
from pathlib import Path
final = Path(sys.argv[1])
final.parent.mkdir(parents=True, exist_ok=True)
with stage._alone("01_explore", "d", final, wait=False):
    if sys.argv[2] == "run":
        run = runs.open_run("01_explore", "d", parameters={})
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("what", ["launch", "run"])
def test_running_already_names_the_process_and_since_when(
    project: Path, kernels: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("melnb.runs.folders._PATIENCE", 0.1)
    final = project / "outputs/01_explore/d"
    command = [sys.executable, "-c", HOLD, str(final), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        who = rf"another process \(pid {other.pid} on .*python.* -c .*, since 20\d\d-\d\d-"
        with pytest.raises(stage.LaunchError, match=f"is being run by {who}"):
            stage.launch("01_explore", parameters=EXPLORE)
        if what == "run":
            with pytest.raises(RunError, match=f"is being written by {who}"):
                store.open_run("01_explore", "d", parameters={})
        other.kill()
        other.wait()
    assert holder(final) == ""  # the dead block nobody
    stage.launch("01_explore", parameters=EXPLORE)


def test_a_note_is_believed_while_its_process_lives(tmp_path: Path) -> None:
    me = f"another process (pid {os.getpid()} on "
    note = folders.note()
    assert folders.describe(note).startswith(me)
    reused = {**note, "begun": note["begun"] - 3600}  # another's, of the same number
    assert folders.describe(reused) == "another process"
    assert folders.describe({**reused, "heir": note}).startswith(me)
    dead = max(psutil.pids()) + 100_000
    assert folders.describe({**note, "pid": dead}) == "another process"
    away = {**note, "pid": dead, "host": "elsewhere"}
    assert folders.describe(away).startswith(f"another process (pid {dead} on elsewhere, since")
    for damaged in ("", "[]", '{"pid": "x"}', json.dumps({"pid": os.getpid(), "opened": 3})):
        (tmp_path / "note.json").write_text(damaged)
        assert folders.read(tmp_path / "note.json").startswith("another process")
