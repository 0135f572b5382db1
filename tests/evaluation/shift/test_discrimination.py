import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.shift import at_threshold
from melnb.evaluation.shift.areas import areas_by_source, external_metrics
from melnb.evaluation.shift.other_sources import source_tables
from melnb.evaluation.statistics import intervals

Make = Callable[..., pd.DataFrame]
Tables = dict[str, pd.DataFrame]


def test_values_are_scikit_learns_and_variances_add(judged: Tables) -> None:
    found = external_metrics(judged, positive="melanoma", draws=100).set_index(["source", "metric"])
    for name, table in judged.items():
        truth, score = table["truth"] == "melanoma", table["p_melanoma"]
        assert found.loc[(name, "AUC"), "value"] == pytest.approx(roc_auc_score(truth, score))
        expected = average_precision_score(truth, score)
        assert found.loc[(name, "average precision"), "value"] == pytest.approx(expected)
        assert found.loc[(name, "prevalence"), "value"] == pytest.approx(truth.mean())
    errors = [
        ranking.auc(judged[n], positive="melanoma")["se"].iloc[0] for n in ("internal", "moved")
    ]
    row = found.loc[("moved", "AUC")]
    half = 1.959964 * math.hypot(*errors)
    assert row["difference_high"] - row["difference"] == pytest.approx(half, rel=1e-6)
    assert row["difference"] - row["difference_low"] == pytest.approx(half, rel=1e-6)
    assert row["p"] == pytest.approx(
        math.erfc(abs(row["difference"]) / math.hypot(*errors) / 2**0.5)
    )
    assert found.loc["internal", "difference"].isna().all()


def test_a_run_keeps_each_area_by_where_it_was_judged(judged: Tables) -> None:
    found = external_metrics(judged, positive="melanoma", draws=10)
    areas = found[found["metric"] == "AUC"].set_index("source")
    kept = areas_by_source(found)
    assert kept["sources"] == [*judged][1:] == areas.index[1:].tolist()
    assert kept["internal_auc"] == areas["value"].iloc[0]
    assert kept["external_auc_low"] == areas["low"].iloc[1:].tolist()
    assert kept["difference"] == areas["difference"].iloc[1:].tolist()
    alone = areas_by_source(found[found["source"] == "internal"])  # no other has a truth
    assert alone["external_auc"] == alone["sources"] == []
    assert alone["internal_auc_high"] == areas["high"].iloc[0]


def test_prevalence_alone_and_a_rising_move_leave_the_area_alone(judged: Tables) -> None:
    found = external_metrics(judged, positive="melanoma", draws=200).set_index(["source", "metric"])
    for name in ("commoner", "moved"):
        row = found.loc[(name, "AUC")]
        assert row["difference_low"] < 0 < row["difference_high"]
    # Average precision rises with prevalence, with the same ranking.
    assert found.loc[("commoner", "average precision"), "difference_low"] > 0
    assert found.loc[("commoner", "prevalence"), "difference_low"] > 0.2


def test_a_worse_ranking_is_found(source: Make) -> None:
    noisy = source(1500, name="b", fold=-1, seed=3)
    draw = np.random.default_rng(0)
    noisy["p_melanoma"] = draw.permutation(noisy["p_melanoma"])
    noisy["p_other"] = 1 - noisy["p_melanoma"]
    tables = source_tables(source(1500), {"noisy": noisy}, positive="melanoma")
    found = external_metrics(tables, positive="melanoma", draws=50)
    row = found[(found["source"] == "noisy") & (found["metric"] == "AUC")].iloc[0]
    assert row["difference_high"] < -0.3
    assert row["p"] < 1e-10


def test_patients_widen_the_difference(source: Make) -> None:
    def half(clustered: bool) -> float:
        b = source(600, name="b", fold=-1, patients=100, seed=1)
        b = b if clustered else b.drop(columns="patient_id")
        tables = source_tables(source(600), {"b": b}, positive="melanoma")
        found = external_metrics(tables, positive="melanoma", draws=20)
        row = found[(found["source"] == "b") & (found["metric"] == "AUC")].iloc[0]
        return float(row["difference_high"] - row["difference"])

    assert half(clustered=True) > 1.2 * half(clustered=False)


def test_one_class_says_so_in_place_of_a_number(source: Make) -> None:
    b = source(50, name="b", fold=-1).assign(truth="other")
    tables = source_tables(source(200), {"b": b}, positive="melanoma")
    found = external_metrics(tables, positive="melanoma", draws=20).set_index(["source", "metric"])
    row = found.loc[("b", "AUC")]
    assert math.isnan(row["difference"])
    assert "no row is melanoma" in row["note"]
    share = found.loc[("b", "prevalence")]
    assert share["value"] == 0
    assert share["high"] > 0
    assert share["difference_high"] < 0


def test_limits_of_a_difference_are_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 - 48/80.
    both = [(k / n, *intervals.wilson_interval(k, n)) for k, n in ((56, 70), (48, 80))]
    found = intervals.difference_interval(*(tuple(map(float, one)) for one in both))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert all(math.isnan(v) for v in intervals.difference_interval((math.nan,) * 3, (1, 0, 2)))


def test_a_run_keeps_what_each_source_was_judged_to_be(judged: Tables) -> None:
    metrics = external_metrics(judged, positive="melanoma", draws=10)
    ends = {"value": 0.7, "low": 0.6, "high": 0.8}
    means = [{"source": s, "class": "all", "metric": "mean AUC", **ends} for s in ("here", "there")]
    points = {
        f"{name}{end}": [0.1, 0.2, 0.3]
        for name in at_threshold.COMPARED
        for end in ("", "_low", "_high")
    }
    gains = [{"rows": "as fitted", "source": "there", "metric": "macro F1", "gain": 0.1, **ends}]
    tables = {
        "external_metrics": metrics, "external_points": pd.DataFrame(points),
        "external_classes": pd.DataFrame(means), "external_decisions": pd.DataFrame(gains),
        "flagged_shares": pd.DataFrame({"images": [3, 4], "flagged": [1, 2]}),
    }  # fmt: skip
    kept = at_threshold.external_results(tables)
    assert {**areas_by_source(metrics)}.items() <= kept.items()
    assert (kept["without_truth"], kept["flagged_without_truth"]) == (7, 3)
    assert kept["external_sensitivity"] == [0.2, 0.3]
    assert kept["external_mean_auc_low"] == [0.6]
    assert kept["external_decided_macro_f1_gain"] == [0.1]
