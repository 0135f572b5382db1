"""Do 95 % intervals hold the truth 95 times in a hundred? Simulation, with known truths.

Scores are binormal, so that the true AUC is known. Where images come by patients, part of each
score is the patient's own; the true AUC is that of images of different patients (of all pairs,
those within a patient are one in a hundred or fewer). Wilson's settings keep off few expected
successes: any interval of a count swings there with n, this one between 0.92 and 0.98.
Run with `-s` to read the table.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.stats import norm

from melnb.evaluation import bootstrap, intervals, rankings
from melnb.evaluation.proportions import clustered_wilson

SETS = 2_000
SOUND = (0.93, 0.97)
Cohort = tuple[np.ndarray, np.ndarray, np.ndarray]
Report = Callable[..., float]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    """Count how often limits hold the truth; at the end, print all that was counted."""
    lines = ["| method | setting | covered | meant |", "|---|---|---|---|"]

    def add(
        method: str, setting: str, limits: np.ndarray, truth: float, meant: str = "95 %"
    ) -> float:
        covered = float(((limits[:, 0] <= truth) & (limits[:, 1] >= truth)).mean())
        lines.append(f"| {method} | {setting} | {100 * covered:.1f} % | {meant} |")
        return covered

    yield add
    print("\n\n" + "\n".join(lines))


def cohorts(
    *,
    auc: float,
    patients: int,
    images: float = 1,
    own: float = 0,
    spread: bool = False,
    seed: int,
    sets: int = SETS,
) -> Iterator[Cohort]:
    """Yield truth, score and patient of simulated cohorts, a fifth of whose images are positive.

    Args:
        auc: True area of images of different patients.
        patients: Their number; each has 1 image and a Poisson number of others.
        images: Of a patient, in the mean.
        own: Share of the score's variance that is the patient's.
        spread: Whether patients differ in how many of their images are positive.
        seed: Of the generator.
        sets: How many cohorts.
    """
    draw = np.random.default_rng(seed)
    shift = math.sqrt(2) * float(norm.ppf(auc))
    for _ in range(sets):
        clusters = np.repeat(np.arange(patients), 1 + draw.poisson(images - 1, patients))
        rate = draw.beta(0.2, 0.8, patients)[clusters] if spread else 0.2
        truth = draw.random(len(clusters)) < rate
        noise = math.sqrt(own) * draw.normal(size=patients)[clusters]
        noise += math.sqrt(1 - own) * draw.normal(size=len(clusters))
        yield truth, noise + shift * truth, clusters


def delong(
    truth: np.ndarray, score: np.ndarray, clusters: np.ndarray | None
) -> tuple[float, float]:
    value, se = intervals.auc_delong(truth, score, clusters)
    return value - 1.959964 * se, value + 1.959964 * se


@pytest.mark.parametrize(("auc", "images"), [(0.7, 300), (0.9, 300), (0.8, 1000)])
def test_delong_covers(report: Report, auc: float, images: int) -> None:
    limits = np.array([delong(t, s, None) for t, s, _ in cohorts(auc=auc, patients=images, seed=1)])
    covered = report("DeLong", f"{images} images, 20 % positive, AUC {auc}", limits, auc)
    assert SOUND[0] <= covered <= SOUND[1]


def test_few_positives_are_worth_a_warning(report: Report) -> None:
    draw, truth = np.random.default_rng(7), np.arange(420) < 20
    shift = math.sqrt(2) * float(norm.ppf(0.9))
    scores = draw.normal(size=(SETS, 420)) + shift * truth
    limits = np.array([delong(truth, score, None) for score in scores])
    covered = report("DeLong", "420 images, 20 positive, AUC 0.9", limits, 0.9, "less: noted")
    assert 0.86 < covered < 0.92  # `rows.few_remark` says so beside the interval


@pytest.mark.parametrize("spread", [False, True])
def test_clustered_delong_covers(report: Report, spread: bool) -> None:
    clustered, plain = [], []
    for t, s, c in cohorts(auc=0.8, patients=200, images=6, own=0.5, spread=spread, seed=2):
        clustered.append(delong(t, s, c))
        plain.append(delong(t, s, None))
    words = "200 patients of 6 images, half of the variance theirs, AUC 0.8"
    words += ", positives gathered in some" if spread else ""
    covered = report("DeLong by patient (Obuchowski)", words, np.array(clustered), 0.8)
    blind = report("DeLong, patients ignored", words, np.array(plain), 0.8, "less")
    assert SOUND[0] <= covered <= SOUND[1]
    assert blind < (0.85 if spread else covered)


@pytest.mark.parametrize(("share", "n"), [(0.5, 50), (0.2, 100), (0.9, 200), (0.02, 1000)])
def test_wilson_covers(report: Report, share: float, n: int) -> None:
    found = np.random.default_rng(3).binomial(n, share, SETS)
    limits = np.stack(intervals.wilson_interval(found, n), axis=1)
    assert SOUND[0] <= report("Wilson", f"{100 * share:g} % of {n}", limits, share) <= SOUND[1]


def test_clustered_wilson_covers_where_the_plain_one_fails(report: Report) -> None:
    draw = np.random.default_rng(4)
    limits = np.empty((2, SETS, 2))
    for k in range(SETS):
        clusters = np.repeat(np.arange(120), 1 + draw.poisson(4, 120))
        hits = draw.random(len(clusters)) < draw.beta(1.5, 0.5, 120)[clusters]
        counted = draw.random(len(clusters)) < 0.8
        for j, own in enumerate((clusters, None)):
            limits[j, k] = clustered_wilson(hits, counted, own)[1:]
    words = "75 % of 480 images of 120 patients who differ much"
    covered = report("Wilson by patient (Rao and Scott)", words, limits[0], 0.75)
    blind = report("Wilson, patients ignored", words, limits[1], 0.75, "less")
    assert SOUND[0] <= covered <= SOUND[1]
    assert blind < 0.85


# So few cohorts tell an interval that takes no heed of patients, which covers four times in five.
FEW, ALL = (150, (0.89, 0.99)), (SETS, SOUND)
night = pytest.mark.nightly


@pytest.mark.parametrize(
    ("spread", "sets", "sound"),
    [(True, *FEW), *(pytest.param(spread, *ALL, marks=night) for spread in (False, True))],
)
def test_the_clustered_bootstrap_covers(
    report: Report, spread: bool, sets: int, sound: tuple[float, float]
) -> None:
    made = [
        bootstrap.bootstrap_interval(t, s, statistic=rankings.aucs, clusters=c, seed=k)[1:]
        for k, (t, s, c) in enumerate(
            cohorts(auc=0.8, patients=200, images=6, own=0.5, spread=spread, seed=5, sets=sets)
        )
    ]
    words = "the same" + (", positives gathered in some" if spread else "")
    covered = report("bootstrap by patient, 1,000 resamples", words, np.array(made), 0.8)
    assert sound[0] <= covered <= sound[1]


@pytest.mark.parametrize(("sets", "sound"), [FEW, pytest.param(*ALL, marks=night)])
def test_the_bootstrap_of_a_mean_covers(
    report: Report, sets: int, sound: tuple[float, float]
) -> None:
    draw = np.random.default_rng(6)
    limits = np.empty((sets, 2))
    for k in range(sets):
        clusters = np.repeat(np.arange(150), 1 + draw.poisson(5, 150))
        error = 0.1 + 0.05 * draw.normal(size=150)[clusters] + draw.normal(0, 0.2, len(clusters))
        made = bootstrap.resampled_means(error[:, None] ** 2, clusters=clusters, seed=k)
        _, *limits[k] = bootstrap.percentile_interval(made[:, 0])
    truth = 0.1**2 + 0.05**2 + 0.2**2
    words = "mean squared error of 150 patients of 6 images"
    covered = report("bootstrap by patient, 1,000 resamples", words, limits, truth)
    assert sound[0] <= covered <= sound[1]
