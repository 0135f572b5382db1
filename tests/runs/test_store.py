import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.params import catalogue
from melnb.params.catalogue import ParameterError
from melnb.runs import store
from melnb.runs.folders import RunError, holder
from melnb.tables import documents


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    return tmp_path


def finished(name: str = "demo", stage: str = "02_prepare", **parameters: object) -> Path:
    run = store.open_run(stage, name, parameters=parameters)
    (run.folder / "a.txt").write_text(str(parameters))
    return run.finish({"n": 1})


def test_the_project_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MELNB_ROOT")
    for name in ("notebooks", "params", "outputs/deep"):
        (tmp_path / name).mkdir(parents=True)
    for place in ("notebooks", "outputs/deep", "."):
        monkeypatch.chdir(tmp_path / place)
        assert store.project_root() == tmp_path
    (tmp_path / "params").rmdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert store.project_root() == tmp_path / "notebooks"
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path / "outputs"))
    assert store.project_root() == tmp_path / "outputs"


def test_paths_are_expanded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("ISIC", "/data/isic")
    assert store.resolve("raw/a.csv") == root / "raw/a.csv"
    assert store.resolve("~/raw") == Path("/home/ada/raw")
    assert store.resolve("$ISIC/2020") == store.resolve("${ISIC}/2020") == Path("/data/isic/2020")
    assert store.outputs_root() == root / "outputs"
    assert store.outputs_root("/scratch") == Path("/scratch")


@pytest.mark.parametrize("text", ["$NOT_SET_HERE/x", "${NOT_SET_HERE}/x"])
def test_an_unset_variable_is_named(text: str) -> None:
    with pytest.raises(ParameterError, match="variable NOT_SET_HERE is not set"):
        store.resolve(text)


def test_names_of_runs() -> None:
    assert store.run_name(catalogue.Prepare(dataset="d")) == "d"
    assert store.run_name(catalogue.Train(dataset="d", run="b3", fold=2)) == "b3/fold2"
    assert store.run_name(catalogue.Predict(dataset="d", run="b3")) == "b3"
    assert store.run_name(catalogue.Explore(dataset="d")) == "d"


def test_a_run_is_absent_until_it_is_whole(root: Path) -> None:
    run = store.open_run("02_prepare", "demo", parameters={"a": 1, "outputs": ""})
    (run.folder / "sub").mkdir()
    (run.folder / "sub/b.txt").write_text("b")
    assert not run.resumed
    assert run.folder.name == "demo.partial"
    with pytest.raises(FileNotFoundError, match=r"02_prepare/demo is not finished .*: run 02_prep"):
        store.find_run("02_prepare", "demo")
    folder = run.finish({"images": 5}, device="2 x T4")
    assert folder == root / "outputs/02_prepare/demo" == store.find_run("02_prepare", "demo")
    assert not (root / "outputs/02_prepare/demo.partial").exists()
    record = documents.read_run(folder)
    assert record["stage"] == "02_prepare"
    assert record["run"] == "demo"
    assert record["parameters"] == {"a": 1, "outputs": ""}
    assert record["results"] == {"images": 5}
    assert record["device"] == "2 x T4"
    assert record["versions"]["pandas"] == pd.__version__
    assert [file["path"] for file in record["files"]] == ["sub/b.txt"]
    assert {path.name for path in folder.iterdir()} == {"run.json", "sub"}


def test_a_run_that_was_never_made_says_what_to_run(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no 02_prepare/x in {root}/outputs: run 02_prep"):
        store.find_run("02_prepare", "x")
    with pytest.raises(FileNotFoundError, match=r"no run\.json in .*not finished"):
        documents.read_run(root)


def test_tables_are_found_by_run_and_by_path(root: Path) -> None:
    run = store.open_run("04_predict", "a", parameters={})
    (run.folder / "predictions.csv").write_text("x")
    folder = run.finish({})
    (root / "own.csv").write_text("x")
    assert store.find_table("04_predict/a") == folder / "predictions.csv"
    assert store.find_table("own.csv") == root / "own.csv"
    assert store.find_table(str(root / "own.csv")) == root / "own.csv"
    with pytest.raises(FileNotFoundError, match="no 04_predict/b in"):
        store.find_table("04_predict/b")
    for name in ("other.csv", "demo"):
        with pytest.raises(FileNotFoundError, match="name a run as stage/run, or a CSV file"):
            store.find_table(name)


def test_the_same_parameters_continue_and_others_begin_anew() -> None:
    first = store.open_run("03_train", "r/fold0", parameters={"epochs": 3, "outputs": "x"})
    (first.folder / "state.h5").write_text("half")
    (first.folder / ".state.h5.1.tmp").write_text("torn")
    again = store.open_run("03_train", "r/fold0", parameters={"epochs": 3, "outputs": "y"})
    assert again.resumed
    assert (again.folder / "state.h5").read_text() == "half"
    assert not (again.folder / ".state.h5.1.tmp").exists()
    other = store.open_run("03_train", "r/fold0", parameters={"epochs": 4})
    assert not other.resumed
    assert not (other.folder / "state.h5").exists()


def test_a_finished_run_stays_until_the_next_is_whole() -> None:
    folder = finished(a=1)
    run = store.open_run("02_prepare", "demo", parameters={"a": 2})
    assert documents.read_run(folder)["parameters"] == {"a": 1}
    (run.folder / "b.txt").write_text("b")
    assert run.finish({}) == folder
    assert documents.read_run(folder)["parameters"] == {"a": 2}
    assert {path.name for path in folder.iterdir()} == {"run.json", "b.txt"}
    assert [path.name for path in folder.parent.iterdir() if path.name[0] != "."] == ["demo"]


def test_the_last_cells_may_be_run_again() -> None:
    run = store.open_run("06_report", "demo", parameters={})
    folder = run.finish({"auc": 0.7})
    (run.folder / "figure.html").write_text("x")
    assert run.finish({"auc": 0.8}) == folder
    assert documents.read_run(folder)["results"] == {"auc": 0.8}
    assert [file["path"] for file in documents.read_run(folder)["files"]] == ["figure.html"]


def test_a_run_that_is_opened_again_has_read_and_drawn_what_it_had(root: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (root / name).write_text(name)
    run = store.open_run("06_report", "demo", parameters={"seed": 1, "outputs": ""})
    run.reads("a.csv")
    run.figures["roc"] = "a curve"
    run = store.open_run(
        "06_report", "demo", parameters={"seed": 1, "outputs": str(root / "outputs")}
    )
    run.reads("b.csv")
    assert run.figures == {"roc": "a curve"}
    assert [i["path"] for i in documents.read_run(run.finish({}))["inputs"]] == ["a.csv", "b.csv"]
    run = store.open_run("06_report", "demo", parameters={"seed": 2})
    assert not run.figures
    run.reads("b.csv")
    assert [i["path"] for i in documents.read_run(run.finish({}))["inputs"]] == ["b.csv"]


def test_a_finished_run_does_not_give_way_to_less(root: Path) -> None:
    """The settle cell and the last cell, both run again after the end."""
    run = store.open_run("06_report", "demo", parameters={})
    for name in ("page.html", "table.csv"):
        (run.folder / name).write_text("1")
    folder = run.finish({"auc": 0.7})
    for _ in range(2):  # and once more
        run = store.open_run("06_report", "demo", parameters={})
        (run.folder / "table.csv").write_text("2")
        with pytest.raises(
            RunError, match=r"lacks files that it had: page\.html\. The finished run"
        ):
            run.finish({"auc": 0.8})
    assert documents.read_run(folder)["results"] == {"auc": 0.7}
    assert (folder / "table.csv").read_text() == "1"
    (run.folder / "page.html").write_text("2")
    assert documents.read_run(run.finish({"auc": 0.8}))["results"] == {"auc": 0.8}
    assert (folder / "table.csv").read_text() == "2"
    assert not list(root.rglob("*.partial"))
    run = store.open_run("06_report", "demo", parameters={"calibrator": "platt"})
    run.finish({"auc": 0.9})  # of other parameters other files may come


def test_a_folder_of_many_files_is_recorded_as_one() -> None:
    run = store.open_run("02_prepare", "demo", parameters={})
    (run.folder / "masks").mkdir()
    for k in range(3):
        (run.folder / f"masks/{k}.png").write_text("12")
    (run.folder / "masks.csv").write_text("x")
    for _ in range(2):  # the last cell may be run again
        record = documents.read_run(run.finish({}, folders=("masks", "crops")))
        masks, table = record["files"]
        assert (masks["path"], masks["files"], masks["bytes"]) == ("masks/", 3, 6)
        assert len(masks["sha256"]) == 64
        assert table["path"] == "masks.csv"


def test_results_are_plain_and_an_undefined_one_is_null() -> None:
    run = store.open_run("06_report", "demo", parameters={})
    results = {
        "auc": np.float32(0.5), "n": np.int64(3), "ok": np.bool_(True), "interval": (0.25, np.inf),
        "sensitivity": float("nan"), "counts": np.array([1, 2]), "at": {"t": 1}, "path": Path("a"),
    }  # fmt: skip
    assert documents.read_run(run.finish(results))["results"] == {
        "auc": 0.5, "n": 3, "ok": True, "interval": [0.25, None],
        "sensitivity": None, "counts": [1, 2], "at": {"t": 1}, "path": "a",
    }  # fmt: skip
    with pytest.raises(TypeError, match=r"results\.table is a DataFrame: record numbers"):
        run.finish({"table": pd.DataFrame()})


def test_inputs_are_recorded_by_content(root: Path) -> None:
    earlier = finished(a=1)
    raw = root / "raw"
    raw.mkdir()
    (raw / "1.jpg").write_text("123")
    (root / "a.csv").write_text("abc")
    run = store.open_run("03_train", "r/fold0", parameters={})
    assert run.reads(earlier) == earlier
    assert run.reads("raw") == raw
    assert run.reads("a.csv") == root / "a.csv"
    with pytest.raises(FileNotFoundError, match="nothing to read at"):
        run.reads("b.csv")
    inputs = documents.read_run(run.finish({}))["inputs"]
    assert [(i["path"], i["sha256"].split(":")[0]) for i in inputs] == [
        ("a.csv", "file"), ("outputs/02_prepare/demo", "run"), ("raw", "listing"),
    ]  # fmt: skip
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4
    assert inputs[0]["sha256"] == f"file:{abc}"


def test_what_was_looked_for_and_not_there_is_recorded(root: Path) -> None:
    run = store.open_run("06_report", "r", parameters={})
    assert run.seeks("test.csv") == root / "test.csv"
    assert documents.read_run(run.finish({}))["inputs"] == [{"path": "test.csv", "sha256": "none:"}]
    (root / "test.csv").write_text("abc")
    run.seeks("test.csv")  # the cell is run again
    assert documents.read_run(run.finish({}))["inputs"][0]["sha256"].startswith("file:ba7816bf")


@pytest.mark.parametrize("name", ["demo.partial", "demo.old", "demo.lock", "demo.running"])
def test_names_of_unfinished_runs_are_refused(name: str) -> None:
    with pytest.raises(RunError, match="may not be named"):
        store.open_run("02_prepare", name, parameters={})


HOLD = """
import sys, time
from melnb import runs
run = runs.open_run("02_prepare", "demo", parameters={"a": 1})
print("open", flush=True)
time.sleep(60)
"""


def test_two_processes_cannot_write_one_run_until_one_is_killed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("melnb.runs.folders._PATIENCE", 0.1)
    final = root / "outputs/02_prepare/demo"
    assert holder(final) == ""
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(RunError, match=rf"written by another process \(pid {other.pid} on"):
            store.open_run("02_prepare", "demo", parameters={"a": 1})
        other.send_signal(signal.SIGKILL)
        other.wait()
    run = store.open_run("02_prepare", "demo", parameters={"a": 1})
    assert holder(final) == "this process"
    run.finish({})
    assert holder(final) == ""


# Does the whole of a run again and again, killed before its 1st, 2nd, 3rd … touch of the disk. It
# starts beside a finished older run, with an unfinished one of other parameters in its place.
CRASHES = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from melnb.runs import provenance, store as runs

runs.commit = lambda folder: ""  # git takes longer than the rest
TOUCHES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}
folder = Path(os.environ["MELNB_ROOT"], "outputs", "02_prepare")

def work(version):
    run = runs.open_run("02_prepare", "demo", parameters={"version": version})
    (run.folder / f"data{version}").write_text("x" * version)
    return run.finish({"version": version})

def killed_at(step):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = [step]
    def count(event, arguments):
        if event in TOUCHES:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    work(3)
    os._exit(0)

def whole(found):
    record = runs.read_run(found)
    version = record["results"]["version"]
    assert [f["path"] for f in record["files"]] == [f"data{version}"], record
    assert provenance.hash_file(found / f"data{version}") == record["files"][0]["sha256"]
    return version

seen = []
for step, look in itertools.product(range(1, 1000), (True, False)):
    shutil.rmtree(folder, ignore_errors=True)
    work(1)
    left = runs.open_run("02_prepare", "demo", parameters={"version": 2})
    for n in range(4):
        (left.folder / f"part{n}").write_text("")
    del left
    if not killed_at(step):
        break
    ended = (folder / "demo.partial" / "run.json").is_file()
    if look:  # mended by who reads the run; else by who writes the next
        seen.append(whole(runs.find_run("02_prepare", "demo")))
    again = runs.open_run("02_prepare", "demo", parameters={"version": 2})
    assert len(list(again.folder.glob("part*"))) in (0, 4), "a half-wiped run was continued"
    del again
    assert look or whole(folder / "demo")
    assert not ended or whole(folder / "demo") == 3, "a finished run was thrown away"
    assert whole(work(3)) == 3
    names = sorted(path.name for path in folder.iterdir())
    assert names == [".demo.lock", "demo"], names
    assert sorted(p.name for p in (folder / "demo").iterdir()) == ["data3", "run.json"]
assert seen == sorted(seen), "never back to the older run"
print(len(seen), seen.count(1), seen.count(3))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_a_run_survives_a_kill_before_any_touch_of_the_disk(root: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-c", CRASHES], capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    steps, old, new = map(int, out.stdout.split())
    assert steps == old + new
    assert old > 10  # the wipe, the claim, the write and the record were each cut
    assert new >= 2  # and so were the last touches after the old run was moved away


def test_a_file_that_may_be_named_is_recorded_if_it_is(tmp_path: Path) -> None:
    file = tmp_path / "marks.csv"
    file.write_text("image_id\n")
    run = store.open_run("02_prepare", "demo", parameters={})
    assert run.given("") == run.given(None) == ""
    assert run.given("marks.csv") == file
    record = documents.read_run(run.finish({}))
    assert [entry["path"] for entry in record["inputs"]] == ["marks.csv"]
