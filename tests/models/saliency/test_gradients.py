from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from melnb.models.saliency.explanations import grad_cam, integrated_gradients, make_baseline, ring
from melnb.models.saliency.feature_map import dissect, run_rows
from melnb.models.saliency.samples import Sample

Make = Callable[..., keras.Model]


@pytest.mark.parametrize(
    ("head", "baseline"),
    [("softmax", "black"), ("softmax", "blurred"), ("sigmoid", "skin"), ("arcface", "skin")],
)
def test_attributions_sum_to_the_difference_of_the_scores(
    make: Make, sample: Sample, head: str, baseline: str
) -> None:
    model = make(("a", "b"), head=head)
    anatomy, plain = dissect(model), replace(sample, metadata=None)
    found = integrated_gradients(
        anatomy, plain, classes=np.ones(6, int), baseline=baseline, steps=64, batch_size=8
    )
    start = make_baseline(sample.images, baseline)
    scores = [run_rows(anatomy.scores, [x], 6)[:, 1] for x in (sample.images, start)]
    np.testing.assert_allclose(found.score, scores[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.baseline, scores[1], rtol=1e-5, atol=1e-5)
    total = found.image.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.gap, total - (scores[0] - scores[1]), atol=1e-3)
    way = np.maximum(1, np.abs(scores[0] - scores[1]))
    assert (np.abs(found.gap) <= 0.05 * way).all() == found.complete.all()
    assert found.complete.all()
    assert np.abs(scores[0] - scores[1]).max() > 0.05


@pytest.mark.backends
def test_of_a_linear_network_they_are_weight_times_way_at_any_number_of_steps() -> None:
    image = keras.Input((4, 4, 3), name="image")
    metadata = keras.Input((2,), name="metadata")
    features = keras.layers.Activation("linear", name="features")(image)
    vector = keras.layers.Concatenate()([keras.layers.Flatten()(features), metadata])
    head = keras.layers.Dense(2, "softmax", name="probability")
    model = keras.Model({"image": image, "metadata": metadata}, head(vector))
    kernel = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    head.set_weights([kernel, np.zeros(2)])
    rng = np.random.default_rng(1)
    one = Sample(
        ("i0", "i1"),
        rng.uniform(0, 255, (2, 4, 4, 3)).astype("float32"),
        metadata=rng.normal(size=(2, 2)).astype("float32"),
    )
    empty = [0.5, -0.5]
    found = integrated_gradients(
        dissect(model), one, classes=np.array([0, 1]), baseline="black", metadata_baseline=empty,
        steps=1,
    )  # fmt: skip
    weights = kernel[:, [0, 1]].T
    np.testing.assert_allclose(
        found.image, one.images * weights[:, :48].reshape(2, 4, 4, 3), rtol=1e-5
    )
    assert one.metadata is not None
    assert found.metadata is not None
    np.testing.assert_allclose(found.metadata, (one.metadata - empty) * weights[:, 48:], rtol=1e-5)
    assert np.abs(found.gap).max() < 1e-3
    np.testing.assert_allclose(found.maps, found.image.sum(axis=-1))


@pytest.mark.backends
def test_picture_and_metadata_share_the_difference(fused: keras.Model, sample: Sample) -> None:
    found = integrated_gradients(
        dissect(fused), sample, classes=np.arange(6) % 3, steps=128, batch_size=4
    )
    assert found.complete.all()
    assert found.metadata is not None
    assert found.metadata.shape == (6, 3)
    total = found.image.sum(axis=(1, 2, 3)) + found.metadata.sum(axis=1)
    np.testing.assert_allclose(total, found.score - found.baseline + found.gap, atol=1e-4)
    assert np.abs(found.metadata).min(axis=0).max() > 1e-3


def test_more_steps_close_the_gap(make: Make, sample: Sample) -> None:
    anatomy, plain = dissect(make()), replace(sample, metadata=None)
    gaps = [
        np.abs(
            integrated_gradients(anatomy, plain, classes=np.ones(6, int), steps=steps).gap
        ).mean()
        for steps in (1, 128)
    ]
    assert gaps[1] < gaps[0] / 4


def test_where_the_picture_is_the_baseline_nothing_is_attributed(
    make: Make, sample: Sample
) -> None:
    images = sample.images.copy()
    images[:, :8] = 0
    plain = replace(sample, images=images, metadata=None)
    found = integrated_gradients(
        dissect(make()), plain, classes=np.ones(6, int), baseline="black", steps=4
    )
    assert not found.image[:, :8].any()
    assert found.image[:, 8:].any()


def test_a_baseline_that_does_not_fit_is_refused(fused: keras.Model, sample: Sample) -> None:
    anatomy, classes = dissect(fused), np.zeros(6, int)
    with pytest.raises(ValueError, match="baseline is 'white'; use one of"):
        integrated_gradients(anatomy, sample, classes=classes, baseline="white")
    with pytest.raises(ValueError, match=r"metadata_baseline has the shape \(2,\)"):
        integrated_gradients(anatomy, sample, classes=classes, metadata_baseline=[0, 0])
    with pytest.raises(ValueError, match="steps is 0"):
        integrated_gradients(anatomy, sample, classes=classes, steps=0)


def test_the_skin_is_found_around_the_lesion_and_not_in_the_black_corners() -> None:
    size = 64
    place = (np.arange(size) + 0.5) / size * 2 - 1
    radius = np.hypot(place[:, None], place[None])
    image = np.where(radius[..., None] < 0.6, (60, 30, 20), (200, 160, 140)).astype("float32")
    image[radius > 1.05] = 0  # outside the dermoscope's field
    skin = make_baseline(image[None], "skin")
    assert np.unique(skin[0].reshape(-1, 3), axis=0).tolist() == [[200, 160, 140]]
    assert 0.15 < ring(size).mean() < 0.35
    blurred = make_baseline(image[None], "blurred")
    assert blurred.std() < image.std() / 2
    np.testing.assert_allclose(blurred.mean(), image.mean(), rtol=0.1)
    assert not make_baseline(image[None], "black").any()


@pytest.mark.backends
@pytest.mark.parametrize(("fusion", "head"), [("concat", "sigmoid"), ("gated", "arcface")])
def test_classifiers_of_picture_and_metadata_add_up(
    make: Make, sample: Sample, fusion: str, head: str
) -> None:
    model = make(("a", "b"), head=head, metadata=3, fusion=fusion)
    anatomy = dissect(model)
    found = integrated_gradients(anatomy, sample, classes=np.ones(6, int), steps=128)
    assert found.complete.all()
    assert found.metadata is not None
    assert np.abs(found.metadata).max() > 1e-3
    told = {"image": sample.images, "metadata": sample.metadata}
    p = np.asarray(model.predict(told, verbose=0))
    np.testing.assert_allclose(
        run_rows(anatomy.probabilities, sample.tensors, 6), p, rtol=1e-4, atol=1e-6
    )
    drawn, _ = grad_cam(anatomy, sample, classes=np.ones(6, int))
    assert drawn.shape == (6, 32, 32)
    assert drawn.max() > 0
