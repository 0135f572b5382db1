"""Decisions of many classes: nested in the folds, frozen for test rows, silent where unfit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from melnb import display
from melnb.evaluation.calibration.prevalence import shift_prevalence
from melnb.evaluation.challenges.scoring import official_scores
from melnb.evaluation.challenges.submissions import submission_table
from melnb.evaluation.decisions import class_decision, class_gain
from melnb.evaluation.decisions.class_decision import (
    Decide,
    apply_class_decision,
    fit_class_decision,
)
from melnb.tables.checks import TableError
from melnb.tables.schema import make_predictions

CLASSES = ("melanoma", "nevus", "dermatofibroma")
SHARES = (0.2, 0.72, 0.08)


def made(
    n: int = 600, *, signal: float = 1.5, seed: int = 0, folds: int = 3, shares: Any = SHARES
) -> pd.DataFrame:
    """Calibrated posteriors of three classes, two images a lesion, a sixth of them test rows."""
    draw = np.random.default_rng(seed)
    lesion = np.arange(n) // 2
    codes = np.concatenate([np.arange(3), draw.choice(3, n, p=shares)])[lesion]
    odds = signal * draw.normal(size=(n, 3)) + signal**2 * np.eye(3)[codes] + np.log(shares)
    values = np.exp(odds - odds.max(axis=1, keepdims=True))
    fold = np.where(lesion % 6 == 5, -1, lesion % folds)
    ids, truths = [f"i{k:04d}" for k in range(n)], np.array(CLASSES)[codes]
    table = make_predictions(
        ids, fold, truths, values / values.sum(axis=1, keepdims=True), classes=CLASSES, run="r"
    )
    return table.assign(lesion_id=[f"l{k}" for k in lesion])


def calls(table: pd.DataFrame) -> np.ndarray:
    return np.array(CLASSES)[table[[f"p_{name}" for name in CLASSES]].to_numpy().argmax(axis=1)]


def test_the_logit_adjustment_is_the_posterior_at_equal_shares() -> None:
    table = made()
    decision = fit_class_decision(table, decide="logit_adjustment")
    equal = dict.fromkeys(CLASSES, 1 / 3)
    for name, own in (("frozen", table), ("nested", table[table["fold"] == 1])):
        frozen = name == "frozen"
        learnt = table[(table["fold"] >= 0) & (frozen | (table["fold"] != 1))]
        old = learnt["truth"].value_counts(normalize=True).to_dict()
        wanted = shift_prevalence(own, prevalence=equal, training_prevalence=old)
        found = apply_class_decision(own.copy() if frozen else table, decision, frozen=frozen)
        found = found[found["image_id"].isin(own["image_id"])]
        for column in (f"p_{c}" for c in CLASSES):
            assert found[column].to_numpy() == pytest.approx(wanted[column].to_numpy()), name
    # tau 0 is the most probable class, and one half lies between.
    none = fit_class_decision(table, decide="logit_adjustment", tau=0)
    assert set(none.weights.values()) == {1.0}
    half = fit_class_decision(table, decide="logit_adjustment", tau=0.5)
    ratio = {k: half.weights[k] ** 2 / decision.weights[k] for k in CLASSES}
    assert len({round(value, 9) for value in ratio.values()}) == 1


def test_costs_without_a_search_are_the_least_expected() -> None:
    table, costs = (
        made(),
        {"melanoma": {"nevus": 20, "dermatofibroma": 15}, "nevus": {"melanoma": 2}},
    )
    decision = class_decision.plug_in(fit_class_decision(table, decide="cost", costs=costs))
    matrix = class_decision.cost_matrix(costs, CLASSES)
    assert matrix.tolist() == [[0, 20, 15], [2, 0, 1], [1, 1, 0]]
    expected = table[[f"p_{name}" for name in CLASSES]].to_numpy() @ matrix
    decided = apply_class_decision(table, decision)
    assert (calls(decided) == np.array(CLASSES)[expected.argmin(axis=1)]).all()


@pytest.mark.parametrize("decide", ["logit_adjustment", "balanced_accuracy", "macro_f1", "cost"])
def test_no_row_helps_to_decide_itself(decide: Decide) -> None:
    """What a fold's truths are moves nothing in the fold, and test rows move nothing at all."""
    table = made()
    costs = {"melanoma": {"nevus": 9.0}}
    first = fit_class_decision(table, decide=decide, costs=costs)
    turned = {"melanoma": "nevus", "nevus": "dermatofibroma", "dermatofibroma": "melanoma"}
    other = table.assign(truth=table["truth"].where(table["fold"] != 2, table["truth"].map(turned)))
    other = other.assign(truth=other["truth"].where(other["fold"] >= 0, "nevus"))
    second = fit_class_decision(other, decide=decide, costs=costs)
    assert second.parts["2"] == first.parts["2"]
    assert second.weights != first.weights
    for one, two in zip(
        *(apply_class_decision(table, own).groupby("fold") for own in (first, second)),
        strict=True,
    ):
        assert one[1].equals(two[1]) == (one[0] == 2)
    untouched = fit_class_decision(table[table["fold"] >= 0], decide=decide, costs=costs)
    assert untouched == first


def test_a_gain_is_naive_and_nested_and_on_test_rows() -> None:
    table = made()
    decision = fit_class_decision(table, decide="balanced_accuracy")
    gains = class_gain.class_gain(table, decision=decision, draws=200)
    own = gains[gains["chosen"] & (gains["metric"] == "balanced accuracy")].set_index("rows")
    inside, test = table[table["fold"] >= 0], table[table["fold"] < 0]
    for rows, judged, frozen in (
        ("nested", inside, False), ("naive", inside, True), ("one score each", test, True),
    ):  # fmt: skip
        decided = apply_class_decision(judged, decision, frozen=frozen)
        wanted = balanced_accuracy_score(judged["truth"], calls(decided))
        before = balanced_accuracy_score(judged["truth"], calls(judged))
        row = own.loc[rows]
        assert (row["value"], row["most_probable"]) == pytest.approx((wanted, before))
        assert row["gain"] == pytest.approx(wanted - before)
        assert row["low"] < row["gain"] < row["high"]
        assert row["method"] == "bootstrap of lesion_id, paired"
    assert own.loc["naive", "gain"] >= own.loc["nested", "gain"] > 0.05
    f1 = gains[(gains["metric"] == "macro F1") & (gains["rows"] == "naive")].iloc[0]
    best = fit_class_decision(table, decide="macro_f1")
    decided = apply_class_decision(inside, best, frozen=True)
    assert f1["value"] == pytest.approx(f1_score(inside["truth"], calls(decided), average="macro"))
    assert not gains["rule"].str.contains("cost").any()
    assert class_gain.gain_results(gains)["class_gain"] == own.loc["nested", "gain"]
    figure = display.class_gain(gains)
    assert figure is not None
    assert len(figure.data[0].x) == len(figure.data[1].x) == 3


def test_what_was_saved_of_costs_is_a_gain() -> None:
    table, costs = made(), {"melanoma": {"nevus": 20.0}}
    decision = fit_class_decision(table, decide="cost", costs=costs)
    gains = class_gain.class_gain(table, decision=decision, costs=costs, draws=50)
    own = gains[gains["metric"] == "mean cost"].set_index(["rule", "rows"])
    expected = own.loc[("least expected cost", "nested")]
    assert expected["gain"] == pytest.approx(expected["most_probable"] - expected["value"])
    assert expected["gain"] == own.loc[("least expected cost", "naive"), "gain"] > 0
    searched = own.loc[("weights for least cost", "naive")]
    assert searched["value"] <= expected["value"] + 1e-12


def test_each_class_shows_what_it_wins_and_loses() -> None:
    table = made()
    decision = fit_class_decision(table, decide="balanced_accuracy")
    by_class = class_gain.decision_by_class(table, decision=decision, cluster="lesion_id")
    by_class = by_class.set_index("class")
    inside = table[table["fold"] >= 0]
    decided = apply_class_decision(inside, decision)
    for name in CLASSES:
        row, own = by_class.loc[name], inside["truth"] == name
        assert row["decided"] == pytest.approx((calls(decided)[own] == name).mean())
        assert row["most_probable"] == pytest.approx((calls(inside)[own] == name).mean())
        assert row["difference"] == pytest.approx(row["decided"] - row["most_probable"], abs=1e-9)
        assert row["decided_low"] < row["decided"] < row["decided_high"]
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["least"] <= row["most"]
    assert by_class.loc["nevus", "difference"] < 0 < by_class.loc["dermatofibroma", "difference"]
    none = fit_class_decision(table, decide="argmax")
    assert class_gain.decision_by_class(table, decision=none).empty


def test_noise_gains_by_the_naive_judgement_alone() -> None:
    """Of classes that nothing tells apart, fitted weights promise what new images do not keep."""
    naive, nested = [], []
    for seed in range(40):
        table = made(240, signal=0.0, seed=seed, shares=(1 / 3, 1 / 3, 1 / 3))
        values = np.random.default_rng(1000 + seed).dirichlet([4, 4, 4], size=len(table))
        table = table.assign(**{f"p_{c}": values[:, k] for k, c in enumerate(CLASSES)})
        inside = table[table["fold"] >= 0]
        decision = fit_class_decision(inside, decide="balanced_accuracy")
        before = balanced_accuracy_score(inside["truth"], calls(inside))
        for gains, frozen in ((naive, True), (nested, False)):
            decided = apply_class_decision(inside, decision, frozen=frozen)
            gains.append(balanced_accuracy_score(inside["truth"], calls(decided)) - before)
    error = np.std(nested) / np.sqrt(len(nested))
    assert np.mean(naive) > 0.03
    assert min(naive) >= 0
    assert np.mean(nested) < 2 * error


UNFIT: dict[str, tuple[pd.DataFrame, str]] = {
    "scores": (made().assign(kind="score"), "kind is 'score', and class weights need probab"),
    "test rows alone": (made().assign(fold=-1), "no row is out of fold"),
    "a class that nobody has": (
        made()[lambda t: t["truth"] != "dermatofibroma"], "no row is dermatofibroma",
    ),
    "one class": (made()[lambda t: t["truth"] == "nevus"], "no row is melanoma"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_fitted_says_why(name: str, tmp_path: Path) -> None:
    table, why = UNFIT[name]
    decision = fit_class_decision(table, decide="balanced_accuracy")
    assert decision.weights == {}
    gains = class_gain.class_gain(table, decision=decision)
    own = gains[gains["chosen"]]
    assert own["gain"].isna().all()
    assert own["note"].str.contains(why, regex=False).all()
    assert class_gain.gain_results(gains) == {}
    assert display.class_gain(gains) is None
    by_class = class_gain.decision_by_class(table, decision=decision)
    assert by_class["note"].str.contains(why, regex=False).all()
    with pytest.raises(TableError, match="no weights were fitted for rows of part"):
        apply_class_decision(table, decision)


def test_a_class_that_one_fold_has_alone_is_said_of_the_nested_rows() -> None:
    table = made()
    gathered = table["truth"] == "dermatofibroma"
    table = table.assign(fold=table["fold"].where(~gathered, 1))
    decision = fit_class_decision(table, decide="balanced_accuracy")
    assert decision.note == "no row is dermatofibroma outside part 1"
    gains = class_gain.class_gain(table, decision=decision, draws=50)
    own = gains[gains["chosen"]].set_index(["rows", "metric"])
    nested = own.loc[("nested", "balanced accuracy")]
    assert nested["note"] == "not estimable: no row is dermatofibroma outside part 1"
    assert own.loc[("naive", "balanced accuracy"), "gain"] > 0


def test_a_single_fold_is_cut_by_lesion() -> None:
    table = made(folds=1)
    decision = fit_class_decision(table, decide="balanced_accuracy")
    assert decision.note == "one fold, cut into 5 parts by lesion"
    assert [*decision.parts] == ["0", "1", "2", "3", "4"]
    gains = class_gain.class_gain(table, decision=decision, draws=50)
    assert gains.loc[gains["chosen"], "note"].str.contains("cut into 5 parts by lesion").all()


def test_two_classes_are_the_operating_points() -> None:
    table = made().drop(columns="p_nevus")
    table = table[table["truth"] != "nevus"].assign(p_dermatofibroma=1 - table["p_melanoma"])
    none = fit_class_decision(table, decide="argmax")
    assert class_gain.class_gain(table, decision=none).empty
    assert apply_class_decision(table, none) is table
    chosen = fit_class_decision(table, decide="balanced_accuracy")
    assert set(class_gain.class_gain(table, decision=chosen, draws=20)["rule"]) == {
        "weights for balanced accuracy"
    }


def test_a_decision_is_kept_and_comes_back(tmp_path: Path) -> None:
    table = made()
    decision = fit_class_decision(
        table, decide="cost", costs={"melanoma": {"nevus": 20.0}}, tau=0.5
    )
    path = class_decision.write_class_decision(decision, tmp_path / "a" / "class_decision.json")
    assert path is not None
    assert class_decision.read_class_decision(path) == decision
    argmax = fit_class_decision(table, decide="argmax")
    assert class_decision.write_class_decision(argmax, tmp_path / "b.json") is None
    with pytest.raises(FileNotFoundError, match=r"no b\.json in .*: write it again by 06_report"):
        class_decision.read_class_decision(tmp_path / "b.json")
    facts = json.loads(path.read_text(encoding="utf-8"))
    for broken in (
        [], {}, facts | {"weights": {"melanoma": 1}}, facts | {"decide": "guess"},
        facts | {"parts": {"0": dict.fromkeys(CLASSES, -1.0)}},
        facts | {"costs": {"angioma": {"nevus": 2.0}}},
    ):  # fmt: skip
        path.write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(TableError, match=r"class_decision\.json"):
            class_decision.read_class_decision(path)
    strange = table.rename(columns={"p_nevus": "p_other"})
    with pytest.raises(TableError, match=r"the classes are .* and the decision's"):
        apply_class_decision(strange, decision)
    elsewhere = table[table["fold"] == 1].assign(fold=7)
    with pytest.raises(TableError, match=r"rows of part .* \(it was fitted on other rows: give f"):
        apply_class_decision(elsewhere, replace(decision, parts={}))
    assert len(apply_class_decision(elsewhere, decision, frozen=True)) == len(elsewhere)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"decide": "best"}, "decide is 'best': use one of"),
        ({"decide": "argmax", "tau": -1}, "tau is -1: use 0 or more"),
        ({"decide": "cost", "costs": {"mel": {"nevus": 2}}}, "costs names 'mel', and the classes"),
        ({"decide": "cost", "costs": {"nevus": {"melanoma": -2}}}, "called melanoma is -2: use 0"),
    ],
)
def test_what_is_asked_wrongly_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_class_decision(made(60), **given)


def test_a_challenge_judged_by_calls_takes_the_decision(tmp_path: Path) -> None:
    table = made()
    for name in (
        "basal_cell_carcinoma",
        "actinic_keratosis",
        "benign_keratosis",
        "vascular_lesion",
    ):
        table[f"p_{name}"] = 0.0
    decision = replace(
        fit_class_decision(made(), decide="balanced_accuracy"),
        classes=tuple(c.removeprefix("p_") for c in table if c.startswith("p_")),
    )
    every = {name: {**dict.fromkeys(decision.classes, 1.0), **own} for name, own in
             {"": decision.weights, **decision.parts}.items()}  # fmt: skip
    decision = replace(decision, weights=every.pop(""), parts=every)
    inside = table[table["fold"] >= 0]
    scores = official_scores(inside, challenge="isic2018", decision=decision).set_index("metric")
    decided = apply_class_decision(inside, decision)
    name = "balanced accuracy, decided by balanced accuracy"
    known = decided[[f"p_{c}" for c in CLASSES]]
    found = np.array(CLASSES)[known.to_numpy().argmax(axis=1)]
    assert scores.loc[name, "value"] == pytest.approx(
        balanced_accuracy_score(inside["truth"], found)
    )
    assert scores.loc[name, "value"] > scores.loc["balanced accuracy", "value"]
    assert scores["primary"].tolist()[:2] == [True, False]
    submission_table(table, tmp_path, challenge="isic2018", decision=decision)
    sent = pd.read_csv(tmp_path / "submission.csv")
    test = apply_class_decision(table[table["fold"] < 0], decision)
    assert sent["NV"].to_numpy() == pytest.approx(test["p_nevus"].to_numpy())
    unfit = fit_class_decision(inside.assign(kind="score"), decide="balanced_accuracy")
    note = official_scores(inside, challenge="isic2018", decision=unfit).set_index("metric")
    assert "kind is 'score'" in note.loc[name, "note"]


def test_test_rows_are_judged_network_by_network_and_by_their_mean() -> None:
    table = made()
    test, draw = table[table["fold"] < 0], np.random.default_rng(5)
    columns = [f"p_{name}" for name in CLASSES]
    networks = {}
    for fold in range(3):
        values = test[columns].to_numpy() * draw.uniform(0.5, 1.5, (len(test), 3))
        networks[fold] = test.copy()
        networks[fold][columns] = values / values.sum(axis=1, keepdims=True)
    decision = fit_class_decision(table, decide="logit_adjustment")
    gains = class_gain.class_gain(table, decision=decision, networks=networks, draws=50)
    own = gains[gains["chosen"]].set_index("rows")
    assert [*own.index] == ["nested", "naive", "nested", "network by network", "mean of networks"]
    each = [apply_class_decision(rows, decision, frozen=True) for rows in networks.values()]
    called = np.concatenate([calls(rows) for rows in each])
    wanted = balanced_accuracy_score(np.tile(test["truth"], 3), called)
    assert own.loc["network by network", "value"] == pytest.approx(wanted)
    assert own.loc["network by network", "n"] == 3 * len(test)
    assert own.loc["mean of networks", "n"] == len(test)
