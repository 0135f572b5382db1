"""Faults planted under finished runs: what is said of each, and what runs again.

A project of five runs that have read each other, made without a kernel. Each row of the tables is
a fault; a plan (`melnb pipeline --dry-run`) and a board (`melnb status`) must say the same of it.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from melnb.cli import main
from melnb.running.pipeline import read_pipeline
from melnb.running.snakemake import planned
from melnb.running.status import read_board
from melnb.runs import lookup, provenance, raw_data, store

EXPLORE, PREPARE, TRAIN = "01_explore/d", "02_prepare/d", "03_train/r/fold0"
PREDICT, REPORT = "04_predict/r", "06_report/r"
ALL = (EXPLORE, PREPARE, TRAIN, PREDICT, REPORT)
FROM_PREPARE, FROM_TRAIN = ALL[1:], ALL[2:]
PLAN = """
set: {dataset: d}
stages:
  - 01_explore: {with: {source: csv, folder: raw}}
  - 02_prepare: {with: {source: csv, folder: raw, rows: 0}}
  - 03_train: {with: {run: r, weights: WEIGHTS}}
  - 04_predict: {with: {run: r}}
  - 06_report: {with: {run: r, predictions: [04_predict/r]}}
"""
LARGE = 100  # bytes, here: what is larger is not read at each look
Fault = Callable[[Path], object]


def write_raw(raw: Path) -> list[Path]:
    raw.mkdir()
    (raw / "table.csv").write_text("image_id,diagnosis\n" + "a,nevus\n" * 20)
    pictures = [raw / f"{name}.jpg" for name in "abcdef"]
    for picture in pictures:
        picture.write_bytes(picture.stem.encode() * 50)
    (raw / "unused.jpg").write_bytes(b"u" * 50)
    return pictures


def write_runs(root: Path) -> None:
    """Run what the plan says, as its notebooks would, with files of a few bytes."""
    pictures = write_raw(root / "raw")
    outputs = root / "outputs"
    for job in read_pipeline(root / "plan.yaml").jobs:
        run = store.open_run(
            job.stage, store.run_name(job.parameters), parameters=job.parameters.plain()
        )
        files = {"summary.csv": 20}
        match job.stage:
            case "01_explore" | "02_prepare":
                run.reads_raw("raw", pictures)
                files = {"images.csv": 20, "records/fold0.tfrec": 2 * LARGE}
            case "03_train":
                run.reads(outputs / PREPARE)
                run.reads(job.parameters.plain()["weights"])
                files = {"model.keras": 2 * LARGE, "history.csv": 20}
            case "04_predict":
                run.reads(outputs / PREPARE)
                run.reads(outputs / TRAIN)
                files = {"predictions.csv": 20}
            case "06_report":
                lookup.find_tables([PREDICT], reads=run.seeks)
                lookup.find_networks(PREDICT, reads=run.seeks)
                lookup.find_measures("d", reads=run.seeks)
                run.reads(outputs / PREPARE / "images.csv")
                files = {"report.html": 20}
        for name, size in files.items():
            (run.folder / name).parent.mkdir(exist_ok=True)
            (run.folder / name).write_bytes(f"{job.key}/{name}".encode().ljust(size, b"."))
        done = run.finish({"auc": 0.5})
        shutil.copy(root / f"notebooks/{job.stage}.ipynb", done / "notebook.ipynb")


@pytest.fixture
def root(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(provenance, "SMALL", LARGE)
    monkeypatch.setattr(store, "commit", lambda folder: "")
    weights = tmp_path / "disk/w.weights.h5"
    weights.parent.mkdir()
    weights.write_bytes(b"w" * 30)
    (project / "plan.yaml").write_text(PLAN.replace("WEIGHTS", str(weights)))
    write_runs(project)
    return project


def in_plan(root: Path) -> dict[str, str]:
    rows = planned(read_pipeline(root / "plan.yaml"))
    return {row.job: row.note for row in rows if row.state.startswith("would ")}


def in_board(root: Path, *, whole: bool = False) -> dict[str, str]:
    rows = read_board(root / "outputs", whole=whole)
    assert {*ALL} <= {row.job for row in rows}, "all are shown"
    return {row.job: row.note for row in rows if row.state in ("changed", "damaged")}


def doubts(root: Path) -> str:
    plan = " ".join(row.note for row in planned(read_pipeline(root / "plan.yaml")))
    board = " ".join(row.note for row in read_board(root / "outputs"))
    return f"plan: {plan} board: {board}"


def text(name: str, content: str | bytes) -> Fault:
    def plant(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return plant


def flip(name: str, *, time: bool = True) -> Fault:
    """Turn one bit in the middle of a file; without `time` the file's time stays."""

    def plant(root: Path) -> None:
        path = root / name
        stat, data = path.stat(), bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        later = stat.st_mtime_ns + (5_000_000_000 if time else 0)
        os.utime(path, ns=(later, later))

    return plant


def gone(name: str) -> Fault:
    return lambda root: (root / name).unlink()


def with_links(root: Path) -> None:
    """Lay a picture's file elsewhere, and leave a link to it."""
    (root / "raw/c.jpg").rename(root.parent / "disk/c.jpg")
    (root / "raw/c.jpg").symlink_to(root.parent / "disk/c.jpg")


def swapped_behind_a_link(root: Path) -> None:
    with_links(root)
    flip("disk/c.jpg")(root.parent)


def another_behind_a_link(root: Path) -> None:
    with_links(root)
    (root.parent / "disk/d.jpg").write_bytes(b"d" * 50)
    (root / "raw/c.jpg").unlink()
    (root / "raw/c.jpg").symlink_to(root.parent / "disk/d.jpg")


def lost_behind_a_link(root: Path) -> None:
    with_links(root)
    (root.parent / "disk/c.jpg").unlink()


def relabel(root: Path) -> None:
    path = root / "raw/table.csv"
    path.write_text(path.read_text().replace("nevus", "navus", 1))


def edit(name: str, **values: object) -> Fault:
    """Give keys of a JSON file other values, or none."""

    def plant(root: Path) -> None:
        path = root / name
        whole = json.loads(path.read_text()) | values
        path.write_text(json.dumps({k: v for k, v in whole.items() if v is not None}))

    return plant


def another_fold(root: Path) -> None:
    run = store.open_run("03_train", "r/fold1", parameters={})
    run.finish({})


RECORD, BOOK = f"outputs/{TRAIN}/run.json", f"outputs/{PREDICT}/notebook.ipynb"
CLAIM = "outputs/03_train/r/fold7.partial/parameters.json"
# Fault: what is planted, of which run what is said, and what runs again.
AT_A_LOOK: dict[str, tuple[Fault, str, str, tuple[str, ...]]] = {
    "a row relabelled": (relabel, PREPARE, "raw: table.csv changed", ALL),
    "the table deleted": (gone("raw/table.csv"), EXPLORE, "raw: table.csv is gone", ALL),
    "a picture swapped": (flip("raw/c.jpg"), PREPARE, "raw: c.jpg changed", ALL),
    "a picture cut": (text("raw/c.jpg", "c"), PREPARE, "raw: c.jpg changed", ALL),
    "a picture added": (text("raw/deep/g.jpg", "g"), PREPARE, "raw: deep/g.jpg is new", ALL),
    "a picture behind a link swapped": (
        swapped_behind_a_link, PREPARE, "raw: c.jpg changed", ALL,
    ),
    "a link that leads to another picture": (
        another_behind_a_link, PREPARE, "raw: c.jpg changed", ALL,
    ),
    "a link whose picture is gone": (lost_behind_a_link, PREPARE, "raw: c.jpg is gone", ALL),
    "a picture lost": (gone("raw/a.jpg"), PREPARE, "raw: a.jpg is gone", ALL),
    "a bit of the list of raw files": (
        flip(f"outputs/{PREPARE}/raw.csv.gz"), PREPARE, "raw.csv.gz: ", FROM_PREPARE,
    ),
    "the list of raw files lost": (
        gone(f"outputs/{PREPARE}/raw.csv.gz"), PREPARE, "raw.csv.gz: it is gone", FROM_PREPARE,
    ),
    "weights of one's own changed": (
        flip("../disk/w.weights.h5"), TRAIN, "w.weights.h5 changed", FROM_TRAIN,
    ),
    "a bit of a table": (
        flip(f"outputs/{PREPARE}/images.csv", time=False), PREPARE,
        "its file images.csv is not what this run wrote", FROM_PREPARE,
    ),
    "a bit of a report": (
        flip(f"outputs/{REPORT}/report.html"), REPORT,
        "its file report.html is not what this run wrote", (REPORT,),
    ),
    "predictions altered": (
        flip(f"outputs/{PREDICT}/predictions.csv"), PREDICT,
        "its file predictions.csv is not what this run wrote", (PREDICT, REPORT),
    ),
    "test rows that are new": (
        text(f"outputs/{PREDICT}/test.csv", "a"), REPORT, "04_predict/r/test.csv is new", (REPORT,),
    ),
    "networks' test rows that are new": (
        text(f"outputs/{PREDICT}/folds/test-by-fold0.csv", "a"), REPORT,
        "04_predict/r/folds is new", (REPORT,),
    ),
    "measures that are new": (
        text(f"outputs/{PREPARE}/measures.csv", "a"), REPORT, "measures.csv is new", (REPORT,),
    ),
    "a model cut": (
        text(f"outputs/{TRAIN}/model.keras", "PK"), TRAIN,
        "its file model.keras is not what this run wrote", FROM_TRAIN,
    ),
    "a model lost": (
        gone(f"outputs/{TRAIN}/model.keras"), TRAIN, "its file model.keras is gone", FROM_TRAIN,
    ),
    "an empty record": (text(RECORD, ""), TRAIN, "run.json: it is empty", FROM_TRAIN),
    "a cut record": (text(RECORD, '{"stage": "03'), TRAIN, "run.json: no JSON", FROM_TRAIN),
    "a foreign record": (text(RECORD, '{"id": 1}'), TRAIN, "it has no 'stage'", FROM_TRAIN),
    "an older record": (edit(RECORD, inputs=None), TRAIN, "it has no 'inputs'", FROM_TRAIN),
    "a record of endless time": (edit(RECORD, seconds=1e400), TRAIN, "seconds is inf", FROM_TRAIN),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_A_LOOK)
def test_a_fault_is_named_at_a_look_and_what_runs_again(name: str, root: Path) -> None:
    assert in_plan(root) == in_board(root) == {}
    plant, key, words, again = AT_A_LOOK[name]
    plant(root)
    for said in (in_plan(root), in_board(root)):
        assert tuple(said) == again
        assert words in said[key]
        rest = [said[k] for k in again if k != key]
        assert all("after 0" in w or words in w or "changed" in w or "damaged" in w for w in rest)


# Fault: what is planted, of which run what is said, and what runs again when all is read.
WHEN_ALL_IS_READ: dict[str, tuple[Fault, str, str, tuple[str, ...]]] = {
    "a bit of a shard": (
        flip(f"outputs/{PREPARE}/records/fold0.tfrec"), PREPARE,
        "its file records/fold0.tfrec is not what this run wrote", FROM_PREPARE,
    ),
    "a bit of a model": (
        flip(f"outputs/{TRAIN}/model.keras"), TRAIN,
        "its file model.keras is not what this run wrote", FROM_TRAIN,
    ),
    "a picture swapped that has the time of the old one": (
        flip("raw/c.jpg", time=False), PREPARE, "raw: c.jpg changed", ALL,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHEN_ALL_IS_READ)
def test_what_is_large_is_compared_when_all_is_read(name: str, root: Path) -> None:
    plant, key, words, again = WHEN_ALL_IS_READ[name]
    plant(root)
    assert in_plan(root) == in_board(root) == {}
    said = in_board(root, whole=True)
    assert tuple(said) == again
    assert words in said[key]
    shown = CliRunner().invoke(main, ["status", "--check"], env={"MELNB_ROOT": str(root)})
    assert "changed" in shown.output
    assert words in shown.output
    assert words not in CliRunner().invoke(main, ["status"]).output


@pytest.mark.parametrize("time", [True, False])
@pytest.mark.parametrize("name", ["records/fold0.tfrec", "images.csv"])
def test_an_altered_file_is_not_read_as_an_input(name: str, time: bool, root: Path) -> None:
    home = root / "outputs" / PREPARE
    flip(name, time=time)(home)
    run = store.open_run("04_predict", "x", parameters={})
    for path in (home, home / name):
        with pytest.raises(
            store.DamagedError, match=rf"{name} is damaged \(it is not what .* anew"
        ):
            run.reads(path)
    run.reads(home / "images.csv" if name != "images.csv" else home / "records/fold0.tfrec")


def copied(root: Path) -> None:
    for path in (root / "raw").iterdir():
        os.utime(path)


def moved(root: Path) -> None:
    (root / "raw").rename(root / "elsewhere")


def emptied(root: Path) -> None:
    moved(root)
    (root / "raw").mkdir()


def linked(root: Path) -> None:
    moved(root)
    (root / "raw").symlink_to("elsewhere")
    (root / "elsewhere/up").symlink_to(".")  # and one that leads back up


def in_circles(root: Path) -> None:
    moved(root)
    (root / "raw").symlink_to("raw")


# What is no fault, or cannot be told: what is planted, and what is said beside "up to date".
NOTHING_RUNS: dict[str, tuple[Fault, str]] = {
    "a folder that was copied": (copied, ""),
    "a folder behind a link": (linked, ""),
    "a picture behind a link": (with_links, ""),
    "a link to itself": (lambda root: (root / "raw/z.jpg").symlink_to("z.jpg"), ""),
    "an unused picture touched": (flip("raw/unused.jpg"), ""),
    "a note beside the pictures": (text("raw/README.md", "mine"), ""),
    "a Mac's companion": (text("raw/._a.jpg", "x"), ""),
    "a broken link": (lambda root: (root / "raw/z.jpg").symlink_to("nowhere"), ""),
    "a disk that is not plugged in": (moved, "raw: cannot be checked, as nothing of it is there"),
    "its mount point, empty": (emptied, "raw: cannot be checked, as nothing of it is there"),
    "a link in circles": (in_circles, "raw: cannot be checked"),
    "the weights' disk not plugged in": (
        lambda root: shutil.rmtree(root.parent / "disk"), "cannot be checked, as nothing is at",
    ),
    "an unfinished run of nobody": (text(CLAIM, ""), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING_RUNS)
def test_what_is_no_fault_throws_no_finished_run_away(name: str, root: Path) -> None:
    plant, words = NOTHING_RUNS[name]
    plant(root)
    assert in_plan(root) == in_board(root) == {}
    said = doubts(root)
    assert words in said
    assert words in said.partition("board: ")[2]
    assert ("cannot be checked" in said) == bool(words)


def test_a_large_folder_that_was_copied_is_read_when_all_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_data, "LOOKED", 120)
    copied(root)
    flip("raw/c.jpg")(root)
    assert in_plan(root) == {}
    assert "6 pictures have other times, as after a copy: melnb status --check" in doubts(root)
    assert in_board(root, whole=True)[PREPARE].startswith("raw: c.jpg changed")


def test_many_changes_are_counted_tables_first(root: Path) -> None:
    relabel(root)
    for name in "abcd":
        gone(f"raw/{name}.jpg")(root)
    assert in_plan(root)[PREPARE].startswith(
        "raw: table.csv changed, a.jpg is gone, b.jpg is gone and 2 more; "
    )


@pytest.mark.parametrize(
    "content", ["", '{"cells": [', "[]", '{"cells": [{"a": 1}]}', '{"cells": []}']
)
def test_a_damaged_executed_notebook_makes_its_own_run_anew(content: str, root: Path) -> None:
    text(BOOK, content)(root)
    said = in_plan(root)
    assert tuple(said) == (PREDICT, REPORT)
    assert said[PREDICT].startswith(f"damaged ({root / BOOK}: ")
    assert said[PREDICT].endswith("will be made anew")


def test_a_fold_that_was_trained_since_is_new(root: Path) -> None:
    another_fold(root)
    run = store.open_run("03_train", "r/foldness", parameters={})
    run.finish({})
    assert in_plan(root) == {PREDICT: "03_train/r/fold1 is new", REPORT: f"after {PREDICT}"}


def test_a_table_alone_that_is_gone_is_named(root: Path) -> None:
    (root / "table.csv").write_text("a")
    run = store.open_run("02_prepare", "alone", parameters={})
    run.reads_raw("table.csv")
    run.finish({})
    gone("table.csv")(root)
    rows = {row.job: row.note for row in read_board(root / "outputs")}
    assert rows["02_prepare/alone"] == "table.csv: table.csv is gone"
