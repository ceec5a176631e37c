from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from corpus_audit.runners.demo.benchmark import COPIED, EDITED, EVERY, SHORT, SHUFFLED, BenchmarkItem, benchmark_items
from corpus_audit.runners.demo.sources import Source

GENERATOR = np.random.Generator(np.random.PCG64(3))
LETTERS = np.array(list("abcdefghijklmnopqrst"))


def text(lines: int = 40) -> str:
    """Lines of eight words that occur nowhere else, indented, some of them blank."""
    words = ["".join(GENERATOR.choice(LETTERS, 7)) for _ in range(8 * lines)]
    return "\n".join("    " + " ".join(words[8 * n : 8 * n + 8]) + ("\n" if n % 5 == 0 else "") for n in range(lines))


def named(name: str, content: str, domain: str = "stdlib") -> tuple[Source, str]:
    return Source(name, domain, name, len(content), Path(), content), content


def kinds(items: Sequence[BenchmarkItem]) -> Counter[str]:
    return Counter(item["id"].partition("-")[0] for item in items)


DOCUMENTS = [named(f"doc-{n}", text(), ("stdlib", "documentation")[n % 2]) for n in range(200)]
OTHERS = [named(f"other-{n}", text(), "licences") for n in range(20)]
ITEMS = benchmark_items(DOCUMENTS + OTHERS)
BY_NAME = {source.name: content for source, content in DOCUMENTS}


def test_the_items_are_of_four_kinds_and_have_ids_of_their_own() -> None:
    assert kinds(ITEMS) == {"copied": COPIED, "edited": EDITED, "shuffled": SHUFFLED, "short": SHORT}
    assert len({item["id"] for item in ITEMS}) == len(ITEMS)
    sources = [item["source"] for item in ITEMS if item["source"]]
    assert len(set(sources)) == len(sources) and set(sources) <= set(BY_NAME)


def test_a_copied_item_stands_in_its_document_as_it_is() -> None:
    for item in ITEMS:
        if item["id"].startswith("copied"):
            assert f"{item['question']}\n{item['answer']}" in BY_NAME[item["source"]]


def words_kept(item: BenchmarkItem) -> list[bool]:
    """For each word of the item, whether it is the word of the document at that position of the passage."""
    words = f"{item['question']} {item['answer']}".split()
    document = BY_NAME[item["source"]].split()
    matches = ([a == b for a, b in zip(words, document[n:], strict=False)] for n in range(len(document)))
    return next(match for match in matches if sum(match) > len(words) / 2)


def test_an_edited_item_keeps_eleven_words_in_a_row() -> None:
    for item in ITEMS:
        if item["id"].startswith("edited"):
            kept = words_kept(item)
            assert kept == [n % EVERY != 0 for n in range(1, len(kept) + 1)] and len(kept) >= 50


def test_a_shuffled_item_has_the_words_of_its_document_in_another_order() -> None:
    for item in ITEMS:
        if item["id"].startswith("shuffled"):
            words = f"{item['question']} {item['answer']}".split()
            document = BY_NAME[item["source"]].split()
            assert set(words) <= set(document) and len(words) >= 50
            runs = {tuple(document[n : n + 5]) for n in range(len(document))}
            assert not any(tuple(words[n : n + 5]) in runs for n in range(len(words) - 4))


def test_short_items_have_fewer_than_eight_words() -> None:
    for item in ITEMS:
        if item["id"].startswith("short"):
            assert len(f"{item['question']} {item['answer']}".split()) < 8


def test_the_same_every_time_whatever_the_order() -> None:
    assert benchmark_items((DOCUMENTS + OTHERS)[::-1]) == ITEMS


def test_boilerplate_copies_tables_and_long_lines_are_not_used() -> None:
    same = text(2)
    boilerplate = [named(f"b{n}", "\n".join([text(18), same, text(18)])) for n in range(10)]
    twice = text()
    copies = [named("one", twice), named("two", twice)]
    table = named("table", "\n".join(f"0x{n:04x} 0x{n + 1:04x} {n} {n * 7} {n * 9} 0 0 0" for n in range(400)))
    long = named("long", text(30).replace("\n", " "))
    unused = [*copies, table, long, named("few", "a few words")]
    assert kinds(benchmark_items(unused)) == {"short": SHORT}
    used = {item["source"] for item in benchmark_items([*unused, *boilerplate, *DOCUMENTS])}
    assert not used & {source.name for source, _ in unused + boilerplate}


def test_few_documents_give_few_items_of_each_kind() -> None:
    assert kinds(benchmark_items(DOCUMENTS[:14])) == {"copied": 6, "edited": 2, "shuffled": 6, "short": SHORT}
