import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.display.threshold.panels import paired
from melnb.evaluation.rows import binary_rows
from melnb.tables.checks import TableError
from melnb.tables.schema import make_predictions


def table(truth: list[bool], score: list[int], run: str) -> pd.DataFrame:
    values = np.array(score) / 8
    names = np.where(truth, "melanoma", "other")
    both = np.column_stack([1 - values, values])
    ids = [f"i{k}" for k in range(len(truth))]
    return make_predictions(ids, 0, names, both, classes=("other", "melanoma"), run=run)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 8)), max_size=30))
def test_who_is_flagged_alone_is_found_by_counting(rows: list[tuple[bool, int, int]]) -> None:
    rows = [*rows, (True, 3, 5), (False, 4, 4)]
    truth, one, two = (list(column) for column in zip(*rows, strict=True))
    first, second = table(truth, one, "a"), table(truth, two, "b")
    pair = paired(binary_rows(first, positive="melanoma"), second.iloc[::-1], positive="melanoma")
    is_positive = np.array(truth)
    for k, cut in enumerate(pair.own[0]):
        flagged = first["p_melanoma"].to_numpy() >= cut
        false = (flagged & ~is_positive).sum()
        allowed = [t for t, fp in zip(pair.other[0], pair.other[2], strict=True) if fp <= false]
        theirs = second["p_melanoma"].to_numpy() >= min(allowed, default=2)
        alone = flagged & ~theirs
        assert pair.alone[0][k] == (alone & is_positive).sum()
        assert pair.alone[1][k] == (alone & ~is_positive).sum()


def test_runs_of_other_images_or_labels_are_refused(predictions: pd.DataFrame) -> None:
    rows = binary_rows(predictions, positive="melanoma")
    others = predictions.assign(image_id="x" + predictions["image_id"])
    with pytest.raises(TableError, match="0 of its 600 images are among the 600"):
        paired(rows, others, positive="melanoma")
    turned = predictions.copy()
    turned.loc[3, "truth"] = "melanoma" if turned.loc[3, "truth"] == "other" else "other"
    with pytest.raises(TableError, match=r"truth of i000003 differs .*\(1 such images\)"):
        paired(rows, turned, positive="melanoma")


def test_images_that_one_run_lacks_are_left_out(predictions: pd.DataFrame) -> None:
    part = predictions.iloc[100:]
    pair = paired(binary_rows(predictions, positive="melanoma"), part, positive="melanoma")
    assert pair.n == 500
    assert (pair.own[0] == pair.other[0]).all()
    assert not pair.alone[0].any()
