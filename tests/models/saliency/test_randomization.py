import contextlib
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy import stats

from melnb.models.saliency.explanations import METHODS, explain
from melnb.models.saliency.feature_map import dissect
from melnb.models.saliency.map_scores import (
    cascade,
    check_randomization,
    kept_weights,
    rank_correlation,
    shuffle_weights,
    structural_similarity,
)
from melnb.models.saliency.samples import Sample

Make = Callable[..., keras.Model]


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, (2, 4, 6, 6)).astype("float32")  # with ties
    found = rank_correlation(first, second)
    wanted = [
        stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_allclose(rank_correlation(first, first**3), 1)
    np.testing.assert_allclose(rank_correlation(first, -first), -1)
    assert np.isnan(rank_correlation(first, np.ones_like(first))).all()


def test_structural_similarity_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    first = rng.random((3, 24, 30))
    second = first + rng.normal(0, 0.2, first.shape)
    scaled = [(m / np.abs(m).max(axis=(1, 2), keepdims=True) + 1) / 2 for m in (first, second)]
    wanted = [
        metrics.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
        )
        for a, b in zip(*scaled, strict=True)
    ]
    np.testing.assert_allclose(structural_similarity(first, second), wanted, rtol=1e-6)
    np.testing.assert_allclose(structural_similarity(first, 5 * first), 1)
    assert np.isfinite(structural_similarity(first, np.zeros_like(first))).all()


def test_the_cascade_goes_from_the_head_to_the_first_layer(make: Make) -> None:
    model = make()
    steps = cascade(model, 3)
    assert [layer.name for layer in steps[0]] == ["probability"]
    inner = [layer.name for layer in model.get_layer("backbone").layers if layer.weights]
    assert [layer.name for step in steps[1:] for layer in step] == inner[::-1]
    assert len(cascade(model, len(inner) + 1)) == len(inner) + 1
    with pytest.raises(ValueError, match="levels is 1; use 2 to 9"):
        cascade(model, 1)


def test_shuffled_weights_are_the_same_values_elsewhere_and_come_back(make: Make) -> None:
    model = make()
    before = model.get_weights()
    with contextlib.suppress(RuntimeError), kept_weights(model):
        shuffle_weights(cascade(model, 2)[1], np.random.default_rng(0))
        shuffled = model.get_weights()
        raise RuntimeError
    for a, b in zip(before[:-2], shuffled, strict=False):
        assert np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None))
        assert not np.array_equal(a, b)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_maps_of_a_destroyed_network_are_others(make: Make, sample: Sample) -> None:
    model, plain = make(), replace(sample, metadata=None)
    anatomy = dissect(model)
    how = {"steps": 4, "batch_size": 6}
    first = explain(anatomy, plain, classes=1, **how)
    before = model.get_weights()
    found = check_randomization(model, anatomy, plain, first, levels=3, draws=2, seed=5, **how)
    assert len(found) == 6 * 2 * 3
    assert set(found["method"]) == set(METHODS)
    by_level = found.groupby("level")["layers"].unique()
    np.testing.assert_allclose([float(v[0]) for v in by_level], [1 / 9, 5 / 9, 1])
    assert found["rank_correlation"].max() < 0.99
    assert found["rank_correlation"].abs().median() < 0.7
    assert found["ssim"].max() < 1
    again = check_randomization(model, anatomy, plain, first, levels=3, draws=2, seed=5, **how)
    np.testing.assert_allclose(again["ssim"], found["ssim"], rtol=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    same = explain(anatomy, plain, classes=1, **how)  # nothing compiled kept the old weights
    for method in METHODS:
        np.testing.assert_allclose(same.maps[method], first.maps[method], rtol=1e-4, atol=1e-6)
