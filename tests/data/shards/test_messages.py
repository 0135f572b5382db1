"""Messages: round trips, and bytes that are none."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.data.shards.messages import RecordError, decode_example, encode_example

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)
VALUES = st.one_of(
    *(s | st.lists(s, min_size=2, max_size=4) for s in (st.binary(max_size=300), INT64, FLOAT32))
)
EXAMPLES = st.dictionaries(st.text(max_size=8), VALUES, max_size=5)


@given(EXAMPLES)
def test_examples_survive_a_round_trip(example):
    assert decode_example(encode_example(example)) == example


@given(EXAMPLES, st.sets(st.text(max_size=8)))
def test_keys_choose_what_is_decoded(example, keys):
    wanted = {k: v for k, v in example.items() if k in keys}
    assert decode_example(encode_example(example), keys) == wanted


@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_a_record_error(data):
    with contextlib.suppress(RecordError):
        assert isinstance(decode_example(data), dict)


@given(EXAMPLES, st.data())
def test_a_changed_byte_raises_nothing_but_record_error(example, data):
    message = bytearray(encode_example(example) or b"\x00")
    message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(RecordError):
        decode_example(bytes(message))


def test_unpacked_numbers_are_read_as_well():
    # Older protocol buffers wrote each value with its own tag.
    minus_two = b"\xfe" + b"\xff" * 8 + b"\x01"
    ints = b"\x08" + minus_two + b"\x08\x07"
    floats = b"\x0d" + struct.pack("<f", 1.5)
    entries = b"".join(
        b"\x0a" + bytes([len(e)]) + e
        for e in (
            b"\x0a\x01i\x12" + bytes([len(ints) + 2]) + b"\x1a" + bytes([len(ints)]) + ints,
            b"\x0a\x01f\x12" + bytes([len(floats) + 2]) + b"\x12" + bytes([len(floats)]) + floats,
        )
    )
    assert decode_example(b"\x0a" + bytes([len(entries)]) + entries) == {"i": [-2, 7], "f": 1.5}


@pytest.mark.parametrize("value", ["text", ["text"], [b"bytes", 1], None])
def test_a_value_of_no_known_kind_is_refused_by_name(value):
    with pytest.raises(TypeError, match="'sex' holds"):
        encode_example({"sex": value})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1e300])
def test_a_number_that_does_not_fit_is_refused_by_name(value):
    with pytest.raises(ValueError, match="'age' is"):
        encode_example({"age": value})
