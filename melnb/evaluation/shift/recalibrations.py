"""May the probabilities be believed elsewhere, and what mends them?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from melnb.evaluation.calibration.crossfits import cross_calibrate
from melnb.evaluation.calibration.maps import Method
from melnb.evaluation.calibration.prevalence import shift
from melnb.evaluation.calibration.scores import calibration_scores
from melnb.evaluation.networks import count_networks
from melnb.evaluation.summaries import cluster_column
from melnb.tables import TEST, TableError

AS_IS, AT_PREVALENCE, ANEW = "as it came", "at its prevalence", "recalibrated"
_NAMES = {
    "ECE, equal mass, debiased": "ece", "Brier score": "brier", "log loss": "log_loss",
    "intercept": "intercept", "slope": "slope",
}  # fmt: skip
_COLUMNS = [
    "source", "version",
    *(f"{name}{end}" for name in _NAMES.values() for end in ("", "_low", "_high")),
    "prevalence", "n", "positives", "note",
]  # fmt: skip
_FEWEST = 2  # positives, and others, to fit anything on


def source_versions(
    tables: Mapping[str, pd.DataFrame], *, positive: str, method: Method = "platt"
) -> dict[str, dict[str, pd.DataFrame]]:
    """Return each source's predictions as they came, at its prevalence, and recalibrated.

    `at its prevalence` moves the internal prevalence to the source's (`prevalence.shift`): all that
    is needed where lesions of a class look alike in both. `recalibrated` is fitted within the
    source, each fifth of its patients (else lesions, else images) by what the others taught
    (`crossfits.cross_calibrate`). Both read truths of the source: one number, and all of them.

    Args:
        tables: `sources.source_tables`, of probabilities; the first is the internal one, which
            stays as it came.
        positive: The class looked for.
        method: Of the recalibration: `temperature`, `platt`, `beta` or `isotonic`.

    Returns:
        Tables by source and version; a version that too few rows forbid is absent. No source has
        any where the values are scores.
    """
    made: dict[str, dict[str, pd.DataFrame]] = {}
    base = 0.0
    for k, (name, table) in enumerate(tables.items()):
        if (table["kind"] != "probability").any():
            return {}
        truth = table["truth"] == positive
        share = float(truth.mean())
        made[name] = {AS_IS: table}
        if k == 0:
            base = share
        elif min(truth.sum(), (~truth).sum()) >= _FEWEST:
            if 0 < base < 1:
                made[name][AT_PREVALENCE] = shift(
                    table, prevalence=share, positive=positive, training_prevalence=base
                )
            made[name] |= _fitted_anew(table, positive, method)
    return made


def external_calibration(
    versions: Mapping[str, Mapping[str, pd.DataFrame]],
    *,
    positive: str,
    bins: int = 10,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well each version of each source is calibrated.

    Args:
        versions: `source_versions`.
        positive: The class looked for.
        bins: Of the ECE, of equal mass.
        confidence: Of the intervals.
        draws: Resamples for the intervals, of patients, else lesions, else images.
        seed: Of the resamples.

    Returns:
        A row per source and version: `ece` (debiased), `brier`, `log_loss`, `intercept`
        (calibration in the large: below 0 the probabilities are too high on the whole), `slope`
        (below 1 they are too extreme), each with `…_low` and `…_high`; `prevalence`, `n`,
        `positives`, `note`.
    """
    made: list[dict[str, object]] = []
    for source, tables in versions.items():
        for version, table in tables.items():
            found = calibration_scores(
                table, positive=positive, bins=bins, confidence=confidence,
                cluster=cluster_column(table), draws=draws, seed=seed,
            )  # fmt: skip
            wanted = found[found["metric"].isin(_NAMES)]
            row: dict[str, object] = {"source": source, "version": version}
            for one in wanted.to_dict("records"):
                name = _NAMES[str(one["metric"])]
                row |= {name: one["value"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
            each = count_networks(table)  # rows of an image
            positives = int((table["truth"] == positive).sum()) // each
            n = len(table) // each
            row |= {"prevalence": positives / max(1, n), "n": n}
            notes = dict.fromkeys(n for n in found["note"] if n)
            made.append(row | {"positives": positives, "note": "; ".join(notes)})
    return pd.DataFrame(made, columns=_COLUMNS)


def _fitted_anew(table: pd.DataFrame, positive: str, method: Method) -> dict[str, pd.DataFrame]:
    """Return the recalibrated version, or nothing where a part holds all rows of a class."""
    try:
        made, _ = cross_calibrate(table.assign(fold=0), method=method, positive=positive)
    except TableError:
        return {}
    return {ANEW: made.assign(fold=TEST)}
