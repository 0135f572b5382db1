"""The line from images to report, run once as its users run it, and then looked at.

One small pipeline through Snakemake and papermill serves every test here; it is made once for all
of them (`--dist loadgroup` keeps them in one process).
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from melnb import params, runs, tables

HERE = Path(__file__).parents[1]
PIPELINE = """
set: {dataset: line, rows: 130, n_folds: 2}
stages:
  - 01_explore: {with: {per_class: 3}}
  - 02_prepare: {with: {shard_size: 30}}
  - 02_prepare: {with: {dataset: elsewhere, rows: 60, seed: 1}}
  - 02c_segment_train: {folds: 2, with: {run: line, epochs: 2, n_looked: 3, n_worst: 3}}
  - 02d_segment_apply: {with: {run: line, n_looked: 3, n_worst: 3}}
  - 02d_segment_apply:
      with: {run: masked, masks_of: line, output: crop_times_mask, features: false, n_looked: 3}
  - 02_prepare: {with: {dataset: masked, applied: masked, rows: 0, measure: false, fit: squash}}
  - 03b_find_lr: {with: {run: line, train: [params/03_train.line.yaml], steps: 12}}
  - 03_train:
      file: params/03_train.line.yaml
      folds: 2
      seeds: [0]
      each:
        a: {}
        b: {metadata: [sex, age, site], fusion: gated, find_lr: line, mixup: 0.3, hairs: 5,
            sizes: [48], size_epochs: [1], scale_batch: true, sampling: balanced, ema: 0.9,
            hard_share: 0.8, dropout_samples: 2, accumulate: 2, optimizer: adamw}
  - 04_predict: {with: {run: a, train_run: a-s0}}
  - 04_predict: {with: {run: b, train_run: b-s0}}
  - 04_predict: {with: {run: away, train_run: a-s0, dataset: elsewhere}}
  - 03c_metadata:
      with: {run: line, score_runs: [04_predict/a], compared: [score_a], by_site: true,
             models: [logistic, boosting], tune: true, inner_folds: 2, over: 0.5, seeds: 2,
             repeats: 2}
  - 04b_pseudo_label: {with: {run: line, predict_runs: [a, b]}}
  - 03_train:
      file: params/03_train.line.yaml
      folds: [0]
      with: {run: student, pseudo: line, pseudo_share: 0.3}
  - 05b_ablation: {with: {run: line, techniques: [a, b]}}
  - 05_ensemble: {with: {run: line, members: [04_predict/a]}}
  - 05_ensemble:
      with: {run: stacked, members: [04_predict/a, 03c_metadata/line], method: logistic}
  - 06_report: {with: {run: line, predictions: [05_ensemble/line, 04_predict/a], n_errors: 3}}
  - 06b_explain:
      with: {run: line, trained: b-s0/fold0, n_shown: 2, n_scored: 8, n_checked: 2, levels: 2}
  - 06c_choose: {with: {run: line, report: line}}
  - 06d_external: {with: {run: line, predictions: 04_predict/a, external: [04_predict/away]}}
"""
TRAIN = ["dataset=line", "run=a-s0", "epochs=2", "batch_size=16"]

pytestmark = pytest.mark.xdist_group("line")


def melnb(*words: str, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "melnb", *words]
    environment = {**os.environ, "MELNB_ROOT": str(root)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with the real notebooks, where the line has run."""
    root = tmp_path_factory.mktemp("line")
    shutil.copytree(HERE / "notebooks", root / "notebooks")
    (root / "params").mkdir()
    (root / "params" / "line.pipeline.yaml").write_text(PIPELINE)
    (root / "params" / "03_train.line.yaml").write_text("epochs: 2\nbatch_size: 16\n")
    done = melnb("pipeline", "params/line.pipeline.yaml", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def outputs(root: Path) -> Path:
    return root / "outputs"


def test_the_line_is_run_by_one_process(request: pytest.FixtureRequest) -> None:
    if not hasattr(request.config, "workerinput"):
        pytest.skip("without xdist there is one process")
    assert request.node.nodeid.endswith("@line"), "xdist no longer sees groups: each worker runs it"


def test_every_stage_left_a_whole_run(outputs: Path) -> None:
    stages = {path.relative_to(outputs).parts[0] for path in outputs.rglob("run.json")}
    assert stages == set(params.STAGES)
    assert not list(outputs.rglob("*.partial"))
    for path in outputs.rglob("run.json"):
        record = runs.read_run(path.parent)
        assert (path.parent / "notebook.ipynb").is_file()
        assert {"parameters", "inputs", "results", "versions", "device"} <= set(record)
        assert all((path.parent / file["path"]).exists() for file in record["files"])


def test_lesions_are_cut_out_by_networks_that_never_saw_them(outputs: Path) -> None:
    applied = outputs / "02d_segment_apply"
    folds = tables.read_folds(outputs / "02_prepare" / "line" / "folds.csv")
    lesions = pd.read_csv(applied / "line" / "lesions.csv").merge(folds, on="image_id")
    assert len(lesions) == len(folds)
    assert (lesions["fold_x"] == lesions["fold_y"]).all()  # whose network drew it; in which it is
    again = pd.read_csv(applied / "masked" / "lesions.csv")
    assert again["mask_path"].tolist() == lesions["mask_path"].tolist()
    assert runs.read_run(applied / "masked")["device"] == "no network"
    scores = pd.read_csv(applied / "line" / "scores.csv")
    held_out = pd.read_csv(outputs / "02c_segment_train" / "line" / "fold1" / "scores.csv")
    both = scores.merge(held_out, on="image_id", validate="1:1")
    assert len(both) == (folds["fold"] == 1).sum()
    assert both["jaccard_x"].to_numpy() == pytest.approx(both["jaccard_y"], abs=0.02)


def test_what_was_cut_out_is_prepared_in_the_same_folds(outputs: Path) -> None:
    prepared = outputs / "02_prepare"
    whole, cut = (tables.read_folds(prepared / name / "folds.csv") for name in ("line", "masked"))
    assert (
        cut.sort_values("image_id")["fold"].tolist()
        == whole.sort_values("image_id")["fold"].tolist()
    )
    images = tables.read_images(prepared / "masked" / "images.csv")
    lesions = pd.read_csv(outputs / "02d_segment_apply" / "masked" / "lesions.csv")
    cropped = set(lesions.loc[lesions["verdict"] == "ok", "image_id"])
    assert cropped
    paths = images.set_index("image_id")["path"]
    assert {i for i in paths.index if "02d_segment_apply" in paths[i]} == cropped


def test_executed_notebooks_are_clean(outputs: Path) -> None:
    for path in outputs.rglob("notebook.ipynb"):
        outs = [o for c in json.loads(path.read_text())["cells"] for o in c.get("outputs", [])]
        assert outs, path
        errors = [o for o in outs if o["output_type"] == "error"]
        told = [o["text"] for o in outs if o.get("name") == "stderr"]
        assert errors == []
        assert not [text for text in told if "Warning" in "".join(text)], (path, told)


def test_tables_join_by_id_and_no_patient_is_on_both_sides(outputs: Path) -> None:
    prepared = outputs / "02_prepare" / "line"
    images = tables.read_images(prepared / "images.csv")
    folds = tables.read_folds(prepared / "folds.csv")
    tables.check_folds(folds, images)
    out_of_fold = tables.read_predictions(outputs / "04_predict" / "a" / "predictions.csv")
    test = tables.read_predictions(outputs / "04_predict" / "a" / "test.csv")
    assert set(out_of_fold["image_id"]) == set(folds.loc[folds["fold"] >= 0, "image_id"])
    assert set(test["image_id"]) == set(folds.loc[folds["fold"] == tables.TEST, "image_id"])
    joined = out_of_fold.merge(images, on="image_id", suffixes=("", "_told"))
    assert (joined["truth"] == joined["target"]).all()
    assert test["truth"].isna().all()


def test_out_of_fold_rows_come_from_the_network_that_never_saw_them(outputs: Path) -> None:
    whole = tables.read_predictions(outputs / "04_predict" / "a" / "single.csv")
    for fold in (0, 1):
        own = tables.read_predictions(outputs / "03_train" / "a-s0" / f"fold{fold}/predictions.csv")
        both = own.merge(whole, on="image_id", suffixes=("", "_later"))
        assert len(both) == len(own) == (whole["fold"] == fold).sum()
        assert (both["p_melanoma"] - both["p_melanoma_later"]).abs().max() < 1e-6


def test_a_technique_leaves_what_later_stages_need(outputs: Path) -> None:
    rate = json.loads((outputs / "03b_find_lr/line/learning_rate.json").read_text())
    told = runs.read_run(outputs / "03_train/b-s0/fold0")["results"]
    assert told["learning_rate"] == rate["learning_rate"]
    assert (outputs / "03_train/b-s0/fold0/metadata.json").is_file()
    history = pd.read_csv(outputs / "03_train/b-s0/fold0/history.csv")
    assert history["image_size"].tolist() == [48, 64]
    assert history["batch_size"].tolist() == [28, 16]


def test_a_student_is_told_by_teachers_that_never_saw_its_fold(outputs: Path) -> None:
    labels = pd.read_csv(outputs / "04b_pseudo_label/line/pseudo.csv")
    test = tables.read_predictions(outputs / "04_predict/a/test.csv")
    assert set(labels["image_id"]) == set(test["image_id"])
    assert set(labels["teacher_fold"]) == {0, 1}
    own = runs.read_run(outputs / "03_train/a-s0/fold0")["results"]["images"]
    student = runs.read_run(outputs / "03_train/student/fold0")
    kept = labels[(labels["teacher_fold"] == 0) & labels["kept"]]
    assert student["results"]["images"] == own + len(kept)
    held_out = tables.read_predictions(outputs / "03_train/student/fold0/predictions.csv")
    assert not set(held_out["image_id"]) & set(labels["image_id"])


def test_gains_and_explanations_have_intervals(outputs: Path) -> None:
    gain = pd.read_csv(outputs / "05b_ablation/line/ablation.csv").iloc[0]
    assert gain["technique"] == "b"
    assert gain["low"] < gain["difference"] < gain["high"]
    assert gain["note"].endswith("noise of training unknown: one seed")
    home = outputs / "06b_explain/line"
    scores = pd.read_csv(home / "saliency.csv")
    assert scores["image_id"].nunique() == 8
    means = pd.read_csv(home / "means.csv")
    assert means["value"].notna().any()
    assert list((home / "figures").glob("*.html"))


def test_metadata_are_learnt_in_the_networks_folds_and_stacked(outputs: Path) -> None:
    home = outputs / "03c_metadata" / "line"
    told = tables.read_predictions(home / "predictions.csv")
    folds = tables.read_folds(outputs / "02_prepare/line/folds.csv").set_index("image_id")["fold"]
    assert (told["fold"].to_numpy() == folds.loc[told["image_id"]].to_numpy()).all()
    assert set(told["image_id"]) == set(folds.index[folds >= 0])
    known = set(pd.read_csv(home / "features.csv")["feature"])
    assert {"sex", "age", "site", "score_a", "score_a_z", "score_a_z_site", "lof"} <= known
    tried = pd.read_csv(home / "tuning" / "boosting.csv")
    assert tried.query("chosen")["fold"].tolist() == [0, 1]
    stacked = outputs / "05_ensemble" / "stacked"
    assert len(tables.read_predictions(stacked / "test.csv")) == (folds == tables.TEST).sum()
    weights = pd.read_csv(stacked / "weights.csv")
    assert {"04_predict/a", "03c_metadata/line"} < set(weights["member"])
    assert json.loads((stacked / "recipe.json").read_text())["method"] == "logistic"


def test_members_are_selected_and_a_recipe_is_applied_again(root: Path, outputs: Path) -> None:
    members = "members=[04_predict/a, 04_predict/b, 03c_metadata/line]"
    words = ["run=chosen", members, "select=greedy", "select_steps=5", "within_patient=rank"]
    done = melnb("run", "05_ensemble", *words, root=root)
    assert done.returncode == 0, done.stderr
    home = outputs / "05_ensemble" / "chosen"
    luck = pd.read_csv(home / "optimism.csv")
    assert {"apparent", "honest"} <= set(luck.columns)
    assert set(tables.read_predictions(home / "predictions.csv")["kind"]) == {"score"}
    words = ["run=again", "members=[03c_metadata/line, 04_predict/a]"]
    done = melnb("run", "05_ensemble", *words, "recipe=05_ensemble/stacked", root=root)
    assert done.returncode == 0, done.stderr
    first, again = (
        tables.read_predictions(outputs / "05_ensemble" / name / "test.csv")
        for name in ("stacked", "again")
    )
    both = first.merge(again, on="image_id", how="outer", suffixes=("", "_again"))
    assert (both["p_melanoma"] - both["p_melanoma_again"]).abs().max() < 1e-12


def test_other_patients_judge_the_networks(outputs: Path) -> None:
    home = outputs / "06d_external" / "line"
    areas = pd.read_csv(home / "external.csv").query("metric == 'AUC'").set_index("source")
    assert list(areas.index) == ["internal", "04_predict/away"]
    own = tables.read_predictions(outputs / "04_predict/a/predictions.csv")
    assert areas.loc["internal", "n"] == len(own)
    away = tables.read_predictions(outputs / "04_predict/away/predictions.csv")
    assert set(away["fold"]) == {tables.TEST}
    assert areas.loc["04_predict/away", "n"] == away["truth"].notna().sum() > 0
    assert pd.read_csv(home / "met.csv").empty, "nobody was met before"


def test_the_report_is_one_file_with_its_numbers(outputs: Path) -> None:
    home = outputs / "06_report" / "line"
    page = (home / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.split("<script", 1)[0]
    for heading in (
        "Summary", "Curves", "Calibration", "Operating point", "Threshold explorer", "Net benefit",
        "Subgroups", "Patients", "Selective prediction", "Comparison", "Worst errors",
        "How it was made",
    ):  # fmt: skip
        assert f">{heading}</h2>" in page
    scores = pd.read_csv(home / "metrics.csv")
    pooled = scores[(scores["rows"] == "out of fold") & (scores["metric"] == "AUC")].iloc[0]
    assert runs.read_run(home)["results"]["auc"] == pytest.approx(pooled["value"])
    assert pooled["low"] < pooled["value"] < pooled["high"]


def test_the_chosen_point_is_the_reports_until_somebody_moves_it(outputs: Path) -> None:
    home = outputs / "06c_choose" / "line"
    chosen = json.loads((home / "operating_point.json").read_text(encoding="utf-8"))
    report = runs.read_run(outputs / "06_report" / "line")["results"]
    for name in ("threshold", "sensitivity", "specificity"):
        assert chosen[name] == pytest.approx(report[name]), name
    page = (home / "notebook.ipynb").read_text(encoding="utf-8")
    assert "Operating point: threshold" in page, "the static figure"
    assert "application/vnd.jupyter.widget-view+json" in page


def test_a_report_calibrates_and_takes_a_chosen_threshold(root: Path, outputs: Path) -> None:
    choice = outputs / "06c_choose" / "line" / "operating_point.json"
    words = ["run=b", "predictions=[04_predict/a]", "dataset=line", "calibrator=platt"]
    words += ["prevalence=0.05", "submission=siim2020"]
    done = melnb("run", "06_report", *words, f"chosen={choice}", root=root)
    assert done.returncode == 0, done.stderr
    home = outputs / "06_report" / "b"
    told = tables.read_predictions(home / "predictions.csv")
    raw = tables.read_predictions(outputs / "04_predict" / "a" / "predictions.csv")
    assert set(raw["image_id"]) < set(told["image_id"]), "test rows are calibrated too"
    both = raw.merge(told, on="image_id", suffixes=("", "_calibrated"))
    assert (both["p_melanoma"] != both["p_melanoma_calibrated"]).any()
    for _, part in both.groupby("fold"):  # a calibrator never turns a ranking round
        assert part["p_melanoma"].corr(part["p_melanoma_calibrated"], method="spearman") > 0.999
    assert json.loads((home / "calibrator.json").read_text())["method"] == "platt"
    moved = tables.read_predictions(home / "at_prevalence.csv")
    rarer = moved.merge(told, on="image_id", suffixes=("", "_told"))
    assert (rarer["p_melanoma"] < rarer["p_melanoma_told"]).all()
    official = pd.read_csv(home / "official.csv")
    assert official["metric"].tolist() == ["AUC"]
    assert list(pd.read_csv(home / "submission.csv").columns) == ["image_name", "target"]
    assert (pd.read_csv(home / "context.csv")["pictures"] >= 1).all()
    record = runs.read_run(home)
    wanted = json.loads(choice.read_text())["threshold"]
    assert record["results"]["threshold"] == wanted
    assert any(item["path"].endswith("operating_point.json") for item in record["inputs"])
    card = (home / "report_card.md").read_text(encoding="utf-8")
    assert "**Calibrator:** platt" in card
    assert "**Skin tone:** individual typology angle" in card


def test_ranks_are_reported_without_calibration(root: Path, outputs: Path) -> None:
    ranked = melnb(
        "run", "05_ensemble", "run=r", "members=[04_predict/a]", "method=rank", root=root
    )
    assert ranked.returncode == 0, ranked.stderr
    words = ["run=r", "predictions=[05_ensemble/r]", "dataset="]
    done = melnb("run", "06_report", *words, root=root)
    assert done.returncode == 0, done.stderr
    page = (outputs / "06_report" / "r" / "report.html").read_text(encoding="utf-8")
    assert "A decision curve needs probabilities: these are ranks or scores." in page
    assert "Reliability" not in page
    assert ">Operating point</h2>" in page


def test_what_is_up_to_date_is_not_run_again(root: Path, outputs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("run.json")}
    done = melnb("pipeline", "params/line.pipeline.yaml", root=root)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in outputs.rglob("run.json")} == before
    assert "up to date" in done.stdout


def test_plain_papermill_gives_the_same_bits(root: Path, outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs / "02_prepare", tmp_path / "02_prepare")
    words = [word for text in TRAIN for word in ("-p", *text.split("="))]
    subprocess.run(
        [
            sys.executable, "-m", "papermill", root / "notebooks/03_train.ipynb",
            tmp_path / "out.ipynb", *words, "-p", "fold", "1", "-p", "outputs", tmp_path,
        ],
        check=True, capture_output=True, cwd=root / "notebooks",
        env={**os.environ, "MELNB_ROOT": str(root)},
    )  # fmt: skip
    for file in ("predictions.csv", "history.csv"):
        own, other = (
            pd.read_csv(home / "03_train" / "a-s0" / "fold1" / file).drop(
                columns="seconds", errors="ignore"
            )
            for home in (outputs, tmp_path)
        )
        pd.testing.assert_frame_equal(own, other, check_exact=True)


def test_a_training_killed_in_its_second_epoch_ends_where_the_other_ended(
    root: Path, outputs: Path, tmp_path: Path
) -> None:
    shutil.copytree(outputs / "02_prepare", tmp_path / "02_prepare")
    words = ["run", "03_train", *TRAIN, "fold=0", f"outputs={tmp_path}"]
    partial = tmp_path / "03_train" / "a-s0" / "fold0.partial"
    process = subprocess.Popen(
        [sys.executable, "-m", "melnb", *words],
        env={**os.environ, "MELNB_ROOT": str(root)}, cwd=root, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not (partial / "history.csv").is_file():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, 9)
    process.wait()
    again = melnb(*words, root=root)
    assert again.returncode == 0, again.stderr
    record = runs.read_run(tmp_path / "03_train" / "a-s0" / "fold0")
    assert record["resumed"]
    own, other = (
        pd.read_csv(home / "03_train" / "a-s0" / "fold0" / "predictions.csv")
        for home in (outputs, tmp_path)
    )
    pd.testing.assert_frame_equal(own, other, check_exact=True)


def test_a_missing_stage_and_a_misspelt_parameter_say_what_to_do(root: Path) -> None:
    lost = melnb("run", "03_train", "dataset=nowhere", root=root)
    assert lost.returncode == 1
    assert "no 02_prepare/nowhere" in lost.stderr
    assert "run 02_prepare first" in lost.stderr
    slip = melnb("run", "03_train", "learning_rte=1", root=root)
    assert "did you mean 'learning_rate'?" in slip.stderr


def test_a_slip_in_plain_papermill_stops_too(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "papermill", root / "notebooks/05_ensemble.ipynb",
            tmp_path / "out.ipynb", "-p", "methd", "rank",
        ],
        capture_output=True, text=True, cwd=root, env={**os.environ, "MELNB_ROOT": str(root)},
    )  # fmt: skip
    assert done.returncode != 0
    assert "did you mean 'method'?" in done.stderr
