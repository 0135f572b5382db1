"""The recipe: how a network is fitted, apart from its loss and its optimizer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from melnb.models.training.phases import Phase

MONITORS = ("val_auc", "val_loss")
KEEPS = ("best", "swa", "snapshots")
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
            all of it. See `mining.share_at`.
        hard_start: Progress of the run at which the share begins to fall.
        hard_end: Progress at which it has fallen.
        monitor: One of `monitors`: which epoch is the best.
        patience: Epochs without a gain before a stop; 0: none.
        swa_start: Epoch, from 1, from whose end on the weights are averaged (stochastic weight
            averaging; Izmailov et al. 2018); 0: none.
        snapshots: Whether the weights at the end of each cycle of the schedule are kept (Huang et
            al. 2017).
        keep: What the run ends with: the weights of the `best` epoch, those of `swa`, or all
            `snapshots` together.
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
        _check_shares(self)
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
        """Return what `mining.share_at` takes; empty where every image counts."""
        share = {"final_share": self.hard_share, "start": self.hard_start, "end": self.hard_end}
        return share if self.hard_share < 1 else {}

    def plain(self) -> dict[str, Any]:
        """Return the values as plain objects, by which one run is told from another."""
        return asdict(self)


def _check_shares(recipe: Recipe) -> None:
    """Refuse here what would be refused at the first step, minutes later."""
    if min(recipe.mixup, recipe.cutmix) < 0 or recipe.mixup + recipe.cutmix > 1:
        raise ValueError(
            f"mixup is {recipe.mixup} and cutmix is {recipe.cutmix}: use shares of the images, 0 "
            "to 1 together"
        )
    if not 0 < recipe.hard_share <= 1:
        raise ValueError(f"hard_share is {recipe.hard_share}; use more than 0 and at most 1")
    if not 0 <= recipe.hard_start <= recipe.hard_end <= 1:
        raise ValueError(
            f"hard_start is {recipe.hard_start} and hard_end {recipe.hard_end}; use shares of the "
            "run, 0 to 1, in order"
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} is {value!r}{hint} (use one of {list(choices)})")
