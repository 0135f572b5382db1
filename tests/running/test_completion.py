"""TAB: what bash is told by the function that `melnb completion bash` prints, and zsh likewise."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from melnb.cli import main
from melnb.params.catalogue import STAGES
from melnb.runs import store


def completed(*words: str) -> list[str]:
    """Return what may stand in the place of the last word."""
    *before, last = words
    items = ShellComplete(main, {}, "melnb", "_MELNB_COMPLETE").get_completions(before, last)
    return [item.value for item in items]


def test_verbs_stages_and_parameters_are_those_of_the_parser(project: Path) -> None:
    assert completed("") == main.list_commands(None)  # type: ignore[arg-type]
    assert completed("c") == ["check", "compare", "completion"]
    assert completed("run", "") == list(STAGES)
    assert completed("stages", "06") == [name for name in STAGES if name.startswith("06")]
    keys = [f"{name}=" for name in STAGES["03_train"].model_fields]
    assert completed("run", "03_train", "") == keys
    assert completed("run", "03_train", "--fo") == ["--force"]
    assert completed("run", "no_stage", "") == []


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["optimizer=a"], ["optimizer=adam", "optimizer=adamw"]),  # zsh: one word
        (["optimizer", "=", "a"], ["adam", "adamw"]),  # bash: `=` parts words
        (["optimizer", "="], ["adam", "adamw", "nadam", "lion", "rmsprop", "sgd"]),
        (["epochs", "=", "3", "optim"], ["optimizer="]),
        (["epochs", "=", "3", "optimizer", "=", "n"], ["nadam"]),
        (["epochs=3", "optim"], ["optimizer="]),
        (["epochs=3", ""], [f"{name}=" for name in STAGES["03_train"].model_fields]),
        (["jit_compile=t"], ["jit_compile=true"]),
        (["epochs="], []),
    ],
)
def test_choices_stand_behind_a_parameter(words: list[str], choices: list[str]) -> None:
    assert completed("run", "03_train", *words) == choices


def test_pipelines_and_runs_are_those_of_the_project(project: Path) -> None:
    (project / "params/tiny.pipeline.yaml").write_text("stages: [01_explore, 03_train]")
    (project / "params/bad.pipeline.yaml").write_text("stages: [: ]]")
    for stage, name in (("03_train", "own/fold0"), ("06_report", "r")):
        store.open_run(stage, name, parameters={}).finish({})
    assert completed("pipeline", "") == ["bad", "tiny"]
    assert completed("pipeline", "tiny", "per_cl") == ["per_class="]
    assert completed("pipeline", "bad", "") == []
    assert completed("results", "") == ["03_train/own", "06_report/r"]
    assert completed("compare", "03_train/own", "06") == ["06_report/r"]
    assert completed("explore", "") == ["r"]
    assert completed("look", "new.jpg", "--model", "") == ["own"]


def test_another_project_is_asked_for_its_runs(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELNB_ROOT", "")  # so that it is put back after --root set it
    store.open_run("06_report", "r", parameters={}).finish({})
    monkeypatch.chdir(tmp_path)
    assert completed("--root", str(project), "results", "") == ["06_report/r"]


LOADED = (
    "import sys, melnb.cli;"
    "from click.shell_completion import ShellComplete as S;"
    "print([i.value for i in S(melnb.cli.main, {}, 'melnb', 'X').get_completions([], 'st')]);"
    "print({'pydantic', 'pandas', 'numpy', 'tensorflow', 'keras'} & set(sys.modules) or 'light')"
)


def test_verbs_load_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["['stages', 'status']", "light"], done.stderr


BASH = """
eval "$(melnb completion bash)"
press() { COMP_WORDS=(melnb "$@"); COMP_CWORD=$#; COMPREPLY=(); _melnb_completion melnb
  echo "${COMPREPLY[*]}"; }
press run 03_train optimizer = a
press run 06c
complete -p melnb
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
def test_bash_is_told_by_the_function(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "bin").mkdir()
    command = project / "bin" / "melnb"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m melnb "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    done = subprocess.run(["bash", "-c", BASH], capture_output=True, text=True, cwd=project)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["adam adamw", "06c_choose"], done.stderr
    assert "-F _melnb_completion melnb" in lines[2]


def test_zsh_has_a_script_of_its_own() -> None:
    script = CliRunner().invoke(main, ["completion", "zsh"]).output
    assert script.startswith("#compdef melnb")
    assert "_MELNB_COMPLETE=zsh_complete" in script
    assert "%(" not in script
