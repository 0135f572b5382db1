"""An encoder of one's own: by the door for files, its layers or its weights, at any size."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from melnb.models.feature_extraction import make_extractor
from melnb.models.networks.backbones import make_backbone
from melnb.models.networks.classifier import make_classifier
from melnb.models.networks.layouts import WeightsError
from melnb.models.networks.saved import ModelFileError
from melnb.models.networks.weights import read_weights, weights_origin
from melnb.params.catalogue import Embed, ParameterError, Train
from melnb.runs.lookup import weights_files

SIDE = 32


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three convolutions for pictures of any size, in the range 0 to 1."""
    keras.utils.set_random_seed(3)
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, 2, "same", activation="relu")(picture)
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, 2, "same")(x))
    path = tmp_path_factory.mktemp("own") / "mine.keras"
    keras.Model(picture, layers.ReLU(name="end")(x)).save(path)
    return path


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def test_kept_weights_say_what_the_file_says_and_none_are_random(own: Path) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (2, SIDE, SIDE, 3)).astype("float32")
    expected = values(keras.saving.load_model(own)(pixels / 255))
    for weights, alike in (("kept", True), ("none", False)):
        body = make_backbone(str(own), image_size=SIDE, scaling="unit")
        read_weights(body, backbone=str(own), weights=weights)
        assert np.allclose(values(body(pixels)), expected, atol=1e-5) == alike
    plain = make_backbone(str(own), image_size=SIDE)
    read_weights(plain, backbone=str(own), weights="kept")
    np.testing.assert_allclose(values(plain(pixels / 255)), expected, atol=1e-6)
    assert [layer.name for layer in plain.layers[-1:]] == ["end"], "its layers, to be frozen apart"


def test_a_classifier_and_an_extractor_are_made_of_it(own: Path, tmp_path: Path) -> None:
    network = make_classifier(
        classes=("other", "melanoma"), image_size=SIDE, backbone=str(own), weights="kept"
    )
    network.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").output_shape == (None, 2)
    how = {"image_size": SIDE, "scaling": "unit"}
    kept = make_extractor(str(own), weights="kept", **how).facts
    assert (kept["width"], kept["scaling"]) == (6, "unit")
    again = make_extractor(str(own), weights="kept", **how).facts["digest"]
    assert again == kept["digest"]
    assert make_extractor(str(own), weights="kept", image_size=SIDE).facts["digest"] != again
    origin = weights_origin(str(own), "kept")
    assert origin["weights_source"] == "mine.keras"
    assert origin["weights_digest"].startswith("sha256:")
    assert weights_files("kept", str(own)) == [own]
    assert weights_files("none", "tiny") == []


def test_what_is_no_encoder_is_refused(own: Path, tmp_path: Path) -> None:
    make = make_backbone
    with pytest.raises(FileNotFoundError, match=r"backbone is .*none.keras.* no such file"):
        make(str(tmp_path / "none.keras"), image_size=SIDE)
    head = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    head.save(tmp_path / "head.keras")
    with pytest.raises(ValueError, match=r"an encoder is from one picture .*: cut its head off"):
        make(str(tmp_path / "head.keras"), image_size=SIDE)
    (tmp_path / "page.keras").write_text("<!doctype html>")
    with pytest.raises(ModelFileError, match="is a web page"):
        make(str(tmp_path / "page.keras"), image_size=SIDE)
    code = keras.Sequential([keras.Input((None, None, 3)), layers.Lambda(lambda x: x)])
    code.save(tmp_path / "code.keras")
    with pytest.raises(ModelFileError, match="has a Lambda layer, which is code"):
        make(str(tmp_path / "code.keras"), image_size=SIDE)
    with pytest.raises(ValueError, match="scaling is 'units'"):
        make(str(own), image_size=SIDE, scaling="units")
    with pytest.raises(WeightsError, match="use kept, those of its file, or none"):
        read_weights(make(str(own), image_size=SIDE), backbone=str(own), weights="imagenet")
    with pytest.raises(WeightsError, match="is of an encoder of one's own"):
        read_weights(make("tiny", image_size=SIDE), backbone="tiny", weights="kept")


@pytest.mark.parametrize("stage", [Train, Embed])
def test_parameters_say_what_goes_together(stage: type[Train] | type[Embed]) -> None:
    given = {"backbone": "my.keras", "weights": "kept", "scaling": "torch"}
    assert stage.check(given).scaling == "torch"
    for change, said in (
        ({"weights": "imagenet"}, "weights are kept, or none"),
        ({"backbone": "tiny", "scaling": "inside"}, "weights kept are those of an encoder of"),
        ({"backbone": "tiny", "weights": "none"}, "tiny has its own inside"),
    ):
        with pytest.raises(ParameterError, match=said):
            stage.check(given | change)
