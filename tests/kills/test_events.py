"""Killed before any touch of the disk, or refused it, and run again: the same to the bit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and asks for every touch")
KILLED, ENDED, INTERRUPTED, REFUSED = "9", "15", "2", "refuse"


@pytest.mark.parametrize(
    ("work", "how", "every"),
    [
        *(
            pytest.param(work, KILLED, 0, id=f"{work}, a few")
            for work in ("jobs", "embeddings", "synthetic")
        ),
        pytest.param("jobs", REFUSED, 0, id="jobs, refused, a few"),
        *(
            pytest.param(work, how, 1, marks=pytest.mark.nightly)
            for work in ("jobs", "records", "masks", "embeddings", "synthetic", "trial", "marks")
            for how in (KILLED, ENDED, INTERRUPTED, REFUSED)
        ),
    ],
)
def test_what_is_stopped_at_any_touch_of_the_disk_ends_as_if_it_was_not(
    project: Path,
    kernels: Callable[[], list[str]],
    work: str,
    how: str,
    every: int,
    record_property: Callable[[str, object], None],
) -> None:
    shutil.copy(HERE / "jobs.pipeline.yaml", project / "params")
    script = HERE / "events.py"
    command = [sys.executable, str(script), work, how, str(every), str(project / "o"), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project, env={**os.environ})
    assert done.returncode == 0, done.stderr[-3000:]
    touches, kills, problems = json.loads(done.stdout)
    record_property("kills", kills)
    record_property("kills after which something differed or was lost", len(problems))
    print(f"{work}, {how}: {kills} kills at {touches} touches of the disk, {len(problems)} differ")
    assert not problems, "\n".join(problems)
    assert kills >= (touches // every if every else 4) * (0.9 if how == KILLED else 0.3)
