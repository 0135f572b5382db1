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

from melnb.data import folds as dealt
from melnb.data.sources import catalogue, tasks
from melnb.display.plots import decisions, discrimination
from melnb.display.report import answers
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation import patient_context, summaries, units
from melnb.evaluation.calibration import (
    calibration_scores,
    cross_calibration,
    flexible_curve,
    prevalence,
    reliability,
)
from melnb.evaluation.challenges import scoring, submissions
from melnb.evaluation.decisions import (
    class_decision,
    class_gain,
    conformal,
    equivalence,
    flagged,
    locked_threshold,
    net_benefit,
    operating_point,
    selective,
    thresholds,
)
from melnb.evaluation.discrimination import classes, comparisons, ranking, within_folds
from melnb.evaluation.shift import areas, at_threshold, other_sources, score_shift
from melnb.evaluation.shift import at_threshold as elsewhere
from melnb.evaluation.subgroups import gaps, subgroup_metrics
from melnb.tables import schema

Work = Callable[[Cohort], object]
SIZES = (10_000, 100_000, 1_000_000)
THRESHOLD = 0.02
ONE: dict[str, Any] = {"positive": POSITIVE}
BY_PATIENT: dict[str, Any] = {**ONE, "cluster": "patient_id"}
_ENOUGH, _MOST = 1.0, 5  # seconds of a work, or times, after which its least time is taken


def _members(c: Cohort) -> dict[str, Any]:
    return {"first": c.predictions, "second": c.second}


def _sources(c: Cohort) -> dict[str, Any]:
    return other_sources.source_tables(
        c.predictions, {"there": c.elsewhere.predictions.assign(fold=-1)}, **ONE
    )


def _met(c: Cohort) -> object:
    others = {"there": c.elsewhere.predictions}
    met = other_sources.source_meetings(others, c.predictions)
    return other_sources.meeting_counts(others, met), other_sources.strangers(others, met)


def _covered(c: Cohort) -> object:
    sets = conformal.prediction_sets(c.predictions, **ONE)
    by = {"cluster": "patient_id"}
    return conformal.coverage_by_class(sets, **by), conformal.coverage_by_groups(
        sets, c.groups, **by
    )


def _prepare() -> dict[str, Work]:
    return {
        "check_images": lambda c: schema.check_images(c.images),
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
        "check_folds": lambda c: schema.check_folds(c.folds, c.images),
    }


def _reading() -> dict[str, Work]:
    return {
        "check_predictions": lambda c: schema.check_predictions(c.predictions),
        "read_members": lambda c: summaries.read_members({"m": [c.file]}, **ONE),
        "members_table, out_of_fold, rival": lambda c: (
            summaries.members_table(_members(c), **ONE),
            summaries.out_of_fold(_members(c)),
            answers.rival(_members(c)),
        ),
        "cross_calibrate, isotonic": lambda c: cross_calibration.cross_calibrate(
            c.predictions, method="isotonic", **ONE
        ),
        "prevalence.shift": lambda c: prevalence.shift_prevalence(
            c.predictions, prevalence=0.1, **ONE
        ),
    }


def _ranking() -> dict[str, Work]:
    return {
        "metrics_by_fold": lambda c: ranking.metrics_by_fold(c.predictions, **BY_PATIENT),
        "average_precision, rows drawn": lambda c: ranking.average_precision(c.predictions, **ONE),
        "cross_validated_auc": lambda c: within_folds.cross_validated_auc(
            c.predictions, **BY_PATIENT
        ),
        "roc_curve, drawn": lambda c: discrimination.roc_curve(
            {k: ranking.roc_curve(t, **ONE) for k, t in answers.by_fold(c.predictions).items()}
        ),
        "precision_recall_curve, drawn": lambda c: discrimination.precision_recall_curve(
            {
                k: ranking.precision_recall_curve(t, **ONE)
                for k, t in answers.by_fold(c.predictions).items()
            }
        ),
        "auc, lead_needed": lambda c: comparisons.lead_needed(
            ranking.auc(c.predictions, **BY_PATIENT)
        ),
        "auc_comparison": lambda c: ranking.auc_comparison(_members(c), **BY_PATIENT),
        "comparison_matrix": lambda c: comparisons.comparison_matrix(_members(c), **BY_PATIENT),
        "fold_comparison": lambda c: within_folds.fold_comparison(_members(c), **ONE),
        "equivalence_table": lambda c: equivalence.equivalence_table(
            _members(c), margin=0.02, **BY_PATIENT
        ),
        "class_scores": lambda c: classes.class_scores(c.three, cluster="patient_id"),
        "auc_by_class": lambda c: classes.auc_by_class(c.three, cluster="patient_id"),
        "confusion_by_class": lambda c: classes.confusion_by_class(c.three),
        "fit_class_decision": lambda c: class_decision.fit_class_decision(
            c.three, decide="balanced_accuracy"
        ),
        "class_gain, fitted": lambda c: class_gain.class_gain(
            c.three, decision=class_decision.fit_class_decision(c.three, decide="argmax")
        ),
        "unit_table, unit_gain": lambda c: (
            units.unit_table(c.three, unit="patient", **ONE),
            units.unit_gain(c.three, unit="patient", **ONE),
        ),
        "official_scores, ISIC 2024": lambda c: scoring.official_scores(
            c.predictions, challenge="isic2024", **BY_PATIENT
        ),
    }


def _calibration() -> dict[str, Work]:
    return {
        "reliability_table": lambda c: reliability.reliability_table(
            c.predictions, spacing="mass", **BY_PATIENT
        ),
        "calibration_scores": lambda c: calibration_scores.calibration_scores(
            c.predictions, **BY_PATIENT
        ),
        "multiclass_calibration_scores": lambda c: calibration_scores.multiclass_calibration_scores(
            c.three, cluster="patient_id"
        ),
        "calibration_curve": lambda c: flexible_curve.calibration_curve(
            c.predictions, **BY_PATIENT
        ),
        "calibration_indices": lambda c: flexible_curve.calibration_indices(
            c.predictions, **BY_PATIENT
        ),
        "calibrator_comparison": lambda c: cross_calibration.calibrator_comparison(
            c.predictions, **BY_PATIENT
        ),
    }


def _decisions() -> dict[str, Work]:
    at = {**ONE, "threshold": THRESHOLD}
    return {
        "operating_point, locked_point": lambda c: locked_threshold.locked_point(
            c.second,
            locked=locked_threshold.lock_threshold(
                operating_point.operating_point(c.predictions, **BY_PATIENT)
            ),
            cluster="patient_id",
        ),
        "operating_point_by_fold": lambda c: operating_point.operating_point_by_fold(
            c.predictions, **BY_PATIENT
        ),
        "threshold_table": lambda c: thresholds.threshold_table(c.predictions, points=400, **ONE),
        "score_histogram, drawn": lambda c: decisions.score_histogram(c.predictions, **at),
        "net_benefit_table": lambda c: net_benefit.net_benefit_table(c.predictions, **BY_PATIENT),
        "prediction_sets, coverage": _covered,
        "risk_coverage": lambda c: selective.risk_coverage(c.predictions, **at),
        "referral_table": lambda c: selective.referral_table(
            c.predictions, cluster="patient_id", **at
        ),
        "worst_errors": lambda c: flagged.worst_errors(c.predictions, **at),
        "submission_table": lambda c: submissions.submission_table(
            c.predictions, c.file.parent, challenge="isic2024", **ONE
        ),
        "write_table": lambda c: schema.write_table(c.predictions, c.file.with_name("table.csv")),
        "explorer's page": lambda c: ThresholdExplorer(
            c.predictions, groups=c.groups, other=c.second, **at
        ).page_state(),
    }


def _people() -> dict[str, Work]:
    limits = {**BY_PATIENT, "threshold": THRESHOLD}
    return {
        "subgroup_columns": lambda c: subgroup_metrics.subgroup_columns(c.images),
        "subgroup_metrics": lambda c: subgroup_metrics.subgroup_metrics(
            c.predictions, c.groups, **limits
        ),
        "gap_tests": lambda c: gaps.gap_tests(c.predictions, c.groups, **limits),
        "top_k_sensitivity_curve": lambda c: patient_context.top_k_sensitivity_curve(
            c.predictions, **ONE
        ),
        "context_scores": lambda c: patient_context.context_scores(c.predictions, **ONE),
        "ugly_duckling_gain": lambda c: patient_context.ugly_duckling_gain(c.predictions, **ONE),
    }


def _shift() -> dict[str, Work]:
    return {
        "source_meetings, strangers": _met,
        "source_tables, network_rows": lambda c: within_folds.network_rows(
            _sources(c)["there"], {}
        ),
        "external_metrics": lambda c: areas.external_metrics(_sources(c), **ONE),
        "external_classes": lambda c: areas.external_classes(
            {"internal": c.three, "there": c.elsewhere.three}
        ),
        "external_summary": lambda c: areas.external_summary(_sources(c), **ONE),
        "score_histogram": lambda c: score_shift.source_histogram(_sources(c), **ONE),
        "score_shift": lambda c: score_shift.score_shift(_sources(c), **ONE),
        "external_calibration": lambda c: score_shift.external_calibration(
            score_shift.source_versions(_sources(c), **ONE), **ONE
        ),
        "external_points": lambda c: elsewhere.external_points(
            _sources(c), locked={**ONE, "threshold": THRESHOLD}
        ),
        "flagged_shares": lambda c: elsewhere.flagged_shares(
            {"there": c.elsewhere.predictions.assign(truth=None)}, threshold=THRESHOLD, **ONE
        ),
        "source_subgroups": lambda c: at_threshold.source_subgroups(
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
