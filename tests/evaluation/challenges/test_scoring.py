"""Official measures against the scorers' own cases, published values and scikit-learn."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from melnb.evaluation.challenges import scoring
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.rows import ESTIMATE_COLUMNS
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
Cancer = tuple[np.ndarray, dict[str, np.ndarray]]


def value(table: pd.DataFrame) -> float:
    return float(table["value"].iloc[0])


def test_partial_areas_published(binary: Make, breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    radius, texture = (binary(truth, columns[f"mean {n}"]) for n in ("radius", "texture"))
    for table, least, wanted in (
        (radius, 0.8, 0.143984), (radius, 0.88, 0.074348),
        (texture, 0.8, 0.089317), (texture, 0.88, 0.041792),
    ):  # fmt: skip
        found = scoring.partial_auc(table, positive="melanoma", min_sensitivity=least, draws=200)
        assert value(found) == pytest.approx(wanted, abs=5e-7)
        assert found["low"].iloc[0] < wanted < found["high"].iloc[0]
    above = scoring.auc_above_sensitivity(radius, positive="melanoma", draws=200)
    assert value(above) == pytest.approx(0.876757, abs=5e-7)


def test_partial_areas_of_plain_predictors(binary: Make) -> None:
    perfect = binary([False, False, True, True], [0.2, 0.4, 0.6, 0.8])
    constant = binary([False, False, True, True], [0.5] * 4)
    even = binary([False, False, True, True], [0.3, 0.7, 0.3, 0.7])
    wrong = binary([False, False, True, True], [0.8, 0.6, 0.4, 0.2])
    least = {"positive": "melanoma", "draws": 0}
    for at, wanted in ((0.8, 0.2), (0.88, 0.12)):
        assert value(scoring.partial_auc(perfect, min_sensitivity=at, **least)) == pytest.approx(
            wanted
        )
    assert value(scoring.partial_auc(constant, **least)) == pytest.approx(0.02)
    assert value(scoring.partial_auc(wrong, **least)) == 0
    for table, at, wanted in (
        (perfect, 0.8, 1), (even, 0.1, 0.495), (even, 0, 0.5), (wrong, 0.8, 0), (wrong, 0, 0),
    ):  # fmt: skip
        found = scoring.auc_above_sensitivity(table, min_sensitivity=at, **least)
        assert value(found) == pytest.approx(wanted)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2).filter(
        lambda rows: 0 < sum(r[0] for r in rows) < len(rows)
    ),
    st.sampled_from([0.5, 0.8, 0.88]),
)
def test_partial_auc_is_scikit_learns_of_the_flipped_question(
    binary: Make, cells: list[tuple[bool, int]], least: float
) -> None:
    truth, score = np.array([c[0] for c in cells]), np.array([c[1] / 9 for c in cells])
    scaled = roc_auc_score(~truth, -score, max_fpr=1 - least)
    most = 1 - least  # McClish's scale, undone
    wanted = 0.5 * most**2 + (most - 0.5 * most**2) / 0.5 * (scaled - 0.5)
    found = scoring.partial_auc(
        binary(truth, score), positive="melanoma", min_sensitivity=least, draws=0
    )
    assert value(found) == pytest.approx(wanted, abs=1e-12)


def test_one_class_has_no_partial_area(binary: Make) -> None:
    for truth in ([True, True], [False, False], []):
        table = binary(truth, [0.2, 0.8][: len(truth)])
        for function in (scoring.partial_auc, scoring.auc_above_sensitivity):
            row = function(table, positive="melanoma").iloc[0]
            assert row["note"].startswith("not estimable")
            assert pd.isna(row["value"])
    with pytest.raises(ValueError, match="min_sensitivity is 80"):
        scoring.partial_auc(table, positive="melanoma", min_sensitivity=80)


def test_top_k_sensitivity(binary: Make) -> None:
    #         a: two of three seen at k=2       b: its one is third      c: none
    truth = [True, False, True, True, False, False, True, False]
    score = [0.9, 0.8, 0.7, 0.95, 0.9, 0.8, 0.7, 0.99]
    table = binary(truth, score).assign(patient_id=list("aaaabbbc"))
    found = scoring.top_k_sensitivity(table, positive="melanoma", k=2).iloc[0]
    assert found["value"] == 2 / 4
    assert found["metric"] == "top-2 sensitivity"
    assert found["low"] < 0.5 < found["high"]
    assert value(scoring.top_k_sensitivity(table, positive="melanoma")) == 1
    tied = table.assign(p_melanoma=0.5)
    shuffled = tied.sample(frac=1, random_state=2)
    pair = (scoring.top_k_sensitivity(t, positive="melanoma", k=1) for t in (tied, shuffled))
    assert value(next(pair)) == value(next(pair))
    blank = table.assign(truth=table["truth"].where(table["image_id"] != "i00007"))
    assert scoring.top_k_sensitivity(blank, positive="melanoma")["left_out"][0] == 1
    alone = scoring.top_k_sensitivity(table.head(4), positive="melanoma").iloc[0]
    assert (alone["value"], pd.isna(alone["low"])) == (1, True)
    assert alone["note"] == "interval not estimable: all rows counted are of one patient_id"
    nobody = table.assign(patient_id=np.nan)
    assert "of a known patient" in scoring.top_k_sensitivity(nobody, positive="melanoma")["note"][0]
    with pytest.raises(TableError, match="no column 'patient_id'"):
        scoring.top_k_sensitivity(binary([True], [0.5]), positive="melanoma")


def test_official_scores(binary: Make, many_classes: Make) -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(200) < 0.3
    score = np.clip(generator.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    two = binary(truth, score)
    names = ("melanoma", "nevus", "benign_keratosis")
    code = generator.integers(0, 3, 200)
    three = many_classes(
        [names[k] for k in code], generator.random((200, 3)) + 0.4 * np.eye(3)[code], names
    )
    found = {
        challenge: scoring.official_scores(table, challenge=challenge, draws=50)
        for challenge, table in (
            ("isic2016", two), ("isic2017", three), ("isic2018", three), ("isic2019", three),
            ("siim2020", two),
        )
    }  # fmt: skip
    for table in found.values():
        assert list(table.columns) == ["primary", *ESTIMATE_COLUMNS]
        assert table["primary"].tolist() == [True, *[False] * (len(table) - 1)]
        assert (table["low"] < table["value"]).all()
        assert (table["value"] < table["high"]).all()
    first = {name: table["metric"].iloc[0] for name, table in found.items()}
    assert first == {
        "isic2016": "average precision", "isic2017": "mean AUC", "isic2018": "balanced accuracy",
        "isic2019": "balanced accuracy", "siim2020": "AUC",
    }  # fmt: skip
    both = [roc_auc_score(code == k, three[f"p_{names[k]}"]) for k in (0, 2)]
    assert value(found["isic2017"]) == pytest.approx(np.mean(both))
    assert value(found["siim2020"]) == value(ranking.auc(two, positive="melanoma"))
    renamed = two.rename(columns={"p_other": "p_benign", "p_melanoma": "p_malignant"})
    renamed["truth"] = renamed["truth"].map({"melanoma": "malignant", "other": "benign"})
    last = scoring.official_scores(renamed, challenge="isic2024", draws=50)
    assert last["metric"].iloc[0] == "partial AUC above sensitivity 0.8"
    patients = renamed.assign(patient_id=[f"p{k // 2}" for k in range(200)])
    by_patient = scoring.official_scores(
        patients, challenge="isic2024", cluster="patient_id", draws=50
    )
    assert by_patient["metric"].iloc[-1] == "top-15 sensitivity"
    assert by_patient["method"].str.contains("patient_id").all()
    assert by_patient["se"].iloc[0] != last["se"].iloc[0]
    with pytest.raises(ValueError, match="challenge is 'isic2021'"):
        scoring.official_scores(two, challenge="isic2021")


def test_unknown_is_a_class_of_2019(many_classes: Make) -> None:
    names = ("melanoma", "nevus", "unknown")
    table = many_classes(
        ["melanoma", "nevus", "unknown", "unknown"],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]],
        names,
    )
    found = scoring.official_scores(table, challenge="isic2019", draws=20)
    assert value(found) == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_a_challenge_judges_what_is_looked_for_or_says_that_it_is_absent(binary: Make) -> None:
    table = binary([True, False] * 20, np.linspace(0.1, 0.9, 40) ** 2)
    made = scoring.official_scores(table, challenge="isic2024", positive="melanoma", draws=20)
    wanted = scoring.partial_auc(table, positive="melanoma", draws=20)
    assert made["value"].iloc[0] == wanted["value"].iloc[0]
    for challenge in ("isic2017", "isic2018", "isic2019"):
        row = scoring.official_scores(table, challenge=challenge, positive="melanoma").iloc[0]
        assert row["note"].startswith(f"not estimable: {challenge} judges")
        assert row["primary"]
        assert np.isnan(row["value"])
    row = scoring.official_scores(table, challenge="isic2024", positive="other").iloc[0]
    assert row["note"].startswith("not estimable: isic2024 judges malignant")
    assert scoring.official_scores(table, challenge="none").empty


def secondary_prize(table: pd.DataFrame, k: int) -> tuple[float, float]:
    """The official scorer's two ranks, patient by patient."""
    plain, ranked = [], []
    for _, own in table.groupby("patient_id"):
        positives = (own["truth"] == "melanoma").sum()
        if not positives:
            continue
        best = own.nlargest(k, "p_melanoma")
        place = {s: n + 1 for n, s in enumerate(sorted(set(best["p_melanoma"])))}
        hits = best[best["truth"] == "melanoma"]
        plain.append(len(hits) / positives)
        ranked.append(sum(place[s] / k for s in hits["p_melanoma"]) / positives)
    return float(np.mean(plain)), float(np.mean(ranked))


@pytest.mark.parametrize("k", [1, 3, 15])
def test_the_secondary_prize_of_2024_is_a_mean_over_patients(binary: Make, k: int) -> None:
    draw = np.random.default_rng(0)
    truth, score = draw.random(400) < 0.1, draw.random(400).round(2)
    table = binary(truth, score).assign(patient_id=draw.integers(0, 30, 400).astype(str))
    found = scoring.top_k_by_patient(table, positive="melanoma", k=k, draws=200)
    assert tuple(found["value"]) == pytest.approx(secondary_prize(table, k))
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    official = scoring.official_scores(
        table.rename(columns={"p_melanoma": "p_malignant"}).replace("melanoma", "malignant"),
        challenge="isic2024", draws=50,
    ).set_index("metric")  # fmt: skip
    assert official.loc["top-15 sensitivity, mean of patients", "value"] == pytest.approx(
        secondary_prize(table, 15)[0]
    )


def test_the_secondary_prize_without_patients_says_why(binary: Make) -> None:
    table = binary([False, True], [0.2, 0.8])
    unknown = scoring.top_k_by_patient(table.assign(patient_id=None), positive="melanoma")
    assert unknown["note"].str.startswith("not estimable: no row is melanoma and").all()
    alone = scoring.top_k_by_patient(table.assign(patient_id="a"), positive="melanoma")
    assert alone["note"].str.startswith("interval not estimable: all rows counted").all()
    assert alone["value"].tolist() == [1, pytest.approx(2 / 15)]
    with pytest.raises(TableError, match="no column 'patient_id'"):
        scoring.top_k_by_patient(table, positive="melanoma")


def test_patients_who_are_alike_have_no_interval(binary: Make) -> None:
    """All is seen among fifteen of each: 1, and nothing is known of how sure that is."""
    table = binary([True, False] * 20, np.linspace(0.9, 0.1, 40))
    table = table.assign(patient_id=[f"p{k // 2}" for k in range(40)])
    row = scoring.top_k_by_patient(table, positive="melanoma", draws=50).iloc[0]
    assert row["value"] == 1
    assert np.isnan(row[["low", "high"]].astype(float)).all()
    assert row["note"] == scoring.ALIKE
