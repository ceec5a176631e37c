"""The run's own check of the fast tokenizer: planted wrong ids stop it, and counts say what was compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.tokens import verification
from corpus_audit.pipelines.tokens.tokenization import REFERENCE, TokenBatch, Tokenization
from corpus_audit.pipelines.tokens.verification import (
    COMPARED_IN_FULL,
    NEEDED,
    SLICE_BYTES,
    Verifier,
    documents_per_split,
)
from corpus_audit.schemas.errors import NoVerdictError, TokenizerMismatchError

Encode = Callable[[Tokenization, pa.LargeStringArray], TokenBatch]


def high(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest()[:8], "big")


TEXTS = [f"document number {n}" for n in range(200)]
BY_HASH = sorted(range(len(TEXTS)), key=lambda n: high(TEXTS[n]))


def verify(tokenization: Tokenization, texts: Sequence[str], lowest: int, batches: int = 3) -> Verifier:
    """Feed the texts as a split does and finish."""
    verifier = Verifier(tokenization, lowest, "data/part-7.jsonl")
    bounds = np.linspace(0, len(texts), batches + 1).astype(int).tolist()
    for start, stop in pairwise(bounds):
        text = pa.array(texts[start:stop], pa.large_string())
        hashes = np.array([high(t) for t in texts[start:stop]], np.uint64)
        verifier.add(text, hashes, np.arange(start, stop), tokenization.encode(text))
    verifier.finish()
    return verifier


def corrupt(monkeypatch: pytest.MonkeyPatch, victims: set[str], at: int = 0) -> None:
    """Make the fast path give one wrong id in every document of ``victims``."""
    right: Encode = Tokenization._encode_fast

    def wrong(self: Tokenization, text: pa.LargeStringArray) -> TokenBatch:
        batch = right(self, text)
        ids = batch.ids.copy()
        for d, value in enumerate(text.to_pylist()):
            if value in victims:
                ids[batch.offsets[d] + at] ^= 1
        return TokenBatch(ids, batch.offsets)

    monkeypatch.setattr(Tokenization, "_encode_fast", wrong)


@pytest.mark.parametrize("lowest", [0, 1, 16, 51, 200, 2**40])
def test_right_ids_pass(tokenization: Tokenization, lowest: int) -> None:
    assert verify(tokenization, TEXTS, lowest).documents == min(lowest, 200)


@pytest.mark.parametrize("rank", [0, 1, COMPARED_IN_FULL - 1, 59])
@pytest.mark.parametrize("batches", [1, 5, 200])
def test_a_wrong_id_among_the_lowest_hashes_stops_the_run(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch, rank: int, batches: int
) -> None:
    row = BY_HASH[rank]
    corrupt(monkeypatch, {TEXTS[row]}, at=1)
    with pytest.raises(TokenizerMismatchError, match=rf"data/part-7\.jsonl, row {row} of its split") as caught:
        verify(tokenization, TEXTS, rank + 1, batches)
    assert isinstance(caught.value, NoVerdictError)
    assert "by gigatoken" in str(caught.value)
    assert verify(tokenization, TEXTS, rank, batches).documents == rank  # those below it are right


def test_a_missing_or_extra_id_stops_the_run(tokenization: Tokenization) -> None:
    text = pa.array(["some words here"], pa.large_string())
    right = tokenization.encode(text)
    for ids in (right.ids[:-1], np.append(right.ids, np.uint32(5)), right.ids[:0]):
        verifier = Verifier(tokenization, 1, "shard")
        batch = TokenBatch(ids, np.array([0, len(ids)], np.int64))
        verifier.add(text, np.array([5], np.uint64), np.array([0]), batch)
        with pytest.raises(TokenizerMismatchError, match="by gigatoken"):
            verifier.finish()


def long_texts(number: int) -> list[str]:
    return [f"{n} длинный \U0001f642 text " * (600 + n) for n in range(number)]


def test_long_documents_that_are_not_the_very_lowest_are_checked_on_a_slice(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    reference = Tokenization.encode_reference

    def spy(self: Tokenization, texts: list[str]) -> TokenBatch:
        compared.extend(texts)
        return reference(self, texts)

    monkeypatch.setattr(Tokenization, "encode_reference", spy)
    texts = long_texts(40)
    assert verify(tokenization, texts, 2**40).documents == 40
    sizes = sorted(len(text.encode()) for text in compared)
    assert len(compared) == 40
    assert sizes[39 - COMPARED_IN_FULL] <= SLICE_BYTES + 6
    assert all(any(text in in_full for in_full in texts) for text in compared)
    in_full = {text for text in compared if text in texts}
    assert in_full == {texts[n] for n in sorted(range(40), key=lambda n: high(texts[n]))[:COMPARED_IN_FULL]}


def test_a_slice_with_a_wrong_id_stops_the_run(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = long_texts(20)
    row = max(range(20), key=lambda n: high(texts[n]))
    right: Encode = Tokenization._encode_fast

    def wrong(self: Tokenization, text: pa.LargeStringArray) -> TokenBatch:
        batch = right(self, text)
        ids = batch.ids.copy()
        for d, value in enumerate(text.to_pylist()):
            if value not in texts and value in texts[row]:
                ids[batch.offsets[d]] ^= 1
        return TokenBatch(ids, batch.offsets)

    monkeypatch.setattr(Tokenization, "_encode_fast", wrong)
    with pytest.raises(TokenizerMismatchError, match=rf"row {row} of its split .*, bytes \d+ to \d+"):
        verify(tokenization, texts, 2**40)


def test_a_document_too_long_to_check_whole(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "MAX_FULL_BYTES", 9000)
    verifier = verify(tokenization, ["é" * 5000, "short"], 2, batches=1)
    assert verifier.documents == 2


@settings(max_examples=30, deadline=None)
@given(numbers=st.lists(st.integers(0, 60), max_size=60), batches=st.integers(1, 7), lowest=st.integers(0, 70))
def test_what_is_compared_does_not_depend_on_batches(
    tokenization: Tokenization, numbers: list[int], batches: int, lowest: int
) -> None:
    """The lowest hashes, copies of one text included."""
    texts = [TEXTS[n] for n in numbers]
    compared: list[str] = []
    reference = Tokenization.encode_reference
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tokenization, "encode_reference", lambda self, t: (compared.extend(t), reference(self, t))[1])
        assert verify(tokenization, texts, lowest, batches).documents == min(len(texts), lowest)
    assert compared == sorted(texts, key=high)[:lowest]


def test_on_the_reference_path_every_document_counts(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenization, "path", REFERENCE)
    assert verify(tokenization, TEXTS[:30], 0).documents == 30


def test_nothing_to_verify(tokenization: Tokenization) -> None:
    assert verify(tokenization, [], 2**40).documents == 0
    assert verify(tokenization, ["", ""], 2**40).documents == 2


@pytest.mark.parametrize("splits", [0, 1, 3, 40, 5000])
def test_splits_share_what_is_needed(splits: int) -> None:
    for lacking in (0, 1, 999, NEEDED):
        lowest = documents_per_split(lacking, splits)
        assert lowest >= COMPARED_IN_FULL
        assert lowest * max(splits, 1) >= 1.2 * lacking
        assert lowest <= max(COMPARED_IN_FULL, 1.2 * lacking / max(splits, 1) + 1)
