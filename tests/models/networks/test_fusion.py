"""Fusion: metadata beside the picture, in both ways, on either backend, saved and read back."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from melnb.data.epochs.training_rows import read_rows
from melnb.data.metadata import Cells
from melnb.models.networks.classifier import make_classifier, pool, read_classifier
from melnb.models.networks.heads import (
    FUSIONS,
    MetadataDropout,
    fuse,
    input_sizes,
    make_cells,
    training_view,
)
from melnb.models.training.fitting import fit_classifier
from melnb.models.training.losses import make_loss
from melnb.models.training.recipe import Recipe, plan_phases

SIDE = 32
CLASSES = ("melanoma", "nevus", "benign_keratosis")
# A word of two categories, a number, another word: as an encoder lays them out.
CELLS = Cells((0, 0, 0, 1, 1, 2, 2), (1, 0, 0, 0, 1, 1, 0))


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def batch(n: int = 4, m: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.uniform(0, 255, (n, SIDE, SIDE, 3)).astype("float32"),
        "metadata": rng.normal(size=(n, m)).astype("float32"),
    }


def make(**more: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    return make_classifier(classes=CLASSES, image_size=SIDE, **{"metadata": CELLS, **more})


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_network_of_both_inputs(fusion: str) -> None:
    model, both = make(fusion=fusion, metadata_units=(6, 5)), batch()
    p = values(model(both))
    assert p.shape == (4, 3)
    assert p.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    assert input_sizes(model) == (SIDE, 7)
    assert model.get_layer("vector").output.shape == (None, 64 + 5 * (fusion == "concat"))
    for name in both:  # each input counts
        other = {**both, name: both[name][::-1]}
        assert np.abs(values(model(other)) - p).max() > 1e-4


def test_a_network_of_the_picture_alone_is_as_it_was() -> None:
    keras.utils.set_random_seed(0)
    model = make_classifier(classes=CLASSES, image_size=SIDE)
    assert input_sizes(model) == (SIDE, 0)
    assert not isinstance(model.input, dict)
    assert not [layer.name for layer in model.layers if "metadata" in layer.name]


def test_a_number_of_cells_is_as_many_columns() -> None:
    assert make_cells(3) == Cells((0, 1, 2), (0.0, 0.0, 0.0))
    assert make_cells(CELLS) is CELLS
    assert input_sizes(make(metadata=3)) == (SIDE, 3)


@pytest.mark.backends
@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_is_the_formula(fusion: str) -> None:
    """Checked against NumPy, with the statistics of batches that are not 0 and 1."""
    vector, words = keras.Input((5,)), keras.Input((7,))
    fused = fuse(vector, words, cells=CELLS, fusion=fusion, units=(4, 3))
    model = keras.Model([vector, words], fused)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.2, 1, w.shape) for w in model.get_weights()])
    x, h = rng.normal(size=(6, 5)), rng.normal(size=(6, 7))
    found = values(model([x, h]))
    for k in (1, 2):
        (dense,) = model.get_layer(f"metadata_dense_{k}").get_weights()
        gamma, beta, mean, variance = model.get_layer(f"metadata_norm_{k}").get_weights()
        h = (h @ dense - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        h = h / (1 + np.exp(-h))
    if fusion == "concat":
        expected = np.concatenate([x, h], axis=1)
    else:
        kernel, bias = model.get_layer("metadata_gate").get_weights()
        expected = x / (1 + np.exp(-(h @ kernel + bias)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
def test_a_gate_at_the_vector_is_one_at_the_channels_of_the_map(pooling: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.uniform(0.1, 3, (2, 4, 5, 6)).astype("float32")
    gate = rng.uniform(0.1, 1, (2, 1, 1, 6)).astype("float32")
    inputs = keras.Input((4, 5, 6))
    model = keras.Model(inputs, pool(inputs, pooling))
    np.testing.assert_allclose(
        values(model(features * gate)), values(model(features)) * gate[:, 0, 0], rtol=1e-5
    )


def test_an_open_gate_leaves_the_picture_alone() -> None:
    gated, plain = make(fusion="gated"), make(metadata=0)
    gate = gated.get_layer("metadata_gate")
    gate.set_weights([np.zeros(gate.kernel.shape), np.full(gate.bias.shape, 50.0)])
    for name in ("backbone", "probability"):
        plain.get_layer(name).set_weights(gated.get_layer(name).get_weights())
    both = batch()
    np.testing.assert_allclose(values(gated(both)), values(plain(both["image"])), atol=1e-6)


@pytest.mark.backends
def test_columns_go_whole_and_as_often_as_asked() -> None:
    layer = MetadataDropout(0.25, CELLS.column, CELLS.missing, seed=0)
    rows = np.tile(np.array([0, 0, 1, 2.5, 0, 0, 1], "float32"), (4000, 1))
    assert np.array_equal(values(layer(rows)), rows)  # only in training
    found = values(layer(rows, training=True))
    gone = found != rows
    # Each of three columns, in all cells where missing differs from what was there.
    by_column = [gone[:, [0, 2]], gone[:, [3, 4]], gone[:, [5, 6]]]
    for cells in by_column:
        assert (cells.all(axis=1) == cells.any(axis=1)).all()
        assert cells.all(axis=1).mean() == pytest.approx(0.25, abs=0.03)
    lost = np.column_stack([cells.all(axis=1) for cells in by_column])
    assert lost.all(axis=1).mean() == pytest.approx(0.25**3, abs=0.01)  # independent
    np.testing.assert_array_equal(
        found[lost.all(axis=1)], np.tile(CELLS.missing, (lost.all(axis=1).sum(), 1))
    )


@pytest.mark.backends
def test_the_state_of_the_draws_is_a_variable_that_brings_them_back() -> None:
    model = make(dropout=0.0)
    seeds = [v for v in model.variables if v.path not in {w.path for w in model.weights}]
    layer = model.get_layer("metadata_dropout")
    assert any(v is layer.seed_generator.state for v in seeds)
    rows, kept = np.ones((50, 7), "float32"), values(layer.seed_generator.state).copy()
    first = values(layer(rows, training=True))
    second = values(layer(rows, training=True))
    assert not np.array_equal(first, second)
    layer.seed_generator.state.assign(kept)
    assert np.array_equal(values(layer(rows, training=True)), first)
    assert np.array_equal(values(layer(rows, training=True)), second)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_only_metadata_tells_is_learnt_compiled(fusion: str) -> None:
    keras.utils.set_random_seed(1)
    vector, words = keras.Input((8,)), keras.Input((7,))
    fused = fuse(vector, words, cells=CELLS, fusion=fusion, units=(16,), dropout=0.1)
    model = keras.Model([vector, words], keras.layers.Dense(1, "sigmoid")(fused))
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", jit_compile=True)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(256, 7)).astype("float32")
    truth = (rows[:, 3] > 0).astype("float32")
    picture = np.ones((256, 8), "float32")
    model.fit([picture, rows], truth, batch_size=64, epochs=25, shuffle=False, verbose=0)
    called = values(model([picture, rows]))[:, 0] > 0.5
    assert (called == truth).mean() > 0.9


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_map_can_be_had_with_its_gradient_for_both_inputs(fusion: str) -> None:
    model = make(fusion=fusion)
    explained = keras.Model(model.input, [model.get_layer("features").output, model.output])
    maps, p = explained(batch())
    assert tuple(maps.shape) == (4, 4, 4, 64)
    np.testing.assert_allclose(values(p), values(model(batch())), atol=1e-6)


@pytest.mark.parametrize("head", ["softmax", "arcface"])
def test_the_training_view_takes_metadata_and_truth(head: str) -> None:
    model = make(head=head, fusion="gated")
    view = training_view(model)
    truth = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    seen = values(view({**batch(), "truth": truth}))
    same = np.allclose(seen, values(model(batch())), atol=1e-6)
    assert same == (head == "softmax")
    assert [id(w) for w in view.weights] == [id(w) for w in model.weights]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_probabilities_are_float32_under_mixed_precision(fusion: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make(fusion=fusion, pooling="gem")
    finally:
        keras.config.set_dtype_policy("float32")
    p = values(mixed(batch()))
    assert p.dtype == np.float32
    assert p.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_saved_network_reads_back_to_the_bit(fusion: str, tmp_path: Path) -> None:
    model = make(fusion=fusion, metadata_units=(6, 5))
    model.save(tmp_path / "model.keras")
    again = read_classifier(tmp_path / "model.keras")
    assert np.array_equal(values(again(batch())), values(model(batch())))
    assert input_sizes(again) == (SIDE, 7)
    config = again.get_layer("metadata_dropout").get_config()
    assert (tuple(config["column"]), tuple(config["missing"])) == (CELLS.column, CELLS.missing)


@pytest.mark.nightly
def test_a_run_with_metadata_taken_up_again_ends_to_the_bit(
    blobs: list[Path], tmp_path: Path
) -> None:
    rows = read_rows(blobs[1:3], n_classes=2)
    told = np.random.default_rng(0).normal(size=(72, 7)).astype("float32")
    rows = dataclasses.replace(rows, metadata=told[24:])
    recipe = Recipe(plan_phases(epochs=3, image_size=SIDE, batch_size=16), seed=3)

    def fit(folder: str, seed: int, **more: Any) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)  # a resumed process begins with other weights and seeds
        model = make_classifier(classes=("a", "b"), image_size=SIDE, metadata=CELLS)
        fitted = fit_classifier(
            model, rows=rows, valid_paths=blobs[:1], recipe=recipe, metadata=told[:24],
            loss=make_loss("cross_entropy", n_classes=2), optimizer=keras.optimizers.Adam(0.01),
            folder=tmp_path / folder, verbose=0, **more,
        )  # fmt: skip
        return [values(weight) for weight in fitted.model.weights]

    def stop(history: pd.DataFrame) -> None:
        if len(history) == 2:
            raise InterruptedError

    whole = fit("whole", seed=0)
    with pytest.raises(InterruptedError):
        fit("stopped", seed=0, on_epoch=stop)
    resumed = fit("stopped", seed=1)
    for one, other in zip(whole, resumed, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(whole[-1], fit("other", seed=1)[-1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fusion": "sum"}, r"fusion is 'sum'; use one of \['concat', 'gated'\]"),
        ({"metadata_units": ()}, r"metadata_units is \[\]; give one width"),
        ({"metadata_units": (8, 0)}, r"metadata_units is \[8, 0\]"),
        ({"metadata_dropout": 1.0}, "metadata_dropout is 1.0; use 0 or more, and less than 1"),
    ],
)
def test_refusals(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(**arguments)
