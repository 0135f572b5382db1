"""A class decision frozen at home, in other sources: before, after and the paired difference."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from melnb.display.plots.shift import external_decisions as draw
from melnb.evaluation.calibration.calibrators import fit_calibrator, write_calibrator
from melnb.evaluation.decisions.class_decision import (
    apply_class_decision,
    fit_class_decision,
    write_class_decision,
)
from melnb.evaluation.shift.at_threshold import (
    FrozenDecision,
    decisions_by_source,
    external_decisions,
    read_frozen_decision,
)
from melnb.evaluation.shift.other_sources import all_class_tables
from melnb.tables import schema

NAMES = ("melanoma", "nevus", "basal_cell_carcinoma")
Tables = dict[str, pd.DataFrame]


def predict(n: int, *, seed: int, folds: int = 0, run: str = "r") -> pd.DataFrame:
    """Calibrated guesses of three classes, of which the first and the last are rare."""
    draw = np.random.default_rng(seed)
    values = draw.dirichlet([0.4, 3.0, 0.25], n)
    truth = [NAMES[k] for k in (values.cumsum(axis=1) < draw.random((n, 1))).sum(axis=1).clip(0, 2)]
    fold = np.arange(n) % folds if folds else np.full(n, -1)
    ids = [f"s{seed}i{k}" for k in range(n)]
    return schema.make_predictions(ids, fold, truth, values, classes=NAMES, run=run)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return all_class_tables(predict(900, seed=0, folds=3), {"away": predict(300, seed=1)})


@pytest.fixture(scope="module")
def frozen(tables: Tables) -> FrozenDecision:
    return FrozenDecision(fit_class_decision(tables["internal"], decide="logit_adjustment"))


def calls(table: pd.DataFrame) -> pd.Series:
    return table[[f"p_{c}" for c in NAMES]].idxmax(axis=1).str.removeprefix("p_")


def test_before_and_after_are_scikit_learns(tables: Tables, frozen: FrozenDecision) -> None:
    found = external_decisions(tables, frozen=frozen, draws=200)
    assert found["rows"].tolist() == ["nested", "nested", "one score each", "one score each"]
    for name, table in tables.items():
        after = apply_class_decision(table, frozen.decision, frozen=name == "away")
        own = found[found["source"] == name].set_index("metric")
        for at, called in (("most_probable", calls(table)), ("value", calls(after))):
            balanced = balanced_accuracy_score(table["truth"], called)
            macro = f1_score(table["truth"], called, average="macro")
            assert own.loc["balanced accuracy", at] == pytest.approx(balanced)
            assert own.loc["macro F1", at] == pytest.approx(macro)
        for row in own.to_dict("records"):
            assert row["gain"] == pytest.approx(row["value"] - row["most_probable"])
            for at in ("most_probable", "value"):
                assert row[f"{at}_low"] < row[at] < row[f"{at}_high"]
            assert row["low"] < row["gain"] < row["high"]
    assert found[found["metric"] == "balanced accuracy"]["gain"].gt(0.05).all()
    kept = decisions_by_source(found)
    assert kept["external_decided_balanced_accuracy"] == [found["value"].iloc[2]]
    assert kept["external_decided_macro_f1_gain_low"] == [found["low"].iloc[3]]
    figure = draw(found)
    assert figure is not None
    assert len(figure.data[0].x) == len(found)


def test_a_class_that_a_source_lacks_is_named(tables: Tables, frozen: FrozenDecision) -> None:
    away = tables["away"][tables["away"]["truth"] != NAMES[2]]
    found = external_decisions(tables | {"away": away}, frozen=frozen, draws=50)
    row = found[found["source"] == "away"].iloc[0]
    assert "no row is basal_cell_carcinoma" in row["note"]
    shares = [(calls(away) == c)[away["truth"] == c].mean() for c in NAMES[:2]]
    assert row["most_probable"] == pytest.approx(np.mean(shares))


def test_networks_judge_alone_and_their_mean_beside(tables: Tables, frozen: FrozenDecision) -> None:
    alone = {k: predict(300, seed=1) for k in range(2)}
    found = external_decisions(tables, frozen=frozen, networks={"away": alone}, draws=50)
    away = found[found["source"] == "away"]
    ways = ["network by network"] * 2 + ["mean of networks"] * 2
    assert away["rows"].tolist() == ways
    assert away["n"].tolist() == [600, 600, 300, 300]
    assert away["value"].iloc[0] == pytest.approx(away["value"].iloc[2]), "both say the same"
    assert decisions_by_source(found)["external_decided_balanced_accuracy"] == [
        away["value"].iloc[0]
    ]


def test_the_reports_calibrator_comes_first(
    tables: Tables, frozen: FrozenDecision, tmp_path: Path
) -> None:
    calibrator = fit_calibrator(tables["internal"], method="temperature")
    write_class_decision(frozen.decision, tmp_path / "class_decision.json")
    point = tmp_path / "operating_point.json"
    assert read_frozen_decision(point) == frozen
    write_calibrator(calibrator, tmp_path / "calibrator.json")
    sought: list[Path] = []
    read = read_frozen_decision(point, reads=lambda p: (sought.append(p), p)[1])
    assert [path.name for path in sought] == ["class_decision.json", "calibrator.json"]
    assert read == FrozenDecision(frozen.decision, calibrator)
    cooled = tables | {"away": tables["away"].assign(run="r")}
    found = external_decisions(cooled, frozen=read, draws=50)
    plain = external_decisions(tables, frozen=frozen, draws=50)
    assert found["value"].to_numpy() == pytest.approx(plain["value"].to_numpy(), abs=0.05)
    assert found["most_probable"].iloc[2] == plain["most_probable"].iloc[2], "ranks stay"


def test_without_a_decision_one_row_says_so(tables: Tables, tmp_path: Path) -> None:
    assert read_frozen_decision(tmp_path / "operating_point.json") is None
    assert read_frozen_decision("") is None
    found = external_decisions(tables, frozen=None)
    assert len(found) == 1
    assert "no class decision was frozen" in found["note"].iloc[0]
    assert decisions_by_source(found) == {}
    assert draw(found) is None


def test_other_classes_and_another_run_are_told(tables: Tables, frozen: FrozenDecision) -> None:
    two = tables["away"].drop(columns="p_nevus").assign(truth="melanoma")
    two["p_basal_cell_carcinoma"] = 1 - two["p_melanoma"]
    found = external_decisions(tables | {"away": two}, frozen=frozen, draws=50)
    assert found["gain"].tail(2).isna().all()
    assert found["note"].tail(2).str.contains("not estimable: .*the classes are").all()
    strange = frozen._replace(decision=fit_class_decision(
        predict(300, seed=5, folds=3, run="another"), decide="logit_adjustment"
    ))  # fmt: skip
    noted = external_decisions(tables, frozen=strange, draws=50)["note"]
    assert noted.str.contains("fitted on run another").all()
