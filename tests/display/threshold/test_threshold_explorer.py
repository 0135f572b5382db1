import base64
import json
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import traitlets
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation.decisions import operating_point, thresholds
from melnb.tables import checks, schema

Make = Callable[..., pd.DataFrame]
COUNTS = ["tp", "fp", "tn", "fn"]


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40),
    cut=st.integers(0, 32),
)
def test_counts_are_those_of_counting(rows: list[tuple[bool, int]], cut: int) -> None:
    rows = [*rows, (True, 3), (False, 4)]
    truth = np.array([t for t, _ in rows])
    score = np.array([s for _, s in rows]) / 8
    made = schema.make_predictions(
        [f"i{k}" for k in range(len(rows))],
        0,
        np.where(truth, "melanoma", "other"),
        np.column_stack([1 - score, score]),
        classes=("other", "melanoma"),
        run="r",
    )
    threshold = cut / 32  # every fourth one is a score itself: a tie is flagged
    row = ThresholdExplorer(made).at(threshold).iloc[0]
    flagged = score >= threshold
    expected = [(truth & flagged), (~truth & flagged), (~truth & ~flagged), (truth & ~flagged)]
    assert [row[c] for c in COUNTS] == [cells.sum() for cells in expected]


@pytest.mark.parametrize("prevalence", [0, 0.05, 0.7])
def test_rates_are_those_of_the_threshold_table(
    predictions: pd.DataFrame, prevalence: float
) -> None:
    table = thresholds.threshold_table(predictions, positive="melanoma", prevalence=prevalence)
    explorer = ThresholdExplorer(predictions, prevalence=prevalence)
    rows = pd.concat([explorer.at(t) for t in table["threshold"]], ignore_index=True)
    columns = [c for c in table.columns if c != "note"]
    assert_frame_equal(rows[columns], table[columns], check_dtype=False)


def test_ends_of_the_scale(predictions: pd.DataFrame) -> None:
    explorer = ThresholdExplorer(predictions)
    everything, nothing = explorer.at(0.0).iloc[0], explorer.at(1.0).iloc[0]
    assert (everything["sensitivity"], everything["specificity"], everything["flagged"]) == (
        1,
        0,
        1,
    )
    assert np.isnan(everything["npv"])
    assert (nothing["sensitivity"], nothing["specificity"], nothing["tp"]) == (0, 1, 0)
    assert np.isnan(nothing["ppv"])


def test_begins_at_youdens_threshold_and_the_datas_prevalence(predictions: pd.DataFrame) -> None:
    explorer = ThresholdExplorer(predictions)
    point = operating_point.operating_point(predictions, positive="melanoma", choose="youden")
    assert explorer.threshold == point["threshold"].iloc[0]
    assert explorer.prevalence == pytest.approx((predictions["truth"] == "melanoma").mean())
    assert explorer.title == "Threshold explorer: b0"


def test_rows_without_a_truth_and_test_rows_do_not_choose(make: Make) -> None:
    known, test = make(200, seed=1), make(300, seed=2)
    test["image_id"] = "t" + test["image_id"]
    test["fold"] = checks.TEST
    unlabelled = test.head(9).assign(truth=np.nan, image_id=[f"u{k}" for k in range(9)])
    both = pd.concat([known, test, unlabelled], ignore_index=True)
    assert_frame_equal(ThresholdExplorer(both).at(0.3), ThresholdExplorer(known).at(0.3))
    only_test = ThresholdExplorer(test).at(0.3)
    assert int(only_test[COUNTS].sum(axis=1).iloc[0]) == 300


def test_what_cannot_be_explored_is_refused(predictions: pd.DataFrame) -> None:
    with pytest.raises(checks.TableError, match="positive is 'nevus', not one of"):
        ThresholdExplorer(predictions, positive="nevus")
    with pytest.raises(checks.TableError, match=r"0 of .* rows with a truth are 'melanoma'"):
        ThresholdExplorer(predictions[predictions["truth"] == "other"])
    with pytest.raises(traitlets.TraitError):
        ThresholdExplorer(predictions, threshold=1.5)


def test_view_and_state_follow_each_other(predictions: pd.DataFrame) -> None:
    explorer = ThresholdExplorer(predictions, threshold=0.4)
    first, second = explorer.view(), explorer.view()
    first.threshold = 0.25  # as the page does
    assert explorer.threshold == second.threshold == 0.25
    assert explorer.at()["threshold"].iloc[0] == 0.25
    explorer.prevalence = 0.02
    assert first.prevalence == 0.02


def test_low_scores_begin_on_a_logit_axis(make: Make) -> None:
    low = make(500, digits=8).assign(kind="score")
    low["p_melanoma"] /= 100
    words = ThresholdExplorer(low).page_state()["values"]["words"]
    assert (words["scale"], words["kind"]) == ("logit", "score")


def test_a_page_and_a_widget_get_the_same(
    predictions: pd.DataFrame, groups: pd.DataFrame, second: pd.DataFrame
) -> None:
    explorer = ThresholdExplorer(predictions, groups=groups, other=second)
    view, state = explorer.view(), explorer.page_state()
    assert {name: base64.b64decode(code) for name, code in state["data"].items()} == view.data
    assert json.loads(json.dumps(state["values"]["words"])) == view.words
    assert set(view.data) == {
        "scores", "true_positives", "false_positives", "group0", "group1", "other_scores",
        "other_true_positives", "other_false_positives", "alone_positives", "alone_others",
            "limits", "limits0", "limits1",
    }  # fmt: skip


def test_all_of_isic_2024_is_sent_in_a_few_megabytes(make: Make) -> None:
    many, draw = make(401_059, digits=8), np.random.default_rng(0)
    groups = many[["image_id"]].assign(site=draw.choice(list("abcdef"), len(many)))
    data = ThresholdExplorer(many, groups=groups, other=many).view().data
    assert sum(map(len, data.values())) < 5e6


def test_an_image_that_was_clicked_is_read_back(predictions: pd.DataFrame) -> None:
    explorer = ThresholdExplorer(predictions)
    assert explorer.chosen == {}
    explorer.view().chosen = {"image_id": "i000007"}
    assert explorer.chosen["image_id"] == "i000007"


def test_a_still_shows_the_chosen_threshold_without_a_script(predictions: pd.DataFrame) -> None:
    explorer = ThresholdExplorer(predictions.assign(run="<b>"), threshold=0.3)
    row, still = explorer.at().iloc[0], explorer.still()
    found, missed, alarms, left = (int(row[name]) for name in ("tp", "fn", "fp", "tn"))
    assert repr(still) == (
        f"At threshold 0.3: {found} of {found + missed} melanoma found, "
        f"{alarms} of {alarms + left} others flagged"
    )
    drawing = ElementTree.fromstring(still._repr_svg_())
    marks = {mark.tag.split("}")[1] for mark in drawing.iter()}
    assert marks == {"svg", "g", "rect", "text", "path", "polyline", "circle"}
    spoken = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert f"{row['sensitivity']:.1%}" in spoken
    (point,) = drawing.iter("{http://www.w3.org/2000/svg}circle")
    assert float(point.get("cx", "")) == pytest.approx(210 * (1 - row["specificity"]), abs=0.06)
    assert len(still.svg) < 20_000
    explorer.threshold = 0.6
    assert "At threshold 0.6" in repr(explorer.still())
