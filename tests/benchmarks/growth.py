"""Measure what 02_prepare, 06_report and 06d_external compute: `growth.py <folder> [<work> …]`.

Prints a row for each work: seconds at each size, both exponents of their growth, the most MiB at
the largest size, the exponent of its growth. A work is named by the beginning of its name.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cohorts import FOLDS, POSITIVE, Cohort  # beside this file

from melnb import tables
from melnb.data import folds as dealt
from melnb.data.sources import catalogue, tasks
from melnb.display.plots import choices, curves
from melnb.display.threshold.explorer import ThresholdExplorer
from melnb.evaluation import classes, comparisons, folds, metrics, networks, summaries
from melnb.evaluation.calibration import crossfits, prevalence, reliability, scores, splines
from melnb.evaluation.challenges import scoring, submissions
from melnb.evaluation.context import gain, neighbours, retrieval
from melnb.evaluation.decisions import (
    chosen,
    conformal,
    equivalence,
    errors,
    net_benefit,
    points,
    referral,
    selective,
    thresholds,
)
from melnb.evaluation.shift import (
    all_classes,
    discrimination,
    distances,
    random_effects,
    recalibrations,
    sources,
    strata,
)
from melnb.evaluation.shift import points as elsewhere
from melnb.evaluation.subgroups import estimates, gaps, levels

Work = Callable[[Cohort], object]
SIZES = (10_000, 100_000, 1_000_000)
THRESHOLD = 0.02
ONE: dict[str, Any] = {"positive": POSITIVE}
BY_PATIENT: dict[str, Any] = {**ONE, "cluster": "patient_id"}
_ENOUGH, _MOST = 1.0, 5  # seconds of a work, or times, after which its least time is taken


def _members(c: Cohort) -> dict[str, Any]:
    return {"first": c.predictions, "second": c.second}


def _sources(c: Cohort) -> dict[str, Any]:
    return sources.source_tables(
        c.predictions, {"there": c.elsewhere.predictions.assign(fold=-1)}, **ONE
    )


def _met(c: Cohort) -> object:
    others = {"there": c.elsewhere.predictions}
    met = sources.source_meetings(others, c.predictions)
    return sources.meeting_counts(others, met), sources.strangers(others, met)


def _covered(c: Cohort) -> object:
    sets = conformal.prediction_sets(c.predictions, **ONE)
    by = {"cluster": "patient_id"}
    return conformal.coverage_by_class(sets, **by), conformal.coverage_by_groups(
        sets, c.groups, **by
    )


def _prepare() -> dict[str, Work]:
    return {
        "check_images": lambda c: tables.check_images(c.images),
        "merge_rare, class_order, describe_source": lambda c: (
            tasks.merge_rare(c.images, rarest=10),
            catalogue.class_order(c.images),
            catalogue.describe_source(c.images),
        ),
        "make_folds": lambda c: dealt.make_folds(c.images, n_folds=FOLDS, seed=0),
        "fold_balance, check_balance": lambda c: (
            dealt.fold_balance(c.images, c.folds),
            dealt.check_balance(c.images, c.folds),
        ),
        "check_folds": lambda c: tables.check_folds(c.folds, c.images),
    }


def _reading() -> dict[str, Work]:
    return {
        "check_predictions": lambda c: tables.check_predictions(c.predictions),
        "read_members": lambda c: summaries.read_members({"m": [c.file]}, **ONE),
        "members_table, out_of_fold, rival": lambda c: (
            summaries.members_table(_members(c), **ONE),
            summaries.out_of_fold(_members(c)),
            summaries.rival(_members(c)),
        ),
        "cross_calibrate, isotonic": lambda c: crossfits.cross_calibrate(
            c.predictions, method="isotonic", **ONE
        ),
        "prevalence.shift": lambda c: prevalence.shift(c.predictions, prevalence=0.1, **ONE),
    }


def _ranking() -> dict[str, Work]:
    return {
        "metrics_by_fold": lambda c: metrics.metrics_by_fold(c.predictions, **BY_PATIENT),
        "average_precision, rows drawn": lambda c: metrics.average_precision(c.predictions, **ONE),
        "cross_validated_auc": lambda c: folds.cross_validated_auc(c.predictions, **BY_PATIENT),
        "roc_curve, drawn": lambda c: curves.roc_curve(
            summaries.curves_by_fold(c.predictions, metrics.roc_curve, **ONE)
        ),
        "precision_recall_curve, drawn": lambda c: curves.precision_recall_curve(
            summaries.curves_by_fold(c.predictions, metrics.precision_recall_curve, **ONE)
        ),
        "auc, lead_needed": lambda c: comparisons.lead_needed(
            metrics.auc(c.predictions, **BY_PATIENT)
        ),
        "auc_comparison": lambda c: metrics.auc_comparison(_members(c), **BY_PATIENT),
        "comparison_matrix": lambda c: comparisons.comparison_matrix(_members(c), **BY_PATIENT),
        "fold_comparison": lambda c: folds.fold_comparison(_members(c), **ONE),
        "equivalence_table": lambda c: equivalence.equivalence_table(
            _members(c), margin=0.02, **BY_PATIENT
        ),
        "class_scores": lambda c: classes.class_scores(c.three, cluster="patient_id"),
        "auc_by_class": lambda c: classes.auc_by_class(c.three, cluster="patient_id"),
        "confusion_by_class": lambda c: classes.confusion_by_class(c.three),
        "official_scores, ISIC 2024": lambda c: scoring.official_scores(
            c.predictions, challenge="isic2024", **BY_PATIENT
        ),
    }


def _calibration() -> dict[str, Work]:
    return {
        "reliability_table": lambda c: reliability.reliability_table(
            c.predictions, spacing="mass", **BY_PATIENT
        ),
        "calibration_scores": lambda c: scores.calibration_scores(c.predictions, **BY_PATIENT),
        "multiclass_calibration_scores": lambda c: scores.multiclass_calibration_scores(
            c.three, cluster="patient_id"
        ),
        "calibration_curve": lambda c: splines.calibration_curve(c.predictions, **BY_PATIENT),
        "calibration_indices": lambda c: splines.calibration_indices(c.predictions, **BY_PATIENT),
        "calibrator_comparison": lambda c: crossfits.calibrator_comparison(
            c.predictions, **BY_PATIENT
        ),
    }


def _decisions() -> dict[str, Work]:
    at = {**ONE, "threshold": THRESHOLD}
    return {
        "operating_point, locked_point": lambda c: chosen.locked_point(
            c.second,
            locked=chosen.lock_threshold(points.operating_point(c.predictions, **BY_PATIENT)),
            cluster="patient_id",
        ),
        "operating_point_by_fold": lambda c: points.operating_point_by_fold(
            c.predictions, **BY_PATIENT
        ),
        "threshold_table": lambda c: thresholds.threshold_table(c.predictions, points=400, **ONE),
        "score_histogram, drawn": lambda c: choices.score_histogram(c.predictions, **at),
        "net_benefit_table": lambda c: net_benefit.net_benefit_table(c.predictions, **BY_PATIENT),
        "prediction_sets, coverage": _covered,
        "risk_coverage": lambda c: selective.risk_coverage(c.predictions, **at),
        "referral_table": lambda c: referral.referral_table(
            c.predictions, cluster="patient_id", **at
        ),
        "worst_errors": lambda c: errors.worst_errors(c.predictions, **at),
        "submission_table": lambda c: submissions.submission_table(
            c.predictions, c.file.with_name("submission.csv"), challenge="isic2024", **ONE
        ),
        "write_table": lambda c: tables.write_table(c.predictions, c.file.with_name("table.csv")),
        "explorer's page": lambda c: ThresholdExplorer(
            c.predictions, groups=c.groups, other=c.second, **at
        ).page_state(),
    }


def _people() -> dict[str, Work]:
    limits = {**BY_PATIENT, "threshold": THRESHOLD}
    return {
        "subgroup_columns": lambda c: levels.subgroup_columns(c.images),
        "subgroup_metrics": lambda c: estimates.subgroup_metrics(c.predictions, c.groups, **limits),
        "gap_tests": lambda c: gaps.gap_tests(c.predictions, c.groups, **limits),
        "top_k_sensitivity_curve": lambda c: retrieval.top_k_sensitivity_curve(
            c.predictions, **ONE
        ),
        "context_scores": lambda c: neighbours.context_scores(c.predictions, **ONE),
        "ugly_duckling_gain": lambda c: gain.ugly_duckling_gain(c.predictions, **ONE),
    }


def _shift() -> dict[str, Work]:
    return {
        "source_meetings, strangers": _met,
        "source_tables, network_rows": lambda c: networks.network_rows(_sources(c)["there"], {}),
        "external_metrics": lambda c: discrimination.external_metrics(_sources(c), **ONE),
        "external_classes": lambda c: all_classes.external_classes(
            {"internal": c.three, "there": c.elsewhere.three}
        ),
        "external_summary": lambda c: random_effects.external_summary(_sources(c), **ONE),
        "score_histogram": lambda c: distances.score_histogram(_sources(c), **ONE),
        "score_shift": lambda c: distances.score_shift(_sources(c), **ONE),
        "external_calibration": lambda c: recalibrations.external_calibration(
            recalibrations.source_versions(_sources(c), **ONE), **ONE
        ),
        "external_points": lambda c: elsewhere.external_points(
            _sources(c), locked={**ONE, "threshold": THRESHOLD}
        ),
        "flagged_shares": lambda c: elsewhere.flagged_shares(
            {"there": c.elsewhere.predictions.assign(truth=None)}, threshold=THRESHOLD, **ONE
        ),
        "source_subgroups": lambda c: strata.source_subgroups(
            _sources(c),
            {"internal": c.groups, "there": c.elsewhere.groups},
            threshold=THRESHOLD,
            **ONE,
        ),
    }


WORKS: dict[str, Work] = {
    **_prepare(), **_reading(), **_ranking(), **_calibration(), **_decisions(), **_people(),
    **_shift(),
}  # fmt: skip


def _measured(work: Work, cohort: Cohort) -> tuple[float, float]:
    """Return the seconds of a processor that a work takes, and the most MiB that it adds."""
    tracemalloc.start()
    work(cohort)  # the first time in this process: what it costs to touch shared memory is not told
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    taken: list[float] = []
    while sum(taken) < _ENOUGH and len(taken) < _MOST:
        start = time.process_time()
        work(cohort)
        taken.append(time.process_time() - start)
    return min(taken), peak


def _in_a_fork(work: Work, cohort: Cohort) -> tuple[float, float]:
    """Return `_measured` of a process of its own: it leaves nothing behind for the next."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=lambda: there.send(_measured(work, cohort)))
    child.start()
    there.close()
    try:
        seconds, peak = here.recv()
        return seconds, peak
    finally:
        child.join()


def _exponents(values: Sequence[float]) -> tuple[float, float]:
    """Return the exponent fitted by least squares to all sizes, and that of the last two."""
    across, up = np.log(SIZES), np.log(values)
    fitted = np.polyfit(across, up, 1)[0]
    return float(fitted), float((up[-1] - up[-2]) / (across[-1] - across[-2]))


def _row(name: str, work: Work, cohorts: list[Cohort]) -> str:
    seconds, peaks = zip(*(_in_a_fork(work, cohort) for cohort in cohorts), strict=True)
    cells = [*(f"{s:.3g}" for s in seconds), *(f"{e:.2f}" for e in _exponents(seconds))]
    cells += [f"{peaks[-1]:.0f}", f"{_exponents(peaks)[0]:.2f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main(folder: Path, wanted: tuple[str, ...]) -> None:
    """Measure the works wanted, or all."""
    works = {name: work for name, work in WORKS.items() if not wanted or name.startswith(wanted)}
    small = Cohort(2_000, folder)
    for work in works.values():  # what is imported late counts for no size
        work(small)
    cohorts = [Cohort(n, folder) for n in SIZES]
    for cohort in cohorts:  # before the forks, which would each make their own
        assert cohort.file.exists()
        assert cohort.elsewhere.n
    for name, work in works.items():
        print(_row(name, work, cohorts), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
