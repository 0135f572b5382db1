"""Selective prediction: risk and coverage; what is referred to an expert.

A call is more certain the farther the odds of its score lie from those of the threshold. Chow 1970,
IEEE Transactions on Information Theory 16:41; El-Yaniv and Wiener 2010, Journal of Machine Learning
Research 11:1605.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.conformal import prediction_sets
from melnb.evaluation.decisions.operating_point import OUT_OF_FOLD, TEST_ROWS
from melnb.evaluation.rows import UNCUT, absent_class, binary_rows, row_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.checks import TEST

# What a model decides by itself, and what it leaves to an expert.

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
    entries = []
    for part, name in ((~test, OUT_OF_FOLD), (test, TEST_ROWS)):
        for rule, setting, referred, called in rules if part.any() else ():
            row = {"rows": name, "rule": rule, "setting": setting}
            members = rows[part].assign(referred=referred[part], flagged=called[part])
            entries.append(row | _outcome(members, confidence, cluster))
    if rows.empty:
        entries.append({"note": absent_class(rows, positive)})
    return pd.DataFrame(entries, columns=_COLUMNS)


def _set_rules(
    predictions: pd.DataFrame, rows: pd.DataFrame, positive: str, error_rates: Sequence[float]
) -> Iterator[_Rule]:
    for error_rate in error_rates:
        sets = prediction_sets(predictions, error_rate=error_rate, positive=positive)
        labels = sets.set_index("image_id").loc[rows["image_id"]]
        flagged = labels[f"in_{positive}"].to_numpy(dtype=bool)
        yield "set", error_rate, labels["size"].to_numpy() != 1, flagged


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


Risk = Literal["error", "missed"]
_LEAST = 1e-12  # a score of 0 or 1 has odds too
_CURVE = ("coverage", "risk", "certainty", "accepted", "wrong", "note")


def risk_coverage(
    predictions: pd.DataFrame, *, positive: str, threshold: float = 0.5, risk: Risk = "error"
) -> pd.DataFrame:
    """Return the risk among the calls that are accepted, the most certain first.

    Args:
        predictions: Predictions table; out-of-fold rows are used where there are any, else test.
        positive: The class looked for.
        threshold: Of the calls, chosen before.
        risk: `error`: the share of accepted calls that are wrong; `missed`: the share of accepted
            rows that are positives left alone.

    Returns:
        `coverage` (share accepted), `risk`, `certainty` (the least that is accepted, in log odds
        from the threshold), `accepted`, `wrong`, `note`; a row per distinct certainty, since equal
        ones are accepted together, or one row with the reason when there are no rows or the
        threshold is NaN.
    """
    if math.isnan(threshold):
        return pd.DataFrame([{"note": UNCUT}], columns=list(_CURVE))
    rows = _called_rows(predictions, positive, threshold, risk)
    if rows.empty:
        reason = absent_class(rows, positive)
        return pd.DataFrame([{"note": reason}], columns=list(_CURVE))
    certainty, group = np.unique(-rows["certainty"].to_numpy(), return_inverse=True)
    accepted = np.cumsum(np.bincount(group))
    wrong = np.cumsum(np.bincount(group[rows["wrong"]], minlength=len(accepted)))
    table = pd.DataFrame({"coverage": accepted / len(rows), "risk": wrong / accepted})
    table = table.assign(certainty=0 - certainty, accepted=accepted, wrong=wrong)
    return table.assign(note=_one_class(rows, positive))


def certainties(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return how far the log odds of scores lie from those of the threshold.

    Raises:
        ValueError: The threshold is NaN, because none could be chosen, or is no share.
    """
    if not 0 <= threshold <= math.nextafter(1.0, 2.0):
        raise ValueError(f"threshold is {threshold}, not from 0 to 1: choose an operating point")
    log_odds = [np.log(p) - np.log1p(-p) for p in (_inside(scores), _inside(np.array(threshold)))]
    # Rounded: 0.9 and 0.1 are as far from 0.5 as each other.
    return np.asarray(np.round(np.abs(log_odds[0] - log_odds[1]), 9))


def _inside(scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(scores, _LEAST, 1 - _LEAST))


def _called_rows(
    predictions: pd.DataFrame, positive: str, threshold: float, risk: Risk
) -> pd.DataFrame:
    if risk not in get_args(Risk):
        raise ValueError(f"risk is {risk!r}: use error or missed")
    rows = binary_rows(predictions, positive=positive)
    out_of_fold = rows[rows["fold"] != TEST]
    rows = out_of_fold if len(out_of_fold) else rows
    flagged = rows["score"] >= threshold
    wrong = rows["truth"] & ~flagged if risk == "missed" else rows["truth"] != flagged
    certainty = certainties(rows["score"].to_numpy(), threshold)
    return rows.assign(flagged=flagged, wrong=wrong, certainty=certainty)


def named_share(
    name: str,
    hit: np.ndarray,
    among: np.ndarray,
    clusters: np.ndarray | None,
    confidence: float,
) -> tuple[dict[str, float], str]:
    """Return a clustered share as `<name>`, `<name>_low`, `<name>_high`, and why it is not there.

    Args:
        name: Empty: `value`, `low`, `high`.
        hit: n booleans, the rows counted.
        among: n booleans, the rows they are counted among.
        clusters: n whole numbers from 0; None when every row stands alone.
        confidence: Of the interval.
    """
    value, low, high = clustered_wilson(hit, among, clusters, confidence=confidence)
    names = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    why = ""
    if math.isnan(value):
        why = f"{name or 'risk'} not estimable: no such row"
    elif math.isnan(low):
        why = f"interval of {name or 'risk'} not estimable: all such rows are of one cluster"
    return dict(zip(names, (value, low, high), strict=True)), why


def _one_class(rows: pd.DataFrame, positive: str) -> str:
    if rows["truth"].nunique() == 2:
        return ""
    return f"every row is {positive}" if rows["truth"].any() else f"no row is {positive}"
