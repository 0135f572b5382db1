from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.models.saliency.feature_map import Anatomy, dissect
from melnb.models.saliency.map_scores import order_by_map, random_order, remove
from melnb.models.saliency.samples import Sample


@pytest.fixture(scope="module")
def redness() -> Anatomy:
    """A network that is sure of class 1 as far as the picture is red: p = the mean of red / 255."""
    image = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Rescaling(1 / 255, name="features")(image)
    red = keras.layers.GlobalAveragePooling2D()(features)
    head = keras.layers.Dense(2, name="probability")
    model = keras.Model(image, head(red))
    kernel = np.array([[-1.0, 1], [0, 0], [0, 0]])
    head.set_weights([kernel, np.array([1.0, 0])])
    return dissect(model, score="log_odds")


@given(cells=st.integers(1, 8), seed=st.integers(0, 99))
def test_an_order_is_one_of_all_cells_and_falls_with_the_map(cells: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 3, (2, 8, 8)).astype("float32")
    order = order_by_map(maps, cells, seed=seed)
    for row in order.reshape(2, -1):
        assert sorted(row) == list(range(cells**2))
    places = np.arange(8) * cells // 8
    for plane, turn in zip(maps, order, strict=True):
        means = np.array(
            [
                [plane[places == a][:, places == b].mean() for b in range(cells)]
                for a in range(cells)
            ]
        )
        falling = means.ravel()[np.argsort(turn.ravel())]
        assert (np.diff(falling) <= 1e-6).all()


def test_cells_alike_stand_in_random_order_of_the_seed() -> None:
    flat = np.zeros((3, 8, 8), "float32")
    first = order_by_map(flat, 4, seed=1)
    assert np.array_equal(first, order_by_map(flat, 4, seed=1))
    assert not np.array_equal(first, order_by_map(flat, 4, seed=2))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0].ravel(), np.arange(16))
    assert np.array_equal(random_order(2, 4, seed=1), random_order(3, 4, seed=1)[:2])


def test_curves_are_those_computed_by_hand(redness: Anatomy) -> None:
    """One quarter of the picture is red: without it nothing is left, and with it all is there."""
    image = np.zeros((1, 8, 8, 3), "float32")
    image[:, :4, :4, 0] = 255
    one = Sample(("i0",), image)
    classes = np.array([1])
    best = order_by_map(image[..., 0], 4)
    worst = order_by_map(-image[..., 0], 4)
    found = remove(redness, one, best, classes=classes, baseline="black", steps=4)
    np.testing.assert_allclose(found.share, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.deletion, [[0.25, 0, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(found.insertion, [[0, 0.25, 0.25, 0.25, 0.25]], atol=1e-6)
    deletion, insertion = found.areas
    np.testing.assert_allclose([deletion[0], insertion[0]], [0.03125, 0.21875], atol=1e-6)
    bad = remove(redness, one, worst, classes=classes, baseline="black", steps=4)
    np.testing.assert_allclose(bad.deletion, [[0.25, 0.25, 0.25, 0.25, 0]], atol=1e-6)
    np.testing.assert_allclose(bad.areas[1], [0.03125], atol=1e-6)
    other = remove(redness, one, best, classes=np.array([0]), baseline="black", steps=4)
    np.testing.assert_allclose(other.deletion, 1 - found.deletion, atol=1e-6)


def test_curves_begin_and_end_at_the_picture_and_the_baseline(
    fused: keras.Model, sample: Sample
) -> None:
    anatomy, classes = dissect(fused), np.arange(6) % 3
    found = remove(
        anatomy, sample, random_order(6, 5), classes=classes, baseline="skin", steps=3, batch_size=4
    )
    rows = np.arange(6)
    p = anatomy.probabilities.predict(sample.tensors, verbose=0)[rows, classes]
    np.testing.assert_allclose(found.deletion[:, 0], p, rtol=1e-4)
    np.testing.assert_allclose(found.insertion[:, -1], p, rtol=1e-4)
    np.testing.assert_allclose(found.insertion[:, 0], found.deletion[:, -1], rtol=1e-5)
    with pytest.raises(ValueError, match="cells is 33; use 1 to 32"):
        order_by_map(sample.images[..., 0], 33)
    assert replace(sample, metadata=None).tensors[1:] == []
