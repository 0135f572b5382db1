"""What one backend saves, to be read on the other (`forks.py`): networks, and every augmentation.

An order names a folder, and whether to write it or to compare what it says with what we say.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melnb.data.augmentation.augment import AUGMENTATIONS, augment
from melnb.data.augmentation.draws import DRAWS
from melnb.models.networks.classifier import make_classifier, read_classifier
from melnb.models.segmentation.unet import make_segmenter, read_segmenter

CLASSES, SIDE = ("a", "b", "c"), 32
APART = {"pooled": 1e-5, "fused": 1e-5, "segmenter": 1e-3}
Arrays = dict[str, np.ndarray]


def make_networks() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    return {
        "pooled": make_classifier(classes=CLASSES, image_size=SIDE, pooling="gem"),
        "fused": make_classifier(classes=CLASSES, image_size=SIDE, metadata=7, fusion="gated"),
        "segmenter": make_segmenter(
            "unet-small", filters=4, decoder="subpixel", finest=2, dropout=0.2
        ),
    }


def say(networks: Mapping[str, Callable[..., Any]]) -> Arrays:
    """Return what networks say of the same inputs, and pictures after each operation alone.

    On JAX in one compiled function: one by one, every primitive of every shape is compiled.
    """
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (3, SIDE, SIDE, 3)).astype("float32")
    words = rng.normal(size=(3, 7)).astype("float32")
    coarse = np.kron(rng.uniform(20, 235, (3, 4, 4, 3)), np.ones((1, 6, 6, 1)))
    pictures = (coarse + rng.normal(0, 5, coarse.shape)).clip(0, 255).astype("float32")
    draws = rng.random((3, DRAWS)).astype("float32")

    def everything(images: Any, words: Any, pictures: Any, draws: Any) -> dict[str, Any]:
        said = {
            "pooled": networks["pooled"](images),
            "fused": networks["fused"]({"image": images, "metadata": words}),
            "segmenter": networks["segmenter"](images[:, :, :21]),
        }
        for name in sorted(set(AUGMENTATIONS) - {"randaugment_magnitude"}):
            strengths = {name: AUGMENTATIONS[name], "randaugment_magnitude": 0.5}
            said[f"augmented by {name}"] = augment(pictures, draws, **strengths)
        return said

    if keras.backend.backend() == "jax":
        import jax

        everything = jax.jit(everything)
    said = everything(images, words, pictures, draws)
    return {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in said.items()}


def run(order: dict[str, Any]) -> None:
    folder = Path(order["folder"])
    if order["write"]:
        networks = make_networks()
        for name, network in networks.items():
            network.save(folder / f"{name}.keras")
        np.savez(folder / "said.npz", backend=keras.backend.backend(), **say(networks))
        return
    readers = {"pooled": read_classifier, "fused": read_classifier, "segmenter": read_segmenter}
    ours = say({name: read(folder / f"{name}.keras") for name, read in readers.items()})
    theirs = np.load(folder / "said.npz")
    assert theirs["backend"] != keras.backend.backend()
    assert {*theirs.files} == {*ours, "backend"}
    for name, values in ours.items():
        apart = np.abs(values - theirs[name])
        if name in APART:
            assert apart.max() < APART[name], (name, apart.max())
        else:  # but for the odd pixel where two ways of rounding part at a threshold
            assert np.mean(apart > 0.02) < 0.002, (name, apart.max())
            assert apart.mean() < 0.01, (name, apart.mean())
