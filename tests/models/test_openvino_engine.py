"""OpenVINO: it says what Keras says, the same each time, or is refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from melnb.models import openvino_engine
from melnb.models.feature_extraction import make_extractor
from melnb.models.networks.classifier import make_classifier
from melnb.models.tta import open_viewer, predict_views

SIDE = 32


@pytest.fixture(scope="module")
def network() -> Callable[..., keras.Model]:
    """Make an untrained classifier whose normalisation has something to do."""

    def made(metadata: int = 0) -> keras.Model:
        keras.utils.set_random_seed(metadata)
        model = make_classifier(
            classes=("other", "melanoma"), image_size=SIDE, backbone="tiny", metadata=metadata
        )
        draw = np.random.default_rng(0)
        for weight in model.weights:
            if "moving" in weight.path or "head" in weight.path or "probability" in weight.path:
                weight.assign(weight + draw.uniform(0, 0.3, weight.shape))
        return model

    return made


@pytest.mark.parametrize("views", ["none", "dihedral", "random"])
@pytest.mark.parametrize("metadata", [0, 3])
def test_it_says_what_keras_says_and_the_same_each_time(
    views: str, metadata: int, network: Callable[..., keras.Model], blobs: list[Path]
) -> None:
    model = network(metadata)
    how: dict[str, Any] = {"batch_size": 20, "views": views, "n_views": 3}
    how["augmentation"] = {"rotation": 90.0, "flips": True}
    if metadata:
        how["metadata"] = np.random.default_rng(1).normal(size=(48, 3)).astype("float32")
    _, expected = predict_views(model, blobs[:2], **how)
    _, answers = predict_views(model, blobs[:2], engine="openvino", **how)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    _, again = predict_views(model, blobs[:2], engine="openvino", **how)
    np.testing.assert_array_equal(again, answers)


def test_an_encoder_makes_the_same_vectors_under_another_digest(blobs: list[Path]) -> None:
    from melnb.data.shards.examples import read_examples

    encoded = [row["image"] for row in read_examples(blobs[0])][:5]
    vectors, digests = [], []
    for engine in ("keras", "openvino"):
        keras.utils.set_random_seed(0)
        extractor = make_extractor(
            "tiny", weights="none", image_size=SIDE, views="dihedral", engine=engine, batch_size=16
        )
        vectors.append(extractor(encoded))
        digests.append(extractor.facts["digest"])
        np.testing.assert_array_equal(extractor(encoded[::-1])[::-1], vectors[-1])
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-5)
    assert digests[0] != digests[1]


def test_what_says_other_than_keras_is_refused_on_the_first_batch(
    network: Callable[..., keras.Model],
) -> None:
    model = network()
    viewer = open_viewer(model, image_size=SIDE, engine="openvino")
    rows = {"image": np.full((4, SIDE, SIDE, 3), 99.0), "draws": None, "view": None}
    assert viewer.predict_on_batch(rows).shape == (4, 2)
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    assert viewer.predict_on_batch(rows).shape == (4, 2)  # proved once
    other = openvino_engine.OpenVinoViewer(model, lambda image, draws, view: image)
    model.set_weights([weight / 2 for weight in model.get_weights()])
    with pytest.raises(ValueError, match=r"on the first batch it says other than Keras by 0\.\d"):
        other.predict_on_batch(rows)


def test_it_tells_nobody_of_its_use(network: Callable[..., keras.Model]) -> None:
    open_viewer(network(), image_size=SIDE, engine="openvino")
    telling = sys.modules["openvino.tools.ovc.telemetry_utils"].tm  # type: ignore[attr-defined]
    assert telling.__name__ == "openvino.tools.ovc.telemetry_stub"


def test_what_cannot_be_says_what_to_do(
    network: Callable[..., keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    with pytest.raises(ValueError, match=r"engine is 'openvno'; use one of \['keras', 'openvino'"):
        open_viewer(model, image_size=SIDE, engine="openvno")
    with monkeypatch.context() as patch:
        patch.setattr(openvino_engine.util, "find_spec", lambda name: None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'melnb\[openvino\]'"):
            open_viewer(model, image_size=SIDE, engine="openvino")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="Keras runs on jax: use engine keras"):
        openvino_engine._freeze(model)
