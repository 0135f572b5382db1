from collections.abc import Callable

import pandas as pd
import pytest

from melnb.display.plots import discrimination
from melnb.evaluation.decisions.equivalence import equivalence_table
from melnb.evaluation.discrimination import comparisons, ranking, within_folds


def test_the_correlation_square_is_symmetric() -> None:
    table = pd.DataFrame(
        {"first": ["a", "a", "b"], "second": ["b", "c", "c"], "correlation": [0.5, 0.6, 0.7]}
    )
    figure = discrimination.member_correlation(table)
    assert figure.layout.title.text == "Correlation of members"
    (heat,) = figure.data
    assert list(heat.x) == list(heat.y) == ["a", "b", "c"]
    assert heat.z[0][2] == heat.z[2][0] == 0.6
    assert heat.z[1][1] == 1


def test_the_better_is_seen_from_both_sides() -> None:
    table = pd.DataFrame(
        {
            "first": ["a", "a", "b"], "second": ["b", "c", "c"],
            "auc_first": [0.8, 0.8, 0.9], "auc_second": [0.9, 0.7, 0.7],
            "difference": [-0.1, 0.1, 0.2], "p_holm": [0.2, float("nan"), 0.0001],
            "verdict": ["not told apart", "not estimable", "b is better"],
        }
    )  # fmt: skip
    figure = discrimination.comparison_matrix(table)
    assert figure.layout.title.text == "Is the row better than the column?"
    (heat,) = figure.data
    assert list(heat.x) == list(heat.y) == ["b<br>0.9000", "a<br>0.8000", "c<br>0.7000"]
    assert heat.z[0][1:].tolist() == [0, 1]
    assert heat.z[2][0] == -1
    assert pd.isna(heat.z[1][1])
    assert heat.text[0][2] == "+0.2000<br>p < 0.001"
    assert heat.text[2][0] == "-0.2000<br>p < 0.001"
    assert heat.text[1][0] == "-0.1000<br>p 0.200"
    assert heat.text[1][2] == "not estimable"
    assert discrimination.comparison_matrix(table.head(0)).data[0].z.size == 0


def test_contributions_have_intervals_about_zero() -> None:
    table = pd.DataFrame(
        {
            "member": ["a", "b"], "difference": [0.02, -0.01], "low": [0.01, -0.02],
            "high": [0.03, 0.0], "n": [100, 100],
        }
    )  # fmt: skip
    figure = discrimination.member_contribution(table)
    assert "without each member" in figure.layout.title.text
    assert list(figure.data[0].x) == [0.02, -0.01]
    assert "AUC of the blend less" in figure.layout.xaxis.title.text


def test_a_single_member_has_nothing_to_draw() -> None:
    empty = pd.DataFrame({"first": [], "second": [], "correlation": []})
    assert discrimination.member_correlation(empty).data[0].z.size == 0
    alone = pd.DataFrame({"member": ["a"], "n": [3], "note": ["not estimable"]})
    assert pd.isna(discrimination.member_contribution(alone).data[0].x[0])


def test_folds_stand_about_their_mean(make: Callable[..., pd.DataFrame]) -> None:
    by_fold = ranking.metrics_by_fold(make(), positive="melanoma", draws=20)
    table = comparisons.fold_dispersion(by_fold)
    figure = discrimination.fold_dispersion(table, by_fold)
    (trace,) = figure.data
    assert list(trace.y) == ["fold 0", "fold 1", "fold 2", "mean of folds"]
    assert trace.x[3] == pytest.approx(sum(trace.x[:3]) / 3) == figure.layout.shapes[0].x0
    assert figure.layout.title.text == f"Do folds differ? Cochran's Q: p {table['p'][0]:.2g}"
    lone = ranking.metrics_by_fold(make().query("fold == 1"), positive="melanoma", draws=20)
    alone = discrimination.fold_dispersion(comparisons.fold_dispersion(lone), lone)
    assert alone.layout.title.text == "Folds and their mean"
    assert not alone.layout.shapes
    empty = ranking.metrics_by_fold(make().head(0), positive="melanoma")
    nothing = discrimination.fold_dispersion(comparisons.fold_dispersion(empty), empty)
    assert len(nothing.data[0].x) == 0


def test_techniques_stand_with_the_best_on_top() -> None:
    table = pd.DataFrame(
        {
            "technique": ["focal", "hairs"], "difference": [-0.01, 0.02],
            "low": [-0.02, 0.01], "high": [0.0, 0.03], "n": [100, 100],
        }
    )  # fmt: skip
    figure = discrimination.ablation_table(table)
    assert figure.layout.title.text == "What each technique brings"
    assert figure.layout.xaxis.title.text == "AUC with the technique − AUC of the base"
    assert list(figure.data[0].y) == ["hairs", "focal"]
    assert len(figure.layout.shapes) == 1


def test_the_folds_and_the_margin_are_drawn(make: Callable[..., pd.DataFrame]) -> None:
    members = {"a": make(), "b": make(seed=0, digits=1), "c": make(digits=2)}
    within = within_folds.cross_validated_auc(members["a"], positive="melanoma")
    figure = discrimination.cross_validated_auc(within)
    assert list(figure.data[0].y) == [within_folds.WITHIN, within_folds.POOLED]
    assert list(figure.data[0].x) == within["value"].tolist()
    again = within_folds.fold_comparison(members, positive="melanoma")
    figure = discrimination.fold_comparison(again)
    assert list(figure.data[0].y) == ["a − b", "a − c"]
    assert list(figure.data[0].x) == again["difference"].tolist()
    assert [s.x0 for s in figure.layout.shapes] == [0]
    how = {"positive": "melanoma", "draws": 20}
    for margin, places in ((0.05, [-0.05, 0, 0.05]), (0.0, [0])):
        table = equivalence_table(members, margin=margin, **how)
        figure = discrimination.equivalence_table(table)
        assert figure.data[0].y[0] == "AUC: a − b"
        assert list(figure.data[0].x) == table["difference"].tolist()
        assert sorted(s.x0 for s in figure.layout.shapes) == places
    alone = {"a": members["a"]}
    for nothing in (
        discrimination.fold_comparison(within_folds.fold_comparison(alone, positive="melanoma")),
        discrimination.equivalence_table(equivalence_table(alone, margin=0.05, **how)),
    ):
        assert not len(nothing.data[0].x)
