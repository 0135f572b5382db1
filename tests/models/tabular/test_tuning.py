"""Tuning: the fold that is measured takes no part in what is chosen for it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from melnb.models.tabular import cross_fitting
from melnb.models.tabular.cross_fitting import cross_fit, tune_learner
from melnb.models.tabular.learners import Learner
from melnb.models.tabular.table_rows import Rows
from melnb.tables.checks import TableError
from melnb.tables.overlap import make_groups

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
FOREST = Learner("forest", weights="balanced", settings={"n_estimators": 20})
# One of these learns nothing at all.
GRID = {"C": [1e-9, 1.0]}


def tune(rows: Rows, images: pd.DataFrame, **given: object) -> tuple[dict, pd.DataFrame]:
    settings = {"learner": Learner("logistic"), "grid": GRID, "positive": "melanoma"} | given
    return tune_learner(rows, images, **settings)  # type: ignore[arg-type]


def test_the_better_setting_is_chosen_for_each_fold(rows: Rows, tables: Tables) -> None:
    grid = {"max_depth": [1, 4], "max_features": [1, 4]}
    chosen, table = tune(rows, tables[0], learner=FOREST, grid=grid)
    assert list(table) == ["fold", "settings", "auc", "sd", "n", "chosen"]
    assert len(table) == 3 * 4
    for fold, own in table.groupby("fold"):
        best = own.loc[own["auc"].idxmax()]
        assert own["chosen"].tolist() == (own["settings"] == best["settings"]).tolist()
        found = chosen[fold].settings
        assert best["settings"] == f"max_depth={found['max_depth']}, max_features=" + str(
            found["max_features"]
        )
        assert found["n_estimators"] == 20  # what the grid does not name is kept
        assert chosen[fold].weights == "balanced"
        assert (own["n"] == len(rows.outside(fold))).all()
    assert cross_fit(rows, learners={"tuned": chosen})["tuned"].predictions["fold"].nunique() == 3


def test_the_measured_fold_changes_nothing(rows: Rows, tables: Tables) -> None:
    fold = 1
    features, codes = rows.features.copy(), rows.codes.copy()
    own = rows.image_ids[rows.inside(fold)]
    features.loc[own, "age"] = 1e6
    features.loc[own, "site"] = "planted"
    codes[rows.inside(fold)] = 1 - codes[rows.inside(fold)]
    changed = replace(rows, features=features, codes=codes)
    before, after = (tune(r, tables[0])[1] for r in (rows, changed))
    at = before["fold"] == fold
    pd.testing.assert_frame_equal(before[at], after[at])
    assert not before[~at].equals(after[~at])


def test_inner_folds_part_no_patient(rows: Rows, tables: Tables) -> None:
    images = tables[0].set_index("image_id").loc[rows.image_ids].reset_index()
    own = rows.outside(0)
    groups = make_groups(images.iloc[own].reset_index(drop=True))
    patients = images["patient_id"].to_numpy()[own]
    for taught, asked in cross_fitting._inner_folds(rows.codes[own], groups, 3, seed=0):
        assert not set(patients[taught]) & set(patients[asked])
        assert len(taught) + len(asked) == len(own)


def test_row_order_of_images_changes_nothing(rows: Rows, tables: Tables) -> None:
    shuffled = tables[0].sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(tune(rows, tables[0])[1], tune(rows, shuffled)[1])


def test_of_a_large_grid_a_part_is_tried_and_the_plainest_always() -> None:
    grid = {"a": range(10), "b": range(10)}
    tried = cross_fitting._settings(grid, 6, seed=1)
    assert len(tried) == 6
    assert tried[0] == {"a": 0, "b": 0}
    assert tried != cross_fitting._settings(grid, 6, seed=2)
    assert len(cross_fitting._settings({"a": [1, 2]}, 6, seed=1)) == 2


def test_a_forest_is_tuned_with_fewer_trees() -> None:
    forest = Learner("forest", settings={"n_estimators": 1000})
    assert cross_fitting._thinned(forest, {"max_depth": 2}).settings["n_estimators"] == 200
    assert cross_fitting._thinned(forest, {"n_estimators": 1000}) is forest
    assert cross_fitting._thinned(Learner("forest"), {}).settings["n_estimators"] == 200
    assert cross_fitting._thinned(FOREST, {}).settings["n_estimators"] == 20


def test_of_equals_the_first_is_chosen(rows: Rows, tables: Tables) -> None:
    chosen, table = tune(rows, tables[0], grid={"max_iter": [500, 501, 502]})
    assert table["auc"].groupby(table["fold"]).nunique().eq(1).all()
    assert {learner.settings["max_iter"] for learner in chosen.values()} == {500}


def test_refusals(rows: Rows, tables: Tables) -> None:
    with pytest.raises(ValueError, match=r"grid is \{\}"):
        tune(rows, tables[0], grid={})
    with pytest.raises(ValueError, match="n_settings is 0"):
        tune(rows, tables[0], n_settings=0)
    with pytest.raises(ValueError, match="inner_folds is 1"):
        tune(rows, tables[0], inner_folds=1)
    with pytest.raises(ValueError, match="settings of logistic names 'depth'"):
        tune(rows, tables[0], grid={"depth": [1]})
    rare = np.zeros_like(rows.codes)
    for fold in rows.folds:
        rare[rows.inside(fold)[0]] = 1
    with pytest.raises(TableError, match=r"training rows of fold 0, .* cannot tell 'melanoma'"):
        tune(replace(rows, codes=rare), tables[0])


def test_where_nothing_is_tuned_learners_stay_as_they_are(rows: Rows, tables: Tables) -> None:
    learners = {"forest": FOREST}
    same, tried = cross_fitting.tune_learners(
        rows, tables[0], learners=learners, wanted=False, positive="melanoma"
    )
    assert (same, tried) == (learners, {})
