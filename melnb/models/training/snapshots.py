"""Snapshots: the networks that a schedule with restarts leaves at the end of each cycle, as one.

Each cycle ends in another minimum, and the mean of their probabilities errs less than each (Huang
et al. 2017). The ensemble is one model with the inputs of one classifier: it is saved, read back
and predicted with as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from melnb.models.training.state.tensors import assign_weights


def make_ensemble(
    classifier: keras.Model, members: Sequence[Mapping[str, np.ndarray]]
) -> keras.Model:
    """Make one model of a network and several sets of its weights.

    Args:
        classifier: The network; it is left alone.
        members: Weights by name, as `tensors.name_weights` names them.

    Returns:
        A model of the classifier's inputs to the mean of the members' probabilities. Its layers
        `snapshot_1` and on are the members; it has no single `features` to be explained.
    """
    inputs = {
        t.name: keras.Input(t.shape[1:], dtype=t.dtype, name=t.name) for t in classifier.inputs
    }
    given = inputs if isinstance(classifier.input, dict) else next(iter(inputs.values()))
    copies = []
    for number, weights in enumerate(members, start=1):
        config = {**classifier.get_config(), "name": f"snapshot_{number}"}
        copies.append(type(classifier).from_config(config))
        assign_weights(copies[-1], weights)
    said = [copy(given) for copy in copies]
    mean = keras.layers.Average(dtype="float32", name="mean")(said) if said[1:] else said[0]
    return keras.Model(given, mean, name=classifier.name)
