"""Stackers: the numbers of other libraries, nothing learnt from noise or from a row's own truth."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.ensembles import alignment, blends, cross_fit
from melnb.evaluation.statistics.logistic import fit_logistic
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]
Tables = dict[str, pd.DataFrame]
METHODS = ("logistic", "boosted")


def members_of(
    binary: Make, gains: dict[str, float], *, n: int = 240, seed: int = 0, noise: float = 1.0
) -> Tables:
    """Members whose log odds rise by their gain with the truth; four folds, whole patients."""
    draw = np.random.default_rng(seed)
    truth, fold = draw.random(n) < 0.4, np.arange(n) // 3 % 4
    patients = [f"p{k}" for k in np.arange(n) // 3]
    made = {}
    for name, gain in gains.items():
        odds = gain * (truth - 0.4) + draw.normal(0, noise, n)
        made[name] = binary(truth, expit(odds), fold=fold, run=name).assign(patient_id=patients)
    return made


def noise_members(binary: Make, seed: int) -> Tables:
    return members_of(binary, {f"m{k:02d}": 0.0 for k in range(25)}, n=160, seed=seed)


def leaking(tables: Tables, method: blends.Method) -> pd.DataFrame:
    """Return what is wrong to do: the model of all rows, applied to those very rows."""
    aligned = alignment.align(tables)
    how = cross_fit.How(method=method)
    values = cross_fit.blending_values(aligned, how)
    ((_, _, model),) = cross_fit.fold_models(aligned, values, how, folds={TEST})
    made = model.apply(values)
    return next(iter(aligned.values())).assign(p_other=made[:, 0], p_melanoma=made[:, 1], run="all")


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_not_stacked_into_a_signal(binary: Make, method: blends.Method) -> None:
    for seed in range(3):
        tables = noise_members(binary, seed)
        areas = {n: ranking.auc(t, positive="melanoma")["value"].iloc[0] for n, t in tables.items()}
        best = tables[max(areas, key=lambda n: areas[n])]
        low = {}
        for name, made in (
            ("honest", blends.blend(tables, method=method)),
            ("leaking", leaking(tables, method)),
        ):
            runs = {"stacker": made, "best": best}
            low[name] = ranking.auc_comparison(runs, positive="melanoma")["low"].iloc[0]
        assert low["honest"] < 0
        assert low["leaking"] > 0  # so that this test sees what it is for


@pytest.mark.parametrize("method", ["fitted", *METHODS])
def test_a_folds_rows_never_see_its_truths(binary: Make, method: blends.Method) -> None:
    tables = members_of(binary, {"good": 2.0, "fair": 1.0, "noise": 0.0})
    own = tables["good"]["fold"] == 1
    turned = {"melanoma": "other", "other": "melanoma"}
    lying = {
        n: t.assign(truth=t["truth"].where(~own, t["truth"].replace(turned)))
        for n, t in tables.items()
    }
    honest, other = (blends.blend(t, method=method)["p_melanoma"] for t in (tables, lying))
    pd.testing.assert_series_equal(honest[own], other[own], check_exact=True)
    assert (honest[~own] != other[~own]).mean() > 0.9
    # A model that had seen them would have changed.
    seen, else_seen = (leaking(t, method)["p_melanoma"] for t in (tables, lying))
    assert (seen[own] != else_seen[own]).mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_test_rows_get_the_model_of_all_folds(binary: Make, method: blends.Method) -> None:
    tables = members_of(binary, {"good": 2.0, "fair": 1.0})
    more = {
        n: pd.concat(
            [
                t,
                t.assign(
                    fold=TEST,
                    truth=np.nan,
                    image_id="t" + t["image_id"],
                    patient_id="t" + t["patient_id"],
                ),
            ],
            ignore_index=True,
        )
        for n, t in tables.items()
    }
    made = blends.blend(more, method=method)
    test = made[made["fold"] == TEST]
    assert test["p_melanoma"].tolist() == leaking(tables, method)["p_melanoma"].tolist()
    plain = blends.blend(tables, method=method)
    assert made[made["fold"] != TEST]["p_melanoma"].tolist() == plain["p_melanoma"].tolist()
    assert (made["kind"] == "probability").all()


def test_boosted_ignores_the_order_of_rows_and_members(binary: Make) -> None:
    tables = members_of(binary, {"good": 2.0, "fair": 1.0, "noise": 0.0})
    shuffled = {n: tables[n].sample(frac=1, random_state=1) for n in reversed(tables)}
    made = [blends.blend(t, method="boosted") for t in (tables, shuffled)]
    pd.testing.assert_frame_equal(*made, check_exact=True)


def learnt(tables: Tables, **how: object) -> pd.Series:
    table = blends.weights_table(tables, method="logistic", positive="melanoma", **how)  # type: ignore[arg-type]
    return table[table["fold"] == TEST].set_index("member")["weight"]


def test_logistic_is_the_regression_on_logits(binary: Make) -> None:
    from sklearn.linear_model import LogisticRegression

    tables = members_of(binary, {"good": 2.0, "fair": 1.0, "noise": 0.0})
    odds = np.column_stack([logit(t["p_melanoma"]) for t in tables.values()])
    truth = (tables["good"]["truth"] == "melanoma").to_numpy()
    design, mean = np.column_stack([np.ones(len(odds)), odds]), odds.mean(axis=1)
    for ridge in (0.5, 20.0):
        wanted = fit_logistic(design, truth, offset=mean, ridge=(0.0, *[ridge] * 3))
        found = learnt(tables, ridge=ridge)
        assert found[["good", "fair", "noise"]].to_numpy() == pytest.approx(
            wanted[1:] + 1 / 3, abs=1e-7
        )
        assert found["bias of melanoma"] == pytest.approx(wanted[0], abs=1e-7)
    free = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds, truth)
    found = learnt(tables, ridge=1e-9)
    assert found[list(tables)].to_numpy() == pytest.approx(free.coef_[0], abs=1e-4)
    assert found["bias of melanoma"] == pytest.approx(free.intercept_[0], abs=1e-4)


def test_a_heavy_ridge_leaves_the_mean_of_logits(binary: Make) -> None:
    tables = members_of(binary, {"good": 2.0, "fair": 1.0, "noise": 0.0})
    assert learnt(tables, ridge=1e9)[list(tables)].to_numpy() == pytest.approx(1 / 3, abs=1e-6)
    for ridge in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="ridge is"):
            learnt(tables, ridge=ridge)


def test_no_member_counts_against_itself(binary: Make) -> None:
    tables = members_of(binary, {"good": 2.0, "backwards": -1.0, "fair": 1.0})
    free, held = learnt(tables), learnt(tables, nonnegative=True)
    assert free["backwards"] < -0.3
    assert held["backwards"] == 0
    without = {n: t for n, t in tables.items() if n != "backwards"}
    assert held[["good", "fair"]].to_numpy() == pytest.approx(
        learnt(without)[["good", "fair"]].to_numpy(), abs=0.03
    )
    fine = members_of(binary, {"good": 2.0, "fair": 1.0})  # the bound does not bind
    assert learnt(fine, nonnegative=True).to_numpy() == pytest.approx(learnt(fine), abs=1e-5)


def test_many_classes_share_a_members_weight(many_classes: Make) -> None:
    names = ("melanoma", "nevus", "other")
    draw = np.random.default_rng(0)
    code = draw.integers(0, 3, 120)
    values = {
        n: np.exp(g * np.eye(3)[code] + draw.normal(size=(120, 3))) for n, g in (("a", 2), ("b", 1))
    }
    tables = {
        n: many_classes([names[k] for k in code], v, names).assign(fold=np.arange(120) % 3)
        for n, v in values.items()
    }
    logs = np.stack([np.log(t[[f"p_{n}" for n in names]].to_numpy()) for t in tables.values()])
    pairs = [logs[:, :, i] - logs[:, :, j] for i, j in ((0, 1), (0, 2), (1, 2))]
    scale = np.sqrt(np.mean(np.square(pairs), axis=(0, 2)))

    def cost(at: np.ndarray) -> float:
        odds = at[2] * logs[0] + at[3] * logs[1] + [0, at[0], at[1]]
        drawn = (((at[2:] - 0.5) * scale) ** 2).sum() / 2
        return float(-log_softmax(odds, axis=1)[np.arange(120), code].sum() + drawn)

    wanted = minimize(cost, np.zeros(4), options={"gtol": 1e-6}).x
    table = blends.weights_table(tables, method="logistic")
    final = table[table["fold"] == TEST].set_index("member")["weight"]
    assert list(final.index) == ["a", "b", "bias of nevus", "bias of other"]
    assert final.to_numpy() == pytest.approx(wanted[[2, 3, 0, 1]], abs=1e-5)
    boosted = blends.blend(tables, method="boosted")
    right = boosted[[f"p_{n}" for n in names]].to_numpy().argmax(axis=1) == code
    assert right.mean() > 0.6
    with pytest.raises(ValueError, match="there are 3 classes"):
        blends.blend(tables, method="boosted", nonnegative=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_that_the_other_folds_lack(many_classes: Make, method: blends.Method) -> None:
    names = ("melanoma", "nevus", "unknown")
    draw = np.random.default_rng(0)
    code = draw.integers(0, 2, 90)
    values = np.exp(2 * np.eye(3)[code] + draw.normal(size=(90, 3)))
    table = many_classes([names[k] for k in code], values, names).assign(fold=np.arange(90) % 3)
    made = blends.blend({"a": table, "b": table}, method=method)
    if method == "boosted":
        assert (made["p_unknown"] == 0).all()
    else:  # the members' word is all there is
        assert 0 < made["p_unknown"].mean() < table["p_unknown"].mean()
        table = blends.weights_table({"a": table}, method="logistic")
        assert set(table["member"]) == {"a", "bias of nevus"}


@pytest.mark.parametrize("method", METHODS)
def test_one_class_cannot_be_stacked(binary: Make, method: blends.Method) -> None:
    table = binary([False] * 30, np.linspace(0.1, 0.9, 30), fold=np.arange(30) % 3)
    with pytest.raises(TableError, match=r"hold 1 class\(es\)"):
        blends.blend({"a": table}, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_scores_count_by_their_rank(binary: Make, method: blends.Method) -> None:
    tables = members_of(binary, {"good": 2.0, "fair": 1.0})
    scores = {n: t.assign(kind="score") for n, t in tables.items()}
    cubed = {
        n: t.assign(p_melanoma=t["p_melanoma"] ** 3, p_other=1 - t["p_melanoma"] ** 3)
        for n, t in scores.items()
    }
    made = blends.blend(scores, method=method)
    assert (made["kind"] == "probability").all()
    same = blends.blend(cubed, method=method)
    assert made["p_melanoma"].tolist() == same["p_melanoma"].tolist()
    mixed = blends.blend(tables | {"fair": scores["fair"]}, method=method)
    assert ranking.auc(mixed, positive="melanoma")["value"].iloc[0] > 0.85


def test_scores_of_folds_on_other_scales(binary: Make) -> None:
    scores = {n: t.assign(kind="score") for n, t in members_of(binary, {"a": 2.0}).items()}
    level = scores["a"]["fold"] / 4
    moved = level + scores["a"]["p_melanoma"] / 4
    drifting = {"a": scores["a"].assign(p_melanoma=moved, p_other=1 - moved)}
    made = [blends.blend(t, method="logistic", rank_within_fold=True) for t in (scores, drifting)]
    pd.testing.assert_frame_equal(*made, check_exact=True)


def test_trees_see_what_a_sum_does_not(binary: Make) -> None:
    draw = np.random.default_rng(0)
    odds = draw.normal(size=(2, 400))
    truth = (odds[0] > 0) != (odds[1] > 0)
    fold = np.arange(400) % 4
    tables = {f"m{k}": binary(truth, expit(own), fold=fold) for k, own in enumerate(odds)}
    areas = {
        m: ranking.auc(blends.blend(tables, method=m), positive="melanoma")["value"].iloc[0]  # type: ignore[arg-type]
        for m in METHODS
    }
    assert areas["boosted"] > 0.9
    assert areas["logistic"] < 0.6


def test_trees_that_only_rise(binary: Make) -> None:
    tables = members_of(binary, {"good": 1.0, "fair": 0.5})
    values = {n: t[["p_other", "p_melanoma"]].to_numpy() for n, t in tables.items()}
    codes = (tables["good"]["truth"] == "melanoma").to_numpy(dtype=int)
    falls = {}
    for nonnegative in (False, True):
        trees = cross_fit.fit_boosted_stacker(values, codes, nonnegative=nonnegative)
        steps = np.linspace(0.02, 0.98, 97)
        rising = np.column_stack([1 - steps, steps])
        flat = np.full((97, 2), 0.5)
        made = trees.apply({"good": rising, "fair": flat})
        falls[nonnegative] = (np.diff(made[:, 1]) < 0).any()
        assert made.sum(axis=1) == pytest.approx(1)
    assert falls == {False: True, True: False}


def test_trees_have_no_weights(binary: Make) -> None:
    table = blends.weights_table(members_of(binary, {"a": 1.0, "b": 1.0}), method="boosted")
    assert table["weight"].isna().all()
    assert len(table) == 10  # four folds and the test rows
