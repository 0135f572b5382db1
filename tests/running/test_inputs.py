"""What a run reads is there, or is named before a kernel starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from melnb.params import catalogue
from melnb.params.catalogue import ParameterError
from melnb.running.up_to_date import check_inputs
from melnb.runs import store


def refusal(stage: str, **values: object) -> str:
    with pytest.raises(ParameterError) as error:
        check_inputs(catalogue.STAGES[stage].check(values))
    return str(error.value)


@pytest.fixture
def finished(project: Path) -> Path:
    for stage, run in (("02_prepare", "demo"), ("03_train", "demo/fold0"), ("04_predict", "demo")):
        store.open_run(stage, run, parameters={}).finish({})
    return project


def test_a_run_that_is_not_there_is_named_with_the_nearest(finished: Path) -> None:
    assert "needs 02_prepare/dmo," in refusal("04_predict", dataset="dmo")
    assert "did you mean 'demo'?" in refusal("04_predict", dataset="dmo")
    assert "needs 03_train/demmo/*" in refusal("04_predict", train_run="demmo")
    said = refusal("06d_external", external=["04_predict/elsewhere"])
    assert said.endswith("there is demo)")
    said = refusal("06_report", predictions=["scores.csv"])
    assert "needs scores.csv" in said


def test_a_path_that_is_not_there_is_named_with_the_nearest(finished: Path) -> None:
    (finished / "data" / "clinic").mkdir(parents=True)
    said = refusal("02_prepare", source="folders", folder="data/klinic")
    assert "folder is 'data/klinic'" in said
    assert "did you mean 'clinic'?" in said
    said = refusal("02_prepare", source="csv", folder=str(finished / "data/clinic/a/b.csv"))
    assert said.endswith("there is nothing)")
    assert "fold_file is 'f.csv'" in refusal("02_prepare", fold_file="f.csv")
    assert "source is 'ph2', but folder is empty" in refusal("02_prepare", source="ph2")


def test_a_class_that_no_run_predicts_is_named_with_those_there(finished: Path) -> None:
    run = store.open_run("04_predict", "seen", parameters={})
    (run.folder / "predictions.csv").write_text("image_id,fold,truth,p_other,p_melanoma,run\n")
    run.finish({})
    for stage, values in (
        ("06_report", {"predictions": ["04_predict/seen"]}),
        ("06d_external", {"predictions": "04_predict/seen", "external": ["04_predict/seen"]}),
    ):
        said = refusal(stage, **values, positive="MEL")
        assert "positive is 'MEL', and 04_predict/seen has the classes other, melanoma" in said
        check_inputs(catalogue.STAGES[stage].check(values))


CASES = {  # source, what lies in its folder, and what is said
    "class folders in a mixture": (
        "folders", ("benign/a.jpg", "melanoma/b.jpg", "c.jpg"), "c.jpg lies in no class folder",
    ),
    "no picture at all": ("folders", ("benign/notes.txt",), "folders: no picture in"),
    "pictures without a table": ("csv", ("p/a.jpg",), "but pictures: give the table itself"),
    "a table without its pictures": ("csv", ("t.csv",), "1 of the 1 images in t.csv"),
    "another data set": ("ham10000", ("t.csv", "a.jpg"), "no HAM10000_metadata.csv or "),
    "a challenge of another year": (
        "isic2017", ("ISIC2018_Task3_Training_GroundTruth.csv",), "no ISIC-2017_Training_Part3_G",
    ),
    "no records": ("kaggle_tfrecords", ("t.csv",), "no *.tfrec or *.tfrecord in"),
}  # fmt: skip


@pytest.mark.parametrize("stage", ["01_explore", "02_prepare"])
@pytest.mark.parametrize("case", CASES)
def test_a_layout_that_its_source_does_not_have_is_told(
    project: Path, stage: str, case: str
) -> None:
    source, files, said = CASES[case]
    for name in files:
        (project / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "data" / name).write_text("image_id,target\na,melanoma\n")
    told = refusal(stage, source=source, folder="data", task="native")
    assert told.startswith(f"{stage}/demo: {source}: ")
    assert said in told


@pytest.mark.parametrize("run", [["run", "02_prepare"], ["pipeline", "p.yaml", "--dry-run"]])
def test_a_wrong_layout_costs_no_kernel_and_no_tensorflow(project: Path, run: list[str]) -> None:
    (project / "data").mkdir()
    (project / "p.yaml").write_text("stages: [02_prepare]\n")
    script = "import sys; from melnb.cli import main; main(sys.argv[1:], standalone_mode=False)"
    script = f"try:\n    exec({script!r})\nfinally:\n    print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}", *run, "source=folders", "folder=data"],
        cwd=project, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode
    assert "02_prepare/demo" in done.stdout + done.stderr
    assert "folders: no picture in" in done.stdout + done.stderr
    for module in ("papermill", "tensorflow", "keras", "scipy", "plotly"):
        assert f"'{module}'" not in done.stdout
    assert not list(project.glob("outputs/**/*.ipynb"))


def test_what_is_there_passes(finished: Path) -> None:
    (finished / "data" / "nevus").mkdir(parents=True)
    for name in ("a", "b"):
        (finished / "data" / "nevus" / f"{name}.jpg").touch()
    for stage, values in (
        ("02_prepare", {}),
        ("02_prepare", {"source": "folders", "folder": "data", "task": "native"}),
        ("02_prepare", {"folder": "made/later"}),  # synthetic lesions are drawn there
        ("04_predict", {}),
        ("06d_external", {"external": ["04_predict/demo"]}),
    ):
        check_inputs(catalogue.STAGES[stage].check(values))


@pytest.mark.parametrize("name", ["scores.csv", "scores.TSV", "scores.txt"])
def test_anyones_table_is_not_asked_for_the_classes_of_a_file_beside_it(
    finished: Path, name: str
) -> None:
    (finished / "data").mkdir()
    (finished / "data" / "predictions.csv").write_text("image_id,p_other,p_melanoma\n")
    (finished / "data" / name).write_text("image_id\ttruth\tMEL\n")
    values = {"predictions": [f"data/{name}"], "positive": "MEL"}
    check_inputs(catalogue.STAGES["06_report"].check(values))
    with pytest.raises(ParameterError, match=f"did you mean '{name}'"):
        check_inputs(
            catalogue.STAGES["06_report"].check(values | {"predictions": [f"data/other-{name}"]})
        )


def test_folds_are_two_or_none() -> None:
    for values, said in (
        ({"n_folds": 1}, "n_folds must not be 1: give 2 or more, or 0"),
        ({"n_folds": 0, "fold_column": "f"}, "leave fold_column and fold_file empty"),
        ({"n_folds": 0, "fold_file": "f.csv"}, "leave fold_column and fold_file empty"),
    ):
        with pytest.raises(ParameterError, match=said):
            catalogue.STAGES["02_prepare"].check(values)
