import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from melnb.data.synthetic import cohort
from melnb.data.synthetic.cohort import make_cohort


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return make_cohort(images=20000, seed=1)


@settings(max_examples=settings.default.max_examples // 2)
@given(
    images=st.integers(1, 300),
    seed=st.integers(0, 2**31),
    positives=st.floats(0, 1),
    test=st.floats(0, 1),
    leak=st.floats(0, 1),
)
def test_every_cohort_is_whole(
    images: int, seed: int, positives: float, test: float, leak: float
) -> None:
    table = make_cohort(images=images, seed=seed, positives=positives, test=test, leak=leak)
    assert len(table) == images
    assert table["image_id"].is_unique
    assert set(table["true_diagnosis"]) <= set(cohort.DIAGNOSES)
    for prefix in ("", "true_"):
        owners = table.groupby(f"{prefix}lesion_id")[f"{prefix}patient_id"].nunique()
        assert (owners == 1).all()
        per_patient = table.groupby(f"{prefix}patient_id")[f"{prefix}lesion_id"].nunique()
        assert per_patient.between(1, 30).all()
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()
    withheld, test = table["diagnosis"].isna(), table["split"] == "test"
    assert test[withheld].all()
    numbers = [table["patient_id"][rows].nunique() for rows in (withheld, test & ~withheld)]
    assert 0 <= numbers[0] - numbers[1] <= 1, "every other one is there to judge by"
    assert (table["diagnosis"] == table["true_diagnosis"])[~withheld].all()


def test_what_belongs_to_a_lesion_is_the_same_in_all_its_images(many: pd.DataFrame) -> None:
    columns = ["true_patient_id", "true_diagnosis", "atypia", "keratotic", "has_hair", "has_ink"]
    assert (many.groupby("true_lesion_id")[columns].nunique() == 1).all(axis=None)
    columns = ["ita", "skin_tone"]
    assert (many.groupby("true_patient_id")[columns].nunique() == 1).all(axis=None)
    columns = ["sex", "age"]
    assert (many.groupby("true_patient_id")[columns].nunique() <= 1).all(axis=None)


def test_marginals_are_those_of_the_siim_2020_training_set(many: pd.DataFrame) -> None:
    sites = many["site"].value_counts(normalize=True)
    published = {"torso": 0.517, "lower extremity": 0.258, "upper extremity": 0.153}
    published |= {"head/neck": 0.057, "palms/soles": 0.012, "oral/genital": 0.004}
    for site, share in published.items():
        assert sites[site] == pytest.approx(share, abs=0.03)
    assert (many["sex"] == "male").mean() == pytest.approx(0.516, abs=0.04)
    assert many["age"].mean() == pytest.approx(48.9, abs=2)
    assert many["age"].std() == pytest.approx(14.4, abs=1.5)
    assert set(many["age"].dropna() % 5) == {0}


def test_melanoma_goes_with_age_sex_and_site_as_in_siim_2020(many: pd.DataFrame) -> None:
    melanoma = many["true_diagnosis"] == "melanoma"
    ages = many.groupby(melanoma)["age"].mean()
    assert ages[True] - ages[False] == pytest.approx(58.1 - 48.7, abs=3)
    assert (many.loc[melanoma, "sex"] == "male").mean() == pytest.approx(0.62, abs=0.06)
    assert (many.loc[melanoma, "site"] == "head/neck").mean() == pytest.approx(0.127, abs=0.04)


def test_some_values_are_missing_even_in_a_small_set(many: pd.DataFrame) -> None:
    for column in ("sex", "age", "site"):
        assert 0.003 < many[column].isna().mean() < 0.03
    assert make_cohort(images=600)[["sex", "age", "site"]].isna().any(axis=None)


def test_some_lesions_have_several_images(many: pd.DataFrame) -> None:
    views = many["true_lesion_id"].value_counts().value_counts(normalize=True)
    assert views[1] == pytest.approx(0.62, abs=0.03)
    assert views.index.max() == 4
    lesions = many.groupby("true_patient_id")["true_lesion_id"].nunique()
    assert lesions.median() in (3, 4)
    assert lesions.max() == 30


@pytest.mark.parametrize("positives", [0.0, 0.05, 0.2, 0.5])
def test_positives_is_the_share_of_melanoma(positives: float) -> None:
    for images in (200, 5000):
        table = make_cohort(images=images, positives=positives, seed=3)
        share = (table["true_diagnosis"] == "melanoma").mean()
        assert share == pytest.approx(positives, abs=4 / images)


def test_the_withheld_patients_are_like_the_rest(many: pd.DataFrame) -> None:
    assert (many["split"] == "test").mean() == pytest.approx(0.15, abs=0.02)
    shares = (many["true_diagnosis"] == "melanoma").groupby(many["split"]).mean()
    assert shares["test"] == pytest.approx(shares["train"], abs=0.03)
    assert set(make_cohort(images=100, test=0.0)["split"]) == {"train"}


def test_a_cohort_is_a_function_of_its_seed() -> None:
    pd.testing.assert_frame_equal(make_cohort(images=300, seed=5), make_cohort(images=300, seed=5))
    other = make_cohort(images=300, seed=6)
    assert (make_cohort(images=300, seed=5)["ita"] != other["ita"]).mean() > 0.9


@pytest.mark.parametrize("leak", [0.0, 0.3, 1.0])
def test_leak_parts_that_share_of_lesions_and_changes_no_picture(leak: float) -> None:
    honest, table = (make_cohort(images=3000, leak=share) for share in (0.0, leak))
    several = table["true_lesion_id"].value_counts().loc[lambda n: n > 1].index
    lesions = table[table["true_lesion_id"].isin(several)].groupby("true_lesion_id")
    parted = lesions["patient_id"].nunique() > 1
    assert parted.mean() == pytest.approx(leak, abs=0.01)
    assert (lesions["patient_id"].nunique() == lesions["lesion_id"].nunique()).all()
    drawn = [c for c in table.columns if c not in ("patient_id", "lesion_id", "split", "diagnosis")]
    pd.testing.assert_frame_equal(table[drawn], honest[drawn])


def test_a_parted_image_has_a_patient_of_its_own_whose_id_gives_nothing_away() -> None:
    table = make_cohort(images=3000, leak=0.5)
    true_patients = table.groupby("patient_id")["true_patient_id"].nunique()
    assert (true_patients == 1).all()
    first = table.groupby("true_patient_id")["patient_id"].agg(lambda ids: ids.mode()[0])
    strange = table["patient_id"] != table["true_patient_id"].map(first)
    numbers = table["patient_id"].str[3:].astype(int)
    assert roc_auc_score(strange, numbers) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("shortcut", [0.0, 0.5, 1.0])
def test_shortcut_is_how_closely_the_ruler_goes_with_melanoma(shortcut: float) -> None:
    table = make_cohort(images=20000, shortcut=shortcut)
    melanoma = table["true_diagnosis"] == "melanoma"
    ruler = table["has_ruler"].groupby(melanoma).mean()
    assert ruler[True] - ruler[False] == pytest.approx(shortcut, abs=0.02)
    for thing in ("has_ink", "has_bubbles", "has_corners"):
        shares = table[thing].groupby(melanoma).mean()
        assert shares[True] == pytest.approx(shares[False], abs=0.02)


def test_tone_gap_takes_the_signal_from_dark_skin_alone() -> None:
    def signals(tone_gap: float) -> list[float]:
        table = make_cohort(images=20000, tone_gap=tone_gap)
        dark = table["skin_tone"].isin(["brown", "dark"])
        assert 0.1 < dark.mean() < 0.3
        truth = table["true_diagnosis"] == "melanoma"
        return [float(roc_auc_score(truth[w], table["atypia"][w])) for w in (dark, ~dark)]

    (dark, light), (half, _), (none, still) = (signals(gap) for gap in (0.0, 0.5, 1.0))
    assert dark == pytest.approx(light, abs=0.04)
    assert none == pytest.approx(0.5, abs=0.04)
    assert none + 0.1 < half < dark - 0.1
    assert still == light


def test_not_even_the_hidden_atypia_tells_the_classes_apart(many: pd.DataFrame) -> None:
    truth = many["true_diagnosis"] == "melanoma"
    assert 0.9 < roc_auc_score(truth, many["atypia"]) < 0.975


@pytest.mark.parametrize(
    ("name", "value"),
    [("images", 0), ("images", 1.5), ("seed", -1), ("positives", 1.2), ("leak", np.nan)],
)
def test_a_value_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value!r}"):
        make_cohort(**{name: value})  # type: ignore[arg-type]


def test_cohorts_of_two_seeds_have_nobody_in_common() -> None:
    first, second = (make_cohort(images=60, seed=seed) for seed in (0, 1))
    for column in ("image_id", "patient_id", "lesion_id"):
        assert not set(first[column]) & set(second[column]), column
