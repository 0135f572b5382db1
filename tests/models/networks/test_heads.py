"""The heads: published values, finite gradients, and the view that is trained."""

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.classifier import make_classifier, read_classifier
from melnb.models.networks.heads import ArcFace, MultiSampleDropout, training_view
from melnb.models.training.losses import make_loss

SIDE = 32
TWO, THREE = ("other", "melanoma"), ("melanoma", "nevus", "benign_keratosis")


def pixels(n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (n, SIDE, SIDE, 3)).astype("float32")


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def one_hot(targets: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype="float32")[targets]


@pytest.mark.backends
@pytest.mark.parametrize(
    ("head", "priors"),
    [("softmax", [0.7, 0.2, 0.1]), ("softmax", [0.98, 0.02]), ("sigmoid", [980, 20])],
)
def test_a_head_that_sees_nothing_gives_the_priors(head: str, priors: list[float]) -> None:
    classes = THREE[: len(priors)]
    model = make_classifier(classes=classes, image_size=SIDE, head=head, priors=priors)
    dense = model.get_layer("probability")
    dense.kernel.assign(np.zeros(dense.kernel.shape))
    expected = np.tile(np.array(priors) / np.sum(priors), (3, 1))
    assert values(model(pixels())) == pytest.approx(expected, abs=1e-6)


@pytest.mark.backends
def test_a_sigmoid_is_the_softmax_of_its_difference() -> None:
    sigmoid = make_classifier(classes=TWO, image_size=SIDE, head="sigmoid")
    softmax = make_classifier(classes=TWO, image_size=SIDE, head="softmax")
    *body, kernel, bias = sigmoid.get_weights()
    both = np.concatenate([np.zeros_like(kernel), kernel], axis=1)
    softmax.set_weights([*body, both, np.concatenate([[0], bias])])
    assert values(softmax(pixels())) == pytest.approx(values(sigmoid(pixels())), abs=1e-6)


def test_dropout_is_for_training_alone() -> None:
    model = make_classifier(classes=TWO, image_size=SIDE, dropout=0.5)
    assert np.array_equal(values(model(pixels())), values(model(pixels())))
    # The features of one picture, twice: batch normalisation cannot tell them apart.
    same = np.repeat(pixels(1), 2, axis=0)
    first, second = values(model(same, training=True))
    assert not np.array_equal(first, second)
    assert "dropout" not in [
        layer.name for layer in make_classifier(classes=TWO, image_size=SIDE, dropout=0).layers
    ]


def arcface(kernel: np.ndarray, **keywords: float) -> ArcFace:
    layer = ArcFace(kernel.shape[1], **keywords)
    layer.build((None, kernel.shape[0]))
    layer.kernel.assign(kernel.astype("float32"))
    return layer


@pytest.mark.backends
def test_arcface_has_the_published_values() -> None:
    layer = arcface(np.eye(3)[:, :2])
    vector = 7 * np.array([[0.6, 0.2, math.sqrt(1 - 0.4)]], "float32")  # its length is no matter
    truth = one_hot([0], 2)
    assert float(values(layer.widen(np.float32(0.6)))) == pytest.approx(0.143009, abs=1e-6)
    p = values(layer(vector, truth))
    assert -np.log(p[0, 0]) == pytest.approx(1.876017, abs=1e-5)
    loss = make_loss("cross_entropy", n_classes=2)
    assert float(loss(truth, p)) == pytest.approx(1.876017, abs=1e-5)
    plain = np.exp(30 * np.array([0.6, 0.2]))
    assert values(layer(vector))[0] == pytest.approx(plain / plain.sum(), rel=1e-5)


@pytest.mark.backends
def test_arcface_widens_the_angle_and_never_rewards_a_wider_one() -> None:
    angles = np.linspace(0, np.pi, 1001)
    for margin in (0.0, 0.3, 0.5):
        phi = values(ArcFace(2, 30.0, margin).widen(np.cos(angles).astype("float32")))
        near = angles < np.pi - margin - 1e-3
        assert phi[near] == pytest.approx(np.cos(angles + margin)[near], abs=3e-4)
        beyond = np.cos(angles) - margin * np.sin(margin)
        assert phi[~near][3:] == pytest.approx(beyond[~near][3:], abs=1e-6)
        assert np.all(np.diff(phi)[1:] < 1e-6)


@pytest.mark.backends
@pytest.mark.parametrize("cosine", [1.0, -1.0, 0.999999, 0.0])
def test_the_gradient_of_arcface_is_finite_wherever_the_vector_points(
    cosine: float, gradient: Callable
) -> None:
    layer = arcface(np.eye(4)[:, :3])
    vector = np.array([[cosine, math.sqrt(1 - cosine**2), 0, 0]], "float32")
    loss = make_loss("cross_entropy", n_classes=3)

    def cost(x: object) -> object:
        return ops.sum(loss.call(one_hot([0], 3), layer(x, one_hot([0], 3))))

    slope = gradient(cost, vector)
    assert np.all(np.isfinite(slope))
    assert np.abs(slope).max() < 100
    assert np.all(np.isfinite(gradient(cost, np.zeros((1, 4)))))


@pytest.mark.backends
def test_a_margin_leaves_no_probability_too_small_to_learn_from(gradient: Callable) -> None:
    layer, truth = arcface(np.eye(4)[:, :3]), one_hot([0], 3)
    loss = make_loss("cross_entropy", n_classes=3)
    lost = np.array([[-0.8, 0.6, 0, 0]], "float32")
    assert float(values(layer(lost, truth))[0, 0]) < 1e-20
    slope = gradient(lambda x: ops.sum(loss.call(truth, layer(x, truth))), lost)
    assert np.abs(slope).max() > 10


@pytest.mark.backends
def test_arcface_without_margin_is_the_softmax_of_its_cosines() -> None:
    rng = np.random.default_rng(1)
    kernel, vector = rng.normal(size=(5, 3)), rng.normal(size=(4, 5))
    cosines = vector @ kernel
    cosines /= np.linalg.norm(vector, axis=1, keepdims=True) * np.linalg.norm(kernel, axis=0)
    expected = np.exp(8 * cosines)
    layer = arcface(kernel, scale=8, margin=0)
    p = values(layer(vector.astype("float32"), one_hot([0, 1, 2, 0], 3)))
    assert p == pytest.approx(expected / expected.sum(axis=1, keepdims=True), rel=1e-4)


def test_several_samples_are_the_mean_of_as_many_heads() -> None:
    keras.utils.set_random_seed(0)
    layer, dense = MultiSampleDropout(0.5, 5), keras.layers.Dense(2)
    vector = np.random.default_rng(0).uniform(1, 2, (3, 8)).astype("float32")
    start = values(layer.seed_generator.state)
    together = values(dense(layer(vector, training=True)))
    layer.seed_generator.state.assign(start)
    copies = keras.random.dropout(np.stack([vector] * 5), 0.5, seed=layer.seed_generator)
    assert together == pytest.approx(values(dense(copies)).mean(axis=0), rel=1e-5)
    assert np.array_equal(values(layer(vector)), vector)


def test_each_sample_drops_its_share_and_the_mean_varies_less() -> None:
    keras.utils.set_random_seed(0)
    ones = np.ones((400, 50), "float32")
    seen = values(MultiSampleDropout(0.5, 4)(ones, training=True))
    assert set(np.unique(seen)) == {0.0, 0.5, 1.0, 1.5, 2.0}  # of four samples none to all kept
    assert seen.mean() == pytest.approx(1, abs=0.02)
    assert seen.var() == pytest.approx(0.5 * 4 / 4 / 2, rel=0.05)  # p(1-p) 2^2 / samples


@pytest.mark.parametrize(
    ("head", "samples"), [("softmax", 1), ("sigmoid", 3), ("arcface", 1), ("arcface", 3)]
)
def test_the_view_that_is_trained_shares_all_weights(
    head: str, samples: int, tmp_path: Path
) -> None:
    model = make_classifier(classes=TWO, image_size=SIDE, head=head, dropout_samples=samples)
    view = training_view(model)
    assert [v.path for v in view.weights] == [v.path for v in model.weights]
    assert all(a is b for a, b in zip(view.weights, model.weights, strict=True))
    x, truth = pixels(), one_hot([0, 1, 1], 2)
    p, seen = values(model(x)), values(view({"image": x, "truth": truth}))
    if head == "arcface":
        assert np.all((seen * truth).sum(axis=1) < (p * truth).sum(axis=1))
    else:
        assert np.array_equal(p, seen)
    # The view leaves no trace in the file, and can be had of a file and made twice.
    model.save(tmp_path / "model.keras")
    again = read_classifier(tmp_path / "model.keras")
    assert np.array_equal(values(again(x)), p)
    for _ in range(2):
        twice = values(training_view(again)({"image": x, "truth": truth}))
        assert twice == pytest.approx(seen, abs=1e-6)


@pytest.mark.parametrize("head", ["softmax", "arcface"])
def test_the_view_learns_and_the_classifier_with_it(head: str) -> None:
    keras.utils.set_random_seed(0)
    model = make_classifier(
        classes=THREE, image_size=SIDE, head=head, dropout_samples=2, pooling="max"
    )
    view = training_view(model)
    view.compile(
        keras.optimizers.Adam(3e-3), make_loss("cross_entropy", n_classes=3),
        jit_compile=keras.backend.backend() == "jax",
    )  # fmt: skip
    x, truth = pixels(6), one_hot([0, 1, 2] * 2, 3)
    x[truth[:, 0] == 1, 8:20] *= 0.3
    x[truth[:, 1] == 1, :, 8:20] *= 0.3
    losses = [float(view.train_on_batch({"image": x, "truth": truth}, truth)) for _ in range(25)]
    assert losses[-1] < 0.2 * losses[0]
    assert np.all(model.get_layer("probability").kernel == view.get_layer("probability").kernel)


def test_metadata_stay_among_the_inputs_of_the_view() -> None:
    image, metadata = keras.Input((4,), name="image"), keras.Input((2,), name="metadata")
    vector = keras.layers.Concatenate(name="vector")([image, metadata])
    head = ArcFace(2, name="probability")
    model = keras.Model({"image": image, "metadata": metadata}, head(vector))
    view = training_view(model)
    assert set(view.input) == {"image", "metadata", "truth"}
    rng = np.random.default_rng(0)
    rows = {"image": rng.normal(size=(3, 4)), "metadata": rng.normal(size=(3, 2))}
    rows = {name: values.astype("float32") for name, values in rows.items()}
    truth = one_hot([0, 1, 0], 2)
    seen, p = values(view({**rows, "truth": truth})), values(model(rows))
    assert np.all((seen * truth).sum(axis=1) <= (p * truth).sum(axis=1))
