"""Sampling: which images an epoch learns from: balanced sampling, oversampling.

A plan is a pure function of (rows, sampling, seed, epoch): a run that was killed and is taken up
at an epoch meets the very images that it would have met. It is made of row numbers alone; no
picture is read for it, and none but the rows given can be in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from melnb.data.epochs.training_rows import EXTERNAL, PSEUDO
from melnb.data.epochs.training_rows import Rows as Rows
from melnb.data.epochs.training_rows import join_rows as join_rows
from melnb.data.epochs.training_rows import read_rows as read_rows

SAMPLINGS = ("natural", "balanced", "oversample")


@dataclass(frozen=True)
class Sampling:
    """How the images of an epoch are chosen.

    Attributes:
        kind: `natural`: every row once. `oversample`: every row as often as its class says.
            `balanced`: as many draws as there are rows, with replacement.
        balance: Of kind balanced. A class of n images is drawn in proportion to n^(1 - balance):
            1 is all classes equally often, 0 as often as they are there.
        times: Of kind oversample: how often a row of each class comes in an epoch.
        shares: (group, share of an epoch) of the groups that are mixed in at a ratio. Rows of all
            other groups are chosen together.
    """

    kind: str = "natural"
    balance: float = 1.0
    times: tuple[int, ...] = ()
    shares: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.kind not in SAMPLINGS:
            raise ValueError(f"sampling is {self.kind!r}; use one of {list(SAMPLINGS)}")
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance is {self.balance}; use 0 (natural) to 1 (balanced)")
        if any(times < 1 for times in self.times):
            raise ValueError(f"times is {self.times}; every class comes once or more often")
        if not 0 <= self.share < 1 or any(share <= 0 for _, share in self.shares):
            raise ValueError(
                f"shares is {dict(self.shares)}: each is above 0, and together they leave room "
                "for the images of the dataset itself (below 1)"
            )

    @property
    def share(self) -> float:
        """Return the share of an epoch that is mixed in."""
        return sum(share for _, share in self.shares)


NATURAL = Sampling()


def make_sampling(
    sampling: str = "natural",
    *,
    classes: Sequence[str],
    balance: float = 1.0,
    oversample: Mapping[str, int] | None = None,
    external_share: float = 0.0,
    pseudo_share: float = 0.0,
) -> Sampling:
    """Make a sampling from names.

    Args:
        sampling: `natural`, `balanced` or `oversample`.
        classes: In the order of the targets.
        balance: See `Sampling`.
        oversample: Of sampling oversample: class name to how often its images come, 1 where not
            named.
        external_share: Share of an epoch drawn from group `EXTERNAL`; 0: its images are as the
            dataset's own.
        pseudo_share: The same of group `PSEUDO`.

    Raises:
        ValueError: A choice or a class is unknown, or a number has no meaning.
    """
    named = dict(oversample or {})
    if unknown := sorted(set(named) - set(classes)):
        raise ValueError(f"oversample names {unknown}, none of the classes {list(classes)}")
    if bool(named) != (sampling == "oversample"):
        raise ValueError(
            f"sampling is {sampling!r} with oversample {named}: name the classes to repeat, "
            "such as {'melanoma': 7}, with sampling oversample, and with no other"
        )
    shares = {EXTERNAL: external_share, PSEUDO: pseudo_share}
    return Sampling(
        kind=sampling,
        balance=balance,
        times=tuple(named.get(name, 1) for name in classes) if named else (),
        shares=tuple((group, share) for group, share in shares.items() if share),
    )


def plan_epoch(rows: Rows, *, sampling: Sampling = NATURAL, seed: int, epoch: int) -> np.ndarray:
    """Choose and order the rows of an epoch.

    Args:
        rows: To learn from.
        sampling: How they are chosen.
        seed: Of the run.
        epoch: From 0.

    Returns:
        `count_rows(rows, sampling=sampling)` row numbers, int64. Of soft truth, a balanced draw
        takes a class first, and then a row in proportion to its share in that class; over-sampling
        counts the class with the greatest share.

    Raises:
        ValueError: A share is of a group without rows, or times are not one for each class.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    parts = []
    for pool, count in _pools(rows, sampling):
        if sampling.kind == "balanced":
            parts.append(_draw_balanced(random, pool, count, rows.truth[pool], sampling.balance))
        else:
            parts.append(_draw_passes(random, pool, count))
    return random.permutation(np.concatenate(parts))


def count_rows(rows: Rows, *, sampling: Sampling = NATURAL) -> int:
    """Count the images of an epoch, those that fill no last batch included."""
    return sum(count for _, count in _pools(rows, sampling))


def count_steps(rows: Rows, *, batch_size: int, sampling: Sampling = NATURAL) -> int:
    """Count the whole batches of an epoch.

    Raises:
        ValueError: There is not even one.
    """
    images = count_rows(rows, sampling=sampling)
    if images < batch_size:
        raise ValueError(
            f"batch_size is {batch_size} over all replicas, but an epoch of the {len(rows)} "
            f"training rows holds {images} images: lower batch_size, for training batches are whole"
        )
    return images // batch_size


def _pools(rows: Rows, sampling: Sampling) -> list[tuple[np.ndarray, int]]:
    """Return row numbers that are chosen from together, and how many; own rows come first."""
    apart = [group for group, _ in sampling.shares]
    common = _repeated(rows, np.flatnonzero(~np.isin(rows.group, apart)), sampling)
    pools = [(common, len(common))]
    for group, share in sampling.shares:
        pool = _repeated(rows, np.flatnonzero(rows.group == group), sampling)
        if not len(pool):
            raise ValueError(
                f"a share of {share} of each epoch is asked of group {group}, which has no rows "
                f"(groups there: {np.unique(rows.group).tolist()}): add its rows, or set it to 0"
            )
        pools.append((pool, round(len(common) * share / (1 - sampling.share))))
    return pools


def _repeated(rows: Rows, numbers: np.ndarray, sampling: Sampling) -> np.ndarray:
    if sampling.kind != "oversample":
        return numbers
    if len(sampling.times) != rows.n_classes:
        raise ValueError(
            f"times is {sampling.times}: give one for each of {rows.n_classes} classes"
        )
    return np.repeat(numbers, np.array(sampling.times)[rows.labels[numbers]])


def _draw_passes(random: np.random.Generator, pool: np.ndarray, count: int) -> np.ndarray:
    """Take the pool as often as it goes into the count, and a part of it chosen anew."""
    passes, rest = divmod(count, len(pool)) if count else (0, 0)
    return np.concatenate([np.tile(pool, passes), random.permutation(pool)[:rest]])


def _draw_balanced(
    random: np.random.Generator, pool: np.ndarray, count: int, truth: np.ndarray, balance: float
) -> np.ndarray:
    """Draw with replacement, each class of n images in proportion to n^(1 - balance)."""
    images = truth.sum(axis=0, dtype="float64")
    weights = np.power(images, -balance, out=np.zeros_like(images), where=images > 0)
    edges = np.cumsum(truth @ weights)
    drawn = np.searchsorted(edges / edges[-1:], random.random(count), side="right")
    return np.asarray(pool[np.minimum(drawn, len(pool) - 1)])
