from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from melnb.evaluation.shift import score_shift
from melnb.evaluation.shift.other_sources import source_tables

Make = Callable[..., pd.DataFrame]
Tables = dict[str, pd.DataFrame]


def odds(table: pd.DataFrame, label: str) -> np.ndarray:
    own = table if label == "all" else table[table["truth"] == label]
    p = own["p_melanoma"].to_numpy()
    return np.log(p / (1 - p))


def naive_index(first: np.ndarray, second: np.ndarray) -> float:
    cuts = np.quantile(first, np.linspace(0.1, 0.9, 9))
    shares = []
    for values in (first, second):
        counts = [0] * 10
        for value in values:
            counts[sum(value > c for c in cuts)] += 1
        shares.append([(c + 0.5) / (len(values) + 5) for c in counts])
    return sum((b - a) * np.log(b / a) for a, b in zip(*shares, strict=True))


def test_distances_are_scipys_and_the_index_a_naive_loops(judged: Tables) -> None:
    found = score_shift.score_shift(judged, positive="melanoma", draws=10)
    assert len(found) == 6
    for row in found.to_dict("records"):
        own, theirs = (odds(judged[n], row["class"]) for n in ("internal", row["source"]))
        assert row["ks"] == pytest.approx(ks_2samp(own, theirs).statistic, abs=1e-12)
        assert row["wasserstein"] == pytest.approx(wasserstein_distance(own, theirs), rel=1e-9)
        assert row["psi"] == pytest.approx(naive_index(own, theirs), rel=1e-9)
        medians = (np.median(own), np.median(theirs))
        assert (row["median_internal"], row["median"]) == pytest.approx(medians)
        assert (row["n_internal"], row["n"]) == (len(own), len(theirs))


def test_ties_are_counted_together(source: Make) -> None:
    tables = source_tables(source(300), {"b": source(200, name="b", fold=-1)}, positive="melanoma")
    for table in tables.values():
        table["p_melanoma"] = table["p_melanoma"].round(1).clip(0.1, 0.9)
    found = score_shift.score_shift(tables, positive="melanoma", draws=0).set_index("class")
    own, theirs = (odds(t, "all") for t in tables.values())
    assert found.loc["all", "ks"] == pytest.approx(ks_2samp(own, theirs).statistic, abs=1e-12)
    assert found.loc["all", "wasserstein"] == pytest.approx(wasserstein_distance(own, theirs))
    assert found["ks_p"].isna().all()


def test_prevalence_alone_moves_all_and_no_class(judged: Tables) -> None:
    found = score_shift.score_shift(judged, positive="melanoma", draws=100)
    found = found.set_index(["source", "class"])
    p = found[["ks_p", "wasserstein_p", "psi_p"]]
    assert (p.loc[("commoner", "all")] == 1 / 101).all()
    assert (p.loc[[("commoner", "melanoma"), ("commoner", "other")]] > 0.01).all(axis=None)
    assert (p.loc["moved"] == 1 / 101).all(axis=None)
    assert found.loc[("moved", "melanoma"), "wasserstein"] > 1


def test_p_values_are_uniform_where_nothing_has_moved(source: Make) -> None:
    p = []
    for seed in range(25):
        b = {"b": source(120, name="b", fold=-1, patients=40, seed=1000 + seed)}
        tables = source_tables(source(240, patients=80, seed=seed), b, positive="melanoma")
        found = score_shift.score_shift(tables, positive="melanoma", draws=49)
        p.append(found.set_index("class").loc["other", "wasserstein_p"])
    assert ks_2samp(p, np.linspace(0.02, 1, 50)).pvalue > 0.01


def test_the_order_of_rows_changes_nothing(judged: Tables) -> None:
    mixed = {name: table.sample(frac=1, random_state=0) for name, table in judged.items()}
    how = {"positive": "melanoma", "draws": 0}
    pd.testing.assert_frame_equal(
        score_shift.score_shift(mixed, **how), score_shift.score_shift(judged, **how)
    )


def test_an_absent_class_and_a_single_patient_say_so(source: Make) -> None:
    b = source(30, name="b", fold=-1).assign(truth="other", patient_id="one")
    tables = source_tables(source(100), {"b": b}, positive="melanoma")
    found = score_shift.score_shift(tables, positive="melanoma", draws=20).set_index("class")
    assert found.loc["melanoma", "note"] == "not estimable: a source has no row of the class"
    assert np.isnan(found.loc["melanoma", "ks"])
    assert found.loc["other", "note"].startswith("p not estimable: a source has one patient")
    assert found.loc["other", "ks"] > 0
    only = {"internal": tables["internal"]}
    assert score_shift.score_shift(only, positive="melanoma").empty


def test_a_histogram_holds_every_row_in_bins_that_all_share(judged: Tables) -> None:
    found = score_shift.source_histogram(judged, positive="melanoma", bins=20)
    assert len(found) == 3 * 2 * 20
    for (name, label), own in found.groupby(["source", "class"]):
        assert own["n"].sum() == (judged[name]["truth"] == label).sum()
        assert own["share"].sum() == pytest.approx(1)
        assert own["left"].tolist() == found["left"].head(20).tolist()
    inner = odds(judged["moved"], "other")
    own = found[(found["source"] == "moved") & (found["class"] == "other")].iloc[9]
    assert own["n"] == ((inner >= own["left"]) & (inner < own["right"])).sum()


def test_a_histogram_of_nothing_or_of_one_score(source: Make) -> None:
    assert score_shift.source_histogram({}, positive="melanoma").empty
    table = source(10).assign(p_melanoma=0.5, p_other=0.5, truth="other")
    found = score_shift.source_histogram({"a": table}, positive="melanoma", bins=4)
    assert found.loc[found["class"] == "other", "n"].sum() == 10
    assert found.loc[found["class"] == "melanoma", "share"].isna().all()
