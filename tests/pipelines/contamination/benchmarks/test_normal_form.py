"""Normalization Form C in batches, against Python's own, and places led back to the text as it stands."""

from __future__ import annotations

import sys
from unicodedata import is_normalized, normalize

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.contamination.benchmarks.normal_form import (
    canonical_texts,
    canonical_tokens,
    classes,
    original_spans,
)
from corpus_audit.pipelines.kernels.text.normal_forms import may_change
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers

MARKS = st.sampled_from(
    "e\u0301\u0323\u0327 \u00e9o\u031bK\u212a\u1100\u1161\u11a8\uac00\u0344\u0958\U0001d15e\U000e0041a\u2001<\u0338"
)
TEXTS = st.lists(st.text(MARKS | st.characters(exclude_categories=["Cs"]), max_size=30), max_size=6)


def flagged(texts: list[str]) -> list[bool]:
    offsets, data = text_buffers(pa.array(texts, pa.large_string()))
    actual: list[bool] = may_change(data, offsets, classes()).tolist()
    return actual


def test_no_code_point_is_overlooked() -> None:
    """Alone, and behind a letter and a mark of high class: what the check calls unchanged is in Form C."""
    points = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    for texts in (points, ["a\u0345" + point for point in points], ["\u1100" + point for point in points]):
        for text, may in zip(texts, flagged(texts), strict=True):
            assert may or is_normalized("NFC", text), ascii(text)
    assert not any(
        flagged(["", "plain", "Größe, naïve – “quoted”", "日本語 한국어 русский", "\u0e01\u0e48 \u0915\u094d"])
    )


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_texts_are_in_form_c(texts: list[str]) -> None:
    actual, changed = canonical_texts(pa.array(texts, pa.large_string()))
    expected = [normalize("NFC", text) for text in texts]
    assert actual.to_pylist() == expected
    assert changed.tolist() == [i for i, text in enumerate(texts) if text != expected[i]]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_tokens_are_those_of_form_c(tokenization: Tokenization, texts: list[str]) -> None:
    given_texts = pa.array(texts, pa.large_string())
    canonical, changed = canonical_texts(given_texts)
    actual = canonical_tokens(tokenization.encode(given_texts), canonical, changed, tokenization)
    expected = tokenization.encode(canonical)
    np.testing.assert_array_equal(actual.ids, expected.ids)
    np.testing.assert_array_equal(actual.offsets, expected.offsets)


@settings(max_examples=300, deadline=None)
@given(st.text(MARKS, max_size=40), st.data())
def test_places_are_led_back(text: str, data: st.DataObject) -> None:
    """A span between characters that cannot join is that very part of the text."""
    cuts = [
        i
        for i in range(len(text) + 1)
        if normalize("NFC", text[:i]) + normalize("NFC", text[i:]) == normalize("NFC", text)
    ]
    normalised = normalize("NFC", text)
    cuts = [i for i in range(len(text) + 1) if normalize("NFC", text[:i]) + normalize("NFC", text[i:]) == normalised]
    known = classes()
    cuts = [i for i in cuts if i == len(text) or i == 0 or ord(text[i]) >= len(known) or not known[ord(text[i])]]
    first, last = sorted((data.draw(st.sampled_from(cuts)), data.draw(st.sampled_from(cuts))))
    before, part = normalize("NFC", text[:first]).encode(), normalize("NFC", text[first:last]).encode()
    words = text[first:last].split()
    if not words or text[first].isspace() or text[last - 1].isspace():
        return  # spans begin and end in words
    (actual,) = original_spans(text, [(len(before), len(part))])
    assert text.encode()[actual[0] : sum(actual)].decode() == text[first:last]
