"""Every measure by hand on a few documents, and the folds that go with them against brute force."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.measures import (
    domains,
    duplicates,
    lengths,
    records,
    tokens,
)
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.measures.split_totals import SplitTotals
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import CountTable
from corpus_audit.pipelines.storage.partials import merge_partials
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from tests import oracle
from tests.oracle import Document
from tests.pipelines.making import block_of, digest, hashes, rows

DOCUMENTS = [
    Document("the cat", "1", {"domain": "web", "language": "en"}, "one"),
    Document("the cat", "2", {"domain": "books", "language": "en"}, "two"),
    Document("der Hund   är", "3", {"domain": "web", "language": None}, "one"),
    Document("", "4", {"domain": "web", "language": "de"}, "two"),
    Document("the cat", "5", {"domain": "web", "language": "en"}, "two"),
]


@pytest.fixture(scope="module")
def block(tokenization: Tokenization) -> Block:
    return block_of(tokenization, list(enumerate(DOCUMENTS)))


@pytest.fixture(scope="module")
def sizes(tokenization: Tokenization) -> list[int]:
    """Tokens of every document, by the reference."""
    encoded = tokenization.encode_reference([document.text for document in DOCUMENTS])
    return np.diff(encoded.offsets).tolist()  # type: ignore[no-any-return]


def test_domains(block: Block, sizes: list[int]) -> None:
    partial = domains.Domains().count(block)
    got = {
        (facet, value): rest
        for facet, value, *rest in rows(
            partial, "values", "facet", "value", "documents", "bytes", "characters", "words", "tokens"
        )
    }
    n = sizes
    assert got == {
        (0, b"web"): [4, 7 + 14 + 0 + 7, 7 + 13 + 7, 2 + 3 + 2, n[0] + n[2] + n[4]],
        (0, b"books"): [1, 7, 7, 2, n[1]],
        (1, b"en"): [3, 21, 21, 6, 3 * n[0]],
        (1, b"(none)"): [1, 14, 13, 3, n[2]],
        (1, b"de"): [1, 0, 0, 0, 0],
    }
    squares = {
        (f, v): (b + (bh << 32), t + (th << 32))
        for f, v, b, bh, t, th in rows(
            partial,
            "values",
            "facet",
            "value",
            "bytes_squared",
            "bytes_squared_high",
            "tokens_squared",
            "tokens_squared_high",
        )
    }
    assert squares[0, b"web"] == (49 + 196 + 49, n[0] ** 2 + n[2] ** 2 + n[4] ** 2)
    values = {digest(v.decode()): v for _, v in rows(partial, "values", "facet", "value")}
    group = {name: int.from_bytes(digest(name)[:2], "little") % 1024 for name in ("one", "two")}
    totals = {
        (values[key], g): rest
        for key, (g, facet, *rest) in zip(
            hashes(partial, "groups"), rows(partial, "groups", "group", "facet", "documents", "bytes"), strict=True
        )
        if facet == 0
    }
    assert totals == {
        (b"web", group["one"]): [2, 21],
        (b"web", group["two"]): [2, 7],
        (b"books", group["two"]): [1, 7],
    }
    assert len(partial.tables["clusters"]) == 3 + 4
    assert hashes(partial, "values") == sorted(hashes(partial, "values"))


def test_without_a_cluster_field_there_are_no_groups(tokenization: Tokenization) -> None:
    partial = domains.Domains().count(block_of(tokenization, list(enumerate(DOCUMENTS)), clustered=False))
    assert len(partial.tables["values"]) == 5
    assert len(partial.tables["groups"]) == len(partial.tables["clusters"]) == 0


def test_lengths(block: Block, sizes: list[int]) -> None:
    partial = lengths.Lengths().count(block)
    domain, number = count_tables.split_cells(partial.tables["histogram"].columns["cell"])
    unit, bucket = lengths.split_number(number)
    got = {
        (partial.names[d], lengths.UNITS[u], oracle.EDGES[b]): n
        for d, u, b, n in zip(domain, unit, bucket, partial.tables["histogram"].columns["documents"], strict=True)
    }
    expected: Counter[tuple[str, str, int]] = Counter()
    for document, size in zip(DOCUMENTS, sizes, strict=True):
        home = document.facets["domain"] or ""
        expected[home, "characters", oracle.bucket(len(document.text))[0]] += 1
        expected[home, "tokens", oracle.bucket(size)[0]] += 1
    assert got == expected


def test_duplicates(block: Block, sizes: list[int]) -> None:
    partial = duplicates.Duplicates().count(block)
    assert partial.names == ("books", "web")
    got = list(zip(hashes(partial, "hashes"), rows(partial, "hashes", "domain", "documents", "tokens"), strict=True))
    cat, hund, nothing = map(digest, ("the cat", "der Hund   är", ""))
    assert got == sorted(
        [(cat, (0, 1, sizes[0])), (cat, (1, 2, sizes[0])), (hund, (1, 1, sizes[2])), (nothing, (1, 1, 0))]
    )


COPIES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=40)


def texts_table(copies: Sequence[tuple[int, int]]) -> CountTable:
    """Rows of texts in domains; texts 0 to 3 share the first half of their hash."""
    table = CountTable(
        duplicates.HASHES,
        {
            "high": np.array([max(text, 3) for text, _ in copies], np.uint64),
            "low": np.array([text for text, _ in copies], np.uint64),
            "domain": np.array([domain for _, domain in copies], np.int64),
            "documents": np.ones(len(copies), np.int64),
            "tokens": np.array([10**text for text, _ in copies], np.int64),
        },
    )
    return merging.merge([table])


@settings(max_examples=150, deadline=None)
@given(copies=COPIES, cuts=st.lists(st.integers(0, 40), max_size=3))
def test_duplicate_totals_equal_brute_force(copies: list[tuple[int, int]], cuts: list[int]) -> None:
    table = texts_table(copies)
    high = table.columns["high"]
    # Chunks end where the first half of the hash changes, as the profile cuts them.
    bounds = {0, len(table)} | {int(np.searchsorted(high, high[cut])) for cut in cuts if cut < len(table)}
    totals = duplicates.DuplicateTotals(4)
    for start, stop in pairwise(sorted(bounds)):
        totals.add(table.slice(start, stop))
    totals.add(count_tables.empty(duplicates.HASHES))
    homes = defaultdict(set)
    for text, domain in copies:
        homes[text].add(domain)
    for domain in range(4):
        here = [text for text, home in copies if home == domain]
        across = [text for text in here if len(homes[text]) > 1]
        assert [
            totals.documents[domain],
            totals.distinct[domain],
            totals.across_documents[domain],
            totals.tokens[domain],
            totals.distinct_tokens[domain],
            totals.across_tokens[domain],
        ] == [
            len(here),
            len(set(here)),
            len(across),
            sum(10**text for text in here),
            sum(10**text for text in set(here)),
            sum(10**text for text in across),
        ]
    assert totals.overall_distinct == len(homes)
    assert totals.overall_distinct_tokens == sum(10**text for text in homes)


def test_tokens(block: Block, tokenization: Tokenization) -> None:
    partial = tokens.Tokens().count(block)
    encoded = tokenization.encode_reference([document.text for document in DOCUMENTS])
    ids = [encoded.ids[a:b].tolist() for a, b in pairwise(encoded.offsets.tolist())]
    expected: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    groups: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
    for document, own in zip(DOCUMENTS, ids, strict=True):
        home = document.facets["domain"] or ""
        for token, y in Counter(own).items():
            for at, more in enumerate((y, 1, y * y, y * len(own))):
                expected[home, token][at] += more
            groups[home, token][digest(document.cluster or "")[0] % 64] += y
    cells = partial.tables["cells"].columns
    domain, token = count_tables.split_cells(cells["cell"])
    got = {
        (partial.names[d], t): [n, df, s + (sh << 32), p + (ph << 32)]
        for d, t, n, df, s, sh, p, ph in zip(
            domain.tolist(), token.tolist(), *(cells[name].tolist() for name in list(cells)[1:]), strict=True
        )
    }
    assert got == expected
    by_domain = partial.tables["domain_groups"]
    assert by_domain.columns["groups"].tolist() == [sum(1 << g for g in groups[key]) for key in got]
    assert by_domain.counts is not None
    assert by_domain.counts.tolist() == [groups[key][g] for key in got for g in sorted(groups[key])]
    assert len(partial.tables["overall_groups"]) == 0
    holders = {
        t: [d for d, own in zip(DOCUMENTS, ids, strict=True) if t in own] for t in {t for own in ids for t in own}
    }
    examples = dict(zip(partial.tables["examples"].columns["token"].tolist(), hashes(partial, "examples"), strict=True))
    assert examples == {t: min(digest(d.text) for d in documents) for t, documents in holders.items()}
    names = [partial.names[d] for d in partial.tables["examples"].columns["domain"]]
    ids_of = partial.tables["examples"].columns["id"].to_pylist()
    chosen = {(d.facets["domain"], (d.id or "").encode()) for d in DOCUMENTS}
    assert set(zip(names, ids_of, strict=True)) <= chosen


def test_the_example_among_copies_does_not_depend_on_their_order(tokenization: Tokenization) -> None:
    copies = [Document("the same text", str(n), {"domain": f"d{n % 3}"}) for n in range(12)]
    found = set()
    for turn in range(12):
        turned = copies[turn:] + copies[:turn]
        counted = tokens.Tokens().count(block_of(tokenization, list(enumerate(turned)), clustered=False))
        halves = [
            tokens.Tokens().count(block_of(tokenization, list(enumerate(half)), clustered=False))
            for half in (turned[:5], turned[5:])
        ]
        for partial in (counted, tokens.Tokens().merge(halves)):
            ids = partial.tables["examples"].columns["id"].to_pylist()
            places = [partial.names[d] for d in partial.tables["examples"].columns["domain"]]
            found.update(zip(places, ids, strict=True))
    assert len(found) == 1


def test_groups_go_overall_when_the_union_of_domains_is_too_large(
    tokenization: Tokenization, block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    size = tokenization.file.vocabulary
    other = block_of(
        tokenization, [(0, Document("the cat and the dog", "9", {"domain": "news", "language": "en"}, "x"))]
    )
    measure = tokens.Tokens()
    by_domain = measure.merge([measure.count(block), measure.count(other)])
    assert len(by_domain.tables["overall_groups"]) == 0
    expected = tokens.overall(by_domain.tables["domain_groups"])
    for cells in (64 * size * 2, 64 * size, 64 * size - 1):
        monkeypatch.setattr(tokens, "GROUP_CELLS", cells)
        merged = measure.merge([measure.count(other), measure.count(block)])
        assert len(merged.tables["domain_groups"]) == 0
        for column in ("token", "groups"):
            got = merged.tables["overall_groups"].columns[column]
            assert got.tolist() == expected.columns[column].tolist()
        assert merged.tables["overall_groups"].counts is not None
        assert expected.counts is not None
        assert merged.tables["overall_groups"].counts.tolist() == expected.counts.tolist()
        assert merged.tables["cells"].columns["count"].tolist() == by_domain.tables["cells"].columns["count"].tolist()
    assert tokens.too_many_domains(1, size)
    monkeypatch.setattr(tokens, "GROUP_CELLS", 64 * size * 3)
    assert not tokens.too_many_domains(3, size)


def test_records(tokenization: Tokenization, sizes: list[int]) -> None:
    numbered = [(3 * n, document) for n, document in enumerate(DOCUMENTS)]
    partial = records.Records().count(block_of(tokenization, numbered, split=2))
    got = rows(partial, "records", "cell", "id", "domain", "bytes", "characters", "words", "tokens")
    assert got == [
        (
            (2 << 40) + row,
            (document.id or "").encode(),
            partial.names.index(document.facets["domain"] or ""),
            len(document.text.encode()),
            len(document.text),
            oracle.words(document.text),
            size,
        )
        for (row, document), size in zip(numbered, sizes, strict=True)
    ]
    assert hashes(partial, "records") == [digest(document.text) for document in DOCUMENTS]


def test_split_totals(tokenization: Tokenization, sizes: list[int]) -> None:
    blocks = [
        block_of(tokenization, list(enumerate(part)), split=split)
        for split, part in ((0, DOCUMENTS[:2]), (1, DOCUMENTS[2:]), (0, DOCUMENTS[:1]))
    ]
    partial = merge_partials([SplitTotals().count(block) for block in blocks])
    got = {
        (split, facet, content): (documents, size, n)
        for content, (split, facet, documents, size, n) in zip(
            hashes(partial, "totals"),
            rows(partial, "totals", "split", "facet", "documents", "bytes", "tokens"),
            strict=True,
        )
    }
    assert got == {
        (99, 0, digest("web")): (2, 14, 2 * sizes[0]),
        (99, 0, digest("books")): (1, 7, sizes[1]),
        (99, 1, digest("en")): (3, 21, 3 * sizes[0]),
        (100, 0, digest("web")): (3, 21, sizes[2] + sizes[4]),
        (100, 1, digest("(none)")): (1, 14, sizes[2]),
        (100, 1, digest("de")): (1, 0, 0),
        (100, 1, digest("en")): (1, 7, sizes[4]),
    }
