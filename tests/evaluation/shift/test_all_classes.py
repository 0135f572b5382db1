"""All classes in every source: judged by those that are there, compared by the same."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.discrimination import classes
from melnb.evaluation.shift import areas, other_sources
from melnb.tables import schema

NAMES = ("melanoma", "nevus", "basal_cell_carcinoma")


def predict(n: int, fold: int, *, seed: int, names: tuple[str, ...] = NAMES) -> pd.DataFrame:
    """Predictions of many classes that are right more often than not; all of them are there."""
    draw = np.random.default_rng(seed)
    truth = np.arange(n) % len(names)
    values = draw.dirichlet(np.ones(len(names)), n) + 0.35 * np.eye(len(names))[truth]
    return schema.make_predictions(
        [f"s{seed}i{k}" for k in range(n)], fold, [names[k] for k in truth],
        values / values.sum(axis=1, keepdims=True), classes=names, run="r",
    )  # fmt: skip


def value(table: pd.DataFrame, source: str, metric: str, of: str) -> pd.Series:
    rows = table[(table["source"] == source) & (table["metric"] == metric) & (table["class"] == of)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_each_source_is_judged_and_compared_by_its_classes() -> None:
    home, away = predict(300, 0, seed=0), predict(120, -1, seed=1)
    two = away[away["truth"] != NAMES[2]]
    found = areas.external_classes(other_sources.all_class_tables(home, {"two": two}))
    assert found["source"].unique().tolist() == ["internal", "two"]
    mean = value(found, "two", "balanced accuracy", "all")
    shares = [(classes_of(two, name)).mean() for name in NAMES[:2]]
    assert mean["value"] == pytest.approx(np.mean(shares))
    assert "basal_cell_carcinoma" in mean["note"]
    at_home = np.mean([classes_of(home, name).mean() for name in NAMES[:2]])
    assert mean["difference"] == pytest.approx(mean["value"] - at_home)
    assert mean["difference_low"] < mean["difference"] < mean["difference_high"]
    area = value(found, "two", "mean AUC", "all")
    alone = classes.auc_by_class(home, classes=NAMES[:2])["value"].iloc[-1]
    assert area["difference"] == pytest.approx(area["value"] - alone)
    lacking = value(found, "two", "AUC", NAMES[2])
    assert np.isnan(lacking["value"])
    assert "no row is" in lacking["note"]
    assert areas.class_areas_by_source(found) == {
        "external_mean_auc": [area["value"]], "external_mean_auc_low": [area["low"]],
        "external_mean_auc_high": [area["high"]], "external_balanced_accuracy": [mean["value"]],
        "external_balanced_accuracy_low": [mean["low"]],
        "external_balanced_accuracy_high": [mean["high"]],
    }  # fmt: skip


def classes_of(table: pd.DataFrame, name: str) -> pd.Series:
    own = table[table["truth"] == name]
    values = own[[f"p_{c}" for c in NAMES]]
    return values.idxmax(axis=1) == f"p_{name}"


def test_a_source_of_other_classes_is_judged_and_not_compared() -> None:
    home, away = predict(300, 0, seed=0), predict(90, -1, seed=1, names=("other", "melanoma"))
    found = areas.external_classes(other_sources.all_class_tables(home, {"away": away}))
    own = found[found["source"] == "away"]
    assert own["difference"].isna().all()
    assert own["note"].str.contains("not compared").all()
    assert own["metric"].tolist().count("AUC") == 1, "the other's is the same"
    assert "mean AUC" not in own["metric"].tolist()
    said = "balanced accuracy at 0.5, melanoma against the rest"
    assert value(found, "away", said, "all")["value"] > 0.5


def test_balanced_accuracy_says_whose_it_is() -> None:
    metric = [
        classes.balanced_accuracy(predict(60, 0, seed=2, names=names))["metric"].iloc[0]
        for names in (NAMES, ("other", "melanoma"), ("benign", "malignant"))
    ]
    assert metric == [
        "balanced accuracy",
        "balanced accuracy at 0.5, melanoma against the rest",
        "balanced accuracy",
    ]


def test_scores_of_all_classes_answer_without_a_truth() -> None:
    found = classes.class_scores(predict(12, -1, seed=0).assign(truth=np.nan))
    assert found["value"].isna().all()
    assert found["note"].str.contains("not estimable").all()
    assert found["class"].tolist()[:2] == ["all", "all"]


def test_one_area_has_one_interval_on_the_page() -> None:
    names = ("other", "melanoma")
    home, away = predict(300, 0, seed=0, names=names), predict(90, -1, seed=1, names=names)
    whole = other_sources.all_class_tables(home, {"away": away})
    of_all = value(areas.external_classes(whole), "away", "AUC", "melanoma")
    two = other_sources.source_tables(home, {"away": away}, positive="melanoma")
    found = areas.external_metrics(two, positive="melanoma", draws=10)
    area = found[(found["source"] == "away") & (found["metric"] == "AUC")].iloc[0]
    for name in ("value", "low", "high", "difference", "difference_low", "difference_high"):
        assert of_all[name] == pytest.approx(area[name]), name


def test_a_mean_of_a_class_of_one_row_names_it() -> None:
    table = predict(90, -1, seed=3)
    one = table[(table["truth"] != NAMES[2]) | (table.index == 2)]
    mean = classes.class_scores(one).iloc[0]
    assert np.isnan(mean["low"])
    assert mean["note"] == "interval not estimable: a class has 1 row(s): basal_cell_carcinoma"


def test_rows_of_no_class_asked_for_are_a_group_of_their_own() -> None:
    """Of two classes of three the third's rows are not the first's."""
    table = predict(60, 0, seed=4)
    found = classes.auc_by_class(table, classes=NAMES[:2]).iloc[-1]
    turned = classes.auc_by_class(table, classes=NAMES[1::-1]).iloc[-1]
    assert found["se"] == pytest.approx(turned["se"], rel=1e-12)
