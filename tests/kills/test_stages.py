"""Every stage, killed in its kernels and workers and run again: the same to the bit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRIALS = int(os.environ.get("MELNB_KILL_TRIALS", "12"))  # a stage
STAGES = {"02_prepare", "02c_segment_train", "02d_segment_apply", "03_train", "03d_embed",
          "04_predict", "05_ensemble", "06_report", "06e_robustness"}  # fmt: skip


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and asks for every touch")
def test_a_stage_that_is_killed_ends_as_if_it_was_not(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Other moments each night; the seed is printed."""
    shutil.copytree(HERE.parents[1] / "notebooks", tmp_path / "notebooks")
    (tmp_path / "params").mkdir()
    shutil.copy(HERE / "kills.pipeline.yaml", tmp_path / "params")
    seed = int(os.environ.get("MELNB_KILL_SEED", os.getpid()))
    done = subprocess.run(
        [sys.executable, str(HERE / "stages.py"), str(tmp_path), str(TRIALS), str(seed)],
        env={**os.environ, "MELNB_ROOT": str(tmp_path)},
        stdout=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert set(told) == STAGES
    problems = [problem for _, _, found in told.values() for problem in found]
    kills = sum(kills for _, kills, _ in told.values())
    record_property("kills", kills)
    record_property("kills after which something differed or was lost", len(problems))
    print(f"{kills} kills in {len(STAGES)} stages, seed {seed}: {len(problems)} differ or are lost")
    assert not problems, "\n".join(problems)
    assert kills >= len(STAGES) * TRIALS / 2
