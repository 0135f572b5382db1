import json
from pathlib import Path
from typing import Any

import pytest

from melnb.params.catalogue import ParameterError
from melnb.running.side_by_side import differing, finished, lines, plain
from melnb.runs import store


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    return tmp_path


def run(name: str, results: dict[str, Any], *, stage: str = "03_train", **parameters: Any) -> None:
    store.open_run(stage, name, parameters={"run": name, **parameters}).finish(results)


@pytest.fixture
def three(root: Path) -> None:
    limits = {"auc_low": 0.8, "auc_high": 0.9}
    run("b/fold0", {"auc": 0.85, **limits}, epochs=8, loss="focal", sizes=[96], seed=0)
    run("a/fold0", {"auc": 0.9, "auc_low": 0.85, "auc_high": 0.93}, epochs=10, loss="focal", seed=0)
    run("c/fold0", {"auc": None, "epochs": 3}, epochs=9, loss="focal", seed=0)


def test_a_line_says_what_was_found_and_what_differs(three: None) -> None:
    head, *rows = lines(finished("03_train", sort="auc", reverse=True))
    assert head.split() == ["run", "result", "time", "when", "epochs", "sizes"]  # not loss, seed
    assert [row.split()[0] for row in rows] == ["a/fold0", "b/fold0", "c/fold0"]  # unknown last
    assert "AUC 0.900 (0.850-0.930)" in rows[0]
    assert rows[1].split()[-2:] == ["8", "[96]"]
    assert rows[2].split()[-2:] == ["9", "-"]
    assert [row["run"] for row in finished("03_train", sort="auc")][:2] == ["b/fold0", "a/fold0"]
    assert [row["run"] for row in finished("03_train", sort="epochs")][-1] == "a/fold0"


def test_a_narrow_terminal_is_told_what_it_does_not_show(three: None) -> None:
    wide = lines(finished("03_train"), width=200)
    narrow = lines(finished("03_train"), width=len(wide[0]) - 1)
    assert max(map(len, narrow[:-1])) < len(wide[0])
    assert narrow[-1] == "they differ in sizes, too: --json shows all"


def test_json_has_every_number_as_it_is(three: None) -> None:
    rows = json.loads(plain(finished("03_train", sort="run")))
    assert [row["run"] for row in rows] == ["a/fold0", "b/fold0", "c/fold0"]
    assert rows[1]["results"]["auc_low"] == 0.8
    assert rows[1]["parameters"]["sizes"] == [96]


def test_only_whole_runs_are_shown(root: Path, three: None) -> None:
    (root / "outputs/03_train/a/fold1.partial").mkdir()
    (root / "outputs/03_train/c/fold0").rename(root / "outputs/03_train/c/fold0.old")
    assert [row["run"] for row in finished("03_train", sort="run")] == ["a/fold0", "b/fold0"]
    assert lines(finished("04_predict")) == ["no finished run"]


def test_wrong_names_are_told_with_the_nearest(three: None) -> None:
    with pytest.raises(ValueError, match="--sort epoch: no such column; did you mean 'epochs'"):
        finished("03_train", sort="epoch")
    with pytest.raises(ParameterError, match="did you mean '03_train'"):
        finished("3_train")


def test_two_runs_differ_in_what_both_have(three: None) -> None:
    told = differing("03_train/b/fold0", "03_train/a/fold0")
    cells = {line.split("  ")[0]: line.split()[1:] for line in told[1:]}
    assert cells["epochs"] == ["8", "10"]
    assert "loss" not in cells
    assert cells["AUC"] == ["0.850", "(0.800-0.900)", "0.900", "(0.850-0.930)"]
    run("p", {"auc": 0.8}, stage="04_predict", views="none", epochs=8)
    told = differing("03_train/b/fold0", "04_predict/p")
    assert not any(line.startswith(("views", "sizes")) for line in told)
    assert differing("mine.csv", "03_train/b/fold0") == []
