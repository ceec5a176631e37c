"""A brute-force oracle of the integer tables: plain Python and `tokenizers`, nothing of ours but column names.

It follows the published meaning of every column (``schemas/tables/run_tables.py``), not the measures that fill
them, and holds everything in memory. Hashes are ordered as their 16 digest bytes, everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from itertools import count
from pathlib import Path

from tokenizers import Tokenizer

Row = dict[str, object]

WHITE_SPACE = frozenset(
    map(
        chr,
        [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000],
    )
)
"""The 25 code points that have the Unicode property White_Space (PropList.txt)."""

PRINTED_VALUES = 10_000
GROUP_CELLS = 2**29
SAMPLED_DOCUMENTS = 4_000

INTEGER_TABLES = (
    "domains",
    "cluster_groups",
    "lengths",
    "duplicates",
    "document_hashes",
    "document_identities",
    "token_counts",
    "token_groups",
    "token_examples",
    "minhash",
    "samples",
    "outcomes",
    "shared_token_counts",
    "shared_token_groups",
)
"""Tables that are byte-identical for any workers, sharding, row order and engine."""


@dataclass(frozen=True)
class Document:
    """A row of a corpus: what the tests write into shards and what the oracle counts.

    ``facets`` holds the primary facet under ``domain``; a null or empty value counts as ``(none)``. ``extra`` are
    further columns, which only filters look at.
    """

    text: str
    id: str | None = None
    facets: Mapping[str, str | None] = field(default_factory=lambda: {"domain": "all"})
    cluster: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


def reference_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, its truncation and padding switched off."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(path: Path, texts: Sequence[str], characters: int = 1 << 20) -> Iterator[list[int]]:
    """Token ids of every text without special tokens, in order, encoded a few megabytes at a time."""
    tokenizer = reference_tokenizer(path)
    start = 0
    while start < len(texts):
        stop, size = start, 0
        while stop < len(texts) and (stop == start or size < characters):
            size += len(texts[stop])
            stop += 1
        for encoding in tokenizer.encode_batch_fast(list(texts[start:stop]), add_special_tokens=False):
            yield encoding.ids
        start = stop


def digest(value: str) -> bytes:
    """BLAKE2b-128 of the UTF-8 bytes."""
    return blake2b(value.encode(), digest_size=16).digest()


def words(text: str) -> int:
    """Maximal runs of code points that are not White_Space."""
    total = 0
    inside = False
    for character in text:
        if character in WHITE_SPACE:
            inside = False
        elif not inside:
            inside = True
            total += 1
    return total


def _edges() -> list[int]:
    edges = [0]
    while edges[-1] < 2**62:
        edges.append(max(edges[-1] + 1, edges[-1] * 51 // 50))
    return edges


EDGES = _edges()


@cache
def bucket(length: int) -> tuple[int, int]:
    """Smallest and largest length of the bucket that holds ``length``."""
    at = bisect_right(EDGES, length)
    return EDGES[at - 1], EDGES[at] - 1


@dataclass
class _Total:
    documents: int = 0
    bytes: int = 0
    characters: int = 0
    words: int = 0
    tokens: int = 0
    sum_bytes_squared: int = 0
    sum_tokens_squared: int = 0
    clusters: set[object] = field(default_factory=set)

    def row(self, facet: str, value: str) -> Row:
        return {
            "facet": facet,
            "value": value,
            "documents": self.documents,
            "clusters": len(self.clusters),
            "bytes": self.bytes,
            "characters": self.characters,
            "words": self.words,
            "tokens": self.tokens,
            "sum_bytes_squared": self.sum_bytes_squared,
            "sum_tokens_squared": self.sum_tokens_squared,
        }


class Oracle:
    """Counts documents one by one; `tables` gives the rows in the order that the tables state."""

    def __init__(self, tokenizer: Path, clustered: bool = False) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = reference_tokenizer(tokenizer).get_vocab_size(with_added_tokens=True)
        self.clustered = clustered
        self.number = count()
        self.rows: list[Row] = []
        self.per_value: dict[str, dict[str, list[tuple[int, ...]]]] = defaultdict(lambda: defaultdict(list))
        self.cluster_keys: list[object] = []
        self.cluster_groups: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.lengths: Counter[tuple[str, str, tuple[int, int]]] = Counter()
        self.copies: Counter[tuple[bytes, str]] = Counter()
        self.tokens_of: dict[bytes, int] = {}
        self.token_counts: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.token_groups: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        self.lowest_hash: dict[int, bytes] = {}
        self.holders: dict[bytes, set[tuple[str, str | None]]] = defaultdict(set)
        self.identified: Counter[tuple[bytes, str | None, str]] = Counter()

    def count(self, documents: Sequence[Document]) -> Oracle:
        """Encode and count documents; returns itself."""
        ids = encode(self.tokenizer, [document.text for document in documents])
        for document, tokens in zip(documents, ids, strict=True):
            self._add(document, tokens)
        return self

    def _add(self, document: Document, ids: list[int]) -> None:
        raw = document.text.encode()
        content = blake2b(raw, digest_size=16).digest()
        facets = {name: value or "(none)" for name, value in document.facets.items()}
        domain = facets["domain"]
        sizes = (len(raw), len(document.text), words(document.text), len(ids))
        names = ("bytes", "characters", "words", "tokens")
        self.rows.append({"id": document.id, "domain": domain, "hash": content, **dict(zip(names, sizes, strict=True))})
        number = next(self.number)
        group = content[0] & 63
        key: object = number
        if self.clustered:
            key = document.cluster or number
            hashed = digest(document.cluster) if document.cluster else content
            group = hashed[0] & 63
            wide = (hashed[0] | hashed[1] << 8) & 1023
            for facet, value in facets.items():
                cell = self.cluster_groups[facet, value, wide]
                for at, more in enumerate((1, len(raw), len(ids))):
                    cell[at] += more
        self.cluster_keys.append(key)
        for facet, value in facets.items():
            self.per_value[facet][value].append((number, *sizes))

        for unit, length in (("characters", len(document.text)), ("tokens", len(ids))):
            self.lengths[domain, unit, bucket(length)] += 1
        self.copies[content, domain] += 1
        self.tokens_of[content] = len(ids)

        for token, occurrences in Counter(ids).items():
            counts = self.token_counts[domain, token]
            counts[0] += occurrences
            counts[1] += 1
            counts[2] += occurrences * occurrences
            counts[3] += occurrences * len(ids)
            self.token_groups[domain, token][group] += occurrences
            self.lowest_hash[token] = min(content, self.lowest_hash.get(token, content))
        self.holders[content].add((domain, document.id))
        self.identified[content, document.id or None, domain] += 1

    def tables(self) -> dict[str, list[Row]]:
        """Rows of every integer table that follows from documents alone (not outcomes, examples, minhash, samples)."""
        return {
            "domains": list(self._domains()),
            "cluster_groups": [
                {"facet": facet, "value": value, "group": group, "documents": docs, "bytes": size, "tokens": tokens}
                for (facet, value, group), (docs, size, tokens) in sorted(self.cluster_groups.items())
            ],
            "lengths": [
                {"domain": domain, "unit": unit, "low": low, "high": high, "documents": documents}
                for (domain, unit, (low, high)), documents in sorted(self.lengths.items())
            ],
            "duplicates": list(self._duplicates()),
            "document_hashes": [
                {"hash": content, "domain": domain, "documents": documents, "tokens": self.tokens_of[content]}
                for (content, domain), documents in sorted(self.copies.items())
            ],
            "token_counts": [
                {
                    "domain": domain,
                    "token": token,
                    "count": cell[0],
                    "documents": cell[1],
                    "sum_squared": cell[2],
                    "sum_product": cell[3],
                }
                for (domain, token), cell in sorted(self.token_counts.items())
            ],
            "token_groups": list(self._token_groups()),
        }

    def examples(self) -> list[tuple[int, bytes]]:
        """(token, hash) of the token_examples table; `holders` has the documents of that text, any of which may do."""
        return sorted(self.lowest_hash.items())

    def identities(self) -> list[tuple[bytes, int | None, str, int, int, str | None]]:
        """Rows of the document_identities table but for their sketches."""
        rows = []
        for (content, name, domain), documents in self.identified.items():
            identity = None if name is None else int.from_bytes(blake2b(name.encode(), digest_size=16).digest()[:8])
            rows.append((content, identity, domain, documents, self.tokens_of[content], name))
        return sorted(rows, key=lambda row: (row[0], row[1] or 0, row[2].encode()))

    def _total(self, documents: Iterable[tuple[int, ...]]) -> _Total:
        total = _Total()
        for number, size, characters, word_count, tokens in documents:
            total.documents += 1
            total.bytes += size
            total.characters += characters
            total.words += word_count
            total.tokens += tokens
            total.sum_bytes_squared += size * size
            total.sum_tokens_squared += tokens * tokens
            total.clusters.add(self.cluster_keys[number])
        return total

    def _domains(self) -> Iterator[Row]:
        for facet, values in sorted(self.per_value.items()):
            rows = [self._total(documents).row(facet, value) for value, documents in values.items()]
            rows.sort(key=lambda row: (-int(str(row["tokens"])), str(row["value"])))
            yield from rows[:PRINTED_VALUES]
            if len(rows) > PRINTED_VALUES:
                rest = (document for row in rows[PRINTED_VALUES:] for document in values[str(row["value"])])
                yield self._total(rest).row(facet, "(all other values)")

    def _duplicates(self) -> Iterator[Row]:
        homes: dict[bytes, set[str]] = defaultdict(set)
        for content, domain in self.copies:
            homes[content].add(domain)

        def row(name: str, cells: list[tuple[bytes, int]]) -> Row:
            documents = sum(copies for _, copies in cells)
            tokens = sum(copies * self.tokens_of[content] for content, copies in cells)
            texts = {content for content, _ in cells}
            distinct_tokens = sum(self.tokens_of[content] for content in texts)
            across = [(content, copies) for content, copies in cells if len(homes[content]) > 1]
            return {
                "domain": name,
                "documents": documents,
                "distinct": len(texts),
                "duplicate_documents": documents - len(texts),
                "across_documents": sum(copies for _, copies in across),
                "tokens": tokens,
                "distinct_tokens": distinct_tokens,
                "duplicate_tokens": tokens - distinct_tokens,
                "across_tokens": sum(copies * self.tokens_of[content] for content, copies in across),
            }

        by_domain: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
        for (content, domain), copies in self.copies.items():
            by_domain[domain].append((content, copies))
        yield row("(all)", [cell for cells in by_domain.values() for cell in cells])
        for domain, cells in sorted(by_domain.items()):
            yield row(domain, cells)

    def _token_groups(self) -> Iterator[Row]:
        cells = self.token_groups
        domains = {domain for _, domain in self.copies}
        if 64 * len(domains) * self.vocabulary > GROUP_CELLS:
            cells = defaultdict(Counter)
            for (_, token), groups in self.token_groups.items():
                cells["(all)", token].update(groups)
        for (domain, token), groups in sorted(cells.items()):
            yield {
                "domain": domain,
                "token": token,
                "groups": sum(1 << group for group in groups),
                "counts": [groups[group] for group in sorted(groups)],
            }

    def sampled(self) -> list[tuple[str, bytes]]:
        """(domain, hash) of the samples table: the distinct texts of lowest hash in each domain."""
        by_domain: dict[str, list[bytes]] = defaultdict(list)
        for content, domain in self.copies:
            by_domain[domain].append(content)
        return [
            (domain, content)
            for domain, contents in sorted(by_domain.items())
            for content in sorted(contents)[:SAMPLED_DOCUMENTS]
        ]
