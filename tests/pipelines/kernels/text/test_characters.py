"""Characters, words and NULs against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.text.characters import scan_text
from tests import oracle
from tests.corpora import TEXTS
from tests.oracle import WHITE_SPACE


def scan(texts: list[str], before: bytes = b"") -> list[tuple[int, int, bool]]:
    """The kernel's answer; ``before`` are bytes that belong to no document."""
    encoded = [text.encode() for text in texts]
    data = np.frombuffer(before + b"".join(encoded), np.uint8)
    offsets = len(before) + np.cumsum([0, *map(len, encoded)])
    characters, words, nul = scan_text(data, offsets.astype(np.int64))
    return list(zip(characters.tolist(), words.tolist(), nul.tolist(), strict=True))


def expected(texts: list[str]) -> list[tuple[int, int, bool]]:
    return [(len(text), oracle.words(text), "\0" in text) for text in texts]


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=12), st.sampled_from([b"", b"x", b"\xc3\xa9 "]))
def test_text_of_all_planes(texts: list[str], before: bytes) -> None:
    assert scan(texts, before) == expected(texts)


@pytest.mark.parametrize("space", sorted(WHITE_SPACE), ids=lambda space: f"U+{ord(space):04X}")
def test_every_white_space_separates_words(space: str) -> None:
    texts = [space, f"a{space}b", f"{space}é{space}{space}\U0001f642{space}", f"a{space}", f"{space}b"]
    assert scan(texts) == expected(texts)
    assert [words for _, words, _ in scan(texts)] == [0, 2, 2, 1, 1]


def test_no_other_code_point_of_the_basic_plane_separates_words() -> None:
    others = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000 and chr(code) not in WHITE_SPACE]
    wrong = [f"U+{ord(c):04X}" for c, (_, n, _) in zip(others, scan([f"a{c}b" for c in others]), strict=True) if n != 1]
    assert wrong == []


def test_long_ascii_in_every_alignment() -> None:
    texts = ["ab c" * length + " " * (length % 5) for length in range(200)]
    assert scan(texts) == expected(texts)


def test_no_documents() -> None:
    assert scan([]) == []
    assert scan([""] * 3) == [(0, 0, False)] * 3
