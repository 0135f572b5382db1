"""What every operation must do, each alone: keep shape and range, repeat itself, leave masks be."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.data.augmentation.augment import (
    AUGMENTATIONS,
    Augmentation,
    augment,
    augment_pair,
    sample_views,
)
from melnb.data.augmentation.draws import DRAWS

SETTINGS = {"randaugment_magnitude"}
OPERATIONS = sorted(set(AUGMENTATIONS) - SETTINGS)
MOVES = {
    "rotation", "shear", "zoom", "shift", "flips", "transpose", "grid_distortion", "elastic",
    "randaugment",
}  # fmt: skip


def alone(name: str) -> dict[str, Any]:
    return {name: AUGMENTATIONS[name], "randaugment_magnitude": 0.5}


def pictures(batch: int = 3, side: int = 24, seed: int = 0) -> np.ndarray:
    """Smooth pictures with some grain, as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 235, (batch, 4, 4, 3))
    fine = np.kron(coarse, np.ones((1, side // 4, side // 4, 1)))
    return (fine + rng.normal(0, 5, fine.shape)).clip(0, 255).astype("float32")


def rows(batch: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((batch, DRAWS)).astype("float32")


def run(images: np.ndarray, draws: np.ndarray, **strengths: Any) -> np.ndarray:
    images, draws = (keras.ops.convert_to_tensor(value) for value in (images, draws))
    return keras.ops.convert_to_numpy(augment(images, draws, **strengths))


def compiled(function: Callable[..., Any], jit: bool = False) -> Callable[..., np.ndarray]:
    if keras.backend.backend() == "jax":
        made = pytest.importorskip("jax").jit(function)
    else:
        made = pytest.importorskip("tensorflow").function(function, jit_compile=jit)
    return lambda *values: keras.ops.convert_to_numpy(made(*values))


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """But for the odd pixel where two ways of rounding part at a threshold."""
    apart = np.abs(one - other)
    assert np.mean(apart > 0.02) < 0.002
    assert apart.mean() < 0.01


def test_a_gallery_strength_is_there_for_every_operation() -> None:
    parameters = inspect.signature(augment).parameters
    named = {name for name, it in parameters.items() if it.kind is it.KEYWORD_ONLY}
    assert set(AUGMENTATIONS) == named
    assert all(not parameters[name].default for name in named - SETTINGS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_works_keeps_shape_type_and_range_and_is_off_at_zero(name: str) -> None:
    images, draws = pictures(), rows()
    changed = run(images, draws, **alone(name))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.abs(changed - images).max() > 1
    assert augment(images, draws, **{name: type(AUGMENTATIONS[name])(0)}) is images


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_the_same_eagerly_and_in_a_graph(name: str) -> None:
    images, draws = pictures(), rows()
    graph = compiled(lambda *given: augment(*given, **alone(name)))
    assert_alike(graph(images, draws), run(images, draws, **alone(name)))


def test_all_operations_together_are_the_same_in_a_graph_of_any_batch_and_in_tf_data() -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a graph of TensorFlow")
    whole = {**AUGMENTATIONS, "clahe": 0.0, "jpeg": 0.0, "augmix": 0.0, "hairs": 3}
    images, draws = pictures(4), rows(4)
    expected = run(images, draws, **whole)
    shapes = [tf.TensorSpec([None, *images.shape[1:]]), tf.TensorSpec([None, DRAWS])]
    graph = tf.function(lambda *given: augment(*given, **whole), input_signature=shapes)
    assert_alike(graph(images, draws).numpy(), expected)
    data = tf.data.Dataset.from_tensor_slices((images, draws)).batch(2)
    parts = list(data.map(lambda *given: augment(*given, **whole)).as_numpy_iterator())
    assert_alike(np.concatenate(parts), expected)


def test_all_operations_are_the_same_compiled_by_xla() -> None:
    images, draws = pictures(), rows()
    jitted = compiled(
        lambda *given: keras.ops.stack([augment(*given, **alone(name)) for name in OPERATIONS]),
        jit=True,
    )
    for name, seen in zip(OPERATIONS, jitted(images, draws), strict=True):
        assert_alike(seen, run(images, draws, **alone(name)))


@pytest.mark.nightly
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_the_same_compiled_by_xla_alone(name: str) -> None:
    images, draws = pictures(), rows()
    jitted = compiled(lambda *given: augment(*given, **alone(name)), jit=True)
    assert_alike(jitted(images, draws), run(images, draws, **alone(name)))


@settings(max_examples=settings.default.max_examples // 2)
@given(name=st.sampled_from(OPERATIONS), seed=st.integers(0, 2**16), share=st.floats(0.05, 1))
def test_rows_do_not_touch_each_other_and_stay_in_range(name: str, seed: int, share: float) -> None:
    value = AUGMENTATIONS[name]
    strengths = {name: value * share if isinstance(value, float) else value}
    images, draws = pictures(seed=seed), rows(seed=seed)
    seen = run(images, draws, **strengths)
    assert seen.min() >= 0
    assert seen.max() <= 255
    images[0], draws[0] = 255 - images[0], 1 - draws[0]
    assert_alike(run(images, draws, **strengths)[1:], seen[1:])


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"augmix"}))
def test_masks_follow_what_moves_and_nothing_else(name: str) -> None:
    draws = rows(seed=3)
    masks = (pictures(seed=4)[..., :1] > 128).astype("float32")
    images, moved = augment_pair(255 * np.repeat(masks, 3, axis=-1), masks, draws, **alone(name))
    if name not in MOVES:
        assert moved is masks
    else:
        assert np.abs(keras.ops.convert_to_numpy(moved) - masks).max() > 0.5
    if name in MOVES - {"randaugment"}:  # which changes colours too
        seen = keras.ops.convert_to_numpy(images) / 255
        np.testing.assert_allclose(
            seen, np.repeat(keras.ops.convert_to_numpy(moved), 3, axis=-1), atol=1e-5
        )


def test_masks_follow_all_moves_together_whatever_else_is_done() -> None:
    draws, masks = rows(seed=5), (pictures(seed=6)[..., :1] > 128).astype("float32")
    moves = {name: AUGMENTATIONS[name] for name in MOVES} | {"randaugment": 3}
    pictured = np.repeat(masks, 3, axis=-1) * 255
    whole = {**AUGMENTATIONS, **moves, "augmix": 0.0}
    _, moved = augment_pair(pictured, masks, draws, **whole)
    plain = {name: value for name, value in moves.items() if name != "randaugment"}
    seen, without = augment_pair(pictured, masks, draws, **plain)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(seen)[..., :1] / 255, keras.ops.convert_to_numpy(without),
        atol=1e-5,
    )  # fmt: skip
    assert np.abs(keras.ops.convert_to_numpy(moved - without)).max() > 0.1  # RandAugment's moves


def test_randaugments_moves_take_the_mask_with_them() -> None:
    """Where it chose no colours, the picture of a mask is the mask moved."""
    draws = rows(64, seed=7)
    masks = np.repeat((pictures(1, seed=8)[..., :1] > 128).astype("float32"), 64, axis=0)
    pictured = np.repeat(masks, 3, axis=-1) * 255
    seen, moved = augment_pair(pictured, masks, draws, randaugment=1, randaugment_magnitude=0.5)
    seen, moved = (keras.ops.convert_to_numpy(value) for value in (seen, moved))
    changed = np.abs(moved - masks).max((1, 2, 3)) > 0.2
    assert 20 < changed.sum() < 44  # six of twelve operations move
    expected = np.repeat(moved[changed], 3, axis=-1) * 255
    np.testing.assert_allclose(seen[changed], expected, atol=1e-2)


def test_no_mask_follows_augmix() -> None:
    with pytest.raises(ValueError, match=r"augmix is 0\.5, but no mask follows"):
        augment_pair(pictures(), pictures()[..., :1], rows(), augmix=0.5)


def test_the_layer_does_everything_and_reads_back() -> None:
    layer = Augmentation.from_config(Augmentation(dict(AUGMENTATIONS)).get_config())
    images, draws = pictures(), rows()
    seen = keras.ops.convert_to_numpy(layer(images, draws, training=True))
    assert_alike(seen, run(images, draws, **AUGMENTATIONS))


def test_the_gallery_shows_every_operation_alone() -> None:
    shown = sample_views(pictures(1)[0], n=3, together=False)
    assert list(shown) == [name for name in AUGMENTATIONS if name not in SETTINGS]
    assert len({view.tobytes() for views in shown.values() for view in views}) > 3 * len(shown) - 12
