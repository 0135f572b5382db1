"""Patient context: the textbook's numbers for many lesions, neutral ones for few."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.neighbors import LocalOutlierFactor

from melnb.evaluation.patient_context import MEASURES, context_scores
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


def table(binary: Make, sizes: list[int], *, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    number = sum(sizes)
    made = binary(np.tile([True, False], number)[:number], draw.random(number))
    patients = np.repeat([f"p{k}" for k in range(len(sizes))], sizes)
    made = made.assign(patient_id=patients)
    return made.sample(frac=1, random_state=seed, ignore_index=True)


def test_values_are_those_of_each_patient_alone(binary: Make) -> None:
    predictions = table(binary, [7, 3, 40])
    made = context_scores(predictions, positive="melanoma")
    assert made["image_id"].tolist() == predictions["image_id"].tolist()
    for _, rows in predictions.groupby("patient_id"):
        own, score = made.loc[rows.index], rows["p_melanoma"].to_numpy()
        assert own["score_z"].to_numpy() == pytest.approx(
            (score - score.mean()) / score.std(ddof=1)
        )
        assert own["score_difference"].to_numpy() == pytest.approx(score - score.mean())
        assert own["score_ratio"].to_numpy() == pytest.approx(score / score.mean())
        ranks = (rankdata(score) - 0.5) / len(score)
        assert own["score_rank"].to_numpy() == pytest.approx(ranks)
        model = LocalOutlierFactor(n_neighbors=min(len(score) // 2, 30)).fit(score[:, None])
        expected = -model.negative_outlier_factor_
        assert own["score_lof"].to_numpy() == pytest.approx(expected, rel=1e-6)
        assert own["pictures"].unique() == [len(score)]


def test_few_unknown_and_equal_lesions_are_neutral(binary: Make) -> None:
    predictions = table(binary, [2, 1, 4])
    of_few = predictions["patient_id"].isin(["p0", "p1"])
    equal = predictions["patient_id"] == "p2"
    predictions.loc[equal, ["p_other", "p_melanoma"]] = [0.7, 0.3]
    predictions.loc[predictions["patient_id"] == "p1", "patient_id"] = np.nan
    made = context_scores(predictions, positive="melanoma")
    neutral = [0, 0.5, 0, 1, 1]
    names = ["score_z", "score_rank", "score_difference", "score_ratio", "score_lof"]
    assert (made.loc[of_few, names] == neutral).all(axis=None)
    assert made.loc[equal, names].to_numpy() == pytest.approx(np.tile(neutral, (4, 1)))
    assert sorted(made["pictures"]) == [1, 2, 2, 4, 4, 4, 4]
    zero = predictions.assign(p_melanoma=0.0, p_other=1.0)
    assert (context_scores(zero, positive="melanoma")[names] == neutral).all(axis=None)


def test_measures_stand_beside_the_score_and_may_be_missing(binary: Make) -> None:
    predictions = table(binary, [6, 5, 2])
    draw = np.random.default_rng(1)
    measures = pd.DataFrame(draw.random((13, len(MEASURES))), columns=list(MEASURES))
    measures.insert(0, "image_id", sorted(predictions["image_id"]))
    odd = predictions.loc[predictions["patient_id"] == "p0", "image_id"].iloc[0]
    measures.loc[measures["image_id"] == odd, list(MEASURES)] = 9.0
    lost = predictions.loc[predictions["patient_id"] == "p1", "image_id"].iloc[0]
    measures = measures[measures["image_id"] != lost]
    made = context_scores(predictions, positive="melanoma", measures=measures)
    own = made.set_index("image_id")
    assert own.notna().all(axis=None)
    assert own.loc[odd, "contrast_z"] == own["contrast_z"].max()
    assert own.loc[odd, "measures_lof"] == own["measures_lof"].max() > 3
    assert own.loc[lost, "lesion_share_z"] == 0
    assert own.loc[lost, "measures_lof"] == 1
    with pytest.raises(TableError, match="measures: no column"):
        context_scores(predictions, positive="melanoma", measures=measures[["image_id"]])


def test_what_is_wrong_is_refused(binary: Make) -> None:
    predictions = table(binary, [3])
    with pytest.raises(TableError, match="no column 'patient_id'"):
        context_scores(predictions.drop(columns="patient_id"), positive="melanoma")
    with pytest.raises(TableError, match="positive is 'nevus'"):
        context_scores(predictions, positive="nevus")
    assert context_scores(predictions.head(0), positive="melanoma").empty


@pytest.mark.benchmark
def test_thousands_of_patients_are_quick(binary: Make) -> None:
    predictions = table(binary, [16] * 1000)
    context_scores(predictions, positive="melanoma")  # imports
    started = time.process_time()
    context_scores(predictions, positive="melanoma")
    took = time.process_time() - started
    print(f"\n1,000 patients of 16 pictures: {took:.2f} s")
    assert took < 3
