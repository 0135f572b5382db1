"""Files that are called a network: the one door lets in Keras' own layers and ours, whole."""

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import melnb
from melnb.models.networks.classifier import make_classifier, read_classifier
from melnb.models.networks.layouts import WeightsError
from melnb.models.networks.saved import CODE, OURS
from melnb.models.networks.weights import read_weights
from melnb.models.out_of_fold import read_model
from melnb.models.segmentation.unet import read_segmenter
from melnb.runs import store

Make = Callable[[Path], Path]


@keras.saving.register_keras_serializable("theirs")
class Foreign(keras.layers.Layer):  # type: ignore[misc]
    """A layer that is registered in this process, by somebody else."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a network in both kinds of file."""
    folder = tmp_path_factory.mktemp("saved")
    pixels = keras.Input((4,))
    network = keras.Model(pixels, keras.layers.Dense(2, name="backbone")(pixels))
    network.save(folder / "model.keras")
    network.save(folder / "model.h5")
    network.save_weights(folder / "own.weights.h5")
    return folder


@pytest.fixture(autouse=True)
def files(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    for path in saved.iterdir():
        shutil.copy(path, tmp_path)


def holds(content: bytes, name: str = "model.keras") -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def cut(name: str, share: float) -> Make:
    def make(folder: Path) -> Path:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])
        return folder / name

    return make


def renamed(old: str, new: str) -> Make:
    return lambda folder: (folder / old).rename(folder / new)


def rewritten(change: Callable[[dict[str, Any]], object], part: str = "config.json") -> Make:
    """Return what changes a JSON within a `.keras`."""

    def make(folder: Path) -> Path:
        path = folder / "model.keras"
        with zipfile.ZipFile(path) as parts:
            contents = {name: parts.read(name) for name in parts.namelist()}
        told = json.loads(contents[part])
        change(told)
        with zipfile.ZipFile(path, "w") as parts:
            for name, content in (contents | {part: json.dumps(told).encode()}).items():
                parts.writestr(name, content)
        return path

    return make


def with_layer(class_name: str, module: str, registered: str | None, **config: Any) -> Make:
    """Return what makes the network's layer another."""

    def change(told: dict[str, Any]) -> None:
        layer = told["config"]["layers"][1]
        layer |= {"class_name": class_name, "module": module, "registered_name": registered}
        layer["config"] = {"name": "backbone"} | config

    return rewritten(change)


def with_config(layer: int, **config: Any) -> Callable[[dict[str, Any]], None]:
    """Return what gives a layer of the network other arguments."""
    return lambda told: told["config"]["layers"][layer]["config"].update(config)


def with_input(size: int) -> Callable[[dict[str, Any]], None]:
    """Return what gives the network an input of another size."""

    def change(told: dict[str, Any]) -> None:
        first, second = told["config"]["layers"]
        first["config"]["batch_shape"] = second["build_config"]["input_shape"] = [None, size]

    return change


def with_function(name: str, module: str) -> Make:
    """Return what makes the layer's activation any function."""
    told = {"class_name": "function", "module": module, "config": name, "registered_name": name}
    return with_layer("Dense", "keras.layers", None, units=2, activation=told)


def with_part(name: str, content: bytes) -> Make:
    """Return what puts a further file into a `.keras`."""

    def make(folder: Path) -> Path:
        with (
            warnings.catch_warnings(action="ignore"),  # of a name that is there already
            zipfile.ZipFile(folder / "model.keras", "a", zipfile.ZIP_DEFLATED) as parts,
        ):
            parts.writestr(name, content)
        return folder / "model.keras"

    return make


def swollen(folder: Path) -> Path:
    """A network whose description unpacks to 100 MB."""
    with zipfile.ZipFile(folder / "model.keras", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("config.json", b" " * 100_000_000)
    return folder / "model.keras"


def pointing(name: str, change: Callable[[h5py.File], object]) -> Make:
    """Return what makes a file of HDF5 point out of itself."""

    def make(folder: Path) -> Path:
        with h5py.File(folder / name, "r+") as file:
            change(file)
        return folder / name

    return make


def link_out(file: h5py.File) -> None:
    file["layers"] = h5py.ExternalLink("other.h5", "/layers")


def store_out(file: h5py.File) -> None:
    file.create_dataset("x", shape=(9,), dtype="u1", external=[("secret", 0, 9)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((9,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (9,))
    file.create_virtual_dataset("x", layout)


def terabyte(file: h5py.File) -> None:
    file.create_dataset("x", shape=(10**12,), dtype="u1", chunks=(1000,))


def ring(file: h5py.File) -> None:
    file["round"] = file["/"]


def with_h5_layer(class_name: str) -> Make:
    def make(folder: Path) -> Path:
        with h5py.File(folder / "model.h5", "r+") as file:
            told = json.loads(file.attrs["model_config"])
            told["config"]["layers"][1]["class_name"] = class_name
            file.attrs["model_config"] = json.dumps(told)
        return folder / "model.h5"

    return make


def with_h5_config(**config: Any) -> Make:
    def make(folder: Path) -> Path:
        with h5py.File(folder / "model.h5", "r+") as file:
            told = json.loads(file.attrs["model_config"])
            told["config"]["layers"][1]["config"] |= config
            file.attrs["model_config"] = json.dumps(told)
        return folder / "model.h5"

    return make


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "model.keras", "w") as parts:
        parts.writestr("photo.jpg", b"")
    return folder / "model.keras"


def of_a_run(change: Callable[[Path], object]) -> Make:
    """Return what changes the network of a finished run."""

    def make(folder: Path) -> Path:
        run = store.open_run("03_train", "a/fold0", parameters={})
        shutil.copy(folder / "model.keras", run.folder)
        home = run.finish({})
        change(home)
        return home / "model.keras"

    return make


def swap(home: Path) -> None:
    network = keras.saving.load_model(home / "model.keras", compile=False)
    network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    network.save(home / "model.keras")


def as_weights(path: Path) -> None:
    read_weights(make_classifier(classes=["a", "b"], image_size=32).get_layer("backbone"),
                 backbone="tiny", weights=str(path))  # fmt: skip


def is_network(network: Any) -> None:
    assert network.get_layer("backbone").units == 2


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
PAGE = b"\n<!DOCTYPE html><html><title>Sign in</title></html>"
AGAIN, WEIGHTS = "copy or download it again", r"weights alone \(save_weights, .weights.h5\)"
CASES: dict[str, tuple[Make, Callable[[Any], Any], Any]] = {
    "a network": (renamed("model.keras", "b.keras"), read_classifier, is_network),
    "a network in HDF5": (renamed("model.h5", "b.h5"), read_classifier, is_network),
    "the network that its run wrote": (of_a_run(lambda home: None), read_classifier, is_network),
    "no file": (lambda folder: folder / "a.keras", read_classifier, ["no a.keras in .*03_train"]),
    "a folder": (
        lambda folder: folder, read_segmenter, ["no .* in .*: run 02c_segment_train first"],
    ),
    "empty": (holds(b""), read_classifier, [r"model\.keras is empty", AGAIN]),
    "zeros": (holds(b"\0" * 900), read_classifier, [r"model\.keras is empty", AGAIN]),
    "a pointer of Git LFS": (
        holds(LFS), read_segmenter, [r"model\.keras is a pointer of Git LFS", "git lfs pull"],
    ),
    "a web page": (holds(PAGE), read_classifier, [r"model\.keras is a web page", "download it"]),
    "a web page as HDF5": (holds(PAGE, "a.h5"), read_classifier, [r"a\.h5 is a web page"]),
    "a picture": (holds(b"\xff\xd8\xff\xe0JFIF"), read_classifier, ["neither a .keras nor an .h5"]),
    "a pickle": (holds(b"\x80\x04\x95K"), read_classifier, ["neither a .keras nor an .h5"]),
    "cut": (cut("model.keras", 0.5), read_classifier, [r"model\.keras is cut or damaged", AGAIN]),
    "cut at its end": (cut("model.keras", 0.99), read_classifier, ["is cut or damaged", AGAIN]),
    "cut HDF5": (cut("model.h5", 0.5), read_classifier, [r"model\.h5 is cut or damaged", AGAIN]),
    "HDF5 that is called .keras": (
        renamed("model.h5", "b.keras"), read_classifier, [r"b\.keras is a \.h5 file", "rename it"],
    ),
    "a .keras that is called HDF5": (
        renamed("model.keras", "b.h5"), read_classifier, [r"b\.h5 is a \.keras file", "rename it"],
    ),
    "weights alone": (
        renamed("own.weights.h5", "b.h5"), read_classifier, ["b.h5 holds weights alone", "weights"],
    ),
    "a zip of something else": (zipped, read_classifier, [r"is a zip of .*photo\.jpg", "name"]),
    "a layer of others": (
        with_layer("Foreign", "theirs.layers", "theirs>Foreign"), read_classifier,
        [r"model\.keras has a layer 'Foreign' of theirs\.layers", WEIGHTS],
    ),
    "a layer of others in the name of Keras": (
        with_layer("Foreign", "keras.layers", "theirs>Foreign"), read_classifier,
        ["has a layer 'Foreign'", "only layers of Keras and of this melnb"],
    ),
    "a layer of others in HDF5": (
        with_h5_layer("theirs>Foreign"), read_classifier, ["has a layer 'theirs>Foreign'", WEIGHTS],
    ),
    "a layer that Keras has not": (
        with_layer("Dance", "keras.layers", None), read_segmenter,
        [r"model\.keras cannot be read as a network", "run 02c_segment_train again", WEIGHTS[:13]],
    ),
    "a layer of a melnb to come": (
        with_layer("Whorl", "melnb.models.networks.classifier", "melnb>Whorl"), read_classifier,
        [r"'Whorl' of another version of melnb \(melnb>Whorl\)", "train anew"],
    ),
    "a function of the system": (
        with_layer("system", "os", "function"), read_classifier, ["has a layer 'system' of os"],
    ),
    "code": (
        with_layer("Lambda", "keras.layers", None, function="x"), read_classifier,
        [r"model\.keras has a Lambda layer, which is code and is not run", "save the network"],
    ),
    "code in HDF5": (
        with_h5_layer("Lambda"), read_classifier, [r"model\.h5 has a Lambda layer, which is code"],
    ),
    "a downloader of Keras": (
        with_function("get_file", "keras.utils"), read_classifier,
        [r"model\.keras has a layer 'function' of keras\.utils: only layers of Keras"],
    ),
    "a reader of Keras": (
        with_function("load_model", "keras.saving"), read_classifier, ["of keras.saving: only"],
    ),
    "Python's eval": (
        with_function("eval", "builtins"), read_classifier, ["cannot be read as a network", AGAIN],
    ),
    "a part that climbs": (
        with_part("../../acted", b"x"), read_classifier,
        [r"holds more than a network \('\.\./\.\./acted'\), and is not unpacked"],
    ),
    "a further part": (
        with_part("assets/a.py", b"x"), read_classifier, [r"than a network \('assets/a\.py'\)"],
    ),
    "a part twice": (
        with_part("config.json", b"{}"), read_classifier, ["a part of one name twice"],
    ),
    "100 MB in a description": (swollen, read_classifier, ["would unpack to 100,000,000 bytes"]),
    "a trillion units": (
        rewritten(with_config(1, units=10**12)), read_classifier,
        [r"model\.keras describes 5,000,000,000,000 weights, and holds [\d,]+ bytes of them"],
    ),
    "a picture of a trillion numbers": (
        rewritten(with_input(10**12)), read_segmenter,
        ["describes 2,000,000,000,002 weights", "not made", r"model\.save wrote"],
    ),
    "a map of a trillion values without a weight": (
        with_layer("RepeatVector", "keras.layers", None, n=10**12), read_classifier,
        [r"would make 4,000,000,000,000 values of one picture \('backbone'\)"],
    ),
    "a trillion units in HDF5": (
        with_h5_config(units=10**12), read_classifier, [r"model\.h5 cannot be read as a network"],
    ),
    "HDF5 with a link to another file": (
        pointing("model.h5", link_out), read_classifier,
        [r"model\.h5 is not read: layers is a link to 'other\.h5', .*not followed.*model\.save"],
    ),
    "HDF5 of another file's bytes": (
        pointing("model.h5", store_out), read_classifier, ["/x has its bytes in other files"],
    ),
    "HDF5 of other data sets": (
        pointing("model.h5", virtual), read_classifier, ["/x is put together of other data sets"],
    ),
    "HDF5 of a terabyte": (
        pointing("model.h5", terabyte), read_classifier, ["stand for 1,000,000,0"],
    ),
    "HDF5 that goes round": (pointing("model.h5", ring), read_classifier, is_network),
    "weights with a link to another file": (
        pointing("own.weights.h5", lambda f: f.__setitem__("a", h5py.ExternalLink("b.h5", "/"))),
        as_weights, [r"own\.weights\.h5 does not fit this backbone: a is a link to 'b\.h5'"],
    ),
    "published weights of another file's bytes": (
        pointing("model.h5", store_out), as_weights, ["does not read as a Keras weights file: /x"],
    ),
    "a network of a Keras to come": (
        rewritten(lambda told: told["config"]["layers"][1]["config"].update(units="many")),
        read_classifier, [r"cannot be read as a network .*saved by Keras [\d.]+, read by", WEIGHTS],
    ),
    "a config that is a list": (
        rewritten(lambda told: told["config"].update(layers=3)), read_classifier,
        ["cannot be read as a network", AGAIN],
    ),
    "another network than its run wrote": (
        of_a_run(swap), lambda path: read_model(path.parent),
        [r"fold0/model\.keras is not the file that its run wrote \(sha256 ", "run 03_train again"],
    ),
    "the network of a run whose record is cut": (
        of_a_run(lambda home: (home / "run.json").write_text("{")), read_classifier,
        [r"fold0/run\.json is damaged", "run its stage again"],
    ),
    "a web page as weights": (
        holds(PAGE, "a.weights.h5"), as_weights, [r"weights: .*a\.weights\.h5 is a web page"],
    ),
    "a pointer of Git LFS as weights": (
        holds(LFS, "a.h5"), as_weights, [r"weights: .*a\.h5 is a pointer of Git LFS", "pull"],
    ),
    "code as weights": (
        with_layer("Lambda", "keras.layers", None), as_weights,
        ["does not read as a classifier of 03_train", "has a Lambda layer, which is code"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_odd_files_of_networks(name: str, try_odd_file: Any) -> None:
    try_odd_file(*CASES[name])


@pytest.mark.parametrize("name", CODE)
def test_no_layer_that_holds_code_is_read(name: str, try_odd_file: Any) -> None:
    make = with_layer(name, "keras.layers", None)
    try_odd_file(make, read_classifier, [f"has a {name} layer, which is code"])


def test_a_damaged_weights_file_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is empty"):
        as_weights(holds(b"", "a.h5")(tmp_path))


def test_every_layer_of_ours_is_let_in() -> None:
    house = Path(melnb.__file__).parents[1]
    for path in (house / "melnb/models").rglob("*.py"):
        if "keras.layers.Layer" in path.read_text(encoding="utf-8"):
            import_module(".".join(path.relative_to(house).with_suffix("").parts))
    known = keras.saving.get_custom_objects()
    for name in OURS:
        assert issubclass(known[name], keras.layers.Layer)
        assert known[name].__module__ == OURS[name]
    ours = {name for name, made in known.items() if name.startswith("melnb>")
            and isinstance(made, type) and issubclass(made, keras.layers.Layer)
            and made.__module__.startswith("melnb.models")}  # fmt: skip
    assert ours == set(OURS)
