"""The classifier: backbone, pooling, head; pixels to one column of probability for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from melnb.data.metadata import Cells
from melnb.models.networks.backbones import make_backbone
from melnb.models.networks.fusion import fuse, make_cells
from melnb.models.networks.heads import drop_out, make_head
from melnb.models.networks.pooling import pool
from melnb.models.networks.saved import read_network
from melnb.models.networks.weights import read_weights


def make_classifier(
    *,
    classes: Sequence[str],
    image_size: int,
    backbone: str = "tiny",
    weights: str = "none",
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
        backbone: A name in `backbones.BACKBONES`.
        weights: `none`, `imagenet`, `noisy-student` or the path of a file.
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
        fusion: How the metadata meets the vector: `concat` or `gated`, see `fusion.fuse`.
        metadata_units: Widths of the layers that the metadata passes.
        metadata_dropout: Probability of each column of metadata to be missing in training.
        name: Of the model.

    Raises:
        ValueError: A name is unknown, a value is out of bounds, sigmoid meets other than two
            classes, or priors do not match or meet arcface.
    """
    pixels = keras.Input((image_size, image_size, 3), name="image")
    body = make_backbone(backbone, image_size=image_size)
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
