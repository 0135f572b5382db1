"""Kills: whatever a run uses, and whenever it is killed, it ends as an uninterrupted run ends."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

DIED = -signal.SIGKILL
TECHNIQUES = (
    "sizes", "freeze", "rates", "ema", "accumulate", "swa", "snapshots", "plateau", "mining",
    "mixing", "balanced", "arcface", "metadata", "all_rows",
)  # fmt: skip


def run(train: Callable[..., list[int]], folder: Path, orders: list[dict[str, Any]]) -> list[int]:
    full = [{"views": ["none"], **o, "folder": str(folder / o["folder"])} for o in orders]
    return train(full, keras.backend.backend())


def check_equal(folder: Path, whole: str, killed: str) -> None:
    """All weights, predictions, histories and results, to the bit."""
    one, other = (np.load(folder / name / "result.npz") for name in (whole, killed))
    assert set(one.files) == set(other.files)
    for name in one.files:
        assert np.array_equal(one[name], other[name]), name
    for table in ("returned.csv", "results.csv"):
        assert (folder / whole / table).read_text() == (folder / killed / table).read_text(), table


EVERYTHING = {"with": "everything"}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., list[int]]) -> Path:
    """All techniques at once; killed exactly at a border, and when only the end is left to do."""
    folder = tmp_path_factory.mktemp("everything")
    orders = [
        {**EVERYTHING, "folder": "whole"},
        {**EVERYTHING, "folder": "killed", "kill": "between", "epoch": 2},
        {**EVERYTHING, "folder": "killed", "kill": "end"},
        {**EVERYTHING, "folder": "killed"},
    ]
    assert run(train, folder, orders) == [0, DIED, DIED, 0]
    return folder


def test_a_run_of_every_technique_survives_kills(ends: Path) -> None:
    check_equal(ends, "whole", "killed")


@pytest.mark.nightly
def test_it_survives_a_kill_at_every_other_moment_too(
    ends: Path, train: Callable[..., list[int]]
) -> None:
    """Within the first epoch, at the first border, while a state is written, in the last epoch."""
    again = {**EVERYTHING, "folder": "again"}
    kills = [("step", 1), ("between", 1), ("write", 2), ("step", 3), ("write", 4)]
    orders = [*({**again, "kill": where, "epoch": epoch} for where, epoch in kills), again]
    assert run(train, ends, orders) == [DIED] * len(kills) + [0]
    check_equal(ends, "whole", "again")


def test_its_history_tells_of_its_phases_and_its_results_of_its_choices(ends: Path) -> None:
    history = pd.read_csv(ends / "killed" / "history.csv")
    assert history["image_size"].tolist() == [24, 24, 32, 32]
    assert history["batch_size"].tolist() == [28, 28, 16, 16]
    results = pd.read_csv(ends / "killed" / "results.csv")
    assert results["weights"].tolist() == ["best", "swa", "snapshots"]
    assert results["kept"].tolist() == [False, True, False]
    assert results["epochs"].tolist() == [1, 2, 2]


def test_the_folder_keeps_the_weights_that_the_state_names(ends: Path) -> None:
    folder = ends / "killed" / "checkpoint"
    with np.load(folder / "state.npz") as state:
        assert state.files == ["note"]
        best = json.loads(str(state["note"]))["state"]["best_epoch"]
    names = {"state", f"best-{best}", "swa-4", "snapshot-2", "snapshot-4"}
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {f"{name}.npz" for name in names}


@pytest.mark.nightly
def test_eight_devices_use_every_technique_as_one_does(
    tmp_path: Path, train: Callable[..., list[int]]
) -> None:
    orders = [
        {**EVERYTHING, "folder": "one", "replicas": 8, "views": ["none"]},
        {**EVERYTHING, "folder": "eight", "replicas": 8, "devices": 8, "views": ["none"]},
    ]
    full = [{**order, "folder": str(tmp_path / order["folder"])} for order in orders]
    assert train(full, "jax") == [0, 0]
    tables = [pd.read_csv(tmp_path / name / "returned.csv") for name in ("one", "eight")]
    assert tables[0]["batch_size"].tolist() == [24, 24, 16, 16]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)
    one, eight = (np.load(tmp_path / name / "result.npz") for name in ("one", "eight"))
    for name in one.files:
        np.testing.assert_allclose(one[name], eight[name], atol=1e-3, err_msg=name)


def commit() -> int:
    """Return the number of the commit that is tested; 0 where nobody knows."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return 0
    return int(told.stdout, 16) if told.returncode == 0 else 0


def drawn() -> list[Any]:
    """What `everything` leaves out, one technique drawn by the commit, and the others at night."""
    others = sorted(set(TECHNIQUES) - {"plateau", "arcface"})
    one = others[commit() % len(others)]
    rest = [pytest.param(n, marks=pytest.mark.nightly) for n in (*others, "plateau", "arcface")]
    return ["rest", pytest.param(one, id=f"{one}, drawn by the commit"), *rest]


@pytest.mark.parametrize("name", drawn())
def test_a_technique_survives_a_kill_by_itself(
    name: str, tmp_path: Path, train: Callable[..., list[int]]
) -> None:
    """Killed between two epochs and within one."""
    one = {"with": name, "folder": "killed"}
    orders: list[dict[str, Any]] = [
        {"with": name, "folder": "whole"},
        {**one, "kill": "between", "epoch": 2},
        {**one, "kill": "step", "epoch": 4},
        one,
    ]
    assert run(train, tmp_path, orders) == [0, DIED, DIED, 0]
    check_equal(tmp_path, "whole", "killed")


@pytest.mark.parametrize(
    "every", [pytest.param(0, id="a few"), pytest.param(1, id="all", marks=pytest.mark.nightly)]
)
def test_a_state_that_is_killed_at_any_touch_of_the_disk_goes_on(
    every: int,
    tmp_path: Path,
    train: Callable[..., list[int]],
    record_property: Callable[[str, object], None],
) -> None:
    answer = tmp_path / "answer.json"
    order = {"module": "state_run", "folder": "o", "answer": str(answer), "every": every}
    assert run(train, tmp_path, [order]) == [0]
    touches, kills, problems = json.loads(answer.read_text())
    record_property("kills", kills)
    record_property("kills after which something differed or was lost", len(problems))
    print(f"state: {kills} kills at {touches} touches of the disk, {len(problems)} differ")
    assert not problems, "\n".join(problems)
    assert kills >= (4 if not every else touches * 0.9)
