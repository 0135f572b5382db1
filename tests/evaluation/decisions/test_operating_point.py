"""Thresholds against counting by hand; choices on out-of-fold rows alone."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from melnb.evaluation.decisions import flagged as errors
from melnb.evaluation.decisions import flagged as measures
from melnb.evaluation.decisions import operating_point, rechosen, thresholds
from melnb.evaluation.rows import binary_rows, crossfit_parts
from melnb.evaluation.statistics import bootstrap
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def folded(binary: Make) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    truth = generator.random(600) < 0.2
    score = np.round(np.clip(generator.normal(0.3 + 0.2 * truth, 0.15), 0, 1), 2)
    return binary(truth, score, fold=generator.integers(0, 3, 600))


def test_threshold_table_is_what_counting_gives(folded: pd.DataFrame) -> None:
    table = thresholds.threshold_table(folded, positive="melanoma")
    truth, score = folded["truth"] == "melanoma", folded["p_melanoma"]
    assert table["threshold"].tolist() == sorted(set(score), reverse=True)
    for row in table.iloc[[0, 10, 40, -2]].itertuples():
        flagged = score >= row.threshold
        tp, fp = (truth & flagged).sum(), (~truth & flagged).sum()
        tn, fn = (~truth & ~flagged).sum(), (truth & ~flagged).sum()
        assert (row.tp, row.fp, row.tn, row.fn) == (tp, fp, tn, fn)
        wanted = (tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn), flagged.mean())
        found = (row.sensitivity, row.specificity, row.ppv, row.npv, row.flagged)
        assert found == pytest.approx(wanted)
    assert table["note"].iloc[-1] == "npv not estimable: every row is flagged"
    assert table["npv"].isna().sum() == 1


def test_threshold_table_at_a_prevalence_and_thinned(folded: pd.DataFrame) -> None:
    table = thresholds.threshold_table(folded, positive="melanoma", prevalence=0.02)
    row = table.iloc[20]
    true, false = row["sensitivity"] * 0.02, (1 - row["specificity"]) * 0.98
    assert row["ppv"] == pytest.approx(true / (true + false))
    assert row["flagged"] == pytest.approx(true + false)
    thin = thresholds.threshold_table(folded, positive="melanoma", prevalence=0.02, points=20)
    assert len(thin) == 20
    assert table.loc[thin.index].equals(thin)
    with pytest.raises(ValueError, match="prevalence is 2"):
        thresholds.threshold_table(folded, positive="melanoma", prevalence=2)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2).filter(
        lambda rows: 0 < sum(r[0] for r in rows) < len(rows)
    ),
    st.sampled_from([0, 0.3, 0.5, 0.8, 0.9, 1]),
)
def test_choices_reach_what_they_promise_and_no_more(
    binary: Make, cells: list[tuple[bool, int]], at: float
) -> None:
    rows = binary_rows(
        binary([c[0] for c in cells], [c[1] / 12 for c in cells]), positive="melanoma"
    )
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    every = np.append(np.unique(score), 1.01)
    sensitivity = np.array([(score[truth] >= t).mean() for t in every])
    specificity = np.array([(score[~truth] < t).mean() for t in every])

    threshold, _ = thresholds.choose_threshold(
        rows, positive="melanoma", choose="sensitivity", at=at
    )
    wanted = every[:-1][sensitivity[:-1] >= at - 1e-12].max()
    assert threshold == wanted
    threshold, note = thresholds.choose_threshold(
        rows, positive="melanoma", choose="specificity", at=at
    )
    wanted = every[specificity >= at - 1e-12].min()
    assert threshold == wanted if wanted <= 1 else (note and not (score >= threshold).any())
    threshold, _ = thresholds.choose_threshold(rows, positive="melanoma", choose="youden", at=at)
    reached = (score[truth] >= threshold).mean() + (score[~truth] < threshold).mean()
    assert reached == pytest.approx((sensitivity + specificity).max())


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2).filter(
        lambda rows: 0 < sum(r[0] for r in rows) < len(rows)
    ),
    st.sampled_from([0, 0.02, 0.5, 0.95]),
    st.sampled_from([0.05, 0.3, 0.5, 0.9, 1]),
    st.sampled_from([0.2, 1, 20, 500]),
)
def test_ppv_and_cost_are_the_best_of_all_thresholds(
    binary: Make, cells: list[tuple[bool, int]], prevalence: float, ppv: float, ratio: float
) -> None:
    rows = binary_rows(
        binary([c[0] for c in cells], [c[1] / 12 for c in cells]), positive="melanoma"
    )
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    share = prevalence or truth.mean()
    every = [*np.unique(score), 1.01]
    found = {t: (score[truth] >= t).mean() * share for t in every}
    false = {t: (score[~truth] >= t).mean() * (1 - share) for t in every}

    threshold, note = thresholds.choose_threshold(
        rows, positive="melanoma", choose="ppv", at=ppv, prevalence=prevalence
    )
    good = [t for t in every[:-1] if found[t] / (found[t] + false[t]) >= ppv - 1e-9]
    if good:
        assert threshold == max(good, key=lambda t: (round(found[t], 12), t))
    else:
        assert math.isnan(threshold)
        assert note.startswith(f"not estimable: no threshold reaches a PPV of {ppv:g}")

    threshold, note = thresholds.choose_threshold(
        rows, positive="melanoma", choose="cost", at=ratio, prevalence=prevalence
    )
    cost = {t: ratio * (share - found[t]) + false[t] for t in every}
    reached = min((t for t in every if t >= threshold), default=1.01)
    assert cost[reached] == pytest.approx(min(cost.values()), abs=1e-8)
    assert bool(note) == (reached == 1.01 or not (score >= threshold).any())


def test_a_wanted_ppv_is_kept_where_it_is_reached_late(binary: Make) -> None:
    # From the top: a false alarm, then four melanomas (PPV 0.8), then more false alarms.
    truth = [False, True, True, True, True, False, False, True]
    table = binary(truth, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    point = operating_point.operating_point(table, positive="melanoma", choose="ppv", at=0.75)
    assert point["threshold"].iloc[0] == 0.5
    assert point["ppv"].iloc[0] == 0.8
    none = operating_point.operating_point(table, positive="melanoma", choose="ppv", at=0.9).iloc[0]
    assert none["note"].endswith("prevalence of 0.625; the highest is 0.8, at 0.5")
    assert math.isnan(none["ppv"])


def test_a_cost_ratio_of_calibrated_probabilities_comes_near_its_theory(binary: Make) -> None:
    draw = np.random.default_rng(0)
    score = draw.beta(0.3, 3, 40_000)
    table = binary(draw.random(40_000) < score, score)
    row = operating_point.operating_point(table, positive="melanoma", choose="cost", at=19).iloc[0]
    assert row["theoretical_threshold"] == pytest.approx(0.05)
    assert row["threshold"] == pytest.approx(0.05, abs=0.015)
    # At another prevalence Bayes' rule moves both the same way.
    own = row["positives"] / row["n"]
    odds = own / (1 - own) * (1 - 0.01) / 0.01
    rare = operating_point.operating_point(
        table, positive="melanoma", choose="cost", at=19, prevalence=0.01
    ).iloc[0]
    assert rare["theoretical_threshold"] == pytest.approx(odds / (odds + 19))
    assert rare["threshold"] == pytest.approx(rare["theoretical_threshold"], abs=0.1)
    with pytest.raises(ValueError, match="at is 0, not above 0"):
        operating_point.operating_point(table, positive="melanoma", choose="cost", at=0)


def test_patients_widen_the_intervals(folded: pd.DataFrame) -> None:
    twice = pd.concat([folded, folded.assign(image_id=folded["image_id"] + "b")])
    twice["patient_id"] = twice["image_id"].str[:6]
    plain = operating_point.operating_point(twice, positive="melanoma").iloc[0]
    wide = operating_point.operating_point(twice, positive="melanoma", cluster="patient_id").iloc[0]
    once = operating_point.operating_point(folded, positive="melanoma").iloc[0]
    assert "patient_id" in wide["method"]
    assert "patient_id" not in plain["method"]
    for name in ("sensitivity", "ppv", "f1", "youden", "likelihood_ratio_negative"):
        assert wide[f"{name}_low"] < plain[f"{name}_low"]
        fixed = f"{name}_fixed_low"
        assert wide[fixed] < plain[fixed]
        assert wide[fixed] == pytest.approx(once[fixed], rel=0.01)
    by_fold = operating_point.operating_point_by_fold(
        twice, positive="melanoma", cluster="patient_id"
    )
    narrow = operating_point.operating_point_by_fold(twice, positive="melanoma")
    assert (by_fold["sensitivity_low"] < narrow["sensitivity_low"]).all()
    assert by_fold["sensitivity"].equals(narrow["sensitivity"])


def test_one_patient_has_no_interval(folded: pd.DataFrame) -> None:
    one = folded.assign(patient_id="p")
    row = operating_point.operating_point(one, positive="melanoma", cluster="patient_id").iloc[0]
    assert "not estimable: all rows of a class are of one patient_id" in row["note"]
    assert row["sensitivity"] >= 0.9
    assert row.filter(regex="_(low|high)$").isna().all()
    assert math.isnan(row["sensitivity_low"])


@pytest.mark.parametrize("choose", ["sensitivity", "specificity", "ppv", "cost", "youden"])
def test_constant_scores_choose_all_or_nothing(binary: Make, choose: thresholds.Choice) -> None:
    table = binary([True, False, False, True, False], [0.3] * 5)
    at = {"cost": 20, "ppv": 0.4}.get(choose, 0.9)
    row = operating_point.operating_point(table, positive="melanoma", choose=choose, at=at).iloc[0]
    flagged = row["tp"] + row["fp"]
    assert flagged == (0 if choose == "specificity" else 5)
    assert "not estimable" in row["note"]
    assert "matthews_correlation" in row["note"]
    assert math.isnan(row["matthews_correlation_low"])


def test_operating_point(folded: pd.DataFrame) -> None:
    point = operating_point.operating_point(
        folded, positive="melanoma", choose="sensitivity", at=0.9
    )
    assert len(point) == 1
    row = point.iloc[0]
    truth, flagged = folded["truth"] == "melanoma", folded["p_melanoma"] >= row["threshold"]
    assert row["sensitivity"] >= 0.9
    assert row["f1"] == pytest.approx(f1_score(truth, flagged))
    assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, flagged))
    assert row["accuracy"] == pytest.approx((truth == flagged).mean())
    assert row["ppv"] == pytest.approx(truth[flagged].mean())
    assert row["number_needed_to_biopsy"] == pytest.approx(1 / row["ppv"])
    assert row["number_needed_to_biopsy_low"] == pytest.approx(1 / row["ppv_high"])
    for column in [c.removesuffix("_low") for c in point.columns if c.endswith("_low")]:
        own = column.removesuffix("_fixed")
        assert row[f"{column}_low"] < row[own] < row[f"{column}_high"], column
    assert (row["n"], row["positives"]) == (600, truth.sum())
    assert row["note"].startswith("the choice holds sensitivity at 0.9 or above")
    assert row["prevalence"] == pytest.approx(truth.mean())
    rare = operating_point.operating_point(
        folded, positive="melanoma", at=0.9, prevalence=0.01
    ).iloc[0]
    assert rare["threshold"] == row["threshold"]
    assert rare["ppv"] < row["ppv"]
    wide = operating_point.operating_point(
        folded, positive="melanoma", at=0.9, confidence=0.99
    ).iloc[0]
    assert wide["sensitivity_low"] < row["sensitivity_low"]


@pytest.mark.parametrize(
    ("choose", "at"),
    [("sensitivity", 0.9), ("specificity", 0.8), ("ppv", 0.3), ("cost", 9), ("youden", 0)],
)
@pytest.mark.parametrize("prevalence", [0, 0.05])
def test_each_resample_chooses_as_the_rows_did(
    folded: pd.DataFrame, choose: thresholds.Choice, at: float, prevalence: float
) -> None:
    """Against a loop: rows are copied as often as drawn, and the point is made of them."""
    small = folded.head(150).assign(patient_id=[f"p{k // 3}" for k in range(150)])
    rows = binary_rows(small, positive="melanoma")
    clusters = rows["image_id"].index.to_numpy() // 3
    how: dict[str, Any] = {"choose": choose, "at": at, "prevalence": prevalence}
    cuts, counts = rechosen.rechosen_counts(rows, **how, clusters=clusters, draws=40, seed=3)
    values = measures.measure_values(counts, prevalence=prevalence, beta=2)
    (drawn,) = bootstrap.resample_counts(50, draws=40, seed=3)
    better = []
    for k, often in enumerate(drawn):
        copies = rows.loc[np.repeat(np.arange(150), often[clusters])]
        cut, _ = thresholds.choose_threshold(copies, positive="melanoma", **how)
        if math.isnan(cut):
            assert np.isnan(counts[k]).all()
            continue
        assert tuple(counts[k]) == thresholds.counts_at(copies, cut)
        wanted = measures.measure_rows(
            copies["truth"].to_numpy(), copies["score"].to_numpy() >= cut,
            prevalence=prevalence, draws=2,
        )  # fmt: skip
        found = {name: v[k] for name, v in values.items()}
        assert found == pytest.approx({n: v[0] for n, v in wanted.items()}, nan_ok=True)
        assert cuts[k] == cut or choose == "specificity"
        of_all = measures.measure_rows(
            rows["truth"].to_numpy(), rows["score"].to_numpy() >= cuts[k],
            prevalence=prevalence, draws=2,
        )  # fmt: skip
        better.append({n: values[n][k] - of_all[n][0] for n in ("f1", "npv")})
    point = operating_point.operating_point(
        small, positive="melanoma", cluster="patient_id", draws=40, seed=3, **how
    ).iloc[0]
    for name, optimism in pd.DataFrame(better).mean().items():
        low, high = (np.nanquantile(values[str(name)], q) - optimism for q in (0.025, 0.975))
        fixed = [point[f"{name}_fixed{end}"] for end in ("_low", "_high")]
        few = "of 6 or more" in point["note"]  # then never within the limits at the fixed threshold
        known = [low, min(high, 1), point[name], *(fixed if few else ())]
        ends = [min(known), max(known)]
        assert [point[f"{name}_low"], point[f"{name}_high"]] == pytest.approx(ends)
    for end, other in (("low", "high"), ("high", "low")):
        needed = point[f"number_needed_to_biopsy_{end}"]
        assert needed == pytest.approx(1 / point[f"ppv_{other}"], rel=1e-6)


def test_what_a_choice_holds_is_what_the_fixed_threshold_does(folded: pd.DataFrame) -> None:
    for choose, held in rechosen.HELD.items():
        at = 0.4 if choose == "ppv" else 0.9
        row = operating_point.operating_point(
            folded, positive="melanoma", choose=choose, at=at
        ).iloc[0]
        for name in held:
            assert row[f"{name}_low"] == row[f"{name}_fixed_low"]
        other = "sensitivity" if choose != "sensitivity" else "specificity"
        width, fixed = (
            row[f"{other}{end}_high"] - row[f"{other}{end}_low"] for end in ("", "_fixed")
        )
        assert width > 1.05 * fixed, choose
        assert "chosen anew" in row["method"]
    given_one = operating_point.operating_point(
        folded, positive="melanoma", choose="threshold", at=float(row["threshold"])
    ).iloc[0]
    assert given_one["method"].startswith("at this fixed threshold: ")
    assert given_one["specificity_low"] == row["specificity_fixed_low"]
    assert math.isnan(given_one["threshold_low"])


def test_classes_that_are_apart_keep_wilsons_limits(binary: Make) -> None:
    table = binary([True] * 30 + [False] * 60, np.linspace(0.99, 0.01, 90))
    row = operating_point.operating_point(table, positive="melanoma", choose="youden").iloc[0]
    assert (row["specificity"], row["specificity_high"]) == (1, 1)
    assert row["specificity_low"] == row["specificity_fixed_low"] < 0.95


def test_a_threshold_flags_what_equals_it(binary: Make) -> None:
    table = binary([True, False, False, True], [0.5, 0.5, 0.4999, 0.6])
    row = operating_point.operating_point(
        table, positive="melanoma", choose="threshold", at=0.5
    ).iloc[0]
    assert row[["tp", "fp", "tn", "fn"]].tolist() == [2, 1, 1, 0]
    found = thresholds.confusion(table, positive="melanoma", threshold=0.5)
    assert found.to_numpy().tolist() == [[2, 0], [1, 1]]
    assert list(found.columns) == ["melanoma", "other"]


def test_nothing_flagged_has_no_predictive_value(binary: Make) -> None:
    table = binary([True, False, False, True], [0.1, 0.2, 0.3, 0.4])
    row = operating_point.operating_point(
        table, positive="melanoma", choose="threshold", at=0.9
    ).iloc[0]
    assert math.isnan(row["ppv"])
    assert "ppv, number_needed_to_biopsy" in row["note"]
    strict = operating_point.operating_point(table, positive="melanoma", choose="specificity", at=1)
    assert strict["specificity"].iloc[0] == 1
    assert strict["tp"].iloc[0] == 1
    worst = binary([True, False], [0.1, 0.9])
    none = operating_point.operating_point(
        worst, positive="melanoma", choose="specificity", at=1
    ).iloc[0]
    assert none["flagged"] == 0
    assert none["note"].startswith("no score keeps it: nothing is flagged; not estimable")


@pytest.mark.parametrize("truth", [[], [True, True], [False, False]])
def test_one_class_chooses_nothing(binary: Make, truth: list[bool]) -> None:
    table = binary(truth, [0.2, 0.7][: len(truth)])
    row = operating_point.operating_point(table, positive="melanoma").iloc[0]
    assert row["note"].startswith("not estimable")
    assert math.isnan(row["threshold"])
    assert row[["sensitivity", "specificity", "ppv", "accuracy", "f1_low"]].isna().all()
    curve = thresholds.threshold_table(table, positive="melanoma")
    assert curve["note"].iloc[0].startswith("not estimable")
    assert list(curve.columns)[:3] == ["threshold", "sensitivity", "specificity"]


def test_a_given_threshold_still_counts_one_class(binary: Make) -> None:
    table = binary([False] * 4, [0.1, 0.2, 0.6, 0.7])
    row = operating_point.operating_point(
        table, positive="melanoma", choose="threshold", at=0.5
    ).iloc[0]
    assert row["specificity"] == 0.5
    assert math.isnan(row["sensitivity"])
    assert row["note"] == "not estimable: no row is melanoma"


def test_test_rows_choose_no_threshold(binary: Make, folded: pd.DataFrame) -> None:
    test = binary([True, False] * 50, [0.9, 0.95] * 50, fold=-1)
    test["image_id"] += "_test"
    with pytest.raises(TableError, match="choose it on out-of-fold rows"):
        operating_point.operating_point(test, positive="melanoma")
    given_one = operating_point.operating_point(
        test, positive="melanoma", choose="threshold", at=0.92
    )
    assert given_one[["tp", "fp"]].iloc[0].tolist() == [0, 50]
    both = pd.concat([folded, test], ignore_index=True)
    pd.testing.assert_frame_equal(
        operating_point.operating_point(both, positive="melanoma"),
        operating_point.operating_point(folded, positive="melanoma"),
    )


def test_values_out_of_range(folded: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="at is 90"):
        operating_point.operating_point(folded, positive="melanoma", at=90)
    with pytest.raises(ValueError, match="choose is 'f1'"):
        operating_point.operating_point(folded, positive="melanoma", choose="f1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prevalence is -1"):
        operating_point.operating_point(folded, positive="melanoma", prevalence=-1)


def test_each_fold_is_judged_by_the_others_threshold(folded: pd.DataFrame) -> None:
    table = operating_point.operating_point_by_fold(folded, positive="melanoma", at=0.9)
    assert list(table["rows"]) == ["fold 0", "fold 1", "fold 2", "all folds"]
    others = folded[folded["fold"] != 1]
    wanted = operating_point.operating_point(others, positive="melanoma", at=0.9)["threshold"].iloc[
        0
    ]
    assert table["threshold"].iloc[1] == wanted
    own = folded["fold"] == 1
    spoilt = folded.assign(p_melanoma=folded["p_melanoma"].where(~own, 0.0))
    again = operating_point.operating_point_by_fold(spoilt, positive="melanoma", at=0.9)
    assert again["threshold"].iloc[1] == wanted
    assert again["tp"].iloc[1] == 0
    last = table.iloc[-1]
    assert last[["tp", "fp", "tn", "fn"]].sum() == 600
    assert last["sensitivity"] == pytest.approx(last["tp"] / (last["tp"] + last["fn"]))
    assert last["specificity_low"] < last["specificity"] < last["specificity_high"]


def test_one_fold_has_no_others(folded: pd.DataFrame) -> None:
    one = folded[folded["fold"] == 0].assign(patient_id="p")
    table = operating_point.operating_point_by_fold(one, positive="melanoma")
    assert table["note"].str.contains("not estimable").all()
    assert table["sensitivity"].isna().all()
    words = (
        "each by the threshold of the others; one fold, and all its rows are of one patient_id; "
    )
    assert table["note"].iloc[-1].startswith(words)


def test_one_fold_is_cut_into_parts(folded: pd.DataFrame) -> None:
    one = folded[folded["fold"] == 0]
    table = operating_point.operating_point_by_fold(one, positive="melanoma")
    assert table["rows"].tolist() == [*(f"part {k}" for k in range(5)), "all parts"]
    words = "each by the threshold of the others; one fold, cut into 5 parts by image"
    assert table["note"].iloc[-1] == words
    part, _ = crossfit_parts(one)
    by_part = operating_point.operating_point_by_fold(one.assign(fold=part), positive="melanoma")
    columns = ["threshold", "sensitivity", "specificity", "tp", "fp", "tn", "fn"]
    pd.testing.assert_frame_equal(table[columns], by_part[columns])


def test_worst_errors(many_classes: Make) -> None:
    truth = ["melanoma"] * 3 + ["nevus"] * 2 + ["unknown"]
    values = [[1, 8, 1], [2, 7, 1], [9, 1, 0], [8, 2, 0], [1, 9, 0], [9, 1, 0]]
    table = many_classes(truth, values, ("melanoma", "nevus", "unknown"))
    found = errors.worst_errors(table, positive="melanoma", threshold=0.5, n=2)
    assert found["error"].tolist() == ["false negative"] * 2 + ["false positive"] * 2
    assert found["image_id"].tolist() == ["i00000", "i00001", "i00005", "i00003"]
    assert found["truth"].tolist() == ["melanoma", "melanoma", "unknown", "nevus"]
    assert found["score"].tolist() == pytest.approx([0.1, 0.2, 0.9, 0.8])
    assert len(errors.worst_errors(table, positive="melanoma", threshold=0.5, n=1)) == 2
    assert errors.worst_errors(table, positive="melanoma", threshold=0.5, n=0).empty
    rest = thresholds.confusion(table, positive="melanoma", threshold=0.5)
    assert list(rest.index) == ["melanoma", "rest"]


def test_few_counts_and_a_sought_optimum_are_noted(folded: pd.DataFrame) -> None:
    how: dict[str, Any] = {"positive": "melanoma", "draws": 40}
    sure = operating_point.operating_point(folded, choose="specificity", at=0.8, **how).iloc[0]
    assert min(sure[["tp", "fp", "tn", "fn"]]) >= 6
    assert "rough" not in sure["note"]
    rare = operating_point.operating_point(folded, choose="sensitivity", at=0.99, **how).iloc[0]
    assert rare["fn"] < 6
    assert f"rough: only {rare['fn']} positives are missed, of 6 or more" in rare["note"]
    best = operating_point.operating_point(folded, choose="youden", **how).iloc[0]
    assert "rough: youden seeks the optimum of these very rows" in best["note"]
