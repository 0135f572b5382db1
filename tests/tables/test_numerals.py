"""Numbers as others write them."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.tables.checks import TableError
from melnb.tables.values import is_numeric, read_numbers


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float_is_read_to_the_bit(numbers: list[float]) -> None:
    read = read_numbers(pd.Series([repr(x) for x in numbers]), "t.csv")
    assert read.tolist() == numbers


def test_the_nearest_float_is_taken() -> None:
    text = "0.1000000000000000055511151231257827021181583404541015625"
    assert Fraction(read_numbers(pd.Series([text]), "t.csv")[0]) == Fraction(0.1)


@pytest.mark.parametrize(
    "odd", ["0,64", "1_0", "#DIV/0!", "inf", "1e", "٣", "0x10", "12 mm", "1.2.3"]
)
def test_what_is_no_number_is_named(odd: str) -> None:
    values = pd.Series(["1", odd, "2"], index=[2, 3, 4], name="width")
    assert is_numeric(values)
    with pytest.raises(TableError) as refusal:
        read_numbers(values, "t.csv")
    assert f"t.csv line 3: width is {odd!r}, not a number" in str(refusal.value)


def test_missing_is_nan_and_words_are_words() -> None:
    read = read_numbers(pd.Series(["NA", "-1", " 2 ", None]), "t.csv", negative=True)
    np.testing.assert_array_equal(read, [np.nan, np.nan, 2, np.nan])
    assert not is_numeric(pd.Series(["left", "right", "3"]))
    assert not is_numeric(pd.Series(["NA", None]))
