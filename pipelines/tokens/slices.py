"""Splits a long document at positions where no token id can change.

`tokenizers` needs about 140 MB for a megabyte of one document, so that a document of 64 MiB would take 9 GB. A cut is
made before a space between two ASCII letters, and only if the pre-tokenizer provably has a boundary there:

* GPT-2's pattern, and those of cl100k, Qwen2 and o200k, have no alternative that matches a letter and then a space;
  the rest is matched from the space on without looking back. `Whitespace`, `WhitespaceSplit` and
  `BertPreTokenizer` drop white space. Models see one pre-token at a time.
* ``add_prefix_space`` adds nothing before a space.
* The normalisers below never combine a letter with what follows a space.
* No added token contains or strips white space, or depends on its neighbours: none can match across the cut.

For any other tokenizer a document is encoded in one piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SLICE_CHARACTERS = 2**20
"""Approximate characters of a slice, and of a group of texts that the reference encodes in one call."""

_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = frozenset({_CL100K, _CL100K.replace(r"\p{N}{1,3}", r"\p{N}"), _O200K})
"""Split patterns for which the cut is proven, as written in a tokenizer.json."""

_NORMALIZERS = frozenset({"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "BertNormalizer"})
_DROP_WHITE_SPACE = frozenset({"Whitespace", "WhitespaceSplit", "BertPreTokenizer"})
_CUT = re.compile("[A-Za-z](?= [A-Za-z])")
_NEAR = 2**14  # characters before a slice's end that are searched first: the search from its start is slow


def may_cut(content: Mapping[str, Any]) -> bool:
    """Whether documents may be split for the tokenizer with this tokenizer.json."""
    normalizer = content.get("normalizer") or {}
    parts = normalizer["normalizers"] if normalizer.get("type") == "Sequence" else [normalizer] if normalizer else []
    if any(part.get("type") not in _NORMALIZERS for part in parts):
        return False
    for token in content.get("added_tokens") or ():
        text = token["content"]
        if any(token.get(flag) for flag in ("single_word", "lstrip", "rstrip")) or any(map(str.isspace, text)):
            return False
        if normalizer and not text.isascii():
            return False
    return _has_boundary(content.get("pre_tokenizer") or {})


def _has_boundary(pre_tokenizer: Mapping[str, Any]) -> bool:
    kind = pre_tokenizer.get("type")
    if kind == "ByteLevel":
        return pre_tokenizer.get("use_regex", True) is True
    if kind == "Sequence":
        first, *others = pre_tokenizer["pretokenizers"] or [{}]
        return (
            first.get("type") == "Split"
            and (first.get("pattern") or {}).get("Regex") in PATTERNS
            and (first.get("behavior"), first.get("invert")) == ("Isolated", False)
            and [(other.get("type"), other.get("use_regex")) for other in others] == [("ByteLevel", False)]
            and others[0].get("add_prefix_space") is False
        )
    return kind in _DROP_WHITE_SPACE


def slices(text: str, size: int = SLICE_CHARACTERS) -> Iterator[str]:
    """The text in consecutive slices of at most ``size`` characters, longer if there is no position to cut at.

    Only tests use another size than the default.
    """
    start = 0
    while len(text) - start > size:
        cut = _last_cut(text, max(start, start + size - _NEAR), start + size) or _last_cut(text, start, start + size)
        if not cut:
            later = _CUT.search(text, start + size - 1)
            if later is None:
                break
            cut = later.end()
        yield text[start:cut]
        start = cut
    yield text[start:]


def _last_cut(text: str, start: int, stop: int) -> int:
    cut = 0
    for match in _CUT.finditer(text, start, min(len(text), stop + 1)):
        cut = match.end()
    return cut
