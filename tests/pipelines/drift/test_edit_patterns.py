"""Passages that edits have in common: n-grams against plain sets, and handmade edits that must be named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.drift.documents.document_tables import SampledDocuments, read_sample
from corpus_audit.pipelines.drift.documents.matching import match_documents
from corpus_audit.pipelines.drift.documents.turnover import FollowedDocuments
from corpus_audit.pipelines.drift.edit_patterns import EditedTexts, edit_patterns
from corpus_audit.pipelines.drift.texts import Examples
from corpus_audit.pipelines.kernels.drift.ngram_changes import LONGEST, ngrams_not_in
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.tables.document_tables import DOCUMENT_SAMPLE
from corpus_audit.schemas.tables.turnover_tables import EDIT_PATTERNS
from tests.pipelines.drift.document_sides import DOMAINS, Made, hash_of, side
from tests.run_files import run_record

TOKENS = st.lists(st.integers(0, 4), max_size=20)
WORDS = [f" w{n}" for n in range(50_000)]
WORDS[1:5] = ["\n", " Local", " Variables", ":"]
FOOTER = (1, 2, 3, 4, 1, 900, 901, 902, 903, 904, 905, 906, 907, 1)


def flat(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([0, *map(len, texts)])
    bounds = np.stack([ends[:-1], ends[1:]], axis=1).ravel().astype(np.int64)
    return np.array([token for text in texts for token in text], np.uint32), bounds


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=4))
def test_ngrams_are_those_of_plain_sets(pairs: list[tuple[list[int], list[int]]]) -> None:
    one, two = flat([mine for mine, _ in pairs]), flat([theirs for _, theirs in pairs])
    grams, documents, places, sizes = ngrams_not_in(*one, *two)
    found = list(zip(documents.tolist(), places.tolist(), sizes.tolist(), strict=True))
    expected = []
    for number, (mine, theirs) in enumerate(pairs):
        for n in range(1, LONGEST + 1):
            there = {tuple(theirs[i : i + n]) for i in range(len(theirs) - n + 1)}
            expected += [(number, i, n) for i in range(len(mine) - n + 1) if tuple(mine[i : i + n]) not in there]
    assert sorted(found) == sorted(expected)
    texts = [tuple(pairs[number][0][i : i + n]) for number, i, n in found]
    assert len(set(texts)) == len(set(grams.tolist())) == len(set(zip(texts, grams.tolist(), strict=True)))


def sampled(documents: list[Made]) -> tuple[SampledDocuments, list[Made]]:
    table, rows = side(documents)
    ids = np.array([token for made in rows for token in made.tokens], np.uint32)
    starts = np.concatenate([[0], np.cumsum(table.tokens)]).astype(np.int64)
    none = np.zeros(len(DOMAINS), np.int64)
    return SampledDocuments(table, table.identity, starts, ids, none.astype(np.uint64), none), rows


def patterns(before: list[Made], now: list[Made]) -> list[dict[str, object]]:
    samples = sampled(before)[0], sampled(now)[0]
    tables = samples[0].documents, samples[1].documents
    followed = FollowedDocuments(DOMAINS, *tables, match_documents(*tables), None)
    edited = followed.matches.edited
    texts = EditedTexts(samples, (edited.baseline, edited.current), edited.current, tables[1].domain[edited.current])
    examples = Examples(pa.array(WORDS), pa.nulls(len(WORDS), pa.string()), pa.nulls(len(WORDS), pa.string()))
    table = edit_patterns("x", followed, texts, (examples, examples))
    assert table.schema.equals(EDIT_PATTERNS)
    return table.to_pylist()


def body(n: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(n).integers(1000, 50_000, 100 + n).tolist())


def test_a_stripped_footer_is_one_passage() -> None:
    before = [Made(f"id-{n}", (*body(n), *FOOTER), "ab"[n % 2]) for n in range(30)]
    now = [Made(made.id, (*body(n), 7777), made.domain) for n, made in enumerate(before[:28])] + before[28:]
    rows = patterns(before, now)
    whole = [row for row in rows if row["domain"] == "(all)"]
    vanished = [row for row in whole if row["direction"] == "vanished"]
    assert [(row["text"], row["documents"], row["edited"]) for row in vanished] == [
        ("".join(WORDS[token] for token in FOOTER), 28, 28)
    ]
    assert vanished[0]["example"] == "id-0", "the shortest document"
    assert "- Local Variables:" in str(vanished[0]["diff"])
    (came,) = (row for row in whole if row["direction"] == "came")
    assert (came["text"], came["documents"], came["tokens"]) == (" w7777", 28, 1)
    assert {row["domain"] for row in rows} == {"(all)", "a", "b"}
    assert all(row["documents"] == row["edited"] == 14 for row in rows if row["domain"] != "(all)")


def test_what_one_edit_changed_is_no_pattern() -> None:
    before = [Made(f"id-{n}", body(n)) for n in range(10)]
    now = [Made(made.id, (*made.tokens[:50], 100 + n, *made.tokens[51:])) for n, made in enumerate(before)]
    assert patterns(before, now) == []
    assert patterns(before, before) == []


def test_a_sample_is_read_as_it_was_written(tmp_path: Path) -> None:
    documents = [Made(f"id-{n}", body(n), "ab"[n % 2]) for n in range(6)]
    _, rows = side(documents)
    table = pa.Table.from_pylist(
        [
            {
                "domain": made.domain,
                "key": n,
                "hash": hash_of(made.tokens),
                "identity": None if n == 2 else n + 10,
                "documents": 1,
                "tokens": len(made.tokens),
                "token_ids": None if n == 3 else np.array(made.tokens, "<u2").tobytes(),
            }
            for n, made in enumerate(rows)
        ],
        schema=DOCUMENT_SAMPLE,
    )
    write_table(tmp_path / "tables" / "document_sample.parquet", DOCUMENT_SAMPLE, [table])
    sample = read_sample(RunDirectory(tmp_path, run_record()), DOMAINS)
    assert sample is not None
    kept = [made for n, made in enumerate(rows) if n != 3]
    texts = [tuple(sample.ids[a:b].tolist()) for a, b in zip(sample.starts, sample.starts[1:], strict=False)]
    assert texts == [made.tokens for made in kept]
    assert sample.too_long.tolist() == [int(rows[3].domain == name) for name in DOMAINS]
    assert (sample.limits == 2**64 - 1).all(), "all of both domains is there"
    assert sample.documents.identity.tolist() == [10, 11, 0, 14, 15]
    assert sample.rows_of(sample.documents).tolist() == [0, 1, 2, 3, 4]
    other, _ = side([*documents, Made("new", body(50))])
    assert (sample.rows_of(other) == -1).all(), "other identities"
    assert read_sample(RunDirectory(tmp_path / "none", run_record()), DOMAINS) is None
