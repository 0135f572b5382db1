"""The losses of masks: each against the same written out in NumPy, and at its limits."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit
from sklearn.metrics import jaccard_score, log_loss

from melnb.models.segmentation.mask_losses import MASK_LOSSES, make_mask_loss

pytestmark = pytest.mark.backends

SHAPE = (3, 5, 4, 1)


def pairs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return masks, of which the last is empty and the second not of whole numbers, and logits."""
    rng = np.random.default_rng(seed)
    masks = (rng.random(SHAPE) > 0.6).astype("float32")
    masks[1], masks[2] = rng.random(SHAPE[1:]), 0
    return masks, rng.normal(0, 3, SHAPE).astype("float32")


def values(loss: keras.losses.Loss, masks: np.ndarray, logits: np.ndarray) -> np.ndarray:
    masks, logits = (np.asarray(x, "float32") for x in (masks, logits))
    return np.asarray(ops.convert_to_numpy(loss.call(masks, ops.convert_to_tensor(logits))))


def by_hand(name: str, masks: np.ndarray, logits: np.ndarray, smooth: float = 1.0) -> list[float]:
    """Return the losses image by image, in double precision and from probabilities."""
    found = []
    for y, z in zip(masks.astype(float), logits.astype(float), strict=True):
        p = expit(z)
        both, missed, vain = (p * y).sum(), ((1 - p) * y).sum(), (p * (1 - y)).sum()
        bce = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
        dice = 1 - (2 * both + smooth) / (p.sum() + y.sum() + smooth)
        tversky = (both + smooth) / (both + 0.7 * missed + 0.3 * vain + smooth)
        found.append({
            "bce": bce, "dice": dice, "bce_dice": bce + dice,
            "jaccard": 1 - (both + smooth) / (p.sum() + y.sum() - both + smooth),
            "focal_tversky": (1 - tversky) ** (3 / 4),
        }[name])  # fmt: skip
    return found


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_each_image_has_the_loss_written_out_by_hand(name: str) -> None:
    masks, logits = pairs()
    loss = make_mask_loss(name)
    assert values(loss, masks, logits) == pytest.approx(by_hand(name, masks, logits), rel=1e-5)
    one = values(loss, masks[:1], logits[:1])  # a function of its own image alone
    assert one == pytest.approx(values(loss, masks, logits)[:1], rel=1e-6)
    other = type(loss).from_config(loss.get_config())
    np.testing.assert_array_equal(values(other, masks, logits), values(loss, masks, logits))


def test_cross_entropy_and_jaccard_are_scikit_learns() -> None:
    masks, logits = pairs()
    truth, said = masks[0].ravel() > 0.5, logits[0].ravel()
    expected = log_loss(truth, expit(said.astype(float)))
    assert values(make_mask_loss("bce"), masks, logits)[0] == pytest.approx(expected, rel=1e-5)
    sure = 200 * np.sign(logits[:1])  # probabilities of 0 and 1: the soft index is the hard one
    index = jaccard_score(truth, sure.ravel() > 0)
    tiny = make_mask_loss("jaccard", smooth=1e-6)
    assert values(tiny, masks[:1], sure)[0] == pytest.approx(1 - index, abs=1e-6)


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_masks_that_are_met_cost_nothing_and_empty_ones_are_no_exception(name: str) -> None:
    masks = np.stack([np.zeros((4, 4, 1)), np.ones((4, 4, 1)), np.eye(4)[..., None]])
    met = values(make_mask_loss(name), masks, 100 * (2 * masks - 1))
    assert met == pytest.approx(np.zeros(3), abs=1e-4)
    missed = values(make_mask_loss(name), masks, -100 * (2 * masks - 1))
    assert (missed > 0.5).all()
    assert np.isfinite(missed).all()


@pytest.mark.parametrize("name", MASK_LOSSES)
@pytest.mark.parametrize("size", [0.0, 1e-3, 30.0, 1000.0])
def test_slopes_are_numbers_that_point_towards_the_mask(
    name: str, size: float, gradient: Callable[[Callable[[Any], Any], np.ndarray], np.ndarray]
) -> None:
    masks = np.zeros((1, 4, 4, 1), "float32")
    masks[0, 1:3, 1:3] = 1
    logits = np.full(masks.shape, -size, "float32")
    logits[0, 0] = size
    slope = gradient(lambda z: ops.sum(make_mask_loss(name).call(masks, z)), logits)
    assert np.isfinite(slope).all()
    if size < 10:  # beyond, sigmoids are flat
        assert (slope[masks > 0] < 0).all()
        assert (slope[masks == 0] > 0).all()


def test_a_greater_gamma_makes_more_of_what_is_nearly_right() -> None:
    masks, logits = pairs()
    plain, focal = (
        values(make_mask_loss("focal_tversky", tversky_gamma=g), masks, logits) for g in (1, 4 / 3)
    )
    np.testing.assert_allclose(plain ** (3 / 4), focal, rtol=1e-5)
    assert (focal > plain).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "dise"}, r"loss is 'dise'; did you mean 'dice'\? \(use one of \['bce'"),
        ({"loss": "dice", "smooth": 0}, "smooth is 0, .* use a smooth above 0"),
        ({"loss": "focal_tversky", "tversky_gamma": 0.5}, "a gamma of 1 or more"),
    ],
)
def test_what_has_no_meaning_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_mask_loss(**given)
