"""Tiny shards, and training runs in processes of their own."""

import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from melnb.data.datasets import Dataset
from melnb.data.shards.examples import Shard, write_shard
from melnb.models.networks.backbones import make_backbone

SIDE, PER_SHARD = 32, 24


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let networks begin with the same weights each time, whatever tests ran before."""
    keras.utils.set_random_seed(0)


def _example(rng: np.random.Generator, name: str, target: int) -> dict[str, Any]:
    """A blob on skin; those of class 1 are darker and less round."""
    skin = Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(190, 220, 3).tolist()))
    wide, high = (rng.uniform(5, 11, 2) if target else np.repeat(rng.uniform(5, 11), 2)).tolist()
    middle = rng.uniform(13, 19)
    tone = int(rng.integers(60, 130) - 25 * target)
    box = (middle - wide, middle - high, middle + wide, middle + high)
    ImageDraw.Draw(skin).ellipse(box, fill=(tone, tone // 2, tone // 3))
    stream = io.BytesIO()
    skin.filter(ImageFilter.GaussianBlur(1)).save(stream, "JPEG", quality=92)
    return {"image": stream.getvalue(), "image_name": name.encode(), "target": target}


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four shards of 24 pictures, 32 pixels on a side, half of each of two classes."""
    folder = tmp_path_factory.mktemp("blobs")
    rng = np.random.default_rng(0)
    paths = [folder / f"fold{k}-00-{PER_SHARD}.tfrec" for k in range(4)]
    for k, path in enumerate(paths):
        write_shard(path, [_example(rng, f"image{k}_{n}", n % 2) for n in range(PER_SHARD)])
    return paths


@pytest.fixture(scope="session")
def train(
    blobs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., list[int]]]:
    """Run orders one after another, each in a process of its own, and return how each ended."""
    script = Path(__file__).with_name("forks.py")
    log = tmp_path_factory.mktemp("forks") / "said.log"
    servers: dict[str, subprocess.Popen[str]] = {}

    def start(backend: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "KERAS_BACKEND": backend}
        environment.pop("XLA_FLAGS", None)
        with log.open("a") as file:
            return subprocess.Popen(
                [sys.executable, str(script)], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
            )  # fmt: skip

    def run(orders: list[dict[str, Any]], backend: str) -> list[int]:
        server = servers[backend] = servers.get(backend) or start(backend)
        full = [{"shards": [str(path) for path in blobs], **order} for order in orders]
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(full) + "\n")
        server.stdin.flush()
        states: list[int] = json.loads(server.stdout.readline() or "[]")
        assert len(states) == len(orders), log.read_text()[-3000:]
        if 1 in states:
            print(log.read_text()[-3000:])
        return states

    yield run
    for server in servers.values():
        server.communicate()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], keras.Model]:
    """Make a backbone once a session, at the smallest size: one of Keras' takes seconds to trace.

    Its weights are whatever the last test gave it; its scaling is its own. `own.keras` is an
    encoder of one's own, from a file.
    """
    smallest = {"InceptionV3": 80, "Xception": 80}

    def make(name: str) -> keras.Model:
        path = name
        if name == "own.keras":
            path = str(tmp_path_factory.mktemp("own") / name)
            make_backbone("tiny", image_size=48).save(path)
        return make_backbone(path, image_size=smallest.get(name, SIDE))

    return functools.cache(make)


@pytest.fixture(scope="session")
def plain() -> Callable[..., keras.Model]:
    """Make a classifier that takes no time, for tests of what is done with one, whatever it is."""

    def make(n_classes: int, *, cells: int = 0) -> keras.Model:
        image = keras.Input((SIDE, SIDE, 3), name="image")
        x = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(image))
        x, inputs = keras.layers.Flatten()(x), image
        if cells:
            words = keras.Input((cells,), name="metadata")
            x, inputs = keras.layers.Concatenate()([x, words]), {"image": image, "metadata": words}
        return keras.Model(inputs, keras.layers.Dense(n_classes, "softmax")(x))

    return make


@pytest.fixture(scope="session")
def data(blobs: list[Path]) -> Dataset:
    """Two folds and a test set of one shard each: melanoma or other."""
    shards = [Shard(p, SIDE, f, PER_SHARD) for p, f in zip(blobs[:3], (0, 1, -1), strict=True)]
    return Dataset(
        blobs[0].parent, "d", "csv", "native", ("other", "melanoma"), 2, (SIDE,), "crop",
        3 * PER_SHARD, tuple(shards),
    )  # fmt: skip


@pytest.fixture(scope="session")
def untrained(
    tmp_path_factory: pytest.TempPathFactory, plain: Callable[..., keras.Model]
) -> Callable[..., dict[int, Path]]:
    """Save two networks that were never trained, and differ: fold and folder of each."""

    def save(n_classes: int, *, cells: int = 0) -> dict[int, Path]:
        folder = tmp_path_factory.mktemp("untrained")
        homes = {fold: folder / f"fold{fold}" for fold in (0, 1)}
        for fold, home in homes.items():
            home.mkdir()
            keras.utils.set_random_seed(fold)
            plain(n_classes, cells=cells).save(home / "model.keras")
        return homes

    return save


@pytest.fixture(scope="module")
def trained(untrained: Callable[..., dict[int, Path]]) -> dict[int, Path]:
    """Networks of the two classes, never trained."""
    return untrained(2)


@pytest.fixture
def gradient() -> Callable[[Callable[[Any], Any], np.ndarray], np.ndarray]:
    """The gradient of a number by a tensor, on either backend."""

    def find(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
        at = np.asarray(at, "float32")
        if keras.backend.backend() == "jax":
            import jax

            return np.asarray(jax.jit(jax.grad(function))(at))
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def slope(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return np.asarray(slope(tf.constant(at)))

    return find
