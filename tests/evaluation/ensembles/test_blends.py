"""Joined by id whatever the order; ranks, weights, and nothing fitted on the rows it judges."""

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import rankdata

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.ensembles import blends
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
METHODS = ("mean", "rank", "weighted", "fitted", "logit", "power", "logistic")


def members_of(binary: Make, n: int = 90, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Three members of falling worth on the same rows, three folds and a test part."""
    generator = np.random.default_rng(seed)
    truth = generator.random(n) < 0.4
    fold = np.arange(n) % 4 - 1
    words = [None if f == -1 else bool(t) for f, t in zip(fold, truth, strict=True)]
    tables = {}
    for name, noise in (("good", 1.8), ("fair", 2.2), ("noise", 50.0)):
        logit = 2 * (2 * truth - 1) + generator.normal(0, noise, n)
        score = np.round(1 / (1 + np.exp(-np.clip(logit, -5, 5))), 2)
        tables[name] = binary(words, score, fold=fold, run=name)
    return tables


@settings(max_examples=settings.default.max_examples // 7)
@given(st.integers(0, 10_000), st.sampled_from(METHODS), st.booleans())
def test_the_order_of_rows_and_members_changes_nothing(
    binary: Make, seed: int, method: blends.Method, within: bool
) -> None:
    tables = members_of(binary, n=40)
    names = list(np.random.default_rng(seed).permutation(list(tables)))
    shuffled = {n: tables[n].sample(frac=1, random_state=seed + k) for k, n in enumerate(names)}
    shares = {"good": 3, "fair": 2, "noise": 1}

    def blended(members: dict[str, pd.DataFrame]) -> pd.DataFrame:
        weights = [shares[n] for n in members] if method in ("weighted", "rank", "power") else ()
        return blends.blend(members, method=method, weights=weights, rank_within_fold=within)

    pd.testing.assert_frame_equal(blended(tables), blended(shuffled), check_exact=True)


def test_mean_and_weighted(binary: Make) -> None:
    tables = members_of(binary)
    values = np.stack([t["p_melanoma"] for t in tables.values()])
    mean = blends.blend(tables, run="all")
    assert mean["p_melanoma"].to_numpy() == pytest.approx(values.mean(axis=0), abs=1e-15)
    assert (mean["kind"] == "probability").all()
    assert (mean["run"] == "all").all()
    weighted = blends.blend(tables, method="weighted", weights=[4, 1, 0])
    wanted = 0.8 * values[0] + 0.2 * values[1]
    assert weighted["p_melanoma"].to_numpy() == pytest.approx(wanted, abs=1e-15)
    assert weighted["p_other"].to_numpy() == pytest.approx(1 - wanted, abs=1e-15)
    table = blends.weights_table(tables, method="weighted", weights=[4, 1, 0])
    assert table[table["fold"] == 2]["weight"].tolist() == [0.8, 0.2, 0]
    assert sorted(table["fold"].unique()) == [-1, 0, 1, 2]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "2 values for the 3 members"),
        ([1, -1, 1], "0 or more"),
        ([0, 0, 0], "not all 0"),
        ([1, np.nan, 1], "0 or more"),
    ],
)
def test_weights_are_refused(binary: Make, weights: list[float], message: str) -> None:
    for method in ("weighted", "rank", "logit", "power"):
        with pytest.raises(ValueError, match=message):
            blends.blend(members_of(binary), method=method, weights=weights)


@pytest.mark.parametrize("method", ["mean", "fitted", "logistic", "boosted"])
def test_weights_are_not_wanted(binary: Make, method: blends.Method) -> None:
    with pytest.raises(ValueError, match=f"method is '{method}'"):
        blends.blend(members_of(binary), method=method, weights=[1, 1, 1])


def test_the_mean_of_logits(binary: Make) -> None:
    tables = members_of(binary)
    odds = np.stack([logit(t["p_melanoma"]) for t in tables.values()])
    made = blends.blend(tables, method="logit")
    assert made["p_melanoma"].to_numpy() == pytest.approx(expit(odds.mean(axis=0)), abs=1e-14)
    assert (made["kind"] == "probability").all()
    weighted = blends.blend(tables, method="logit", weights=[2, 1, 1])["p_melanoma"]
    assert weighted.to_numpy() == pytest.approx(expit([0.5, 0.25, 0.25] @ odds), abs=1e-14)
    certain = binary([True, False], [1.0, 0.0])
    assert blends.blend({"a": certain, "b": certain}, method="logit")[
        "p_melanoma"
    ].to_numpy() == pytest.approx([1, 0])


@pytest.mark.parametrize("exponent", [-3.0, 0.5, 1.0, 2.0, 40.0])
def test_the_power_mean(binary: Make, exponent: float) -> None:
    tables = members_of(binary)
    both = [np.stack([t[c] for t in tables.values()]) for c in ("p_melanoma", "p_other")]
    mean = [np.average(v**exponent, axis=0, weights=[3, 2, 1]) ** (1 / exponent) for v in both]
    made = blends.blend(tables, method="power", exponent=exponent, weights=[3, 2, 1])
    assert made["p_melanoma"].to_numpy() == pytest.approx(mean[0] / sum(mean))


def test_the_power_means_limits(binary: Make) -> None:
    tables = members_of(binary)
    for exponent, method in ((1.0, "mean"), (1e-9, "logit")):
        power = blends.blend(tables, method="power", exponent=exponent)["p_melanoma"]
        plain = blends.blend(tables, method=method)["p_melanoma"]  # type: ignore[arg-type]
        assert power.to_numpy() == pytest.approx(plain.to_numpy(), abs=1e-6)
    for exponent in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"exponent is {exponent}"):
            blends.blend(tables, method="power", exponent=exponent)


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_ranks_share_ties(binary: Make, scores: list[int]) -> None:
    table = binary([True] * len(scores), np.array(scores) / 5)
    made = blends.blend({"a": table, "b": table}, method="rank")
    wanted = rankdata(scores) / len(scores)
    assert made["p_melanoma"].to_numpy() == pytest.approx(wanted)
    assert (made["kind"] == "score").all()


def test_ranks_within_a_fold(binary: Make) -> None:
    table = binary([True] * 6, [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], fold=[0, 0, -1, 1, 1, -1])
    pooled = blends.blend({"a": table}, method="rank")["p_melanoma"]
    assert pooled.tolist() == [0.25, 0.5, 0.5, 0.75, 1, 1]  # test rows by themselves
    within = blends.blend({"a": table}, method="rank", rank_within_fold=True)["p_melanoma"]
    assert within.tolist() == [0.5, 1, 0.5, 0.5, 1, 1]


def test_kinds_do_not_mix(binary: Make) -> None:
    tables = members_of(binary)
    scores = {n: t.assign(kind="score") for n, t in tables.items()}
    assert (blends.blend(scores)["kind"] == "score").all()
    mixed = tables | {"fair": scores["fair"]}
    with pytest.raises(TableError, match="no common scale"):
        blends.blend(mixed)
    assert (blends.blend(mixed, method="rank")["kind"] == "score").all()
    with pytest.raises(TableError, match="log-loss needs probabilities"):
        blends.blend(scores, method="fitted")
    for method in ("logit", "power"):
        with pytest.raises(TableError, match=f"{method} needs probabilities"):
            blends.blend(scores, method=method)  # type: ignore[arg-type]


def test_fitted_weights_are_the_best_of_a_grid(binary: Make) -> None:
    tables = members_of(binary, n=400)
    table = blends.weights_table(tables, method="fitted", positive="melanoma")
    final = table[table["fold"] == -1].set_index("member")["weight"]
    assert final.sum() == pytest.approx(1)
    assert final["good"] > final["fair"] > 0.1 > final["noise"]
    fold = tables["good"]["fold"]

    def loss(weights: np.ndarray, rows: pd.Series) -> float:
        mixed = sum(
            w * t["p_melanoma"][rows] for w, t in zip(weights, tables.values(), strict=True)
        )
        true = tables["good"]["truth"][rows] == "melanoma"
        return float(-np.log(np.where(true, mixed, 1 - mixed)).mean())

    for k in (-1, 1):
        rows = (fold != -1) & (fold != k)
        chosen = loss(table[table["fold"] == k]["weight"].to_numpy(), rows)
        for a in np.linspace(0, 1, 21):
            for b in np.linspace(0, 1 - a, 21):
                assert chosen <= loss(np.array([a, b, 1 - a - b]), rows) + 1e-9


def test_a_folds_weights_never_see_its_truths(binary: Make) -> None:
    tables = members_of(binary, n=200)
    own = tables["good"]["fold"] == 1
    turned = {"melanoma": "other", "other": "melanoma"}
    lying = {
        n: t.assign(truth=t["truth"].where(~own, t["truth"].replace(turned)))
        for n, t in tables.items()
    }
    honest, other = (
        blends.weights_table(t, method="fitted").pivot(
            index="fold", columns="member", values="weight"
        )
        for t in (tables, lying)
    )
    pd.testing.assert_series_equal(honest.loc[1], other.loc[1], check_exact=True)
    assert not np.allclose(honest.loc[0], other.loc[0])
    made = blends.blend(tables, method="fitted").set_index("image_id")
    first = tables["good"].index[own][0]
    wanted = sum(honest.loc[1, n] * t["p_melanoma"][first] for n, t in tables.items())
    assert made["p_melanoma"].iloc[first] == pytest.approx(wanted)


def test_fitting_needs_two_folds(binary: Make) -> None:
    one = binary([True, False] * 5, np.linspace(0.1, 0.9, 10))
    with pytest.raises(TableError, match="lie in 1 fold"):
        blends.blend({"a": one, "b": one}, method="fitted")
    test = binary([None] * 4, [0.1] * 4, fold=-1)
    with pytest.raises(TableError, match="lie in 0 fold"):
        blends.blend({"a": test, "b": test}, method="fitted")
    with pytest.raises(ValueError, match="method is 'median'"):
        blends.blend({"a": one}, method="median")  # type: ignore[arg-type]


def test_a_sure_and_wrong_member_is_survived(binary: Make) -> None:
    truth, fold = [True, False] * 6, np.arange(12) % 2
    sure = binary(truth, [0.0, 1.0] * 6, fold=fold, run="sure")
    fair = binary(truth, [0.7, 0.3] * 6, fold=fold, run="fair")
    table = blends.weights_table({"sure": sure, "fair": fair}, method="fitted")
    assert table[table["member"] == "fair"]["weight"].to_numpy() == pytest.approx(1)
    alone = blends.blend({"sure": sure}, method="fitted")
    assert alone["p_melanoma"].tolist() == sure["p_melanoma"].tolist()


def test_many_classes_blend_each(many_classes: Make) -> None:
    names = ("melanoma", "nevus", "unknown")
    generator = np.random.default_rng(0)
    code = generator.integers(0, 3, 60)
    truth = [names[k] for k in code]
    tables = {
        "a": many_classes(truth, generator.random((60, 3)) + np.eye(3)[code], names),
        "b": many_classes(truth, generator.random((60, 3)), names),
    }
    tables = {n: t.assign(fold=np.arange(60) % 3) for n, t in tables.items()}
    for method in ("mean", "fitted", "logit", "power", "logistic"):
        made = blends.blend(tables, method=method)  # checked: rows sum to one
        assert made[[f"p_{n}" for n in names]].sum(axis=1).to_numpy() == pytest.approx(1)
    table = blends.weights_table(tables, method="fitted")
    assert table[table["member"] == "a"]["weight"].min() > 0.9
    product = np.prod([t[[f"p_{n}" for n in names]] for t in tables.values()], axis=0) ** 0.5
    wanted = product / product.sum(axis=1, keepdims=True)
    made = blends.blend(tables, method="logit")
    assert made[[f"p_{n}" for n in names]].to_numpy() == pytest.approx(wanted)
    ranked = blends.blend(tables, method="rank")
    for n in names:
        both = [rankdata(t[f"p_{n}"]) / 60 for t in tables.values()]
        assert ranked[f"p_{n}"].to_numpy() == pytest.approx(np.mean(both, axis=0))


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "more", "share"),
    [
        ("ensemble.csv", (), 0.2),
        ("ensemble_external.csv", ("submission_rajnishe.csv", "submission_ajaykumar7778.csv"), 0.3),
    ],
)
def test_a_published_ensemble_is_reproduced(
    siim_predictions: Path, file: str, more: tuple[str, ...], share: float
) -> None:
    images = [*sorted(siim_predictions.glob("submission_Eff*.csv"))]
    images += [siim_predictions / name for name in more]
    paths = [*images, siim_predictions / "submission_simple_baseline.csv"]
    tables = {path.stem: read_foreign(path) for path in paths}
    weights = [(1 - share) / len(images)] * len(images) + [share]
    made = blends.blend(tables, method="weighted", weights=weights).set_index("image_id")
    wanted = read_foreign(siim_predictions / file).set_index("image_id")
    difference = made["p_melanoma"] - wanted["p_melanoma"]
    assert len(difference) == 10_982
    assert difference.abs().max() < 1e-12
    assert (made["kind"] == "probability").all()


@given(
    st.lists(st.tuples(*[st.integers(0, 6)] * 3, st.integers(-1, 1)), min_size=4, max_size=30),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.booleans(),
)
def test_ranks_that_tie_on_paper_tie_in_fact(
    binary: Make, cells: list[tuple[int, int, int, int]], weights: tuple[int, ...], within: bool
) -> None:
    fold = [cell[3] for cell in cells]
    truth = [k % 2 == 0 for k in range(len(cells))]
    tables = {f"m{k}": binary(truth, [cell[k] / 6 for cell in cells], fold=fold) for k in range(3)}
    made = blends.blend(tables, method="rank", weights=weights, rank_within_fold=within)
    values = made["p_melanoma"].to_numpy()
    part = np.array(fold) if within else np.array(fold) == -1
    exact = [Fraction(0)] * len(cells)
    for k, weight in enumerate(weights):
        for row, cell in enumerate(cells):
            own = [other[k] for j, other in enumerate(cells) if part[j] == part[row]]
            doubled = 2 * sum(v < cell[k] for v in own) + sum(v == cell[k] for v in own) + 1
            exact[row] += Fraction(weight * doubled, 2 * len(own) * sum(weights))
    assert values == pytest.approx([float(e) for e in exact], abs=1e-12)
    for first, second in combinations(range(len(cells)), 2):
        assert (values[first] == values[second]) == (exact[first] == exact[second])
