"""The content hash against hashlib."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.text.hashing import digests, hash_documents


def check(parts: list[bytes], before: bytes = b"") -> None:
    data = np.frombuffer(before + b"".join(parts) + b"tail", np.uint8)
    offsets = (len(before) + np.cumsum([0, *map(len, parts)])).astype(np.int64)
    high, low = hash_documents(data, offsets)
    got = [row.tobytes() for row in digests(high, low)]
    expected = [blake2b(part, digest_size=16).digest() for part in parts]
    assert got == expected
    by_number = sorted(range(len(parts)), key=lambda i: (int(high[i]), int(low[i])))
    assert [got[i] for i in by_number] == sorted(expected)


def test_every_length_around_the_block_size() -> None:
    rng = np.random.default_rng(0)
    lengths = [*range(300), *(128 * k + d for k in range(3, 9) for d in (-1, 0, 1)), 100_003]
    check([rng.bytes(length) for length in lengths])


def test_many_short_documents() -> None:
    check([str(number).encode() for number in range(20_000)])


def test_no_documents_and_empty_ones() -> None:
    check([])
    check([b""])
    check([b"", b"a", b"", b""])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=20), st.binary(max_size=9))
def test_any_bytes_at_any_place(parts: list[bytes], before: bytes) -> None:
    check(parts, before)
