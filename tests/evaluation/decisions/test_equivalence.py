"""Equivalence: Tango's published intervals, paired DeLong by hand, error rates by simulation."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from melnb.evaluation.decisions import equivalence, operating_point
from melnb.evaluation.decisions.equivalence import equivalence_table
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.statistics import proportions

Make = Callable[..., pd.DataFrame]
AUC, SPECIFICITY = "AUC", "specificity at a sensitivity of 0.9"


@pytest.mark.parametrize(
    ("counts", "confidence", "limits", "places"),
    [
        ((16, 8, 86), 0.95, (-0.020, 0.207), 3),  # Agresti and Min 2005
        ((9, 3, 32), 0.95, (-0.027, 0.390), 3),  # Tango 1998
        ((0, 1, 44), 0.90, (-0.096, 0.037), 3),  # Tango 1998, contact lenses: equivalence
        ((1, 7, 21), 0.95, (-0.517, -0.026), 3),  # Fagerland, Lydersen and Laake 2014
        ((3, 1, 14), 0.95, (-0.1670, 0.4327), 4),  # Tang et al. 2010
        ((25, 2, 102), 0.95, (0.139, 0.321), 3),  # Chang 2024
    ],
)
def test_limits_are_the_published_ones(
    counts: tuple[int, int, int], confidence: float, limits: tuple[float, float], places: int
) -> None:
    """As the tests of R's package ratesci 1.0 hold them too."""
    value, *found = proportions.tango_interval(counts, confidence=confidence)
    assert value == pytest.approx((counts[0] - counts[1]) / counts[2])
    assert [round(v, places) for v in found] == list(limits)


@settings(max_examples=settings.default.max_examples // 2)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
def test_at_no_difference_the_score_is_mcnemars(first: int, second: int, same: int) -> None:
    n = first + second + same
    if not first + second:
        return
    z = proportions.tango_score((first, second, n), 0.0)
    table = [[same, first], [second, 0]]
    assert z**2 == pytest.approx(mcnemar(table, exact=False, correction=False).statistic)
    value, low, high = proportions.tango_interval((first, second, n))
    assert -1 <= low <= value <= high <= 1


@pytest.mark.parametrize("differ", [0, 4])
def test_where_nothing_differs_the_interval_is_not_of_no_length(differ: int) -> None:
    first = np.ones(40, dtype=bool)
    second = np.arange(40) >= differ
    alone = proportions.tango_interval(proportions.paired_counts(first, second))
    patients = np.arange(40) // 4
    together = proportions.tango_interval(proportions.paired_counts(first, second, patients))
    assert (alone[0], together[0]) == pytest.approx((differ / 40,) * 2)
    assert together[1] < alone[1] < 0 or differ
    assert together[2] > alone[2] > differ / 40


def test_one_cluster_says_nothing() -> None:
    hits = np.array([True, False, True])
    counts = proportions.paired_counts(hits, ~hits, np.zeros(3, dtype=int))
    assert all(math.isnan(v) for v in proportions.tango_interval(counts))
    assert all(math.isnan(v) for v in proportions.tango_interval((0, 0, 0)))


def flags(
    sets: int, patients: int, lead: float, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Paired flags of rates 0.8 + lead and 0.8, alike within patients of 1 to 5 images."""
    draw = np.random.default_rng(seed)
    for _ in range(sets):
        ids = np.repeat(np.arange(patients), draw.integers(1, 6, patients))
        shared = draw.normal(size=patients)[ids]
        both = []
        for rate in (0.8 + lead, 0.8):
            own = draw.normal(size=patients)[ids]
            latent = np.sqrt([0.4, 0.3, 0.3]) @ [shared, own, draw.normal(size=len(ids))]
            both.append(latent < norm.ppf(rate))
        yield both[0], both[1], ids


def covered(sets: int, patients: int, lead: float) -> tuple[float, float]:
    held = []
    for first, second, ids in flags(sets, patients, lead, seed=1):
        row = []
        for clusters in (ids, None):
            counts = proportions.paired_counts(first, second, clusters)
            _, low, high = proportions.tango_interval(counts)
            row.append(low <= lead <= high)
        held.append(row)
    by_patient, by_image = np.mean(held, axis=0)
    return float(by_patient), float(by_image)


def test_tango_by_patient_covers_where_images_alone_do_not() -> None:
    by_patient, by_image = covered(400, 100, 0.05)
    assert 0.925 <= by_patient <= 0.975
    assert by_image < by_patient - 0.02


@pytest.mark.nightly
@pytest.mark.parametrize(("patients", "lead"), [(60, 0.0), (100, 0.05), (300, -0.1)])
def test_tango_by_patient_covers_at_three_sizes(patients: int, lead: float) -> None:
    assert 0.93 <= covered(4000, patients, lead)[0] <= 0.97


def cohort(draw: np.random.Generator, n: int, auc: tuple[float, float]) -> list[np.ndarray]:
    """Truth and two scores, correlated, of the given areas."""
    truth = np.arange(n) % 3 == 0
    shared = draw.normal(size=n)
    made = [truth]
    for area in auc:
        noise = math.sqrt(0.5) * (shared + draw.normal(size=n))
        made.append(norm.cdf(noise + truth * math.sqrt(2) * norm.ppf(area)))
    return made


def test_the_area_is_paired_delongs(binary: Make) -> None:
    truth, first, second = cohort(np.random.default_rng(0), 1200, (0.86, 0.86))
    members = {"a": binary(truth, first), "b": binary(truth, second)}
    table = equivalence_table(members, positive="melanoma", margin=0.05, draws=200)
    assert tuple(table.columns) == equivalence.COLUMNS
    row = table.set_index("measure").loc[AUC]
    pair = ranking.auc_comparison(members, positive="melanoma").iloc[0]
    for column in ("difference", "low", "high"):
        assert row[column] == pair[column]
    below = norm.sf((pair["difference"] + 0.05) / pair["se"])
    above = norm.sf((0.05 - pair["difference"]) / pair["se"])
    assert row["p_not_inferior"] == pytest.approx(below)
    assert row["p_equivalent"] == pytest.approx(max(below, above))
    assert row["verdict"] == equivalence.EQUIVALENT
    assert (row["p_equivalent"] < 0.025) == (row["low"] > -0.05 and row["high"] < 0.05)


def test_specificities_are_those_of_each_ones_own_point(binary: Make) -> None:
    truth, first, second = cohort(np.random.default_rng(1), 500, (0.9, 0.8))
    members = {"a": binary(truth, first), "b": binary(truth, np.round(second, 2))}
    table = equivalence_table(members, positive="melanoma", margin=0.1, draws=300)
    row = table.set_index("measure").loc[SPECIFICITY]
    own = [
        operating_point.operating_point(
            t, positive="melanoma", choose="sensitivity", at=0.9, draws=2
        )
        for t in members.values()
    ]
    assert row["value_first"] == pytest.approx(own[0]["specificity"].iloc[0])
    assert row["value_second"] == pytest.approx(own[1]["specificity"].iloc[0])
    assert row["low"] > 0
    assert row["verdict"] == equivalence.NOT_INFERIOR
    reverse = equivalence_table(
        dict(reversed(members.items())), positive="melanoma", margin=0.02, draws=300
    ).set_index("measure")
    assert reverse.loc[SPECIFICITY, "verdict"] == equivalence.WORSE
    assert reverse.loc[SPECIFICITY, "p_not_inferior"] == 1
    assert reverse.loc[SPECIFICITY, "low"] == pytest.approx(-row["high"])
    other = equivalence_table(
        members, positive="melanoma", margin=0.1, choose="specificity", at=0.8, draws=100
    ).iloc[1]
    kept = operating_point.operating_point(
        members["b"], positive="melanoma", choose="specificity", at=0.8, draws=2
    )
    assert other["measure"] == "sensitivity at a specificity of 0.8"
    assert other["value_second"] == pytest.approx(kept["sensitivity"].iloc[0])


def test_fixed_thresholds_have_tangos_interval(binary: Make) -> None:
    truth, first, second = cohort(np.random.default_rng(2), 300, (0.9, 0.85))
    members = {"a": binary(truth, first), "b": binary(truth, second)}
    cuts = {"a": 0.6, "b": 0.55}
    table = equivalence_table(members, positive="melanoma", margin=0.1, thresholds=cuts)
    rows = table.set_index("measure")
    hits = [first[truth] >= 0.6, second[truth] >= 0.55]
    counts = (hits[0] & ~hits[1]).sum(), (hits[1] & ~hits[0]).sum(), truth.sum()
    found = rows.loc["sensitivity", ["difference", "low", "high"]].tolist()
    assert found == pytest.approx(list(proportions.tango_interval(counts)))
    assert "fixed" in rows.loc["specificity", "method"]
    same = equivalence_table(
        members, positive="melanoma", margin=0.1, choose="threshold", at=0.6
    ).set_index("measure")
    assert same.loc["sensitivity", "value_second"] == pytest.approx((second[truth] >= 0.6).mean())


@pytest.mark.parametrize(
    ("choose", "at", "words"),
    [("youden", 0.9, "Youden's point"), ("cost", 5, "a cost of 5"), ("ppv", 0.6, "a ppv of 0.6")],
)
def test_other_choices_leave_both_open(binary: Make, choose: Any, at: float, words: str) -> None:
    truth, first, second = cohort(np.random.default_rng(2), 300, (0.9, 0.85))
    members = {"a": binary(truth, first), "b": binary(truth, second)}
    how: dict[str, Any] = {"positive": "melanoma", "choose": choose, "at": at}
    table = equivalence_table(members, margin=0.1, draws=200, **how)
    names = [f"{m} at {words}" for m in ("sensitivity", "specificity")]
    assert table["measure"].tolist() == [AUC, *names]
    for k, member in enumerate(members.values()):
        point = operating_point.operating_point(member, draws=2, **how).iloc[0]
        column = ("value_first", "value_second")[k]
        found = table[column].tolist()[1:]
        assert found == pytest.approx([point["sensitivity"], point["specificity"]])
    assert (table["low"] < table["difference"]).all()
    assert (table["difference"] < table["high"]).all()


def test_patients_widen_every_interval(binary: Make) -> None:
    draw = np.random.default_rng(3)
    truth, first, second = (np.repeat(v, 4) for v in cohort(draw, 150, (0.85, 0.8)))
    first = np.clip(first + draw.normal(0, 0.02, 600), 0, 1)
    members = {
        "a": binary(truth, first).assign(patient_id=np.repeat(np.arange(150), 4)),
        "b": binary(truth, second),
    }
    how = {"positive": "melanoma", "margin": 0.1, "draws": 300}
    for more in ({}, {"thresholds": {"a": 0.5, "b": 0.5}}):
        alone = equivalence_table(members, **how, **more)
        together = equivalence_table(members, cluster="patient_id", **how, **more)
        width = [(t["high"] - t["low"]).to_numpy() for t in (alone, together)]
        assert (width[1] > 1.4 * width[0]).all()
        assert together["method"].str.contains("patient_id").all()


def test_without_a_margin_nothing_is_claimed(binary: Make) -> None:
    truth, first, second = cohort(np.random.default_rng(4), 200, (0.85, 0.85))
    members = {"a": binary(truth, first), "b": binary(truth, second)}
    table = equivalence_table(members, positive="melanoma", margin=0, draws=100)
    assert (table["verdict"] == "").all()
    assert table["note"].str.endswith(equivalence.NO_MARGIN).all()
    assert table[["p_not_inferior", "p_equivalent"]].isna().all(axis=None)
    assert table["low"].notna().all()
    assert equivalence_table({"a": members["a"]}, positive="melanoma", margin=0.1).empty
    with pytest.raises(ValueError, match="margin is 5"):
        equivalence_table(members, positive="melanoma", margin=5)


def test_what_cannot_be_estimated_says_so(binary: Make) -> None:
    truth = np.array([False] * 30)
    score = np.linspace(0.1, 0.9, 30)
    members = {"a": binary(truth, score), "b": binary(truth, score[::-1].copy())}
    table = equivalence_table(members, positive="melanoma", margin=0.1, draws=20)
    assert (table["verdict"] == "not estimable").all()
    assert (table["note"] == "not estimable: no row is melanoma").all()
    alike = {"a": binary([True, False] * 15, score), "b": binary([True, False] * 15, score)}
    table = equivalence_table(alike, positive="melanoma", margin=0.1, draws=50)
    assert table["note"].str.contains("not estimable").all()


def claimed(sets: int, n: int) -> np.ndarray:
    """How often a first whose AUC and specificity lie on the margin is called not inferior."""
    draw, margin = np.random.default_rng(5), 0.06
    areas = (0.8, 0.8 + margin)
    # Of binormal scores of one spread, the specificity where 90 % are found.
    own = [norm.cdf(math.sqrt(2) * norm.ppf(a) - norm.ppf(0.9)) for a in areas]
    found = []
    for _ in range(sets):
        truth, *scores = cohort(draw, n, areas)
        ids = [f"i{k:05d}" for k in range(n)]
        tables = {
            name: pd.DataFrame({
                "image_id": ids, "fold": 0, "truth": np.where(truth, "melanoma", "other"),
                "p_other": 1 - score, "p_melanoma": score,
                "run": name, "views": 1, "kind": "probability",
            })
            for name, score in zip("ab", scores, strict=True)
        }  # fmt: skip
        row = []
        table = equivalence_table(tables, positive="melanoma", margin=margin, draws=200)
        for measure, m in ((AUC, margin), (SPECIFICITY, own[1] - own[0])):
            one = table.set_index("measure").loc[measure]
            row += [one["low"] > -m, one["low"] <= -m <= one["high"]]
        found.append(row)
    return np.mean(found, axis=0)


def test_on_the_margin_it_is_seldom_called_not_inferior() -> None:
    area, _, share, held = claimed(60, 240)
    assert area <= 0.1
    assert share <= 0.1
    assert held >= 0.87


@pytest.mark.nightly
def test_on_the_margin_a_fortieth_is_called_not_inferior_and_intervals_cover() -> None:
    area, area_held, share, share_held = claimed(2000, 600)
    assert 0.012 <= area <= 0.04
    assert 0.93 <= area_held <= 0.97
    assert 0.01 <= share <= 0.045
    assert 0.93 <= share_held <= 0.975
