from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from melnb.params.catalogue import (
    Ensemble,
    ParameterError,
    Predict,
    Prepare,
    Report,
    SegmentApply,
    Train,
)
from melnb.running.pipeline import Pipeline, read_pipeline
from melnb.running.up_to_date import needed
from melnb.runs import store

PLAN = """
set: {dataset: d, seed: 4}
stages:
  - 02_prepare: params/prepare.yaml
  - 03_train: {file: params/train.yaml, folds: 2, with: {run: a, seed: 5}}
  - 03_train: {file: params/train.yaml, folds: [0, 2], with: {run: b}}
  - 04_predict: {with: {run: a}}
  - 04_predict: {with: {run: ab, train_run: b}}
  - 05_ensemble: {with: {run: e, members: [04_predict/a, 04_predict/ab]}}
  - 06_report: {with: {run: e, predictions: [05_ensemble/e]}}
"""
AUDIT = "  - 02b_audit: {with: {run: d}}\n"


@pytest.fixture(autouse=True)
def plan(project: Path) -> Path:
    (project / "params/prepare.yaml").write_text("rows: 9\nseed: 3")
    (project / "params/train.yaml").write_text("epochs: 2\nlearning_rate: 1e-3")
    return write(project, PLAN)


def write(project: Path, text: str) -> Path:
    path = project / "params/two.pipeline.yaml"
    path.write_text(text)
    return path


def values(pipeline: Pipeline, name: str) -> dict[str, object]:
    return {job.key: job.parameters.plain().get(name) for job in pipeline.jobs}


def test_lines_become_jobs_that_know_what_they_need(plan: Path) -> None:
    pipeline = read_pipeline("params/two.pipeline.yaml")
    assert pipeline.name == "two"
    assert pipeline.folder == plan.parents[1] / "outputs/.pipeline/two"
    assert {job.key: job.needs for job in pipeline.jobs} == {
        "02_prepare/d": (),
        "03_train/a/fold0": ("02_prepare/d",),
        "03_train/a/fold1": ("02_prepare/d",),
        "03_train/b/fold0": ("02_prepare/d",),
        "03_train/b/fold2": ("02_prepare/d",),
        "04_predict/a": ("02_prepare/d", "03_train/a/fold0", "03_train/a/fold1"),
        "04_predict/ab": ("02_prepare/d", "03_train/b/fold0", "03_train/b/fold2"),
        "05_ensemble/e": ("04_predict/a", "04_predict/ab"),
        "06_report/e": ("05_ensemble/e", "02_prepare/d"),
    }


def test_an_audit_comes_before_the_report_that_reads_what_it_found(project: Path) -> None:
    keys = {j.key: j.needs for j in read_pipeline(write(project, PLAN + AUDIT)).jobs}
    assert keys["06_report/e"] == ("05_ensemble/e", "02_prepare/d", "02b_audit/d")
    judged = AUDIT.replace("run: d", "run: d, predictions: 06_report/e")
    keys = {j.key: j.needs for j in read_pipeline(write(project, PLAN + judged)).jobs}
    assert "02b_audit/d" not in keys["06_report/e"], "no circle"


def test_the_later_value_wins(plan: Path) -> None:
    seeds = values(read_pipeline(plan), "seed")
    assert seeds["02_prepare/d"] == 4  # set before the file's 3
    assert seeds["03_train/a/fold1"] == 5  # with before set
    assert seeds["03_train/b/fold0"] == seeds["06_report/e"] == 4
    seeds = values(read_pipeline(plan, ["seed=6", "03_train.seed=7"]), "seed")
    assert seeds["03_train/a/fold0"] == seeds["03_train/b/fold2"] == 7
    assert seeds["02_prepare/d"] == seeds["04_predict/a"] == 6
    assert set(values(read_pipeline(plan), "learning_rate").values()) == {None, 0.001}


def test_outputs_hold_for_the_pipeline_and_every_stage(project: Path) -> None:
    moved = read_pipeline(write(project, PLAN + "outputs: scratch"))
    assert moved.folder == project / "scratch/.pipeline/two"
    assert set(values(moved, "outputs").values()) == {"scratch"}
    assert set(values(read_pipeline(project / "params/two.pipeline.yaml", ["outputs=x"]), "outputs")
               .values()) == {"x"}  # fmt: skip


@given(order=st.permutations(PLAN.splitlines()[3:]))
@settings(
    max_examples=settings.default.max_examples // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_order_of_the_lines_is_the_readers_alone(project: Path, order: list[str]) -> None:
    before = read_pipeline(write(project, PLAN))
    after = read_pipeline(write(project, "\n".join([*PLAN.splitlines()[:3], *order])))
    assert {j.key: set(j.needs) for j in after.jobs} == {j.key: set(j.needs) for j in before.jobs}
    place = {job.key: n for n, job in enumerate(after.jobs)}
    assert all(place[key] < place[job.key] for job in after.jobs for key in job.needs)


def test_all_folds_are_as_many_as_the_pipeline_cuts(project: Path) -> None:
    path = write(project, PLAN.replace("folds: 2", "folds: all", 1))
    for n in (2, 4):
        jobs = [job.key for job in read_pipeline(path, [f"02_prepare.n_folds={n}"]).jobs]
        assert sum(key.startswith("03_train/a/") for key in jobs) == n
    lost = PLAN.replace("folds: 2", "folds: all", 1).replace(
        "run: a, seed", "dataset: x, run: a, seed"
    )
    with pytest.raises(ParameterError, match=r"`all` if the pipeline prepares the dataset 'x'"):
        read_pipeline(write(project, lost))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set:", "sets:", "unknown 'sets'; did you mean 'set'"),
        ("dataset: d", "datset: d", "set: unknown 'datset'; did you mean 'dataset'"),
        ("03_train: {file", "03_trian: {file", "no stage '03_trian'; did you mean '03_train'"),
        ("folds: 2", "fold: 2", "03_train: unknown 'fold'; did you mean 'folds'"),
        ("folds: 2", "folds: 0", "03_train: folds is 0: give their number, a list"),
        ("folds: [0, 2]", "folds: [0, -2]", "03_train: fold: .* -2"),
        ("folds: [0, 2]", "folds: [0, 0]", "two jobs write 03_train/b/fold0: give one another"),
        ("{run: a, seed: 5}", "{run: a, sed: 5}", "unknown parameter 'sed'; did you mean 'seed'"),
        ("train.yaml, folds: 2", "tran.yaml, folds: 2", "no parameter file .*train.yaml"),
        ("train_run: b", "train_run: c", r"04_predict/ab needs 03_train/c/\*, which is no job"),
        ("- 02_prepare: params/prepare.yaml", "- 01_explore", "needs 02_prepare/d, which is no"),
        ("[05_ensemble/e]", "[05_ensemble/f]", "06_report/e needs 05_ensemble/f, which"),
        ("[04_predict/a, 04", "[own.csv, 04", "05_ensemble/e needs own.csv, which is no"),
        ("[04_predict/a, 04", "[05_ensemble/e, 04", "jobs need each other: 05_ensemble/e"),
        ("- 04_predict: {with: {run: a}}", "- 04_predict: [a]", r"04_predict has \['a'\]: give a"),
        ("- 04_predict: {with: {run: a}}", "- 7", r"no stage '7' \(stages: "),
        ("- 04_predict: {with: {run: a}}", "- [a]", r"\['a'\] is no stage: write"),
        ("set: {dataset: d, seed: 4}", "set: 4", "set is '4': write {key: value}"),
        ("stages:", "stages: {}\nset:", "'set' is given again: keep one"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    project: Path, old: str, new: str, message: str
) -> None:
    assert old in PLAN
    with pytest.raises(ParameterError, match=message):
        read_pipeline(write(project, PLAN.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", "key=value: unknown 'sed'; did you mean 'seed'"),
        ("03_train.epoch=1", "03_train: unknown parameter 'epoch'; did you mean 'epochs'"),
        ("01_explore.seed=1", "the pipeline has no '01_explore'"),
        ("seed", "'seed' is not key=value"),
    ],
)
def test_wrong_overrides_are_said_too(plan: Path, override: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_pipeline(plan, [override])


def test_an_empty_pipeline_is_refused(project: Path) -> None:
    with pytest.raises(ParameterError, match="stages is empty"):
        read_pipeline(write(project, "set: {}"))


def test_earlier_runs_and_files_need_no_job(project: Path) -> None:
    for stage, name in (("02_prepare", "d"), ("03_train", "old/fold0")):
        store.open_run(stage, name, parameters={}).finish({})
    (project / "own.csv").write_text("x")
    text = """
    stages:
      - 04_predict: {with: {dataset: d, run: old}}
      - 05_ensemble: {with: {run: e, members: [own.csv, 04_predict/old]}}
    """
    needs = {job.key: job.needs for job in read_pipeline(write(project, text)).jobs}
    assert needs == {"04_predict/old": (), "05_ensemble/e": ("04_predict/old",)}


def test_what_a_stage_reads_is_named_by_its_parameters() -> None:
    assert needed(Prepare(dataset="d")) == []
    assert needed(Train(dataset="d")) == ["02_prepare/d"]
    assert needed(Predict(dataset="d", run="r")) == ["02_prepare/d", "03_train/r/*"]
    assert needed(Predict(dataset="d", run="r", train_run="t"))[1] == "03_train/t/*"
    assert needed(Ensemble(members=["04_predict/a", "b.csv"])) == ["04_predict/a", "b.csv"]
    assert needed(Report(predictions=["04_predict/a"], dataset="")) == ["04_predict/a"]
    assert needed(SegmentApply(dataset="d", run="r")) == ["02_prepare/d", "02c_segment_train/r/*"]
    masked = SegmentApply(dataset="d", run="r", masks_of="m")  # which needs no network
    assert needed(masked) == ["02_prepare/d", "02d_segment_apply/m"]
    assert needed(Prepare(dataset="d", applied="m")) == ["02d_segment_apply/m"]


def test_techniques_and_seeds_make_runs(project: Path) -> None:
    line = "{folds: 2, seeds: [3, 4], each: {plain: {}, focal: {loss: focal}}, with: {epochs: 7}}"
    after = "{with: {run: t, techniques: [plain, focal]}}"
    path = write(
        project, f"stages:\n  - 02_prepare\n  - 03_train: {line}\n  - 05b_ablation: {after}\n"
    )
    pipeline = read_pipeline(path)
    trained = [job for job in pipeline.jobs if job.stage == "03_train"]
    assert [job.key for job in trained if job.key.endswith("fold0")] == [
        "03_train/plain-s3/fold0", "03_train/plain-s4/fold0",
        "03_train/focal-s3/fold0", "03_train/focal-s4/fold0",
    ]  # fmt: skip
    assert values(pipeline, "loss")["03_train/focal-s4/fold1"] == "focal"
    assert values(pipeline, "seed")["03_train/focal-s4/fold1"] == 4
    assert set(pipeline.jobs[-1].needs) == {job.key for job in trained}
    assert values(read_pipeline(path, ["03_train.epochs=1"]), "epochs")[trained[0].key] == 1
    with pytest.raises(ParameterError, match=r"03_train: each is \{'': \{\}\} and seeds 2"):
        read_pipeline(write(project, "stages:\n  - 02_prepare\n  - 03_train: {seeds: 2}\n"))
