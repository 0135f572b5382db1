"""The schedules: the published rates, to the step."""

import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from keras import ops

from melnb.models.optimization.schedules import (
    SCHEDULES,
    Schedule,
    cycle_ends,
    make_schedule,
    schedule_table,
)

Phases = list[tuple[int, int, float]]


def rates(schedule: Schedule, steps: object) -> np.ndarray:
    """Return the rate of every step, through arrays of few lengths: JAX compiles for each."""
    given = np.asarray(steps)
    filled = np.pad(given, (0, -given.size % 2048), mode="edge") if given.ndim else given
    found = np.asarray(ops.convert_to_numpy(schedule(filled)))
    return found[: given.size] if given.ndim else found


def founding(batch_size: int) -> Schedule:
    return make_schedule(
        "ramp_decay", steps_per_epoch=7, epochs=10, learning_rate=3e-6 * batch_size,
        start_rate=5e-6, final_rate=1e-6, ramp_epochs=5, sustain_epochs=0, decay=0.3,
    )  # fmt: skip


@pytest.mark.backends
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


@pytest.mark.backends
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


@pytest.mark.backends
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


@pytest.mark.backends
def test_cosine_restarts_is_sgdr_after_its_warm_up() -> None:
    schedule = make_schedule(
        "cosine_restarts", steps_per_epoch=10, epochs=15, learning_rate=1.0, final_rate=0.2,
        ramp_epochs=1, cycles=3, cycle_growth=2.0,
    )  # fmt: skip
    assert cycle_ends(schedule) == (3, 7, 15)  # 2, 4 and 8 epochs, the whole run
    steps = np.arange(150)
    expected = 0.1 + 0.09 * steps
    for begin, end in ((10, 30), (30, 70), (70, 150)):  # equation 5 of the paper
        done = (steps - begin) / (end - begin)
        here = (steps >= begin) & (steps < end)
        expected[here] = 0.2 + 0.8 * (1 + np.cos(np.pi * done[here])) / 2
    assert rates(schedule, steps) == pytest.approx(expected, abs=1e-6)
    assert float(rates(schedule, 199)) == pytest.approx(0.2)  # beyond its end it stays low


def test_one_cycle_of_restarts_is_a_cosine_and_equal_cycles_repeat() -> None:
    shape = {"steps_per_epoch": 4, "learning_rate": 1.0, "final_rate": 0.1}
    once = make_schedule("cosine_restarts", epochs=6, ramp_epochs=2, cycles=1, **shape)
    plain = make_schedule("cosine", epochs=6, ramp_epochs=2, **shape)
    assert rates(once, range(24)) == pytest.approx(rates(plain, range(24)), abs=1e-7)
    assert (cycle_ends(once), cycle_ends(plain)) == ((6,), ())
    twice = make_schedule("cosine_restarts", epochs=6, ramp_epochs=0, cycles=2, **shape)
    every = rates(twice, range(24))
    assert every[:12].tolist() == every[12:].tolist()
    assert cycle_ends(twice) == (3, 6)


@given(st.integers(1, 6), st.floats(1, 3), st.integers(0, 5), st.integers(0, 60))
def test_cycles_are_whole_epochs_in_order_that_fill_the_run(
    cycles: int, growth: float, ramp_epochs: int, more: int
) -> None:
    epochs = ramp_epochs + cycles + more
    lengths = np.cumsum(growth ** np.arange(cycles))
    fit = np.floor((epochs - ramp_epochs) * np.append(0, lengths) / lengths[-1] + 0.5)
    assume(np.diff(fit).min() >= 1)
    schedule = make_schedule(
        "cosine_restarts", steps_per_epoch=3, epochs=epochs, learning_rate=1.0, cycles=cycles,
        cycle_growth=growth, ramp_epochs=ramp_epochs,
    )  # fmt: skip
    ends = cycle_ends(schedule)
    assert (len(ends), ends[-1]) == (cycles, epochs)
    lengths = np.diff([ramp_epochs, *ends])
    assert lengths.min() >= 1
    every = rates(schedule, range(schedule.steps))
    tops = [3 * end for end in (ramp_epochs, *ends[:-1])]
    assert every[tops] == pytest.approx([1.0] * cycles)  # each restart is at the highest rate


@pytest.mark.backends
def test_step_falls_by_a_factor_after_so_many_epochs() -> None:
    schedule = make_schedule(
        "step", steps_per_epoch=2, epochs=9, learning_rate=1.0, final_rate=0.02, ramp_epochs=1,
        decay=0.1, step_epochs=3,
    )  # fmt: skip
    expected = [0.1, 0.55] + [1.0] * 6 + [0.1] * 6 + [0.02] * 4  # He et al., and a floor
    assert rates(schedule, range(18)) == pytest.approx(expected, rel=1e-5)


PHASES = [(2, 12, 1.0), (1, 6, 2.0), (3, 4, 3.0)]


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n not in ("plateau", "ramp_decay")])
def test_a_stretched_schedule_is_where_the_plain_one_is_at_the_same_share_of_the_run(
    name: str,
) -> None:
    shape = {"epochs": 6, "learning_rate": 1.0, "ramp_epochs": 1, "cycles": 2, "step_epochs": 1}
    plain = make_schedule(name, steps_per_epoch=12, **shape)
    ours = make_schedule(name, steps_per_epoch=99, phases=PHASES, **shape)
    assert ours.steps == 24 + 6 + 12
    # The epochs of phase two have half the steps, those of phase three a third.
    places = [*range(24), *range(24, 36, 2), *range(36, 72, 3)]
    factors = np.repeat([1, 2, 3], [24, 6, 12])
    assert rates(ours, range(42)) == pytest.approx(rates(plain, places) * factors, rel=1e-5)
    momenta = [s.momentum(np.array(p)) for s, p in ((ours, range(42)), (plain, places))]
    if name == "one_cycle":
        ours_moved, theirs = (np.asarray(ops.convert_to_numpy(m)) for m in momenta)
        assert ours_moved == pytest.approx(theirs, abs=1e-6)
        assert np.ptp(theirs) > 0.09
    else:
        assert momenta == [None, None]
    assert cycle_ends(ours) == cycle_ends(plain)


@pytest.mark.backends
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 113), st.just(1.0)), min_size=1, max_size=4
    )
)
def test_a_stretched_staircase_falls_at_the_very_first_step_of_each_epoch(phases: Phases) -> None:
    epochs = sum(n for n, _, _ in phases)
    ours = make_schedule(
        "ramp_decay", steps_per_epoch=1, epochs=epochs, learning_rate=1.0, start_rate=0.1,
        final_rate=0.0, ramp_epochs=1, decay=0.5, phases=phases,
    )  # fmt: skip
    epoch = np.repeat(np.arange(epochs), np.repeat(*np.array([(s, n) for n, s, _ in phases]).T))
    expected = np.where(epoch < 1, 0.1, 0.5 ** np.maximum(epoch - 1, 0))
    assert rates(ours, range(ours.steps)) == pytest.approx(expected, rel=1e-6)
    assert np.array_equal(np.floor(ours.epoch_of(np.arange(ours.steps))), epoch)


@pytest.mark.backends
def test_a_step_inside_a_compiled_function_has_the_same_rate() -> None:
    shape = {"steps_per_epoch": 3, "epochs": 6, "learning_rate": 1.0, "cycles": 2}
    names = [name for name in SCHEDULES if name != "plateau"]
    schedules = [make_schedule(name, phases=PHASES, **shape) for name in names]

    def every(step: object) -> object:
        return ops.stack([schedule(step) for schedule in schedules], axis=-1)

    model = keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Lambda(every)])
    steps = np.arange(schedules[0].steps, dtype="int32")
    compiled = model.predict(steps, batch_size=len(steps), verbose=0)
    expected = np.stack([rates(schedule, steps) for schedule in schedules], axis=-1)
    assert compiled == pytest.approx(expected, rel=1e-5)


@given(
    st.sampled_from(SCHEDULES), st.integers(1, 50), st.integers(1, 20), st.integers(0, 25),
    st.integers(0, 5),
)  # fmt: skip
def test_no_rate_is_above_the_highest_or_below_nothing(
    name: str, steps_per_epoch: int, epochs: int, ramp_epochs: int, sustain_epochs: int
) -> None:
    if name == "cosine_restarts":
        ramp_epochs = min(ramp_epochs, epochs - 1)
    schedule = make_schedule(
        name, steps_per_epoch=steps_per_epoch, epochs=epochs, learning_rate=1e-2,
        ramp_epochs=ramp_epochs, sustain_epochs=sustain_epochs, cycles=1 + epochs // 25,
    )  # fmt: skip
    every = rates(schedule, range(schedule.steps))
    assert np.all((every >= 0) & (every <= 1e-2 * (1 + 1e-5)))
    # A pure function: a step's rate is the same alone, and after any other step.
    step = schedule.steps // 2
    assert float(ops.convert_to_numpy(schedule(step))) == pytest.approx(every[step], rel=1e-6)


@pytest.mark.parametrize("phases", [(), [(2, 5, 1.0), (2, 3, 2.0)]], ids=["plain", "stretched"])
@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "plateau"])
def test_a_schedule_comes_back_from_its_configuration(name: str, phases: Phases) -> None:
    schedule = make_schedule(
        name, steps_per_epoch=5, epochs=4, learning_rate=0.1, cycles=2, phases=phases
    )
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
    shape = {"steps_per_epoch": 2, "learning_rate": 1.0, "ramp_epochs": 2}
    with pytest.raises(ValueError, match=r"3 cycles that grow by 2\.0 do not fit into 5 epochs"):
        make_schedule("cosine_restarts", epochs=5, cycle_growth=2.0, **shape)
    with pytest.raises(ValueError, match="cycles is 0"):
        make_schedule("cosine_restarts", epochs=5, cycles=0, **shape)
    with pytest.raises(ValueError, match="step_epochs is 0"):
        make_schedule("step", epochs=5, step_epochs=0, **shape)
    with pytest.raises(ValueError, match="for a run of 5 epochs"):
        make_schedule("cosine", epochs=5, phases=[(2, 3, 1.0)], **shape)
    with pytest.raises(ValueError, match="'plateau' follows what is monitored"):
        make_schedule("plateau", epochs=5, phases=[(5, 3, 1.0)], **shape)
