"""The recipe of a fit, in phases: progressive resizing, frozen epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from melnb.tables.nearest import did_you_mean

# Phases: stretches of a run with one size of picture and one set of blocks that learn.
#
# A run without borders is one phase. At a border the classifier is looked at anew, its weights and
# all that the optimizer knew of them carried over; see `fitting`.


@dataclass(frozen=True)
class Phase:
    """Epochs that are alike.

    Attributes:
        first_epoch: From 0.
        epochs: How many.
        image_size: Pixels on a side.
        batch_size: Images in a batch, over all replicas.
        frozen: Blocks of the backbone, counted from the input, that do not learn.
        frozen_norm: Whether the backbone's BatchNormalization does not, in any block.
    """

    first_epoch: int
    epochs: int
    image_size: int
    batch_size: int
    frozen: int = 0
    frozen_norm: bool = False

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
    frozen_norm: bool = False,
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
        frozen_norm: Whether the backbone's BatchNormalization keeps the statistics, the factors and
            the offsets that it came with: those of a short fit on few images are worse.
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
        frozen = resting[start >= frozen_epochs]
        phases.append(Phase(start, end - start, size, batch, frozen, frozen_norm))
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


MONITORS = ("val_auc", "val_loss")
KEEPS = ("best", "last", "swa", "snapshots")
JITS = ("auto", "true", "false")


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted.

    Attributes:
        monitors: The numbers of the history that can tell the best epoch.
        phases: From the first epoch to the last, as `plan_phases` plans them.
        augmentation: Strengths of `augment`.
        mixup: Share of the images to mix by mixup; see `mixing.plan`.
        cutmix: Share to mix by CutMix.
        mixup_alpha: Of the Beta distribution of what is kept.
        cutmix_alpha: The same for CutMix.
        hard_share: Share of each batch, of the greatest losses, that is learnt from at the end; 1:
            all of it. See `hard_examples.share_at`.
        hard_start: Progress of the run at which the share begins to fall.
        hard_end: Progress at which it has fallen.
        monitor: One of `monitors`: which epoch is the best.
        patience: Epochs without a gain before a stop; 0: none.
        swa_start: Epoch, from 1, from whose end on the weights are averaged (stochastic weight
            averaging; Izmailov et al. 2018); 0: none.
        snapshots: Whether the weights at the end of each cycle of the schedule are kept (Huang et
            al. 2017).
        keep: What the run ends with: the weights of the `best` epoch, those of the `last`, which
            nothing has chosen, those of `swa`, or all `snapshots` together.
        jit_compile: `true`, `false`, or `auto`: what the machine gains by.
        seed: Of order and augmentation.
    """

    monitors: ClassVar[tuple[str, ...]] = MONITORS
    phases: tuple[Phase, ...]
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_alpha: float = 0.2
    cutmix_alpha: float = 1.0
    hard_share: float = 1.0
    hard_start: float = 0.0
    hard_end: float = 1.0
    monitor: str = "val_auc"
    patience: int = 0
    swa_start: int = 0
    snapshots: bool = False
    keep: str = "best"
    jit_compile: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        _check_choice("monitor", self.monitor, self.monitors)
        _check_choice("keep", self.keep, KEEPS)
        _check_choice("jit_compile", self.jit_compile, JITS)
        starts = [phase.first_epoch for phase in self.phases]
        if not starts or starts != [0, *(phase.end for phase in self.phases[:-1])]:
            raise ValueError(
                f"phases begin at epochs {starts}: each begins where the last one ends"
            )
        if not 0 <= self.swa_start <= self.epochs:
            raise ValueError(
                f"swa_start is {self.swa_start}; use 1 to {self.epochs}, or 0 for none"
            )
        if self.keep == "swa" and not self.swa_start:
            raise ValueError("keep is 'swa', but swa_start is 0: say from which epoch on")
        if self.keep == "snapshots" and not self.snapshots:
            raise ValueError("keep is 'snapshots', but snapshots is False")

    @property
    def epochs(self) -> int:
        """Return the epochs of the run."""
        return self.phases[-1].end

    @property
    def image_size(self) -> int:
        """Return the size of the pictures that the network is for."""
        return self.phases[-1].image_size

    @property
    def batch_size(self) -> int:
        """Return the images in a batch of that size."""
        return self.phases[-1].batch_size

    @property
    def mix(self) -> dict[str, float]:
        """Return what `mixing.plan` takes; empty where nothing is mixed."""
        names = ("mixup", "cutmix", "mixup_alpha", "cutmix_alpha")
        return {name: getattr(self, name) for name in names} if self.mixup or self.cutmix else {}

    @property
    def mine(self) -> dict[str, float]:
        """Return what `hard_examples.share_at` takes; empty where every image counts."""
        share = {"final_share": self.hard_share, "start": self.hard_start, "end": self.hard_end}
        return share if self.hard_share < 1 else {}

    def plain(self) -> dict[str, Any]:
        """Return the values as plain objects, by which one run is told from another."""
        return asdict(self)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise ValueError(f"{name} is {value!r}{hint} (use one of {list(choices)})")
