"""The classifier: backbone, pooling (GeM), head; pixels to a probability for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.metadata import Cells
from melnb.models.networks.backbones import make_backbone
from melnb.models.networks.heads import drop_out, fuse, make_cells, make_head
from melnb.models.networks.saved import read_network
from melnb.models.networks.weights import read_weights

# Pooling: from a map of features to one vector for each image.

POOLINGS = ("avg", "max", "gem")


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


def pool(features: Any, pooling: str) -> Any:
    """Return n x channels of n x height x width x channels.

    Args:
        features: The map.
        pooling: `avg`, `max` or `gem`.

    Raises:
        ValueError: The name is unknown.
    """
    match pooling:
        case "avg":
            return keras.layers.GlobalAveragePooling2D(name="pool")(features)
        case "max":
            return keras.layers.GlobalMaxPooling2D(name="pool")(features)
        case "gem":
            return GeM(dtype="float32", name="pool")(features)  # a cube overflows in float16
    raise ValueError(f"pooling is {pooling!r}; use one of {list(POOLINGS)}")


def make_classifier(
    *,
    classes: Sequence[str],
    image_size: int,
    backbone: str = "tiny",
    weights: str = "none",
    scaling: str = "inside",
    pooling: str = "avg",
    dropout: float = 0.2,
    dropout_samples: int = 1,
    head: str = "softmax",
    arcface_scale: float = 30.0,
    arcface_margin: float = 0.5,
    priors: Sequence[float] | np.ndarray | None = None,
    metadata: int | Cells = 0,
    fusion: str = "concat",
    metadata_units: Sequence[int] = (64, 32),
    metadata_dropout: float = 0.1,
    name: str = "classifier",
) -> keras.Model:
    """Make an untrained classifier on top of a backbone.

    The model takes n x image_size x image_size x 3 float32 pixels, 0-255, or with metadata a dict
    of these, `image`, and of n x cells float32, `metadata`. It gives n x classes float32
    probabilities whose rows sum to one, under mixed precision too. Its layers `backbone`,
    `features` (the map before the pooling), `vector` (what the head sees, before dropout) and
    `probability` (the head) can be had by name. What is trained is its `heads.training_view`.

    Args:
        classes: Names, in the order of the columns.
        image_size: Pixels on a side.
        backbone: A name in `backbones.BACKBONES`, or the path of an encoder of one's own.
        weights: `none`, `imagenet`, `noisy-student` or the path of a file; `kept`, those of an
            encoder of one's own.
        scaling: Of an encoder of one's own: one of `backbones.SCALINGS`.
        pooling: `avg`, `max` or `gem`.
        dropout: Share of the features set to zero in training.
        dropout_samples: How often they are dropped anew, and averaged; see `MultiSampleDropout`.
        head: `softmax`; `sigmoid`, with two classes: one unit p for the last class, given as the
            columns (1 - p, p); or `arcface`, cosines with a margin in training.
        arcface_scale: See `ArcFace`.
        arcface_margin: See `ArcFace`, in radians.
        priors: Share of each class in training: the untrained head then gives about these, which
            spares a rare class a long beginning (Lin et al. 2017, section 3.3).
        metadata: Cells of an encoder of what else is known of an image, or their number; 0: none.
        fusion: How the metadata meets the vector: `concat` or `gated`, see `heads.fuse`.
        metadata_units: Widths of the layers that the metadata passes.
        metadata_dropout: Probability of each column of metadata to be missing in training.
        name: Of the model.

    Raises:
        ValueError: A name is unknown, a value is out of bounds, sigmoid meets other than two
            classes, or priors do not match or meet arcface.
    """
    pixels = keras.Input((image_size, image_size, 3), name="image")
    body = make_backbone(backbone, image_size=image_size, scaling=scaling)
    features = keras.layers.Activation("linear", name="features")(body(pixels))
    vector, inputs = pool(features, pooling), pixels
    if metadata:
        cells = make_cells(metadata)
        words = keras.Input((len(cells.column),), name="metadata")
        vector = fuse(vector, words, cells=cells, fusion=fusion, units=metadata_units,
                      dropout=metadata_dropout)  # fmt: skip
        inputs = {"image": pixels, "metadata": words}
    vector = keras.layers.Activation("linear", name="vector")(vector)
    probabilities = make_head(
        drop_out(vector, rate=dropout, samples=dropout_samples), classes=classes, head=head,
        priors=priors, arcface_scale=arcface_scale, arcface_margin=arcface_margin,
    )  # fmt: skip
    read_weights(body, backbone=backbone, weights=weights)  # last: it takes long and may fetch
    return keras.Model(inputs, probabilities, name=name)


def read_classifier(path: str | Path) -> keras.Model:
    """Read a classifier that was saved as `.keras`, ready to predict, on either backend.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is not what it should be.
    """
    return read_network(path, stage="03_train")
