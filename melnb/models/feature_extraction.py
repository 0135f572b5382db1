"""Feature extraction: a frozen encoder's vector of a picture, of Keras or ONNX, for tables."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from melnb.data.augmentation.augment import VIEWS
from melnb.data.batches import encoded_batches
from melnb.models.networks.backbones import is_own, make_backbone, scale_pixels
from melnb.models.networks.heads import input_sizes
from melnb.models.networks.saved import ModelFileError, check_first_bytes
from melnb.models.networks.weights import read_weights
from melnb.models.openvino_engine import OpenVinoViewer
from melnb.models.tta import count_views, make_look, make_viewer, open_viewer, predict_rows
from melnb.tables.nearest import did_you_mean

# ONNX: frozen encoders of other frameworks, run by onnxruntime on the processor.
#
# A model of this format is a graph of known operations: nothing of it is code. It is read from
# memory and may name no file besides itself, and its pixels' layout is told by its shapes.

ONNX = ".onnx"
LAYOUTS = ("auto", "channels_last", "channels_first")
# The key by which a tensor names a file of its own; numbers may be written longer than need be.
_PLACE = re.compile(rb"(?:\n|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
_AGAIN = "export it again, with all weights inside (one file)"


class Port(NamedTuple):
    """An input or an output of a model.

    Attributes:
        name: In the file.
        shape: Numbers where they are fixed; None where they are not.
        kind: Of its numbers, as onnxruntime names it.
    """

    name: str
    shape: tuple[int | None, ...]
    kind: str = "tensor(float)"


class OnnxViewer:
    """What makes vectors of the batches of `batches.encoded_batches`, as a Keras viewer would.

    Args:
        path: Of the file.
        image_size: Pixels on a side.
        scaling: One of `backbones.SCALINGS`: what it wants of pixels of 0-255.
        layout: One of `LAYOUTS`; `auto`: by the shape of its input.
        views: `none` or `dihedral`.
        layer: The name of an output; empty: the first.

    Attributes:
        width: Of a vector.
        digest: The sha256 of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: onnxruntime is not installed.
        ModelFileError: It is no model, names other files, or fails on a picture.
        ValueError: It is not from a picture to a map or a vector, or takes another size.
    """

    def __init__(
        self, path: str | Path, *, image_size: int, scaling: str, layout: str, views: str,
        layer: str = "",
    ) -> None:  # fmt: skip
        self.path = Path(path).expanduser()
        content = _read(self.path)
        self.digest = hashlib.sha256(content).hexdigest()
        self._session = _open(content, self.path)
        self._scaling, self._look = scaling, make_look(views)
        self._input, self._output = self._ports(layer)
        self.first = _is_first(self._input.shape, layout, self.path)
        self._check_size(image_size)
        rows = self._input.shape[0] or 2  # two: each must get its own
        blank = np.zeros((rows, image_size, image_size, 3), "float32")
        self.width = int(self._run(blank).shape[-1])

    def predict(self, batches: Any, verbose: int = 0) -> np.ndarray:
        """Return rows x width of all batches, as `keras.Model.predict` does."""
        return np.concatenate([self._vectors(rows) for rows in batches.as_numpy_iterator()])

    def _vectors(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        seen = self._look(rows["image"], rows["draws"], rows["view"])
        pixels = np.asarray(ops.convert_to_numpy(scale_pixels(seen, self._scaling)), "float32")
        step = self._input.shape[0] or len(pixels)
        parts = []
        for k in range(0, len(pixels), step):
            part = pixels[k : k + step]
            filled = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            parts.append(self._run(filled)[: len(part)])
        return np.concatenate(parts)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """Return n x width of scaled n x side x side x 3 pixels; a map becomes its mean."""
        given = np.moveaxis(pixels, -1, 1) if self.first else pixels
        try:
            (answer,) = self._session.run([self._output.name], {self._input.name: given})
        except Exception as error:  # of its own kinds, by what the graph does
            raise _failed(self.path, "fails on a picture", error) from None
        vectors = np.asarray(answer)
        if vectors.ndim not in (2, 4) or len(vectors) != len(given) or vectors.dtype.kind != "f":
            raise ValueError(
                f"{self.path}: {self._output.name} of {len(given)} pictures is {vectors.dtype} of "
                f"shape {list(vectors.shape)}, and an encoder says of each a map or a vector, in "
                "float32: export it without its head"
            )
        vectors = vectors.astype("float32", copy=False)
        if vectors.ndim == 4:
            vectors = vectors.mean(axis=(2, 3) if self.first else (1, 2), dtype="float32")
        return vectors

    def _ports(self, layer: str) -> tuple[Port, Port]:
        """Return the input and the output that is asked for."""
        inputs, outputs = (
            [
                Port(p.name, tuple(s if isinstance(s, int) else None for s in p.shape), p.type)
                for p in ports
            ]
            for ports in (self._session.get_inputs(), self._session.get_outputs())
        )
        names = [port.name for port in outputs]
        if layer and layer not in names:
            raise ValueError(
                f"layer is {layer!r}, which is no output of {self.path}"
                f"{did_you_mean(layer, names)} (it has {', '.join(names)})"
            )
        output = outputs[names.index(layer) if layer else 0]
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or len(output.shape) not in (2, 4):
            raise ValueError(
                f"{self.path} is from {[list(port.shape) for port in inputs]} to "
                f"{list(output.shape)}, and an encoder is from one picture (four axes) to a map "
                "(four) or a vector (two): export it without its head"
            )
        if inputs[0].kind != "tensor(float)":
            raise ValueError(
                f"{self.path} takes {inputs[0].kind}, and pictures are given in float32: export it "
                "with an input of that"
            )
        return inputs[0], output

    def _check_size(self, image_size: int) -> None:
        sides = self._input.shape[2:] if self.first else self._input.shape[1:3]
        if any(side not in (None, image_size) for side in sides):
            raise ValueError(
                f"{self.path} takes pictures of {' x '.join(map(str, sides))} pixels, and "
                f"image_size is {image_size}: set it to that"
            )


def _read(path: Path) -> bytes:
    """Return the content of a file that may be a model."""
    if not path.is_file():
        raise FileNotFoundError(f"backbone is {str(path)!r}, and there is no such file")
    check_first_bytes(path)
    content = path.read_bytes()
    if _PLACE.search(content):
        raise ModelFileError(f"{path} names other files for its weights, which are not read: "
                             f"{_AGAIN}")  # fmt: skip
    return content


def _open(content: bytes, path: Path) -> Any:
    """Return a session that gives the same bits each time."""
    if util.find_spec("onnxruntime") is None:
        raise ModuleNotFoundError(
            f"backbone is {str(path)!r}, and onnxruntime, which runs such files, is not "
            "installed: pip install 'melnb[onnx]'"
        )
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of its own kinds, by what is wrong with the graph
        raise _failed(path, "cannot be read as an ONNX model", error) from None


def _failed(path: Path, what: str, error: Exception) -> ModelFileError:
    return ModelFileError(f"{path} {what} ({' '.join(str(error).split())[:200]}): {_AGAIN}")


def _is_first(shape: tuple[int | None, ...], layout: str, path: Path) -> bool:
    """Return whether the colours are the first axis of a picture."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; use one of {list(LAYOUTS)}")
    if layout != "auto":
        return layout == "channels_first"
    first, last = shape[1] == 3, shape[3] == 3
    if first == last:
        raise ValueError(
            f"{path} takes {list(shape)}, which does not say where the three colours are: set "
            "layout channels_first or channels_last"
        )
    return first


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
