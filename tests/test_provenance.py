import os
import shutil
import subprocess
from pathlib import Path

import pytest

from melnb import provenance, runs


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    return tmp_path


def make_run(result: float, text: str = "x", **parameters: object) -> str:
    run = runs.open_run("02_prepare", "demo", parameters=parameters)
    (run.folder / "a.txt").write_text(text)
    return provenance.hash_path(run.finish({"auc": result}))


def test_a_run_is_hashed_by_what_it_is_and_not_by_when_or_where() -> None:
    first = make_run(0.5, seed=1, outputs="")
    assert make_run(0.5, seed=1, outputs="") == first
    assert make_run(0.5, seed=1, outputs="elsewhere") == first
    assert (
        len({first, make_run(0.6, seed=1), make_run(0.5, seed=2), make_run(0.5, "y", seed=1)}) == 4
    )


def test_a_raw_folder_is_hashed_by_names_and_sizes(root: Path) -> None:
    raw = root / "raw"
    (raw / "deep").mkdir(parents=True)
    (raw / "deep/1.jpg").write_text("123")
    first = provenance.hash_path(raw)
    os.utime(raw / "deep/1.jpg", (0, 0))
    assert provenance.hash_path(raw) == first
    (raw / "deep/1.jpg").write_text("1234")
    assert provenance.hash_path(raw) != first


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git")
def test_a_commit_says_whether_it_was_changed_since(root: Path) -> None:
    assert provenance.commit(root) == ""
    (root / "a.txt").write_text("a")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], ["add", "a.txt"], [*who, "commit", "-qm", "Begin"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    clean = provenance.commit(root)
    assert len(clean) == 40
    (root / "a.txt").write_text("b")
    assert provenance.commit(root) == clean + "+"
