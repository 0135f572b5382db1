"""The segmenter: any side of a picture, widths and logits, and a file that any process reads."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.backbones import scale_pixels
from melnb.models.networks.classifier import make_classifier
from melnb.models.networks.layouts import WeightsError
from melnb.models.optimization.freezing import blocks_of, find_backbone_of, freeze
from melnb.models.segmentation.encoders import make_encoder
from melnb.models.segmentation.unet import DECODERS, make_segmenter, read_segmenter

pytestmark = pytest.mark.xdist_group("backbones")  # each made once


def pixels(height: int = 32, width: int = 32) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (2, height, width, 3)).astype("float32")


def values(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    keras.utils.set_random_seed(3)
    return make_segmenter("unet-tiny", filters=4)


def test_the_maps_of_a_published_encoder_are_those_of_keras_on_its_own_scaled_pixels() -> None:
    encoder = make_encoder("VGG16", weights="edges")
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    theirs.set_weights(encoder.get_weights())
    between = keras.Model(theirs.input, theirs.get_layer("block3_conv3").output)
    scaled = keras.applications.vgg16.preprocess_input(pixels().copy())
    expected = values(between(scaled))
    scale = np.abs(expected).max()
    assert values(encoder(pixels())[2]) / scale == pytest.approx(expected / scale, abs=1e-5)
    np.testing.assert_allclose(
        scaled, values(scale_pixels(pixels(), "caffe")), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("finest", [1, 2, 4])
def test_a_picture_of_any_side_gives_one_logit_a_pixel(decoder: str, finest: int) -> None:
    model = make_segmenter("unet-tiny", filters=2, decoder=decoder, finest=finest)
    assert model.output_shape == (None, None, None, 1)
    for height, width in ((32, 32), (19, 30), (5, 3)):
        logits = model(pixels(height, width))
        assert tuple(logits.shape) == (2, height, width, 1)
        assert np.isfinite(values(logits)).all()


def test_the_decoder_is_as_wide_and_deep_as_it_is_asked_to_be() -> None:
    model = make_segmenter(
        "unet-small", filters=8, growth=2, most_filters=60, convolutions=3, finest=2, dropout=0.1
    )
    widths = {
        layer.name: layer.filters
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.name.startswith(("bottom", "decoder"))
    }
    shown = {n: w for n, w in widths.items() if not n.endswith("_narrow")}
    stages = {16: 60, 8: 60, 4: 32, 2: 16}
    expected = {"bottom_conv": 60}
    expected |= {f"decoder{s}_{k}_conv": w for s, w in stages.items() for k in (1, 2, 3)}
    assert shown == expected
    plain = make_segmenter("unet-tiny", batch_norm=False)
    outside = [x for x in plain.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert outside == []
    assert plain.get_layer("decoder1_1_conv").use_bias


def test_our_small_encoder_is_small() -> None:
    assert 1e6 < make_segmenter("unet-small", filters=8, finest=2).count_params() < 2.5e6


def test_an_untrained_model_gives_about_the_share_of_lesion() -> None:
    keras.utils.set_random_seed(0)
    model = make_segmenter("unet-tiny", lesion_share=0.1)
    kernel = model.get_layer("logit").kernel
    kernel.assign(np.zeros(kernel.shape))
    np.testing.assert_allclose(values(ops.sigmoid(model(pixels()))), 0.1, rtol=1e-5)


def test_logits_stay_in_32_bits_and_near_under_mixed_precision(tiny: keras.Model) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_segmenter("unet-tiny", filters=4)
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(tiny.get_weights())
    logits = model(pixels())
    assert model.get_layer("mask").output.dtype == "float32"
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.abs(values(logits) - values(tiny(pixels()))).mean() < 0.2


def test_blocks_of_its_encoder_freeze_and_thaw(tiny: keras.Model) -> None:
    body = find_backbone_of(tiny)
    assert [block.name for block in blocks_of(body)] == ["block1", "block2", "block3"]
    learning = len(tiny.trainable_weights)
    assert freeze(tiny, 2) == ["block1", "block2"]
    assert len(tiny.trainable_weights) == learning - 6  # a kernel, gamma and beta of each
    assert freeze(tiny, 0) == []
    assert len(tiny.trainable_weights) == learning
    small = [b.name for b in blocks_of(make_encoder("unet-small"))]
    assert small == [f"block{k}" for k in range(1, 6)]


def test_weights_come_from_a_classifier_of_the_same_backbone(tmp_path: Path) -> None:
    classifier = make_classifier(classes=("a", "b"), image_size=32, backbone="VGG16")
    classifier.save(tmp_path / "model.keras")
    encoder = make_encoder("VGG16", weights=str(tmp_path / "model.keras"))
    given, taken = (m.get_weights() for m in (classifier.get_layer("backbone"), encoder))
    for ours, theirs in zip(taken, given, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(WeightsError, match="name the backbone that it was trained with"):
        make_encoder("unet-tiny", weights=str(tmp_path / "model.keras"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbone": "unet_smal"}, r"no encoder 'unet_smal'; did you mean 'unet-small'\?"),
        ({"backbone": "vgg16"}, r"did you mean 'VGG16'\?"),
        ({"decoder": "deconv"}, r"decoder is 'deconv'; use one of \['transposed'"),
        ({"finest": 3}, "finest is 3; use a stride of 1, 2 or 4"),
        ({"filters": 0}, "filters is 0"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
        ({"weights": "imagenet"}, "no imagenet weights are published for unet-tiny, which is ours"),
        ({"weights": "nowhere.h5"}, "there is no such file"),
    ],
)
def test_what_has_no_meaning_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_segmenter(**{"backbone": "unet-tiny", **given})


def test_a_missing_file_says_which_notebook_writes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run 02c_segment_train first"):
        read_segmenter(tmp_path / "model.keras")
