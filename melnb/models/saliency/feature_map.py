"""The last feature map: a classifier taken apart, to a map and a score for each class.

What is explained is a score before the softmax: a probability near 0 or 1 has no slope left, and a
softmax lets a class rise because another falls. Two scores are offered:

    logit     what the head gives to its softmax or sigmoid (Selvaraju et al. 2017, section 3); of
              a sigmoid's first class, the logit with its sign turned; of ArcFace, scale x cosine
    log_odds  log p - log(1 - p): the logit less the log-sum-exp of all others. Of a sigmoid it is
              the logit. It is the one that can be had of any model that gives probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.models.accelerator import choose_jit, make_gradient
from melnb.models.networks.heads import ArcFace

# Rows in batches of one size, so that what is compiled is compiled once.


def batches_of(tensors: Sequence[np.ndarray], batch_size: int) -> Iterator[list[np.ndarray]]:
    """Yield rows in batches of one size; the last is filled up with copies of its last row."""
    rows = len(tensors[0])
    batch_size = min(batch_size, rows) or 1
    for start in range(0, rows, batch_size):
        places = np.minimum(np.arange(start, start + batch_size), rows - 1)
        yield [tensor[places] for tensor in tensors]


def run_rows(model: keras.Model, tensors: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
    """Return a model's outputs for all rows, float32."""
    parts = [to_array(model.predict_on_batch(batch)) for batch in batches_of(tensors, batch_size)]
    return np.asarray(np.concatenate(parts)[: len(tensors[0])])


def one_hot(classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return n x n_classes float32, 1 in the column of each row's class.

    Raises:
        ValueError: A class is out of bounds.
    """
    if len(classes) and not 0 <= classes.min() <= classes.max() < n_classes:
        raise ValueError(
            f"classes go from {classes.min()} to {classes.max()}, but there are {n_classes} "
            "columns: use the class's place, from 0"
        )
    return np.asarray(np.eye(n_classes, dtype="float32")[classes])


def to_array(tensor: Any) -> np.ndarray:
    """Return a tensor as float32, whatever the precision it was computed in."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


Gradient = Callable[[Sequence[Any], Any], tuple[Any, list[Any]]]
SCORES = ("logit", "log_odds")
HEAD, MAP = "probability", "features"  # names of layers that every classifier has
_LEAST = 1e-37  # the smallest probability whose logarithm is taken


@dataclass(frozen=True)
class Anatomy:
    """A classifier in parts, which share its weights and take lists of tensors.

    Attributes:
        inputs: Names, in the order of the lists: `image`, perhaps `metadata`.
        scores: Inputs to n x classes scores.
        below: Inputs to the map, n x height x width x channels.
        above: The map and the inputs to the scores.
        probabilities: Inputs to n x classes probabilities.
        by_input: The scores and their gradient by the inputs: see `accelerator.make_gradient`.
        by_map: The same by the map (and the inputs).
        score: What the scores are: `logit` or `log_odds`.
    """

    inputs: tuple[str, ...]
    scores: keras.Model
    below: keras.Model
    above: keras.Model
    probabilities: keras.Model
    by_input: Gradient
    by_map: Gradient
    score: str

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return int(self.scores.output_shape[-1])


def dissect(model: keras.Model, *, layer: str = MAP, score: str = "logit") -> Anatomy:
    """Take a classifier apart.

    Args:
        model: From pictures, and perhaps a second input, to n x classes probabilities.
        layer: The map: a layer that gives n x height x width x channels, in the model or in a
            model inside it; `backbone/conv2d_3` where the name alone is not unique. Grad-CAM is
            meant for the last map before the pooling; earlier ones are finer and tell less.
        score: `logit` or `log_odds`.

    Raises:
        ValueError: There is no such layer or score, the layer gives no map, or the head is not one
            of which the logit is known.
    """
    if score not in SCORES:
        raise ValueError(f"score is {score!r}; use one of {list(SCORES)}")
    plain = _functional(model)
    path = find_layer(plain, layer)
    inputs, calls, probabilities = _trace(plain)
    scored = _scores(plain, calls, probabilities, score)
    whole = keras.Model(inputs, scored, name="scores")
    below, above = _cut(whole, path)
    if len(below.output_shape) != 4:
        raise ValueError(
            f"layer is {layer!r}, which gives {below.output_shape}: name one that gives a map, "
            "n x height x width x channels"
        )
    parts = (whole, below, above, keras.Model(inputs, probabilities))
    if choose_jit() is False:  # an uncompiled model would predict by XLA
        for part in parts:
            part.jit_compile = False
    return Anatomy(_names(inputs), *parts, make_gradient(whole), make_gradient(above), score)


def find_layer(model: keras.Model, name: str) -> str:
    """Return the path of a layer, in the model or in a model inside it, as `outer/inner`.

    Raises:
        ValueError: There is none of that name, or several; some paths that exist are given.
    """
    paths = list(_paths(model))
    hits = [path for path in paths if path == name] or [
        path for path in paths if path.endswith(f"/{name}")
    ]
    if len(hits) != 1:
        choices = hits or [path for path in paths if "input" not in path][-12:]
        count = "several layers are" if hits else "no layer is"
        raise ValueError(f"layer is {name!r}, but {count} named so; use one of, say, {choices}")
    return hits[0]


def _paths(model: keras.Model, prefix: str = "") -> list[str]:
    paths = []
    for layer in model.layers:
        paths.append(prefix + layer.name)
        if isinstance(layer, keras.Model):
            paths += _paths(layer, f"{prefix}{layer.name}/")
    return paths


def _names(inputs: Sequence[Any]) -> tuple[str, ...]:
    """Name the inputs by what they are, whatever a model of another hand calls them."""
    return tuple("image" if len(tensor.shape) == 4 else "metadata" for tensor in inputs)


def _functional(model: keras.Model) -> keras.Model:
    """Return a model as a functional one of a list of inputs."""
    return keras.Model(model.inputs, model.outputs[0], name=model.name)


def _trace(model: keras.Model) -> tuple[list[Any], dict[str, tuple[Any, Any]], Any]:
    """Call a model's layers on new inputs; return these, each layer's arguments and result, all."""
    calls: dict[str, tuple[Any, Any]] = {}

    def call(layer: Any, *given: Any, **keywords: Any) -> Any:
        result = layer(*given, **keywords)
        calls[layer.name] = given, result
        return result

    copy = keras.models.clone_model(model, clone_function=lambda same: same, call_function=call)
    return list(copy.inputs), calls, copy.outputs[0]


def _cut(model: keras.Model, path: str) -> tuple[keras.Model, keras.Model]:
    """Cut a functional model at a layer, which may lie in a model inside it."""
    name, _, rest = path.partition("/")
    inputs, calls, output = _trace(model)
    given, result = calls[name]
    above = keras.Model([result, *inputs], output)
    if not rest:
        return keras.Model(inputs, result), above
    inner_below, inner_above = _cut(_functional(model.get_layer(name)), rest)
    entry = keras.Model(inputs, given[0])
    seen = entry(inputs)
    place = keras.Input(inner_below.output_shape[1:], name="map")
    after = above([inner_above([place, seen]), *inputs])
    return keras.Model(inputs, inner_below(seen)), keras.Model([place, *inputs], after)


def _scores(
    model: keras.Model, calls: dict[str, tuple[Any, Any]], probabilities: Any, score: str
) -> Any:
    """Return n x classes scores, symbolic."""
    head = model.get_layer(HEAD) if HEAD in calls else None
    if not _is_known(head):
        if score == "logit":
            raise ValueError(
                f"score is 'logit', but the model has no layer {HEAD!r} that is a softmax, a "
                "sigmoid or an ArcFace: use score 'log_odds'"
            )
        return _against_the_rest(ops.log(ops.maximum(probabilities, _LEAST)))
    logits = _Logits(head, name="logits")(calls[HEAD][0][0])
    if logits.shape[-1] == 1:  # the logit of a sigmoid is the log-odds
        return ops.concatenate([-logits, logits], axis=-1)
    return _against_the_rest(logits) if score == "log_odds" else logits


def _is_known(head: Any) -> bool:
    if isinstance(head, ArcFace):
        return True
    functions = (keras.activations.softmax, keras.activations.sigmoid)
    return isinstance(head, keras.layers.Dense) and head.activation in functions


def _against_the_rest(logs: Any) -> Any:
    """Return for each class its logarithm less the log-sum-exp of all others'."""
    classes = logs.shape[-1]
    others = [
        ops.logsumexp(ops.concatenate([logs[:, :k], logs[:, k + 1 :]], axis=-1), -1, keepdims=True)
        for k in range(classes)
    ]
    return logs - ops.concatenate(others, axis=-1)


class _Logits(keras.layers.Layer):  # type: ignore[misc]
    """What a head gives to its softmax or sigmoid, from the same weights."""

    def __init__(self, head: keras.layers.Layer, **keywords: Any) -> None:
        super().__init__(**{"dtype": "float32", **keywords})
        self.head = head

    def call(self, vector: Any) -> Any:
        vector = ops.cast(vector, "float32")
        if isinstance(self.head, ArcFace):
            return self.head.scale * self.head.cosines(vector)
        return ops.matmul(vector, self.head.kernel) + self.head.bias
