"""Texts on which the fast tokenizer must give the reference's ids before it counts a single document.

They are made from the tokenizer's own parts, because there the two implementations differ: an added token that is a
single word, that strips white space, that overlaps another or is matched after normalisation (tokenizers#917, #918); a
pattern, a normaliser, a vocabulary. Fixed sentences alone admitted a tokenizer that lost 16 tokens of 596,122.

The number of probes is bounded, whatever the vocabulary: the reference needs a few hundred milliseconds for them.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, islice
from typing import Any

SENTENCES = (
    "",
    " ",
    "Hello, world! It's 2024; don't panic.",
    "def f(x):\n\treturn x  # comment\n\n\n",
    "na\u00efve caf\u00e9 \u4f60\u597d \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \U0001f642\U0001f469\u200d\U0001f680",
    "a\u00a0b\u2003c\u3000d\r\n e\x00f\x1fg",
    "1234567890 3.14159 0xDEADBEEF   \t  trailing   ",
    " leading", "  two", "\n", "\n\n  \n x", "\t\t", "\r\n\r\n", "a\r\nb\rc",
    "I'M you'Re they'LL we'd 'S's'T can\u2019t",
    "HTTPServer camelCase snake_case kebab-case x1y22z333 \u00b2\u00bd\u0663",
    "a\u0323\u0307 e\u0301 \u212b \u1100\u1161 \ufb01 \u0130 \u00df \u03c2", "...!!!???###$$$///\n//\n",
    "\u2581\u2581a\u2581 b\u2581",
    "x" * 300, "ab" * 150, " " * 70 + "y", "9" * 40, "\u4e2d" * 40,
)  # fmt: skip
"""Plain texts: white space, contractions, digits, punctuation, scripts, lengths past any vector register."""

SIDES = ("", "a", "B", "7", " ", "  ", "\n", "\t", " \n", ".", "_", "-", "'", "\u00e9", "\u4e2d", "\u00a0", "\u0301")
"""Neighbours of an added token in probes: letters, digits, white space, punctuation, a combining mark, or nothing."""

REPRESENTATIVES = 24
"""Most added tokens that are tried between all `SIDES` and beside each other: one of each kind first."""

PAIRS = 3000
"""Most pairs of overlapping tokens."""

TEXT_CHARACTERS = 200_000
"""Most characters of added tokens, and again of the vocabulary, that are tried; of more, every n-th text is."""

_JOINED = 32  # texts of one probe: few enough that a difference still says where to look


def probes(content: Mapping[str, Any]) -> list[str]:
    """The probes of a tokenizer.json, without repetitions, in a fixed order."""
    tokens = [token for token in content.get("added_tokens") or () if token["content"]]
    normalises = content.get("normalizer") is not None
    texts: dict[str, None] = dict.fromkeys(SENTENCES)
    texts |= dict.fromkeys(_beside(tokens))
    texts |= dict.fromkeys(_overlaps(tokens))
    if normalises:
        texts |= dict.fromkeys(_composed(tokens))
    texts |= dict.fromkeys(_vocabulary(content["model"].get("vocab")))
    texts |= dict.fromkeys(_characters())
    return list(texts)


# Added tokens


def _beside(tokens: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every token beside letters, digits, white space and itself."""
    for token in representatives(tokens):
        text = token["content"]
        for left in SIDES:
            for right in SIDES:
                yield left + text + right
            yield f"{left}{text}{text}{left}"
            yield f"{text}{left}{text} {text}"
    for part in _thinned([token["content"] for token in tokens], TEXT_CHARACTERS // 4):
        yield "".join(f"a{text}b {text} 7{text}." for text in part)
        yield "".join(part)


def representatives(tokens: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """At most `REPRESENTATIVES` tokens, the first of each kind (flags, kinds of its characters), then the others."""
    first: dict[object, Mapping[str, Any]] = {}
    for token in tokens:
        text = token["content"]
        flags = tuple(bool(token.get(name)) for name in ("single_word", "lstrip", "rstrip", "normalized", "special"))
        kinds = _kind(text[0]), _kind(text[-1]), any(map(str.isspace, text[1:-1]))
        first.setdefault((flags, kinds), token)
    selected = list(first.values())[:REPRESENTATIVES]
    known = {token["content"] for token in selected}
    others = (token for token in tokens if token["content"] not in known)
    return [*selected, *islice(others, REPRESENTATIVES - len(selected))]


def _kind(character: str) -> str:
    return "space" if character.isspace() else unicodedata.category(character)[0]


def _overlaps(tokens: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tokens directly beside each other, with white space between, and overlapping in characters that both share."""
    texts = [token["content"] for token in representatives(tokens)]
    for first in texts:
        for second in texts:
            yield f"{first}{second}"
            yield f"x{first} {second}y{first}\n{second}"
    beginnings: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for token in tokens:
        text = token["content"]
        for stop in range(1, len(text)):
            if len(beginnings[text[:stop]]) < 8:
                beginnings[text[:stop]].append(token)
    shared = (
        f"{first['content']}{second['content'][len(first['content']) - start :]}"
        for first in tokens
        for start in range(1, len(first["content"]))
        for second in beginnings.get(first["content"][start:], ())
    )
    for text in islice(shared, PAIRS):
        yield text
        yield f"a{text}b"


def _composed(tokens: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tokens whose first or last character may change in normalisation, and their normal forms."""
    after, before = _compositions()
    lasts = {(token["content"][-1], bool(token.get("normalized"))): token["content"] for token in tokens}
    firsts = {(token["content"][0], bool(token.get("normalized"))): token["content"] for token in tokens}
    for (last, _), text in islice(lasts.items(), 200):
        for mark in after.get(last, ())[:40]:
            yield f"a{text}{mark}b"
    for (first, _), text in islice(firsts.items(), 200):
        for base in before.get(first, ())[:40]:
            yield f" {base}{text}"
    for token in tokens[:2000]:
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            other = unicodedata.normalize(form, token["content"])
            if other != token["content"]:
                yield f"a{other}b {other}"
        for other in (token["content"].upper(), token["content"].lower(), token["content"].strip()):
            if other != token["content"]:
                yield f"a{other}b {other}"


@cache
def _compositions() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Canonical compositions: first character -> the second ones, and second -> first ones."""
    after: defaultdict[str, list[str]] = defaultdict(list)
    before: defaultdict[str, list[str]] = defaultdict(list)
    for number in range(0xC0, 0x1E000):
        parts = unicodedata.decomposition(chr(number)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (chr(int(part, 16)) for part in parts)
            after[first].append(second)
            before[second].append(first)
    return dict(after), dict(before)


# The vocabulary and the characters


def _vocabulary(vocabulary: object) -> Iterator[str]:
    """The model's own pieces as text, where merges happen, one after another."""
    if not isinstance(vocabulary, Mapping):
        return
    for part in _thinned([text for text in map(_text, vocabulary) if text], TEXT_CHARACTERS):
        yield "".join(part)
        yield "\n".join(part[::2])


def _text(piece: str) -> str:
    """The text of a vocabulary piece: decoded if it is byte-level BPE; "" if it is a part of a character."""
    try:
        return piece.translate(_alphabet_bytes()).encode("latin-1").decode()
    except UnicodeEncodeError:
        return piece.replace("\u2581", " ")
    except UnicodeDecodeError:
        return ""


@cache
def byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for every byte (Radford et al. 2019, ``bytes_to_unicode``)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


@cache
def _alphabet_bytes() -> dict[int, int]:
    """For `str.translate`: the byte of each character of `byte_alphabet`, no Latin-1 for others below 256.

    It takes half the time of a look-up a character, of which a vocabulary has hundreds of thousands.
    """
    alphabet = byte_alphabet()
    return dict.fromkeys(range(0x100), 0xFFFF) | {ord(character): byte for character, byte in alphabet.items()}


@cache
def _characters() -> tuple[str, ...]:
    """Characters at both ends of every run of one general category, beside letters, digits and white space.

    A pattern knows categories, so that two Unicode tables which differ do so at the end of a run; characters that
    decompose stand for normalisers.
    """
    numbers = (*range(0x323B0), *range(0xDFF00, 0xE0200), *range(sys.maxunicode - 2, sys.maxunicode + 1))
    ends: dict[str, None] = {}
    for category, run in groupby(map(chr, numbers), unicodedata.category):
        if category != "Cs":
            first, *others = run
            ends |= dict.fromkeys((first, others[-1] if others else first))
    parts = list(_thinned(list(ends), TEXT_CHARACTERS // 4))
    return tuple("".join(f"a{c}b {c}1{c}" for c in part) for part in parts)


def _thinned(texts: Sequence[str], characters: int) -> Iterator[list[str]]:
    """Groups of at most `_JOINED` texts; of more than ``characters`` in all, every n-th text alone."""
    total = sum(map(len, texts))
    step = max(1, -(-total // characters))
    yield from _groups(texts[::step])


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while group := list(islice(iterator, _JOINED)):
        yield group
