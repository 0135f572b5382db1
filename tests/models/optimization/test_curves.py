"""The plateau: the rates that Keras' own callback would have set, without its state."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.models.optimization.curves import Plateau, plateau_rate
from melnb.models.optimization.schedules import make_schedule

pytestmark = pytest.mark.backends


class _Rated:
    """As much of a model and its optimizer as the callback looks at."""

    def __init__(self, rate: float) -> None:
        self.optimizer = self
        self.learning_rate = np.float64(rate)


def by_callback(values: list[float], *, better: str, patience: int, min_rate: float) -> float:
    callback = keras.callbacks.ReduceLROnPlateau(
        monitor="value", mode="max" if better == "higher" else "min", factor=0.5,
        patience=patience, min_delta=0, min_lr=min_rate,
    )  # fmt: skip
    model = _Rated(0.1)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"value": value})
    return float(model.learning_rate)


@given(
    st.lists(st.sampled_from([0.2, 0.4, 0.6, 0.8, 0.9]), max_size=14),
    st.sampled_from(["higher", "lower"]), st.integers(1, 4), st.sampled_from([0.0, 0.03]),
)  # fmt: skip
def test_every_history_has_the_rate_of_keras_callback(
    values: list[float], better: str, patience: int, min_rate: float
) -> None:
    ours = plateau_rate(
        values, learning_rate=0.1, factor=0.5, patience=patience, min_rate=min_rate, better=better
    )
    theirs = by_callback(values, better=better, patience=patience, min_rate=min_rate)
    assert ours == pytest.approx(theirs)


def test_the_rate_falls_after_so_many_epochs_without_a_gain_and_again() -> None:
    values = [0.7, 0.8, 0.8, 0.79, 0.81, 0.5, 0.5, 0.5, 0.5]
    found = [
        plateau_rate(values[:n], learning_rate=1.0, factor=0.1, patience=2, min_rate=0.005)
        for n in range(len(values) + 1)
    ]
    assert found == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.005])


def test_nothing_is_gained_by_nan() -> None:
    nan = float("nan")
    rule = {"learning_rate": 1.0, "factor": 0.5, "patience": 1}
    assert plateau_rate([nan, 0.5, nan], **rule) == pytest.approx(0.25)
    assert plateau_rate([0.5, nan, 0.4], **rule, better="lower") == pytest.approx(0.5)


def test_the_schedule_knows_its_rule_and_draws_its_first_rate() -> None:
    plateau = make_schedule(
        "plateau", steps_per_epoch=2, epochs=3, learning_rate=0.1, final_rate=0.04, decay=0.5,
        plateau_patience=1,
    )  # fmt: skip
    assert isinstance(plateau, Plateau)
    assert np.asarray(keras.ops.convert_to_numpy(plateau(3))) == pytest.approx(0.1)
    found = [plateau.rate_after([0.9] * n, better="lower") for n in range(4)]
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.04])
    again = Plateau.from_config(json.loads(json.dumps(plateau.get_config())))
    assert again.get_config() == plateau.get_config()


def test_refusals() -> None:
    for factor in (0, 1):
        with pytest.raises(ValueError, match="use one between 0 and 1"):
            plateau_rate([], learning_rate=1, factor=factor, patience=1)
    with pytest.raises(ValueError, match="patience on a plateau is 0"):
        plateau_rate([], learning_rate=1, factor=0.5, patience=0)
    with pytest.raises(ValueError, match="better is 'max'"):
        plateau_rate([], learning_rate=1, factor=0.5, patience=1, better="max")
