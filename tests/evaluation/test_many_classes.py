"""Melanoma is read off a table of many diagnoses as it is off one of two classes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from melnb.evaluation.discrimination import ranking
from melnb.tables.schema import make_predictions

CLASSES = ("melanoma", "nevus", "benign_keratosis", "unknown")


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = rng.choice(4, 300, p=[0.1, 0.5, 0.1, 0.3])
    logits = rng.normal(size=(300, 4)) + 1.5 * np.eye(4)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids, names = [f"i{k}" for k in range(300)], np.array(CLASSES)[truth]
    return make_predictions(ids, np.arange(300) % 3, names, shares, classes=CLASSES, run="many")


@pytest.fixture(scope="module")
def two(many: pd.DataFrame) -> pd.DataFrame:
    p = many["p_melanoma"].to_numpy()
    truth = many["truth"].where(many["truth"] == "melanoma", "other")
    values, classes = np.column_stack([1 - p, p]), ("other", "melanoma")
    return make_predictions(many["image_id"], many["fold"], truth, values, classes=classes, run="2")


def test_the_areas_are_those_of_melanoma_against_the_rest(
    many: pd.DataFrame, two: pd.DataFrame
) -> None:
    is_melanoma = many["truth"] == "melanoma"
    for measure, reference in (
        (ranking.auc, roc_auc_score), (ranking.average_precision, average_precision_score),
    ):  # fmt: skip
        found = measure(many, positive="melanoma").iloc[0]
        assert found["value"] == pytest.approx(reference(is_melanoma, many["p_melanoma"]))
        same = measure(two, positive="melanoma").iloc[0]
        assert (found["value"], found["low"]) == (same["value"], same["low"])


def test_curves_are_the_same(many: pd.DataFrame, two: pd.DataFrame) -> None:
    for curve in (ranking.roc_curve, ranking.precision_recall_curve):
        pd.testing.assert_frame_equal(
            curve(many, positive="melanoma"), curve(two, positive="melanoma")
        )


def test_a_diagnosis_head_is_compared_with_a_melanoma_head(
    many: pd.DataFrame, two: pd.DataFrame
) -> None:
    gain = ranking.auc_comparison({"many": many, "two": two}, positive="melanoma").iloc[0]
    assert gain["difference"] == 0
    shuffled = two.assign(p_melanoma=two["p_melanoma"].to_numpy()[::-1])
    shuffled["p_other"] = 1 - shuffled["p_melanoma"]
    gain = ranking.auc_comparison({"many": many, "two": shuffled}, positive="melanoma").iloc[0]
    assert gain["difference"] > 0.2
