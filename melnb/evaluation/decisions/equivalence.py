"""Non-inferiority and equivalence: not worse by more than a margin? Paired, by patient.

That a difference is not significant shows no equivalence. A margin that is agreed on beforehand
does: the first is not inferior when the interval of its lead lies above -margin, and equivalent
when it lies within both margins, which is two one-sided tests (Schuirmann 1987, Journal of
Pharmacokinetics and Biopharmaceutics 15:657). A 95 % interval tests each side at 2.5 % (ICH E9).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.rechosen import rechosen_counts
from melnb.evaluation.decisions.thresholds import Choice, choose_threshold
from melnb.evaluation.rows import (
    absent_class,
    binary_rows,
    difference_row,
    joined_rows,
    row_clusters,
)
from melnb.evaluation.statistics.bootstrap import percentile_interval, quotient
from melnb.evaluation.statistics.intervals import NO_ERROR, holm_adjusted, one_sided_p
from melnb.evaluation.statistics.proportions import paired_counts, tango_interval, tango_score

COLUMNS = (
    "measure", "first", "second", "verdict", "difference", "low", "high", "margin",
    "value_first", "value_second", "p_not_inferior", "p_not_inferior_holm", "p_equivalent",
    "p_equivalent_holm", "n", "positives", "method", "note",
)  # fmt: skip
EQUIVALENT, NOT_INFERIOR, WORSE = "equivalent", "not inferior", "worse by more than the margin"
NOT_SHOWN, NO_MARGIN = "not shown", "no margin was set beforehand: nothing is claimed"


def equivalence_table(
    members: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    margin: float,
    choose: Choice = "sensitivity",
    at: float = 0.9,
    prevalence: float = 0,
    thresholds: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return whether the first member is not inferior, or equivalent, to each other.

    AUC: DeLong's paired error (Liu et al. 2006, Statistics in Medicine 25:1219). Where these rows
    choose the thresholds, a bootstrap chooses both anew in each resample (`rechosen`); a choice for
    a sensitivity leaves the specificity to be compared, and the reverse. Where thresholds are
    given, sensitivity and specificity with Tango's interval.

    Args:
        members: Name of each and its predictions; the first is compared with the others.
        positive: The class looked for.
        margin: By how much less is still as good; 0: none was set, and nothing is claimed.
        choose: How each member's threshold is chosen: see `operating_point.operating_point`.
        at: The wanted value.
        prevalence: At which `ppv` and `cost` choose.
        thresholds: Of each member, chosen elsewhere: they win over `choose`.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row per measure and other member, `COLUMNS`: `verdict` is `equivalent`, `not inferior`,
        `worse by more than the margin` or `not shown`; Holm's p values are over the others.

    Raises:
        ValueError: The margin is not a share below 1.
        TableError: Members differ in an image's truth.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin is {margin}: use a share below 1, or 0 where none was set")
    (name, first), *others = members.items()
    reference = binary_rows(first, positive=positive)
    entries = []
    for other, second in others:
        theirs = binary_rows(second, positive=positive)[["image_id", "truth", "score"]]
        rows = joined_rows(reference, theirs)
        area = difference_row(rows, positive=positive, confidence=confidence, cluster=cluster)
        margins = [_area_row(area, margin, cluster)]
        if thresholds is None and choose != "threshold":
            how: dict[str, Any] = {"choose": choose, "at": at, "prevalence": prevalence}
            how |= {"draws": draws, "seed": seed}
            margins += _chosen_rows(rows, margin, confidence, cluster, **how)
        else:
            cuts = (thresholds[name], thresholds[other]) if thresholds else (at, at)
            margins += _fixed_rows(rows, cuts, margin, confidence, cluster)
        reason = absent_class(rows, positive)
        shared = {"first": name, "second": other, "margin": margin, "n": len(rows)}
        shared["positives"] = int(rows["truth"].sum())
        entries += [_judged({**shared, **row}, reason) for row in margins]
    table = pd.DataFrame(entries, columns=list(COLUMNS))
    for p in ("p_not_inferior", "p_equivalent"):
        by_measure = table.groupby("measure", sort=False)[p]
        table[f"{p}_holm"] = by_measure.transform(lambda v: holm_adjusted(v.to_numpy(dtype=float)))
    return table


def _chosen_rows(
    rows: pd.DataFrame,
    margin: float,
    confidence: float,
    cluster: str,
    *,
    choose: Choice,
    at: float,
    prevalence: float,
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return the shares that a choice leaves open, with both thresholds chosen anew."""
    truth, clusters = rows["truth"].to_numpy(), row_clusters(rows, cluster)
    # The same codes and seed draw the same rows for both scores.
    codes = np.arange(len(rows)) if clusters is None else clusters
    right, counts = [], []
    for column in ("score", "score_second"):
        scored = rows.assign(score=rows[column])
        how: dict[str, Any] = {"choose": choose, "at": at, "prevalence": prevalence}
        cut, _ = choose_threshold(scored, positive="", **how)
        right.append(np.where(math.isnan(cut), np.nan, (scored["score"] >= cut) == truth))
        drawn = np.full((draws, 4), np.nan)
        if truth.any() and not truth.all() and draws:
            _, drawn = rechosen_counts(scored, clusters=codes, draws=draws, seed=seed, **how)
        counts.append(drawn)
    place = "Youden's point" if choose == "youden" else f"a {choose} of {at:g}"
    entries = []
    for measure, among, cells in (("sensitivity", truth, (0, 3)), ("specificity", ~truth, (2, 1))):
        if measure == choose:
            continue
        values = [float(r[among].mean()) if among.any() else math.nan for r in right]
        shares = [quotient(c[:, cells[0]], c[:, cells[0]] + c[:, cells[1]]) for c in counts]
        row = _resampled(values[0] - values[1], shares[0] - shares[1], margin, confidence)
        entries.append({
            "measure": f"{measure} at {place}",
            "value_first": values[0], "value_second": values[1], **row,
            "method": f"bootstrap of {cluster or 'rows'}, thresholds chosen anew",
        })  # fmt: skip
    return entries


def _resampled(
    difference: float, lead: np.ndarray, margin: float, confidence: float
) -> dict[str, Any]:
    """Return a difference with its percentile limits and the p values of both margins."""
    se, low, high = (float(v) for v in percentile_interval(lead, confidence=confidence))
    lead = lead[np.isfinite(lead)]
    if not se > NO_ERROR:
        note = "interval not estimable: the resamples show no spread"
        nothing = {"low": math.nan, "high": math.nan, **_tests(math.nan, math.nan)}
        return {"difference": difference, **nothing, "note": note}
    # A resample more for the one that was seen: no p value is 0.
    p = [((lead <= -margin).sum() + 1) / (len(lead) + 1)]
    p.append(((lead >= margin).sum() + 1) / (len(lead) + 1))
    return {"difference": difference, "low": low, "high": high, **_tests(*p), "note": ""}


def _area_row(area: Mapping[str, Any], margin: float, cluster: str) -> dict[str, Any]:
    difference, se = (float(area[c]) for c in ("difference", "se"))
    return {
        "measure": "AUC",
        "value_first": area["auc_first"],
        "value_second": area["auc_second"],
        **{c: area[c] for c in ("difference", "low", "high", "note")},
        **_tests(one_sided_p((difference + margin) / se), one_sided_p((margin - difference) / se)),
        "method": f"paired DeLong by {cluster}" if cluster else "paired DeLong",
    }


def _fixed_rows(
    rows: pd.DataFrame,
    cuts: tuple[float, float],
    margin: float,
    confidence: float,
    cluster: str,
) -> list[dict[str, Any]]:
    truth, clusters = rows["truth"].to_numpy(), row_clusters(rows, cluster)
    right = [
        (rows[c].to_numpy() >= cut) == truth
        for c, cut in zip(("score", "score_second"), cuts, strict=True)
    ]
    entries = []
    for measure, among in (("sensitivity", truth), ("specificity", ~truth)):
        codes = None if clusters is None else clusters[among]
        first, second = (r[among] for r in right)
        counts = paired_counts(first, second, codes)
        estimable = not any(math.isnan(cut) for cut in cuts)
        counts = counts if estimable else (math.nan,) * 3
        _, low, high = tango_interval(counts, confidence=confidence)
        note = "" if estimable else "not estimable: no threshold could be chosen"
        if estimable and math.isnan(low):
            note = f"interval not estimable: no such row, or all of one {cluster}"
        p = (math.nan, math.nan)
        if not math.isnan(low):
            p = (
                one_sided_p(tango_score(counts, -margin)),
                one_sided_p(-tango_score(counts, margin)),
            )
        values = [float(r.mean()) if len(r) and estimable else math.nan for r in (first, second)]
        entries.append({
            "measure": measure, "value_first": values[0], "value_second": values[1],
            "difference": values[0] - values[1], "low": low, "high": high, **_tests(*p),
            "method": f"Tango{f' by {cluster}' if cluster else ''}, at these fixed thresholds",
            "note": note,
        })  # fmt: skip
    return entries


def _tests(lower: float, upper: float) -> dict[str, float]:
    both = math.nan if math.isnan(lower) or math.isnan(upper) else max(lower, upper)
    return {"p_not_inferior": float(lower), "p_equivalent": float(both)}


def _judged(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return a row with its verdict, and with the reason where it has none."""
    low, high, margin = (float(row[c]) for c in ("low", "high", "margin"))
    note = reason or row["note"]
    if math.isnan(low):
        return {**row, "verdict": "not estimable", "note": note}
    if not margin:
        row = {**row, "p_not_inferior": math.nan, "p_equivalent": math.nan}
        return {**row, "verdict": "", "note": "; ".join(filter(None, [note, NO_MARGIN]))}
    verdict = NOT_SHOWN
    if low > -margin:
        verdict = EQUIVALENT if high < margin else NOT_INFERIOR
    elif high < -margin:
        verdict = WORSE
    return {**row, "verdict": verdict, "note": note}
