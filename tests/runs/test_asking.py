"""New pictures asked about one after another: who is asked, what is read once, what is judged."""

import json
from pathlib import Path

import pytest

from melnb.params.catalogue import Report
from melnb.runs import store
from melnb.runs.asking import PictureAsking


def finish(stage: str, name: str, **parameters: object) -> Path:
    return store.open_run(stage, name, parameters=parameters).finish({})


BODY = """
from pathlib import Path
from melnb import params, runs
p = params.Look.from_cell(globals())
print("said on no cell")
# ---
loads = Path("loads.txt")
loads.write_text(loads.read_text() + "x" if loads.exists() else "x")
networks = object()
# ---
job = runs.open_run(p.stage, p.run, parameters=p.plain(), outputs=p.outputs)
(job.folder / "look.html").write_text(f"{p.pictures[0]} by {p.train_run}, {id(networks)}")
job.finish({})
"""


@pytest.fixture
def predicted(project: Path) -> Path:
    """A trained run and its predictions, and a notebook of 04c_look that counts its loads."""
    path = project / "notebooks/04c_look.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    book["cells"] = book["cells"][:1] + [
        {"cell_type": "code", "id": f"c{k}", "source": code, "metadata": {"tags": tags}}
        for k, (code, tags) in enumerate(zip(BODY.split("# ---"), ([], ["once"], []), strict=True))
    ]
    path.write_text(json.dumps(book), encoding="utf-8")
    finish("03_train", "own/fold0", dataset="d")
    finish("04_predict", "p", train_run="own", run="p", dataset="d")
    for name in ("a.jpg", "b.jpg"):
        (project / name).write_text(name)
    return project


def test_what_is_tagged_once_is_read_once_until_it_is_trained_anew(
    predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = PictureAsking(["05_ensemble/e", "04_predict/p"])
    assert (asking.train_run, asking.advice) == ("own", "")
    assert not Path("loads.txt").exists(), "nothing is read before a picture"
    first, second = (asking.ask(predicted / name) for name in ("a.jpg", "b.jpg"))
    assert first.parent == predicted / "outputs/04c_look"
    assert first.name.startswith("a-")
    texts = [(home / "look.html").read_text() for home in (first, second)]
    assert "b.jpg by own" in texts[1]
    assert texts[0].rpartition(",")[2] == texts[1].rpartition(",")[2], "the same networks"
    assert Path("loads.txt").read_text() == "x"
    assert asking.ask(predicted / "a.jpg") == first, "the same picture is the same run"
    finish("03_train", "own/fold1", dataset="d")
    asking.ask(predicted / "a.jpg")
    assert Path("loads.txt").read_text() == "xx"
    assert capsys.readouterr().out == ""


def test_each_picture_is_judged_by_the_choice_that_holds_when_it_is_asked(predicted: Path) -> None:
    asking = PictureAsking(["04_predict/p"])
    judged = asking._parameters(predicted / "a.jpg")
    assert (judged.predictions, judged.report, judged.chosen) == ("04_predict/p", "", "")
    finish("06_report", "r", **Report(run="r", predictions=["04_predict/p"]).plain())
    run = store.open_run("06c_choose", "c", parameters={"report": "r"})
    (run.folder / "operating_point.json").write_text("{}")
    run.finish({})
    judged = asking._parameters(predicted / "a.jpg")
    assert judged.report == "r"
    assert judged.chosen.endswith("operating_point.json")


@pytest.mark.parametrize("names", [[], ["scores.csv"], ["05_ensemble/e"], ["04_predict/lost"]])
def test_where_no_networks_were_judged_a_sentence_says_what_to_run(
    predicted: Path, names: list[str]
) -> None:
    finish("04_predict", "lost", train_run="gone", run="lost", dataset="d")
    asking = PictureAsking(names)
    assert asking.train_run == ""
    assert (names or ["nothing"])[0] in asking.advice
    assert "melnb run 04_predict train_run=RUN run=RUN" in asking.advice
