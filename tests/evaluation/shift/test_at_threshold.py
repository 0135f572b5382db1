from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from melnb.evaluation.decisions import locked_threshold, operating_point
from melnb.evaluation.discrimination.within_folds import network_rows, with_mean
from melnb.evaluation.shift.areas import external_metrics
from melnb.evaluation.shift.at_threshold import external_points, flagged_shares, source_subgroups
from melnb.evaluation.shift.other_sources import source_tables

Make = Callable[..., pd.DataFrame]
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def locked(judged: Tables) -> dict[str, object]:
    point = operating_point.operating_point(judged["internal"], positive="melanoma", draws=20)
    return locked_threshold.lock_threshold(point)


def test_one_threshold_serves_all_sources(judged: Tables, locked: dict[str, object]) -> None:
    found = external_points(judged, locked=locked, draws=20).set_index("source")
    assert found["threshold"].nunique() == 1
    for name, table in judged.items():
        flagged = table["p_melanoma"] >= locked["threshold"]
        truth = table["truth"] == "melanoma"
        row = found.loc[name]
        assert row["sensitivity"] == pytest.approx(flagged[truth].mean())
        assert row["specificity"] == pytest.approx((~flagged[~truth]).mean())
        low, high = proportion_confint(flagged[truth].sum(), truth.sum(), method="wilson")
        assert (row["sensitivity_low"], row["sensitivity_high"]) == pytest.approx((low, high))
    assert np.isnan(found.loc["internal", "sensitivity_difference"])
    assert "may have helped to choose" in found.loc["internal", "note"]
    # Scores that have fallen lose sensitivity and gain specificity; prevalence moves neither.
    assert found.loc["moved", "sensitivity_difference_high"] < 0
    assert found.loc["moved", "specificity_difference_low"] > 0
    row = found.loc["commoner"]
    for measure in ("sensitivity", "specificity"):
        assert row[f"{measure}_difference_low"] < 0 < row[f"{measure}_difference_high"]


def test_limits_of_the_difference_are_newcombes(judged: Tables, locked: dict[str, object]) -> None:
    found = external_points(judged, locked=locked, draws=20).set_index("source")
    row, first = found.loc["moved"], found.loc["internal"]
    counts = (row["tp"], row["tp"] + row["fn"], first["tp"], first["tp"] + first["fn"])
    expected = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    ends = (row["sensitivity_difference_low"], row["sensitivity_difference_high"])
    assert ends == pytest.approx(expected)


def test_a_source_without_positives_has_no_sensitivity(
    source: Make, locked: dict[str, object]
) -> None:
    b = source(40, name="b", fold=-1).assign(truth="other")
    tables = source_tables(source(200), {"b": b}, positive="melanoma")
    row = external_points(tables, locked=locked, draws=20).iloc[1]
    assert np.isnan(row["sensitivity"])
    assert np.isnan(row["sensitivity_difference"])
    assert 0 < row["specificity"] <= 1


def test_subgroups_are_those_of_each_source_alone(judged: Tables) -> None:
    groups = {}
    for name in ("internal", "moved"):
        ids = judged[name]["image_id"]
        sex = np.where(np.arange(len(ids)) % 2, "male", "female")
        groups[name] = pd.DataFrame({"image_id": ids, "sex": sex, "source": "x"})
    found = source_subgroups(judged, groups, positive="melanoma", threshold=0.5, draws=0)
    areas = found[found["metric"] == "AUC"]
    assert areas.groupby("source", sort=False)["level"].agg(list).to_dict() == {
        "internal": ["all", "female", "male"],
        "commoner": ["all"],
        "moved": ["all", "female", "male"],
    }
    assert areas["value"].between(0.85, 1).all()
    assert "source" not in set(found["column"])
    assert source_subgroups({}, {}, positive="melanoma", threshold=0.5).empty


def test_all_images_have_one_number_on_the_page(source: Make, locked: dict[str, Any]) -> None:
    """Areas as the scores came, calls as the threshold judges: network by network."""
    tables = source_tables(
        source(600), {"b": source(300, name="b", fold=-1, patients=100)}, positive="melanoma"
    )
    away = tables["b"]
    alone = {
        k: away.assign(p_melanoma=away["p_melanoma"] ** power).eval("p_other = 1 - p_melanoma")
        for k, power in enumerate((0.8, 1.4))
    }
    cut = tables | {"b": network_rows(with_mean(away, alone), alone)}
    groups = {"b": away[["image_id"]].assign(sex=np.where(np.arange(300) % 2, "male", "female"))}
    found = source_subgroups(
        tables, groups, positive="melanoma", threshold=locked["threshold"], cut=cut,
        smallest=5, draws=50,
    )  # fmt: skip
    of_all = found[found["column"] == "all"].set_index(["source", "metric"])
    points = external_points(cut, locked=locked).set_index("source")
    areas = external_metrics(tables, positive="melanoma", draws=50).set_index(["source", "metric"])
    for name in tables:
        for measure in ("sensitivity", "specificity"):
            own = points.loc[name, [measure, f"{measure}_low", f"{measure}_high"]].tolist()
            assert of_all.loc[(name, measure), ["value", "low", "high"]].tolist() == own
        for metric in ("AUC", "average precision", "prevalence"):
            for column in ("value", "low", "high"):
                assert of_all.loc[(name, metric), column] == areas.loc[(name, metric), column]
    assert (of_all.loc["b", "n"] == 300).all(), "images, not networks"
    by_sex = found[(found["source"] == "b") & (found["column"] == "sex")]
    assert (by_sex["n"] == 150).all()
    assert by_sex.loc[by_sex["metric"] == "sensitivity", "value"].notna().all()


def test_images_without_a_truth_are_counted_by_what_the_threshold_flags(source: Make) -> None:
    bare = source(200, name="n", fold=-1).assign(truth=np.nan)
    half = source(200, name="h", fold=-1)
    half.loc[half.index[50:], "truth"] = np.nan
    known = source(50, name="k", fold=-1)
    tables = {"bare": bare, "half": half, "known": known}
    found = flagged_shares(tables, positive="melanoma", threshold=0.3)
    assert found["source"].tolist() == ["bare", "half"]
    assert found["images"].tolist() == [200, 150]
    assert found["flagged"].tolist() == [
        (bare["p_melanoma"] >= 0.3).sum(), (half["p_melanoma"][50:] >= 0.3).sum(),
    ]  # fmt: skip
    assert found["share"].between(found["low"], found["high"]).all()
    assert flagged_shares({"known": known}, positive="melanoma", threshold=0.3).empty
