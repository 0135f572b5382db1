"""From one network to the mean of five: what out-of-fold rows taught holds network by network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation import summaries
from melnb.evaluation.calibration import calibration_scores, cross_calibration
from melnb.evaluation.decisions import conformal, locked_threshold, operating_point
from melnb.evaluation.discrimination import within_folds
from melnb.evaluation.ensembles import blends, recipes
from melnb.evaluation.statistics.logistic import expit
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]
Alone = dict[int, pd.DataFrame]
FOLDS = 5


@pytest.fixture(scope="module", params=[0.5, 1.0])
def five(request: pytest.FixtureRequest, binary: Make) -> tuple[pd.DataFrame, Alone]:
    """Predictions whose test rows are the mean of five networks, and what each said of them.

    The log odds of each network err independently, by half of or as much as the images differ; its
    scale is its own.
    """
    draw, n = np.random.default_rng(0), 20_000
    scale, offset = np.linspace(0.7, 1.5, FOLDS), np.linspace(-0.4, 0.4, FOLDS)

    def score(signal: np.ndarray, network: np.ndarray | int) -> np.ndarray:
        seen = signal + request.param * draw.normal(size=n)
        return np.asarray(expit(scale[network] * (seen - 1.5) + offset[network]))

    truth = draw.random((2, n)) < 0.2
    signal = draw.normal(size=(2, n)) + 1.8 * truth
    fold = np.arange(n) % FOLDS
    inside = binary(truth[0], score(signal[0], fold), fold=fold)
    alone = {
        k: binary(truth[1], score(signal[1], k), fold=TEST).assign(
            image_id=lambda table: "t" + table["image_id"]
        )
        for k in range(FOLDS)
    }
    test = within_folds.with_mean(alone[0], alone)
    return pd.concat([inside, test], ignore_index=True), alone


def told(table: pd.DataFrame, locked: dict[str, Any]) -> tuple[float, float]:
    """The sensitivity of test rows at the locked threshold, and their calibration slope."""
    test = table[table["fold"] == TEST]
    row = locked_threshold.locked_point(test, locked=locked, draws=2).iloc[0]
    found = calibration_scores.calibration_scores(test, positive="melanoma", draws=2).set_index(
        "metric"
    )
    return float(row["sensitivity"]), float(found.loc["slope", "value"])


def test_what_was_locked_holds_network_by_network(five: tuple[pd.DataFrame, Alone]) -> None:
    table, alone = five
    how: dict[str, Any] = {"method": "platt", "positive": "melanoma"}
    inside, _ = cross_calibration.cross_calibrate(table, **how)
    point = operating_point.operating_point(inside, positive="melanoma", at=0.9, draws=2)
    locked = locked_threshold.lock_threshold(point)
    each = cross_calibration.calibrate_networks(table, alone, **how)
    sensitivity, slope = told(inside, locked)
    assert sensitivity > 0.92, "what the mean makes of it"
    assert slope > 1.15
    sensitivity, slope = told(within_folds.with_mean(inside, each), locked)
    assert sensitivity > 0.92, "calibrating each before averaging does not mend it"
    assert slope > 1.15
    test = inside[inside["fold"] == TEST]
    sensitivity, slope = told(within_folds.network_rows(test, each), locked)
    assert sensitivity == pytest.approx(0.9, abs=0.012)
    assert slope == pytest.approx(1, abs=0.06)


def test_a_network_is_calibrated_as_its_fold_was(five: tuple[pd.DataFrame, Alone]) -> None:
    table, alone = five
    how: dict[str, Any] = {"method": "platt", "positive": "melanoma"}
    inside, frozen = cross_calibration.cross_calibrate(table, **how)
    # A network that says of test rows what it said of its fold gets what its fold got.
    for fold in (0, 3):
        own = table[table["fold"] == fold].assign(fold=TEST)
        made = cross_calibration.calibrate_networks(table, {fold: own}, **how)[fold]
        wanted = inside.loc[inside["fold"] == fold, "p_melanoma"]
        assert made["p_melanoma"].to_numpy() == pytest.approx(wanted.to_numpy(), abs=1e-15)
    strange = cross_calibration.calibrate_networks(table, {9: alone[0]}, **how)[9]
    values = frozen.apply(alone[0][["p_other", "p_melanoma"]].to_numpy())
    assert strange[["p_other", "p_melanoma"]].to_numpy() == pytest.approx(values)
    assert cross_calibration.calibrate_networks(table, {}, **how) == {}


def test_sets_keep_their_promise_network_by_network(five: tuple[pd.DataFrame, Alone]) -> None:
    table, alone = five
    inside, test = (table[(table["fold"] == TEST) == is_test] for is_test in (False, True))
    rows = within_folds.network_rows(test, alone)
    for own, above, below in ((test, 0.91, 1.0), (rows, 0.89, 0.91)):
        sets = conformal.prediction_sets(pd.concat([inside, own]), positive="melanoma")
        covered = conformal.coverage_by_class(sets).set_index("rows").loc["test", "value"]
        assert covered.between(above, below).all()  # of the mean too often


def test_rows_of_an_image_err_together(binary: Make) -> None:
    draw = np.random.default_rng(1)
    truth = draw.random(300) < 0.3
    alone = {k: binary(truth, draw.random(300), fold=TEST) for k in range(3)}
    alike = dict.fromkeys(range(3), alone[0])
    locked = {"threshold": 0.4, "positive": "melanoma"}
    once = locked_threshold.locked_point(alone[0], locked=locked).iloc[0]
    rows = within_folds.network_rows(alone[0], alike)
    assert summaries.cluster_column(rows) == "lesion_id"
    assert len(rows) == rows["image_id"].nunique() == 900
    thrice = locked_threshold.locked_point(rows, locked=locked, cluster="lesion_id").iloc[0]
    for name in ("sensitivity", "sensitivity_low", "specificity_high"):
        assert thrice[name] == pytest.approx(once[name], rel=0.01)
    assert (thrice["n"], thrice["positives"]) == (once["n"], once["positives"])
    assert thrice["tp"] == 3 * once["tp"]
    assert thrice["note"].startswith("judged network by network: counts are of 3")
    # What the networks say apart is the mean of what each would be told.
    rows = within_folds.network_rows(alone[0], alone)
    found = locked_threshold.locked_point(rows, locked=locked, cluster="lesion_id").iloc[0]
    singles = [
        locked_threshold.locked_point(t, locked=locked).iloc[0]["sensitivity"]
        for t in alone.values()
    ]
    assert found["sensitivity"] == pytest.approx(np.mean(singles))
    half = alone[0].assign(patient_id=["p" if k % 2 else np.nan for k in range(300)])
    own = within_folds.network_rows(half, alone)
    assert own["patient_id"].nunique() == 151


def test_a_network_that_lacks_a_row_is_named(binary: Make) -> None:
    table = binary([True, False], [0.4, 0.2], fold=TEST)
    with pytest.raises(TableError, match=r"network of fold 1: no value of i00001 \(1 such"):
        within_folds.network_rows(table, {0: table, 1: table.head(1)})
    with pytest.raises(TableError, match="network of fold 0: no column p_melanoma"):
        within_folds.with_mean(table, {0: table.drop(columns="p_melanoma")})
    assert within_folds.network_rows(table, {}) is table
    assert within_folds.with_mean(table, {}) is table


def test_members_are_blended_network_by_network(five: tuple[pd.DataFrame, Alone]) -> None:
    table, alone = five
    other = {k: part.assign(run="b") for k, part in alone.items()}
    members = {"a": table, "b": table.assign(run="b")}
    recipe = blends.fit_recipe(members, method="mean", positive="melanoma")
    made = recipes.apply_to_networks(recipe, {"a": alone, "b": other})
    assert list(made) == [*range(FOLDS)]
    assert made[2]["p_melanoma"].to_numpy() == pytest.approx(alone[2]["p_melanoma"].to_numpy())
    assert recipes.apply_to_networks(recipe, {"a": alone, "b": {}}) == {}
    assert recipes.apply_to_networks(recipe, {"a": alone, "c": other}) == {}
