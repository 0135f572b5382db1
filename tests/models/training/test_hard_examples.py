"""Mining: the hardest share of a batch, and when."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from melnb.models.training.hard_examples import mined, share_at
from melnb.models.training.losses import make_loss

rng = np.random.default_rng(0)


def hard(losses: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(mined(np.asarray(losses, "float32"), share)))


@given(st.integers(1, 40), st.data())
def test_the_mean_is_that_of_the_hardest(n: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, n))
    losses = rng.integers(0, 9, n).astype("float32")  # with equals among them
    seen = hard(losses, kept / n)
    assert seen.mean() == pytest.approx(np.sort(losses)[-kept:].mean(), rel=1e-5)
    assert np.count_nonzero(seen) <= kept


@pytest.mark.backends
def test_the_others_teach_nothing_and_of_equals_the_first_comes_first() -> None:
    assert hard([1, 3, 2, 3], 0.25).tolist() == [0, 12, 0, 0]
    assert hard([1, 3, 2, 3], 0.5).tolist() == [0, 6, 0, 6]
    assert hard([1, 3, 2, 3], 0.7).tolist() == [0, 6, 0, 6]
    assert hard([1, 3, 2, 3], 1.0).tolist() == [1, 3, 2, 3]
    assert hard([1, 3, 2, 3], 0.01).tolist() == [0, 12, 0, 0]


def test_a_loss_that_is_no_number_is_not_hidden() -> None:
    assert np.isnan(hard([1, np.nan, 2], 0.3).mean())
    assert not np.isfinite(hard([1, np.inf, 2], 0.3).mean())


@pytest.mark.backends
def test_only_the_hard_have_a_gradient(gradient: Callable) -> None:
    losses = np.array([0.5, 4, 1, 3])
    slope = gradient(lambda x: ops.mean(mined(x**2, 0.5)), losses)
    assert slope == pytest.approx(np.array([0, 2 * 4 / 2, 0, 2 * 3 / 2]))


@pytest.mark.backends
def test_the_share_may_change_inside_a_compiled_step(gradient: Callable) -> None:
    def cost(x: object) -> object:
        return ops.mean(mined(x[1:], share_at(x[0], final_share=0.5, start=0.2, end=0.6)))

    for progress, kept in ((0.0, 4), (0.2, 4), (0.4, 3), (0.6, 2), (1.0, 2)):
        slope = gradient(cost, np.array([progress, 1, 2, 3, 4]))[1:]
        assert np.count_nonzero(slope) == kept


def test_the_share_falls_in_a_line_from_all_to_what_is_left() -> None:
    def share(progress: float, **keywords: float) -> float:
        return float(share_at(progress, final_share=0.25, **keywords))

    assert [share(x) for x in (0, 0.5, 1)] == pytest.approx([1, 0.625, 0.25])
    line = [share(x, start=0.2, end=0.6) for x in (0, 0.2, 0.4, 0.6, 1)]
    assert line == pytest.approx([1, 1, 0.625, 0.25, 0.25])
    assert [share(x, start=0.5, end=0.5) for x in (0.4, 0.6)] == pytest.approx([1, 0.25])
    assert float(share_at(0.7, final_share=1.0)) == 1


@pytest.mark.backends
def test_class_weights_decide_who_is_hard() -> None:
    loss = make_loss("cross_entropy", n_classes=2, class_weights=[1, 10])
    truth = np.eye(2, dtype="float32")[[0, 1]]
    p = np.array([[0.3, 0.7], [0.3, 0.7]], "float32")
    losses = ops.convert_to_numpy(loss.call(truth, p))
    assert np.flatnonzero(hard(losses, 0.5)).tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"final_share": 0}, "hard_share is 0"),
        ({"final_share": 1.2}, "hard_share is 1.2"),
        ({"final_share": 0.5, "start": 0.6, "end": 0.5}, "hard_start is 0.6 and hard_end 0.5"),
        ({"final_share": 0.5, "end": 1.5}, "hard_end 1.5"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        share_at(0.5, **arguments)
