"""Scores are features where no model saw what it scores."""

import numpy as np
import pandas as pd
import pytest

from melnb.data.features.feature_rows import score_features
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import make_predictions


def predict(images: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    score = np.random.default_rng(0).random(len(images))
    return make_predictions(
        images["image_id"], folds["fold"], images["target"], np.column_stack([1 - score, score]),
        classes=("other", "melanoma"), run="b0",
    ).sample(frac=1, random_state=1)  # fmt: skip


def test_a_score_goes_to_its_image(images: pd.DataFrame, folds: pd.DataFrame) -> None:
    predictions = predict(images, folds)
    made = score_features(predictions.iloc[9:], folds, positive="melanoma")
    assert [*made.columns] == ["image_id", "score_b0"]
    assert len(made) == 111
    own = predictions.set_index("image_id")["p_melanoma"]
    assert made["score_b0"].tolist() == own[made["image_id"]].tolist()
    named = score_features(predictions, folds, positive="other", name="benign")
    assert named["benign"].tolist() == (1 - own[named["image_id"]]).tolist()


@pytest.mark.parametrize(("here", "there"), [(0, 1), (0, TEST), (TEST, 0)])
def test_a_model_that_may_have_seen_an_image_is_refused(
    images: pd.DataFrame, folds: pd.DataFrame, here: int, there: int
) -> None:
    predictions = predict(images, folds)
    one = folds.loc[folds["fold"] == here, "image_id"].iloc[0]
    predictions.loc[predictions["image_id"] == one, "fold"] = there
    with pytest.raises(TableError, match=rf"{one} lies in .*\(1 of 120 such images"):
        score_features(predictions, folds, positive="melanoma")


def test_what_is_wrong_is_refused(images: pd.DataFrame, folds: pd.DataFrame) -> None:
    predictions = predict(images, folds)
    with pytest.raises(TableError, match="positive is 'nevus'"):
        score_features(predictions, folds, positive="nevus")
    strangers = predictions.assign(image_id="s" + predictions["image_id"])
    with pytest.raises(TableError, match="know none of the dataset's 120 images"):
        score_features(strangers, folds, positive="melanoma")
    with pytest.raises(TableError, match="not between 0 and 1"):
        score_features(predictions.assign(p_melanoma=np.nan), folds, positive="melanoma")


def test_scores_are_joined_whatever_the_other_table_calls_the_images(
    images: pd.DataFrame, folds: pd.DataFrame
) -> None:
    predictions = predict(images, folds)
    named = predictions.assign(image_id=predictions["image_id"].str.upper() + ".jpg")
    made = score_features(named, folds, positive="melanoma")
    pd.testing.assert_frame_equal(made, score_features(predictions, folds, positive="melanoma"))
