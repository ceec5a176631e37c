"""Turnover of runs of an earlier version, by content alone, against counters over multisets; and that of followed
documents against the sums of what they are made of.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.drift.documents import document_changes as changes_module
from corpus_audit.pipelines.drift.documents.document_changes import document_changes
from corpus_audit.pipelines.drift.documents.matching import match_documents
from corpus_audit.pipelines.drift.documents.turnover import (
    EARLIER_RUN,
    FollowedDocuments,
    edit_sizes,
    follow_documents,
    not_shared,
    turnover,
)
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.tables.document_tables import DOCUMENT_HASHES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, DUPLICATES
from corpus_audit.schemas.tables.turnover_tables import DOCUMENT_CHANGES, EDIT_SIZES, TURNOVER
from tests.pipelines.drift.document_sides import DOMAINS, Made, side
from tests.pipelines.drift.document_sides import text as made_text
from tests.pipelines.drift.documents.test_matching import DOCUMENTS
from tests.run_files import run_record

Held = dict[tuple[int, str], int]
"""(text, domain) -> copies."""

SNAPSHOTS = st.dictionaries(
    st.tuples(st.integers(0, 12), st.sampled_from(["a", "b", "ü"])), st.integers(1, 3), max_size=20
)


def tokens_of(text: int) -> int:
    return 10 + text


def hash_of(text: int) -> bytes:
    # Equal first halves, so that both halves have to be looked at.
    return (text // 3).to_bytes(8, "big") + text.to_bytes(8, "big")


def run_of(folder: Path, held: Held) -> RunDirectory:
    names = sorted({domain for _, domain in held}, key=str.encode)
    rows = sorted(held.items(), key=lambda item: (hash_of(item[0][0]), item[0][1].encode()))
    table = pa.table(
        {
            "hash": pa.array([hash_of(text) for (text, _), _ in rows], pa.binary(16)),
            "domain": pa.DictionaryArray.from_arrays(
                pa.array([names.index(domain) for (_, domain), _ in rows], pa.int32()), pa.array(names, pa.string())
            ),
            "documents": pa.array([copies for _, copies in rows], pa.int64()),
            "tokens": pa.array([tokens_of(text) for (text, _), _ in rows], pa.int64()),
        },
        schema=DOCUMENT_HASHES,
    )
    write_table(folder / "tables" / "document_hashes.parquet", DOCUMENT_HASHES, [table])
    domains = [{"domain": name} | dict.fromkeys(DUPLICATES.names[1:], 0) for name in [ALL_DOMAINS, *names]]
    write_table(
        folder / "tables" / "duplicates.parquet", DUPLICATES, [pa.Table.from_pylist(domains, schema=DUPLICATES)]
    )
    return RunDirectory(folder, run_record())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("turnover")


@settings(max_examples=40, deadline=None)
@given(before=SNAPSHOTS, now=SNAPSHOTS)
def test_multisets(place: Path, before: Held, now: Held) -> None:
    followed = follow_documents(run_of(place / "a", before), run_of(place / "b", now))
    changes, unlisted = document_changes("x", followed)
    table = turnover("x", followed, unlisted)
    assert table.schema.equals(TURNOVER) and changes.schema.equals(DOCUMENT_CHANGES)
    assert set(changes["kind"].to_pylist()) <= {"kept", "removed", "added"} and not unlisted.any()
    assert set(table["reason"].to_pylist()) == {EARLIER_RUN} and not len(edit_sizes("x", followed))
    unknown = ("edited", "renamed", "replaced", "edited_tokens_baseline", "edited_tokens_current", "renamed_tokens")
    assert all(table[name].null_count == len(table) for name in unknown)
    rows = {row["domain"]: row for row in table.to_pylist()}
    one, two = Counter(before), Counter(now)
    kept, added, removed = one & two, two - one, one - two
    for domain in {domain for _, domain in before.keys() | now.keys()}:
        row = rows[domain]
        for name, counter in (("kept", kept), ("added", added), ("removed", removed)):
            own = {text: copies for (text, place_), copies in counter.items() if place_ == domain}
            assert row[name] == sum(own.values()), name
            assert row[f"{name}_tokens"] == sum(copies * tokens_of(text) for text, copies in own.items()), name
        squared = sum(copies * tokens_of(text) ** 2 for (text, place_), copies in kept.items() if place_ == domain)
        assert row["kept_squared"] == squared
        assert 0 <= row["moved_in"] <= row["added"] and 0 <= row["moved_out"] <= row["removed"]
    texts = [Counter[int](), Counter[int]()]
    for counter, held in zip(texts, (before, now), strict=True):
        for (text, _), copies in held.items():
            counter[text] += copies
    overall = rows[ALL_DOMAINS]
    assert overall["kept"] == (texts[0] & texts[1]).total()
    assert overall["added"] == (texts[1] - texts[0]).total()
    assert overall["removed"] == (texts[0] - texts[1]).total()
    moved = overall["kept"] - kept.total()
    assert sum(row["moved_in"] for name, row in rows.items() if name != ALL_DOMAINS) == moved
    assert sum(row["moved_out"] for name, row in rows.items() if name != ALL_DOMAINS) == moved


@settings(max_examples=60, deadline=None)
@given(before=DOCUMENTS, now=DOCUMENTS)
def test_kinds_add_up(before: list[Made], now: list[Made]) -> None:
    """Documents and tokens of either side are the kinds', in every domain and in all; so are the rows one by one."""
    sides = [side(documents)[0] for documents in (before, now)]
    followed = FollowedDocuments(DOMAINS, sides[0], sides[1], match_documents(*sides), None)
    changes, unlisted = document_changes("x", followed)
    table = turnover("x", followed, unlisted)
    assert table.schema.equals(TURNOVER) and changes.schema.equals(DOCUMENT_CHANGES)
    assert edit_sizes("x", followed).schema.equals(EDIT_SIZES)
    rows = [{name: value or 0 for name, value in row.items()} for row in table.to_pylist()]
    for row, domains in zip(rows, ("ab", "a", "b"), strict=True):
        one, two = ([made for made in documents if made.domain in domains] for documents in (before, now))
        assert row["kept"] + row["edited"] + row["removed"] == len(one)
        assert row["kept"] + row["edited"] + row["added"] == len(two)
        tokens = [sum(len(made.tokens) for made in part) for part in (one, two)]
        assert row["kept_tokens"] + row["edited_tokens_baseline"] + row["removed_tokens"] == tokens[0]
        assert row["kept_tokens"] + row["edited_tokens_current"] + row["added_tokens"] == tokens[1]
        assert row["renamed"] <= row["kept"] + row["edited"]
        assert row["replaced"] <= min(row["removed"], row["added"])
        assert row["moved_in"] <= row["added"] and row["moved_out"] <= row["removed"]
    assert [side_.tolist() for side_ in not_shared(table)] == [
        [row["removed"] + row["edited"] for row in rows],
        [row["added"] + row["edited"] for row in rows],
    ]
    kinds: Counter[str] = Counter()
    for change in changes.to_pylist():
        kinds[change["kind"]] += change["documents"]
        kinds["renamed"] += change["documents"] * change["renamed"]
        kinds["moved"] += change["documents"] * change["moved"]
    overall, parts = rows[0], rows[1:]
    assert kinds["edited"] == overall["edited"] and kinds["renamed"] == overall["renamed"]
    assert kinds["removed"] + kinds["replaced"] == overall["removed"]
    assert kinds["added"] + kinds["replaced"] == overall["added"]
    assert kinds["replaced"] == overall["replaced"]
    assert kinds["moved"] == sum(row["moved_in"] for row in parts) == sum(row["moved_out"] for row in parts)


def test_what_is_left_out_of_the_list_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [Made(f"id-{n}", made_text(n, 10 + n), "ab"[n % 2]) for n in range(8)]
    sides = [side(documents)[0] for documents in (before, [])]
    followed = FollowedDocuments(DOMAINS, sides[0], sides[1], match_documents(*sides), None)
    monkeypatch.setattr(changes_module, "LISTED", 3)
    changes, unlisted = document_changes("x", followed)
    assert changes["id_baseline"].to_pylist() == ["id-7", "id-6", "id-5"], "the largest"
    assert unlisted.tolist() == [5, 3, 2]
    assert turnover("x", followed, unlisted)["unlisted"].to_pylist() == [5, 3, 2]


def test_sizes_of_edits() -> None:
    before = [Made(f"id-{n}", made_text(n, 100)) for n in range(10)]
    now = [Made(made.id, (*made.tokens, *made_text(50 + n, n))) for n, made in enumerate(before)]
    sides = [side(documents)[0] for documents in (before, now)]
    followed = FollowedDocuments(DOMAINS, sides[0], sides[1], match_documents(*sides), None)
    rows = {(row["domain"], row["figure"]): row for row in edit_sizes("x", followed).to_pylist()}
    change = rows["(all)", "tokens_change"]
    assert [change[name] for name in ("p05", "p25", "p50", "p75", "p95")] == [1, 3, 5, 7, 9]
    assert (change["mean"], change["documents"]) == (5.0, 9), "the first document is kept"
    assert rows["a", "tokens_change"] == change | {"domain": "a"}
    assert {domain for domain, _ in rows} == {"(all)", "a"}
    assert rows["(all)", "similarity"]["p50"] > 0.8
