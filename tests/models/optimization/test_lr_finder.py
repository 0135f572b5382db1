"""The range test: its rates, its mean, where it stops, what it suggests, and what it leaves."""

import bisect
import json
import math
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from melnb.data.augmentation.draws import DRAWS
from melnb.models.networks.classifier import make_classifier
from melnb.models.optimization import lr_finder
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.training.losses import make_loss
from melnb.models.training.plan import sweep_trainer

ONE = np.ones((1, 1), "float32")


def slope(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Return a compiled model of one weight w, from 1, whose loss is w^2 / 2 and gradient w."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(optimizer, lambda truth, p: ops.mean(ops.square(p)) / 2)
    return model


def values(model: keras.Model) -> list[np.ndarray]:
    every = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v)) for v in every]


@pytest.mark.backends
def test_a_sweep_multiplies_the_rate_by_the_same_factor_at_every_step() -> None:
    sweep = lr_finder.make_sweep(lowest=1e-7, highest=10.0, steps=81)
    rates = np.asarray(ops.convert_to_numpy(sweep(np.arange(81))))
    assert rates == pytest.approx(np.geomspace(1e-7, 10, 81), rel=1e-4)
    assert sweep.momentum(3) is None
    again = lr_finder.Sweep.from_config(json.loads(json.dumps(sweep.get_config())))
    assert again.get_config() == sweep.get_config()


@pytest.mark.backends
def test_the_table_is_the_run_and_everything_is_put_back() -> None:
    sweep = lr_finder.make_sweep(lowest=1e-3, highest=100.0, steps=60)
    model = slope(make_optimizer("sgd", sweep, momentum=0.5, ema=0.5, accumulate=1))
    model.optimizer.build(model.trainable_variables)
    before, seen = values(model), []
    table = lr_finder.range_test(
        model, iter([(ONE, ONE)] * 60), smoothing=0.7, on_step=lambda t: seen.append(len(t))
    )
    assert list(table) == list(lr_finder.COLUMNS)
    weight, velocity = 1.0, 0.0
    for row in table.itertuples():
        assert row.loss == pytest.approx(weight**2 / 2, rel=1e-3)  # before the step
        velocity = 0.5 * velocity - row.learning_rate * weight
        weight += 0.5 * velocity - row.learning_rate * weight
    assert table["learning_rate"].to_numpy() == pytest.approx(
        np.geomspace(1e-3, 100, 60)[: len(table)], rel=1e-4
    )
    mean = table["loss"].ewm(alpha=0.3, adjust=True).mean()  # pandas corrects it in its own way
    assert table["smoothed"].to_numpy() == pytest.approx(mean.to_numpy())
    burst = table["smoothed"] > 4 * table["smoothed"].cummin()
    assert burst.tolist() == [False] * (len(table) - 1) + [True]
    assert 10 < len(table) < 60
    assert seen == list(range(1, len(table) + 1))
    for old, new in zip(before, values(model), strict=True):
        assert np.array_equal(old, new)


def test_a_loss_that_is_no_number_ends_it() -> None:
    sweep = lr_finder.make_sweep(lowest=1e-3, highest=1e30, steps=12)
    model = slope(make_optimizer("sgd", sweep, momentum=0.5))
    table = lr_finder.range_test(model, iter([(ONE, ONE)] * 12), stop=math.inf)
    assert 1 <= len(table) < 12
    assert np.isfinite(table.to_numpy()).all()
    assert np.isfinite(model.get_weights()[0]).all()


def test_it_runs_on_the_trainer_of_a_classifier_and_batches_with_their_truth_inside() -> None:
    model = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny", dropout=0.2)
    trainer = sweep_trainer(
        model, sweep={"lowest": 1e-5, "highest": 1.0, "steps": 6},
        steps={"optimizer": "adam", "accumulate": 4, "ema": 0.9},
        loss=make_loss("cross_entropy", n_classes=2), mix={"mixup": 0.5},
    )  # fmt: skip
    assert trainer.optimizer.gradient_accumulation_steps is None, "each batch is a step"
    assert trainer.optimizer.ema == 0
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.uniform(0, 255, (4, 32, 32, 3)).astype("float32"),
        "draws": rng.random((4, DRAWS)).astype("float32"),
        "truth": np.eye(2, dtype="float32")[[0, 1, 0, 1]],
        "row": np.arange(4, dtype="int32"),
    }
    before = values(trainer)
    table = lr_finder.range_test(trainer, [batch] * 6)
    assert table["learning_rate"].is_monotonic_increasing
    assert table["loss"].nunique() == len(table)  # each its own batch's, not the mean so far
    assert all(np.array_equal(a, b) for a, b in zip(before, values(trainer), strict=True))


def fastai_valley(losses: list[float]) -> int:
    """fastai 2.7, callback/schedule.py, `valley`, as it stands there."""
    n, max_end, max_start = len(losses), 0, 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
        if lds[max_end] < lds[i]:
            max_end = i
            max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return max_start + int(sections) + int(sections / 2)


def make_table(losses: list[float]) -> pd.DataFrame:
    rates = np.geomspace(1e-6, 1, len(losses))
    return pd.DataFrame({"learning_rate": rates, "loss": losses, "smoothed": losses})


@pytest.mark.parametrize("bottom", [30, 60, 90])
def test_where_the_loss_falls_without_a_gap_the_valley_is_fastais(bottom: int) -> None:
    rows = np.arange(100)
    losses = (np.abs(rows - bottom) / 50 + 1) ** 2
    table = make_table(losses.tolist())
    kept = table.iloc[10:-5]
    theirs = fastai_valley(kept["smoothed"].tolist())
    ours = kept["learning_rate"].tolist().index(lr_finder.suggestions(table)["valley"])
    assert ours == (bottom - 10) // 2  # halfway down
    assert abs(ours - theirs) <= 1  # it rounds twice, and begins a row before the first


@given(st.lists(st.integers(0, 8), min_size=10, max_size=40))
def test_no_fall_is_longer_than_the_one_whose_middle_is_taken(losses: list[int]) -> None:
    table = make_table([float(loss) for loss in losses])
    kept = losses[int(len(losses) * 0.1) : -5]
    place = table["learning_rate"].tolist().index(lr_finder.suggestions(table)["valley"])
    middle = place - int(len(losses) * 0.1)
    ends = [
        (k, j)
        for k in range(len(kept))
        for j in range(k, len(kept))
        if (k + j) // 2 == middle and longest(kept[k : j + 1]) == longest(kept)
    ]
    assert ends


def longest(losses: list[int]) -> int:
    """The length of the longest decreasing subsequence, by patience sorting."""
    piles: list[int] = []
    for loss in losses:
        place = bisect.bisect_left(piles, -loss)
        piles[place : place + 1] = [-loss]
    return len(piles)


def test_the_steepest_rate_is_where_the_loss_falls_fastest_by_its_logarithm() -> None:
    place = np.linspace(-6, 0, 121)
    falling = 1 - 0.5 * np.tanh(4 * (place + 3))
    losses = np.where(place < -1, falling, falling + 20 * (place + 1))
    found = lr_finder.suggestions(make_table(losses.tolist()))
    assert math.log10(found["steepest"]) == pytest.approx(-3, abs=0.06)
    assert found["valley"] < 0.1


def test_one_batch_with_a_small_loss_is_not_the_steepest_fall() -> None:
    place = np.linspace(-6, 0, 121)
    losses = 1 - 0.5 * np.tanh(2 * (place + 3))
    losses[25] -= 0.3
    found = lr_finder.suggestions(make_table(losses.tolist()))
    assert math.log10(found["steepest"]) == pytest.approx(-3, abs=0.2)


def test_what_is_chosen_is_written_and_read(tmp_path: Path) -> None:
    table = make_table(np.linspace(1, 0.2, 40).tolist())
    for rule in lr_finder.SUGGESTIONS:
        chosen = lr_finder.write_rate(tmp_path, table, rule=rule)
        assert chosen["learning_rate"] == lr_finder.suggestions(table)[rule]
        assert lr_finder.read_rate(tmp_path) == chosen["learning_rate"]
    assert json.loads((tmp_path / "learning_rate.json").read_text()) == chosen
    assert pd.read_csv(tmp_path / "range_test.csv").shape == table.shape


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lowest rate"):
        lr_finder.make_sweep(lowest=1.0, highest=0.1)
    with pytest.raises(ValueError, match="2 steps or more"):
        lr_finder.make_sweep(steps=1)
    with pytest.raises(ValueError, match="follows make_sweep"):
        lr_finder.range_test(slope(make_optimizer("sgd", 0.1)), [])
    with pytest.raises(ValueError, match="no batch"):
        lr_finder.range_test(slope(make_optimizer("sgd", lr_finder.make_sweep())), [])
    with pytest.raises(ValueError, match="7 steps are too few"):
        lr_finder.suggestions(make_table([1.0] * 7))
    with pytest.raises(ValueError, match="rule is 'best'"):
        lr_finder.write_rate(tmp_path, make_table([1.0] * 20), rule="best")
    with pytest.raises(FileNotFoundError, match="run 03b_find_lr first"):
        lr_finder.read_rate(tmp_path / "none")
