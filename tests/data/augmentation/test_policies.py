"""RandAugment and AugMix: what is chosen, how often, how strongly, and what it does."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from melnb.data.augmentation import augment as policies
from melnb.data.augmentation.augment import (
    OPERATIONS,
    affine_of,
    aug_mix,
    augment,
    rand_augment,
    recolour_by,
)
from melnb.data.augmentation.draws import DRAWS, NAMES
from melnb.data.augmentation.geometry import transform

to_numpy = keras.ops.convert_to_numpy
MANY = np.random.default_rng(0).random(6000).astype("float32")


def pictures(batch: int = 1, side: int = 24, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(60, 190, (batch, side, side, 3)).astype("float32")


def only(**values: float) -> dict[str, np.ndarray]:
    return {name: np.array([values.get(name, 0.0)], "float32") for name in OPERATIONS}


@pytest.mark.parametrize("number", [1, 3, len(OPERATIONS)])
def test_each_image_gets_so_many_operations_each_as_often_either_way_at_the_magnitude(
    number: int,
) -> None:
    chosen = {k: to_numpy(v) for k, v in rand_augment(MANY, number, 0.4).items()}
    values = np.stack([chosen[name] / OPERATIONS[name] for name in OPERATIONS], axis=1)
    assert ((values != 0).sum(1) == number).all()
    np.testing.assert_allclose(np.abs(values[values != 0]), 0.4, rtol=1e-5)
    often = (values != 0).mean(0)
    np.testing.assert_allclose(often, number / len(OPERATIONS), atol=0.03)
    positive = (values > 0).mean(0) / often
    np.testing.assert_allclose(positive, 0.5, atol=0.09)


def test_there_are_no_more_operations_than_there_are() -> None:
    with pytest.raises(ValueError, match="randaugment is 13; use 1 to 12 operations, or 0"):
        rand_augment(MANY, 13, 0.5)


def test_without_number_or_magnitude_nothing_is_done() -> None:
    images, draws = pictures(2), np.zeros((2, DRAWS), "float32")
    assert augment(images, draws, randaugment=0, randaugment_magnitude=1.0) is images
    assert augment(images, draws, randaugment=3, randaugment_magnitude=0.0) is images


def test_what_is_not_chosen_changes_nothing() -> None:
    images = pictures()
    seen = recolour_by(transform(images, affine_of(images, only())), only())
    np.testing.assert_allclose(to_numpy(seen), images, atol=1e-3)


@pytest.mark.parametrize(
    ("chosen", "draw", "strength"),
    [
        ({"rotation": math.radians(20)}, {"rotation": 1.0}, {"rotation": 20.0}),
        ({"zoom": math.log(1.3)}, {"zoom": 1.0}, {"zoom": 0.3}),
        ({"shear_x": math.tan(math.radians(10))}, {"shear": 1.0}, {"shear": 10.0}),
        ({"shift_x": 0.25, "shift_y": -0.25}, {"shift_x": 1.0, "shift_y": 0.0}, {"shift": 0.25}),
        ({"brightness": -0.1}, {"brightness": 0.0}, {"brightness": 0.1}),
        ({"contrast": 0.3}, {"contrast": 1.0}, {"contrast": 0.3}),
        ({"saturation": -0.5}, {"saturation": 0.0}, {"saturation": 0.5}),
        ({"hue": math.radians(36)}, {"hue": 1.0}, {"hue": 0.1}),
    ],
)
def test_operations_are_those_of_the_augmentation(
    chosen: dict[str, float], draw: dict[str, float], strength: dict[str, float]
) -> None:
    images, values = pictures(), only(**chosen)
    row = np.full((1, DRAWS), 0.5, "float32")
    for name, value in draw.items():
        row[:, NAMES.index(name)] = value
    seen = recolour_by(transform(images, affine_of(images, values)), values)
    expected = augment(images, row, **strength)
    np.testing.assert_allclose(to_numpy(seen), to_numpy(expected), atol=5e-3)


def test_the_other_shear_leans_the_columns() -> None:
    image = np.zeros((1, 25, 25, 3), "float32")
    image[:, 12] = 255  # a level line
    values = only(shear_y=0.25)
    seen = to_numpy(transform(image, affine_of(image, values)))[0, ..., 0]
    assert [int(seen[:, x].argmax()) for x in (4, 12, 20)] == [14, 12, 10]


def test_randaugment_comes_on_top_of_the_other_moves_in_one_resampling() -> None:
    y, x = np.mgrid[:64, :64].astype("float32")
    images = np.stack([x, y, x + y], axis=-1)[None] + 60
    row = np.full((1, DRAWS), 0.5, "float32")
    row[:, NAMES.index("rotation")] = 0.9
    for policy in np.linspace(0.01, 0.99, 25):
        row[:, NAMES.index("policy")] = policy
        chosen = rand_augment(row[:, NAMES.index("policy")], 2, 0.2)
        strengths = {"rotation": 10.0, "randaugment": 2, "randaugment_magnitude": 0.2}
        at_once = to_numpy(augment(images, row, **strengths))
        turned = transform(augment(images, row, rotation=10.0), affine_of(images, chosen))
        expected = to_numpy(recolour_by(turned, chosen))
        apart = np.abs(at_once - expected)[:, 20:44, 20:44]
        assert apart.max() < 2.5  # contrast is about a mean that the mirrored corners change
    assert np.abs(at_once - images).max() > 5


def test_augmix_is_the_identity_in_the_limit_and_else_changes_every_picture() -> None:
    images, draw = pictures(3), MANY[:3]
    np.testing.assert_allclose(to_numpy(aug_mix(images, draw, 1e-7)), images, atol=1e-2)
    assert aug_mix(images, draw, 0.0) is images
    changed = np.abs(to_numpy(aug_mix(images, draw, 0.5)) - images).mean((1, 2, 3))
    assert (changed > 0.5).all()


def test_augmixs_weights_have_their_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a black picture and white chains: all of them show the mixed share, one its weight."""
    black = np.zeros((len(MANY), 1, 1, 3), "float32")
    seen: list[int] = []

    def chains(whole: bool):  # type: ignore[no-untyped-def]
        def white(images: np.ndarray, chosen: dict[str, np.ndarray]) -> np.ndarray:
            seen.append(0)
            return images + (1.0 if whole or len(seen) % policies.WIDTH == 1 else 0.0)

        return white

    monkeypatch.setattr(policies, "transform", lambda images, affine: images)
    monkeypatch.setattr(policies, "recolour_by", chains(True))
    mixed = to_numpy(aug_mix(black, MANY, 0.5))[:, 0, 0, 0]
    assert stats.kstest(mixed, "uniform").pvalue > 1e-3
    monkeypatch.setattr(policies, "recolour_by", chains(False))
    weight = to_numpy(aug_mix(black, MANY, 0.5))[:, 0, 0, 0] / mixed
    assert stats.kstest(weight, stats.beta(1, policies.WIDTH - 1).cdf).pvalue > 1e-3


def test_augmixs_chains_have_one_to_three_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    depths: list[np.ndarray] = []

    def note(images: np.ndarray, chosen: dict[str, np.ndarray]) -> np.ndarray:
        values = np.stack([to_numpy(value) for value in chosen.values()], axis=1)
        most = np.array([OPERATIONS[name] for name in chosen])
        assert (np.abs(values) <= 0.5 * most + 1e-6).all()
        depths.append((values != 0).sum(1))
        return images

    monkeypatch.setattr(policies, "transform", lambda images, affine: images)
    monkeypatch.setattr(policies, "recolour_by", note)
    aug_mix(np.zeros((len(MANY), 1, 1, 3), "float32"), MANY, 0.5)
    assert len(depths) == policies.WIDTH
    for depth in depths:
        np.testing.assert_allclose(np.bincount(depth, minlength=4) / len(MANY), [0, *[1 / 3] * 3],
                                   atol=0.04)  # fmt: skip
    assert np.corrcoef(depths[0], depths[1])[0, 1] < 0.1
