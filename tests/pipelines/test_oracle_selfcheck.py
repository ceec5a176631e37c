"""The oracle itself: by hand on four documents, and by the identities that its tables must satisfy."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer, models, pre_tokenizers

from corpus_audit.schemas.tables.run_tables import TABLES
from tests import corpora
from tests.oracle import (
    EDGES,
    INTEGER_TABLES,
    WHITE_SPACE,
    Document,
    Oracle,
    bucket,
    digest,
    encode,
    reference_tokenizer,
    words,
)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose words are a, b and c, everything else [UNK]."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "c": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9, pad_token="[UNK]")
    path = tmp_path_factory.mktemp("letters") / "letters.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"), vocabulary=600)


def test_four_documents_by_hand(letters: Path) -> None:
    documents = [
        Document("a b a", "1", {"domain": "x"}, "one"),
        Document("a b a", "2", {"domain": "y"}, "one"),
        Document("c é", "3", {"domain": "x"}, "two"),
        Document("", "4", {"domain": None}, "two"),
    ]
    oracle = Oracle(letters, clustered=True).count(documents)
    tables = oracle.tables()
    assert [tuple(row.values()) for row in tables["domains"]] == [
        # facet, value, documents, clusters, bytes, characters, words, tokens, bytes^2, tokens^2
        ("domain", "x", 2, 2, 9, 8, 5, 5, 41, 13),
        ("domain", "y", 1, 1, 5, 5, 3, 3, 25, 9),
        ("domain", "(none)", 1, 1, 0, 0, 0, 0, 0, 0),
    ]
    assert [tuple(row.values()) for row in tables["duplicates"]] == [
        # domain, documents, distinct, duplicates, across, tokens, distinct, duplicates, across
        ("(all)", 4, 3, 1, 2, 8, 5, 3, 6),
        ("(none)", 1, 1, 0, 0, 0, 0, 0, 0),
        ("x", 2, 2, 0, 1, 5, 5, 0, 3),
        ("y", 1, 1, 0, 1, 3, 3, 0, 3),
    ]
    assert [tuple(row.values()) for row in tables["token_counts"]] == [
        ("x", 0, 1, 1, 1, 2),
        ("x", 1, 2, 1, 4, 6),
        ("x", 2, 1, 1, 1, 3),
        ("x", 3, 1, 1, 1, 2),
        ("y", 1, 2, 1, 4, 6),
        ("y", 2, 1, 1, 1, 3),
    ]
    same = blake2b(b"a b a", digest_size=16).digest()
    assert (1, same) in oracle.examples()
    assert oracle.holders[same] == {("x", "1"), ("y", "2")}
    one = blake2b(b"one", digest_size=16).digest()
    assert {row["group"] for row in tables["cluster_groups"] if row["value"] == "y"} == {
        int.from_bytes(one[:2], "little") % 1024
    }
    assert {row["groups"] for row in tables["token_groups"] if row["domain"] == "y"} == {1 << one[0] % 64}


def test_white_space_is_the_unicode_property() -> None:
    python = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert python - set("\x1c\x1d\x1e\x1f") == WHITE_SPACE  # Python adds the four information separators
    assert len(WHITE_SPACE) == 25
    assert words("a\x1cb\u200bc \u3000d\u0085") == 2


def test_buckets_cover_every_length_within_one_percent() -> None:
    assert EDGES[:4] == [0, 1, 2, 3]
    assert EDGES[EDGES.index(100) :][:3] == [100, 102, 104]
    for length in [0, 1, 49, 50, 51, 101, 10**6, 2**40]:
        low, high = bucket(length)
        assert low <= length <= high
        assert high - low <= length * 0.02


def test_encoding_is_that_of_one_text_at_a_time(bpe: Path) -> None:
    texts = [document.text for document in corpora.real_documents(0.3)] + ["", "a<|endoftext|>b", "\U0010ffff\u0300"]
    tokenizer = reference_tokenizer(bpe)
    expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert list(encode(bpe, texts, characters=10_000)) == expected


def test_truncation_and_padding_are_switched_off(tmp_path: Path) -> None:
    path = corpora.wordpiece(tmp_path)
    assert len(Tokenizer.from_file(str(path)).encode("word " * 500).ids) == 128
    whole, none, one = (len(ids) for ids in encode(path, ["word " * 500, "", "word"]))
    assert none == 0 and whole == 500 * one  # how many tokens a word has depends on what the vocabulary was made from
    assert len(next(encode(path, ["word " * 500]))) >= 500


@settings(max_examples=25, deadline=None)
@given(corpora.documents())
def test_tables_agree_with_each_other(bpe: Path, documents: list[Document]) -> None:
    oracle = Oracle(bpe, clustered=True).count(documents)
    tables: dict[str, list[dict[str, Any]]] = oracle.tables()  # type: ignore[assignment]
    tokens = {row["value"]: row for row in tables["domains"] if row["facet"] == "domain"}
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in tables["token_counts"]:
        sums[row["domain"]].update({"tokens": row["count"], "squares": row["sum_product"]})
        assert row["count"] <= row["sum_squared"] <= row["sum_product"]
    for domain, row in tokens.items():
        assert sums[domain]["tokens"] == row["tokens"]
        assert sums[domain]["squares"] == row["sum_tokens_squared"]  # the sum over tokens of y * n is n^2
    assert sum(row["documents"] for row in tables["lengths"]) == 2 * len(documents)
    assert sum(row["documents"] for row in tables["document_hashes"]) == len(documents)
    assert sum(sum(row["counts"]) for row in tables["token_groups"]) == sum(
        row["count"] for row in tables["token_counts"]
    )
    groups = [row for row in tables["cluster_groups"] if row["facet"] == "language"]
    assert sum(row["documents"] for row in groups) == len(documents)
    hashes = {digest(document.text) for document in documents}
    assert {content for _, content in oracle.examples()} <= hashes
    duplicates = {row["domain"]: row for row in tables["duplicates"]}
    assert duplicates["(all)"]["distinct"] == len(hashes)


@settings(max_examples=10, deadline=None)
@given(corpora.documents())
def test_order_does_not_matter(bpe: Path, documents: list[Document]) -> None:
    forwards = Oracle(bpe, clustered=True).count(documents)
    backwards = Oracle(bpe, clustered=True).count(documents[::-1])
    assert forwards.tables() == backwards.tables()
    assert (forwards.sampled(), forwards.examples()) == (backwards.sampled(), backwards.examples())


def test_rows_have_the_columns_of_the_published_tables(bpe: Path) -> None:
    tables = Oracle(bpe, clustered=True).count(corpora.odd_documents(40)).tables()
    assert set(INTEGER_TABLES) - set(tables) == {
        "document_identities",
        "minhash",
        "samples",
        "outcomes",
        "token_examples",
        "shared_token_counts",
        "shared_token_groups",
    }
    for name, rows in tables.items():
        assert rows
        assert list(rows[0]) == TABLES[name].names
        assert pa.Table.from_pylist(rows, TABLES[name]).num_rows == len(rows)


@pytest.mark.parametrize("fmt", corpora.FORMATS)
@pytest.mark.parametrize("shards", [1, 3])
def test_shards_hold_the_documents(tmp_path: Path, fmt: str, shards: int) -> None:
    documents = corpora.odd_documents(30)
    paths = corpora.write_shards(tmp_path, corpora.deal(documents, shards), fmt)
    rows: list[dict[str, Any]] = []
    for path in paths:
        if fmt == "parquet":
            rows += pq.read_table(path).to_pylist()
        elif fmt == "arrow":
            rows += pa.ipc.open_file(path).read_all().to_pylist()
        else:
            with pa.input_stream(str(path), compression={"gz": "gzip", "zst": "zstd"}.get(fmt[6:])) as stream:
                rows += [json.loads(line) for line in stream.read().splitlines()]
    assert [(row["text"], row["domain"], row["depth"]) for row in rows] == [
        (document.text, document.facets["domain"], document.extra["depth"]) for document in documents
    ]
