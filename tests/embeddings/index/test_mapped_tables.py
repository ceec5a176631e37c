"""Rows by key against the tables as they were written, whatever the batches."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.index.mapped_tables import DocumentLocation, DocumentTable, WindowTable
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables.activation_tables import DOCUMENTS, WINDOWS

KEYS = st.builds(lambda head, tail: head.ljust(16 - len(tail), b"\0") + tail, *[st.binary(max_size=2)] * 2)
"""Of 16 bytes, many with zeros at the end."""


def write(path, table, rows):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


@settings(max_examples=80, deadline=None)
@given(st.lists(KEYS, max_size=30), st.lists(KEYS, max_size=10), st.integers(1, 8), st.randoms(use_true_random=False))
def test_places_are_all_rows_of_a_document(tmp_path_factory, keys, others, rows, random):
    keys.sort()
    values = [
        (key, random.choice("st"), random.choice(["a.jsonl", "b"]), i, 3 * i, random.choice("dé"), random.choice("x1"))
        for i, key in enumerate(keys)
    ]
    values = [(*value[:6], None) if value[3] % 5 == 0 else value for value in values]
    columns = [pa.array([value[i] for value in values], pa.string()).dictionary_encode() for i in (1, 2, 5)]
    snapshot, shard, domain = columns
    table = pa.table(
        {
            "document": pa.array(keys, pa.binary(16)),
            "snapshot": snapshot,
            "shard": shard,
            "row": pa.array([value[3] for value in values], pa.int64()),
            "split": pa.array([value[4] for value in values], pa.int32()),
            "domain": domain,
            "id": pa.array([value[6] for value in values], pa.string()),
        },
        schema=DOCUMENTS,
    )
    documents = DocumentTable(write(tmp_path_factory.mktemp("tables") / "documents.arrow", table, rows))
    for key in {*keys, *others}:
        expected = [
            DocumentLocation(s, shard, split, row, d, id) for k, s, shard, row, split, d, id in values if k == key
        ]
        assert documents.locations(key) == tuple(expected)


@settings(max_examples=80, deadline=None)
@given(st.sets(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 2**64 - 1), st.integers(1, 8))
def test_windows_are_found_by_their_names(tmp_path_factory, names, other, rows):
    stored = [
        {
            "window": name,
            "id": name.to_bytes(16, "big"),
            "document": name.to_bytes(16, "little"),
            "number": name % 1000,
            "text": f"é {name}",
            "text_start": name % 2**40,
            "tokens": [1] * (name % 4),
            "starts": list(range(name % 4)),
            "ends": list(range(1, name % 4 + 1)),
            "counted": [True] * (name % 4),
        }
        for name in sorted(names)
    ]
    table = pa.Table.from_pylist(stored, schema=WINDOWS)
    windows = WindowTable(write(tmp_path_factory.mktemp("tables") / "windows.arrow", table, rows))
    for row in stored:
        result = windows.find(row["window"])
        assert result is not None
        assert {"starts": result.starts.tolist(), "ends": result.ends.tolist()} == {
            n: row[n] for n in ("starts", "ends")
        }
        assert [getattr(result, name) for name in ("document", "number", "text", "text_start")] == [
            row[name] for name in ("document", "number", "text", "text_start")
        ]
    for name in {other, 0, 2**64 - 1} - names:
        assert windows.find(name) is None


def test_a_file_that_is_no_table_is_told(tmp_path):
    (tmp_path / "windows.arrow").write_bytes(b"no table")
    with pytest.raises(StoreError, match="is damaged"):
        WindowTable(tmp_path / "windows.arrow")
