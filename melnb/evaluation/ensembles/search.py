"""Ensemble selection: exhaustive or greedy search for the members that are best together.

Both search by the AUC of out-of-fold rows; they do so once by all rows and once without each fold,
so that what was chosen can be judged on rows that did not choose it (optimism).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles.alignment import Members
from melnb.evaluation.ensembles.candidates import (
    Blended,
    Candidates,
    Duels,
    Selection,
    blended_scores,
    cross_fitted_scores,
    make_candidates,
    name_blend,
)
from melnb.evaluation.rows import absent_clusters, auc_estimate, few_remark, row_clusters
from melnb.evaluation.statistics import intervals
from melnb.tables.checks import TEST

MOST_MEMBERS = 18
_BITS = 10  # a job is 1,024 subsets: what it keeps is small, and sums begin anew


def select_members(
    members: Members,
    *,
    positive: str,
    select: Literal["none", "greedy", "exhaustive"] = "none",
    steps: int = 50,
    replace: bool = True,
    method: Blended = "mean",
    rank_within_fold: bool = False,
) -> Selection | None:
    """Return which members a search takes, or None if there is none.

    Args:
        members: Name and out-of-fold predictions of each.
        positive: As `make_candidates` takes it; so are `method` and `rank_within_fold`.
        select: `none`, `greedy_search` or `exhaustive_search`.
        steps: Of a greedy search, as `replace` is.
        replace: See `steps`.
        method: What is blended.
        rank_within_fold: See there.

    Raises:
        ValueError: See these functions.
        TableError: See `make_candidates`.
    """
    if select == "none":
        return None
    candidates = make_candidates(
        members, positive=positive, method=method, rank_within_fold=rank_within_fold
    )
    if select == "exhaustive":
        return exhaustive_search(candidates)
    return greedy_search(candidates, replace=replace, steps=steps)


def exhaustive_search(candidates: Candidates, *, top: int = 50, jobs: int = 2) -> Selection:
    """Return the best subset of each size, and the best of all, after looking at every one.

    Neighbours in Gray's order differ by one member, which is added or taken away: a subset costs
    one sum, one sort and no library's AUC: 15 members on 33,126 rows take half a minute of a core,
    cross-fitting by five folds included, and each further one doubles it. Memory holds the rows
    once, and the leaders alone of the subsets.

    Gray 1953, US patent 2,632,058.

    Args:
        candidates: 1 to 18 members.
        top: The number of best subsets to keep, whatever their size.
        jobs: Threads; they change nothing but the time, as sorting lets others run.

    Raises:
        ValueError: There are more members, or `top` or `jobs` is below 1.
    """
    number = len(candidates.names)
    if number > MOST_MEMBERS:
        raise ValueError(
            f"ensemble: {number} members have {2**number - 1:,} subsets, too many to look at each "
            f"(up to {MOST_MEMBERS} members, {2**MOST_MEMBERS - 1:,}): select greedily, or drop "
            "members"
        )
    for name, value in (("top", top), ("jobs", jobs)):
        if value < 1:
            raise ValueError(f"{name} is {value}: use 1 or more")
    duels = _duels(candidates, most=number)
    bits = min(number, _BITS)

    def search(high: int) -> tuple[np.ndarray, np.ndarray]:
        return _leaders(*_subsets(duels, high << bits, bits), number, top)

    with ThreadPoolExecutor(jobs) as pool:
        leaders = list(pool.map(search, range(2 ** (number - bits))))
    masks, aucs = (np.concatenate(part) for part in zip(*leaders, strict=True))
    held = _held(masks, number)
    sizes = held.sum(axis=1)
    best = [_best_of_each_size(masks, column, sizes) for column in aucs.T]
    keys = [TEST, *duels.folds.tolist()]
    first = np.lexsort((masks, sizes, -aucs[:, 0]))[:top]
    return Selection(
        candidates,
        counts={key: held[rows] for key, rows in zip(keys, best, strict=True)},
        aucs={key: aucs[rows, k] for k, (key, rows) in enumerate(zip(keys, best, strict=True))},
        leading=held[first],
        leading_aucs=aucs[first, 0],
    )


def greedy_search(
    candidates: Candidates, *, replace: bool = True, steps: int = 50, top: int = 50
) -> Selection:
    """Return the blends of a forward selection: from the best member on, add what helps most.

    Caruana, Niculescu-Mizil, Crew and Ksikes 2004, Ensemble selection from libraries of models,
    ICML. The path goes on when nothing helps; the best blend along it is chosen.

    Args:
        candidates: Any number of members.
        replace: Let a member be added again, which weighs it by whole numbers; else once each.
        steps: The length of the path, with replacement; else it ends when all are in.
        top: The number of best blends to keep.

    Raises:
        ValueError: `steps` or `top` is below 1.
    """
    for name, value in (("steps", steps), ("top", top)):
        if value < 1:
            raise ValueError(f"{name} is {value}: use 1 or more")
    length = steps if replace else len(candidates.names)
    duels = _duels(candidates, most=length)
    seen: dict[bytes, np.ndarray] = {}
    keys = [TEST, *duels.folds.tolist()]
    paths = {key: _path(duels, k, replace, length, seen) for k, key in enumerate(keys)}
    counts, aucs = paths[TEST]
    first = np.argsort(-aucs, kind="stable")[:top]
    return Selection(
        candidates,
        counts={key: path[0] for key, path in paths.items()},
        aucs={key: path[1] for key, path in paths.items()},
        leading=counts[first],
        leading_aucs=aucs[first],
    )


def _duels(candidates: Candidates, *, most: int) -> Duels:
    rows = candidates.rows
    return Duels(candidates.scores, rows["truth"].to_numpy(), rows["fold"].to_numpy(), most=most)


def _subsets(duels: Duels, high: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the subsets that share their high bits, as numbers, and their AUCs.

    Args:
        duels: Of all members.
        high: The members that all of them hold, of those from `bits` on.
        bits: The first so many members come and go.
    """
    size = 2**bits
    masks = np.empty(size, dtype=np.int64)
    aucs = np.empty((size, len(duels.folds) + 1))
    sums = duels.start.copy()
    for k in range(bits, len(duels.scores)):
        if high >> k & 1:
            np.add(sums, duels.scores[k], out=sums)
    mask = high
    for k in range(size):
        if k:
            turned = (k & -k).bit_length() - 1
            mask ^= 1 << turned
            change = np.add if mask >> turned & 1 else np.subtract
            change(sums, duels.scores[turned], out=sums)
        masks[k] = mask
        aucs[k] = duels.aucs(sums)
    return masks[masks > 0], aucs[masks > 0]


def _leaders(
    masks: np.ndarray, aucs: np.ndarray, number: int, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the subsets that may yet win: the top of all, and the best of a size in any column."""
    sizes = _held(masks, number).sum(axis=1)
    kept = [np.lexsort((masks, sizes, -aucs[:, 0]))[:top]]
    kept += [_best_of_each_size(masks, column, sizes) for column in aucs.T]
    keep = np.unique(np.concatenate(kept))
    return masks[keep], aucs[keep]


def _best_of_each_size(masks: np.ndarray, auc: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the positions of the best subset of each size; of two as good, the first by names."""
    order = np.lexsort((masks, -auc, sizes))
    return np.asarray(order[np.unique(sizes[order], return_index=True)[1]])


def _held(masks: np.ndarray, number: int) -> np.ndarray:
    """Return which members each subset holds: subsets x m of 0 and 1."""
    return masks[:, None] >> np.arange(number) & 1


def _path(
    duels: Duels, column: int, replace: bool, length: int, seen: dict[bytes, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts and AUCs along the path that one column of `Duels.aucs` leads to."""
    counts = np.zeros(len(duels.scores), dtype=np.int64)
    sums = duels.start.copy()
    path, aucs = [], []
    for _ in range(length):
        free = np.arange(len(counts)) if replace else np.flatnonzero(counts == 0)
        values = []
        for k in free:
            counts[k] += 1
            if (key := counts.tobytes()) not in seen:
                seen[key] = duels.aucs(sums + duels.scores[k])
            values.append(seen[key][column])
            counts[k] -= 1
        best = int(np.argmax(values))
        counts[free[best]] += 1
        np.add(sums, duels.scores[free[best]], out=sums)
        path.append(counts.copy())
        aucs.append(values[best])
    return np.stack(path), np.array(aucs)


# Optimism: how much of a selection's gain is luck?
#
# Apparent: what was chosen by all rows, judged on these rows; the best of many is partly the
# luckiest of many. Honest: each fold's rows by what was chosen without them. Their difference is
# the optimism.
#
# Blends chosen for different folds are on scales of their own, and pooling them costs a little
# that is no luck. So each comparison is made twice: of all pairs, as everywhere else, and of
# pairs of one fold, where scales cannot differ: LeDell, Petersen and van der Laan 2015,
# Electronic Journal of Statistics 9:1583, with folds weighed by their pairs.

OPTIMISM_COLUMNS = (
    "what", "pairs", "apparent", "honest", "low", "high", "optimism", "optimism_low",
    "optimism_high", "n", "positives", "note",
)  # fmt: skip
PATH_COLUMNS = (
    "size", "members", "added", "chosen", "apparent", "honest", "low", "high", "optimism",
    "n", "positives", "note",
)  # fmt: skip
_UNSELECTED = "not estimable: all members are blended, and none was selected"
SELECTED, OVER_MEAN, OVER_BEST = (
    "selected members", "gain over the mean of all", "gain over the best member",
)  # fmt: skip
ALL_PAIRS, ONE_FOLD = "all", "of one fold"
# Of the areas of: what was selected, apparent and honest; the mean of all; the best member, both.
_APPARENT = {SELECTED: (1, 0, 0, 0, 0), OVER_MEAN: (1, 0, -1, 0, 0), OVER_BEST: (1, 0, 0, -1, 0)}
_HONEST = {SELECTED: (0, 1, 0, 0, 0), OVER_MEAN: (0, 1, -1, 0, 0), OVER_BEST: (0, 1, 0, 0, -1)}


def optimism_table(
    selection: Selection | None, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return what the selection seems to bring, what it brings, and the difference.

    The best member is chosen too, and without the rows that it is judged on; the mean of all needs
    no choice. Intervals are DeLong's, of areas on the same rows (by cluster, Obuchowski 1997); they
    hold for what was chosen, and leave out that other images would have chosen otherwise.

    Args:
        selection: `search.select_members`; None, where nothing was searched: a row that says so.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `OPTIMISM_COLUMNS`, three rows for each kind of pairs: `low` and `high` are of `honest`, and
        a gain whose limits span 0 is not shown.
    """
    if selection is None:
        cells = {"what": [SELECTED], "pairs": [ALL_PAIRS], "note": [_UNSELECTED]}
        return pd.DataFrame(cells, columns=list(OPTIMISM_COLUMNS))
    rows = selection.candidates.rows
    truth = rows["truth"].to_numpy()
    clusters = row_clusters(rows, cluster)
    one = {fold: counts[0] for fold, counts in selection.counts.items()}
    best = {fold: selection.chosen(fold) for fold in selection.counts}
    scores = np.stack(
        [
            blended_scores(selection.candidates, selection.chosen()),
            cross_fitted_scores(selection, best),
            blended_scores(selection.candidates, np.ones_like(selection.chosen())),
            blended_scores(selection.candidates, selection.counts[TEST][0]),
            cross_fitted_scores(selection, one),
        ]
    )
    reason, remark = absent_clusters(rows, cluster), few_remark(rows, cluster)
    entries = []
    for pairs in (ALL_PAIRS, ONE_FOLD):
        fold = rows["fold"].to_numpy() if pairs == ONE_FOLD else np.zeros(len(rows), dtype=int)
        values, covariance = _areas(truth, scores, fold, clusters)
        if reason:
            covariance = np.full_like(covariance, math.nan)
        for what in _APPARENT:
            row = _compared(what, values, covariance, confidence)
            row["note"] = "; ".join(str(t) for t in (reason or row["note"], remark) if t)
            entries.append(row | {"what": what, "pairs": pairs})
    table = pd.DataFrame(entries).assign(n=len(rows), positives=int(truth.sum()))
    return table[list(OPTIMISM_COLUMNS)]


def path_table(
    selection: Selection | None, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the best blend of each size: its apparent area, and the honest one of its size.

    Args:
        selection: `search.select_members`, of a greedy search its path; None: no row.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        `PATH_COLUMNS`: `members` by all rows; `added`, where they are those of the row before and
        one more; `chosen` marks the best; `honest` with `low` and `high` for a selection that takes
        just so many, each fold's rows by the members chosen without them.
    """
    if selection is None:
        return pd.DataFrame(columns=list(PATH_COLUMNS))
    names, rows = selection.candidates.names, selection.candidates.rows
    everyone, apparent = selection.counts[TEST], selection.aucs[TEST]
    entries = []
    for k, counts in enumerate(everyone):
        of_size = {fold: steps[k] for fold, steps in selection.counts.items()}
        scored = rows.assign(score=cross_fitted_scores(selection, of_size))
        honest = auc_estimate(
            scored, positive=selection.candidates.positive, confidence=confidence, cluster=cluster
        ).iloc[0]
        more = counts - everyone[k - 1] if k else counts
        entries.append(
            {
                "size": int(counts.sum()),
                "members": name_blend(names, counts),
                "added": names[int(more.argmax())] if more.min() >= 0 else "",
                "chosen": k == int(np.argmax(apparent)),
                "apparent": apparent[k],
                "honest": honest["value"],
                "optimism": round(apparent[k] - honest["value"], 12) + 0.0,  # no -1e-16, no -0
                **honest[["low", "high", "n", "positives", "note"]],
            }
        )
    return pd.DataFrame(entries, columns=list(PATH_COLUMNS))


def _areas(
    truth: np.ndarray, scores: np.ndarray, fold: np.ndarray, clusters: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas of k scores over the pairs of one fold, and their covariance.

    A fold counts by its pairs; one that lacks a class has none.
    """
    values, parts = np.zeros(len(scores)), np.zeros(scores.shape)
    pairs = {k: int(truth[fold == k].sum()) * int((~truth[fold == k]).sum()) for k in set(fold)}
    total = sum(pairs.values())
    for k in sorted(pairs):
        if not pairs[k]:
            continue
        members, share = fold == k, pairs[k] / total
        for j, score in enumerate(scores):
            value, part = intervals.auc_parts(truth[members], score[members])
            values[j] += share * value
            parts[j, members] = share * part
    if not total:
        values[:] = parts[:] = math.nan
    return values, intervals.auc_covariance(parts, truth, clusters)


def _compared(
    what: str, values: np.ndarray, covariance: np.ndarray, confidence: float
) -> dict[str, object]:
    """Return a row of the table without its counts."""
    apparent, honest = np.array(_APPARENT[what]), np.array(_HONEST[what])
    luck, quantile = apparent - honest, intervals.normal_quantile(confidence)
    half, note = _half_width(honest, covariance, quantile)
    row: dict[str, object] = {"apparent": apparent @ values, "honest": honest @ values}
    row |= {"low": honest @ values - half, "high": honest @ values + half}
    if what == SELECTED:
        limits = intervals.auc_limits(honest @ values, half / quantile, confidence=confidence)
        row["low"], row["high"] = limits
    half, luck_note = _half_width(luck, covariance, quantile)
    row |= {"optimism": luck @ values, "optimism_low": luck @ values - half}
    row |= {"optimism_high": luck @ values + half}
    if not note and luck_note:
        note = "no error of the optimism: every fold chose what all rows did"
    if math.isnan(values[0]):
        note = "not estimable: no fold holds both classes"
    return row | {"note": note}


def _half_width(contrast: np.ndarray, covariance: np.ndarray, quantile: float) -> tuple[float, str]:
    variance = float(contrast @ covariance @ contrast)
    if math.isnan(variance):
        return math.nan, "interval not estimable: a class has too few rows"
    if variance <= intervals.NO_ERROR**2:
        return math.nan, "interval not estimable: both rank the rows alike"
    return quantile * math.sqrt(variance), ""
