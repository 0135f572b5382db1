"""Run a pipeline's jobs by Snakemake: graph, parallel jobs, resources, clusters.

Whether a job is up to date is `freshness`'s to say, by content. Before each run its answers become
the empty mark files that Snakemake knows as outputs: a mark is there if its run is up to date, so
Snakemake deletes marks and never a run. A job whose mark is made anew goes through `melnb run`,
which looks again and starts no kernel if its inputs came out the same.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import yaml

from melnb.params.catalogue import ParameterError, Parameters
from melnb.running.pipeline import Job, Pipeline
from melnb.running.stage import adopt, launch, terminable
from melnb.running.status import Row, main_result, read_state
from melnb.running.up_to_date import check_raw_data, look, notebook_of, run_folder, why_stale
from melnb.runs import folders
from melnb.runs.folders import write_json
from melnb.runs.raw_data import Look
from melnb.runs.store import project_root
from melnb.tables.documents import read_run

GPU_STAGES = (
    "02c_segment_train",
    "02d_segment_apply",
    "03_train",
    "03b_find_lr",
    "04_predict",
    "06b_explain",
    "06e_robustness",
)
WOULD_FAIL = "would fail"
_NOTE = "lock.json"  # who holds the pipeline
_TICK = 0.25  # seconds between looks at the jobs
Show = Callable[[Sequence[Row]], None]


class PipelineError(RuntimeError):
    """A pipeline cannot be run; the message says what to do first."""


def reasons(pipeline: Pipeline, *, force: bool = False) -> dict[str, str]:
    """Return for each job why it must run, in words; empty if it is up to date.

    A job after one that must run only may have to: `after 02_prepare/demo`.
    """
    return {key: seen.change for key, seen in _looks(pipeline, force=force).items()}


def _looks(pipeline: Pipeline, *, force: bool) -> dict[str, Look]:
    answers: dict[str, Look] = {}
    for job in pipeline.jobs:
        notebook_of(job.stage)
        before = next((key for key in job.needs if answers[key].change), "")
        seen = Look("forced") if force else look(job.parameters)
        after = f"after {before}" if before else ""
        answers[job.key] = seen._replace(change=seen.change or after)
    return answers


def planned(pipeline: Pipeline, *, force: bool = False) -> list[Row]:
    """Return what would run, and why; or fail, as its raw files are laid out otherwise."""
    looks = _looks(pipeline, force=force)
    return [_planned_row(job, looks[job.key]) for job in pipeline.jobs]


def _planned_row(job: Job, seen: Look) -> Row:
    if not seen.change:
        return Row(job.key, "up to date", note=seen.doubt)
    try:
        check_raw_data(job.parameters)
    except ParameterError as error:
        reason = str(error).removeprefix(f"{job.key}: ")
        return Row(job.key, WOULD_FAIL, note=f"{seen.change}; {reason}")
    return Row(job.key, "would run", note=seen.change)


def run_pipeline(
    pipeline: Pipeline,
    *,
    jobs: int = 1,
    gpus: int = 0,
    force: bool = False,
    extra: Sequence[str] = (),
    show: Show = lambda rows: None,
) -> list[Row]:
    """Run what is not up to date; independent jobs go on when one fails.

    Args:
        pipeline: As read, every parameter checked.
        jobs: How many at a time.
        gpus: How many of training and prediction at a time on this machine. 0: one where there is
            an NVIDIA GPU (each takes all its memory), else as many as `jobs`.
        force: Run also what is up to date.
        extra: Arguments for Snakemake (`--executor slurm`, `--profile …`).
        show: Told the rows several times a second.

    Returns:
        The rows as they ended.

    Raises:
        PipelineError: Snakemake is missing or refuses, or the pipeline is running already.
    """
    folder = pipeline.folder
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder) as lock:
        why = reasons(pipeline, force=force)
        rows = [_first_row(job, why[job.key]) for job in pipeline.jobs]
        show(rows)
        for job in pipeline.jobs:
            if not why[job.key]:
                adopt(job.parameters)
        if not any(why.values()):
            return rows
        if importlib.util.find_spec("snakemake") is None:
            raise PipelineError("running a pipeline needs Snakemake: pip install 'melnb[pipeline]'")
        _lay_out(pipeline, why, force=force)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile")]
        command += ["--directory", str(folder), "--jobs", str(jobs), "--keep-going", "--nolock"]
        command += ["--rerun-incomplete", "--rerun-triggers", "mtime", "--nocolor"]
        command += ["--scheduler", "greedy"]  # the other needs a solver, for no gain here
        if gpus := gpus or int(not extra and Path("/dev/nvidia0").exists()):
            command += ["--resources", f"gpu={gpus}"]
        with (folder / "snakemake.log").open("w", encoding="utf-8") as log:
            code = _follow([*command, *extra], log, lock, lambda: show(_rows(pipeline, rows)))
    ended = _rows(pipeline, rows, ended=True)
    show(ended)
    if code and all(row.state != "failed" for row in ended):
        last = (folder / "snakemake.log").read_text(encoding="utf-8").strip().splitlines()[-8:]
        raise PipelineError("Snakemake stopped:\n  " + "\n  ".join(last))
    return ended


def run_job(parameters: Parameters, *, state: Path, force: bool = False) -> Path:
    """Launch one job of a pipeline, and write its state for the pipeline to read."""
    started = time.time()

    def write(word: str, note: str = "") -> None:
        seconds = round(time.time() - started, 1)
        entry = {"state": word, "note": note, "started": started, "seconds": seconds}
        write_json(entry, state)

    before = "" if force else why_stale(parameters)
    write("running")
    try:
        folder = launch(parameters.stage, parameters=parameters, force=force, wait=True)
    except KeyboardInterrupt:
        write("stopped")
        raise
    except Exception as error:
        write("failed", str(error))
        raise
    result = main_result(read_run(folder)["results"])
    write("done" if before or force else "up to date", result)
    return folder


def write_snakefile(pipeline: Pipeline, *, force: bool = False) -> Path:
    """Write the pipeline as a Snakefile: one rule for each job, readable by itself."""
    rules = [f"# {pipeline.name}: written by `melnb pipeline`, read by Snakemake\n"]
    rules.append(f"rule all:\n    input: {_listed(_mark(job.key) for job in pipeline.jobs)}\n")
    root, gpu = shlex.quote(str(project_root())), "    resources: gpu=1\n"
    for number, job in enumerate(pipeline.jobs):
        command = f"{shlex.quote(sys.executable)} -m melnb.cli --root {root} run {job.stage}"
        command += f" -f jobs/{job.key}.yaml --state states/{job.key}.json"
        command += (" --force" if force else "") + f" > logs/{job.key}.log 2>&1"
        rules.append(
            f"rule job{number}_{re.sub(r'[^A-Za-z0-9]', '_', job.key)}:\n"
            f"    input: {_listed(_mark(key) for key in job.needs)}\n"
            f'    output: touch("{_mark(job.key)}")\n'
            f'    log: "logs/{job.key}.log"\n'
            f"    priority: {len(pipeline.jobs) - number}\n"  # in the order listed, if it can be
            f"{gpu if job.stage in GPU_STAGES else ''}"
            f"    shell: {command.replace('{', '{{').replace('}', '}}')!r}\n"
        )
    path = pipeline.folder / "Snakefile"
    path.write_text("\n".join(rules), encoding="utf-8")
    return path


def _lay_out(pipeline: Pipeline, why: Mapping[str, str], *, force: bool) -> None:
    """Write what Snakemake and the jobs read, and bring the marks in line with `freshness`."""
    folder = pipeline.folder
    shutil.rmtree(folder / "states", ignore_errors=True)
    now = time.time()
    for job in pipeline.jobs:
        for place in ("jobs", "logs", "states", "marks"):
            (folder / place / job.key).parent.mkdir(parents=True, exist_ok=True)
        # Signs that are not ASCII are escaped: YAML would read some of them as ends of lines.
        text = yaml.safe_dump(job.parameters.plain(), sort_keys=False)
        (folder / "jobs" / f"{job.key}.yaml").write_text(text, encoding="utf-8")
        mark = folder / _mark(job.key)
        if why[job.key]:
            mark.unlink(missing_ok=True)
            (folder / "logs" / f"{job.key}.log").unlink(missing_ok=True)
        else:
            mark.touch()
            os.utime(mark, (now, now))  # one time for all: none is newer than another
    write_snakefile(pipeline, force=force)


def _follow(
    command: Sequence[str], log: IO[str], lock: int | None, tick: Callable[[], None]
) -> int:
    """Run Snakemake to its end; Ctrl-C or a polite kill stops it, its jobs and their kernels."""
    with terminable():
        with _heard_interrupts():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that a signal reaches all of it, once
                pass_fds=() if lock is None else (lock,),  # an orphan still holds the pipeline
            )
            heir = folders.note(process.pid)
            write_json({**folders.note(), "heir": heir}, Path(log.name).with_name(_NOTE))
        try:
            while process.poll() is None:
                tick()
                time.sleep(_TICK)
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
            tick()
            raise
    return process.returncode


@contextmanager
def _heard_interrupts() -> Iterator[None]:
    """Let what is started hear an interrupt, though this process may not.

    A shell makes its background jobs, and `nohup` theirs, deaf to Ctrl-C. What they start is deaf
    too, so that the jobs of a killed pipeline would go on.
    """
    deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not deaf or threading.current_thread() is not threading.main_thread():
        yield
        return
    # A process that begins has the default in place of any handler, but keeps what is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _first_row(job: Job, why: str) -> Row:
    if why:
        return Row(job.key, note=why)
    record = read_run(run_folder(job.parameters))
    return Row(job.key, "up to date", record["seconds"], main_result(record["results"]))


def _rows(pipeline: Pipeline, first: Sequence[Row], *, ended: bool = False) -> list[Row]:
    """Return the rows as the jobs' state files have them now."""
    rows: dict[str, Row] = {}
    for job, row in zip(pipeline.jobs, first, strict=True):
        file = pipeline.folder / "states" / f"{job.key}.json"
        now = read_state(file, job.key) if file.exists() else row
        if ended and now.state in ("waiting", "running"):
            now = _unfinished(job, now, rows, pipeline.folder / "logs" / f"{job.key}.log")
        rows[job.key] = now
    return list(rows.values())


def _unfinished(job: Job, row: Row, rows: Mapping[str, Row], log: Path) -> Row:
    """Say why a job of a pipeline that came to its end did not."""
    blocked = next((k for k in job.needs if rows[k].state not in ("done", "up to date")), "")
    if row.state == "waiting" and blocked:
        return Row(job.key, "not run", note=f"needs {blocked}")
    if row.state == "running" or log.exists():
        return Row(job.key, "failed", row.seconds, f"{job.key} was killed, see {log}")
    return Row(job.key, "not run", note="run the pipeline again to go on")


@contextmanager
def _alone(folder: Path) -> Iterator[int | None]:
    """Hold the pipeline; its Snakemake inherits the hold, and keeps it if we are killed."""
    try:
        import fcntl
    except ImportError:  # Windows: the runs' own locks must do
        yield None
        return
    note = folder / _NOTE
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_json(folders.note(), note)
        yield lock
    except BlockingIOError:
        raise PipelineError(
            f"the pipeline {folder.name} is running already, by {folders.read(note)}: wait for it, "
            "or stop it first"
        ) from None
    finally:
        os.close(lock)


def _mark(key: str) -> str:
    return f"marks/{key}"


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(f'"{path}"' for path in paths) or "[]"
