"""The classifier: backbone, pooling, head; pixels to one column of probability for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.models.networks.backbones import make_backbone
from melnb.models.networks.weights import read_weights

POOLINGS = ("avg", "max", "gem")
HEADS = ("softmax", "sigmoid")


@keras.saving.register_keras_serializable("melnb")
class GeM(keras.layers.Layer):  # type: ignore[misc]
    """Generalised mean over a map, (mean x^p)^(1/p), p learnt (Radenovic et al. 2019).

    p = 1 is the mean; the greater p, the nearer to the maximum.

    Args:
        p: Where p begins.
        epsilon: The least value that is taken to a power.
    """

    def __init__(self, p: float = 3.0, epsilon: float = 1e-6, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.start = float(p)
        self.epsilon = float(epsilon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the one weight."""
        start = keras.initializers.Constant(self.start)
        self.p = self.add_weight(shape=(), initializer=start, name="p")

    def call(self, features: Any) -> Any:
        """Return n x channels of n x height x width x channels."""
        powers = ops.maximum(features, self.epsilon) ** self.p
        return ops.mean(powers, axis=(1, 2)) ** (1 / self.p)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same layer again."""
        return {**super().get_config(), "p": self.start, "epsilon": self.epsilon}


def make_classifier(
    *,
    classes: Sequence[str],
    image_size: int,
    backbone: str = "tiny",
    weights: str = "none",
    pooling: str = "avg",
    dropout: float = 0.2,
    head: str = "softmax",
    priors: Sequence[float] | np.ndarray | None = None,
    name: str = "classifier",
) -> keras.Model:
    """Make an untrained classifier on top of a backbone.

    The model takes n x image_size x image_size x 3 float32 pixels, 0-255, and gives n x classes
    float32 probabilities whose rows sum to one, under mixed precision too. Its layers `backbone`
    and `features` (the map before the pooling) can be had by name.

    Args:
        classes: Names, in the order of the columns.
        image_size: Pixels on a side.
        backbone: A name in `backbones.BACKBONES`.
        weights: `none`, `imagenet`, `noisy-student` or the path of a file.
        pooling: `avg`, `max` or `gem`.
        dropout: Share of the features set to zero in training.
        head: `softmax`; or, with two classes, `sigmoid`: one unit p for the last class, given as
            the columns (1 - p, p).
        priors: Share of each class in training: the untrained head then gives about these, which
            spares a rare class a long beginning (Lin et al. 2017, section 3.3).
        name: Of the model.

    Raises:
        ValueError: A name is unknown, sigmoid meets other than two classes, or priors do not
            match.
    """
    _check_choices(classes, pooling=pooling, head=head)
    pixels = keras.Input((image_size, image_size, 3), name="image")
    body = make_backbone(backbone, image_size=image_size)
    read_weights(body, backbone=backbone, weights=weights)
    features = keras.layers.Activation("linear", name="features")(body(pixels))
    vector = _pool(features, pooling)
    if dropout:
        vector = keras.layers.Dropout(dropout, name="dropout")(vector)
    return keras.Model(pixels, _probabilities(vector, classes, head, priors), name=name)


def read_classifier(path: str | Path) -> keras.Model:
    """Read a classifier that was saved as `.keras`, ready to predict, on either backend.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no {Path(path).name} in {Path(path).parent}: run 03_train first")
    return keras.saving.load_model(path, compile=False)


def _check_choices(classes: Sequence[str], *, pooling: str, head: str) -> None:
    if len(classes) < 2:
        raise ValueError(f"classes is {list(classes)}; two or more are needed")
    for choice, value, known in (("pooling", pooling, POOLINGS), ("head", head, HEADS)):
        if value not in known:
            raise ValueError(f"{choice} is {value!r}; use one of {list(known)}")
    if head == "sigmoid" and len(classes) != 2:
        raise ValueError(
            f"head 'sigmoid' is for two classes, but there are {len(classes)} "
            f"({', '.join(classes)}): use head 'softmax', or prepare with task 'melanoma'"
        )


def _pool(features: Any, pooling: str) -> Any:
    match pooling:
        case "avg":
            return keras.layers.GlobalAveragePooling2D(name="pool")(features)
        case "max":
            return keras.layers.GlobalMaxPooling2D(name="pool")(features)
    return GeM(dtype="float32", name="pool")(features)  # a cube overflows in float16


def _probabilities(
    vector: Any, classes: Sequence[str], head: str, priors: Sequence[float] | np.ndarray | None
) -> Any:
    logs = _log_priors(classes, priors)
    units = len(classes)
    if head == "sigmoid":
        logs, units = logs[1:] - logs[:1], 1
    dense = keras.layers.Dense(
        units,
        activation=head,
        bias_initializer=keras.initializers.Constant(logs.tolist()),
        dtype="float32",  # whatever the precision of the rest
        name="probability",
    )
    if head == "softmax":
        return dense(vector)
    positive = dense(vector)
    negative = keras.layers.Rescaling(-1.0, 1.0, dtype="float32", name="negative")(positive)
    return keras.layers.Concatenate(dtype="float32", name="both")([negative, positive])


def _log_priors(classes: Sequence[str], priors: Sequence[float] | np.ndarray | None) -> np.ndarray:
    if priors is None:
        return np.zeros(len(classes))
    shares = np.asarray(priors, dtype=float)
    if shares.shape != (len(classes),) or not np.all(shares > 0):
        raise ValueError(
            f"priors is {shares.tolist()}; give {len(classes)} shares above 0, in the order "
            f"of {list(classes)}"
        )
    return np.asarray(np.log(shares / shares.sum()))
