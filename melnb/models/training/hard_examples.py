"""Hard-example mining: learn from the hardest images of each batch, all of them at first.

Online hard-example mining (Shrivastava et al. 2016): the mean of the greatest losses of a batch.
One published melanoma solution meant to lower the share epoch by epoch and set it back to 1 at the
beginning of each; here the share is a function of the run's progress and of nothing else.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def mined(losses: Any, share: Any) -> Any:
    """Return n numbers whose mean is that of the greatest losses.

    The greatest floor(share n) losses, one at least, are multiplied by n over their number and the
    others by zero; of equals the earlier counts as greater. A loss that is not a number is not
    hidden. The shapes do not depend on the share.

    Args:
        losses: n numbers.
        share: Above 0 to 1, a number or a tensor.
    """
    n = ops.cast(ops.shape(losses)[0], losses.dtype)
    kept = ops.floor(ops.cast(share, losses.dtype) * n + 1e-3)  # 0.7 of 10 are 7, whatever floats
    kept = ops.clip(kept, 1.0, n)
    ranks = ops.argsort(ops.argsort(-losses))
    return losses * ops.cast(ops.cast(ranks, losses.dtype) < kept, losses.dtype) * (n / kept)


def share_at(progress: Any, *, final_share: float, start: float = 0.0, end: float = 1.0) -> Any:
    """Return the share that is learnt from: 1 until `start`, then down in a line to `end`.

    Args:
        progress: Of the run, 0-1, a number or a tensor.
        final_share: From `end` on, above 0 to 1.
        start: Progress at which the share begins to fall.
        end: Progress at which it has fallen; where it is `start`, it falls at once.

    Raises:
        ValueError: A value is out of bounds.
    """
    if not 0 < final_share <= 1:
        raise ValueError(f"hard_share is {final_share}; use more than 0 and at most 1")
    if not 0 <= start <= end <= 1:
        raise ValueError(
            f"hard_start is {start} and hard_end {end}; use shares of the run, 0 to 1, in order"
        )
    done = (ops.convert_to_tensor(progress, dtype="float32") - start) / max(end - start, 1e-6)
    return 1.0 - (1.0 - final_share) * ops.clip(done, 0.0, 1.0)
