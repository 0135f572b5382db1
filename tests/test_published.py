"""Published predictions and folds, through the notebooks that a user would run on them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.data import folds
from melnb.data.sources import catalogue
from melnb.tables import documents

HERE = Path(__file__).parents[1]
DATA = os.environ.get("MELNB_DATA", "")
SIIM = Path(DATA).resolve() / "siim2020"
THEIRS = SIIM / "predictions"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="MELNB_DATA is not set: no real data"),
]


def run(stage: str, *words: str) -> None:
    command = [sys.executable, "-m", "melnb", "run", stage, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_out_of_fold_predictions_of_a_kaggle_solution(tmp_path: Path) -> None:
    file = THEIRS / "oof_efficientnet_b1.csv"
    run("05_ensemble", "run=b1", f"members=[{file}]", f"outputs={tmp_path}")
    words = ["run=b1", "predictions=[05_ensemble/b1]", "dataset=", f"outputs={tmp_path}"]
    run("06_report", *words)
    home = tmp_path / "06_report" / "b1"
    results = documents.read_run(home)["results"]
    assert results["auc"] == pytest.approx(0.89978, abs=5e-6)
    assert results["average_precision"] == pytest.approx(0.2013, abs=5e-5)
    assert (results["images"], results["positives"]) == (33126, 584)
    scores = pd.read_csv(home / "metrics.csv")
    by_fold = scores[(scores["metric"] == "AUC") & scores["rows"].str.startswith("fold ")]
    assert by_fold["value"].round(4).tolist() == [0.9117, 0.9097, 0.8864, 0.9119, 0.9007]
    # Patients are in that file, so the interval is the wider one that counts each of them as one.
    assert scores["method"].str.contains("patient_id").all()
    assert (home / "report.html").stat().st_size > 1e6


def test_the_third_place_is_blended_again(tmp_path: Path) -> None:
    images = sorted(THEIRS.glob("submission_EfficientNetB6_*.csv"))
    members = [*map(str, images), str(THEIRS / "submission_simple_baseline.csv")]
    assert len(members) == 9
    words = ["run=third", f"members=[{', '.join(members)}]", "method=weighted"]
    run("05_ensemble", *words, f"weights={[0.1] * 8 + [0.2]}", f"outputs={tmp_path}")
    blend = pd.read_csv(tmp_path / "05_ensemble" / "third" / "test.csv")
    theirs = pd.read_csv(THEIRS / "ensemble.csv").rename(columns={"image_name": "image_id"})
    both = blend.merge(theirs, on="image_id", validate="1:1")
    assert len(both) == 10982
    assert np.abs(both["p_melanoma"] - both["target"]).max() < 1e-12


def test_five_patient_safe_folds_of_siim_2020() -> None:
    images = catalogue.read_source("siim2020", SIIM, missing="keep")
    images = images[images["split"] == "train"]
    assert len(images.attrs["duplicates"]) == 434
    cut = folds.make_folds(images, n_folds=5, seed=42)
    balance = folds.fold_balance(images, cut)
    assert balance["patients"].sum() == images["patient_id"].nunique()  # none is counted twice
    assert balance["melanoma"].between(115, 117).all()
    assert balance["patients"].between(408, 415).all()
