"""Draws: one number an image becomes many, the same ones every time."""

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from melnb.data.augmentation.draws import DRAWS, NAMES, draw_of, spread, spread_normal

to_numpy = keras.ops.convert_to_numpy


def test_every_name_has_its_draw() -> None:
    assert len(set(NAMES)) == DRAWS
    draws = np.arange(2 * DRAWS, dtype="float32").reshape(2, DRAWS)
    assert [float(draw_of(draws, name)[1]) for name in NAMES] == list(draws[1])


@given(draw=st.floats(0, 1, exclude_max=True, width=32), salt=st.integers(0, 50))
def test_numbers_of_a_draw_are_uniform_and_begin_alike_at_every_size(
    draw: float, salt: int
) -> None:
    draws = np.array([draw, 0.25], "float32")
    many = to_numpy(spread(draws, (7, 3), salt))
    assert many.shape == (2, 7, 3)
    assert many.dtype == np.float32
    assert many.min() >= 0
    assert many.max() < 1
    np.testing.assert_array_equal(to_numpy(spread(draws, (4,), salt)), many.reshape(2, -1)[:, :4])
    np.testing.assert_array_equal(to_numpy(spread(draws[1:], (7, 3), salt)), many[1:])


def test_numbers_have_their_distributions_and_salts_part_them() -> None:
    draw = np.array([0.999], "float32")  # whose numbers run beyond the end of the table
    uniform, normal = to_numpy(spread(draw, (20_000,))), to_numpy(spread_normal(draw, (20_000,)))
    assert stats.kstest(uniform[0], "uniform").pvalue > 1e-3
    assert stats.kstest(normal[0], "norm").pvalue > 1e-3
    np.testing.assert_allclose(stats.norm.cdf(normal), uniform, atol=1e-5)
    other = to_numpy(spread(draw, (20_000,), salt=1))
    assert abs(np.corrcoef(uniform[0], other[0])[0, 1]) < 0.03
    assert np.isfinite(to_numpy(spread_normal(draw, (1 << 18,)))).all()
