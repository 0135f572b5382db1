"""Measuring: what comes back from the accelerator against the official scores of each image."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from melnb.data.batches import predict_mask_batches
from melnb.evaluation.challenges.jaccard import mask_scores
from melnb.models.segmentation.mask_fitting import MEASURES, MaskValidation
from melnb.models.segmentation.mask_losses import make_mask_loss
from melnb.models.segmentation.unet import make_segmenter
from melnb.models.training.state import name_weights, to_array

SIDE = 32


def make_threshold(level: float) -> keras.Model:
    """Call lesion what is darker than a level: discs on skin are found nearly rightly."""
    image = keras.Input((None, None, 3))
    grey = keras.layers.Conv2D(
        1, 1, kernel_initializer=keras.initializers.Constant(-1 / 3),
        bias_initializer=keras.initializers.Constant(level), name="grey",
    )(image)  # fmt: skip
    return keras.Model(image, grey)


def by_hand(model: keras.Model, paths: list[Path], loss: Any) -> dict[str, float]:
    (batch,) = predict_mask_batches(paths, image_size=SIDE, batch_size=12).as_numpy_iterator()
    logits = np.asarray(ops.convert_to_numpy(model(batch["image"])))
    truth = {str(k): mask[..., 0] > 0.5 for k, mask in enumerate(batch["mask"])}
    said = {str(k): plane[..., 0] > 0 for k, plane in enumerate(logits)}
    scores = mask_scores(truth, said)
    losses = ops.convert_to_numpy(loss.call(batch["mask"], ops.convert_to_tensor(logits)))
    means = (losses.mean(), scores["jaccard"].mean(), scores["threshold_jaccard"].mean())
    return dict(zip(MEASURES, map(float, means), strict=True))


@pytest.mark.parametrize("level", [140.0, 90.0, 0.0, 300.0])
def test_the_measures_are_the_means_of_the_official_scores(discs: list[Path], level: float) -> None:
    model, loss = make_threshold(level), make_mask_loss("bce_dice")
    validation = MaskValidation(model, discs[:1], image_size=SIDE, batch_size=5)
    found = validation.measure(loss)
    assert tuple(found) == MEASURES
    assert found == pytest.approx(by_hand(model, discs[:1], loss), rel=1e-5)
    if level == 140:
        assert found["val_jaccard"] > 0.9
    if level == 0:
        assert found["val_jaccard"] == 0  # nothing is called


def test_images_without_a_mask_are_left_out_if_the_others_are_named(discs: list[Path]) -> None:
    model, loss = make_threshold(140.0), make_mask_loss("bce_dice")
    names = [f"image0_{n}" for n in range(12)]
    validation = MaskValidation(model, discs, image_size=SIDE, batch_size=5, only=names)
    assert validation.images == 12
    assert validation.measure(loss) == pytest.approx(by_hand(model, discs[:1], loss), rel=1e-5)


def test_weights_may_change_and_freeze_between_two_measurements(discs: list[Path]) -> None:
    model, loss = make_threshold(140.0), make_mask_loss("bce")
    validation = MaskValidation(model, discs[:1], image_size=SIDE, batch_size=12)
    first = validation.measure(loss)
    model.get_layer("grey").trainable = False
    model.get_layer("grey").bias.assign([90.0])
    second = validation.measure(loss)
    assert second == pytest.approx(by_hand(model, discs[:1], loss), rel=1e-5)
    assert second["val_jaccard"] != first["val_jaccard"]
    other = make_mask_loss("dice")
    assert validation.measure(other)["val_loss"] == pytest.approx(
        by_hand(model, discs[:1], other)["val_loss"], rel=1e-5
    )


def test_several_sets_of_weights_are_measured_by_their_mean_logit(discs: list[Path]) -> None:
    model, loss = make_threshold(0.0), make_mask_loss("bce")
    validation = MaskValidation(model, discs[:1], image_size=SIDE, batch_size=12)
    weights = [
        {n: to_array(w) for n, w in name_weights(make_threshold(level).weights).items()}
        for level in (100.0, 180.0)
    ]
    found = validation.measure_mean(weights, loss)
    assert found == pytest.approx(by_hand(make_threshold(140.0), discs[:1], loss), rel=1e-4)


def test_a_model_without_numbers_is_refused(discs: list[Path]) -> None:
    model = make_segmenter("unet-tiny", filters=2, finest=4)
    model.get_layer("logit").bias.assign([np.nan])
    validation = MaskValidation(model, discs[:1], image_size=SIDE, batch_size=12)
    with pytest.raises(ValueError, match="no number for image 0 "):
        validation.measure(make_mask_loss("dice"))
