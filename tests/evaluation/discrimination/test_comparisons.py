"""Pairs against DeLong's published values, Holm against statsmodels, Q and leaderboards by hand."""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, multivariate_normal, norm
from statsmodels.stats.multitest import multipletests

from melnb.evaluation.discrimination import comparisons, ranking
from melnb.evaluation.ensembles import blends
from melnb.evaluation.shift import areas, score_shift
from melnb.evaluation.statistics import intervals
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
Cancer = tuple[np.ndarray, dict[str, np.ndarray]]


@pytest.fixture
def cancer(binary: Make, breast_cancer: Cancer) -> dict[str, pd.DataFrame]:
    truth, columns = breast_cancer
    names = ["mean smoothness", "mean texture", "mean radius"]
    return {
        n: binary(truth, columns[n]).sample(frac=1, random_state=k) for k, n in enumerate(names)
    }


def test_pairs_are_the_published_ones(cancer: dict[str, pd.DataFrame]) -> None:
    table = comparisons.comparison_matrix(cancer, positive="melanoma")
    assert tuple(table.columns) == comparisons.MATRIX_COLUMNS
    pair = table.set_index(["first", "second"])
    smooth = pair.loc[("mean smoothness", "mean texture")]
    assert -smooth["z"] == pytest.approx(1.713345, abs=5e-7)
    assert smooth["p"] == pytest.approx(0.086649, abs=5e-7)
    assert smooth["verdict"] == comparisons.NOT_TOLD_APART
    radius = pair.loc[("mean texture", "mean radius")]
    assert -radius["z"] == pytest.approx(7.308787, abs=5e-7)
    assert radius["verdict"] == "mean radius is better"
    assert (pair["n"] == 569).all()
    assert pair["p_holm"].to_numpy() == pytest.approx(multipletests(pair["p"], method="holm")[1])
    for (first, second), row in pair.iterrows():
        runs = {first: cancer[first], second: cancer[second]}
        alone = ranking.auc_comparison(runs, positive="melanoma").iloc[0]
        for column in ("difference", "se", "low", "high", "z", "p"):
            assert row[column] == pytest.approx(alone[column])


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12))
def test_holm_is_statsmodels(values: list[float]) -> None:
    p = np.array(values, dtype=float)
    found, known = intervals.holm_adjusted(p), ~np.isnan(p)
    assert np.isnan(found[~known]).all()
    if known.any():
        with patch("gc.collect"):  # which statsmodels calls, each time for half a second
            theirs = multipletests(p[known], method="holm")[1]
        assert found[known] == pytest.approx(theirs)


@settings(max_examples=settings.default.max_examples // 3)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        min_size=4,
    )
)
def test_the_order_of_members_changes_signs_alone(
    binary: Make, rows: list[tuple[bool, int, int, int]]
) -> None:
    truth = [row[0] for row in rows]
    runs = {f"m{k}": binary(truth, np.array([row[k] for row in rows]) / 9) for k in (1, 2, 3)}
    forth = comparisons.comparison_matrix(runs, positive="melanoma")
    back = comparisons.comparison_matrix(
        dict(reversed(runs.items())), positive="melanoma"
    ).set_index(["second", "first"])
    for pair in forth.itertuples():
        turned = back.loc[(pair.first, pair.second)]
        assert turned["difference"] == pytest.approx(-pair.difference, nan_ok=True)
        assert turned["p_holm"] == pytest.approx(pair.p_holm, nan_ok=True)
        assert (turned["verdict"], turned["note"]) == (pair.verdict, pair.note)
        assert np.isnan(pair.p) == (pair.verdict == "not estimable")


def test_many_pairs_ask_for_more(binary: Make) -> None:
    draw = np.random.default_rng(11)
    truth = draw.random(400) < 0.3
    noise = {f"m{k}": np.clip(draw.normal(0.5, 0.1, 400), 0, 1) for k in range(8)}
    table = comparisons.comparison_matrix(
        {name: binary(truth, score) for name, score in noise.items()}, positive="melanoma"
    )
    assert (table["p"] < 0.05).any()  # 28 pairs of nothing: one seems better by chance
    assert (table["verdict"] == comparisons.NOT_TOLD_APART).all()


def test_patients_count_as_one(cancer: dict[str, pd.DataFrame]) -> None:
    twice = {
        name: pd.concat([t, t.assign(image_id=t["image_id"] + "b")]) for name, t in cancer.items()
    }
    twice["mean texture"]["patient_id"] = twice["mean texture"]["image_id"].str[:6]
    once = comparisons.comparison_matrix(cancer, positive="melanoma")
    blind = comparisons.comparison_matrix(twice, positive="melanoma")
    known = comparisons.comparison_matrix(twice, positive="melanoma", cluster="patient_id")
    assert known["difference"].to_numpy() == pytest.approx(once["difference"].to_numpy())
    assert known["se"].to_numpy() == pytest.approx(once["se"].to_numpy(), rel=0.01)
    assert (blind["se"] < 0.75 * once["se"]).all()
    with pytest.raises(TableError, match="no column 'lesion_id'"):
        comparisons.comparison_matrix(twice, positive="melanoma", cluster="lesion_id")


def test_what_cannot_be_compared(binary: Make, cancer: dict[str, pd.DataFrame]) -> None:
    table = cancer["mean texture"]
    bent = table.assign(p_melanoma=table["p_melanoma"] ** 2)
    alike = comparisons.comparison_matrix({"a": table, "b": bent}, positive="melanoma").iloc[0]
    assert alike["verdict"] == "not estimable"
    assert alike["note"].startswith("not estimable: the two scores rank the rows alike")
    three = comparisons.comparison_matrix(
        {"a": table, "b": bent, "c": cancer["mean radius"]}, positive="melanoma"
    )
    assert three["note"].ne("").tolist() == [True, False, False]
    assert three["p_holm"].iloc[1] == pytest.approx(2 * three["p"].iloc[1])  # two tests, not three
    one = table.assign(patient_id="p")
    same = comparisons.comparison_matrix(
        {"a": one, "c": cancer["mean radius"]}, positive="melanoma", cluster="patient_id"
    ).iloc[0]
    assert same["note"] == "not estimable: all rows of a class are of one patient_id"
    stranger = binary([True, False], [0.1, 0.2]).assign(image_id=["x", "y"])
    row = comparisons.comparison_matrix({"a": table, "b": stranger}, positive="melanoma").iloc[0]
    assert (row["n"], row["note"]) == (0, "not estimable: no row has a truth")
    assert row[["auc_first", "difference", "se", "low", "high", "z", "p", "p_holm"]].isna().all()
    few = {name: t.sort_values("image_id").iloc[:40] for name, t in cancer.items()}
    assert few["mean texture"]["truth"].eq("other").sum() < 20
    rough = comparisons.comparison_matrix(few, positive="melanoma")
    assert rough["note"].str.startswith("rough: a class has only").all()
    flipped = table.assign(truth=table["truth"].map({"melanoma": "other", "other": "melanoma"}))
    with pytest.raises(TableError, match=r"member b: truth of i\d+ differs .*569 such images"):
        comparisons.comparison_matrix({"a": table, "b": flipped}, positive="melanoma")
    assert comparisons.comparison_matrix({"a": table}, positive="melanoma").empty
    assert comparisons.comparison_matrix({}, positive="melanoma").empty


def by_fold(values: list[float], errors: list[float]) -> pd.DataFrame:
    names = [f"fold {k}" for k in range(len(values))]
    return pd.DataFrame({"rows": names, "metric": "AUC", "value": values, "se": errors, "n": 10})


def test_cochrans_q_by_hand() -> None:
    table = pd.concat(
        [
            by_fold([0.9, 0.8, 0.7], [0.1, 0.1, 0.05]),
            by_fold([0.6], [0.1]).assign(rows="out of fold"),
        ]
    )
    row = comparisons.fold_dispersion(table).iloc[0]
    mean = (90 + 80 + 4 * 70) / 600  # weights 100, 100, 400
    q = 100 * (0.9 - mean) ** 2 + 100 * (0.8 - mean) ** 2 + 400 * (0.7 - mean) ** 2
    assert row["q"] == pytest.approx(q)
    assert row["p"] == pytest.approx(chi2.sf(q, 2))
    assert (row["mean"], row["sd"], row["pooled"]) == pytest.approx((0.8, 0.1, 0.6))
    assert (row["lowest"], row["highest"], row["folds"], row["n"]) == (0.7, 0.9, 3, 30)
    assert row["se"] == pytest.approx(np.sqrt(0.01 + 0.01 + 0.0025) / 3)
    odds = 4 * np.exp(1.959964 * row["se"] / 0.16)  # on the scale of the logit
    assert row["high"] == pytest.approx(odds / (1 + odds))


def test_alike_folds_are_told_apart_no_more_often_than_chance() -> None:
    draw = np.random.default_rng(0)
    p = [
        comparisons.fold_dispersion(by_fold([*draw.normal(0.8, 0.02, 5)], [0.02] * 5))["p"][0]
        for _ in range(300)
    ]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def test_folds_that_cannot_be_compared(binary: Make) -> None:
    draw = np.random.default_rng(0)
    truth = draw.random(300) < 0.3
    score = np.clip(draw.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    table = binary(truth, score, fold=np.arange(300) % 3)
    whole = comparisons.fold_dispersion(ranking.metrics_by_fold(table, positive="melanoma"))
    assert list(whole["metric"]) == ["AUC", "average precision"]
    assert whole["p"].between(0, 1).all()
    assert whole["note"].eq("").all()
    one = ranking.metrics_by_fold(table[table["fold"] == 1], positive="melanoma", draws=9)
    lone = comparisons.fold_dispersion(one)
    assert lone["note"].str.startswith("spread not estimable: 1 fold(s)").all()
    in_first = truth & (table["fold"] == 0)  # all but one of its positives are dropped
    fewer = ranking.metrics_by_fold(
        table.drop(table.index[in_first][1:]), positive="melanoma", draws=50
    )
    lacking = comparisons.fold_dispersion(fewer).iloc[0]
    assert lacking["note"] == "interval and test not estimable: no error of fold 0"
    assert lacking["folds"] == 3
    assert np.isnan(lacking["p"])
    assert comparisons.fold_dispersion(
        ranking.metrics_by_fold(table.head(0), positive="melanoma")
    ).empty


def test_hanley_and_mcneils_own_example() -> None:
    # An area of 0.893 of 51 abnormal and 58 normal images, whose error they print as 0.03.
    row = comparisons.leaderboard_error(0.893, 51, 58, correlations=[0, 0.5]).iloc[0]
    both, beaten = 0.893 / 1.107, 2 * 0.893**2 / 1.893
    wanted = 0.893 * 0.107 + 50 * (both - 0.893**2) + 57 * (beaten - 0.893**2)
    assert row["se_exponential"] == pytest.approx(np.sqrt(wanted / (51 * 58)))
    assert row["se_exponential"] == pytest.approx(0.03, abs=0.005)
    # Normal scores: both pairs are won where two normals that correlate by 1/2 are below.
    corner = multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([norm.ppf(0.893)] * 2)
    wanted = (0.893 * 0.107 + (50 + 57) * (corner - 0.893**2)) / (51 * 58)
    assert row["se_normal"] == pytest.approx(np.sqrt(wanted), rel=1e-4)
    assert row["least_lead"] == pytest.approx(1.959964 * np.sqrt(2) * row["se_normal"])
    wanted = norm.ppf(0.975) * row["se_normal"] / (0.893 * 0.107)
    assert np.log(row["low"] / (1 - row["low"])) == pytest.approx(np.log(0.893 / 0.107) - wanted)
    assert row["se_most"] == pytest.approx(np.sqrt(0.893 * 0.107 / 51))


def test_a_leaderboards_error_is_near_delongs() -> None:
    draw = np.random.default_rng(0)
    truth = np.arange(3000) < 90
    for shift in (0.8, 1.5, 2.2):
        scores = draw.normal(size=(40, 3000)) + shift * truth
        found = np.mean([intervals.auc_delong(truth, score)[1] for score in scores])
        row = comparisons.leaderboard_error(float(norm.cdf(shift / 2**0.5)), 90, 2910).iloc[0]
        assert row["se_normal"] == pytest.approx(found, rel=0.05)
        assert row["se_normal"] < row["se_exponential"] < row["se_most"]
    assert comparisons.leaderboard_error(0.9, 90, 2910)["least_lead"].is_monotonic_decreasing


def test_leaderboards_at_their_limits() -> None:
    row = comparisons.leaderboard_error(1, 5, 5).iloc[0]
    assert "not estimable" in row["note"]
    assert row[["se_normal", "low", "high", "se_exponential", "se_most", "least_lead"]].isna().all()
    assert comparisons.leaderboard_error(0.5, 1, 1)["se_normal"][0] == 0.5
    for arguments, name in (
        ((1.5, 5, 5), "auc is 1.5"), ((0.4, 5, 5), "auc is 0.4"), ((0.5, 0, 5), "positives is 0"),
        ((0.5, 5, 0), "negatives is 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            comparisons.leaderboard_error(*arguments)
    with pytest.raises(ValueError, match="correlations is 1"):
        comparisons.leaderboard_error(0.5, 5, 5, correlations=[1.0])


def test_the_lead_needed_gives_an_area_no_second_interval(cancer: dict[str, pd.DataFrame]) -> None:
    area = ranking.auc(next(iter(cancer.values())), positive="melanoma")
    for found in (area, area.assign(value=np.nan, note="not estimable: no row is melanoma")):
        lead = comparisons.lead_needed(found)
        assert not {"low", "high"} & {*lead.columns}
        assert lead["n"].eq(area["n"].iloc[0]).all()


def test_holm_stands_beside_every_family_of_p_values(cancer: dict[str, pd.DataFrame]) -> None:
    cancer = {name: table.sort_values("image_id") for name, table in cancer.items()}
    moved = {f"s{k}": t.assign(p_melanoma=t["p_melanoma"] ** (k + 1)) for k, t in enumerate(
        cancer.values()
    )}  # fmt: skip
    how = {"positive": "melanoma"}
    families = {
        "auc_comparison": (ranking.auc_comparison(cancer, **how), "p"),
        "member_contribution": (blends.member_contribution(cancer, **how), "p"),
        "external_metrics": (areas.external_metrics(moved, draws=20, **how), "p"),
        **{
            f"score_shift {p}": (score_shift.score_shift(moved, draws=50, **how), p)
            for p in ("ks_p", "wasserstein_p", "psi_p")
        },
    }
    for name, (table, p) in families.items():
        tests = table[p].notna()
        assert tests.sum() > 1, name
        theirs = multipletests(table.loc[tests, p], method="holm")[1]
        assert table.loc[tests, f"{p}_holm"].to_numpy() == pytest.approx(theirs), name
        assert table.loc[~tests, f"{p}_holm"].isna().all(), name
        place = list(table.columns).index(p)
        assert table.columns[place + 1] == f"{p}_holm", name


def test_families_are_adjusted_by_themselves() -> None:
    table = pd.DataFrame({"part": ["a", "a", "b"], "p": [0.01, 0.04, 0.03], "n": 1})
    made = intervals.with_holm(table, by="part")
    assert made["p_holm"].tolist() == [0.02, 0.04, 0.03]
    assert intervals.with_holm(table)["p_holm"].tolist() == [0.03, 0.06, 0.06]
    assert intervals.with_holm(table.head(0))["p_holm"].empty
