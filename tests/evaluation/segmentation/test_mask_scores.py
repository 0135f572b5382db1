"""One row per image: what is in it, and which rows are the worst."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.challenges.jaccard import mask_scores
from melnb.evaluation.mask_scores import boundary_distances, segmentation_scores, worst_masks
from melnb.tables.checks import TableError

Masks = dict[str, np.ndarray]


def test_a_row_holds_every_measure_and_whom_the_image_belongs_to(
    scores: pd.DataFrame, truth: Masks, predicted: Masks, rows: pd.DataFrame
) -> None:
    assert scores["image_id"].tolist() == [*truth]
    assert list(scores.columns[:3]) == ["image_id", "fold", "patient_id"]
    official = mask_scores(truth, predicted)
    pd.testing.assert_frame_equal(scores[official.columns], official)
    outlines = boundary_distances(truth, predicted)
    pd.testing.assert_frame_equal(scores[outlines.columns], outlines)
    assert scores["failed"].tolist() == (official["threshold_jaccard"] == 0).tolist()
    assert 0 < scores["failed"].sum() < 40
    of = rows.set_index("image_id")["patient_id"]
    assert scores["patient_id"].tolist() == [of[i] for i in truth]


@pytest.mark.parametrize(("shared", "failed"), [(649, True), (650, False)])
def test_the_least_index_itself_counts(shared: int, failed: bool) -> None:
    truth = np.ones((1, 1000), dtype=bool)
    table = segmentation_scores({"a": truth}, {"a": np.arange(1000)[None] < shared})
    assert table["failed"].tolist() == [failed]
    assert table["threshold_jaccard"].tolist() == [0 if failed else 0.65]


def test_two_empty_masks_agree_in_everything() -> None:
    empty = np.zeros((4, 4), dtype=bool)
    row = segmentation_scores({"a": empty}, {"a": empty}).iloc[0]
    assert (row["jaccard"], row["failed"], row["hd95"], row["note"]) == (1, False, 0, "")


def test_images_without_a_fold_are_named(truth: Masks, predicted: Masks) -> None:
    rows = pd.DataFrame({"image_id": [*truth][3:], "fold": 0})
    with pytest.raises(TableError, match=r"rows: no row of i00 \(3 such images\)"):
        segmentation_scores(truth, predicted, rows=rows)


def test_the_worst_come_first_whatever_the_order(scores: pd.DataFrame) -> None:
    worst = worst_masks(scores, n=5)
    assert worst["jaccard"].tolist() == sorted(scores["jaccard"])[:5]
    mixed = worst_masks(scores.sample(frac=1, random_state=1), n=5)
    pd.testing.assert_frame_equal(worst, mixed)
    tied = pd.DataFrame({"image_id": ["c", "b", "a"], "jaccard": 0.0, "hd95": [1.0, 9, 1]})
    assert worst_masks(tied)["image_id"].tolist() == ["b", "a", "c"]
    assert worst_masks(scores, n=99).shape[0] == 40
