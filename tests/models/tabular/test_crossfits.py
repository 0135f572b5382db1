"""Cross-fits: no fold learns from itself, no test row from anything, and no encoder looks ahead."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from melnb.models.tabular import cross_fitting as crossfits
from melnb.models.tabular import learners
from melnb.models.tabular.cross_fitting import cross_fit
from melnb.models.tabular.learners import Learner, make_learners, predict_rows
from melnb.models.tabular.table_rows import Rows, make_rows
from melnb.tables.schema import check_predictions, class_names

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
CLASSES = ("other", "melanoma")
SETTINGS = {"forest": {"n_estimators": 10}, "boosting": {"max_iter": 20, "min_samples_leaf": 10}}
QUICK = {
    **make_learners(["logistic", "forest", "naive_bayes", "boosting"], settings=SETTINGS),
    "drawn": Learner("logistic", over=0.8, under=0.9),
}
SOME = {name: QUICK[name] for name in ("logistic", "boosting")}


def fitted(model: Any) -> list[np.ndarray]:
    """Return what the encoder has learnt: means, deviations, categories."""
    parts = model["encoder"].named_transformers_
    learnt = [np.array(words, dtype=str) for words in parts["words"].categories_]
    if "missing" in parts:
        learnt += [parts["numbers"].mean_, parts["numbers"].deviation_]
        learnt.append(parts["missing"].features_)
    return learnt


def check_blind(rows: Rows, hidden: np.ndarray, *folds: int) -> None:
    """Assert that folds' models are the same, bit for bit, when hidden rows are others."""
    changed = with_extremes(rows, hidden)
    before, after = (cross_fit(r, learners=QUICK) for r in (rows, changed))
    asked = rows.features.drop(index=rows.image_ids[hidden])
    for name, fold in product(QUICK, folds):
        for one, other in zip(before[name].models[fold], after[name].models[fold], strict=True):
            for left, right in zip(fitted(one), fitted(other), strict=True):
                np.testing.assert_array_equal(left, right, err_msg=name)
        values = [predict_rows(fit[name].models[fold], asked) for fit in (before, after)]
        np.testing.assert_array_equal(*values, err_msg=name)


def with_extremes(rows: Rows, hidden: np.ndarray) -> Rows:
    """Return rows of which some have a value and a word that no other has."""
    features = rows.features.copy()
    ids = rows.image_ids[hidden]
    features.loc[ids, ["age", "noise"]] = 1e6
    features.loc[ids, "site"] = "planted"
    return replace(rows, features=features)


def test_held_out_rows_change_nothing_of_their_own_folds_model(rows: Rows) -> None:
    check_blind(rows, rows.inside(1)[:5], 1)


def test_test_rows_change_no_model(rows: Rows) -> None:
    check_blind(rows, rows.inside(-1), *rows.folds)


@pytest.mark.parametrize("part", ["encoder", "whole model"])
def test_the_check_finds_what_looks_ahead(
    part: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = crossfits.fit_learner

    def leaky(learner: Learner, all_rows: Rows, numbers: np.ndarray, *, seed: int) -> Any:
        learnt = np.flatnonzero(all_rows.fold >= 0)
        if part == "whole model":
            return honest(learner, all_rows, learnt, seed=seed)
        model = honest(learner, all_rows, numbers, seed=seed)
        model["encoder"].fit(all_rows.features.iloc[learnt])
        cells = model["encoder"].transform(all_rows.features.iloc[numbers])
        model["estimator"].fit(cells, all_rows.codes[numbers])
        return model

    monkeypatch.setattr(crossfits, "fit_learner", leaky)
    with pytest.raises(AssertionError):
        check_blind(rows, rows.inside(1)[:5], 1)


def test_it_is_a_plain_loop_over_folds(rows: Rows) -> None:
    fits = cross_fit(rows, learners=SOME, run="meta")
    for name, learner in SOME.items():
        test = []
        for fold in rows.folds:
            model = crossfits.fit_learner(learner, rows, rows.outside(fold), seed=0)
            table = fits[name].predictions
            found = table[table["fold"] == fold].set_index("image_id")["p_melanoma"]
            values = model.predict_proba(rows.features)[:, 1]
            ours = pd.Series(values, index=rows.image_ids)[found.index]
            np.testing.assert_allclose(found, ours, atol=1e-12)
            test.append(values[rows.inside(-1)])
        assert len(fits[name].test) == len(rows.inside(-1)) > 0
        np.testing.assert_allclose(fits[name].test["p_melanoma"], np.mean(test, axis=0), atol=1e-12)
        assert set(fits[name].predictions["run"]) == {f"meta-{name}"}


def test_the_tables_are_predictions_of_every_image_once(rows: Rows) -> None:
    for fit in cross_fit(rows, learners=QUICK).values():
        for table in (fit.predictions, fit.test):
            check_predictions(table)
            assert class_names(table) == CLASSES
        assert sorted(fit.every_row()["image_id"]) == list(rows.image_ids)
        held_out = fit.predictions
        truth = held_out["truth"] == "melanoma"
        assert roc_auc_score(truth, held_out["p_melanoma"]) > 0.65


def test_the_order_of_rows_and_columns_changes_no_image(tables: Tables, rows: Rows) -> None:
    images, features, folds = (t.sample(frac=1, random_state=k + 3) for k, t in enumerate(tables))
    again = make_rows(features, folds, images, classes=CLASSES)
    first, second = (cross_fit(r, learners=QUICK, seeds=[0, 1]) for r in (rows, again))
    for name in QUICK:
        pd.testing.assert_frame_equal(first[name].predictions, second[name].predictions)
        pd.testing.assert_frame_equal(first[name].test, second[name].test)


def test_several_seeds_are_averaged(rows: Rows) -> None:
    learners = {"forest": QUICK["forest"], "drawn": QUICK["drawn"]}
    both, *each = (cross_fit(rows, learners=learners, seeds=s) for s in ([0, 1], [0], [1]))
    for name in learners:
        one, other = (fit[name].predictions["p_melanoma"] for fit in each)
        assert not one.equals(other)
        np.testing.assert_allclose(both[name].predictions["p_melanoma"], (one + other) / 2)


def test_balancing_takes_training_rows_and_no_others(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[np.ndarray] = []
    honest = learners.choose_rows

    def watched(image_ids: np.ndarray, codes: np.ndarray, **given: Any) -> np.ndarray:
        taught.append(image_ids)
        chosen = honest(image_ids, codes, **given)
        assert np.bincount(codes[chosen]).tolist() == [np.bincount(codes).max()] * 2
        return chosen

    monkeypatch.setattr(learners, "choose_rows", watched)
    even = Learner("logistic", over=1.0)
    fit = cross_fit(rows, learners={"even": even})["even"]
    assert len(fit.predictions) == (rows.fold >= 0).sum()  # once each
    expected = [rows.image_ids[rows.outside(fold)].tolist() for fold in rows.folds]
    assert sorted(ids.tolist() for ids in taught) == sorted(expected)  # folds learn side by side


def test_three_classes_and_no_test_set(making: Callable[..., Tables]) -> None:
    images, features, folds = making(200, ("bcc", "melanoma", "nevus"), seed=1)
    learnt = folds[folds["fold"] >= 0]
    fits = cross_fit(make_rows(features, learnt, images), learners=QUICK)
    for fit in fits.values():
        assert class_names(fit.predictions) == ("bcc", "melanoma", "nevus")
        assert fit.test.empty
        pd.testing.assert_frame_equal(fit.every_row(), fit.predictions)


def test_refusals(rows: Rows) -> None:
    with pytest.raises(ValueError, match=r"learners is \[\]"):
        cross_fit(rows, learners={})
    with pytest.raises(ValueError, match=r"seeds is \[\]"):
        cross_fit(rows, learners=SOME, seeds=[])
    tuned = {"l": dict.fromkeys((0, 1), SOME["logistic"])}
    with pytest.raises(ValueError, match="'l' has none for fold 2"):
        cross_fit(rows, learners=tuned)
