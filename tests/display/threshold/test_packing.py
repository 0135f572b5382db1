import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.display.threshold.panels import deflated, packed


def unpacked(code: bytes, kind: str) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(code), np.uint8)
    steps = np.ascontiguousarray(planes.reshape(8, -1).T).view("<u8").ravel()
    with np.errstate(over="ignore"):
        return np.cumsum(steps, dtype="<u8").view(kind)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_every_score_comes_back_bit_for_bit(values: list[float]) -> None:
    scores = np.array(values)
    assert (unpacked(packed(scores), "<f8") == scores).all()
    assert not np.signbit(unpacked(packed(scores), "<f8")).any(), "-0 and 0 are one score"


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_every_count_comes_back(values: list[int]) -> None:
    assert unpacked(packed(np.array(values)), "<u8").tolist() == values


@pytest.mark.parametrize(("kind", "most"), [("f4", 2.0), ("f8", 6.0)])
def test_a_row_costs_a_few_bytes(kind: str, most: float) -> None:
    draw = np.random.default_rng(0)
    scores = np.unique(1 / (1 + np.exp(6 - draw.normal(0, 1.5, 100_000)))).astype(kind)
    scores = -np.unique(-scores.astype(float))
    counts = np.arange(len(scores))
    assert (len(packed(scores)) + len(packed(counts))) / len(scores) < most


def test_codes_keep_their_order() -> None:
    assert list(zlib.decompress(deflated(np.array([3, 0, 2])))) == [3, 0, 2]
