"""The merged profile as tables, against the oracle, without an engine."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.counting import facet_listing, profile
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.measures import tokens
from corpus_audit.pipelines.storage import partials
from corpus_audit.pipelines.tokens.tokenization import TokenizerFile
from corpus_audit.schemas.tables import run_tables
from tests import corpora, oracle
from tests.oracle import Document, Oracle
from tests.pipelines.making import count_all, job_of, merged, spec_of

FIELDS: dict[str, Any] = {"id": "id", "domain": "domain", "facets": {"language": "language"}, "cluster": "cluster"}
_numbers = count()
TEXTS = pa.array([f"<{token}>" for token in range(1000)])
"""What tokens decode to, as far as these tests care."""


def texts_of(ids):
    return TEXTS.take(pa.array(ids))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


def profile_of(
    folder: Path, tokenizer: TokenizerFile, documents: Sequence[Document], shards: int, fields: dict[str, Any]
) -> Profile:
    work = folder / str(next(_numbers))
    parts = [part for part in corpora.deal(documents, shards) if part]
    corpora.write_shards(work / "data", parts, "parquet", row_group_rows=7)
    job = job_of(spec_of(work / "data", document=fields), tokenizer, work)
    return merged(job, count_all(job), work / "merged")


def rows_of(pieces: pa.Table | Iterable[pa.Table]) -> list[dict[str, Any]]:
    rows = []
    for table in [pieces] if isinstance(pieces, pa.Table) else pieces:
        for row in table.to_pylist():
            rows.append({k: int(v) if isinstance(v, Decimal) else v for k, v in row.items()})
    return rows


def published(profile_: Profile) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    domains, groups = profile_.domains()
    assert domains.schema.equals(run_tables.DOMAINS, check_metadata=True)
    yield "domains", rows_of(domains)
    yield "cluster_groups", [] if groups is None else rows_of(groups)
    for name in ("lengths", "duplicates", "document_hashes", "token_counts", "token_groups"):
        yield name, rows_of(getattr(profile_, name)())


# An example is many files: a failing one is reported as it was found.
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    documents=corpora.documents(),
    shards=st.integers(1, 4),
    clustered=st.booleans(),
    chunk_rows=st.sampled_from([3, 16_384]),
    by_domain=st.booleans(),
)
def test_every_integer_table_equals_the_oracle(
    folder: Path,
    bpe_file: TokenizerFile,
    documents: list[Document],
    shards: int,
    clustered: bool,
    chunk_rows: int,
    by_domain: bool,
) -> None:
    fields = FIELDS if clustered else {k: v for k, v in FIELDS.items() if k != "cluster"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partials, "CHUNK_ROWS", chunk_rows)
        if not by_domain:
            patch.setattr(tokens, "GROUP_CELLS", 64 * 600)
            patch.setattr(oracle, "GROUP_CELLS", 64 * 600)
        counted = Oracle(bpe_file.path, clustered).count(documents)
        profile_ = profile_of(folder, bpe_file, documents, shards, fields)
        expected = counted.tables()
        for name, rows in published(profile_):
            assert rows == expected[name], name
        assert [(row["token"], row["hash"]) for row in rows_of(profile_.token_examples(texts_of))] == counted.examples()
        for row in rows_of(profile_.token_examples(texts_of)):
            assert (row["domain"], row["id"]) in counted.holders[row["hash"]]
        assert [(row["domain"], row["hash"]) for row in rows_of(profile_.samples())] == counted.sampled()
        domains = {row["domain"] for row in expected["lengths"]}
        assert profile_.groups_by_domain == (by_domain or len(domains) <= 1 or not expected["token_counts"])
        assert profile_.split_totals() is None


def test_values_beyond_the_listed_ones_are_one_exact_row(
    folder: Path, bpe_file: TokenizerFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters of the remainder are counted once, though several of its values share them."""
    monkeypatch.setattr(facet_listing, "TOP_VALUES", 5)
    monkeypatch.setattr(oracle, "PRINTED_VALUES", 5)
    documents = [
        Document("word " * (n % 13), str(n), {"domain": f"d{n % 4}", "language": f"l{n % 29}"}, f"c{n % 6}")
        for n in range(300)
    ]
    for clustered in (True, False):
        fields = FIELDS if clustered else {k: v for k, v in FIELDS.items() if k != "cluster"}
        domains, groups = profile_of(folder, bpe_file, documents, 3, fields).domains()
        rows = rows_of(domains)
        assert rows == Oracle(bpe_file.path, clustered).count(documents).tables()["domains"]
        assert [row["value"] for row in rows if row["facet"] == "language"][-1] == run_tables.OTHER_VALUES
        if groups is not None:
            of_language = [row for row in rows_of(groups) if row["facet"] == "language"]
            assert sum(row["documents"] for row in of_language) == 300
            assert {row["value"] for row in of_language} == {r["value"] for r in rows if r["facet"] == "language"}


def test_split_totals_of_a_sampled_audit(folder: Path, bpe_file: TokenizerFile) -> None:
    work = folder / "sampled"
    documents = [Document(f"text {n}", str(n), {"domain": f"d{n % 2}", "language": "d0"}, "c") for n in range(20)]
    corpora.write_shards(work / "data", corpora.deal(documents, 4), "jsonl")
    job = job_of(spec_of(work / "data", document=FIELDS, sample={"share": 1.0}), bpe_file, work)
    profile_ = merged(job, count_all(job), work / "merged")
    table = profile_.split_totals()
    assert table is not None
    rows = rows_of(table)
    assert {(row["facet"], row["value"]) for row in rows} == {("domain", "d0"), ("domain", "d1"), ("language", "d0")}
    assert {row["split"] for row in rows} == {0, 1, 2, 3}
    for split in range(4):
        here = [row for row in rows if row["split"] == split]
        assert sum(row["documents"] for row in here if row["facet"] == "domain") == 5
        assert [row["documents"] for row in here if row["facet"] == "language"] == [5]
    assert len(rows) == 12


def test_signatures_and_optional_fields(folder: Path, bpe_file: TokenizerFile) -> None:
    documents = [Document(f"{n * n:x} " * 40, None if n % 2 else str(n), {"domain": "a"}, "c") for n in range(400)]
    work = folder / "signed"
    corpora.write_shards(work / "data", corpora.deal(documents, 2), "parquet")
    for excerpts in (True, False):
        fields = {k: v for k, v in FIELDS.items() if k != "facets"}
        job = job_of(spec_of(work / "data", document=fields, excerpts=excerpts), bpe_file, work)
        profile_ = merged(job, count_all(job), work / f"merged-{excerpts}")
        signed = rows_of(profile_.minhash())
        known = {oracle.digest(document.text) for document in documents}
        assert signed
        assert {row["hash"] for row in signed} <= known
        assert all(len(row["signature"]) == 512 for row in signed)
        texts = {row["hash"]: row["excerpt"] for row in rows_of(profile_.samples())}
        excerpts_of = {oracle.digest(d.text): d.text[:160] if excerpts else None for d in documents}
        assert texts == excerpts_of
        assert None in {row["id"] for row in rows_of(profile_.token_examples(texts_of))} or all(
            row["id"] for row in rows_of(profile_.token_examples(texts_of))
        )


def test_pieces_are_cut_between_hashes() -> None:
    """All rows of one hash come in one piece, though it straddles three chunks."""
    from corpus_audit.pipelines.measures.duplicates import HASHES
    from corpus_audit.pipelines.storage.count_tables import CountTable

    high = np.array([1, 2, 2, 2, 2, 2, 3, 4], np.uint64)
    columns = {name: np.arange(8) for name in ("domain", "documents", "tokens")}
    table = CountTable(HASHES, {"high": high, "low": high, **columns})
    for step in range(1, 9):
        chunks = iter([table.slice(at, min(at + step, 8)) for at in range(0, 8, step)])
        cut = [piece.columns["high"].tolist() for piece in profile._cut_between_keys(chunks)]
        assert functools.reduce(operator.iadd, cut, []) == high.tolist()
        assert all(first[-1] != second[0] for first, second in pairwise(cut))
    assert list(profile._cut_between_keys(iter([]))) == []
