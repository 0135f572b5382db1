"""Techniques, from rows to the model that is handed back: each is what its definition says."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from melnb.data.batches import predict_batches
from melnb.data.epochs.sampling import NATURAL, count_steps, read_rows
from melnb.models.networks.classifier import make_classifier, read_classifier
from melnb.models.optimization.curves import plateau_rate
from melnb.models.optimization.freezing import blocks_of
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.schedules import make_schedule
from melnb.models.training.fitting import Fitted, fit_classifier
from melnb.models.training.losses import make_loss
from melnb.models.training.plan import Course
from melnb.models.training.recipe import Recipe, plan_phases, stretches
from melnb.models.training.state import to_array

SIDE, BATCH = 32, 16
make = partial(make_classifier, classes=("other", "melanoma"), backbone="tiny", dropout=0.0)


class Watch(keras.callbacks.Callback):
    """Copies the weights of a classifier after every step, and after every epoch."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.classifier, self.begin = model, read(model)
        self.steps: list[list[np.ndarray]] = []
        self.epochs: list[list[np.ndarray]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.steps.append(read(self.classifier))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(read(self.classifier))


def read(model: keras.Model) -> list[np.ndarray]:
    return [to_array(w) for w in model.weights]


def fit(
    blobs: list[Path], folder: Path, model: keras.Model, *, epochs: int = 4, **given: Any
) -> Fitted:
    """Fit with what is asked for and nothing else."""
    rows = read_rows(blobs[1:3], n_classes=2)
    plan = plan_phases(
        epochs=epochs, image_size=SIDE, batch_size=BATCH, **given.pop("phases", {}),
        n_blocks=len(blocks_of(model.get_layer("backbone"))),
    )  # fmt: skip
    steps = [count_steps(rows, batch_size=phase.batch_size) for phase in plan]
    named = {"schedule": "constant", "learning_rate": 0.01, **given.pop("schedule", {})}
    schedule = make_schedule(
        **named, steps_per_epoch=steps[-1], epochs=epochs, phases=stretches(plan, steps)
    )
    return fit_classifier(
        model, rows=rows, valid_paths=blobs[:1], folder=folder, schedule=schedule, verbose=0,
        optimizer=make_optimizer("sgd", schedule, **given.pop("optimizer", {})),
        loss=make_loss("cross_entropy", n_classes=2),
        recipe=Recipe(plan, **given.pop("recipe", {})), **given,
    )  # fmt: skip


@pytest.mark.backends
def test_a_frozen_block_rests_and_then_learns(blobs: list[Path], tmp_path: Path) -> None:
    """Neither weights nor running statistics of the backbone move in the first two epochs."""
    model = make(image_size=SIDE)
    blocks = blocks_of(model.get_layer("backbone"))
    watch = Watch(model)
    phases = {"frozen_epochs": 2, "unfreeze_blocks": 1}
    fit(blobs, tmp_path, model, phases=phases, callbacks=[watch])
    place = {id(w): k for k, w in enumerate(model.weights)}
    inside = [{place[id(w)] for layer in b.layers for w in layer.weights} for b in blocks]
    head = set(place.values()) - set.union(*inside)

    def moved(first: list[np.ndarray], second: list[np.ndarray]) -> set[int]:
        return {k for k, (a, b) in enumerate(zip(first, second, strict=True)) if (a != b).any()}

    assert moved(watch.begin, watch.epochs[1]) == head
    assert moved(watch.epochs[1], watch.epochs[3]) == head | inside[-1]
    assert len(inside[-1]) == 5  # a kernel, two of scale and shift, and two running statistics
    assert all(layer.trainable for block in blocks for layer in block.layers)


@pytest.mark.backends
def test_normalisation_that_is_frozen_stays_as_it_came(blobs: list[Path], tmp_path: Path) -> None:
    """All along, while a mean of weights is made, and until the run has ended."""
    model = make(image_size=SIDE)
    watch = Watch(model)
    recipe = {"swa_start": 2, "keep": "swa"}
    phases = {"frozen_epochs": 1, "frozen_norm": True}
    fitted = fit(blobs, tmp_path, model, phases=phases, recipe=recipe, callbacks=[watch])
    names = [weight.path for weight in model.weights]
    ends = [to_array(weight) for weight in fitted.model.weights]
    still = {n for n, a, b in zip(names, watch.begin, ends, strict=True) if np.array_equal(a, b)}
    assert still == {name for name in names if "batch_normalization" in name}
    assert all(layer.trainable for layer in model.get_layer("backbone").layers)


@pytest.mark.backends
def test_the_average_of_the_weights_is_what_is_measured_and_kept(
    blobs: list[Path], tmp_path: Path
) -> None:
    """The kept weights are those of the definition, step by step, at the epoch named best."""
    model = make(image_size=SIDE)
    watch = Watch(model)
    fitted = fit(blobs, tmp_path, model, optimizer={"ema": 0.8}, callbacks=[watch], epochs=3)
    trained = {id(w) for w in model.trainable_weights}
    best = int(fitted.history["val_auc"].argmax()) + 1
    steps = watch.steps[: 3 * best]
    for k, weight in enumerate(model.weights):
        expected = watch.begin[k]
        for t, values in enumerate(steps):
            kept = min(0.8, t / (t + 9)) if id(weight) in trained else 0.0
            expected = kept * expected + (1 - kept) * values[k]
        np.testing.assert_allclose(to_array(weight), expected, atol=1e-5, err_msg=weight.path)
    assert auc(fitted.model, blobs) == pytest.approx(fitted.history["val_auc"].max(), abs=1e-12)
    raw = [to_array(w) for w in model.weights]
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(raw, steps[-1], strict=True))


def auc(model: keras.Model, blobs: list[Path]) -> float:
    """The share of pairs in the right order; the blobs' targets alternate."""
    batch = next(predict_batches(blobs[:1], image_size=SIDE, batch_size=24).as_numpy_iterator())
    score = np.asarray(model.predict(batch["image"], verbose=0), "float64")[:, 1]
    positive, negative = score[1::2, None], score[::2]
    return float(np.mean((positive > negative) + 0.5 * (positive == negative)))


def test_stochastic_weight_averaging_is_the_mean_of_the_epochs_from_its_start(
    blobs: list[Path], tmp_path: Path
) -> None:
    model = make(image_size=SIDE)
    watch = Watch(model)
    recipe = {"swa_start": 2, "keep": "swa"}
    fitted = fit(blobs, tmp_path, model, recipe=recipe, callbacks=[watch])
    trained = {id(w) for w in model.trainable_weights}
    for k, weight in enumerate(model.weights):
        mean = np.mean([values[k] for values in watch.epochs[1:]], axis=0)
        distance = np.abs(to_array(weight) - mean).max()
        if id(weight) in trained:
            assert distance < 1e-6, weight.path
        else:  # statistics are measured anew, for none of these networks was the mean one
            assert distance > 1e-6, weight.path
    first = next(x for x in model.get_layer("backbone").layers if hasattr(x, "moving_mean"))
    np.testing.assert_allclose(to_array(first.moving_mean), mean_of_first(model, blobs), rtol=2e-4)
    results = fitted.results.set_index("weights")
    assert results["kept"].to_dict() == {"best": False, "swa": True}
    assert results.loc["swa", "epochs"] == 3
    assert auc(fitted.model, blobs) == pytest.approx(results.loc["swa", "val_auc"], abs=1e-12)


def mean_of_first(model: keras.Model, blobs: list[Path]) -> np.ndarray:
    """The mean of the first convolution over one epoch of training pictures, 48 in 3 batches."""
    from melnb.data.batches import train_batches

    rows = read_rows(blobs[1:3], n_classes=2)
    batches = train_batches(
        rows, image_size=SIDE, batch_size=BATCH, seed=0, first_epoch=4, epochs=5
    )
    body = model.get_layer("backbone")
    convolution = next(x for x in body.layers if isinstance(x, keras.layers.Conv2D))
    seen = np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()])
    return np.asarray(convolution(seen / 127.5 - 1)).mean(axis=(0, 1, 2))


def test_snapshots_become_one_network(blobs: list[Path], tmp_path: Path) -> None:
    model = make(image_size=SIDE)
    watch = Watch(model)
    fitted = fit(
        blobs, tmp_path, model, callbacks=[watch],
        schedule={"schedule": "cosine_restarts", "cycles": 2, "ramp_epochs": 0},
        recipe={"snapshots": True, "keep": "snapshots"},
    )  # fmt: skip
    pictures = np.random.default_rng(0).uniform(0, 255, (5, SIDE, SIDE, 3)).astype("float32")
    said = []
    for values in (watch.epochs[1], watch.epochs[3]):
        model.set_weights(values)
        said.append(np.asarray(model(pictures)))
    found = np.asarray(fitted.model(pictures))
    np.testing.assert_allclose(found, np.mean(said, axis=0), atol=1e-6)
    fitted.model.save(tmp_path / "model.keras")
    again = read_classifier(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(again(pictures)), found, atol=1e-6)
    results = fitted.results.set_index("weights")
    assert results["kept"].to_dict() == {"best": False, "snapshots": True}
    assert auc(fitted.model, blobs) == pytest.approx(results.loc["snapshots", "val_auc"])
    reread = fit(
        blobs, tmp_path, make(image_size=SIDE),
        schedule={"schedule": "cosine_restarts", "cycles": 2, "ramp_epochs": 0},
        recipe={"snapshots": True, "keep": "snapshots"},
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(reread.model(pictures)), found)


def test_the_rate_falls_on_a_plateau(blobs: list[Path], tmp_path: Path) -> None:
    plateau = {"schedule": "plateau", "plateau_patience": 1, "decay": 0.5, "final_rate": 3e-7}
    plateau |= {"learning_rate": 1e-6}  # so little that nothing gains
    rest = {"frozen_epochs": 4}  # so that no statistics move either
    fitted = fit(blobs, tmp_path, make(image_size=SIDE), schedule=plateau, phases=rest)
    values = fitted.history["val_auc"].tolist()
    expected = [
        plateau_rate(values[:k], learning_rate=1e-6, factor=0.5, patience=1, min_rate=3e-7)
        for k in range(4)
    ]
    assert fitted.history["learning_rate"].tolist() == pytest.approx(expected)
    assert expected == [1e-6, 1e-6, 5e-7, 3e-7]


def test_small_pictures_come_first(blobs: list[Path], tmp_path: Path) -> None:
    """The network of the small ones has other layers, and the same weights go through both."""
    model = make(image_size=SIDE)
    phases = {"sizes": [24], "size_epochs": [2], "scale_batch": True}
    made: list[keras.Model] = []

    def remake(**given: Any) -> keras.Model:
        made.append(make(**given))
        return made[-1]

    sized = fit(
        blobs, tmp_path, model, phases=phases, remake=remake, epochs=3,
        optimizer={"rate_of": lambda path: 0.0 if path.endswith("kernel") else 1.0},
    )  # fmt: skip
    assert sized.history["image_size"].tolist() == [24, 24, 32]
    assert sized.history["batch_size"].tolist() == [28, 28, 16]
    rates = sized.history["learning_rate"]
    assert rates.tolist() == pytest.approx([0.0175, 0.0175, 0.01])
    assert [m.input_shape[1] for m in made] == [24]
    assert sized.model is model
    assert auc(model, blobs) == pytest.approx(sized.history["val_auc"].max(), abs=1e-12)


def test_rates_by_variable_hold_in_a_network_made_again(blobs: list[Path], tmp_path: Path) -> None:
    model = make(image_size=SIDE)
    still = {w.path for w in model.trainable_weights if len(w.shape) > 1}
    before = read(model)
    fit(
        blobs, tmp_path, model, epochs=2, phases={"sizes": [24], "size_epochs": [1]}, remake=make,
        optimizer={"rate_of": lambda path: 0.0 if path in still else 1.0},
    )  # fmt: skip
    for weight, begin in zip(model.weights, before, strict=True):
        assert (weight.path in still) == np.array_equal(to_array(weight), begin), weight.path


def test_what_lacks_a_part_is_refused(blobs: list[Path], tmp_path: Path) -> None:
    model = make(image_size=SIDE)
    with pytest.raises(ValueError, match=r"phases at \[24\] pixels need remake"):
        fit(blobs, tmp_path, model, phases={"sizes": [24], "size_epochs": [1]})
    with pytest.raises(ValueError, match="snapshots is True, but the schedule has no cycles"):
        fit(blobs, tmp_path, model, recipe={"snapshots": True})


def test_where_the_mean_never_came_to_be_the_best_epoch_is_kept(
    blobs: list[Path], tmp_path: Path
) -> None:
    recipe = {"swa_start": 4, "keep": "swa", "patience": 1, "monitor": "val_loss"}
    still = {"schedule": {"learning_rate": 1e-30}, "phases": {"frozen_epochs": 4}}
    fitted = fit(blobs, tmp_path, make(image_size=SIDE), recipe=recipe, **still)
    assert len(fitted.history) == 2
    assert fitted.results[["weights", "kept"]].values.tolist() == [["best", True]]
    pd.testing.assert_series_equal(
        fitted.results["val_loss"], pd.Series([fitted.history["val_loss"].min()], name="val_loss")
    )


def test_a_course_knows_its_run_by_all_that_it_is_made_of(blobs: list[Path]) -> None:
    model = make(image_size=SIDE)
    rows = read_rows(blobs[1:3], n_classes=2)
    plan = plan_phases(epochs=2, image_size=SIDE, batch_size=BATCH)
    loss = make_loss("cross_entropy", n_classes=2)

    def identity(rows: Any, recipe: Recipe, optimizer: Any) -> dict[str, Any]:
        return Course(model, rows, NATURAL, recipe, loss, optimizer, None, None).identity()

    one = identity(rows, Recipe(plan), make_optimizer("adam", 0.1))
    assert one == identity(rows, Recipe(plan), make_optimizer("adam", 0.1))
    assert one != identity(rows, Recipe(plan, mixup=0.1), make_optimizer("adam", 0.1))
    assert one != identity(rows.take(np.arange(40)), Recipe(plan), make_optimizer("adam", 0.1))
    assert one != identity(rows, Recipe(plan), make_optimizer("adam", 0.1, ema=0.9))


def test_an_optimizer_knows_when_each_block_began_to_learn(blobs: list[Path]) -> None:
    model = make(image_size=SIDE)
    names = [block.name for block in blocks_of(model.get_layer("backbone"))]
    rows = read_rows(blobs[1:3], n_classes=2)
    plan = plan_phases(
        epochs=4, image_size=SIDE, batch_size=BATCH, frozen_epochs=2, n_blocks=len(names)
    )
    optimizer = make_optimizer("adam", 0.01)
    loss = make_loss("cross_entropy", n_classes=2)
    course = Course(model, rows, NATURAL, Recipe(plan), loss, optimizer, None, None)
    steps = course.steps(plan[0])
    for phase, wanted in ((plan[0], {0}), (plan[1], {0, 2 * steps})):
        _, trainer = course.prepare(phase)
        born = {v.path: trainer.optimizer.born[v.path] for v in trainer.trainable_variables}
        assert set(born.values()) == wanted
        assert {n for p, n in born.items() if p.startswith("probability")} == {0}
