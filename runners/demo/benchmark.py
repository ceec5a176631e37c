"""The demo's benchmark: items whose answer is known, because passages of the corpus were planted among them.

The kind of an item is the beginning of its id:

``copied``    lines of a document as they stand: the corpus holds them, and every rule has to find them
``edited``    the same with every twelfth word replaced: what a rule says of it depends on its definition
``shuffled``  the words of a passage in another order: the corpus has the words and not the text, no rule may find it
``short``     too short for any rule
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from corpus_audit.runners.demo.sources import Source

COPIED, EDITED, SHUFFLED, SHORT = 60, 20, 60, 10
"""Items of each kind where the corpus has enough passages; else fewer, in the same proportion."""

LEAKS = ("documentation", "stdlib")
"""Domains that the passages are taken from: they are the sources that leak."""

EVERY = 12
"""Every so many words of an edited item are replaced: no 13 words in a row are left, but 11 are."""

_WORDS, _DISTINCT = 50, 30
_LONGEST_ANSWER = 200
_LONGEST_QUESTION = 2_000  # characters, as of benchmarks whose items people write
_RARE = 3
"""A line of eight words or more that more documents hold is boilerplate, and its passage is not used."""

_PATTERN = ("copied",) * 3 + ("edited",) + ("shuffled",) * 3


class BenchmarkItem(TypedDict):
    """A row of the benchmark file; ``source`` is the id of the document that a passage was taken from, or empty."""

    id: str
    question: str
    answer: str
    source: str


def benchmark_items(documents: Sequence[tuple[Source, str]]) -> list[BenchmarkItem]:
    """The items for a corpus, the same every time; without `LEAKS` there are only those that are too short."""
    numbers: Counter[str] = Counter()
    items = []
    for index, (source, question, answer) in enumerate(_passages(documents)):
        kind = _PATTERN[index % len(_PATTERN)]
        numbers[kind] += 1
        if kind == "edited":
            question, answer = _edited(question, 0), _edited(answer, len(_words(question)))
        elif kind == "shuffled":
            question, answer = _shuffled(question, answer, index)
        name = f"{kind}-{numbers[kind]:03d}"
        items.append(BenchmarkItem(id=name, question=question, answer=answer, source=source.name))
    short = [
        BenchmarkItem(id=f"short-{n:03d}", question=f"Item {n}: why", answer="no", source="")
        for n in range(1, SHORT + 1)
    ]
    return sorted(items, key=lambda item: item["id"]) + short


def _passages(documents: Sequence[tuple[Source, str]]) -> list[tuple[Source, str, str]]:
    """One passage a document, of documents with a text of their own, by the hash of their names."""
    wanted = COPIED + EDITED + SHUFFLED
    copies = Counter(text for _, text in documents)
    candidates = [(source, text) for source, text in documents if source.domain in LEAKS and copies[text] == 1]
    candidates.sort(key=lambda document: hashlib.sha256(f"benchmark {document[0].name}".encode()).digest())
    passages = []
    for source, text in candidates:
        passage = _passage(text)
        if passage is not None:
            passages.append((source, *passage))
        if len(passages) == 2 * wanted:
            break
    lines = {line for _, question, answer in passages for line in _long_lines(f"{question}\n{answer}")}
    documents_with = Counter(line for _, text in documents for line in lines & set(_long_lines(text)))
    rare = [
        (source, question, answer)
        for source, question, answer in passages
        if all(documents_with[line] <= _RARE for line in _long_lines(f"{question}\n{answer}"))
    ]
    return rare[:wanted]


def _long_lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line.count(" ") >= 7]


def _passage(text: str) -> tuple[str, str] | None:
    """(lines from the middle of a document, the line behind them), or None where that is no good test."""
    lines = text.split("\n")
    first = next((n for n in range(2 * len(lines) // 5, len(lines)) if lines[n].strip()), len(lines))
    words: list[str] = []
    for last in range(first, min(first + 40, len(lines))):
        words += _words(lines[last])
        if len(words) < _WORDS:
            continue
        question, answer = "\n".join(lines[first:last]), lines[last]
        enough = len(_words(question)) >= _WORDS // 2 and len(_words(answer)) >= 2
        varied = len(set(re.findall(r"[a-z]{2,}", f"{question} {answer}".lower()))) >= _DISTINCT
        fits = len(answer) <= _LONGEST_ANSWER and len(question) <= _LONGEST_QUESTION
        return (question, answer) if enough and varied and fits else None
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"\S*\w\S*", text)


def _edited(text: str, before: int) -> str:
    """Every `EVERY`-th word replaced, counted from the ``before`` words that went ahead; white space as it was."""
    count = before

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return "otherwise" if count % EVERY == 0 else match[0]

    return re.sub(r"\S*\w\S*", replace, text)


def _shuffled(question: str, answer: str, seed: int) -> tuple[str, str]:
    """All words in one new order, as many of them in the question as before."""
    words, first = [*_words(question), *_words(answer)], len(_words(question))
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(words))
    return " ".join(words[n] for n in order[:first]), " ".join(words[n] for n in order[first:])
