"""Classifiers with weights of which every one shows, and pictures with a lesion."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

from melnb.models.networks.classifier import make_classifier
from melnb.models.saliency.samples import Sample

SIDE = 32


@pytest.fixture(scope="session")
def sample() -> Sample:
    """Six pictures: a dark spot on skin, its mask, and three numbers about the patient."""
    rng = np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    images = rng.normal((205, 160, 140), 4, (6, SIDE, SIDE, 3))
    masks = np.zeros((6, SIDE, SIDE), bool)
    for k, (a, b) in enumerate(rng.uniform(10, 22, (6, 2))):
        masks[k] = np.hypot(x - a, y - b) < 6
        images[k][masks[k]] -= 90
    return Sample(
        tuple(f"i{k}" for k in range(6)),
        images.astype("float32"),
        masks,
        np.ones(6, bool),
        rng.normal(size=(6, 3)).astype("float32"),
    )


def randomize(model: keras.Model) -> keras.Model:
    """Give every tensor, those of normalisation among them, values that show."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomize(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            low = {"gamma": 0.7, "beta": -0.3, "moving_mean": -0.2, "moving_variance": 0.5}
            layer.set_weights([rng.uniform(a, a + 0.6, n) for a in low.values()])
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights([rng.normal(0, 0.5, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture(scope="session")
def make() -> Callable[..., keras.Model]:
    """Make a classifier of tiny, its weights drawn."""

    def made(classes: Sequence[str] = ("a", "b", "c"), **keywords: Any) -> keras.Model:
        keras.utils.set_random_seed(0)
        return randomize(make_classifier(classes=classes, image_size=SIDE, **keywords))

    return made


@pytest.fixture(scope="session")
def fused() -> keras.Model:
    """A classifier of a picture and three numbers, which opens a gate on the picture's vector."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    metadata = keras.Input((3,), name="metadata")
    body = make_classifier(classes=("a", "b"), image_size=SIDE).get_layer("backbone")
    features = keras.layers.Activation("linear", name="features")(body(image))
    vector = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    gate = keras.layers.Dense(vector.shape[-1], activation="sigmoid", name="gate")(metadata)
    vector = keras.layers.Multiply(name="gated")([vector, gate])
    vector = keras.layers.Concatenate(name="vector")([vector, metadata])
    head = keras.layers.Dense(3, activation="softmax", name="probability")(vector)
    return randomize(keras.Model({"image": image, "metadata": metadata}, head))
