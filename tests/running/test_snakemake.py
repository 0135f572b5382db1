import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from melnb.running import snakemake
from melnb.running.pipeline import read_pipeline
from melnb.running.snakemake import PipelineError, planned, run_pipeline, write_snakefile
from melnb.running.stage import launch
from melnb.running.status import Row

Kernels = Callable[[], list[str]]
Rewrite = Callable[[str, str, str], None]

DIAMOND = """
set: {dataset: d}
stages:
  - 02_prepare
  - 03_train: {folds: 2, with: {run: a}}
  - 03_train: {folds: 1, with: {run: b, seed: 13}}
  - 04_predict: {with: {run: a}}
  - 04_predict: {with: {run: b}}
  - 05_ensemble: {with: {run: e, members: [04_predict/a, 04_predict/b]}}
"""


@pytest.fixture
def plan(project: Path) -> Path:
    path = project / "params/diamond.pipeline.yaml"
    path.write_text(DIAMOND)
    return path


def states(rows: list[Row]) -> dict[str, str]:
    return {row.job: row.state for row in rows}


def no_engine(*_: object, **__: object) -> None:
    raise AssertionError("Snakemake was started")


def test_a_branch_fails_alone_and_only_what_changed_runs_again(
    plan: Path, kernels: Kernels, rewrite: Rewrite, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    rows = run_pipeline(read_pipeline(plan), jobs=2, show=lambda rows: shown.append(states(rows)))
    assert states(rows) == {
        "02_prepare/d": "done",
        "03_train/a/fold0": "done",
        "03_train/a/fold1": "done",
        "03_train/b/fold0": "failed",
        "04_predict/a": "done",
        "04_predict/b": "not run",
        "05_ensemble/e": "not run",
    }
    notes = {row.job: row.note for row in rows}
    assert notes["02_prepare/d"] == "AUC 0.5"
    assert "In [5], under 'The work': AssertionError: unlucky" in notes["03_train/b/fold0"]
    assert "03_train/b/fold0.failed.ipynb" in notes["03_train/b/fold0"]
    assert notes["04_predict/b"] == "needs 03_train/b/fold0"
    assert notes["05_ensemble/e"] == "needs 04_predict/b"
    assert set(shown[0].values()) == {"waiting"}
    assert shown[-1] == states(rows)
    assert kernels() == ["a", "d", "fold0", "fold0", "fold1"]

    plan.write_text(DIAMOND.replace("seed: 13", "seed: 14"))
    pipeline = read_pipeline(plan)
    assert {row.job: row.note for row in planned(pipeline) if row.state == "would run"} == {
        "03_train/b/fold0": "not finished",
        "04_predict/b": "never run",
        "05_ensemble/e": "never run",
    }
    rows = run_pipeline(pipeline)
    assert set(states(rows).values()) == {"done", "up to date"}
    assert kernels() == ["b", "e", "fold0"]

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", no_engine)
        assert set(states(run_pipeline(pipeline)).values()) == {"up to date"}
    assert kernels() == []

    rewrite("03_train", "import time", "import time  # of the same effect")
    assert {row.note for row in planned(pipeline)} == {
        "", "notebook changed", "after 03_train/a/fold0", "after 03_train/b/fold0",
        "after 04_predict/a",
    }  # fmt: skip
    rows = run_pipeline(pipeline, jobs=2)
    assert {row.job for row in rows if row.state == "done"} == {
        "03_train/a/fold0", "03_train/a/fold1", "03_train/b/fold0",
    }  # fmt: skip
    assert {row.state for row in rows if row.job.startswith("0") and row.job > "04"} == {
        "up to date"
    }
    assert kernels() == ["fold0", "fold0", "fold1"]


def test_a_killed_pipeline_goes_on_where_it_was(
    project: Path, plan: Path, kernels: Kernels
) -> None:
    plan.write_text(DIAMOND.replace("seed: 13", "seed: 99"))
    (project / "hold").touch()
    command = [sys.executable, "-m", "melnb.cli", "pipeline", str(plan)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for(project / "outputs/03_train/b/fold0.partial", process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert kernels() == ["d", "fold0", "fold0", "fold1"]  # in the order of the lines
    running = r"diamond is running already, by another process \(pid \d+ on .* snakemake "
    with pytest.raises(PipelineError, match=running):
        run_pipeline(read_pipeline(plan))  # Snakemake is an orphan, and goes on
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=600)
    (project / "hold").unlink()
    rows = run_pipeline(read_pipeline(plan))
    assert set(states(rows).values()) == {"done", "up to date"}
    assert kernels() == ["a", "b", "e", "fold0"]


@pytest.mark.parametrize(
    ("sent", "heard"),
    [(signal.SIGINT, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_IGN)],
    ids=["Ctrl-C", "a kill of what nohup started"],
)
def test_a_stop_stops_every_process(
    project: Path, plan: Path, kernels: Kernels, sent: signal.Signals, heard: signal.Handlers
) -> None:
    plan.write_text("stages: [{03_train: {with: {seed: 99}}}, {02_prepare: }]")
    (project / "hold").touch()
    command = [sys.executable, "-m", "melnb.cli", "pipeline", str(plan)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell's background jobs ignore Ctrl-C, as would all that they start.
    hears = partial(signal.signal, signal.SIGINT, heard)
    with subprocess.Popen(command, preexec_fn=hears, **pipes) as process:
        wait_for(project / "outputs/03_train/demo/fold0.partial", process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(sent)
        try:
            out, err = process.communicate(timeout=600)
        finally:
            for one in (process, *family):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
    assert process.returncode == 130
    assert b"the same command goes on" in err
    assert not psutil.wait_procs(family, timeout=600)[1]
    assert (project / "outputs/02_prepare/demo/run.json").exists()
    assert b"03_train/demo/fold0  stopped" in out


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    while not path.exists():
        assert process.poll() is None, "it ended too early"
        time.sleep(0.05)


def test_force_runs_all_again_and_a_dry_run_nothing(
    project: Path, plan: Path, kernels: Kernels
) -> None:
    plan.write_text("stages: [02_prepare]")
    pipeline = read_pipeline(plan)
    assert planned(pipeline) == [Row("02_prepare/demo", "would run", note="never run")]
    assert not (project / "outputs").exists()
    launch("02_prepare", parameters=pipeline.jobs[0].parameters)
    assert planned(pipeline) == [Row("02_prepare/demo", "up to date")]
    assert planned(pipeline, force=True)[0].note == "forced"
    assert states(run_pipeline(pipeline, force=True)) == {"02_prepare/demo": "done"}
    assert kernels() == ["demo", "demo"]


def test_snakemake_is_named_when_it_is_missing(
    plan: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snakemake.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PipelineError, match=r"pip install 'melnb\[pipeline\]'"):
        run_pipeline(read_pipeline(plan))


def test_a_job_that_could_not_begin_has_failed(
    plan: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.write_text("stages: [02_prepare]")
    monkeypatch.setattr(snakemake.sys, "executable", sys.executable)
    pipeline = read_pipeline(plan)
    real = write_snakefile

    def broken(pipeline: object, **options: bool) -> Path:
        path = real(pipeline, **options)  # type: ignore[arg-type]
        path.write_text(path.read_text().replace("-m melnb.cli", "-m melnb.gone"))
        return path

    monkeypatch.setattr(snakemake, "write_snakefile", broken)
    (row,) = run_pipeline(pipeline)
    assert row.state == "failed"
    log = Path(row.note.rpartition("see ")[2])
    assert "No module named melnb.gone" in log.read_text()


def test_the_snakefile_asks_for_gpus_where_tensors_flow(plan: Path) -> None:
    pipeline = read_pipeline(plan)
    pipeline.folder.mkdir(parents=True)
    rules = write_snakefile(pipeline).read_text().split("\nrule ")[2:]
    assert len(rules) == 7
    for rule in rules:
        assert ("gpu=1" in rule) == ("03_train" in rule[:20] or "04_predict" in rule[:20])
    assert 'input: "marks/04_predict/a", "marks/04_predict/b"\n' in rules[-1]
