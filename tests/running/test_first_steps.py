"""`melnb look`: which model is asked, and who judged it, if nobody says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melnb.params.catalogue import ParameterError, Report
from melnb.running.first_steps import look_parameters
from melnb.runs import newest, store


def finish(stage: str, name: str, **parameters: object) -> Path:
    return store.open_run(stage, name, parameters=parameters).finish({})


@pytest.fixture
def photo(project: Path) -> Path:
    pixels = np.random.default_rng(0).integers(60, 200, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(project / "new.jpg")
    return project / "new.jpg"


def test_without_a_model_the_way_to_one_is_named(photo: Path) -> None:
    with pytest.raises(ParameterError, match=r"melnb try <pictures> <labels.csv>, or make demo\)"):
        look_parameters(["new.jpg"])
    finish("03_train", "small/fold0", dataset="d")
    with pytest.raises(
        ParameterError, match=r"no trained model 'smal' in .*; did you mean 'small'"
    ):
        look_parameters(["new.jpg"], model="smal")


def test_the_newest_model_and_its_own_report_are_taken_and_told(photo: Path) -> None:
    finish("03_train", "old/fold0", dataset="d")
    finish("03_train", "own/fold0", dataset="d")
    record = store.project_root() / "outputs/03_train/old/fold0/run.json"
    record.write_text(record.read_text().replace('"started": "20', '"started": "19'))
    said: list[str] = []
    first = look_parameters(["new.jpg"], say=said.append)
    assert (first.train_run, first.predictions, first.report) == ("own", "", "")
    assert "model 03_train/own, the newest (another: --model RUN)" in said[0]
    assert "no report judged it alone" in said[0]
    finish("04_predict", "p", train_run="own", run="p", dataset="d")
    finish("04_predict", "away", train_run="own", run="away", dataset="elsewhere")
    finish("06_report", "blend", **Report(run="blend", predictions=["05_ensemble/x"]).plain())
    finish("06_report", "r", **Report(run="r", predictions=["04_predict/p"]).plain())
    second = look_parameters([str(photo)], say=said.append)
    assert (second.predictions, second.report, second.chosen) == ("04_predict/p", "r", "")
    assert second.run == first.run, "the same pictures, by the same model"
    assert said[-1].endswith("threshold of 06_report/r")
    run = store.open_run("06c_choose", "c", parameters={"report": "r"})
    (run.folder / "operating_point.json").write_text("{}")
    run.finish({})
    third = look_parameters(["new.jpg"], model="03_train/own/fold0", say=said.append)
    assert Path(third.chosen).parts[-3:] == ("06c_choose", "c", "operating_point.json")
    assert newest.find_yardstick("old") == newest.Yardstick()
    assert look_parameters(["new.jpg"], model="old").run != first.run


def test_pictures_that_cannot_be_read_stop_it_before_a_kernel(photo: Path, project: Path) -> None:
    finish("03_train", "own/fold0", dataset="d")
    (project / "fake.jpg").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=r"no picture to look at .*fake\.jpg: not a pict"):
        look_parameters(["fake.jpg"])
