"""Plans against published examples, statsmodels, and the widths that simulated studies get."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from melnb.evaluation.statistics import intervals, sample_size
from melnb.evaluation.statistics.logistic import expit, fit_logistic, logistic_covariance
from melnb.evaluation.statistics.proportions import clustered_wilson

Z = 1.959964


def planned(measure: str, **wished: float) -> dict[str, float]:
    table = sample_size.sample_plan(**{"prevalence": 0.1, "auc": 0.85, **wished})
    rows = table[table["measure"] == measure]
    return dict(zip(rows["method"], rows["images"], strict=True))


def test_the_ratio_and_the_auc_are_those_of_pmvalsampsize() -> None:
    """R's pmvalsampsize 0.1.0, its tests and documented runs; Riley et al. 2021's example."""
    rare = {"prevalence": 0.018, "auc": 0.8, "ratio_width": 1.0}
    # It steps the error by 0.0001 up to the width, which changes the last digit at most.
    assert planned("observed / expected", **rare)["Riley 2021"] == pytest.approx(905, abs=1)
    assert planned("AUC", **rare)["Riley 2021"] == 4252
    common = {"prevalence": 0.2, "auc": 0.78}
    assert planned("AUC", **common)["Riley 2021"] == 511
    assert planned("observed / expected", **common)["Riley 2021"] == pytest.approx(1538, rel=0.003)


def test_the_slope_is_that_of_pmvalsampsize() -> None:
    """2,958 images for log odds of mean -1.75 and deviation 1.22; it draws a million of them."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    found = sample_size.slope_images(-1.75 + 1.22 * node, weight / weight.sum(), 0.2 / 2 / 1.96)
    assert found == pytest.approx(2958, rel=0.002)


def test_obuchowskis_positives_are_those_of_hajian_tilaki() -> None:
    """Journal of Biomedical Informatics 2014, 48:193: AUC 0.7, 0.07 to each side: 114 of each."""
    found = sample_size.obuchowski_positives(0.7, 1.0, 0.14)
    assert math.ceil(found) == 114
    assert found * (0.07 / 1.96) ** 2 == pytest.approx(0.145136, abs=5e-5)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_wilsons_rows_are_the_fewest(share: float) -> None:
    images = planned("sensitivity", sensitivity=share, sensitivity_width=0.08)["Wilson"]
    rows = round(images * 0.1)
    for n, enough in ((rows, True), (rows - 1, False)):
        low, high = proportion_confint(share * n, n, method="wilson")
        assert (high - low <= 0.08) == enough


def test_the_log_odds_have_the_auc_and_the_prevalence() -> None:
    odds, weight = sample_size.binormal_log_odds(0.88, 0.07)
    chance = expit(odds)
    assert (weight * chance).sum() == pytest.approx(0.07, abs=1e-6)
    # Whoever is drawn as positive is so at the rate that the log odds say.
    half = len(odds) // 2
    assert (weight[:half] * odds[:half]).sum() == pytest.approx(
        ((1 - chance) * weight * odds).sum(), abs=1e-6
    )
    gap = weight[half:] @ odds[half:] / 0.07 - weight[:half] @ odds[:half] / 0.93
    assert norm.cdf(math.sqrt(gap / 2)) == pytest.approx(0.88)


def simulated(
    auc: float, prevalence: float, n: int, seed: int, sets: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truths and log odds of calibrated, binormal predictions."""
    draw = np.random.default_rng(seed)
    variance = 2 * norm.ppf(auc) ** 2
    base = math.log(prevalence / (1 - prevalence))
    made = []
    for _ in range(sets):
        truth = draw.random(n) < prevalence
        made.append((truth, base + variance * (truth - 0.5) + variance**0.5 * draw.normal(size=n)))
    return made


def test_simulated_studies_of_the_planned_size_have_the_wished_widths() -> None:
    auc, prevalence, width = 0.85, 0.1, 0.25
    images = planned("calibration slope", slope_width=width)["Riley 2021"]
    slopes = []
    for truth, odds in simulated(auc, prevalence, int(images), 0, 60):
        design = np.column_stack([odds, np.ones(len(odds))])
        found = fit_logistic(design, truth.astype(float))
        covariance = logistic_covariance(design, truth.astype(float), 0 * odds, found)
        slopes.append(2 * Z * math.sqrt(covariance[0, 0]))
    assert np.mean(slopes) == pytest.approx(width, rel=0.03)
    for method, least, most in (("Riley 2021", 0.9, 1.02), ("Obuchowski 1998", 0.75, 0.95)):
        images = planned("AUC")[method]
        sets = simulated(auc, prevalence, int(images), 1, 200)
        widths = [2 * Z * intervals.auc_delong(t, odds)[1] for t, odds in sets]
        assert least < np.mean(widths) / 0.1 < most, method
    images = planned("observed / expected", ratio_width=0.4)["Riley 2021"]
    ratio = [t.sum() / expit(o).sum() for t, o in simulated(auc, prevalence, int(images), 2, 2000)]
    low, high = np.quantile(ratio, [0.025, 0.975])
    # The expected number varies with the observed one: the formula plans a little too many.
    assert 0.7 * 0.4 < high - low < 0.4


def test_patients_of_several_images_get_the_wished_widths_too() -> None:
    draw, per_patient, correlation = np.random.default_rng(3), 5, 0.4
    images = planned(
        "specificity", images_per_patient=per_patient, correlation=correlation,
        specificity_width=0.12,
    )["Wilson"]  # fmt: skip
    assert images == pytest.approx(
        (1 + 4 * 0.4) * planned("specificity", specificity_width=0.12)["Wilson"], rel=0.01
    )
    patients, widths = round(0.9 * images / per_patient), []
    for _ in range(200):  # beta-binomial: the correlation is 1 / (1 + a + b)
        total = 1 / correlation - 1
        rate = draw.beta(0.8 * total, 0.2 * total, patients)
        hits = draw.random((patients, per_patient)) < rate[:, None]
        clusters = np.repeat(np.arange(patients), per_patient)
        hits = hits.ravel()
        _, low, high = clustered_wilson(hits, np.ones_like(hits), clusters)
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(0.12, rel=0.04)


def test_the_last_row_is_the_most_and_a_width_of_nothing_is_left_out() -> None:
    table = sample_size.sample_plan(prevalence=0.1, auc=0.85, ratio_width=0)
    assert "observed / expected" not in set(table["measure"])
    assert tuple(table.columns) == sample_size.COLUMNS
    last = table.iloc[-1]
    assert last["measure"] == sample_size.ALL
    assert last["images"] == table["images"].max() == table["images"][:-1].max()
    assert last["positives"] == math.ceil(last["images"] / 10 - 1e-9)


@pytest.mark.parametrize(
    ("wished", "words"),
    [
        ({"prevalence": 0}, "prevalence is 0"),
        ({"auc": 0.5}, "auc is 0.5"),
        ({"auc": 1.0}, "auc is 1.0"),
        ({"sensitivity": 90}, "sensitivity is 90"),
        ({"auc_width": -0.1}, "the width of AUC is -0.1"),
        ({"images_per_patient": 3}, "say by correlation"),
        ({"images_per_patient": 3, "correlation": 1.5}, "correlation is 1.5"),
        (
            {"images_per_patient": 3, "correlation": 0.5, "positives_per_patient": 4},
            "positives_per_patient is 4",
        ),
        ({"images_per_patient": 0.5}, "images_per_patient is 0.5"),
        ({"auc_width": 1e-9}, "widen it"),
        (dict.fromkeys((f"{n}_width" for n in ("auc", "sensitivity", "specificity", "slope",
                        "ratio")), 0), "every width is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused(wished: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        planned("AUC", **wished)
