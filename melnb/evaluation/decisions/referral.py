"""What a model decides by itself, and what it leaves to an expert."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.conformal import prediction_sets
from melnb.evaluation.decisions.points import OUT_OF_FOLD, TEST_ROWS
from melnb.evaluation.decisions.selective import certainties, named_share
from melnb.evaluation.rows import UNCUT, absent_class, binary_rows, row_clusters
from melnb.tables import TEST

_SHARES = (
    "referred", "sensitivity", "specificity", "assisted_sensitivity", "assisted_specificity",
)  # fmt: skip
_COLUMNS = [
    "rows", "rule", "setting", *(f"{s}{end}" for s in _SHARES for end in ("", "_low", "_high")),
    "n", "positives", "note",
]  # fmt: skip
_Rule = tuple[str, float, np.ndarray, np.ndarray]  # name, setting, who is referred and who flagged


def referral_table(
    predictions: pd.DataFrame,
    *,
    positive: str,
    threshold: float,
    error_rates: Sequence[float] = (0.05, 0.1, 0.2),
    bands: Sequence[float] = (1.5, 2, 4),
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return what referring uncertain images to an expert would do, by rule.

    Args:
        predictions: Predictions table. Sets are made by `conformal.prediction_sets`, so that
            test rows bring no rule of their own; without out-of-fold rows there are bands alone.
        positive: The class looked for.
        threshold: Of the calls, chosen before; NaN: none could be, and the table says so.
        error_rates: An image is referred when its conformal set at this rate has not one class;
            the rest are called by their set.
        bands: An image is referred when the odds of its score lie within this factor of those of
            the threshold, above 1; the rest are called by the threshold.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together: intervals widen.

    Returns:
        `rows` (out of fold, test), `rule` (none, set, band), `setting`; `referred` (share of all),
        `sensitivity` and `specificity` of the rest, `assisted_sensitivity` and
        `assisted_specificity` (the rest, and an expert who is always right), each with `…_low`,
        `…_high`; `n`, `positives`, `note`.
    """
    for band in bands:
        if not 1 < band < math.inf:
            raise ValueError(f"bands holds {band}: use factors of the odds above 1, such as 2")
    rows = binary_rows(predictions, positive=positive)
    if math.isnan(threshold):
        return pd.DataFrame([{"note": UNCUT}], columns=_COLUMNS)
    test = (rows["fold"] == TEST).to_numpy()
    flagged = rows["score"].to_numpy() >= threshold
    nobody = np.zeros(len(rows), dtype=bool)
    rules: list[_Rule] = [("none", math.nan, nobody, flagged)]
    if (~test).any():
        rules += _set_rules(predictions, rows, positive, error_rates)
    far = certainties(rows["score"].to_numpy(), threshold)
    rules += [("band", band, far <= round(math.log(band), 9), flagged) for band in bands]
    made = []
    for part, name in ((~test, OUT_OF_FOLD), (test, TEST_ROWS)):
        for rule, setting, referred, called in rules if part.any() else ():
            row = {"rows": name, "rule": rule, "setting": setting}
            own = rows[part].assign(referred=referred[part], flagged=called[part])
            made.append(row | _outcome(own, confidence, cluster))
    if rows.empty:
        made.append({"note": absent_class(rows, positive)})
    return pd.DataFrame(made, columns=_COLUMNS)


def _set_rules(
    predictions: pd.DataFrame, rows: pd.DataFrame, positive: str, error_rates: Sequence[float]
) -> Iterator[_Rule]:
    for error_rate in error_rates:
        sets = prediction_sets(predictions, error_rate=error_rate, positive=positive)
        own = sets.set_index("image_id").loc[rows["image_id"]]
        flagged = own[f"in_{positive}"].to_numpy(dtype=bool)
        yield "set", error_rate, own["size"].to_numpy() != 1, flagged


def _outcome(rows: pd.DataFrame, confidence: float, cluster: str) -> dict[str, Any]:
    truth, referred, flagged = (
        rows[c].to_numpy(dtype=bool) for c in ("truth", "referred", "flagged")
    )
    clusters, every = row_clusters(rows, cluster), np.ones(len(rows), dtype=bool)
    outcome: dict[str, Any] = {"n": len(rows), "positives": int(truth.sum())}
    notes = []
    for name, hit, among in zip(
        _SHARES,
        (referred, flagged, ~flagged, flagged | referred, ~flagged | referred),
        (every, truth & ~referred, ~truth & ~referred, truth, ~truth),
        strict=True,
    ):
        shares, note = named_share(name, hit, among, clusters, confidence)
        outcome |= shares
        notes += [note] if note else []
    return outcome | {"note": "; ".join(notes)}
