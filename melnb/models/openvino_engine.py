"""OpenVINO: a trained network, frozen, predicts on a processor 1.5 times as fast.

The weights become constants of TensorFlow's graph, which OpenVINO reads and compiles: batch
normalisation is folded into convolutions, and all is computed in float32. The first batch is
predicted by Keras, too, and the two must agree. The same batch gives the same bits each time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.tables.processes import without

PARITY = 1e-4  # of the largest number: how far the two may be apart on the first batch


class OpenVinoViewer:
    """What predicts the batches of `batches.predict_batches` as a viewer of Keras does.

    Args:
        model: From pixels (0-255), and metadata if it takes any, to n x k numbers.
        look: From pixels, draws and views to pixels, see `tta.make_look`.

    Raises:
        ModuleNotFoundError: OpenVINO is not installed.
        ValueError: Keras does not run on TensorFlow.
    """

    def __init__(self, model: keras.Model, look: Callable[[Any, Any, Any], Any]) -> None:
        self._model, self._look = model, look
        self._names = [*model.input] if isinstance(model.input, dict) else []
        self._network = _compile(_freeze(model))
        self._proved = False

    def predict(self, batches: Any, verbose: int = 0) -> np.ndarray:
        """Return rows x k of all batches, as `keras.Model.predict` does."""
        return np.concatenate([self.predict_on_batch(rows) for rows in batches])

    def predict_on_batch(self, rows: Mapping[str, Any]) -> np.ndarray:
        """Return n x k of one batch.

        Raises:
            ValueError: Of the first: it says other than Keras does.
        """
        seen = self._look(rows["image"], rows["draws"], rows["view"])
        given = {**rows, "image": ops.convert_to_numpy(seen)}
        tensors = [np.asarray(given[name], "float32") for name in self._names or ["image"]]
        answer = np.array(self._network(tensors)[0])  # a copy: its own memory is used again
        if not self._proved:
            expected = self._model(
                dict(zip(self._names, tensors, strict=True)) if self._names else tensors[0],
                training=False,
            )
            _prove(answer, ops.convert_to_numpy(expected))
            self._proved = True
        return answer


def _prove(answer: np.ndarray, expected: np.ndarray) -> None:
    """Refuse what differs from Keras' answer; NaN is told where all numbers are checked."""
    apart = np.nanmax(np.abs(answer - expected), initial=0.0)
    most = PARITY * max(1.0, np.nanmax(np.abs(expected), initial=0.0))
    if apart > most:
        raise ValueError(
            f"engine is 'openvino', and on the first batch it says other than Keras by {apart:.2g} "
            f"(at most {most:.2g}), as a network of mixed precision may: use engine keras"
        )


def _freeze(model: keras.Model) -> bytes:
    """Return the graph of a network with its weights as constants, inputs in the model's order."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"engine is 'openvino', which reads TensorFlow's graphs, and Keras runs on "
            f"{keras.backend.backend()}: use engine keras, or KERAS_BACKEND=tensorflow"
        )
    tensorflow = import_module("tensorflow")
    to_constants = import_module("tensorflow.python.framework.convert_to_constants")
    named = isinstance(model.input, dict)
    wanted = [*model.input.values()] if named else [model.input]

    def answer(*tensors: Any) -> Any:
        given = dict(zip(model.input, tensors, strict=True)) if named else tensors[0]
        return model(given, training=False)

    asked = [
        tensorflow.TensorSpec(tensor.shape, tensorflow.float32, f"input{k}")
        for k, tensor in enumerate(wanted)
    ]
    function = tensorflow.function(answer).get_concrete_function(*asked)
    frozen = to_constants.convert_variables_to_constants_v2(function)
    return bytes(frozen.graph.as_graph_def().SerializeToString())


def _compile(graph: bytes) -> Any:
    """Return what OpenVINO makes of a frozen graph: from inputs by number to outputs."""
    if util.find_spec("openvino") is None:
        raise ModuleNotFoundError(
            "engine is 'openvino', which is not installed: pip install 'melnb[openvino]', or use "
            "engine keras"
        )
    with without("openvino_telemetry"):  # it tells its makers that it is imported
        runtime = import_module("openvino")
    core = runtime.Core()
    with tempfile.TemporaryDirectory() as folder:  # it reads files alone
        file = Path(folder) / "network.pb"
        file.write_bytes(graph)
        network = core.read_model(file)
    ports = [f"input{k}:0" for k in range(len(network.inputs))]
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda tensors: compiled(dict(zip(ports, tensors, strict=True)))
