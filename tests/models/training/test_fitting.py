"""Fitting: killed at any moment, a run ends bit for bit where an uninterrupted one ends."""

import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from melnb.data.epochs.sampling import plan_epoch, read_rows
from melnb.data.shards.examples import read_examples, read_frames, write_shard
from melnb.models.training.checkpoints import COLUMNS, CheckpointError
from melnb.models.training.fitting import Fitted, best_epoch, fit_classifier
from melnb.models.training.losses import make_loss
from melnb.models.training.plan import TrainingError
from melnb.models.training.recipe import Phase, Recipe
from melnb.models.training.state import to_array

SIDE = 32


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., list[int]]) -> Path:
    """Four epochs in `whole`; the same in `killed`, twice killed; two devices, and one."""
    folder = tmp_path_factory.mktemp("ends")
    orders = [
        {"folder": "whole", "views": ["none", "dihedral", "random"]},
        {"folder": "killed", "kill": "write", "epoch": 1},
        {"folder": "killed", "kill": "step", "epoch": 3},
        {"folder": "killed", "views": ["none", "dihedral", "random"]},
        {"folder": "one", "epochs": 2, "plain": True},
        {"folder": "two", "epochs": 2, "plain": True, "devices": 2},
    ]
    states = train([{**o, "folder": str(folder / o["folder"])} for o in orders], "tensorflow")
    died = -signal.SIGKILL
    assert states == [0, died, died, 0, 0, 0]
    return folder


def test_a_killed_run_ends_where_the_whole_one_ends_to_the_bit(ends: Path) -> None:
    whole, killed = (np.load(ends / name / "result.npz") for name in ("whole", "killed"))
    assert set(whole.files) == set(killed.files)
    for name in whole.files:
        assert np.array_equal(whole[name], killed[name]), name
    returned = [(ends / name / "returned.csv").read_text() for name in ("whole", "killed")]
    assert returned[0] == returned[1]
    histories = [pd.read_csv(ends / n / "history.csv") for n in ("whole", "killed")]
    assert all(tuple(h.columns) == COLUMNS for h in histories)
    pd.testing.assert_frame_equal(*(h.drop(columns="seconds") for h in histories), check_exact=True)


def test_the_folder_keeps_one_state_and_the_best_weights_it_names(ends: Path) -> None:
    history = pd.read_csv(ends / "killed" / "history.csv")
    best = best_epoch(history, "val_auc")
    left = {path.name for path in (ends / "killed" / "checkpoint").iterdir()}
    assert {name for name in left if not name.startswith(".")} == {"state.npz", f"best-{best}.npz"}
    with np.load(ends / "killed" / "checkpoint" / "state.npz") as state:
        note = json.loads(str(state["note"]))
        assert state.files == ["note"]  # a run that is done has nothing to go on with
    assert note["state"]["best_epoch"] == best
    assert note["state"]["done"]


def test_the_history_is_that_of_a_run_that_learns(ends: Path) -> None:
    history = pd.read_csv(ends / "whole" / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["learning_rate"].iloc[-1] < history["learning_rate"].max() / 5  # one cycle
    assert history["val_auc"].between(0, 1).all()
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_the_result_is_that_of_the_epoch_that_is_named_best(ends: Path, blobs: list[Path]) -> None:
    """The AUC of the final predictions is the history's best, recomputed here by counting pairs."""
    history = pd.read_csv(ends / "whole" / "history.csv")
    score = np.load(ends / "whole" / "result.npz")["none"][:, 1]
    positive, negative = score[1::2], score[::2]  # blobs' targets alternate
    auc = np.mean((positive[:, None] > negative) + 0.5 * (positive[:, None] == negative))
    best = history.loc[history["epoch"] == best_epoch(history, "val_auc"), "val_auc"].item()
    assert auc == pytest.approx(best, abs=1e-12)
    assert best == history["val_auc"].max()


def test_two_replicas_learn_what_one_learns(ends: Path) -> None:
    one, two = (np.load(ends / name / "result.npz") for name in ("one", "two"))
    for name in one.files:
        np.testing.assert_allclose(one[name], two[name], atol=1e-4, err_msg=name)
    line, replicas = json.loads((ends / "two" / "machine.json").read_text())
    assert replicas == 2
    assert line.startswith("2 x CPU")


def make_parts(rate: Any = 0.01, units: int = 4) -> dict[str, Any]:
    """A network that takes no time, its loss and its optimizer."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(keras.layers.AveragePooling2D(8)(image))
    x = keras.layers.Dense(units)(keras.layers.Flatten()(x))
    head = keras.layers.Dense(2, activation="softmax", name="probability")
    loss = make_loss("cross_entropy", n_classes=2)
    return {
        "model": keras.Model(image, head(x)), "loss": loss, "optimizer": keras.optimizers.SGD(rate)
    }  # fmt: skip


def fit(
    blobs: list[Path], folder: Path, parts: dict[str, Any], epochs: int = 4, **more: Any
) -> Fitted:
    named = {k: more.pop(k) for k in ("monitor", "patience", "seed", "keep") if k in more}
    recipe = Recipe((Phase(0, epochs, SIDE, 24),), **named)
    given = {
        "rows": read_rows(blobs[:2], n_classes=2), "valid_paths": blobs[2:3], "recipe": recipe,
        "folder": folder, "verbose": 0, **parts, **more,
    }  # fmt: skip
    return fit_classifier(**given)


def interrupt(history: pd.DataFrame) -> None:
    raise KeyboardInterrupt


def test_without_a_gain_it_stops_and_keeps_the_first_of_equals(
    blobs: list[Path], tmp_path: Path
) -> None:
    drawn: list[int] = []
    more = {
        "monitor": "val_loss", "patience": 2, "on_epoch": lambda table: drawn.append(len(table))
    }  # fmt: skip
    history = fit(blobs, tmp_path, make_parts(rate=0.0), **more).history
    assert drawn == [1, 2, 3]
    assert history["val_loss"].nunique() == 1
    assert best_epoch(history, "val_loss") == 1
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == {
        "state.npz",
        "best-1.npz",
    }


def test_a_finished_run_is_not_trained_again(blobs: list[Path], tmp_path: Path) -> None:
    first = fit(blobs, tmp_path, make_parts(), epochs=2)
    again = make_parts()
    again["model"].layers[-1].bias.assign([9.0, -9.0])
    second = fit(blobs, tmp_path, again, epochs=2)
    pd.testing.assert_frame_equal(first.history, second.history)
    pd.testing.assert_frame_equal(first.results, second.results)
    for ours, theirs in zip(first.model.weights, second.model.weights, strict=True):
        np.testing.assert_array_equal(to_array(ours), to_array(theirs))


def test_cells_that_fit_may_be_run_again(blobs: list[Path], tmp_path: Path) -> None:
    """What is finished is read back and drawn; a run that begins wants a network that does."""
    parts, drawn = make_parts(), list[int]()
    more: dict[str, Any] = {"epochs": 2, "on_epoch": lambda table: drawn.append(len(table))}
    first = fit(blobs, tmp_path / "a", parts, **more, tensorboard=True)
    second = fit(blobs, tmp_path / "a", parts, **more, tensorboard=True)
    assert drawn == [1, 2, 2]
    (events,) = (tmp_path / "a" / "tensorboard").iterdir()
    assert len(list(read_frames(events))) == 4, "two that begin the file, and each epoch once"
    pd.testing.assert_frame_equal(first.history, second.history)
    for old in ("model", "optimizer"):
        mixed = make_parts() | {old: parts[old]}
        with pytest.raises(ValueError, match="begins anew, but its network or its optimizer has"):
            fit(blobs, tmp_path / "b", mixed, **more)
    third = fit(blobs, tmp_path / "b", make_parts(), **more)
    pd.testing.assert_frame_equal(
        first.history.drop(columns="seconds"), third.history.drop(columns="seconds")
    )


@pytest.mark.backends
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_epoch(
    blobs: list[Path], tmp_path: Path
) -> None:
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.01, 1e30])
    with pytest.raises(
        TrainingError, match=r"nan at epoch 3, step 2 of 2: lower learning_rate"
    ) as e:
        fit(blobs, tmp_path, make_parts(rate))
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2]
    with np.load(tmp_path / "checkpoint" / "state.npz") as state:
        assert all(np.isfinite(state[name]).all() for name in state.files if name != "note")
    assert "The checkpoint of epoch 2 is kept" in str(e.value)
    assert len(set(e.value.image_ids)) == 24
    assert all(name in str(e.value) for name in e.value.image_ids)
    assert e.value.image_ids == ids_of_batch(blobs, epoch=2, step=1)


def ids_of_batch(blobs: list[Path], epoch: int, step: int) -> tuple[str, ...]:
    """Which images a batch holds, both counted from 0, by the plan of the epoch."""
    rows = read_rows(blobs[:2], n_classes=2)
    numbers = plan_epoch(rows, seed=0, epoch=epoch)[24 * step : 24 * (step + 1)]
    return tuple(rows.image_id[numbers])


def test_an_image_that_brings_no_numbers_is_named(blobs: list[Path], tmp_path: Path) -> None:
    rows = read_rows(blobs[:2], n_classes=2)
    inputs = {"image": keras.Input((SIDE, SIDE, 3), name="image")}
    inputs["metadata"] = keras.Input((2,), name="metadata")
    pooled = keras.layers.GlobalAveragePooling2D()(inputs["image"])
    both = keras.layers.Concatenate()([pooled, inputs["metadata"]])
    parts = make_parts()
    head = keras.layers.Dense(2, activation="softmax", name="probability")
    parts["model"] = keras.Model(inputs, head(both))
    metadata = np.zeros((48, 2), "float32")
    metadata[7, 1] = np.nan
    told = dataclasses.replace(rows, metadata=metadata)
    with pytest.raises(TrainingError, match=r"the metadata of image0_7 \(1 images\) hold NaN"):
        fit(blobs, tmp_path, parts, rows=told, metadata=np.zeros((24, 2), "float32"))
    assert not (tmp_path / "checkpoint" / "state.npz").exists()


def test_the_checkpoint_of_another_run_is_refused(blobs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(blobs, tmp_path, make_parts(), on_epoch=interrupt)
    with pytest.raises(CheckpointError, match=r"written with seed 0, not 7: give this run another"):
        fit(blobs, tmp_path, make_parts(), seed=7)
    with pytest.raises(CheckpointError, match=r"learning_rate"):
        fit(blobs, tmp_path, make_parts(rate=0.02))
    with pytest.raises(CheckpointError, match=r"written with rows '48 images, .* not '24 images"):
        fit(blobs, tmp_path, make_parts(), rows=read_rows(blobs[:1], n_classes=2))
    with pytest.raises(CheckpointError, match=r"\(48, 4\) and \(48, 5\)"):
        fit(blobs, tmp_path, make_parts(units=5))


@pytest.mark.parametrize("name", ["state.npz", "best-1.npz"])
def test_a_damaged_checkpoint_is_named_and_begun_anew(
    name: str, blobs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = fit(blobs, tmp_path / "whole", make_parts(), epochs=2)
    with pytest.raises(KeyboardInterrupt):
        fit(blobs, tmp_path / "cut", make_parts(), epochs=2, on_epoch=interrupt)
    (tmp_path / "cut/checkpoint" / name).write_bytes(b"PK half a file")
    anew = fit(blobs, tmp_path / "cut", make_parts(), epochs=2)
    assert (
        f"damaged, and begun anew: {tmp_path / 'cut/checkpoint' / name}" in capsys.readouterr().out
    )
    columns = ["epoch", "loss", "val_loss"]
    assert anew.history[columns].equals(whole.history[columns])


@pytest.mark.backends
def test_a_run_that_was_interrupted_goes_on_under_mixed_precision(
    blobs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras.config.set_dtype_policy("mixed_float16")  # whose loss scale is part of the state too
    try:
        whole = fit(blobs, tmp_path / "whole", make_parts(), epochs=3)
        with pytest.raises(KeyboardInterrupt):
            fit(blobs, tmp_path / "parted", make_parts(), epochs=3, on_epoch=interrupt)
        with np.load(tmp_path / "parted" / "checkpoint" / "state.npz") as state:
            assert state["optimizer.dynamic_scale.0"] > 1
        parted = fit(blobs, tmp_path / "parted", make_parts(), epochs=3, verbose=2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert "1 of 3 epochs are done" in capsys.readouterr().out
    pd.testing.assert_frame_equal(
        whole.history.iloc[:, :-1], parted.history.iloc[:, :-1], rtol=1e-5
    )
    for ours, theirs in zip(whole.model.weights, parted.model.weights, strict=True):
        np.testing.assert_allclose(to_array(ours), to_array(theirs), atol=1e-6)


def test_an_area_that_cannot_be_estimated_is_no_monitor(blobs: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "fold0-00-12.tfrec"
    write_shard(path, [example for example in read_examples(blobs[0]) if not example["target"]])
    with pytest.raises(ValueError, match=r"all 12 validation rows are of one class: set monitor"):
        fit(blobs, tmp_path, make_parts(), valid_paths=[path])
    fitted = fit(blobs, tmp_path, make_parts(), valid_paths=[path], monitor="val_loss", epochs=1)
    assert fitted.history["val_auc"].isna().all()
    assert fitted.results[["weights", "kept"]].values.tolist() == [["best", True]]


def weights_of(fitted: Fitted) -> list[np.ndarray]:
    return [to_array(weight) for weight in fitted.model.weights]


def test_the_last_epoch_is_kept_where_nothing_is_to_be_chosen(
    blobs: list[Path], tmp_path: Path
) -> None:
    """Of all rows, and of a run whose first epoch is the best: the same weights to the bit."""
    told = {"monitor": "val_loss", "keep": "last"}
    judged = fit(blobs, tmp_path / "judged", make_parts(rate=5.0), epochs=3, **told)
    assert best_epoch(judged.history, "val_loss") < 3
    assert judged.results[["weights", "epochs", "kept"]].to_numpy().tolist() == [["last", 1, True]]
    alone = fit(blobs, tmp_path / "all", make_parts(rate=5.0), epochs=3, valid_paths=[], **told)
    assert [*alone.history] == ["epoch", "learning_rate", "loss", "seconds"]
    assert [*alone.results] == ["weights", "epochs", "kept"]
    assert alone.summary("val_loss") == {"epochs": 3, "weights": "last"}
    for one, other in zip(weights_of(judged), weights_of(alone), strict=True):
        assert np.array_equal(one, other)
    again = fit(blobs, tmp_path / "all", make_parts(rate=5.0), epochs=3, valid_paths=[], **told)
    assert np.array_equal(weights_of(again)[0], weights_of(alone)[0])


@pytest.mark.parametrize("told", [{}, {"keep": "last", "patience": 1}])
def test_nothing_is_chosen_by_what_is_not_held_out(
    blobs: list[Path], tmp_path: Path, told: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="nothing is held out, and the best epoch"):
        fit(blobs, tmp_path, make_parts(), valid_paths=[], **told)
