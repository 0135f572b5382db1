"""Phases: stretches of a run with one size of picture and one set of blocks that learn.

A run without borders is one phase. At a border the classifier is looked at anew, its weights and
all that the optimizer knew of them carried over; see `fitting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Epochs that are alike.

    Attributes:
        first_epoch: From 0.
        epochs: How many.
        image_size: Pixels on a side.
        batch_size: Images in a batch, over all replicas.
        frozen: Blocks of the backbone, counted from the input, that do not learn.
    """

    first_epoch: int
    epochs: int
    image_size: int
    batch_size: int
    frozen: int = 0

    @property
    def end(self) -> int:
        """Return the epoch after the last, from 0."""
        return self.first_epoch + self.epochs


def plan_phases(
    *,
    epochs: int,
    image_size: int,
    batch_size: int,
    sizes: Sequence[int] = (),
    size_epochs: Sequence[int] = (),
    scale_batch: bool = False,
    frozen_epochs: int = 0,
    frozen_blocks: int = 0,
    unfreeze_blocks: int = 0,
    n_blocks: int = 0,
    replicas: int = 1,
) -> tuple[Phase, ...]:
    """Plan the phases of a run.

    Args:
        epochs: Of the run.
        image_size: Pixels on a side, of the last phase and of the classifier.
        batch_size: Images in a batch of that size, over all replicas.
        sizes: Pixels on a side to begin with (progressive resizing; Howard 2018, DAWNBench).
        size_epochs: Epochs at each of these.
        scale_batch: Whether smaller pictures come in batches larger by the ratio of areas.
        frozen_epochs: Epochs at the beginning with blocks that do not learn.
        frozen_blocks: How many of the first blocks these are; 0: the whole backbone.
        unfreeze_blocks: How many of the last blocks learn afterwards; 0: all.
        n_blocks: Blocks of the backbone; needed where some are frozen.
        replicas: Of which batches are a multiple.

    Raises:
        ValueError: Epochs do not add up, or there are not so many blocks.
    """
    _check_sizes(epochs, sizes, size_epochs)
    _check_blocks(epochs, frozen_epochs, frozen_blocks, unfreeze_blocks, n_blocks)
    resting = (frozen_blocks or n_blocks, n_blocks - unfreeze_blocks if unfreeze_blocks else 0)
    steps = [(size, sum(size_epochs[: k + 1])) for k, size in enumerate(sizes)]
    starts = sorted({0, *(end for _, end in steps), frozen_epochs} - {epochs})
    phases = []
    for start, end in zip(starts, [*starts[1:], epochs], strict=True):
        size = next((size for size, until in steps if start < until), image_size)
        batch = _scaled(batch_size, image_size / size, replicas) if scale_batch else batch_size
        phases.append(Phase(start, end - start, size, batch, resting[start >= frozen_epochs]))
    return tuple(phases)


def stretches(phases: Sequence[Phase], steps: Sequence[int]) -> list[tuple[int, int, float]]:
    """Return (epochs, steps_per_epoch, rate_factor) of each phase, as a schedule is stretched.

    Args:
        phases: Of the run.
        steps: In an epoch of each.

    Returns:
        A row for each phase, its factor its batch over the last one's; [] where batches never
        change, for then the schedule is as it was.
    """
    last = phases[-1].batch_size
    if all(phase.batch_size == last for phase in phases):
        return []
    return [
        (phase.epochs, count, phase.batch_size / last)
        for phase, count in zip(phases, steps, strict=True)
    ]


def _scaled(batch_size: int, ratio: float, replicas: int) -> int:
    return max(1, int(batch_size * ratio**2) // replicas) * replicas


def _check_sizes(epochs: int, sizes: Sequence[int], size_epochs: Sequence[int]) -> None:
    if len(sizes) != len(size_epochs) or any(count < 1 for count in size_epochs):
        raise ValueError(
            f"sizes is {list(sizes)} and size_epochs {list(size_epochs)}: give each size its epochs"
        )
    if epochs < 1 or sum(size_epochs) >= epochs:
        raise ValueError(
            f"size_epochs {list(size_epochs)} leave nothing of {epochs} epochs for image_size: "
            "raise epochs, or give the sizes fewer"
        )


def _check_blocks(
    epochs: int, frozen_epochs: int, frozen_blocks: int, unfreeze_blocks: int, n_blocks: int
) -> None:
    if not 0 <= frozen_epochs <= epochs:
        raise ValueError(f"frozen_epochs is {frozen_epochs}; use 0 to {epochs}, the epochs")
    if frozen_blocks and not frozen_epochs:
        raise ValueError(f"frozen_blocks is {frozen_blocks}, but frozen_epochs is 0")
    if (frozen_epochs or unfreeze_blocks) and not n_blocks:
        raise ValueError("n_blocks is 0: give the number of the backbone's blocks, to freeze some")
    for name, value in (("frozen_blocks", frozen_blocks), ("unfreeze_blocks", unfreeze_blocks)):
        if not 0 <= value <= n_blocks:
            raise ValueError(f"{name} is {value}, but the backbone has {n_blocks} blocks")
