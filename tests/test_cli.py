import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import melnb
from melnb.cli import main
from melnb.evaluation.statistics.sample_size import COLUMNS
from melnb.params.catalogue import STAGES
from melnb.runs import store
from melnb.tables import documents, schema

Kernels = Callable[[], list[str]]


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_a_stage_is_run_with_files_and_pairs(project: Path, kernels: Kernels) -> None:
    (project / "params/a.yaml").write_text("dataset: a\nseed: 1\nrows: 7")
    (project / "params/b.yaml").write_text("seed: 2")
    words = ("run", "01_explore", "-f", "params/a.yaml", "-f", "params/b.yaml", "per_class=3")
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == str(project / "outputs/01_explore/a")
    values = documents.read_run(project / "outputs/01_explore/a")["parameters"]
    assert (values["seed"], values["rows"], values["per_class"]) == (2, 7, 3)
    assert "01_explore/a is up to date" in call(*words).output
    assert "forced" in call(*words, "--force").output
    assert kernels() == ["a", "a"]


def test_a_project_may_be_named_from_elsewhere(
    project: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELNB_ROOT", "")  # so that it is put back after --root set it
    monkeypatch.chdir(project.parent)
    assert call("run", "01_explore").exit_code == 1
    assert call("--root", str(project), "run", "01_explore").exit_code == 0
    assert (project / "outputs/01_explore/demo/run.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "03_train", "epoch=2"), "unknown parameter 'epoch'; did you mean 'epochs'?"),
        (("run", "03_train", "fold=-1"), "fold: Input should be greater than or equal to 0"),
        (("run", "3_train"), "no stage '3_train'; did you mean '03_train'?"),
        (("run", "03_train", "-f", "no.yaml"), "no parameter file"),
        (("run", "01_explore", "seed=13"), "failed at In [5], under 'The work': AssertionError"),
        (("pipeline", "no.yaml"), "no parameter file"),
        (("results", "06_report/r"), "no 06_report/r in"),
    ],
)
def test_an_error_is_one_message(
    project: Path, kernels: Kernels, words: tuple[str, ...], message: str
) -> None:
    result = call(*words)
    assert result.exit_code == 1
    assert f"Error: {words[1]}" in result.output or "Error: " in result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_verbs_and_pipelines_are_found_by_their_bare_and_nearly_right_names(
    project: Path, kernels: Kernels
) -> None:
    (project / "params/tiny.pipeline.yaml").write_text("stages: [01_explore]")
    assert "01_explore/demo  would run" in call("pipeline", "tiny", "-n").output
    slip = call("pipeline", "tinny", "-n")
    assert slip.exit_code == 1
    assert "no pipeline 'tinny' in" in slip.output
    assert "did you mean 'tiny'?" in slip.output
    slip = call("pipelin", "tiny")
    assert slip.exit_code == 2
    assert "no command 'pipelin'; did you mean 'pipeline'?" in slip.output
    assert "explore, look, " in call("xyzzy").output


def test_a_changed_dataset_writes_over_no_run_of_another(project: Path, kernels: Kernels) -> None:
    (project / "params/p.pipeline.yaml").write_text("stages: [02_prepare, 03_train]")
    assert call("run", "02_prepare", "dataset=mine").exit_code == 0
    assert call("run", "02_prepare").exit_code == 0
    assert call("run", "03_train").exit_code == 0
    kernels()
    for words in (("run", "03_train", "dataset=mine"), ("pipeline", "p", "dataset=mine", "-n")):
        refused = call(*words)
        assert refused.exit_code == 1
        assert "03_train/demo/fold0 is a run of the dataset demo, which dataset=mine would wr" in (
            " ".join(refused.output.split())
        )
        assert "run=demo-mine" in refused.output
    assert kernels() == []
    assert call("run", "03_train", "dataset=mine", "--force").exit_code == 0
    assert call("run", "03_train", "dataset=mine", "epochs=2").exit_code == 0


def test_a_pipeline_runs_shows_and_fails(project: Path, kernels: Kernels) -> None:
    plan = project / "params/p.pipeline.yaml"
    plan.write_text("stages: [{02_prepare: {with: {seed: 13}}}, 03_train]")
    result = call("pipeline", str(plan), "-n", "03_train.epochs=1")
    assert result.exit_code == 0
    assert [line.split()[:3] for line in result.output.splitlines()] == [
        ["02_prepare/demo", "would", "run"], ["03_train/demo/fold0", "would", "run"],
    ]  # fmt: skip
    result = call("pipeline", str(plan))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert ["03_train/demo/fold0", "not", "run", "needs", "02_prepare/demo"] in map(
        str.split, lines
    )
    assert "failed at In [5], under 'The work': AssertionError: unlucky number" in result.output
    assert lines[-1] == f"  see {project}/outputs/02_prepare/demo.failed.ipynb"
    result = call("pipeline", str(plan), "--", "--no-such-option")
    assert result.exit_code == 1
    assert "--no-such-option" in result.output
    assert kernels() == ["demo"]


def test_status_and_results(project: Path) -> None:
    assert call("status").output == f"no runs in {project}/outputs\n"
    run = store.open_run("06_report", "r", parameters={})
    (run.folder / "report.html").write_text("<p>")
    run.finish(
        {
            "auc": 0.87654,
            "auc_low": 0.8,
            "auc_high": 0.9,
            "gain": None,
            "of": [0.81234, "x"],
            "nobody": [],
            "away": [0.5, 0.75],
            "away_low": [0.4, None],
            "away_high": [0.6, None],
        }
    )
    assert "06_report/r  done" in call("status").output
    assert "AUC 0.877 (0.800-0.900)" in call("status", "outputs").output
    assert call("results", "06_report/r").output.splitlines() == [
        "AUC   0.877 (0.800-0.900)",
        "gain  not estimable",
        "of    0.8123, x",
        "away  0.500 (0.400-0.600), 0.75",
        str(project / "outputs/06_report/r/report.html"),
    ]


def test_runs_stand_side_by_side_and_two_are_compared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    truth = np.where(draw.random(200) < 0.3, "melanoma", "other")
    for name, noise in (("good", 0.3), ("bad", 3.0)):
        score = 1 / (1 + np.exp(-1.0 * (truth == "melanoma") - noise * draw.normal(size=200)))
        table = schema.make_predictions(
            [f"i{k}" for k in range(200)], 0, truth.tolist(),
            np.column_stack([1 - score, score]), classes=("other", "melanoma"), run=name,
        )  # fmt: skip
        run = store.open_run("04_predict", name, parameters={"run": name, "views": name})
        schema.write_predictions(table, run.folder / "predictions.csv")
        run.finish({"auc": noise / 4})
    listed = call("runs", "04_predict", "--sort", "auc").output.splitlines()
    assert [line.split()[0] for line in listed] == ["run", "good", "bad"]
    assert len(json.loads(call("runs", "04_predict", "--json").output)) == 2
    told = call("compare", "04_predict/good", "04_predict/bad").output
    positives = (truth == "melanoma").sum()
    assert f"on the 200 images of both, {positives} positive: more than chance" in told
    assert "views" in told
    asked: list[tuple[str, Any]] = []
    store.open_run("06_report", "both", parameters={}).finish({})

    def launch(stage: str, *, parameters: Any) -> Path:
        asked.append((stage, parameters.plain()))
        return project / "outputs/06_report/both"

    monkeypatch.setattr("melnb.running.stage.launch", launch)
    assert call("compare", "04_predict/good", "04_predict/bad", "--page").exit_code == 0
    ((stage, given),) = asked
    assert (stage, given["run"]) == ("06_report", "04_predict-good-against-04_predict-bad")
    assert given["predictions"] == ["04_predict/good", "04_predict/bad"]
    again = call("compare", "04_predict/good", "04_predict/good/../good").output
    assert "is +0.000" in again
    assert "no difference is shown" in again
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    (project / "outputs/04_predict/good/predictions.html").write_text("<p>")
    call("open", "04_predict/good")
    assert opened == [str(project / "outputs/04_predict/good/predictions.html")]
    run = store.open_run("03_train", "b/fold0", parameters={})
    assert "b/fold0 is not finished, and has no page yet" in call("open", "03_train/b/fold0").output
    (run.folder / "curves.html").write_text("<p>")
    call("open", "03_train/b/fold0")
    assert opened[1:] == [str(run.folder / "curves.html")]


def test_two_segmenters_are_compared_image_by_image(project: Path) -> None:
    scores = pd.DataFrame({"image_id": [f"0{k}" for k in range(40)], "tp": 90, "fn": 10})
    draw = np.random.default_rng(0)
    for name, gain in (("new", 0.05), ("old", 0.0), ("blind", 0.0)):
        run = store.open_run("02d_segment_apply", name, parameters={"run": name, "views": name})
        if name != "blind":
            judged = 0.7 + gain + 0.001 * draw.normal(size=40)
            scores.assign(jaccard=judged).to_csv(run.folder / "scores.csv", index=False)
        run.finish({})
    lines = call("compare", "02d_segment_apply/new", "02d_segment_apply/old").output.splitlines()
    line = next(line for line in lines if line.startswith("jaccard"))
    assert re.search(r"0.7\d+ less 0.7\d* is \+0.0[45]\d+ \(\+0.0\d+ to \+0.0\d+\), on 40", line)
    assert any(line.startswith("views ") for line in lines)
    refused = call("compare", "02d_segment_apply/new", "02d_segment_apply/blind")
    assert refused.exit_code == 1
    assert "02d_segment_apply/blind has judged no mask" in refused.output


def test_doctor_prints_findings(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pd.DataFrame({"file": ["fold0-00-9.tfrec"], "what": ["torn"]})
    records = SimpleNamespace(
        check_records=lambda folder: found if folder.name == "bad" else found[:0]
    )
    monkeypatch.setitem(sys.modules, "melnb.data.audit.doctor", records)
    result = call("doctor", "bad")
    assert result.exit_code == 1
    assert "fold0-00-9.tfrec" in result.output
    assert call("doctor", "good").output == "good: nothing found\n"


def test_a_terminal_only_shows_what_is_found(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "p\x1b[31m\u202e\n\tä"
    monkeypatch.setitem(
        sys.modules,
        "melnb.data.audit.doctor",
        SimpleNamespace(check_records=lambda folder: pd.DataFrame({"what": [evil]})),
    )
    said = call("doctor", "bad").output
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"p\x1b[31m\u202e" in said
    assert "ä" in said
    assert "\x1b" not in call("run", "03_train", "\x1b[31mrun=x").output


def test_doctor_says_what_could_tell_a_person(project: Path) -> None:
    folder = project / "given"
    folder.mkdir()
    (folder / "metrics.csv").write_text("measure,value\nauc,0.8\n")
    assert call("doctor", "--share", "given").output == "given: nothing found\n"
    (folder / "images.csv").write_text("image_id,patient_id\na,p1\n")
    result = call("doctor", "--share", "given")
    assert result.exit_code == 1
    assert "images.csv: patient, 1, such as patient_id p1: give other ids" in result.output


def test_stages_are_a_line_each_and_one_is_listed_by_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = call("stages").output.splitlines()
    assert [line.split()[0] for line in listed if not line.startswith(" ")] == [*STAGES]
    told = call("stages", "03_train").output
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "03_train: one run, one fold."
    assert "* backbone               tiny           tiny, EfficientNetB0-B7" in told
    assert "  pooling                avg            from map to vector (avg | max | gem)" in lines
    assert "  dropout                0.2            before the last layer (>=0, <1)" in lines
    assert "  - final_rate is above learning_rate" in lines
    for name in STAGES["03_train"].model_fields:
        assert sum(line[2:].startswith(f"{name} ") for line in lines) == 1, name
    assert call("run", "03_train", "--help").output.endswith(told)
    assert call("run", "--help").output.count("\n") < 20
    assert call("--version").output == f"melnb, version {melnb.__version__}\n"


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_be_listed(stage: str) -> None:
    lines = call("stages", stage).output.splitlines()
    assert len(lines) > len(STAGES[stage].model_fields)


def test_the_command_starts_without_heavy_imports() -> None:
    code = "import json, sys, melnb.cli; print(json.dumps(sorted(sys.modules)))"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    assert not {"pandas", "numpy", "papermill", "pydantic", "keras"} & set(json.loads(out.stdout))


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m melnb stages | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("01_explore ")
    assert done.stderr == ""


def test_a_validation_is_planned() -> None:
    result = call("plan-sample", "--prevalence", "0.1", "--auc", "0.85", "--ratio-width", "0")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert lines[-1].split()[:3] == ["all", "of", "these"]
    assert "observed / expected" not in result.output
    refused = call("plan-sample", "--prevalence", "2", "--auc", "0.85")
    assert refused.exit_code == 1
    assert refused.output == "Error: prevalence is 2.0: use a share between 0 and 1\n"
