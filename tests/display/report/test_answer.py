"""The answer in words: of none, one and many, of any class, without a threshold, or a truth."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from melnb_tables import predictions

from melnb.display.report import answer
from melnb.display.report.prose import Around, read_prose
from melnb.display.report.report_page import Prose
from melnb.evaluation import (
    metrics_by_fold,
    operating_point,
    over_best_shortcut,
    unjudged_facts,
)


def said(table: pd.DataFrame, positive: str = "melanoma", **rule: Any) -> answer.Answer:
    how: dict[str, Any] = {"choose": "threshold", "at": 0.4, "draws": 2} | rule
    cluster = "patient_id" if "patient_id" in table else ""
    numbers = {
        "metrics_by_fold": metrics_by_fold(table, positive=positive, cluster=cluster, draws=2),
        "operating_point": operating_point(table, positive=positive, cluster=cluster, **how),
    }
    return answer.answer(numbers, table, positive=positive)


def rows(found: int, missed: int, alarms: int, spared: int, positive: str = "melanoma") -> Any:
    """Predictions out of fold with these counts at 0.5."""
    number = found + missed + alarms + spared
    table = predictions(number)
    truth = [positive] * (found + missed) + ["other"] * (alarms + spared)
    score = [0.9] * found + [0.1] * missed + [0.9] * alarms + [0.1] * spared
    table = table.drop(columns="p_melanoma").assign(truth=truth, p_other=[1 - s for s in score])
    return table.assign(**{f"p_{positive}": score})


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((9, 1, 5, 20), "it finds 9 of 10 (60 to 98\u00a0%) and flags 5 of 25 others: 1.6"),
        ((0, 4, 3, 8), "it finds none of 4 (0 to 49\u00a0%) and flags 3 of 11 others; 15 images"),
        ((5, 0, 0, 9), "finds all 5 (57 to 100\u00a0%) and flags none of 9 others: 1 biopsy for"),
        ((1, 0, 1, 0), "finds the only one (21 to 100\u00a0%) and flags the only other: 2"),
        ((3, 2, 7, 0), "and flags all 7 others: 3.3 biopsies for each"),
    ],
)  # fmt: skip
def test_counts_of_none_one_and_many(counts: tuple[int, int, int, int], words: str) -> None:
    sentence = said(rows(*counts), at=0.5).sentence
    assert words in sentence
    assert sentence.endswith(f"; {sum(counts)} images, out of fold.")


@pytest.mark.parametrize(
    ("positive", "one", "many"),
    [
        ("melanoma", "a melanoma", "melanomas"),
        ("actinic_keratosis", "an actinic keratosis", "actinic keratoses"),
        ("nevus", "a nevus", "nevi"),
        ("malignant", "a lesion labelled malignant", "lesions labelled malignant"),
    ],
)
def test_any_class_has_a_name(positive: str, one: str, many: str) -> None:
    made = said(rows(9, 1, 5, 20, positive), positive)
    assert made.sentence.startswith(f"Ranks {one} above another lesion ")
    assert made.figures[1].words == f"of {many} found"


def test_patients_are_counted_and_unknown_ones_are_not() -> None:
    table = rows(9, 1, 5, 20)
    table["patient_id"] = [f"p{k // 2}" for k in range(35)]
    assert "35 images of 18 patients, out of fold" in said(table).sentence
    table.loc[34, "patient_id"] = None
    assert "35 images of 17 known patients" in said(table).sentence
    assert "the images of one patient count as one" in said(table).limits[0]


def test_predictions_of_others_say_what_is_not_known() -> None:
    one = said(rows(9, 1, 5, 20).assign(fold=0))
    assert one.sentence.endswith("35 images, as they were predicted elsewhere.")
    assert any("the file does not say" in limit for limit in one.limits)
    own = rows(9, 1, 5, 20).assign(fold=0)
    own.attrs["read_as"] = {"fold_column": "fold"}  # a run of one fold: its file says which
    assert said(own).sentence.endswith("35 images, out of fold.")
    assert not any("the file does not say" in limit for limit in said(own).limits)
    test = said(rows(9, 1, 5, 20).assign(fold=-1))
    assert test.sentence.endswith("35 images, a test set.")


def test_what_cannot_be_estimated_is_said_in_words() -> None:
    none = said(rows(9, 1, 5, 20), choose="ppv", at=0.9999)
    assert "; no threshold could be chosen: no threshold reaches a PPV of 0.9999" in none.sentence
    assert [figure.name for figure in none.figures] == ["rank"]
    alone = said(rows(0, 0, 5, 20))
    assert "how well it ranks cannot be said (no row is melanoma)" in alone.sentence.lower()
    tied = said(rows(4, 0, 0, 9))
    assert "100 times in 100;" in tied.sentence, "wholly apart: no interval, and no bracket"
    for made in (none, alone, tied):
        assert "nan" not in " ".join([made.sentence, *made.limits]).lower()


def test_a_prevalence_is_stated_with_its_cost() -> None:
    made = said(rows(9, 1, 5, 20), at=0.5, prevalence=0.02)
    assert "others: where 2\u00a0% are positive, 11.9 biopsies for each" in made.sentence


def test_an_audit_is_told_and_that_there_was_none_softly() -> None:
    table = rows(9, 1, 5, 20)
    assert any("was not audited" in limit for limit in said(table).limits)
    numbers = {
        "metrics_by_fold": metrics_by_fold(table, positive="melanoma", draws=2),
        "operating_point": operating_point(
            table, positive="melanoma", choose="threshold", at=0.5, draws=2
        ),
        "over_best_shortcut": over_best_shortcut(
            {"m": table}, {"file": table.assign(p_melanoma=[0.9, 0.1] * 17 + [0.8])},
            positive="melanoma",
        ),
    }  # fmt: skip
    made = answer.answer(numbers, table, positive="melanoma", audited="Audit: 1 FAIL (x).")
    assert made.audit == "Audit: 1 FAIL (x)."
    assert not any("audited" in limit for limit in made.limits)
    (told,) = [limit for limit in made.limits if limit.startswith("Without the lesion")]
    row = numbers["over_best_shortcut"].iloc[0]
    assert f"by the file alone: AUC {row['auc_second']:.3f} (" in told
    assert f"this one +{row['difference']:.3f} (" in told
    apart = {"over_best_shortcut": over_best_shortcut(
        {"m": table.assign(image_id="t" + table["image_id"])}, {"file": table}, positive="melanoma"
    )}  # fmt: skip
    alone = answer.answer(numbers | apart, table, positive="melanoma")
    assert any(k.startswith("Without the lesion") and k.endswith(").") for k in alone.limits)


def test_rows_without_a_truth_are_scored_and_not_judged() -> None:
    table = predictions().assign(truth=None)
    facts = unjudged_facts(table, positive="melanoma", threshold=0.4)
    made = answer.answer({"unjudged_facts": facts}, table, positive="melanoma", unjudged="Why.")
    assert made.sentence.startswith(
        "60 images without a truth: scored, and nobody can say how well"
    )
    assert made.sentence.endswith("\u00a0%) are flagged.")
    assert made.figures == ()
    assert made.limits[0] == "Why."


def test_test_rows_that_were_judged_once_are_told() -> None:
    table = rows(9, 1, 5, 20)
    point = operating_point(table, positive="melanoma", choose="threshold", at=0.5, draws=2)
    numbers = {"operating_point": point, "locked_test_points": point.assign(judged="one")}
    numbers["metrics_by_fold"] = metrics_by_fold(table, positive="melanoma", draws=2)
    limits = answer.answer(numbers, table, positive="melanoma").limits
    words = "Locked and judged once on 35 test images: finds 90\u00a0% (60 to 98\u00a0%) and flags"
    assert any(limit.startswith(words) for limit in limits)


def test_limits_hold_for_lesions_for_parts_and_for_one_other() -> None:
    table = rows(9, 1, 0, 1).assign(unit="lesion", n_images=2)
    point = operating_point(table, positive="melanoma", choose="sensitivity", at=0.9, draws=2)
    numbers = {"operating_point": point, "metrics_by_fold": metrics_by_fold(
        table, positive="melanoma", draws=2)}  # fmt: skip
    numbers["operating_point_by_fold"] = point.assign(rows="all parts")
    limits = answer.answer(numbers, table, positive="melanoma").limits
    assert (
        "These lesions chose the threshold, which flatters it: by thresholds that the other parts "
        "chose it finds 9 of 10 and flags not the only other."
    ) in limits
    assert "No test lesion with a known truth has judged the locked threshold." in limits


@pytest.mark.parametrize(
    ("share", "words"), [(0.125, "13"), (0.9971, "99.7"), (1, "100"), (0, "0"), (0.001, "0.1")]
)
def test_a_share_is_never_all_where_it_is_not(share: float, words: str) -> None:
    assert answer.whole_percent(share) == words


def test_sentences_belong_to_the_cell_below_a_heading_and_above_it(tmp_path: Path) -> None:
    cells = [
        ("markdown", "# T\n\nBefore `code`.\n\nAsked & *so*."),
        ("code", 'report.show(evaluation.roc_curve, "Curves")'),
        ("markdown", "After.\n\n## Next\n\nAsked again."),
        ("code", 'report.show(display.it, "Curves", name="other")'),
        ("markdown", "First.\n\nSecond."),
        ("code", 'explorer = report.explore("Explorer")'),
        ("code", "1"),
        ("markdown", "Of nothing."),
    ]
    book = {"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]}
    (tmp_path / "n.ipynb").write_text(json.dumps(book), encoding="utf-8")
    assert read_prose(tmp_path / "n.ipynb") == {
        "roc_curve": Around(["Asked & *so*."], ["After."]),
        "other": Around(["Asked again."], ["First."]),
        "Explorer": Around(["Second."], []),
    }
    assert Prose("Asked & *so*.").html() == "Asked &amp; <em>so</em>."
    assert read_prose(tmp_path / "none.ipynb") == {}
