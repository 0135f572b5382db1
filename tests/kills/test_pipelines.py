"""A pipeline killed anywhere, or begun twice at once, and run again: the same, and nothing lost."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import melnb_kills
import pytest

HERE = Path(__file__).parent
# Which process of a pipeline this is.
ROLE = f"""
import sys
sys.path.append({str(Path(melnb_kills.__file__).parent)!r})
import melnb_kills
words = sys.orig_argv
roles = {{"snakemake": "snakemake", "--state": "job", "pipeline": "pipeline"}}
melnb_kills.arm(next((role for word, role in roles.items() if word in words), "nobody"))
"""
TRIALS = int(os.environ.get("MELNB_KILL_TRIALS", "12"))
PATIENCE = 600  # seconds for what an orphan still does
MOST = {"snakemake": 30, "job": 60, "pipeline": 25}  # touches of the disk; some more are drawn


def draw(chance: random.Random) -> str:
    """Return an order: who is killed, when, and how."""
    who = chance.choice(sorted(MOST))
    how = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    if chance.random() < 0.7:
        return f"{who} touch {chance.randint(1, MOST[who])} {how:d}"
    return f"{who} after {chance.uniform(0.5, 4):.2f} {how:d}"


def begin(project: Path, order: str) -> "subprocess.Popen[str]":
    """Start the pipeline; the signals that a shell's background hides are heard."""
    own = {melnb_kills.ORDER: order, melnb_kills.PLACE: str(project / "outputs"),
           melnb_kills.LOG: str(project / "killed.log"), "MELNB_ROOT": str(project)}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "melnb", "pipeline", "params/jobs.pipeline.yaml", "--jobs", "2"],
        env={**os.environ, **own}, cwd=project, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(project: Path) -> str:
    """Run the pipeline to its end once no orphan holds it; return what it said last."""
    end = time.monotonic() + PATIENCE
    while True:
        with begin(project, "nobody touch 1 9") as process:
            said = process.communicate()[0]
        held = "is running already, by another process" in said
        if not (held and time.monotonic() < end):
            return said if process.returncode else ""
        time.sleep(0.5)


def runs_of(project: Path) -> dict[str, bytes]:
    """Return the records of the finished runs."""
    found = (project / "outputs").glob("0*/**/run.json")
    return {str(path.parent).removesuffix(".partial"): path.read_bytes() for path in found}


def outcome(project: Path) -> dict[str, object]:
    """Return what lies in the outputs, but for what Snakemake keeps there."""
    there = melnb_kills.contents(project / "outputs").items()
    return {name: content for name, content in there if not name.startswith(".pipeline")}


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="asks for every touch")
def test_a_pipeline_that_is_killed_ends_as_if_it_was_not(
    project: Path,
    kernels: Callable[[], list[str]],
    record_property: Callable[[str, object], None],
) -> None:
    with (project / "stub" / "sitecustomize.py").open("a", encoding="utf-8") as file:
        file.write(ROLE)
    shutil.copy(HERE / "jobs.pipeline.yaml", project / "params")
    assert not finish(project)
    whole = outcome(project)
    seed = int(os.environ.get("MELNB_KILL_SEED", os.getpid()))
    chance, kills, problems = random.Random(seed), 0, list[str]()
    for _ in range(TRIALS):
        shutil.rmtree(project / "outputs")
        story = []
        for _ in range(chance.choice((1, 1, 2))):
            order = draw(chance)
            (project / "killed.log").unlink(missing_ok=True)
            started = [begin(project, order) for _ in range(chance.choice((1, 1, 1, 2)))]
            codes = [process.communicate() and process.returncode for process in started]
            happened = (project / "killed.log").exists()
            kills += happened
            story.append(f"{order}: {'killed' if happened else 'not killed'}, ended with {codes}")
        finished = runs_of(project)
        if said := finish(project):
            problems.append(f"{story}: again: {said[-500:]}")
        after = outcome(project)
        if names := sorted(n for n in {*after, *whole} if after.get(n) != whole.get(n)):
            problems.append(f"{story}: differ: {names}")
        now = runs_of(project)
        if lost := [name for name, record in finished.items() if now.get(name) != record]:
            problems.append(f"{story}: lost: {lost}")
    record_property("kills", kills)
    record_property("kills after which something differed or was lost", len(problems))
    print(f"pipeline: {kills} kills, seed {seed}: {len(problems)} differ or are lost")
    assert not problems, "\n".join(problems)
    assert kills >= TRIALS / 2
