import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import melnb
from melnb.params import catalogue
from melnb.running import stage
from melnb.running.up_to_date import code_of, notebook_of, run_folder, why_stale
from melnb.runs.provenance import list_files

Rewrite = Callable[[str, str, str], None]
PREPARE, TRAIN = catalogue.Prepare(dataset="d"), catalogue.Train(dataset="d", run="r")


@pytest.fixture
def line(kernels: Callable[[], list[str]]) -> Callable[[], list[str]]:
    for parameters in (PREPARE, TRAIN):
        stage.launch(parameters.stage, parameters=parameters)
    assert kernels() == ["d", "fold0"]
    return kernels


def test_a_finished_run_is_up_to_date(project: Path, line: object) -> None:
    assert why_stale(PREPARE) == why_stale(TRAIN) == ""
    assert why_stale(catalogue.Train(dataset="d", run="r", outputs=str(project / "outputs"))) == ""
    assert why_stale(catalogue.Train(dataset="d", run="r", fold=1)) == "never run"


def test_changed_parameters_are_named(line: object) -> None:
    assert why_stale(catalogue.Train(dataset="d", run="r", epochs=2)) == "epochs 6 -> 2"
    many = catalogue.Train(dataset="d", run="r", epochs=2, seed=1, hue=0.1, zoom=0.0)
    assert why_stale(many) == "seed 0 -> 1, epochs 6 -> 2, zoom 0.1 -> 0.0 …"


def test_a_parameter_younger_than_the_run_had_its_default(line: object) -> None:
    path = run_folder(TRAIN) / "run.json"
    record = json.loads(path.read_text())
    del record["parameters"]["hue"]
    path.write_text(json.dumps(record))
    assert why_stale(TRAIN) == ""
    assert why_stale(catalogue.Train(dataset="d", run="r", hue=0.5)) == "hue 0.01 -> 0.5"


def test_changed_code_counts_and_changed_prose_does_not(line: object, rewrite: Rewrite) -> None:
    rewrite("03_train", "## The work", "## The toil")
    assert why_stale(TRAIN) == ""
    rewrite("03_train", "unlucky number", "unlucky")
    assert why_stale(TRAIN) == "notebook changed"


def test_a_run_made_by_hand_counts_whatever_the_notebook(line: object, rewrite: Rewrite) -> None:
    (run_folder(TRAIN) / "notebook.ipynb").unlink()
    rewrite("03_train", "unlucky number", "unlucky")
    assert why_stale(TRAIN) == ""


def test_an_input_counts_by_content(line: object) -> None:
    stage.launch("02_prepare", parameters=PREPARE, force=True)
    assert why_stale(TRAIN) == ""
    stage.launch("02_prepare", parameters=catalogue.Prepare(dataset="d", seed=1))
    assert why_stale(TRAIN) == "outputs/02_prepare/d changed"
    run_folder(PREPARE).rename(run_folder(PREPARE).with_name("moved"))
    assert why_stale(TRAIN) == "outputs/02_prepare/d is gone"


def test_a_lost_file_counts(line: object) -> None:
    (run_folder(TRAIN) / "out.txt").write_text("longer than it was before")
    assert why_stale(TRAIN) == "its file out.txt is not what this run wrote"
    (run_folder(TRAIN) / "out.txt").unlink()
    assert why_stale(TRAIN) == "its file out.txt is gone"


def test_a_folder_of_many_files_counts_by_their_number_and_size(line: object) -> None:
    final = run_folder(TRAIN)
    for name in ("masks/a.png", "masks/deep/b.png"):
        (final / name).parent.mkdir(parents=True)
        (final / name).write_text(name)
    (final / "crops").mkdir()
    record = json.loads((final / "run.json").read_text())
    record["files"] = list_files(final, hashed=True, folders=("masks", "crops"))
    record["files"] = [f for f in record["files"] if f["path"].endswith("/")]
    (final / "run.json").write_text(json.dumps(record))
    assert [f["files"] for f in record["files"]] == [0, 2]
    assert why_stale(TRAIN) == ""
    (final / "crops").rmdir()  # as an archive of files leaves it
    assert why_stale(TRAIN) == ""
    (final / "masks/a.png").write_text("more than it held before")
    assert why_stale(TRAIN) == "its folder masks/ is not what this run wrote"
    (final / "masks/a.png").unlink()
    assert why_stale(TRAIN) == "its folder masks/ is not what this run wrote"
    shutil.rmtree(final / "masks")
    assert why_stale(TRAIN) == "its folder masks/ is gone"


def test_a_minor_version_counts_and_a_patch_does_not(
    line: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    minor = melnb.__version__.rpartition(".")[0]
    monkeypatch.setattr(melnb, "__version__", f"{minor}.99")
    assert why_stale(TRAIN) == ""
    monkeypatch.setattr(melnb, "__version__", "77.0.0")
    assert why_stale(TRAIN).endswith(" -> 77.0.0")


def test_a_try_that_failed_later_counts(line: object) -> None:
    final = run_folder(TRAIN)
    failed = final.with_name("fold0.failed.ipynb")
    failed.write_text("{}")
    os.utime(failed, (0, 0))
    assert why_stale(TRAIN) == ""
    later = (final / "run.json").stat().st_mtime_ns + 1_000_000  # clocks of files may tick slowly
    os.utime(failed, ns=(later, later))
    assert why_stale(TRAIN) == "failed last time"


def test_the_notebook_must_be_there_and_take_parameters(project: Path) -> None:
    path = notebook_of("03_train")
    assert len(code_of(path)) == 5
    path.write_text(path.read_text().replace('"parameters"', '"settings"'))
    with pytest.raises(ValueError, match="no cell is tagged `parameters`"):
        code_of(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no notebook .*03_train\.ipynb: run inside"):
        notebook_of("03_train")
