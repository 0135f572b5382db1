"""What a classifier's fit and a segmenter's have in common: which of its switches contradict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Contradiction = tuple[bool, str]
"""Whether parameters cannot be together, and why they cannot."""


def refuse(contradictions: Iterable[Contradiction]) -> None:
    """Raise ValueError with every reason that holds."""
    if reasons := [reason for wrong, reason in contradictions if wrong]:
        raise ValueError("; ".join(reasons))


def fit_contradictions(fit: Any) -> list[Contradiction]:
    """Return what cannot be together in any fit: `Train` and `SegmentTrain` have these fields."""
    return [
        (fit.final_rate > fit.learning_rate, f"final_rate {fit.final_rate} is above learning_rate "
         f"{fit.learning_rate}"),
        (fit.hard_start > fit.hard_end, f"hard_start {fit.hard_start} is after hard_end "
         f"{fit.hard_end}"),
        *_epoch_contradictions(fit),
        (fit.keep == "swa" and not fit.swa_start, "keep is 'swa', but swa_start is 0: say from "
         "which epoch on"),
        (fit.keep == "snapshots" and not fit.snapshots, "keep is 'snapshots', but snapshots is "
         "False"),
        (fit.schedule == "plateau" and fit.decay == 1, "schedule plateau falls by decay, which is "
         "1: say 0.5, for example"),
        (fit.schedule == "plateau" and fit.scale_batch and bool(fit.sizes), "schedule plateau has "
         "one rate for all batches, and scale_batch changes them: use another"),
        (fit.snapshots and fit.schedule != "cosine_restarts", "snapshots are the ends of the "
         f"cycles of schedule cosine_restarts, but schedule is {fit.schedule!r}"),
    ]  # fmt: skip


def _epoch_contradictions(fit: Any) -> list[Contradiction]:
    return [
        (len(fit.sizes) != len(fit.size_epochs), f"sizes is {fit.sizes} and size_epochs "
         f"{fit.size_epochs}: give each size its epochs"),
        (sum(fit.size_epochs) >= fit.epochs and bool(fit.sizes), f"size_epochs {fit.size_epochs} "
         f"leave nothing of {fit.epochs} epochs for image_size"),
        (fit.frozen_epochs > fit.epochs, f"frozen_epochs {fit.frozen_epochs} is above epochs "
         f"{fit.epochs}"),
        (bool(fit.frozen_blocks) and not fit.frozen_epochs, "frozen_blocks is given, but "
         "frozen_epochs is 0"),
        (fit.swa_start > fit.epochs, f"swa_start {fit.swa_start} is above epochs {fit.epochs}"),
    ]  # fmt: skip
