"""ONNX encoders: what onnxruntime makes of a picture is what the same network of Keras makes."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from melnb.data.shards.examples import read_examples
from melnb.models import feature_extraction
from melnb.models.networks.backbones import make_backbone
from melnb.models.networks.saved import ModelFileError
from melnb.models.networks.weights import weights_origin
from melnb.params.catalogue import Embed, ParameterError, Train
from melnb.runs.lookup import weights_files

SIDE = 32
FLOAT, INTS, INT = 1, 7, 2  # of ONNX


def field(number: int, value: bytes | str | int) -> bytes:
    """A field of Protocol Buffers."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    more, last = [], value
    while last > 127:
        more.append(last & 127 | 128)
        last >>= 7
    return bytes([*more, last])


def node(kind: str, taken: list[str], made: str, **attributes: list[int] | int) -> bytes:
    parts = [field(1, name) for name in taken] + [field(2, made), field(4, kind)]
    for name, value in attributes.items():
        many = isinstance(value, list)
        given = b"".join(field(8, v) for v in value) if isinstance(value, list) else field(3, value)
        kinds = field(20, INTS if many else INT)
        parts.append(field(5, field(1, name) + given + kinds))
    return field(1, b"".join(parts))


def port(number: int, name: str, shape: list[int | str]) -> bytes:
    dims = b"".join(field(1, field(1 if isinstance(s, int) else 2, s)) for s in shape)
    tensor = field(1, FLOAT) + field(2, dims)
    return field(number, field(1, name) + field(2, field(1, tensor)))


def tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(field(1, size) for size in values.shape)
    content = np.ascontiguousarray(values, "<f4").tobytes()
    return field(5, dims + field(2, FLOAT) + field(8, name) + field(9, content))


def write_model(path: Path, kernel: np.ndarray, *, first: bool, batch: int | str = "n") -> Path:
    """Write a convolution: of colours first with a map, of colours last with map and vector."""
    side: list[int | str] = ["h", "w"] if first else [SIDE, SIDE]
    shape = [batch, 3, *side] if first else [batch, *side, 3]
    nodes = b"" if first else node("Transpose", ["picture"], "turned", perm=[0, 3, 1, 2])
    taken = "picture" if first else "turned"
    nodes += node("Conv", [taken, "kernel"], "raw", strides=[2, 2]) + node("Relu", ["raw"], "map")
    ports = port(11, "picture", shape)
    if not first:
        nodes += node("GlobalAveragePool", ["map"], "mean")
        nodes += node("Flatten", ["mean"], "vector", axis=1)
        ports += port(12, "vector", [batch, len(kernel)])
    ports += port(12, "map", [batch, len(kernel), "a", "b"])
    graph = nodes + field(2, "g") + tensor("kernel", kernel) + ports
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


@pytest.fixture(scope="module")
def kernel() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (5, 3, 2, 2)).astype("float32")


@pytest.fixture(scope="module")
def vectors(kernel: np.ndarray, blobs: list[Path], pictures: list[bytes]) -> np.ndarray:
    """What the convolution makes of the pictures, by Keras, pixels from -1 to 1, in eight views."""
    convolution = layers.Conv2D(5, 2, 2, use_bias=False, activation="relu", name="map")
    network = keras.Sequential([keras.Input((None, None, 3)), convolution])
    convolution.set_weights([kernel.transpose(2, 3, 1, 0)])
    path = blobs[0].parent / "convolution.keras"
    network.save(path)
    how = {"weights": "kept", "image_size": SIDE, "scaling": "signed", "views": "dihedral"}
    return feature_extraction.make_extractor(str(path), **how, batch_size=8)(pictures)


@pytest.fixture(scope="module")
def pictures(blobs: list[Path]) -> list[bytes]:
    return [example["image"] for example in read_examples(blobs[0])][:5]


@pytest.mark.parametrize(("first", "batch"), [(True, "n"), (False, "n"), (True, 3)])
def test_its_vectors_are_those_of_the_same_network_of_keras(
    first: bool, batch: int | str, kernel: np.ndarray, vectors: np.ndarray,
    pictures: list[bytes], tmp_path: Path,
) -> None:  # fmt: skip
    path = write_model(tmp_path / "m.onnx", kernel, first=first, batch=batch)
    how = {"weights": "kept", "image_size": SIDE, "scaling": "signed", "views": "dihedral"}
    made = feature_extraction.make_extractor(str(path), **how, batch_size=8)
    assert (made.facts["width"], made.facts["channels_first"]) == (5, first)
    found = made(pictures)
    np.testing.assert_allclose(found, vectors, atol=1e-5)
    assert np.array_equal(made(pictures), found)
    assert (
        feature_extraction.make_extractor(str(path), **how).facts["digest"] == made.facts["digest"]
    )


def test_a_vector_or_a_map_by_its_name(kernel: np.ndarray, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", kernel, first=False)
    how = {"image_size": SIDE, "scaling": "inside", "layout": "auto", "views": "none"}
    assert feature_extraction.OnnxViewer(path, **how, layer="vector").width == 5
    with pytest.raises(ValueError, match=r"no output of .*did you mean 'vector'"):
        feature_extraction.OnnxViewer(path, **how, layer="vectors")
    with pytest.raises(ValueError, match=r"takes pictures of 32 x 32 pixels, and image_size is 48"):
        feature_extraction.OnnxViewer(path, **how | {"image_size": 48})
    origin = weights_origin(str(path), "kept")
    assert origin["weights_source"] == "m.onnx"
    assert weights_files("kept", str(path)) == [path]


def test_a_file_that_is_no_model_is_refused(kernel: np.ndarray, tmp_path: Path) -> None:
    how = {"image_size": SIDE, "scaling": "inside", "layout": "auto", "views": "none"}
    good = write_model(tmp_path / "m.onnx", kernel, first=True).read_bytes()
    cut, outside, empty = (tmp_path / f"{name}.onnx" for name in ("cut", "outside", "empty"))
    cut.write_bytes(good[: len(good) // 2])
    with pytest.raises(ModelFileError, match="cannot be read as an ONNX model"):
        feature_extraction.OnnxViewer(cut, **how)
    outside.write_bytes(good + field(14, field(1, "location") + field(2, "/etc/passwd")))
    with pytest.raises(ModelFileError, match="names other files for its weights, which are not"):
        feature_extraction.OnnxViewer(outside, **how)
    longer = b"\x8a\x00\x88\x80\x00location"  # the same key, its numbers written longer
    outside.write_bytes(good + field(14, longer + field(2, "../weights")))
    with pytest.raises(ModelFileError, match="names other files for its weights, which are not"):
        feature_extraction.OnnxViewer(outside, **how)
    empty.write_bytes(b"")
    with pytest.raises(ModelFileError, match="is empty"):
        feature_extraction.OnnxViewer(empty, **how)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        feature_extraction.OnnxViewer(tmp_path / "none.onnx", **how)
    with pytest.raises(ValueError, match="is frozen, and serves 03d_embed"):
        make_backbone("m.onnx", image_size=SIDE)


def write_graph(path: Path, nodes: bytes, *, kind: int = FLOAT, domain: str = "") -> Path:
    taken = port(11, "picture", ["n", 3, SIDE, SIDE]).replace(field(1, FLOAT), field(1, kind), 1)
    graph = nodes + field(2, "g") + taken + port(12, "out", ["n", "c"])
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, domain) + field(2, 13)))
    return path


@pytest.mark.parametrize(
    ("nodes", "told", "said"),
    [
        (node("Flatten", ["picture"], "out", axis=0), {}, r"out of 2 pictures is .*\[1, 6144\]"),
        (node("Flatten", ["picture"], "out", axis=3), {}, r"shape \[192, 32\], and an encoder"),
        (node("Shape", ["picture"], "out"), {}, "ONNX model|int64 of shape"),
        (
            node("Cast", ["picture"], "f", to=FLOAT) + node("Flatten", ["f"], "out", axis=1),
            {"kind": 10}, "takes tensor.float16.",
        ),
        (node("Peep", ["picture"], "out"), {}, "cannot be read as an ONNX model"),
        (
            node("Shape", ["picture"], "s") + node("Mul", ["s", "s"], "t")
            + node("Mul", ["t", "t"], "u") + node("ConstantOfShape", ["u"], "v")
            + node("Flatten", ["v"], "out", axis=1), {}, "fails on a picture|ONNX model",
        ),
    ],
)  # fmt: skip
def test_a_graph_that_says_no_vector_of_each_picture_is_refused(
    nodes: bytes, told: dict[str, int], said: str, tmp_path: Path
) -> None:
    how = {"image_size": SIDE, "scaling": "inside", "layout": "auto", "views": "none"}
    with pytest.raises(ValueError, match=said):
        feature_extraction.OnnxViewer(write_graph(tmp_path / "m.onnx", nodes, **told), **how)


def test_without_onnxruntime_it_says_what_to_install(
    kernel: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "m.onnx", kernel, first=True)
    monkeypatch.setattr(feature_extraction.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    how = {"image_size": SIDE, "scaling": "inside", "layout": "auto", "views": "none"}
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'melnb\[onnx\]'"):
        feature_extraction.OnnxViewer(path, **how)


def test_colours_that_nobody_can_place_are_asked_for() -> None:
    where = feature_extraction._is_first
    assert where((None, 3, None, None), "auto", Path("m"))
    assert not where((None, 8, 8, 3), "auto", Path("m"))
    assert where((None, None, None, None), "channels_first", Path("m"))
    for shape in ((None, None, None, None), (None, 3, 3, 3)):
        with pytest.raises(ValueError, match="set layout channels_first or channels_last"):
            where(shape, "auto", Path("m"))


def test_it_is_taken_by_embeddings_alone_and_with_its_weights() -> None:
    assert Embed.check({"backbone": "m.onnx", "weights": "kept"}).layout == "auto"
    with pytest.raises(ParameterError, match="weights are kept, not none"):
        Embed.check({"backbone": "m.onnx", "weights": "none"})
    with pytest.raises(ParameterError, match="which serves 03d_embed"):
        Train.check({"backbone": "m.onnx"})
