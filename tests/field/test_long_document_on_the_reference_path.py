"""The reference path needed 100 MB and more for a megabyte of one document: a document of 64 MiB took 9 GB.

Right: a long document is encoded in slices where a cut provably changes no id; elsewhere it is refused by name past a
bound, with the setting that makes it a dead letter. The ids are those of one call over the whole document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from corpus_audit.pipelines.tokens import slices as slicing
from corpus_audit.pipelines.tokens import tokenization as module
from corpus_audit.pipelines.tokens.slices import PATTERNS, may_cut, slices
from corpus_audit.schemas.errors import NoVerdictError
from tests import corpora
from tests.pipelines.tokenizer.made import BYTE_LEVEL, content, ids_of, loaded, reference_ids

WITHIN = {**BYTE_LEVEL, "use_regex": False}


def split(pattern: str, **changes: Any) -> dict[str, Any]:
    first = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False, **changes}
    return {"type": "Sequence", "pretokenizers": [first, WITHIN]}


# Merges across every kind of boundary: a wrong cut would change ids.
MERGES = ["a b", "a Ġ", "aĠ b", "Ġ b", "Ġ a", "b a", "ba Ġ", "Ġ Ġ", "a .", ". Ġ", "1 Ġ", "Ġ 1", "b b", "Ã ©", "Ċ a"]
SAFE: dict[str, dict[str, Any]] = {
    "gpt2": content(MERGES),
    "gpt2, prefix space": content(MERGES, pre_tokenizer={**BYTE_LEVEL, "add_prefix_space": True}),
    **{f"pattern {n}": content(MERGES, pre_tokenizer=split(p)) for n, p in enumerate(sorted(PATTERNS))},
    "NFC, tokens": content(MERGES, [{"content": "ab", "normalized": True}, {"content": "<b"}], {"type": "NFC"}),
    "white space": content(MERGES, pre_tokenizer={"type": "WhitespaceSplit"}),
}
UNSAFE: dict[str, dict[str, Any]] = {
    "no pre-tokenizer": content(MERGES, pre_tokenizer=None),
    "within the whole text": content(MERGES, pre_tokenizer=WITHIN),
    "another pattern": content(MERGES, pre_tokenizer=split(r"\p{L}+ ?|.")),
    "removed": content(MERGES, pre_tokenizer=split(min(PATTERNS), behavior="Removed")),
    "a token with a space": content(MERGES, [{"content": "a b"}]),
    "a token that takes white space": content(MERGES, [{"content": "<b>", "lstrip": True}]),
    "a token of a single word": content(MERGES, [{"content": "b", "single_word": True}]),
    "a prefix": content(MERGES, normalizer={"type": "Prepend", "prepend": "a"}),
}


@pytest.mark.parametrize("made", SAFE.values(), ids=SAFE)
@settings(max_examples=40, deadline=None)
@given(
    text=st.text(st.sampled_from("aabb   .1é\u0301\n\u00a0'sİ<"), max_size=80) | st.text(corpora.PLANES, max_size=30),
    size=st.integers(1, 12),
)
def test_a_cut_changes_no_id(made: dict[str, Any], text: str, size: int) -> None:
    assert may_cut(made)
    parts = list(slices(text, size))
    assert "".join(parts) == text
    tokenizer = Tokenizer.from_str(json.dumps(made))
    whole = tokenizer.encode(text, add_special_tokens=False).ids
    assert [n for part in parts for n in tokenizer.encode(part, add_special_tokens=False).ids] == whole


@pytest.mark.parametrize("made", UNSAFE.values(), ids=UNSAFE)
def test_no_cut_is_made_where_it_might(made: dict[str, Any]) -> None:
    assert not may_cut(made)


def test_wordpiece_with_its_normaliser_may_be_cut(tmp_path: Path) -> None:
    made = json.loads(corpora.wordpiece(tmp_path, vocabulary=300).read_text(encoding="utf-8"))
    assert may_cut(made)
    tokenizer = Tokenizer.from_str(json.dumps(made | {"truncation": None, "padding": None}))
    for _, text in corpora.real_texts(30_000):
        parts = [tokenizer.encode(part, add_special_tokens=False).ids for part in slices(text, 100)]
        assert [n for part in parts for n in part] == tokenizer.encode(text, add_special_tokens=False).ids


def test_a_batch_goes_to_the_reference_in_small_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `tokenizers` holds at once is bounded by what it is handed at once."""
    made = content(MERGES)
    texts = ["ab ab abb " * 50, "", "ba " * 10, "b" * 30, "ab. ba ab " * 40, ""]
    expected = reference_ids(made, texts)
    tokenization = loaded(tmp_path, made, "reference")
    handed: list[int] = []
    right = tokenization._encode_parts
    monkeypatch.setattr(tokenization, "_encode_parts", lambda t: (handed.append(sum(map(len, t))), right(t))[1])
    monkeypatch.setattr(module, "SLICE_CHARACTERS", 100)
    monkeypatch.setattr(module, "slices", lambda text: slicing.slices(text, 100))
    assert ids_of(tokenization, texts) == expected
    assert max(handed) <= 100 and sum(handed) == sum(map(len, texts))


def test_a_document_that_cannot_be_cut_is_refused_past_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_CHARACTERS", 100)
    monkeypatch.setattr(module, "MAX_SLICE_CHARACTERS", 1000)
    tokenization = loaded(tmp_path, UNSAFE["no pre-tokenizer"], "reference")
    assert len(ids_of(tokenization, ["ab " * 300])[0])
    with pytest.raises(
        NoVerdictError, match=r"content hash [0-9a-f]{32} has 1,200 characters .*document_bytes to 1000"
    ):
        ids_of(tokenization, ["short", "ab " * 400])
