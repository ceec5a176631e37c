"""The documents of a baseline, looked up by content and domain; and the counters of shared documents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.measures.overlap.baseline_keys import BaselineKeys, documents_digest
from corpus_audit.pipelines.measures.overlap.document_keys import document_keys, domain_hashes, key_positions
from corpus_audit.pipelines.measures.overlap.shared import Shared, domain_from_path
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.pipelines.storage.count_tables import split_cells
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.schemas.tables import coverage_tables, document_tables
from tests.oracle import Document
from tests.pipelines.making import block_of, spec_of
from tests.run_files import run_record

Held = tuple[bytes, str]


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def run_of(folder: Path, held: Sequence[Held], shards: Sequence[tuple[str, str]] = ()) -> RunDirectory:
    """A run of these (content hash, domain) pairs and (SHA-256, status) shards."""
    rows = [{"hash": hash_, "domain": domain, "documents": 1, "tokens": 1} for hash_, domain in sorted(set(held))]
    path = folder / "tables" / "document_hashes.parquet"
    write_table(
        path, document_tables.DOCUMENT_HASHES, [pa.Table.from_pylist(rows, schema=document_tables.DOCUMENT_HASHES)]
    )
    listed = [
        dict.fromkeys(coverage_tables.SHARDS.names, 0)
        | {"shard": str(i), "sha256": sha256, "status": status, "format": "parquet", "error": None}
        for i, (sha256, status) in enumerate(shards)
    ]
    write_table(
        folder / "tables" / "shards.parquet",
        coverage_tables.SHARDS,
        [pa.Table.from_pylist(listed, schema=coverage_tables.SHARDS)],
    )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return RunDirectory(
        folder, run_record(files={"tables/document_hashes.parquet": {"sha256": sha256, "bytes": path.stat().st_size}})
    )


def halves(hashes: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    both = np.frombuffer(b"".join(hashes), ">u8").reshape(-1, 2).astype(np.uint64)
    return both[:, 0].copy(), both[:, 1].copy()


HASHES = st.sampled_from([digest(str(i)) for i in range(12)])
DOMAINS = ("web", "books", "wiki")
PAIRS = st.lists(st.tuples(HASHES, st.sampled_from(DOMAINS)), max_size=20)


@settings(max_examples=40, deadline=None)
@given(PAIRS, PAIRS)
def test_a_document_is_held_with_its_domain(
    tmp_path_factory: pytest.TempPathFactory, held: list[Held], asked: list[Held]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    keys = BaselineKeys.of(run_of(folder, held), folder / "store")
    high, low = halves([hash_ for hash_, _ in asked])
    domains = np.array([DOMAINS.index(domain) for _, domain in asked], np.int64)
    assert keys.holds(high, low, domains, DOMAINS).tolist() == [pair in held for pair in asked]


KEYS = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(st.sets(KEYS, max_size=12), st.lists(KEYS, max_size=12))
def test_positions_of_keys_that_share_a_half(stored: set[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    in_order = sorted(stored)
    columns = [np.array([key[half] for key in keys], np.uint64) for keys in (wanted, in_order) for half in (0, 1)]
    expected = [in_order.index(key) if key in stored else -1 for key in wanted]
    assert key_positions(*columns).tolist() == expected


def test_keys_do_not_depend_on_the_order_of_names() -> None:
    """A domain's hash is of its name: a place in another list of names gives the same key."""
    high, low = halves([digest("a"), digest("b")])
    one = document_keys(high, low, np.array([0, 1]), ("web", "books"))
    two = document_keys(high, low, np.array([1, 0]), ("books", "web"))
    assert [each.tolist() for each in one] == [each.tolist() for each in two]
    assert len(set(domain_hashes(["web", "books", "", "wéb"]).tolist())) == 4
    expected = int.from_bytes(hashlib.blake2b(b"web", digest_size=8).digest(), "little")
    assert domain_hashes(["web"]).tolist() == [expected]


def test_shards_that_were_counted(tmp_path: Path) -> None:
    shards = [("a", "read"), ("a", "cached"), ("b", "cached"), ("c", "not_sampled"), ("d", "error")]
    run = run_of(tmp_path / "run", [(digest("x"), "web")], shards)
    keys = BaselineKeys.of(run, tmp_path)
    assert keys.shards == {"a": 2, "b": 1}
    assert keys.digest == documents_digest(run)
    written = (keys.folder / "keys.u64").stat().st_mtime_ns
    assert BaselineKeys.of(run, tmp_path) == keys
    assert (keys.folder / "keys.u64").stat().st_mtime_ns == written
    others = [
        run_of(tmp_path / "other", [(digest("x"), "books")], shards),
        run_of(tmp_path / "fewer", [(digest("x"), "web")], shards[1:]),
    ]
    assert len({keys.digest, *map(documents_digest, others)}) == 3


DOCUMENTS = [
    Document("the cat", "1", {"domain": "web", "language": "en"}, "one"),
    Document("the cat", "2", {"domain": "books", "language": "en"}, "two"),
    Document("a dog, a dog", "3", {"domain": "web", "language": "en"}, "one"),
    Document("the cat", "4", {"domain": "web", "language": "en"}, "two"),
]


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    """Of a baseline that has the cat on the web, once."""
    run = run_of(tmp_path / "run", [(digest("the cat"), "web"), (digest("gone"), "web")], [("kept", "read")])
    return Shared(BaselineKeys.of(run, tmp_path))


def test_shared_counts_are_those_of_the_documents_held(shared: Shared, tokenization: Tokenization) -> None:
    """Every copy counts; the same text in another domain does not."""
    numbered = list(enumerate(DOCUMENTS))
    block = block_of(tokenization, numbered)
    found, expected = shared.count(block), Tokens().count(block_of(tokenization, [numbered[0], numbered[3]]))

    def counted(partial: Partial) -> dict[tuple[str, int], list[int]]:
        columns = dict(partial.tables["cells"].columns)
        domain, token = split_cells(columns.pop("cell"))
        keys = [(partial.names[d], t) for d, t in zip(domain.tolist(), token.tolist(), strict=True)]
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        return dict(zip(keys, map(list, values), strict=True))

    assert counted(found) == counted(expected)
    assert {name for name, _ in counted(found)} == {"web"}
    none = shared.count(block_of(tokenization, numbered[1:3]))
    assert [len(table) for table in none.tables.values()] == [0] * len(none.tables)


def test_shards_that_both_hold_are_not_read(shared: Shared, tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    assert [shared.wants(sha256, spec) for sha256 in ("kept", "new")] == [False, True]
    by_path = spec_of(tmp_path, document={"id": "id", "domain": {"path": "([^/]+)/[^/]+$"}})
    assert domain_from_path(by_path) and not domain_from_path(spec)
    assert shared.wants("kept", by_path)
    settings_ = shared.settings(spec)
    assert settings_["baseline"] == shared.keys.digest
    assert settings_.items() >= Tokens().settings(spec).items()
