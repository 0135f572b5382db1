"""The schedules: the published rates, to the step."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from melnb.models.optimization.schedules import Schedule, make_schedule, schedule_table

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NAMES = ("ramp_decay", "one_cycle", "cosine", "constant")


def rates(schedule: Schedule, steps: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(schedule(np.asarray(steps))))


def founding(batch_size: int) -> Schedule:
    return make_schedule(
        "ramp_decay", steps_per_epoch=7, epochs=10, learning_rate=3e-6 * batch_size,
        start_rate=5e-6, final_rate=1e-6, ramp_epochs=5, sustain_epochs=0, decay=0.3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (256, [5e-6, 1.576e-4, 3.102e-4, 4.628e-4, 6.154e-4, 7.68e-4, 2.311e-4, 7.003e-5, 2.171e-5,
               7.213e-6]),
        (32, [5e-6, 2.32e-5, 4.14e-5, 5.96e-5, 7.78e-5, 9.6e-5, 2.95e-5, 9.55e-6, 3.565e-6,
              1.769e-6]),
    ],
)  # fmt: skip
def test_ramp_decay_is_the_founding_system(batch_size: int, expected: list[float]) -> None:
    schedule = founding(batch_size)
    assert rates(schedule, np.arange(0, 70, 7)) == pytest.approx(expected, rel=3e-4)
    assert rates(schedule, np.arange(6, 70, 7)) == pytest.approx(expected, rel=3e-4)  # stairs


def test_ramp_decay_without_ramp_begins_at_the_top_and_may_stay_there() -> None:
    schedule = make_schedule(
        "ramp_decay", steps_per_epoch=2, epochs=5, learning_rate=1.0, start_rate=0.1,
        final_rate=0.0, ramp_epochs=0, sustain_epochs=2, decay=0.5,
    )  # fmt: skip
    assert rates(schedule, range(0, 10, 2)) == pytest.approx([1, 1, 1, 0.5, 0.25])


def test_one_cycle_has_the_published_corners_and_halves() -> None:
    schedule = make_schedule("one_cycle", steps_per_epoch=100, epochs=10, learning_rate=2e-3)
    low, top, last = 2e-3 / 25, 2e-3, 2e-3 / 1e5
    steps = [0, 150, 300, 650, 1000, 1500]
    expected = [low, (low + top) / 2, top, (top + last) / 2, last, last]
    assert rates(schedule, steps) == pytest.approx(expected, rel=1e-3)
    momentum = ops.convert_to_numpy(schedule.momentum(np.array(steps)))
    assert momentum == pytest.approx([0.95, 0.90, 0.85, 0.90, 0.95, 0.95], abs=1e-5)


def test_one_cycle_is_fastais_at_every_step() -> None:
    def annealed(start: float, end: float, share: float) -> float:  # fastai's SchedCos
        return start + (1 + np.cos(np.pi * (1 - share))) * (end - start) / 2

    def combined(share: float, values: tuple[float, float, float]) -> float:
        if share < 0.3:
            return annealed(values[0], values[1], share / 0.3)
        return annealed(values[1], values[2], (share - 0.3) / 0.7)

    schedule = make_schedule("one_cycle", steps_per_epoch=37, epochs=3, learning_rate=1.0)
    steps = np.arange(111)
    expected = [combined(step / 111, (1 / 25, 1.0, 1e-5)) for step in steps]
    assert rates(schedule, steps) == pytest.approx(expected, abs=2e-6)
    expected = [combined(step / 111, (0.95, 0.85, 0.95)) for step in steps]
    momentum = ops.convert_to_numpy(schedule.momentum(steps))
    assert momentum == pytest.approx(expected, abs=2e-6)


def test_cosine_warms_up_from_a_tenth_and_falls_to_the_final_rate() -> None:
    schedule = make_schedule(
        "cosine", steps_per_epoch=10, epochs=5, learning_rate=1.0, final_rate=0.2, ramp_epochs=1
    )
    expected = [0.1, 0.55, 1.0, 0.6, 0.2, 0.2]
    assert rates(schedule, [0, 5, 10, 30, 50, 99]) == pytest.approx(expected, abs=1e-6)
    cold = make_schedule(
        "cosine", steps_per_epoch=1, epochs=2, learning_rate=1.0, final_rate=0, ramp_epochs=0
    )
    assert rates(cold, [0, 1]) == pytest.approx([1, 0.5])


def test_constant_is_constant_and_leaves_the_momentum_alone() -> None:
    schedule = make_schedule("constant", steps_per_epoch=3, epochs=2, learning_rate=0.3)
    assert rates(schedule, range(6)) == pytest.approx([0.3] * 6)
    assert schedule.momentum(0) is None


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(NAMES), st.integers(1, 50), st.integers(1, 20), st.integers(0, 25),
    st.integers(0, 5),
)  # fmt: skip
def test_no_rate_is_above_the_highest_or_below_nothing(
    name: str, steps_per_epoch: int, epochs: int, ramp_epochs: int, sustain_epochs: int
) -> None:
    schedule = make_schedule(
        name, steps_per_epoch=steps_per_epoch, epochs=epochs, learning_rate=1e-2,
        ramp_epochs=ramp_epochs, sustain_epochs=sustain_epochs,
    )  # fmt: skip
    every = rates(schedule, range(schedule.steps))
    assert np.all((every >= 0) & (every <= 1e-2 * (1 + 1e-5)))
    # A pure function: a step's rate is the same alone, and after any other step.
    step = schedule.steps // 2
    assert float(ops.convert_to_numpy(schedule(step))) == pytest.approx(every[step], rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_comes_back_from_its_configuration(name: str) -> None:
    schedule = make_schedule(name, steps_per_epoch=5, epochs=4, learning_rate=0.1)
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert type(again) is type(schedule)
    assert np.array_equal(rates(schedule, range(20)), rates(again, range(20)))


def test_schedule_table_has_every_step_or_a_thinned_plan() -> None:
    schedule = make_schedule("one_cycle", steps_per_epoch=4, epochs=3, learning_rate=1.0)
    table = schedule_table(schedule)
    assert list(table) == ["step", "epoch", "learning_rate", "momentum"]
    assert table["step"].tolist() == list(range(12))
    assert table["epoch"].iloc[[0, 4, 11]].tolist() == [0, 1, 2.75]
    assert table["learning_rate"].tolist() == pytest.approx(rates(schedule, range(12)))
    thin = schedule_table(schedule, rows=5)
    assert len(thin) == 5
    assert thin["step"].iloc[-1] == 11
    flat = schedule_table(make_schedule("constant", steps_per_epoch=4, epochs=3, learning_rate=1))
    assert flat["momentum"].isna().all()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="did you mean 'one_cycle'"):
        make_schedule("onecycle", steps_per_epoch=1, epochs=1, learning_rate=1)
    with pytest.raises(ValueError, match=r"start_rate 0.01 is above learning_rate 0.001"):
        make_schedule(
            "ramp_decay", steps_per_epoch=1, epochs=1, learning_rate=0.001, start_rate=0.01
        )
    with pytest.raises(ValueError, match="steps_per_epoch is 0"):
        make_schedule("cosine", steps_per_epoch=0, epochs=1, learning_rate=1)
