"""Weights: what a backbone knows before it starts, and where its file comes from.

Every tensor is matched by the name and the shape of its layer, or by Keras' own strict loader: a
file that fits only in part stops with the names, for Keras' `load_weights(by_name=True)` takes
such a file without a word.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from melnb.models.networks.backbones import (
    EFFICIENTNETS,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    find_backbone,
    set_normalization,
)

_TOPS = {"probs", "predictions"}  # the last layer of files with a top: not a backbone's
Layers = dict[str, list[np.ndarray]]


class WeightsError(ValueError):
    """Weights are not published, not there, not whole or not for this backbone."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file: its name, where it is published, and its md5 or sha256."""

    name: str
    address: str
    digest: str


def read_weights(network: keras.Model, *, backbone: str, weights: str) -> None:
    """Read weights into a backbone.

    Args:
        network: As `make_backbone` gives it.
        backbone: Its name.
        weights: `none` leaves it as it is; `imagenet` and `noisy-student` are published files,
            fetched once; else the path of a file: `.keras`, a classifier of 03_train with the same
            backbone; `.weights.h5`, as `network.save_weights` writes it; `.h5`, a published file.

    Raises:
        WeightsError: The file is not published, cannot be had, is damaged or does not fit.
    """
    if weights == "none":
        return
    path = Path(weights).expanduser()
    if weights in ("imagenet", "noisy-student"):
        path = fetch_weights(find_weights(backbone, weights))
    elif not path.is_file():
        raise WeightsError(
            f"weights is {weights!r}, and there is no such file: use none, imagenet, "
            "noisy-student, or the path of a .keras, .weights.h5 or .h5 file"
        )
    if path.suffix == ".keras":
        _read_classifier(network, path)
    elif backbone in EFFICIENTNETS and not path.name.endswith(".weights.h5"):
        _read_efficientnet(network, path)
    else:
        _read_by_order(network, path)


def find_weights(backbone: str, weights: str) -> WeightsFile:
    """Return the published file of `imagenet` or `noisy-student` weights of a backbone.

    Names, addresses and digests are those of Keras, and of the `efficientnet` package.

    Raises:
        WeightsError: No such weights are published, or the package is not installed.
    """
    row = find_backbone(backbone)
    if weights == "imagenet" and row.file:
        return WeightsFile(Path(row.file).name, row.address, row.digest)
    if weights != "noisy-student" or backbone not in EFFICIENTNETS:
        raise WeightsError(
            f"no {weights} weights are published for {backbone}: use weights none, the path of a "
            "file, or a backbone that has them (noisy-student: EfficientNetB0 to B7)"
        )
    if util.find_spec("efficientnet") is None:
        raise WeightsError(
            "the noisy-student files are named by the package efficientnet, which is not "
            "installed: pip install 'melnb[efficientnet]'"
        )
    table = import_module("efficientnet.weights")
    key = f"efficientnet-b{backbone[-1]}"
    name = f"{key}_noisy-student_notop.h5"
    return WeightsFile(name, table.NS_WEIGHTS_PATH + name, table.NS_WEIGHTS_HASHES[key][1])


def fetch_weights(file: WeightsFile) -> Path:
    """Return where a published file lies on this machine; download it if it is not there.

    Raises:
        WeightsError: It is there but damaged, or it is not there and cannot be fetched.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "models" / file.name
    if not path.exists():
        try:
            fetched = keras.utils.get_file(
                file.name, file.address, cache_dir=home, cache_subdir="models",
                file_hash=file.digest,
            )  # fmt: skip
            path = Path(fetched)  # elsewhere if the folder cannot be written
        except Exception as error:  # Keras raises the bare class when an address does not answer
            raise WeightsError(
                f"no {file.name} on this machine, and it could not be fetched ({error}).\n"
                f"Download {file.address}\nwhere there is a network, and put it at {path}"
            ) from error
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "md5" if len(file.digest) == 32 else "sha256")
    if digest.hexdigest() != file.digest:
        raise WeightsError(
            f"{path} is damaged, or not the published file: its digest is {digest.hexdigest()}, "
            f"not {file.digest}. Delete it, and download {file.address} again"
        )
    return path


def _read_classifier(network: keras.Model, path: Path) -> None:
    try:
        saved = keras.saving.load_model(path, compile=False).get_layer("backbone")
    except ValueError as error:
        raise WeightsError(f"{path} does not read as a classifier of 03_train: {error}") from error
    wanted, given = ([tuple(w.shape) for w in m.weights] for m in (network, saved))
    if wanted != given:
        raise WeightsError(
            f"{path} holds another backbone: {len(given)} tensors where {len(wanted)} of other "
            "shapes are wanted; name the backbone that it was trained with"
        )
    network.set_weights(saved.get_weights())


def _read_by_order(network: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns when layers "retain their freshly-initialized weights".
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise WeightsError(f"{path} does not fit this backbone: {error}") from error


def _read_efficientnet(network: keras.Model, path: Path) -> None:
    """Read a file of Keras or of the efficientnet package: the same layers, but two scalings.

    The package scales pixels to (x - mean) / deviation, in front of the network. Keras does so in
    the network, and then divides by the root of the deviation once more, in a layer that it adds
    for `weights="imagenet"` alone (tensorflow issue 49930); here that goes into the variance.
    """
    source = _published_layers(path)
    scaling = [name for name in source if name.startswith("normalization")]
    mean, variance = np.array(IMAGENET_MEAN), np.square(IMAGENET_DEVIATION)
    if scaling:
        mean, variance = source.pop(scaling[0])[:2]
        variance = variance * np.array(IMAGENET_DEVIATION)
    layers = {
        layer.name: layer
        for layer in network.layers
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    }
    _check_match(layers, source, path)
    for name, layer in layers.items():
        layer.set_weights(source[name])
    set_normalization(network, mean, variance)


def _published_layers(path: Path) -> Layers:
    """Return the weights of each layer of an HDF5 file as Keras 2 wrote it, less the top."""
    try:
        with h5py.File(path) as file:
            group = file if "layer_names" in file.attrs else file["model_weights"]
            names = [_text(name) for name in group.attrs["layer_names"]]
            layers = {
                name: [np.asarray(group[name][_text(w)]) for w in group[name].attrs["weight_names"]]
                for name in names
            }
    except (OSError, KeyError) as error:
        raise WeightsError(f"{path} does not read as a Keras weights file: {error}") from error
    return {name: tensors for name, tensors in layers.items() if tensors and name not in _TOPS}


def _check_match(layers: dict[str, Any], source: Layers, path: Path) -> None:
    problems = [f"{name}: not in the file" for name in layers if name not in source]
    problems += [f"{name}: only in the file" for name in source if name not in layers]
    for name in layers.keys() & source.keys():
        wanted = [tuple(w.shape) for w in layers[name].weights]
        given = [w.shape for w in source[name]]
        if wanted != given:
            problems.append(f"{name}: {given} in the file, {wanted} in the network")
    if problems:
        raise WeightsError(f"{path} does not fit this backbone:\n" + "\n".join(sorted(problems)))


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
