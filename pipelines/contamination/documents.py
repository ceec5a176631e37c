"""Tables of the documents and domains in which contaminated items occur."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.contamination.evidence import TextEvidence
from corpus_audit.pipelines.contamination.measure import value_of_rank
from corpus_audit.pipelines.kernels.contamination.scan import WORD_GRAM
from corpus_audit.pipelines.kernels.text.hashing import digests
from corpus_audit.pipelines.storage.count_tables import CountTable
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_DOMAINS, CONTAMINATION_MATCHES


def matches_table(evidence: TextEvidence, shown_texts: np.ndarray) -> pa.Table:
    """Table CONTAMINATION_MATCHES: the stored documents of the items whose text is in ``shown_texts``, bool [X].

    Items that no document matches by words get the documents that match them by tokens.
    """
    index = evidence.index
    words = evidence.partial.tables["matches"]
    word_starts = _rows_by_text(words, index.size)
    token_starts = _rows_by_text(evidence.partial.tables["token_matches"], index.size)
    rows: list[int] = []
    items: list[int] = []
    token_rows: list[int] = []
    token_items: list[int] = []
    for item in np.flatnonzero(shown_texts[index.item_texts]):
        text = index.item_texts[item]
        first, stop = word_starts[text], word_starts[text + 1]
        rows.extend(range(int(first), int(stop)))
        items.extend([int(item)] * (stop - first))
        if first == stop:
            first, stop = token_starts[text], token_starts[text + 1]
            token_rows.extend(range(int(first), int(stop)))
            token_items.extend([int(item)] * (stop - first))
    by_words = _match_rows(evidence, words, np.array(rows, np.int64), np.array(items, np.int64), "words")
    by_tokens = _match_rows(
        evidence,
        evidence.partial.tables["token_matches"],
        np.array(token_rows, np.int64),
        np.array(token_items, np.int64),
        "tokens",
    )
    both = pa.concat_tables([by_words, by_tokens])
    order = np.argsort(np.array(items + token_items, np.int64), kind="stable")
    return both.take(pa.array(order))


def _rows_by_text(table: CountTable, texts: int) -> np.ndarray:
    return np.searchsorted(table.columns["text"].astype(np.int64), np.arange(texts + 1))


def _match_rows(evidence: TextEvidence, table: CountTable, rows: np.ndarray, items: np.ndarray, unit: str) -> pa.Table:
    index, columns = evidence.index, table.columns
    indices = pa.array(rows)
    ids = columns["id"].take(indices).cast(pa.string())
    hashes = digests(columns["high"][rows], columns["low"][rows])
    names = pa.array(evidence.partial.names, pa.string())
    nulls = pa.nulls(len(rows), pa.int64())
    if unit == "words":
        covered = pa.array(value_of_rank(columns["rank"])[rows] / evidence.words[index.item_texts[items]])
        documents, longest = pa.array(columns["documents"][rows]), columns["longest"][rows] + WORD_GRAM - 1
        offset, length = pa.array(columns["offset"][rows]), pa.array(columns["length"][rows])
    else:
        covered, offset, length = pa.nulls(len(rows), pa.float64()), nulls, nulls
        documents, longest = nulls, value_of_rank(columns["rank"])[rows]
    arrays = [
        pa.array(index.names, pa.string()).take(pa.array(index.item_benchmarks[items])),
        index.item_ids.take(pa.array(items)).cast(pa.string()),
        pa.array([row.tobytes().hex() for row in hashes], pa.string()),
        pc.if_else(pc.equal(ids, ""), None, ids),
        names.take(pa.array(columns["domain"][rows])),
        documents,
        pa.array([unit] * len(rows), pa.string()),
        pa.array(longest, pa.int64()),
        covered,
        offset,
        length,
    ]
    return pa.Table.from_arrays(arrays, schema=CONTAMINATION_MATCHES)


def domains_table(evidence: TextEvidence, limit: int) -> pa.Table:
    """Table CONTAMINATION_DOMAINS: hits of each benchmark by domain; domains without hits have no row."""
    index, names = evidence.index, evidence.partial.names
    rows = []
    for number, name in enumerate(index.names):
        documents, grams, long_grams, items = _by_domain(evidence, number, limit)
        occurring = np.flatnonzero(documents + grams + long_grams)
        order = sorted(occurring, key=lambda d: (-items[d], -documents[d], names[d].encode()))
        rows += [
            {
                "benchmark": name,
                "domain": names[d],
                "documents": int(documents[d]),
                "grams": int(grams[d]),
                "long_grams": int(long_grams[d]),
                "items": int(items[d]),
            }
            for d in order
        ]
    return pa.Table.from_pylist(rows, CONTAMINATION_DOMAINS)


def _by_domain(evidence: TextEvidence, benchmark: int, limit: int) -> tuple[np.ndarray, ...]:
    """(documents, 8-grams, 13-grams, items), int64 [domains] each: those of a benchmark that occur in each domain.

    An item counts if one of its 13-grams occurs there that at most ``limit`` documents of the corpus contain.
    """
    index, size = evidence.index, len(evidence.partial.names)
    grams, shared = evidence.partial.tables["grams"], evidence.partial.tables["documents"]
    documents = np.zeros(size, np.int64)
    own = shared.columns["benchmark"].astype(np.int64) == benchmark
    documents[shared.columns["domain"][own]] = shared.columns["documents"][own]
    texts = index.item_texts[index.item_benchmarks == benchmark]
    is_own_text = np.zeros(index.size, bool)
    is_own_text[texts] = True
    starts = index.texts.starts
    is_own_word = np.repeat(is_own_text, np.diff(starts))
    counts = [documents]
    items = np.zeros(size, np.int64)
    for numbers, first, stop in (
        (index.texts.grams, *index.gram_starts[:2]),
        (index.long_numbers, *index.gram_starts[1:3]),
    ):
        positions = np.flatnonzero(is_own_word & (numbers >= 0))
        positions = positions[np.argsort(numbers[positions], kind="stable")]
        bounds = np.searchsorted(numbers[positions], np.arange(stop - first + 1))
        gram = grams.columns["gram"].astype(np.int64) - first
        selected = np.flatnonzero((gram >= 0) & (gram < stop - first))
        selected = selected[bounds[gram[selected] + 1] > bounds[gram[selected]]]
        counts.append(np.bincount(grams.columns["domain"][selected], minlength=size))
        if first == 0:
            continue
        selected = selected[evidence.documents[gram[selected] + first] <= limit]
        # A row (13-gram, domain) becomes one for each position of the 13-gram in the benchmark's texts.
        repeats = bounds[gram[selected] + 1] - bounds[gram[selected]]
        ends = np.cumsum(repeats)
        row = np.arange(repeats.sum()) + np.repeat(bounds[gram[selected]] - (ends - repeats), repeats)
        text = np.searchsorted(starts, positions[row], side="right") - 1
        leaked = np.unique(np.repeat(grams.columns["domain"][selected], repeats) << 32 | text)
        items_of_text = np.bincount(texts, minlength=index.size)  # a benchmark may have an item twice
        np.add.at(items, leaked >> 32, items_of_text[leaked & (2**32 - 1)])
    return *counts, items
