"""Weight averaging: EMA of every step, SWA of the ends of some epochs.

Weights that are averaged were never run together, so the running statistics of normalisation
do not belong to them: `update_batch_norm` measures those anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.models.accelerator import choose_jit, scope_of
from melnb.models.keras_internals import every_layer, inner_optimizer, moved_variables

Arrays = list[np.ndarray]


def averaged_weights(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> Arrays:
    """Return the exponential moving average of each variable that an optimizer keeps.

    Args:
        optimizer: Made with `ema`, and built; loss scaling around it is looked through.
        variables: Of a model, such as `model.weights`; one that the optimizer does not move (a
            frozen one, a running statistic) is returned as it is.

    Raises:
        ValueError: The optimizer keeps no average.
    """
    inner = inner_optimizer(optimizer)
    if not getattr(inner, "ema", 0.0) or not inner.built:
        raise ValueError("the optimizer keeps no average: make it with ema above 0, and build it")
    pairs = zip(moved_variables(inner), inner.averages, strict=True)
    averages = {id(variable): average for variable, average in pairs}
    return [_copy(averages.get(id(variable), variable)) for variable in variables]


def running_mean(mean: Sequence[np.ndarray] | None, arrays: Sequence[Any], *, count: int) -> Arrays:
    """Take one more set of weights into their mean: SWA (Izmailov et al. 2018, algorithm 1).

    Args:
        mean: Of the `count` sets before; not looked at if there were none.
        arrays: The weights at the end of an epoch: arrays or variables.
        count: Sets in the mean so far.

    Returns:
        Float64 arrays, the mean of count + 1 sets.
    """
    values = [_copy(array).astype("float64") for array in arrays]
    if not count or mean is None:
        return values
    return [m + (v - m) / (count + 1) for m, v in zip(mean, values, strict=True)]


@contextmanager
def holding(variables: Sequence[Any], arrays: Sequence[np.ndarray]) -> Iterator[None]:
    """Hold other values in variables, to measure or save a model with them, then put theirs back.

    Args:
        variables: Of a model.
        arrays: A value for each.
    """
    kept = [_copy(variable) for variable in variables]
    _assign(variables, arrays)
    try:
        yield
    finally:
        _assign(variables, kept)


def update_batch_norm(model: keras.Model, batches: Iterable[Any], steps: int) -> None:
    """Measure the running mean and variance of every BatchNormalization anew.

    The weights stand still while so many batches pass as in training; the mean is that of the
    batches' means, the variance that of all values: E[m^2 + v] - E[m]^2 over the batches' means m
    and variances v (Wu & Johnson 2021, section 3). Nothing of what was measured before is left.
    Frozen layers keep theirs, and random seeds are as they were before.

    Args:
        model: Anything that takes a batch, the classifier itself or what augments before it.
        batches: What the model takes, as arrays or tensors; all of one size.
        steps: How many of them to pass.

    Raises:
        ValueError: There are fewer batches, or none is wanted.
    """
    layers = [
        layer
        for layer in every_layer(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return
    statistics = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
    places = {id(v) for v in statistics}
    others = [v for v in model.non_trainable_variables if id(v) not in places]  # seeds, say
    moments: Arrays = []
    kept = [*others, *statistics]
    with scope_of(model), holding(kept, [_copy(v) for v in kept]):
        trained = _Trained(model)
        for passed, batch in enumerate(islice(batches, steps)):
            seen = _moments_of(trained, batch, statistics, [1 - x.momentum for x in layers])
            moments = running_mean(moments, seen, count=passed)
    if steps < 1 or not moments or passed + 1 < steps:
        raise ValueError(f"{steps} batches are wanted to measure normalisation, and there are less")
    pairs = zip(moments[::2], moments[1::2], strict=True)
    _assign(statistics, [x for m, s in pairs for x in (m, np.maximum(s - m * m, 0))])


def _moments_of(
    trained: keras.Model, batch: Any, statistics: Sequence[Any], shares: Sequence[float]
) -> Arrays:
    """Return the mean and the mean square of a batch in every layer, in float64.

    A layer moves its statistics by a share of the batch's; from nothing, that share is all it has.
    """
    _assign(statistics, [np.zeros(v.shape, "float32") for v in statistics])
    trained.predict_on_batch(keras.tree.map_structure(np.asarray, batch))
    seen = [_copy(v) / share for v, share in zip(statistics, np.repeat(shares, 2), strict=True)]
    return [x for m, v in zip(seen[::2], seen[1::2], strict=True) for x in (m, m * m + v)]


class _Trained(keras.Model):  # type: ignore[misc]
    """A model as it behaves in training, in Keras' compiled loop for prediction."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name="trained")
        self.model = model
        if choose_jit() is False:  # an uncompiled model would predict by XLA
            self.jit_compile = False

    def call(self, batch: Any) -> Any:
        """Return what the model gives in training."""
        return self.model(batch, training=True)


def _copy(variable: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable))


def _assign(variables: Sequence[Any], arrays: Sequence[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array.astype(keras.backend.standardize_dtype(variable.dtype)))
