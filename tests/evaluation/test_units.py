"""A lesion or a patient as the unit: one row by the mean of its images, and what that brings."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from melnb import display
from melnb.display.report.answers import result_answers
from melnb.evaluation.decisions.operating_point import operating_point
from melnb.evaluation.discrimination.classes import balanced_accuracy
from melnb.evaluation.discrimination.ranking import auc, metrics_by_fold
from melnb.evaluation.shift.other_sources import two_classes
from melnb.evaluation.summaries import members_table, of_intervals, unit_of
from melnb.evaluation.units import by_unit, unit_gain, unit_table
from melnb.tables.checks import TableError
from melnb.tables.schema import make_predictions

CLASSES = ("melanoma", "nevus", "benign_keratosis")
HOW: dict[str, Any] = {"unit": "lesion", "positive": "melanoma"}


def made(lesions: int = 120, *, seed: int = 0) -> pd.DataFrame:
    """One to four images a lesion, two lesions a patient; each image errs by itself."""
    draw = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(lesions), draw.integers(1, 5, lesions))
    codes = draw.choice(3, lesions, p=[0.3, 0.5, 0.2])[lesion]
    own, common = draw.normal(size=(len(lesion), 3)), draw.normal(size=(lesions, 3))[lesion]
    odds = 1.2 * own + 0.5 * common + 1.5 * np.eye(3)[codes]
    values = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    ids = [f"i{k:04d}" for k in draw.permutation(len(lesion))]
    truths = np.array(CLASSES)[codes]
    table = make_predictions(ids, lesion // 2 % 3, truths, values, classes=CLASSES, run="r")
    people = {"lesion_id": [f"L{k}" for k in lesion], "patient_id": [f"P{k // 2}" for k in lesion]}
    return table.assign(**people)


@pytest.mark.parametrize("average", ["probability", "logit"])
def test_a_lesion_is_the_mean_of_its_images(average: Any) -> None:
    table = made()
    units = unit_table(table, average=average, **HOW)
    assert units["lesion_id"].tolist() == [*dict.fromkeys(table["lesion_id"])]
    assert unit_of(units) == "lesion"
    for lesion, own in table.groupby("lesion_id"):
        row = units[units["lesion_id"] == lesion].iloc[0]
        values = own[[f"p_{c}" for c in CLASSES]].to_numpy()
        mean = np.exp(np.log(values).mean(axis=0)) if average == "logit" else values.mean(axis=0)
        wanted = mean / mean.sum()
        assert row[[f"p_{c}" for c in CLASSES]].to_numpy(dtype=float) == pytest.approx(wanted)
        assert row["image_id"] == own["image_id"].min()
        first = own.set_index("image_id").loc[row["image_id"]]
        assert (row["truth"], row["fold"], row["n_images"]) == (
            own["truth"].iloc[0], first["fold"], len(own),
        )  # fmt: skip
    assert unit_table(units, **HOW) is units
    people = unit_table(units, unit="patient", positive="melanoma")
    assert people["n_images"].sum() == len(table)
    two = unit_table(two_classes(table, positive="melanoma"), average="logit", **HOW)
    odds = np.log(table["p_melanoma"] / (1 - table["p_melanoma"]))
    wanted = odds.groupby(table["lesion_id"]).mean()
    found = two.set_index("lesion_id")["p_melanoma"]
    assert np.log(found / (1 - found)).to_dict() == pytest.approx(wanted.to_dict())


def test_an_image_is_a_unit_by_default_and_the_table_itself() -> None:
    table = made()
    assert unit_table(table, unit="image", positive="melanoma") is table
    assert by_unit({"a": table}, unit="image", positive="melanoma", average="logit")["a"] is table
    assert unit_gain(table, unit="image", positive="melanoma").empty
    assert display.unit_gain(unit_gain(table, unit="image", positive="melanoma")) is None


@settings(max_examples=settings.default.max_examples // 3)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20), st.data())
def test_order_and_spelling_change_nothing(lesions: Any, data: st.DataObject) -> None:
    draw, n = np.random.default_rng(len(lesions)), len(lesions)
    values = draw.dirichlet(np.ones(3), size=n)
    table = make_predictions(
        [f"i{k}" for k in range(n)], 0, ["nevus"] * n, values, classes=CLASSES, run="r"
    ).assign(lesion_id=[f" a{k} " if upper else f"A{k}" for k, upper in lesions])
    first = unit_table(table, **HOW).set_index("image_id")
    shuffled = table.iloc[data.draw(st.permutations(range(n)))].reset_index(drop=True)
    second = unit_table(shuffled, **HOW).set_index("image_id")
    assert len(first) == len({k for k, _ in lesions})
    assert first["n_images"].sum() == n
    columns = [f"p_{c}" for c in CLASSES]
    assert second.loc[first.index, columns].to_numpy() == pytest.approx(first[columns].to_numpy())


def test_a_lesion_in_two_folds_is_refused() -> None:
    table = made()
    several = table["lesion_id"].duplicated(keep=False)
    row = int(several.to_numpy().argmax())
    table.loc[row, "fold"] = -1
    name = table["lesion_id"].iloc[row]
    with pytest.raises(TableError, match=f"lesion_id '{name}' lies in 2 folds .*learnt and tested"):
        unit_table(table, **HOW)
    alone = table.assign(lesion_id=table["image_id"])  # the patient lies in two, and is not asked
    assert len(unit_table(alone, **HOW)) == len(table)
    with pytest.raises(TableError, match="patient_id 'P"):
        unit_table(alone, unit="patient", positive="melanoma")


def test_truths_that_differ_are_told_and_settled() -> None:
    table = made(6).assign(fold=0)
    table["lesion_id"] = ["a"] * 3 + ["b"] * 3 + [f"c{k}" for k in range(len(table) - 6)]
    table["truth"] = "nevus"
    table.loc[[0], "truth"] = "melanoma"
    table.loc[[3, 4], "truth"] = "benign_keratosis"
    units = unit_table(table, **HOW).set_index("lesion_id")
    assert units.loc[["a", "b", "c0"], "truth"].tolist() == [
        "melanoma", "benign_keratosis", "nevus",
    ]  # fmt: skip
    note = members_table({"m": unit_table(table, **HOW)}, positive="melanoma")["note"].iloc[0]
    number = f"{len(table)} images of {len(table) - 4} lesions"
    assert note == (
        f"a row is a lesion: {number}, mean of probabilities; the truth differs inside 2 of them "
        "(a, say): melanoma where any image has it, else the commonest"
    )
    test = table.assign(fold=-1, truth=table["truth"].where(table.index != 1))
    test.loc[test["lesion_id"] == "b", "truth"] = np.nan
    units = unit_table(test, **HOW).set_index("lesion_id")
    assert units.loc["a", "truth"] == "melanoma"
    assert pd.isna(units.loc["b", "truth"])


def test_who_is_unknown_stands_alone() -> None:
    table = made(20)
    table["lesion_id"] = table["lesion_id"].where(np.arange(len(table)) % 2 == 0)
    units = unit_table(table, **HOW)
    unknown = table["lesion_id"].isna()
    assert units["lesion_id"].isna().sum() == unknown.sum()
    assert len(units) == unknown.sum() + table["lesion_id"].nunique()
    bare = unit_table(table.drop(columns="lesion_id"), **HOW)
    assert len(bare) == len(table)
    note = members_table({"m": bare}, positive="melanoma")["note"].iloc[0]
    assert note == "no lesion is known: each image is judged by itself"


def test_ranks_have_no_logits() -> None:
    table = made(10).assign(kind="score")
    assert len(unit_table(table, **HOW)) == 10
    with pytest.raises(TableError, match="kind is 'score', and the mean of logits needs"):
        unit_table(table, average="logit", **HOW)
    for wrong, words in (
        ({"unit": "leison"}, "unit is 'leison': use image"),
        ({"average": "median"}, "average is 'median'"),
    ):
        with pytest.raises(ValueError, match=words):
            unit_table(table, **(HOW | wrong))


def test_whatever_judges_images_judges_lesions() -> None:
    units = unit_table(made(), **HOW)
    found = auc(units, positive="melanoma", cluster="patient_id").iloc[0]
    assert found["n"] == 120
    assert found["value"] == pytest.approx(
        roc_auc_score(units["truth"] == "melanoma", units["p_melanoma"])
    )
    assert of_intervals("patient_id", 0.95, "lesion") == (
        "95% intervals; the lesions of one patient count as one: they err together; a row is a "
        "lesion, judged by the mean of its images"
    )
    assert of_intervals("lesion_id", 0.9, "lesion").startswith("90% intervals; lesions count as i")
    answers = result_answers(
        units,
        positive="melanoma",
        cluster="patient_id",
        scores=metrics_by_fold(units, positive="melanoma"),
        point=operating_point(units, positive="melanoma"),
    )
    images = int(units["n_images"].sum())
    assert answers["unit"] == f"lesion: the mean of its images ({images} images of 120 lesions)"
    assert answers["numbers"].startswith("120 lesions, ")
    assert "60 patients" in answers["numbers"]
    assert answers["clusters"].startswith("2.0 lesions of each patient")


def test_the_gain_is_over_an_image_drawn_at_random() -> None:
    """Drawing one image of each lesion again and again comes to what the weights say at once."""
    table, draw = made(60), np.random.default_rng(1)
    gains = unit_gain(table, draws=400, **HOW).set_index(["units", "metric"])
    areas, shares = [], []
    for _ in range(400):
        one = table.sample(frac=1, random_state=draw).drop_duplicates("lesion_id")
        areas.append(roc_auc_score(one["truth"] == "melanoma", one["p_melanoma"]))
        shares.append(balanced_accuracy(one)["value"].iloc[0])
    for metric, drawn in (("AUC", areas), ("balanced accuracy", shares)):
        row, error = gains.loc[("all", metric)], np.std(drawn) / 20
        assert row["by_image"] == pytest.approx(np.mean(drawn), abs=4 * error)
        assert row["gain"] == pytest.approx(row["by_unit"] - row["by_image"])
        assert row["low"] < row["gain"] < row["high"]
    units = unit_table(table, **HOW)
    for metric, measure in (
        ("AUC", auc(units, positive="melanoma")), ("balanced accuracy", balanced_accuracy(units)),
    ):  # fmt: skip
        assert gains.loc[("all", metric), "by_unit"] == pytest.approx(measure["value"].iloc[0])
    several = gains.loc[("of several images", "AUC")]
    assert several["n"] == (units["n_images"] > 1).sum()
    assert several["images"] == table["lesion_id"].duplicated(keep=False).sum()
    assert set(gains["method"]) == {
        "DeLong by patient_id, paired",
        "bootstrap by patient_id, paired",
    }
    figure = display.unit_gain(gains.reset_index())
    assert figure is not None
    assert len(figure.data[0].x) == len(gains) == 6


def test_with_one_image_a_lesion_nothing_is_gained() -> None:
    table = made()[lambda t: ~t["lesion_id"].duplicated()].reset_index(drop=True)
    gains = unit_gain(table, draws=50, **HOW).set_index("units")
    assert (gains.loc["all", "gain"] == 0).all()
    assert gains.loc["all", "note"].str.startswith("interval not estimable").all()
    assert gains.loc["of several images", "note"] == (
        "not estimable: no unit has several images and a truth"
    )
    nevi = made()[lambda t: t["truth"] == "nevus"]
    gains = unit_gain(nevi, draws=50, **HOW).set_index(["units", "metric"])
    assert gains.loc[("all", "AUC"), "note"].startswith("not estimable: no class has rows in it")


def test_the_paired_interval_covers() -> None:
    """Where the mean of images brings nothing, the interval holds 0 as often as it says."""
    held = 0
    for seed in range(100):
        table, draw = made(80, seed=seed), np.random.default_rng(9000 + seed)
        values = draw.dirichlet([2, 2, 2], size=len(table))
        table = table.assign(**{f"p_{c}": values[:, k] for k, c in enumerate(CLASSES)})
        row = unit_gain(table, draws=2, **HOW).iloc[0]
        held += row["low"] <= 0 <= row["high"]
    assert 88 <= held <= 100
