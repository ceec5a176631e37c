"""The run's own check of the fast tokenizer: planted wrong ids stop it, and counts say what was compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines import verification
from corpus_audit.pipelines.tokenization import REFERENCE, TokenBatch, Tokenization
from corpus_audit.pipelines.verification import NEEDED, SLICE_BYTES, WHOLE_LOWEST, Verifier, threshold_for
from corpus_audit.schemas.errors import NoVerdictError, TokenizerMismatchError

Encode = Callable[[Tokenization, pa.LargeStringArray], TokenBatch]


def high(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest()[:8], "big")


TEXTS = [f"document number {n}" for n in range(200)]
BY_HASH = sorted(range(len(TEXTS)), key=lambda n: high(TEXTS[n]))


def verify(tokenization: Tokenization, texts: Sequence[str], threshold: int, batches: int = 3) -> Verifier:
    """Feed the texts as a split does and finish."""
    verifier = Verifier(tokenization, threshold, "data/part-7.jsonl")
    bounds = np.linspace(0, len(texts), batches + 1).astype(int).tolist()
    for start, stop in itertools.pairwise(bounds):
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


def test_right_ids_pass(tokenization: Tokenization) -> None:
    for threshold in (0, high(TEXTS[BY_HASH[50]]), 2**64):
        assert verify(tokenization, TEXTS, threshold).documents in (WHOLE_LOWEST, 51, 200)


@pytest.mark.parametrize("place", [0, 1, WHOLE_LOWEST - 1])
def test_a_wrong_id_among_the_lowest_hashes_stops_the_run(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    row = BY_HASH[place]
    corrupt(monkeypatch, {TEXTS[row]}, at=1)
    with pytest.raises(TokenizerMismatchError, match=rf"data/part-7\.jsonl, row {row} of its split"):
        verify(tokenization, TEXTS, threshold=0)


@pytest.mark.parametrize("batches", [1, 5, 200])
def test_a_wrong_id_below_the_threshold_stops_the_run(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    row = BY_HASH[60]
    corrupt(monkeypatch, {TEXTS[row]})
    with pytest.raises(TokenizerMismatchError, match=rf"data/part-7\.jsonl, row {row} of its split") as caught:
        verify(tokenization, TEXTS, high(TEXTS[row]), batches)
    assert isinstance(caught.value, NoVerdictError)
    assert "uninstall gigatoken" in str(caught.value)
    verify(tokenization, TEXTS, high(TEXTS[BY_HASH[59]]), batches)  # the one above is not looked at


def test_a_missing_or_extra_id_stops_the_run(tokenization: Tokenization) -> None:
    text = pa.array(["some words here"], pa.large_string())
    right = tokenization.encode(text)
    for ids in (right.ids[:-1], np.append(right.ids, np.uint32(5)), right.ids[:0]):
        verifier = Verifier(tokenization, 0, "shard")
        batch = TokenBatch(ids, np.array([0, len(ids)], np.int64))
        verifier.add(text, np.array([5], np.uint64), np.array([0]), batch)
        with pytest.raises(TokenizerMismatchError, match="gives"):
            verifier.finish()


def test_an_error_is_raised_while_reading_once_enough_is_collected(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "_BATCH", 10)
    corrupt(monkeypatch, set(TEXTS))
    text = pa.array(TEXTS, pa.large_string())
    verifier = Verifier(tokenization, 2**64, "shard")
    hashes = np.array([high(t) for t in TEXTS], np.uint64)
    with pytest.raises(TokenizerMismatchError):
        verifier.add(text, hashes, np.arange(len(TEXTS)), tokenization.encode(text))


def long_texts(number: int) -> list[str]:
    return [f"{n} длинный \U0001f642 text " * (600 + n) for n in range(number)]


def test_long_documents_below_the_threshold_are_checked_on_a_slice(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    reference = Tokenization.encode_reference

    def spy(self: Tokenization, texts: list[str]) -> TokenBatch:
        seen.extend(texts)
        return reference(self, texts)

    monkeypatch.setattr(Tokenization, "encode_reference", spy)
    texts = long_texts(40)
    assert verify(tokenization, texts, 2**64).documents == 40
    sizes = sorted(len(text.encode()) for text in seen)
    assert len(seen) == 40
    assert sizes[39 - WHOLE_LOWEST] <= SLICE_BYTES + 6
    assert all(any(text in whole for whole in texts) for text in seen)
    whole = {text for text in seen if text in texts}
    assert whole == {texts[n] for n in sorted(range(40), key=lambda n: high(texts[n]))[:WHOLE_LOWEST]}


def test_a_slice_with_a_wrong_id_stops_the_run(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = long_texts(20)
    row = max(range(20), key=lambda n: high(texts[n]))
    right: Encode = Tokenization._encode_fast

    def wrong(self: Tokenization, text: pa.LargeStringArray) -> TokenBatch:
        batch = right(self, text)
        slices = [value for value in text.to_pylist() if value not in texts and value in texts[row]]
        return TokenBatch(batch.ids ^ np.uint32(1), batch.offsets) if slices else batch

    monkeypatch.setattr(Tokenization, "_encode_fast", wrong)
    with pytest.raises(TokenizerMismatchError, match=rf"row {row} of its split, bytes \d+ to \d+"):
        verify(tokenization, texts, 2**64)


def test_a_document_too_long_to_check_whole(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "WHOLE_BYTES", 9000)
    verifier = verify(tokenization, ["é" * 5000, "short"], 0, batches=1)
    assert verifier.documents == 2


@settings(max_examples=30, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 60), max_size=60),
    batches=st.integers(1, 7),
    rank=st.integers(0, 60),
)
def test_counts_do_not_depend_on_batches(
    tokenization: Tokenization, numbers: list[int], batches: int, rank: int
) -> None:
    """Those below the threshold and the 16 lowest, copies of one text included."""
    texts = [TEXTS[n] for n in numbers]
    threshold = high(TEXTS[rank])
    below = sum(high(text) <= threshold for text in texts)
    expected = max(below, min(len(texts), WHOLE_LOWEST))
    assert verify(tokenization, texts, threshold, batches).documents == expected


def test_on_the_reference_path_every_document_counts(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenization, "path", REFERENCE)
    assert verify(tokenization, TEXTS[:30], 0).documents == 30


def test_nothing_to_verify(tokenization: Tokenization) -> None:
    assert verify(tokenization, [], 2**64).documents == 0
    assert verify(tokenization, ["", ""], 2**64).documents == 2


def test_thresholds() -> None:
    assert threshold_for(0) == threshold_for(1) == threshold_for(NEEDED) == 2**64
    for documents in (10**4, 10**6, 10**10):
        assert threshold_for(documents) / 2**64 * documents == pytest.approx(1.15 * NEEDED, rel=1e-6)
