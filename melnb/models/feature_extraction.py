"""Feature extraction: a frozen encoder's vector of a picture, for tables, neighbours and audits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from melnb.data.augmentation.augment import VIEWS
from melnb.data.batches import encoded_batches
from melnb.models.networks.backbones import is_own, make_backbone
from melnb.models.networks.heads import input_sizes
from melnb.models.networks.weights import read_weights
from melnb.models.onnx_encoder import ONNX, OnnxViewer
from melnb.models.openvino_engine import OpenVinoViewer
from melnb.models.tta import count_views, make_viewer, open_viewer, predict_rows
from melnb.tables.nearest import did_you_mean


@dataclass(frozen=True)
class Extractor:
    """An encoder that is ready.

    Attributes:
        viewer: From `batches.encoded_batches` to rows x width: a model, or what predicts as one.
        facts: For `encoder.json`: backbone, weights, image_size, layer, views, precision, width,
            digest.
        batch_size: Rows in a batch, over all replicas.
    """

    viewer: keras.Model | OnnxViewer | OpenVinoViewer
    facts: dict[str, Any]
    batch_size: int

    def __call__(self, encoded: Sequence[bytes]) -> np.ndarray:
        """Return the vectors of encoded pictures: n x width, or n x views x width if kept.

        Every batch has the same size, whatever the number, and each picture its own row in it.
        """
        count = count_views(self.facts["views"], VIEWS)
        batches = encoded_batches(
            encoded, image_size=self.facts["image_size"], batch_size=self.batch_size, n_views=count
        )
        rows = predict_rows(self.viewer, batches, len(encoded) * count)
        looks = rows.reshape(len(encoded), count, -1)
        kept = looks if self.facts["keep_views"] else looks.mean(axis=1)
        return np.asarray(kept, self.facts["precision"])


def make_extractor(
    backbone: str,
    *,
    weights: str,
    image_size: int,
    scaling: str = "inside",
    layout: str = "auto",
    layer: str = "",
    views: str = "none",
    keep_views: bool = False,
    precision: str = "float32",
    batch_size: int = 64,
    engine: str = "keras",
) -> Extractor:
    """Make an encoder of a backbone: the mean over a map of features, in one look or in eight.

    Args:
        backbone: As `make_backbone` takes it; or the path of an `.onnx` file.
        weights: As `read_weights` takes them.
        image_size: Pixels on a side; pictures of another size are resized.
        scaling: As `make_backbone` takes it.
        layout: Of an ONNX file: `channels_first`, `channels_last`, or `auto`, by its shape.
        layer: Whose map is averaged; empty: the last. Early ones see colour and texture. Of an ONNX
            file, one of its outputs.
        views: `none`, or `dihedral`: the eight flips and quarter turns.
        keep_views: Whether each look's vector is kept; else their mean is.
        precision: Of what is kept: `float32` or `float16`.
        batch_size: Rows in a batch, over all replicas.
        engine: As `tta.open_viewer` takes it; an `.onnx` file is run by onnxruntime.

    Raises:
        ValueError: There is no such backbone or layer; the nearest is named.
        WeightsError: Weights are not published, cannot be had or do not fit.
    """
    facts: dict[str, Any] = {
        "backbone": backbone, "weights": weights, "image_size": image_size, "layer": layer,
        "views": views, "keep_views": keep_views and views != "none", "precision": precision,
    }  # fmt: skip
    if backbone.endswith(ONNX):
        ready = OnnxViewer(
            backbone, image_size=image_size, scaling=scaling, layout=layout, views=views,
            layer=layer,
        )  # fmt: skip
        facts |= {"scaling": scaling, "channels_first": ready.first, "width": ready.width}
        return Extractor(ready, facts | {"digest": _digest_of(facts, [ready.digest])}, batch_size)
    network = make_backbone(backbone, image_size=image_size, scaling=scaling)
    read_weights(network, backbone=backbone, weights=weights)
    pixels = network.input
    mean = layers.GlobalAveragePooling2D(dtype="float32", name="vector")(_map(network, layer))
    vector = keras.Model(pixels, mean, name="encoder")
    facts |= {"width": int(mean.shape[-1])}
    facts |= {"scaling": scaling} if is_own(backbone) else {}
    facts |= {"engine": engine} if engine != "keras" else {}
    facts["digest"] = _digest_of(facts, [np.ascontiguousarray(w) for w in vector.get_weights()])
    viewer = open_viewer(vector, image_size=image_size, views=views, engine=engine)
    return Extractor(viewer, facts, batch_size)


def make_own_extractors(
    networks: Mapping[int, keras.Model], *, batch_size: int = 64
) -> dict[int, Extractor]:
    """Make `make_own_extractor` of the network of each fold."""
    return {
        k: make_own_extractor(network, batch_size=batch_size) for k, network in networks.items()
    }


def make_own_extractor(model: keras.Model, *, batch_size: int = 64) -> Extractor:
    """Make an extractor of a trained classifier: the mean over its last map, one look.

    What else it is told of a patient plays no part: the map is made before it is joined.

    Args:
        model: Of `make_classifier`, trained.
        batch_size: Rows in a batch, over all replicas.
    """
    size = input_sizes(model)[0]
    pixels = next(each for each in model.inputs if len(each.shape) == 4)
    features = model.get_layer("features").output
    mean = layers.GlobalAveragePooling2D(dtype="float32", name="vector")(features)
    vector = keras.Model(pixels, mean, name="encoder")
    facts: dict[str, Any] = {
        "backbone": model.name, "weights": "its own", "image_size": size, "layer": "features",
        "views": "none", "keep_views": False, "precision": "float32", "width": int(mean.shape[-1]),
    }  # fmt: skip
    facts["digest"] = _digest_of(facts, [np.ascontiguousarray(w) for w in vector.get_weights()])
    return Extractor(make_viewer(vector, image_size=size, views="none"), facts, batch_size)


def _map(network: keras.Model, layer: str) -> Any:
    """Return the map of features that a layer makes.

    Raises:
        ValueError: No layer of that name makes one.
    """
    if not layer:
        return network.output
    maps = {each.name: each.output for each in network.layers[1:] if len(each.output.shape) == 4}
    if layer not in maps:
        raise ValueError(
            f"layer is {layer!r}, which is no map of this backbone{did_you_mean(layer, maps)} "
            f"(its {len(maps)} maps run from {next(iter(maps))} to {next(reversed(maps))})"
        )
    return maps[layer]


def _digest_of(facts: Mapping[str, Any], content: Iterable[np.ndarray | str]) -> str:
    """Return what tells an encoder from every other: how it looks, and each of its weights.

    Not where the weights came from: the same ones by another name make the same vectors.
    """
    identity = {name: value for name, value in facts.items() if name != "weights"}
    identity |= {"backend": keras.backend.backend(), "dtype": keras.config.dtype_policy().name}
    sum_of = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for part in content:
        sum_of.update(part.encode() if isinstance(part, str) else part.tobytes())
    return sum_of.hexdigest()
