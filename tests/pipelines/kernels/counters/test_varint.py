"""LEB128 columns: round trips, the format, and damage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.counters import varint

VALUES = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 127, 128, 2**63, 2**64 - 1, *(2 ** (7 * k) - 1 for k in range(1, 10))]),
)


def leb128(value: int) -> bytes:
    """As the DWARF standard describes it."""
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=50))
def test_round_trip(values: list[int]) -> None:
    encoded = varint.encode(np.array(values, np.uint64))
    assert encoded.tobytes() == b"".join(map(leb128, values))
    assert varint.decode(encoded, len(values)).tolist() == values


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=20), st.data())
def test_a_cut_or_an_extra_byte_is_found(values: list[int], data: st.DataObject) -> None:
    encoded = varint.encode(np.array(values, np.uint64))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(ValueError, match="damaged"):
        varint.decode(encoded[:cut], len(values))
    with pytest.raises(ValueError, match="damaged"):
        varint.decode(np.append(encoded, np.uint8(0)), len(values))


def test_a_value_that_never_ends_is_found() -> None:
    with pytest.raises(ValueError, match="damaged"):
        varint.decode(np.full(30, 0x80, np.uint8), 1)


def test_a_wrong_count_is_found() -> None:
    encoded = varint.encode(np.array([1, 2, 300], np.uint64))
    for count in (0, 2, 4):
        with pytest.raises(ValueError, match="damaged"):
            varint.decode(encoded, count)
