"""The line from images to report, run once as its users run it, and then looked at.

One small pipeline through Snakemake and papermill serves every test here; it is made once for all
of them (`--dist loadgroup` keeps them in one process).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest
from sklearn.metrics import roc_auc_score

from melnb.data.embeddings import read_embeddings
from melnb.evaluation.calibration import prevalence as prior
from melnb.evaluation.decisions.net_benefit import net_benefit_table
from melnb.params import catalogue
from melnb.runs import lookup, raw_data
from melnb.tables import checks, documents, schema
from melnb.tables.findings import CHECKS

COLD = {"JUPYTER_DEFAULT_PROVISIONER_NAME": "local-provisioner"}  # TensorFlow's one cold start
TRAIN = ["dataset=line", "run=a-s0", "epochs=2", "batch_size=16"]

pytestmark = pytest.mark.xdist_group("line")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def outputs(root: Path) -> Path:
    return root / "outputs"


def test_the_line_is_run_by_one_process(request: pytest.FixtureRequest) -> None:
    if not hasattr(request.config, "workerinput"):
        pytest.skip("without xdist there is one process")
    assert request.node.nodeid.endswith("@line"), "xdist no longer sees groups: each worker runs it"


def test_every_stage_left_a_whole_run(
    outputs: Path, check_whole: Callable[[Path], set[str]]
) -> None:
    assert check_whole(outputs) == set(catalogue.STAGES) - {
        "02c_segment_train",
        "02d_segment_apply",
    }


def test_executed_notebooks_are_clean(outputs: Path, check_clean: Callable[[Path], None]) -> None:
    check_clean(outputs)


def test_tables_join_by_id_and_no_patient_is_on_both_sides(outputs: Path) -> None:
    prepared = outputs / "02_prepare" / "line"
    images = schema.read_images(prepared / "images.csv")
    folds = schema.read_folds(prepared / "folds.csv")
    schema.check_folds(folds, images)
    out_of_fold = schema.read_predictions(outputs / "04_predict" / "a" / "predictions.csv")
    test = schema.read_predictions(outputs / "04_predict" / "a" / "test.csv")
    assert set(out_of_fold["image_id"]) == set(folds.loc[folds["fold"] >= 0, "image_id"])
    assert set(test["image_id"]) == set(folds.loc[folds["fold"] == checks.TEST, "image_id"])
    joined = out_of_fold.merge(images, on="image_id", suffixes=("", "_told"))
    assert (joined["truth"] == joined["target"]).all()
    published = test.merge(images, on="image_id", suffixes=("", "_told")).dropna(subset="truth")
    assert 0 < len(published) < len(test)
    assert (published["truth"] == published["target"]).all()


def test_published_truths_of_test_rows_enter_no_result_of_out_of_fold_rows(outputs: Path) -> None:
    for run in ("04_predict/a", "05_ensemble/line", "05_ensemble/stacked"):
        rows = schema.read_predictions(outputs / run / "predictions.csv")
        known = schema.read_predictions(outputs / run / "test.csv")["truth"].notna()
        assert known.any()
        area = roc_auc_score(rows["truth"] == "melanoma", rows["p_melanoma"])
        told = documents.read_run(outputs / run)["results"]["auc"]
        assert told == pytest.approx(area, abs=1e-12), run


def test_out_of_fold_rows_come_from_the_network_that_never_saw_them(outputs: Path) -> None:
    whole = schema.read_predictions(outputs / "04_predict" / "a" / "single.csv")
    for fold in (0, 1):
        own = schema.read_predictions(outputs / "03_train" / "a-s0" / f"fold{fold}/predictions.csv")
        both = own.merge(whole, on="image_id", suffixes=("", "_later"))
        assert len(both) == len(own) == (whole["fold"] == fold).sum()
        assert (both["p_melanoma"] - both["p_melanoma_later"]).abs().max() < 1e-6


def test_a_technique_leaves_what_later_stages_need(outputs: Path) -> None:
    rate = json.loads((outputs / "03b_find_lr/line/learning_rate.json").read_text())
    told = documents.read_run(outputs / "03_train/b-s0/fold0")["results"]
    assert told["learning_rate"] == rate["learning_rate"]
    assert (outputs / "03_train/b-s0/fold0/metadata.json").is_file()
    history = pd.read_csv(outputs / "03_train/b-s0/fold0/history.csv")
    assert history["image_size"].tolist() == [48, 64]
    assert history["batch_size"].tolist() == [28, 16]


def test_a_student_is_told_by_teachers_that_never_saw_its_fold(outputs: Path) -> None:
    labels = pd.read_csv(outputs / "04b_pseudo_label/line/pseudo.csv")
    test = schema.read_predictions(outputs / "04_predict/a/test.csv")
    assert set(labels["image_id"]) == set(test.loc[test["truth"].isna(), "image_id"])
    assert set(labels["teacher_fold"]) == {0, 1}
    own = documents.read_run(outputs / "03_train/a-s0/fold0")["results"]["images"]
    student = documents.read_run(outputs / "03_train/student/fold0")
    kept = labels[(labels["teacher_fold"] == 0) & labels["kept"]]
    assert student["results"]["images"] == own + len(kept)
    held_out = schema.read_predictions(outputs / "03_train/student/fold0/predictions.csv")
    assert not set(held_out["image_id"]) & set(labels["image_id"])


def test_the_audit_of_a_clean_set_names_every_check_and_finds_no_leak(outputs: Path) -> None:
    home = outputs / "02b_audit" / "line"
    findings = pd.read_csv(home / "findings.csv").set_index("code")["severity"]
    assert list(findings.index) == list(CHECKS)
    assert not findings.eq("FAIL").loc["MEL001":"MEL010"].any()
    assert not findings.eq("not checked").loc["MEL001":"MEL010"].any()
    assert (findings.loc[["MEL001", "MEL002", "MEL003", "MEL004", "MEL008"]] == "PASS").all()
    assert set(pd.read_csv(home / "worth.csv")["split"]) == {
        "honest", "folds of images", "up-sampled before",
    }  # fmt: skip


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


def test_corrupted_pictures_are_judged_beside_the_clean_ones(outputs: Path) -> None:
    home = outputs / "06e_robustness/line"
    costs = pd.read_csv(home / "robustness.csv", keep_default_na=False, na_values=[""])
    assert set(costs["corruption"]) == {"none", "ink", "hairs_removed", "noise"}
    rows = schema.read_predictions(outputs / "04_predict/a/single.csv").dropna(subset="truth")
    area = roc_auc_score(rows["truth"] == "melanoma", rows["p_melanoma"])
    clean = costs.query("strength == 0 and metric == 'AUC'").iloc[0]
    assert (clean["value"], clean["n"]) == (pytest.approx(area, abs=1e-12), len(rows))
    told = documents.read_run(home)["results"]
    assert told["auc"] == clean["value"]
    assert told["apart"] < 1e-6
    pulls = pd.read_csv(home / "pulls.csv")
    assert pulls["class"].tolist() == ["melanoma", "other"] * 3
    assert pulls["logit"].notna().all()
    assert len(list((home / "cells").glob("*.csv"))) == 4
    assert {path.stem for path in (home / "figures").glob("*.html")} > {"auc", "pulls"}


def test_metadata_are_learnt_in_the_networks_folds_and_stacked(outputs: Path) -> None:
    home = outputs / "03c_metadata" / "line"
    told = schema.read_predictions(home / "predictions.csv")
    folds = schema.read_folds(outputs / "02_prepare/line/folds.csv").set_index("image_id")["fold"]
    assert (told["fold"].to_numpy() == folds.loc[told["image_id"]].to_numpy()).all()
    assert set(told["image_id"]) == set(folds.index[folds >= 0])
    known = set(pd.read_csv(home / "features.csv")["feature"])
    assert {"sex", "age", "site", "score_a", "score_a_z", "score_a_z_site", "lof"} <= known
    tried = pd.read_csv(home / "tuning" / "boosting.csv")
    assert tried.query("chosen")["fold"].tolist() == [0, 1]
    stacked = outputs / "05_ensemble" / "stacked"
    assert len(schema.read_predictions(stacked / "test.csv")) == (folds == checks.TEST).sum()
    weights = pd.read_csv(stacked / "weights.csv")
    assert {"04_predict/a", "03c_metadata/line"} < set(weights["member"])
    assert json.loads((stacked / "recipe.json").read_text())["method"] == "logistic"


def test_vectors_are_kept_and_probed_in_the_networks_folds(outputs: Path) -> None:
    home = outputs / "03d_embed" / "line"
    vectors = read_embeddings(home)
    folds = schema.read_folds(outputs / "02_prepare/line/folds.csv").set_index("image_id")["fold"]
    assert set(vectors.image_id) == set(folds.index)
    assert vectors.values.shape == (len(folds), 8, 64)
    assert vectors.values.dtype == "float16"
    probes = schema.read_predictions(home / "predictions.csv")
    assert (probes["fold"].to_numpy() == folds.loc[probes["image_id"]].to_numpy()).all()
    assert set(probes["image_id"]) == set(folds.index[folds >= 0])
    images = schema.read_images(outputs / "02_prepare/line/images.csv").set_index("image_id")
    near = pd.read_csv(home / "neighbours.csv")
    pair = images.loc[near["image_id"], "lesion_id"], images.loc[near["neighbour"], "lesion_id"]
    assert not (pair[0].to_numpy() == pair[1].to_numpy()).any()
    assert documents.read_run(home)["results"]["encoder"] == vectors.encoder["digest"]
    agreement = pd.read_csv(home / "agreement.csv")
    assert agreement["images"].sum() == (folds >= 0).sum(), "test rows, whose truths are published"


def test_members_are_selected_and_a_recipe_is_applied_again(
    melnb: Run, root: Path, outputs: Path
) -> None:
    members = "members=[04_predict/a, 04_predict/b, 03c_metadata/line]"
    words = ["run=chosen", members, "select=greedy", "select_steps=5", "within_patient=rank"]
    done = melnb("run", "05_ensemble", *words, root=root)
    assert done.returncode == 0, done.stderr
    home = outputs / "05_ensemble" / "chosen"
    luck = pd.read_csv(home / "optimism.csv")
    assert {"apparent", "honest"} <= set(luck.columns)
    assert set(schema.read_predictions(home / "predictions.csv")["kind"]) == {"score"}
    words = ["run=again", "members=[03c_metadata/line, 04_predict/a]"]
    done = melnb("run", "05_ensemble", *words, "recipe=05_ensemble/stacked", root=root)
    assert done.returncode == 0, done.stderr
    first, again = (
        schema.read_predictions(outputs / "05_ensemble" / name / "test.csv")
        for name in ("stacked", "again")
    )
    both = first.merge(again, on="image_id", how="outer", suffixes=("", "_again"))
    assert (both["p_melanoma"] - both["p_melanoma_again"]).abs().max() < 1e-12


def test_other_patients_judge_the_networks(outputs: Path) -> None:
    home = outputs / "06d_external" / "line"
    areas = pd.read_csv(home / "external.csv").query("metric == 'AUC'").set_index("source")
    assert list(areas.index) == ["internal", "04_predict/away"]
    own = schema.read_predictions(outputs / "04_predict/a/predictions.csv")
    assert areas.loc["internal", "n"] == len(own)
    away = schema.read_predictions(outputs / "04_predict/away/predictions.csv")
    assert set(away["fold"]) == {checks.TEST}
    assert areas.loc["04_predict/away", "n"] == away["truth"].notna().sum() > 0
    assert pd.read_csv(home / "met.csv").empty, "nobody was met before"
    # A threshold that was locked for one network is judged network by network.
    told = pd.read_csv(home / "points.csv").set_index("source").loc["04_predict/away"]
    assert told["note"].startswith("judged network by network: ")
    assert told["n"] == areas.loc["04_predict/away", "n"]
    assert told[["tp", "fp", "tn", "fn"]].sum() == 2 * told["n"]


def test_new_photographs_get_what_a_prepared_dataset_gets(
    melnb: Run, root: Path, outputs: Path
) -> None:
    """By the command: the same numbers as 02_prepare and 04_predict give, and one page."""
    raw = outputs / "synthetic" / "images60-seed1"
    words = [str(raw / "images"), "--labels", str(raw / "metadata.csv"), "--model", "a-s0"]
    done = melnb("look", *words, "--run", "away", root=root)
    assert done.returncode == 0, done.stderr
    assert "model 03_train/a-s0; out-of-fold scores of 04_predict/a; " in done.stdout
    home = outputs / "04c_look" / "away"
    away = schema.read_predictions(outputs / "04_predict/away/predictions.csv")
    seen = schema.read_predictions(home / "predictions.csv")
    both = away.merge(seen, on="image_id", suffixes=("", "_seen"), validate="1:1")
    assert len(both) == len(away) == 60
    assert (both["p_melanoma"] - both["p_melanoma_seen"]).abs().max() < 1e-6
    assert (both["truth"].fillna("") == both["truth_seen"].fillna("")).all()
    called = seen["score"] >= documents.read_run(home)["results"]["threshold"]
    assert (called == (seen["called"] == "melanoma")).all()
    near = pd.read_csv(home / "neighbours.csv")
    own = schema.read_folds(outputs / "02_prepare/line/folds.csv").set_index("image_id")["fold"]
    assert (own[near["neighbour"]] >= 0).all()
    assert near.groupby("image_id").size().eq(6).all()
    page = (home / "look.html").read_text(encoding="utf-8")
    assert page.count("<article") == 60
    assert "Research use, not a medical device." in page
    assert "pictures whose truth is known" in page
    drawn = documents.read_run(outputs / "04c_look" / "line")["results"]
    assert (drawn["pictures"], drawn["refused"]) == (12, 0)


def test_what_each_network_said_of_test_rows_is_kept(outputs: Path) -> None:
    for run in ("04_predict/a", "05_ensemble/line"):
        paths = lookup.find_networks(run, outputs)
        assert [*paths] == [0, 1]
        values = [schema.read_predictions(path)["p_melanoma"] for path in paths.values()]
        mean = schema.read_predictions(outputs / run / "test.csv")["p_melanoma"]
        assert (sum(values) / 2).to_numpy() == pytest.approx(mean.to_numpy())
    assert lookup.find_networks("anyone.csv", outputs) == {}
    report = documents.read_run(outputs / "06_report" / "line")
    assert any(item["path"].endswith("test-by-fold1.csv") for item in report["inputs"])


def test_the_pages_answer_for_all_classes(outputs: Path) -> None:
    home = outputs / "06d_external" / "line"
    page = (home / "external.html").read_text(encoding="utf-8")
    for heading in ("The sources", "All classes", "The locked threshold"):
        assert f">{heading}</h2>" in page
    found = pd.read_csv(home / "classes.csv")
    assert set(found["source"]) == {"internal", "04_predict/away"}
    assert "balanced accuracy at 0.5, melanoma against the rest" in set(found["metric"])
    page = (outputs / "04_predict" / "away" / "predictions.html").read_text(encoding="utf-8")
    assert ">How good are they?</h2>" in page
    assert ">The most suspicious</h2>" in page
    report = pd.read_csv(outputs / "06_report" / "line" / "classes.csv")
    assert report["value"].notna().all()


@pytest.mark.nightly
def test_pictures_without_a_label_are_prepared_predicted_and_counted(
    melnb: Run, root: Path, outputs: Path, tmp_path: Path
) -> None:
    paths = schema.read_images(outputs / "02_prepare/elsewhere/images.csv")["path"].head(9)
    (tmp_path / "clinic").mkdir()
    for k, path in enumerate(paths):
        shutil.copy(path, tmp_path / "clinic" / f"photo {k}{Path(path).suffix}")
    for words in (
        (
            "02_prepare",
            "dataset=clinic",
            "source=folders",
            f"folder={tmp_path}/clinic",
            "n_folds=0",
        ),
        ("04_predict", "dataset=clinic", "run=clinic", "train_run=a-s0"),
        ("06d_external", "run=clinic", "predictions=04_predict/a", "external=[04_predict/clinic]"),
        (
            "06_report",
            "run=clinic",
            "predictions=04_predict/clinic",
            "chosen=outputs/06d_external/clinic/operating_point.json",
        ),
    ):
        done = melnb("run", *words, root=root)
        assert done.returncode == 0, done.stderr
        if words[0] == "06d_external":
            assert "flagged without truth" in done.stdout
            assert "external auc" not in done.stdout.lower()  # of nothing
    counted = pd.read_csv(outputs / "06d_external/clinic/unjudged.csv")
    assert counted["images"].tolist() == [9]
    told = schema.read_predictions(outputs / "04_predict/clinic/predictions.csv")
    assert set(told["fold"]) == {checks.TEST}
    assert told["truth"].isna().all()


def test_the_report_is_one_file_with_its_numbers(outputs: Path) -> None:
    home = outputs / "06_report" / "line"
    page = (home / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.split("<script", 1)[0]
    for heading in (
        "Curves", "Calibration", "Operating point", "Threshold explorer", "Net benefit",
        "Subgroups", "Patients", "Comparison", "Appendix",
    ):  # fmt: skip
        assert f">{heading}</h2>" in page
    for heading in ("Summary", "Selective prediction", "Worst errors", "How it was made"):
        assert f"<summary>{heading}</summary>" in page
    assert "Ranks a melanoma above another lesion" in page
    scores = pd.read_csv(home / "metrics.csv")
    pooled = scores[(scores["rows"] == "out of fold") & (scores["metric"] == "AUC")].iloc[0]
    assert documents.read_run(home)["results"]["auc"] == pytest.approx(pooled["value"])
    assert pooled["low"] < pooled["value"] < pooled["high"]


def test_the_chosen_point_is_the_reports_until_somebody_moves_it(outputs: Path) -> None:
    home = outputs / "06c_choose" / "line"
    chosen = json.loads((home / "operating_point.json").read_text(encoding="utf-8"))
    report = documents.read_run(outputs / "06_report" / "line")["results"]
    for name in ("threshold", "sensitivity", "specificity"):
        assert chosen[name] == pytest.approx(report[name]), name
    page = (home / "notebook.ipynb").read_text(encoding="utf-8")
    assert "Operating point: threshold" in page, "the static figure"
    assert "application/vnd.jupyter.widget-view+json" in page


def test_a_report_calibrates_and_takes_a_chosen_threshold(
    melnb: Run, root: Path, outputs: Path
) -> None:
    choice = outputs / "06c_choose" / "line" / "operating_point.json"
    words = ["run=b", "predictions=[04_predict/a]", "dataset=line", "calibrator=platt"]
    words += ["prevalence=0.05", "submission=siim2020"]
    done = melnb("run", "06_report", *words, f"chosen={choice}", root=root)
    assert done.returncode == 0, done.stderr
    home = outputs / "06_report" / "b"
    told = schema.read_predictions(home / "predictions.csv")
    raw = schema.read_predictions(outputs / "04_predict" / "a" / "predictions.csv")
    assert set(raw["image_id"]) < set(told["image_id"]), "test rows are calibrated too"
    both = raw.merge(told, on="image_id", suffixes=("", "_calibrated"))
    assert (both["p_melanoma"] != both["p_melanoma_calibrated"]).any()
    for _, part in both.groupby("fold"):  # a calibrator never turns a ranking round
        assert part["p_melanoma"].corr(part["p_melanoma_calibrated"], method="spearman") > 0.999
    assert json.loads((home / "calibrator.json").read_text())["method"] == "platt"
    moved = schema.read_predictions(home / "at_prevalence.csv")
    rarer = moved.merge(told, on="image_id", suffixes=("", "_told"))
    assert (rarer["p_melanoma"] < rarer["p_melanoma_told"]).all()
    own = told[told["fold"] != checks.TEST]
    shifted = prior.shift_prevalence(own, positive="melanoma", prevalence=0.05)
    curve = net_benefit_table(shifted, positive="melanoma", prevalence=0.05, draws=2)
    drawn = pd.read_csv(home / "net_benefit.csv")
    assert drawn["net_benefit"].to_numpy() == pytest.approx(curve["net_benefit"].to_numpy())
    official = pd.read_csv(home / "official.csv")
    assert official["metric"].tolist() == ["AUC"]
    assert list(pd.read_csv(home / "submission.csv").columns) == ["image_name", "target"]
    assert (pd.read_csv(home / "context.csv")["pictures"] >= 1).all()
    record = documents.read_run(home)
    wanted = json.loads(choice.read_text())["threshold"]
    assert record["results"]["threshold"] == wanted
    assert any(item["path"].endswith("operating_point.json") for item in record["inputs"])
    card = (home / "report_card.md").read_text(encoding="utf-8")
    assert "**Calibrator:** platt" in card
    assert "**Skin tone:** individual typology angle" in card


def test_ranks_are_reported_without_calibration(melnb: Run, root: Path, outputs: Path) -> None:
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


def test_what_is_up_to_date_is_not_run_again(melnb: Run, root: Path, outputs: Path) -> None:
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


def test_a_cold_kernel_trains_on_jax(melnb: Run, root: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    shutil.copytree(root / "outputs" / "02_prepare", tmp_path / "02_prepare")
    words = ["dataset=line", "run=on-jax", "epochs=1", "batch_size=16", "image_size=32"]
    words += [f"{name}=0" for name in ("rotation", "shear", "zoom", "shift", "hue", "saturation")]
    done = melnb(
        *("run", "03_train", *words, f"outputs={tmp_path}"), root=root, KERAS_BACKEND="jax"
    )
    assert done.returncode == 0, done.stderr
    home = tmp_path / "03_train" / "on-jax" / "fold0"
    assert "on jax" in documents.read_run(home)["device"]
    folds = schema.read_folds(tmp_path / "02_prepare" / "line" / "folds.csv")
    held_out = schema.read_predictions(home / "predictions.csv")
    assert len(held_out) == (folds["fold"] == 0).sum()


def test_a_training_killed_in_its_second_epoch_ends_where_the_other_ended(
    melnb: Run, root: Path, outputs: Path, tmp_path: Path
) -> None:
    shutil.copytree(outputs / "02_prepare", tmp_path / "02_prepare")
    words = ["run", "03_train", *TRAIN, "fold=0", f"outputs={tmp_path}"]
    partial = tmp_path / "03_train" / "a-s0" / "fold0.partial"
    process = subprocess.Popen(
        [sys.executable, "-m", "melnb", *words],
        env={**os.environ, "MELNB_ROOT": str(root), **COLD}, cwd=root, start_new_session=True,
    )  # fmt: skip
    while not (partial / "history.csv").is_file():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, 9)
    process.wait()
    assert not psutil.wait_procs(family, timeout=600)[1], "the kernel outlives its launcher"
    again = melnb(*words, root=root)
    assert again.returncode == 0, again.stderr
    record = documents.read_run(tmp_path / "03_train" / "a-s0" / "fold0")
    assert record["resumed"]
    own, other = (
        pd.read_csv(home / "03_train" / "a-s0" / "fold0" / "predictions.csv")
        for home in (outputs, tmp_path)
    )
    pd.testing.assert_frame_equal(own, other, check_exact=True)


def test_a_missing_stage_and_a_misspelt_parameter_say_what_to_do(melnb: Run, root: Path) -> None:
    lost = melnb("run", "03_train", "dataset=nowhere", root=root)
    assert lost.returncode == 1
    assert "needs 02_prepare/nowhere, which is no finished run" in lost.stderr
    assert "did you mean 'elsewhere'?" in lost.stderr
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


READ_BESIDE_RUNS = {
    "01_explore/line": "raw", "02_prepare/line": "raw", "02_prepare/elsewhere": "raw",
    "06_report/line": "images.csv measures.csv", "06c_choose/line": "images.csv measures.csv",
    "06d_external/line": "images.csv", "05_ensemble/line": "predictions.csv",
    "03b_find_lr/line": "03_train.line.yaml",
}  # fmt: skip


@pytest.mark.parametrize("job", READ_BESIDE_RUNS)
def test_what_a_notebook_reads_is_recorded(job: str, outputs: Path) -> None:
    inputs = documents.read_run(outputs / job)["inputs"]
    names = {Path(entry["path"]).name for entry in inputs}
    names |= {entry["sha256"].partition(":")[0] for entry in inputs}
    assert {*READ_BESIDE_RUNS[job].split()} <= names


def test_raw_pictures_are_recorded_with_their_content(outputs: Path) -> None:
    for stage in ("01_explore", "02_prepare"):
        home = outputs / stage / "line"
        (entry,) = [e for e in documents.read_run(home)["inputs"] if e["sha256"].startswith("raw:")]
        sha256 = entry["sha256"].removeprefix("raw:")
        files = raw_data.read_files(home / raw_data.FILE, entry["path"], sha256)
        assert len(files) == 1 + 2 * 130, "a table, pictures and masks"
        assert all(file.content for file in files.values())


@pytest.mark.nightly
def test_a_row_relabelled_and_a_picture_swapped_are_named_and_made_anew(
    root: Path, tmp_path: Path, melnb: Run
) -> None:
    shutil.copytree(root, tmp_path / "copy")
    copy, plan = tmp_path / "copy", ("pipeline", "params/line.pipeline.yaml")
    home = next((copy / "outputs/synthetic").glob("images130*"))
    assert "would run" not in melnb(*plan, "--dry-run", root=copy).stdout
    table, pictures = home / "metadata.csv", sorted((home / "images").iterdir())
    before = table.read_text()
    table.write_text(before.replace("nevus", "melanoma", 1))
    shutil.copy(pictures[0], pictures[1])
    for words in ((*plan, "--dry-run"), ("status",), ("status", "--check")):
        said = melnb(*words, root=copy).stdout
        assert f"metadata.csv changed, images/{pictures[1].name} changed" in said
        assert "after 02_prepare/line" in said
    first = "".join((copy / "params/line.pipeline.yaml").read_text().splitlines(True)[:5])
    (copy / "params/first.pipeline.yaml").write_text(first)
    done = melnb("pipeline", "params/first.pipeline.yaml", root=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    board = melnb("status", root=copy).stdout
    assert "metadata.csv" not in board
    assert re.search("03_train/a-s0/fold0 .*changed .*outputs/02_prepare/line changed", board)
    shard = next((copy / "outputs/02_prepare/line/records").rglob("*.tfrec"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert f"{shard.name} is not what this run wrote" in melnb("status", root=copy).stdout
