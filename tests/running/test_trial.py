"""`melnb try`: a stranger's photographs and labels, by the command's words alone."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from melnb.cli import main
from melnb.running.pipeline import read_pipeline
from melnb.running.trial import write_pipeline


@pytest.fixture
def photos(project: Path, draw_photos: Callable[[Path, int], Path]) -> Path:
    return draw_photos(project / "photos", 16)


def write_labels(photos: Path, first: str, second: str, name: str = "labels.csv") -> Path:
    file = photos.parent / name
    rows = [f"IMG_{k}.jpg,{first if k < 6 else second}" for k in range(16)]
    file.write_text("\n".join(["photo,finding", *rows]))
    return file


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["try", *words])


def test_benign_and_malignant_are_one_command(photos: Path, project: Path) -> None:
    write_labels(photos, "malignant", "benign")
    done = call("photos", "labels.csv", "-n")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "labels.csv: pictures are named by 'photo', labels stand in 'finding'",
        "no column names patients: if one has several pictures, add patient_id, or the report is "
        "too good",
        "16 pictures: 10 benign, 6 malignant; looked for: malignant; 3 folds",
        f"written: {project}/params/mine.pipeline.yaml",
    ]
    plan = read_pipeline("mine")
    assert [job.key for job in plan.jobs] == [
        "02_prepare/mine", "03_train/mine/fold0", "03_train/mine/fold1", "03_train/mine/fold2",
        "04_predict/mine", "06_report/mine",
    ]  # fmt: skip
    report = plan.jobs[-1].parameters.plain()
    assert (report["positive"], report["predictions"]) == ("malignant", ["04_predict/mine"])
    assert plan.jobs[0].parameters.plain()["task"] == "native"
    again = call("photos", "labels.csv", "-n")
    assert again.exit_code == 0, "the same data write the same files"


def test_unknown_labels_name_the_options_which_then_do(photos: Path, project: Path) -> None:
    write_labels(photos, "excise", "leave")
    refused = call("photos", "labels.csv", "-n")
    assert refused.exit_code == 1
    assert "leave (10), excise (6)" in refused.output
    assert "--label excise=melanoma --other leave" in refused.output
    assert not list((project / "params").glob("mine*"))
    options = ("--label", "excise=melanoma", "--other", "leave")
    done = call("photos", "labels.csv", "-n", *options)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(project / "params" / "mine.labels.csv")
    assert table["target"].value_counts().to_dict() == {"other": 10, "melanoma": 6}
    slip = call("photos", "labels.csv", "-n", "--label", "exise=melanoma")
    assert "no picture is labelled 'exise' (labels: excise, leave)" in slip.output


def test_on_a_terminal_the_person_is_asked(photos: Path) -> None:
    write_labels(photos, "excise", "leave")
    answers, said = iter(["other", "what?", "melanoma"]), list[str]()
    write_pipeline(
        "photos", "labels.csv", words={}, say=said.append, ask=lambda question: next(answers)
    )
    assert "'excise' (6 pictures) is no diagnosis that we know." in said
    assert any(line.startswith("'what?' is no class that we know: use one of") for line in said)
    assert said[-1].startswith("16 pictures: 10 other, 6 melanoma")


def test_nothing_of_anothers_is_written_over(photos: Path, project: Path) -> None:
    write_labels(photos, "malignant", "benign")
    assert call("photos", "labels.csv", "-n").exit_code == 0
    before = (project / "params" / "mine.labels.csv").read_text()
    write_labels(photos, "melanoma", "nevus", "other.csv")
    refused = call("photos", "other.csv", "-n")
    assert refused.exit_code == 1
    assert "is there and says otherwise: give these data another name (--name mine2)" in " ".join(
        refused.output.split()
    )
    assert (project / "params" / "mine.labels.csv").read_text() == before
    assert call("photos", "other.csv", "-n", "--name", "mine2").exit_code == 0


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("photo,finding\nIMG_1,malignant\n", "which column holds the labels? Say --label-column"),
        ("photo,finding\nx,malignant\ny,benign\n", "no cell names a picture"),
        ("photo,finding\nIMG_1,malignant\nIMG_2,benign\n", "4 of each are the fewest"),
    ],
)
def test_data_that_will_not_do_are_refused_before_anything_starts(
    photos: Path, project: Path, labels: str, said: str
) -> None:
    (project / "labels.csv").write_text(labels)
    refused = call("photos", "labels.csv")
    assert refused.exit_code == 1
    assert said in " ".join(refused.output.split())
    assert not (project / "outputs").exists()
    nowhere = call("fotos", "labels.csv")
    assert f"no {project}/fotos" in nowhere.output


@pytest.mark.parametrize("name", ["a/b", "../outside", "a: b", "my photos", ""])
def test_a_name_that_names_no_run_writes_no_file(photos: Path, project: Path, name: str) -> None:
    write_labels(photos, "malignant", "benign")
    before = sorted(project.rglob("*"))
    refused = call("photos", "labels.csv", "-n", "--name", name)
    assert refused.exit_code == 1
    assert "--name: a name is letters" in refused.output
    assert f"(received {name!r})" in refused.output
    assert sorted(project.rglob("*")) == before
