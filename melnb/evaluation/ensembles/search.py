"""Ensemble selection: exhaustive or greedy search for the members that are best together.

Both search by the AUC of out-of-fold rows; they do so once by all rows and once without each fold,
so that what was chosen can be judged on rows that did not choose it (`optimism`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from melnb.evaluation.ensembles.alignment import Members
from melnb.evaluation.ensembles.candidates import (
    Blended,
    Candidates,
    Duels,
    Selection,
    make_candidates,
)
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
