"""Documents kept, added and removed, against counters over multisets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.drift.turnover import turnover
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.tables.drift_tables import TURNOVER
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, DOCUMENT_HASHES, DUPLICATES
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
    table = turnover("x", run_of(place / "a", before), run_of(place / "b", now))
    assert table.schema.equals(TURNOVER)
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
