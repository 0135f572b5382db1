"""Saved networks: the one door by which a model file comes in.

A model file is others' bytes: it may be cut, a web page, a pointer of Git LFS, or hold code. It is
looked at before Keras gets it, and nothing but Keras' own layers and ours is made of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import keras

from melnb.data.hdf5 import ForeignError, check_own
from melnb.tables.documents import read_run

# Our layers, by the names that they are saved under, and where each is made known to Keras.
OURS = {
    "melnb>ArcFace": "melnb.models.networks.heads",
    "melnb>MultiSampleDropout": "melnb.models.networks.heads",
    "melnb>MetadataDropout": "melnb.models.networks.heads",
    "melnb>GeM": "melnb.models.networks.classifier",
    "melnb>PadToStride": "melnb.models.segmentation.unet",
    "melnb>CutBorder": "melnb.models.segmentation.unet",
    "melnb>Finer": "melnb.models.segmentation.unet",
    "melnb>Spread": "melnb.models.segmentation.unet",
}
CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")  # what they hold runs
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml")
_AGAIN = "copy or download it again"
_OTHER = "Name a file that model.save wrote and nobody has changed since"
_NAMES = 5  # of a file's parts, in a message
_WEIGHTS = "model.weights.h5"
_PARTS = {"config.json", "metadata.json", _WEIGHTS}  # of a `.keras`
_MORE_WEIGHTS = 1 << 24  # that a network may have beyond one for each byte of its file's
_MOST_VALUES = 1 << 30  # that a layer may make of one picture: 4 GB, twice what ours can
_MORE, _TIMES = 1 << 26, 20  # bytes that parts may unpack to: so many, and times the file's own
# Where Keras has what networks are made of; it has a downloader and a reader of files, too.
_KERAS = re.compile(
    r"builtins|keras|keras\.(src\.)?(activations|applications|constraints|dtype_policies"
    r"|initializers|layers|models|ops|quantizers|random|regularizers)(\..*)?"
)


class ModelFileError(ValueError):
    """A file is no network that can be read; the message names it and says what to do."""


def read_network(path: str | Path, *, stage: str) -> keras.Model:
    """Read a network that was saved whole, without its optimizer.

    Args:
        path: A `.keras` or `.h5` file. Where a finished run's record lies beside it, it must be
            the file that the run wrote.
        stage: The notebook that writes such networks, to be named where there is none.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is no such file, another than was recorded, or holds foreign layers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: run {stage} first")
    check_kind(path)
    _check_recorded(path, stage)
    config, version, held = _read_config(path)
    for entry in _entries({**config, "compile_config": None}):
        _check_layer(entry, path)
    try:
        _check_size(config, path, held)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except ModelFileError:
        raise
    except Exception as error:  # of Keras, of zip and HDF5 files, of what a layer is made with
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        other = f", saved by Keras {version}, read by {keras.__version__}" if version else ""
        raise ModelFileError(
            f"{path} cannot be read as a network ({reason}{other}): {_AGAIN}, run {stage} again, "
            "or with the version that saved it write its weights alone (save_weights, .weights.h5)"
        ) from error


def check_kind(path: Path) -> None:
    """Refuse what is no file of a network or of weights by its first bytes.

    Raises:
        ModelFileError: It is empty, cut, a web page, a pointer of Git LFS or something else, or
            its name says another kind than it is.
    """
    head = check_first_bytes(path)
    if not head.startswith((_ZIP, _HDF5)):
        raise ModelFileError(
            f"{path} is neither a .keras nor an .h5 file: name another, or {_AGAIN}"
        )
    if head.startswith(_ZIP) != (path.suffix == ".keras"):
        kind = ".keras" if head.startswith(_ZIP) else ".h5"
        raise ModelFileError(f"{path} is a {kind} file by its content: rename it so")


def check_first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file that may be one of a network or of weights.

    Raises:
        ModelFileError: It is empty, a web page or a pointer of Git LFS.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b"\0"):
        raise ModelFileError(f"{path} is empty: {_AGAIN}")
    if head.startswith(b"version https://git-lfs"):
        raise ModelFileError(f"{path} is a pointer of Git LFS, not the file: git lfs pull")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE):
        raise ModelFileError(
            f"{path} is a web page, of a login or an error perhaps: download it anew"
        )
    return head


def _check_recorded(path: Path, stage: str) -> None:
    """Refuse another file than the run that lies around it recorded."""
    try:
        files = read_run(path.parent)["files"]
    except FileNotFoundError:  # anybody's file, or of a run that is not finished
        return
    recorded = next((f.get("sha256", "") for f in files if f["path"] == path.name), "")
    if not recorded:
        return
    with path.open("rb") as file:
        now = hashlib.file_digest(file, "sha256").hexdigest()
    if now != recorded:
        raise ModelFileError(
            f"{path} is not the file that its run wrote (sha256 {now[:12]}…, in run.json "
            f"{recorded[:12]}…): put that back, or run {stage} again"
        )


def _read_config(path: Path) -> tuple[dict[str, Any], str, int]:
    """Return how a network is made, which Keras said so, and how many bytes its weights have."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as parts:
                names = parts.namelist()
                _check_parts(parts, path)
                facts = json.loads(parts.read("metadata.json")) if "metadata.json" in names else {}
                content, version = parts.read("config.json"), facts.get("keras_version", "")
                held = parts.getinfo(_WEIGHTS).file_size if _WEIGHTS in names else 0
        else:
            with h5py.File(path) as file:
                check_own(file, path.stat().st_size)
                if "model_config" not in file.attrs:
                    raise ModelFileError(
                        f"{path} holds weights alone: give it as `weights` of 03_train"
                    )
                content, version = file.attrs["model_config"], file.attrs.get("keras_version", "")
                held = path.stat().st_size
        config = json.loads(content)
    except ModelFileError:
        raise
    except ForeignError as error:
        raise ModelFileError(f"{path} is not read: {error}. {_OTHER}") from None
    except Exception as error:  # of zip and HDF5 files, of JSON, of UTF-8
        size = f"{path.stat().st_size:,} bytes"
        raise ModelFileError(f"{path} is cut or damaged ({size}: {error}): {_AGAIN}") from error
    if not isinstance(config, dict):
        raise ModelFileError(f"{path} is damaged (its config is no mapping): {_AGAIN}")
    return config, str(version), held


def _check_parts(parts: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive of anything else than a network, or one that fills the memory.

    Raises:
        ModelFileError: It is one.
    """
    names, size = parts.namelist(), sum(part.file_size for part in parts.infolist())
    strange = [name for name in names if name not in _PARTS]
    if "config.json" not in names:
        raise ModelFileError(
            f"{path} is a zip of something else ({', '.join(names[:_NAMES])} …): name a file that "
            "model.save wrote"
        )
    if strange or len(set(names)) < len(names):
        shown = ", ".join(map(repr, strange[:_NAMES])) or "a part of one name twice"
        raise ModelFileError(f"{path} holds more than a network ({shown}), and is not unpacked")
    if size > _MORE + _TIMES * path.stat().st_size:
        raise ModelFileError(f"{path} would unpack to {size:,} bytes, and is not. {_OTHER}")


def _check_size(config: dict[str, Any], path: Path, held: int) -> None:
    """Refuse a network that would take far more memory than its file holds weights.

    It is made without weights first, in a thread of its own: what Keras remembers of variables
    that are to be filled later is a thread's, and forgotten with it.

    Args:
        config: How it is made.
        path: Of the file.
        held: Bytes of the weights in it.

    Raises:
        ModelFileError: It is one.
    """
    with ThreadPoolExecutor(1) as thread:
        weights, maps = thread.submit(_measure, config, path).result()
    if weights > _MORE_WEIGHTS + held:
        raise ModelFileError(
            f"{path} describes {weights:,} weights, and holds {held:,} bytes of them: it is not "
            f"made. {_OTHER}"
        )
    values, layer = max(maps)
    if values > _MOST_VALUES:
        raise ModelFileError(
            f"{path} would make {values:,} values of one picture ({layer!r}), more than "
            f"{_MOST_VALUES:,}: it is not made. {_OTHER}"
        )


def _measure(config: dict[str, Any], path: Path) -> tuple[int, list[tuple[int, str]]]:
    """Return how many weights a network has, and how many values each layer makes of a picture."""
    with keras.StatelessScope(initialize_variables=False):
        if path.suffix == ".keras":
            plain = {**config, "compile_config": None}
            network = keras.saving.deserialize_keras_object(plain, safe_mode=True)
        else:  # whose weights are bounded by `check_own`
            network = keras.saving.load_model(path, compile=False, safe_mode=True)
    maps, todo = [(0, "")], [network]
    while todo:
        part = todo.pop()
        within: Any = getattr(part, "operations", None) or getattr(part, "layers", ())
        todo += within
        for tensor in () if within else keras.tree.flatten(getattr(part, "output", ())):
            maps.append((math.prod(side or 1 for side in tensor.shape[1:]), part.name))
    return sum(math.prod(variable.shape) for variable in network.variables), maps


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Yield what in a config is to be made of a class or a function."""
    todo = [config]
    while todo:  # no recursion: the depth is the file's
        part = todo.pop()
        if isinstance(part, dict):
            todo += part.values()
            if isinstance(part.get("class_name"), str):
                yield part
        elif isinstance(part, list):
            todo += part


def _check_layer(entry: dict[str, Any], path: Path) -> None:
    """Refuse what is neither Keras' nor ours; make ours known."""
    name, module = entry["class_name"], str(entry.get("module") or "keras")
    registered = str(entry.get("registered_name") or name)
    if name.rpartition(">")[2] in CODE:
        raise ModelFileError(
            f"{path} has a {name} layer, which is code and is not run: save the network without it"
        )
    if registered in OURS:
        import_module(OURS[registered])
        return
    if not _KERAS.fullmatch(module) or ">" in registered:
        whose = f"another version of melnb ({registered})" if "melnb" in registered else module
        raise ModelFileError(
            f"{path} has a layer {name!r} of {whose}: only layers of Keras and of this melnb are "
            "read; give 03_train the weights alone (save_weights, .weights.h5), or train anew"
        )
