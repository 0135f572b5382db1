"""Many classes: scikit-learn, the official scorer's own cases, and ties."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from melnb.evaluation.discrimination import classes, ranking
from melnb.evaluation.discrimination.classes import neighbour_agreement
from melnb.evaluation.statistics.proportions import clustered_wilson

Make = Callable[..., pd.DataFrame]
SEVEN = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis",
    "benign_keratosis", "dermatofibroma", "vascular_lesion",
)  # fmt: skip


@pytest.fixture
def seven(many_classes: Make) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    code = generator.integers(0, 7, 400)
    values = generator.random((400, 7)) + 0.5 * np.eye(7)[code]
    return many_classes([SEVEN[k] for k in code], values, SEVEN)


def called(many_classes: Make, truth: str, calls: str) -> pd.DataFrame:
    """Predictions of `M` melanoma and `N` nevus, sure of their calls."""
    short = {"M": SEVEN[0], "N": SEVEN[1]}
    values = np.eye(7)[[SEVEN.index(short[c]) for c in calls]]
    return many_classes([short[t] for t in truth], values, SEVEN)


def test_areas_are_scikit_learns(seven: pd.DataFrame) -> None:
    table = classes.auc_by_class(seven).set_index("class")
    values = seven[[f"p_{c}" for c in SEVEN]].to_numpy()
    for k, name in enumerate(SEVEN):
        wanted = roc_auc_score(seven["truth"] == name, values[:, k])
        assert table.loc[name, "value"] == pytest.approx(wanted)
    code = [SEVEN.index(t) for t in seven["truth"]]
    macro = table.loc["macro"]
    assert macro["value"] == pytest.approx(roc_auc_score(code, values, multi_class="ovr"))
    assert macro["low"] < macro["value"] < macro["high"]
    assert macro["se"] < table.loc[list(SEVEN), "se"].mean()
    two = classes.auc_by_class(seven, classes=SEVEN[:2])
    assert list(two["class"]) == [*SEVEN[:2], "macro"]


def test_two_classes_are_one_question(binary: Make) -> None:
    generator = np.random.default_rng(2)
    truth = generator.random(200) < 0.3
    table = binary(truth, np.clip(generator.normal(0.4 + 0.1 * truth, 0.2), 0, 1))
    wanted = ranking.auc(table, positive="melanoma").iloc[0]
    found = classes.auc_by_class(table).set_index("class")
    for name in ("other", "melanoma", "macro"):
        for column in ("value", "se", "low", "high"):
            assert found.loc[name, column] == pytest.approx(wanted[column])


def test_the_macro_error_is_the_bootstraps(seven: pd.DataFrame) -> None:
    generator = np.random.default_rng(1)
    draws = []
    for _ in range(100):
        rows = seven.iloc[generator.integers(len(seven), size=len(seven))]
        code = [SEVEN.index(t) for t in rows["truth"]]
        draws.append(
            roc_auc_score(code, rows[[f"p_{c}" for c in SEVEN]].to_numpy(), multi_class="ovr")
        )
    macro = classes.auc_by_class(seven).iloc[-1]
    assert macro["se"] == pytest.approx(np.std(draws), rel=0.25)


def test_a_class_without_rows_is_outside_the_mean(seven: pd.DataFrame) -> None:
    fewer = seven[~seven["truth"].isin(SEVEN[5:])]
    table = classes.auc_by_class(fewer).set_index("class")
    assert table.loc["dermatofibroma", "note"] == "not estimable: no row is dermatofibroma"
    assert table.loc["macro", "value"] == pytest.approx(table.loc[list(SEVEN[:5]), "value"].mean())
    assert "dermatofibroma, vascular_lesion" in table.loc["macro", "note"]
    assert table.loc["macro", "se"] > 0
    one = seven[seven["truth"] == "nevus"]
    assert classes.auc_by_class(one)["note"].iloc[-1].startswith("not estimable: no class has")
    row = classes.balanced_accuracy(fewer).iloc[0]
    calls = np.array(SEVEN)[fewer[[f"p_{c}" for c in SEVEN]].to_numpy().argmax(1)]
    wanted = [(calls[fewer["truth"] == name] == name).mean() for name in SEVEN[:5]]
    assert row["value"] == pytest.approx(np.mean(wanted))
    assert "dermatofibroma, vascular_lesion" in row["note"]
    assert row["low"] < row["value"] < row["high"]


def test_confusion_is_scikit_learns(seven: pd.DataFrame) -> None:
    found = classes.confusion_by_class(seven)
    calls = np.array(SEVEN)[seven[[f"p_{c}" for c in SEVEN]].to_numpy().argmax(1)]
    wanted = confusion_matrix(seven["truth"], calls, labels=SEVEN)
    assert found.to_numpy().tolist() == wanted.tolist()
    assert (found.index.name, found.columns.name) == ("truth", "called")
    by_class = classes.sensitivity_by_class(seven)
    assert by_class["n"].sum() == 400
    assert (by_class["low"] < by_class["sensitivity"]).all()


@pytest.mark.parametrize(
    ("truth", "calls", "value"),
    [
        ("M", "M", 1), ("N", "M", 0), ("MM", "MM", 1), ("MN", "MN", 1), ("MN", "MM", 1 / 2),
        ("MNM", "MMM", 1 / 2), ("MNMM", "MMMM", 1 / 2), ("MNMM", "MMMN", 1 / 3),
        ("MNMM", "NMNN", 0),
    ],
)  # fmt: skip
def test_balanced_accuracy_is_the_official_scorers(
    many_classes: Make, truth: str, calls: str, value: float
) -> None:
    row = classes.balanced_accuracy(called(many_classes, truth, calls)).iloc[0]
    assert row["value"] == pytest.approx(value)


def test_a_tie_is_wrong(many_classes: Make) -> None:
    truth = ["melanoma", "melanoma", "nevus"]
    table = many_classes(truth, [[1, 1, 0], [2, 1, 1], [0, 1, 1]], ("melanoma", "nevus", "unknown"))
    found = classes.confusion_by_class(table)
    assert list(found.columns) == ["melanoma", "nevus", "unknown", "tied"]
    assert found["tied"].tolist() == [1, 1, 0]
    assert classes.balanced_accuracy(table)["value"].iloc[0] == pytest.approx((1 / 2 + 0) / 2)


def test_no_truth_at_all(binary: Make) -> None:
    table = binary([None, None], [0.2, 0.8], fold=-1)
    assert classes.confusion_by_class(table).to_numpy().sum() == 0
    row = classes.balanced_accuracy(table).iloc[0]
    assert (row["note"], row["left_out"]) == ("not estimable: no row has a truth", 2)
    assert classes.sensitivity_by_class(table)["note"].str.startswith("not estimable").all()
    assert classes.auc_by_class(table)["note"].str.startswith("not estimable").all()


def test_patients_widen_what_a_class_gets(seven: pd.DataFrame) -> None:
    twice = pd.concat([seven, seven.assign(image_id=seven["image_id"] + "b")], ignore_index=True)
    twice["patient_id"] = [f"p{k % len(seven)}" for k in range(len(twice))]
    for function in (classes.sensitivity_by_class, classes.balanced_accuracy):
        once, blind = function(seven), function(twice)
        clustered = function(twice, cluster="patient_id")
        width = [float((t["high"] - t["low"]).iloc[0]) for t in (once, blind, clustered)]
        assert width[1] < 0.75 * width[0]
        assert width[2] == pytest.approx(width[0], rel=0.03)
    alone = twice.assign(patient_id="p")
    assert "of one patient_id" in classes.balanced_accuracy(alone, cluster="patient_id")["note"][0]
    areas = classes.auc_by_class(alone, cluster="patient_id")
    assert areas["note"].str.contains("of one patient_id").all()
    assert areas[["se", "low", "high"]].isna().all(axis=None)


def test_agreement_of_neighbours_is_counted_by_class_and_patient() -> None:
    near = pd.DataFrame(
        [("x", "a", "a"), ("x", "a", "b"), ("y", "a", "a"), ("y", "a", "a"), ("z", "b", "a"),
         ("z", "b", None), ("w", None, "a")],
        columns=["image_id", "target", "neighbour_target"],
    )  # fmt: skip
    images = pd.DataFrame({"image_id": list("wxyz"), "patient_id": ["p", "q", "q", None]})
    table = neighbour_agreement(near, images, cluster="patient_id")
    a, b = table.to_dict("records")
    assert (a["class"], a["value"], a["expected"], a["images"], a["n"]) == ("a", 0.75, 0.8, 2, 4)
    assert (b["class"], b["value"], b["expected"], b["images"], b["n"]) == ("b", 0, 0.2, 1, 1)
    # One patient alone tells nothing of how patients differ; as images, the four pairs are two.
    alone = neighbour_agreement(near, images).iloc[0]
    hits, every = np.array([True, False, True, True]), np.ones(4, bool)
    expected = clustered_wilson(hits, every, np.array([0, 0, 1, 1]))
    assert (alone["value"], alone["low"], alone["high"]) == expected
    assert neighbour_agreement(near.head(0), images).empty
