"""The first hour, as transcripts: what a stranger types, by README and error messages alone."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from melnb.data.sources.catalogue import read_source
from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.discrimination.ranking import auc
from melnb.tables import documents

HERE = Path(__file__).parents[1]
HEADERS = {
    "image_name,target,prediction": "{id},{truth},{score}",
    "isic_id,truth,p_melanoma": "{id},{name},{score}",
    "image;label;score": "{id};{truth};{score}",
    "file,y_true,y_pred": "{id}.jpg,{truth},{score}",
    "ID,diagnosis,MEL": "{id},{dx},{score}",
    "img,preds,gt": "{id},{score},{truth}",
}


def write_scores(folder: Path, head: str) -> tuple[Path, np.ndarray, np.ndarray]:
    """Write eighty scores with their truths under a header; return the file and both."""
    draw = np.random.default_rng(0)
    truth = draw.random(80) < 0.3
    score = np.round(1 / (1 + np.exp(1 - draw.normal(size=80) - truth)), 4)
    rows = [
        HEADERS[head].format(id=f"a{k}", truth=int(t), score=s, name="melanoma" if t else "other",
                             dx="MEL" if t else "NV")
        for k, (t, s) in enumerate(zip(truth, score, strict=True))
    ]  # fmt: skip
    file = folder / "scores.csv"
    file.write_text("\n".join([head, *rows]))
    return file, truth, score


@pytest.mark.parametrize("head", HEADERS)
def test_scores_with_their_truth_are_the_same_rows_under_any_header(
    tmp_path: Path, head: str
) -> None:
    file, truth, score = write_scores(tmp_path, head)
    predictions = read_foreign(file, positive="melanoma")
    assert predictions["image_id"].tolist() == [f"a{k}" for k in range(80)]
    assert predictions["truth"].eq("melanoma").tolist() == truth.tolist()
    assert predictions["p_melanoma"].tolist() == score.tolist()
    area = auc(predictions, positive="melanoma")["value"].iloc[0]
    assert area == pytest.approx(roc_auc_score(truth, score))


@pytest.mark.parametrize(
    "head",
    [head if ";" in head else pytest.param(head, marks=pytest.mark.nightly) for head in HEADERS],
)
def test_a_file_of_scores_in_a_fresh_folder_is_one_command_to_its_report(
    melnb: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path, head: str
) -> None:
    root = tmp_path / "project"
    shutil.copytree(HERE / "notebooks", root / "notebooks")
    (root / "params").mkdir()
    _, truth, score = write_scores(root, head)
    done = melnb("run", "06_report", "predictions=[scores.csv]", "run=theirs", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    home = root / "outputs/06_report/theirs"
    assert done.stdout.splitlines()[-1] == str(home / "report_card.html")
    assert str(home / "report.html") in done.stdout
    results = documents.read_run(home)["results"]
    assert results["auc"] == pytest.approx(roc_auc_score(truth, score))
    assert (results["images"], results["positives"]) == (80, truth.sum())
    page = (home / "report.html").read_text(encoding="utf-8")
    assert f"{roc_auc_score(truth, score):.3f}" in page


@pytest.mark.nightly
def test_sixty_photographs_and_then_one_are_two_commands(
    melnb: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(HERE / "notebooks", root / "notebooks")
    (root / "params").mkdir()
    images = read_source("synthetic", tmp_path / "drawn", rows=70, seed=3)
    sick = images["target"] == "melanoma"
    chosen = pd.concat([images[sick].head(20), images[~sick].head(40)])
    (root / "photos").mkdir()
    for path in chosen["path"]:
        shutil.copy(path, root / "photos")
    words = np.where(chosen["target"] == "melanoma", "malignant", "benign")
    table = pd.DataFrame({"picture": chosen["image_id"], "finding": words})
    table.to_csv(root / "labels.csv", index=False)
    shutil.copy(images[~images["image_id"].isin(chosen["image_id"])]["path"].iloc[0],
                root / "new.jpg")  # fmt: skip
    done = melnb("try", "photos", "labels.csv", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 pictures: 40 benign, 20 malignant; looked for: malignant; 3 folds" in done.stdout
    assert "report.html" in done.stdout
    assert done.stdout.splitlines()[-1] == "new photographs: melnb look <pictures> --model mine"
    looked = melnb("look", "new.jpg", "--model", "mine", root=root)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "threshold of 06_report/mine" in looked.stdout
    (page,) = (root / "outputs" / "04c_look").glob("new-*/look.html")
    assert looked.stdout.splitlines()[-1] == str(page)
    report = documents.read_run(root / "outputs/06_report/mine")["results"]
    here = documents.read_run(page.parent)["results"]
    assert here["threshold"] == pytest.approx(report["threshold"], abs=1e-12)
    point = pd.read_csv(root / "outputs/06_report/mine/operating_point.csv").iloc[0]
    low, high = (100 * point[f"sensitivity_{end}"] for end in ("low", "high"))
    assert f"({low:.0f} to {high:.0f} %)" in page.read_text(encoding="utf-8")
