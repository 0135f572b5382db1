"""Predictions as others write them: which column is which, or a refusal that lists the columns."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation import summaries
from melnb.evaluation.challenges.foreign import read_foreign

Outcome = Callable[[pd.DataFrame], None] | Sequence[str]
Odd = tuple[str, Mapping[str, Any], Outcome]

N = 40
IDS = [f"ISIC_{k:07d}" for k in range(N)]
TRUTH = np.arange(N) % 4 == 0
P = np.round((np.arange(N) * 7919 % 997) / 1000 + 0.0013, 4)  # of no equal steps
OTHER_P = np.round(P[::-1] / 2 + 0.1, 4)
CLASSES = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
LABEL = np.arange(N) % 7
ONE_HOT = np.eye(7, dtype=int)[LABEL]
SOFT = np.round(ONE_HOT * 0.3 + 0.1, 4)
FLAGS = TRUTH.astype(int)


def csv(**columns: Any) -> str:
    return pd.DataFrame(columns).to_csv(index=False)


def classes(
    values: np.ndarray, name: str = "{}", order: Sequence[int] = range(7)
) -> dict[str, Any]:
    return {name.format(CLASSES[k]): values[:, k] for k in order}


def reads(**wanted: Any) -> Callable[[pd.DataFrame], None]:
    """Return a check of what was read: P and TRUTH, unless something else is wanted."""
    truth = wanted.get("truth", TRUTH)
    names = wanted.get("names", {})

    def check(table: pd.DataFrame) -> None:
        np.testing.assert_allclose(table["p_melanoma"], wanted.get("p", P), atol=1e-12)
        if truth is None:
            assert table["truth"].isna().all()
        else:
            assert ((table["truth"] == "melanoma") == truth).all()
        assert table["image_id"].tolist() == wanted.get("ids", IDS)
        assert table["kind"].iloc[0] == wanted.get("kind", "probability")
        for key, spelt in names.items():
            assert table.attrs["read_as"][key] == spelt

    return check


def seven(**wanted: Any) -> Callable[[pd.DataFrame], None]:
    """Return a check of seven classes: SOFT, and the truths of LABEL."""

    def check(table: pd.DataFrame) -> None:
        own = ["melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis"]
        own += ["benign_keratosis", "dermatofibroma", "vascular_lesion"]
        np.testing.assert_array_equal(table[[f"p_{name}" for name in own]], SOFT)
        if wanted.get("truth", True):
            assert table["truth"].tolist() == [own[k] for k in LABEL]
        else:
            assert table["truth"].isna().all()
        assert table["kind"].iloc[0] == wanted.get("kind", "probability")

    return check


def column(name: str, values: Sequence[Any]) -> Callable[[pd.DataFrame], None]:
    def check(table: pd.DataFrame) -> None:
        assert table[name].tolist() == list(values)

    return check


SETTLE = r"columns=\{"
CASES: dict[str, Odd] = {
    "labels called target beside preds": (
        csv(image_id=IDS, target=FLAGS, preds=P),
        {},
        reads(names={"truth_column": "target", "prediction_column": "preds"}),
    ),
    "oof": (csv(image_id=IDS, target=FLAGS, oof=P), {}, reads()),
    "y_true and y_pred": (csv(y_pred=P, image_id=IDS, y_true=FLAGS), {}, reads()),
    "label and melanoma_prob": (csv(image=IDS, label=FLAGS, melanoma_prob=P), {}, reads()),
    "names that say nothing": (csv(image=IDS, a=P, b=FLAGS), {}, reads()),
    "truths as 0.0 and 1.0": (csv(image=IDS, target=TRUTH.astype(float), pred=P), {}, reads()),
    "truths as True and False": (csv(image=IDS, label=TRUTH, prob=P), {}, reads()),
    "truths as diagnoses": (
        csv(image_id=IDS, dx=np.where(TRUTH, "mel", "nv"), melanoma_prob=P), {}, reads(),
    ),
    "two columns of one truth": (
        csv(
            image_name=IDS, diagnosis=np.where(TRUTH, "melanoma", "unknown"),
            benign_malignant=np.where(TRUTH, "malignant", "benign"), target=FLAGS, pred=P,
        ),
        {},
        reads(names={"truth_column": "target = diagnosis = benign_malignant"}),
    ),
    "truths that contradict each other": (
        csv(image_id=IDS, target=FLAGS, dx=["nv"] * N, pred=P),
        {},
        ["ISIC_0000000 is melanoma by 'target' and other by 'dx'", SETTLE + "truth: target"],
    ),
    "a submission": (
        csv(image_name=IDS, target=P), {}, reads(truth=None, names={"truth_column": "none"}),
    ),
    "truths alone": (
        csv(image_name=IDS, target=FLAGS), {}, ["no column holds fractions", "'target' holds 0"],
    ),
    "hard calls beside labels": (
        csv(image_id=IDS, target=FLAGS, pred=FLAGS[::-1]),
        {},
        ["no column holds fractions", r"columns=\{truth: target, prediction: pred\}"],
    ),
    "hard calls that are settled": (
        csv(image_id=IDS, target=FLAGS, pred=FLAGS[::-1]),
        {"columns": {"truth": "target", "prediction": "pred"}},
        reads(p=FLAGS[::-1], kind="score"),
    ),
    "hard calls beside probabilities": (
        csv(image_id=IDS, y_true=FLAGS, y_pred=(P > 0.5).astype(int), y_prob=P), {}, reads(),
    ),
    "names that contradict what they hold": (
        csv(image_id=IDS, target=P, pred=FLAGS),
        {},
        ["not plain which column is the prediction", "'pred' is named as a prediction", SETTLE],
    ),
    "two fractions without telling names": (
        csv(image_id=IDS, a=P, b=OTHER_P, target=FLAGS),
        {},
        ["not plain which column is the prediction", "'a' holds fractions", "'b' holds", SETTLE],
    ),
    "two fractions, one of them settled": (
        csv(image_id=IDS, a=OTHER_P, b=P, target=FLAGS), {"columns": {"prediction": "b"}}, reads(),
    ),
    "predictions of two models": (
        csv(image_id=IDS, pred_a=P, pred_b=OTHER_P, target=FLAGS), {}, ["'pred_b' holds", SETTLE],
    ),
    "the same prediction twice": (
        csv(image_id=IDS, pred=P, prediction=P, target=FLAGS), {}, reads(),
    ),
    "two labels without telling names": (
        csv(image_id=IDS, pred=P, a=FLAGS, b=FLAGS[::-1]),
        {},
        ["which column is the truth", SETTLE],
    ),
    "a prediction and its spread": (
        csv(image_id=IDS, pred=P, pred_std=OTHER_P, target=FLAGS), {}, reads(),
    ),
    "sex as 0 and 1 is no truth": (
        csv(image_id=IDS, sex=FLAGS, age_approx=P, pred=P), {}, reads(truth=None),
    ),
    "a fraction of no telling name alone": (
        csv(image_id=IDS, colour=P), {}, ["no prediction among the columns", SETTLE],
    ),
    "soft labels": (
        csv(image_id=IDS, target=np.where(TRUTH, 0.95, 0.05), pred=P),
        {},
        ["target of ISIC_0000000 is '0.95', not a truth", r"columns=\{truth: ''\}"],
    ),
    "soft labels that are left aside": (
        csv(image_id=IDS, target=np.where(TRUTH, 0.95, 0.05), pred=P),
        {"columns": {"truth": ""}},
        reads(truth=None),
    ),
    "labels of -1 and 1": (
        csv(image_id=IDS, label=2 * FLAGS - 1, pred=P), {}, ["label of ISIC_0000001 is '-1'"],
    ),
    "-1 beside 0 and 1 is unknown": (
        csv(image_id=IDS, label=np.where(np.arange(N) == 1, -1, FLAGS), pred=P),
        {},
        column("fold", [-1 if k == 1 else 0 for k in range(N)]),
    ),
    "truths that are not said": (
        csv(image_id=IDS, label=["NA" if k == 1 else f for k, f in enumerate(FLAGS)], pred=P),
        {},
        column("fold", [-1 if k == 1 else 0 for k in range(N)]),
    ),
    "logits": (
        csv(image_id=IDS, target=FLAGS, logit=np.log(P / (1 - P))),
        {},
        ["logit of ISIC_0000000 is '-6", "look like logits", r"1 / \(1 \+ exp"],
    ),
    "percent": (
        csv(image_id=IDS, target=FLAGS, prob=100 * P), {}, ["prob of .* is", "divide by 100"],
    ),
    "percent signs": (
        csv(image_id=IDS, target=FLAGS, prob=[f"{p:%}" for p in P]),
        {},
        ["prob of .* is '0.13", "percent signs"],
    ),
    "decimal commas": (
        csv(image_id=IDS, target=FLAGS, prob=[f"{p}".replace(".", ",") for p in P]),
        {},
        ["prob of ISIC_0000000 is '0,0013'", "with a point"],
    ),
    "ranks": (
        csv(image_id=IDS, target=FLAGS, pred=np.argsort(np.argsort(P)) + 1),
        {},
        ["pred of .* is", "look like ranks"],
    ),
    "ranks over their number": (
        csv(image_id=IDS, target=FLAGS, pred=(np.argsort(np.argsort(P)) + 1) / N),
        {},
        reads(p=(np.argsort(np.argsort(P)) + 1) / N, kind="score"),
    ),
    "an index without a name": (
        pd.DataFrame({"image_id": IDS, "target": FLAGS, "pred": P}).to_csv(), {}, reads(),
    ),
    "ids as an index without a name": (
        pd.DataFrame({"target": FLAGS, "pred": P}, index=IDS).to_csv(), {}, reads(),
    ),
    "paths and suffixes": (
        csv(image_path=[f"data/jpeg/{i}.JPG" for i in IDS], target=FLAGS, pred=P), {}, reads(),
    ),
    "paths of another system": (
        csv(filename=[rf"C:\data\{i}.jpeg" for i in IDS], target=FLAGS, pred=P), {}, reads(),
    ),
    "ids of the archive in small letters": (
        csv(image=[i.lower() for i in IDS], target=FLAGS, pred=P), {}, reads(),
    ),
    "ids with blanks": (csv(image=[f" {i} " for i in IDS], target=FLAGS, pred=P), {}, reads()),
    "an image twice": (
        csv(image=[IDS[0], *IDS[:-1]], target=FLAGS, pred=P), {}, ["stands in more than one row"],
    ),
    "an image twice, once with its suffix": (
        csv(image=[f"{IDS[1]}.jpg", *IDS[1:]], target=FLAGS, pred=P), {}, ["more than one row"],
    ),
    "an id of one's own name": (
        csv(case=IDS, target=FLAGS, pred=P),
        {},
        ["no id among the columns", r"columns=\{image_id:"],
    ),
    "an id that is settled": (
        csv(case=IDS, target=FLAGS, pred=P), {"columns": {"image_id": "case"}}, reads(),
    ),
    "patients of one's own name, some unknown": (
        csv(image=IDS, who=["NA", *["P1 "] * (N - 1)], target=FLAGS, pred=P),
        {"columns": {"patient_id": "who"}},
        lambda table: column("patient_id", ["P1"] * (N - 1))(table.iloc[1:]),
    ),
    "folds in words": (
        csv(image=IDS, kfold=[f"fold{k % 5}" for k in range(N)], target=FLAGS, pred=P),
        {},
        column("fold", [k % 5 for k in range(N)]),
    ),
    "a column a class": (csv(image=IDS, **classes(SOFT)), {}, seven(truth=False)),
    "classes in another order": (
        csv(image=IDS, **classes(SOFT, order=[6, 2, 0, 5, 1, 3, 4])), {}, seven(truth=False),
    ),
    "one-hot truths beside MEL_pred": (
        csv(image=IDS, **classes(ONE_HOT), **classes(SOFT, "{}_pred")), {}, seven(),
    ),
    "one-hot truths beside p_MEL": (
        csv(image=IDS, **classes(SOFT, "p_{}"), **classes(ONE_HOT.astype(float))), {}, seven(),
    ),
    "MEL_true beside prob_MEL": (
        csv(image=IDS, **classes(ONE_HOT, "{}_true"), **classes(SOFT, "prob_{}")), {}, seven(),
    ),
    "MEL_true beside MEL": (
        csv(image=IDS, **classes(SOFT), **classes(ONE_HOT, "{}_true")), {}, seven(),
    ),
    "codes of diagnoses beside a column a class": (
        csv(image=IDS, dx=[CLASSES[k].lower() for k in LABEL], **classes(SOFT)), {}, seven(),
    ),
    "numbers of classes beside a column a class": (
        csv(image=IDS, label=LABEL, **classes(SOFT)), {}, ["numbers have no names"],
    ),
    "one-hot truths alone": (
        csv(image=IDS, **classes(ONE_HOT)), {}, ["labels, no predictions", "'MEL' holds 0 and 1"],
    ),
    "one-hot calls beside one-hot truths": (
        csv(image=IDS, **classes(ONE_HOT), **classes(ONE_HOT[::-1], "{}_pred")),
        {},
        ["predictions are 0 and 1 alone", "'MEL_pred' holds"],
    ),
    "two sets of classes": (
        csv(image=IDS, **classes(SOFT), **classes(SOFT[::-1], "{}_pred")),
        {},
        ["not plain which columns are the predictions", SETTLE],
    ),
    "two truths in a row": (
        csv(image=IDS, **classes(np.maximum(ONE_HOT, ONE_HOT[::-1])), **classes(SOFT, "p_{}")),
        {},
        ["ISIC_0000000 is of 2 classes", "mark one truth a row"],
    ),
    "a class under two names": (
        csv(image=IDS, MEL=SOFT[:, 0], melanoma=SOFT[:, 1], NV=SOFT[:, 2]),
        {},
        ["more than one column is of melanoma", SETTLE],
    ),
    "classes that do not sum to one": (
        csv(image=IDS, **classes(SOFT, "p_{}", order=range(6))),
        {},
        lambda table: column("kind", ["score"] * N)(table),
    ),
    "predict_proba": (csv(image=IDS, prob_0=1 - P, prob_1=P, y=FLAGS), {}, reads()),
    "numbered models": (
        csv(image=IDS, pred_0=P, pred_1=OTHER_P, target=FLAGS), {}, ["numbered columns", SETTLE],
    ),
    "one-hot truths beside one prediction": (
        csv(image=IDS, **classes(ONE_HOT), melanoma_pred=P), {}, reads(truth=LABEL == 0),
    ),
    "benign and malignant": (
        csv(image=IDS, benign=1 - P, malignant=P, target=FLAGS), {}, reads(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_odd_predictions(name: str, try_odd_file: Callable[..., None]) -> None:
    text, options, outcome = CASES[name]

    def make(folder: Path) -> Path:
        path = folder / "theirs.csv"
        path.write_text(text, encoding="utf-8")
        return path

    try_odd_file(make, lambda path: read_foreign(path, **options), outcome)


def test_what_was_read_as_what_stands_in_the_first_table(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(csv(image_id=IDS, target=FLAGS, preds=P), encoding="utf-8")
    read = summaries.read_members({"theirs": [path]}, positive="melanoma")
    row = summaries.members_table(read, positive="melanoma").iloc[0]
    assert row["file"] == "theirs.csv"
    assert row["rows"] == N
    said = row[["id_column", "truth_column", "prediction_column", "fold_column"]].tolist()
    assert said == ["image_id", "target", "preds", "none"]
    assert row["classes"] == "other, melanoma"
    assert row["positives"] == TRUTH.sum()


def test_a_column_that_no_file_has_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text(csv(image_id=IDS, a=P, b=OTHER_P, target=FLAGS), encoding="utf-8")
    paths[1].write_text(csv(image_id=IDS, target=FLAGS, preds=P), encoding="utf-8")
    files = {"a": paths[:1], "b": paths[1:]}
    read = summaries.read_members(files, positive="melanoma", columns={"prediction": "a"})
    for table in read.values():  # of the second file the column is told by what it holds
        np.testing.assert_array_equal(table["p_melanoma"], P)
    with pytest.raises(ValueError, match=r"columns names \['c'\]"):
        summaries.read_members(
            files, positive="melanoma", columns={"prediction": "a", "truth": "c"}
        )
