"""The state: every number of a run in training, by a name that nothing changes.

Keras numbers its layers anew whenever a network is built, so a variable is known by its place among
the weights of the classifier: `weight.00012`, and what the optimizer keeps of it,
`optimizer.momentum.00012`. Going over a border between phases and going on after a kill are thus
the same thing: reading these arrays out of the one and writing them into the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from melnb.models.optimization.weight_averaging import running_mean

AVERAGE = "optimizer.average."
WEIGHT = "weight."
MEAN = "swa."
Arrays = dict[str, np.ndarray]


class Tensors:
    """The variables of a trainer, by name.

    Args:
        classifier: Whose weights are trained.
        trainer: What trains them, its optimizer built.
    """

    def __init__(self, classifier: keras.Model, trainer: keras.Model) -> None:
        self.classifier = classifier
        place = {id(v): f"{k:05d}" for k, v in enumerate(classifier.weights)}
        others = [v for v in trainer.variables if id(v) not in place]  # seeds of dropout, say
        self.variables = name_weights(classifier.weights)
        self.variables |= {f"other.{k:05d}": v for k, v in enumerate(others)}
        self.variables |= _name_states(trainer.optimizer, trainer.trainable_variables, place)

    def read(self) -> Arrays:
        """Copy all values."""
        return {name: to_array(variable) for name, variable in self.variables.items()}

    def write(self, arrays: Mapping[str, np.ndarray], *, whole: bool = False) -> None:
        """Assign the values that are there; others stay, and a new average begins at its weight.

        Args:
            arrays: Values, by name.
            whole: Whether every one has to be there.

        Raises:
            ValueError: A weight has another shape, or a value lacks.
        """
        check_shapes(arrays, self.variables)
        if whole and (lost := sorted(set(self.variables) - set(arrays))):
            raise ValueError(f"no {lost[0]} ({len(lost)} of {len(self.variables)} are not there)")
        for name, variable in self.variables.items():
            begin = name.replace(AVERAGE, WEIGHT) if name.startswith(AVERAGE) else name
            if name in arrays or begin in arrays:
                variable.assign(arrays.get(name, arrays.get(begin)))


def name_weights(weights: Iterable[Any]) -> dict[str, Any]:
    """Name weights (variables or arrays) by their place."""
    return {f"{WEIGHT}{k:05d}": weight for k, weight in enumerate(weights)}


def select_weights(arrays: Mapping[str, np.ndarray], *, averaged: bool = False) -> Arrays:
    """Return the weights among arrays; where they have an exponential average, that if asked."""
    weights = {name: array for name, array in arrays.items() if name.startswith(WEIGHT)}
    if not averaged:
        return weights
    return {n: arrays.get(n.replace(WEIGHT, AVERAGE), array) for n, array in weights.items()}


def select_mean(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the mean of stochastic weight averaging among arrays."""
    return {name: array for name, array in arrays.items() if name.startswith(MEAN)}


def take_into_mean(mean: Arrays, arrays: Mapping[str, np.ndarray], count: int) -> Arrays:
    """Return the mean of `count` sets of weights with one more in it, float64."""
    weights = select_weights(arrays)
    means = [mean[name.replace(WEIGHT, MEAN)] for name in weights] if count else None
    taken = running_mean(means, list(weights.values()), count=count)
    return {n.replace(WEIGHT, MEAN): a for n, a in zip(weights, taken, strict=True)}


def mean_weights(mean: Mapping[str, np.ndarray]) -> Arrays:
    """Return a mean as weights of a classifier."""
    return {n.replace(MEAN, WEIGHT): a.astype("float32") for n, a in mean.items()}


def assign_weights(classifier: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Assign weights to a classifier.

    Raises:
        ValueError: They are another network's.
    """
    variables = name_weights(classifier.weights)
    check_shapes(arrays, variables)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def check_shapes(arrays: Mapping[str, np.ndarray], variables: Mapping[str, Any]) -> None:
    """Refuse weights of another network.

    Raises:
        ValueError: Their number or their shapes differ.
    """
    theirs = {n: a.shape for n, a in arrays.items() if n.startswith(WEIGHT)}
    ours = {n: tuple(v.shape) for n, v in variables.items() if n.startswith(WEIGHT)}
    differ = [n for n in ours if n in theirs and ours[n] != theirs[n]]
    if differ or ours.keys() != theirs.keys():
        first = differ[0] if differ else ""
        words = f", the first that differ {theirs[first]} and {ours[first]}" if differ else ""
        raise ValueError(
            f"{len(theirs)} arrays for {len(ours)} weights{words}: they are another network's"
        )


def to_array(variable: Any) -> np.ndarray:
    """Copy the value of a Keras variable (`np.array` of a scalar one warns)."""
    return np.asarray(variable).copy()


def _name_states(
    optimizer: Any, trainable: Iterable[Any], place: Mapping[int, str]
) -> dict[str, Any]:
    """Name what an optimizer keeps: of each weight, and of itself.

    Keras calls the former `<path of the weight>_<what it is>`; of two weights of the same path the
    first to be trained comes first.
    """
    owners: dict[str, list[str]] = {}
    for variable in trainable:
        owners.setdefault(variable.path.replace("/", "_"), []).append(place[id(variable)])
    named: dict[str, Any] = {}
    seen = Counter[str]()
    for state in optimizer.variables:
        fitting = [path for path in owners if state.name.startswith(f"{path}_")]
        path = max(fitting, key=len, default="")
        order, kind = seen[state.name], state.name.removeprefix(f"{path}_" if path else "")
        named[f"optimizer.{kind}.{owners[path][order] if path else order}"] = state
        seen[state.name] += 1
    return named
