"""arrow#48169 and arrow#44224: a digest as id (binary(16), not UTF-8) made a dead letter of every document.

The text was fine; a label's fault never kills it. Right: all documents stay, and bytes that are no text are shown as
hexadecimal digits. Every other type of Arrow is either written exactly as text or refused with its name and the
column's, never with another diagnosis (a facet of 16-bit floats was "cut or corrupt").
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.schemas.spec.audit import DocumentSpec, FilterClause
from tests.pipelines.reading.shard_files import plan, read

DIGESTS = [hashlib.md5(str(i).encode()).digest() for i in range(40)]
EVERYWHERE = ReadSettings(
    DocumentSpec.model_validate(
        {"id": "x", "domain": "x", "facets": {"f": "x", "h": {"url_host": "x"}}, "cluster": "x"}
    )
)


def write(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=17)
    else:
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=17)
    return path


def table_of(labels: pa.Array) -> pa.Table:
    return pa.table({"text": [f"document {i}" for i in range(len(labels))], "x": labels})


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize(
    "type_",
    [pa.binary(16), pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())],
    ids=str,
)
def test_a_digest_is_a_label_in_hexadecimal_digits(tmp_path: Path, suffix: str, type_: pa.DataType) -> None:
    if pa.types.is_dictionary(type_):
        labels = pa.array(DIGESTS, pa.binary()).dictionary_encode()
    else:
        labels = pa.array(DIGESTS, type_)
    if suffix == ".parquet" and type_ == pa.binary_view():
        pytest.skip("Parquet has no views")
    result = read(write(tmp_path / ("a" + suffix), table_of(labels)), EVERYWHERE)
    assert result.dead == {}
    assert result.ids == result.domains == [digest.hex() for digest in DIGESTS]
    assert [key for batch in result.batches for key in batch.cluster.to_pylist()] == result.ids  # type: ignore[union-attr]
    assert {value for batch in result.batches for value in batch.facets["h"].to_pylist()} == {"(none)"}


def test_text_in_binary_columns_stays_text_and_only_the_other_values_change(tmp_path: Path) -> None:
    values = [b"en", b"\xff\x00", None, b"", "ä".encode(), b"de"]
    result = read(write(tmp_path / "a.parquet", table_of(pa.array(values, pa.binary()))), EVERYWHERE)
    assert (result.ids, result.dead) == (["en", "ff00", None, "", "ä", "de"], {})
    assert result.domains == ["en", "ff00", "(none)", "(none)", "ä", "de"]
    fixed = [b"en\0\0", b"\x01abc", b"abcd", b"\xff\xff\xff\xff"]
    result = read(write(tmp_path / "b.parquet", table_of(pa.array(fixed, pa.binary(4)))), EVERYWHERE)
    assert result.ids == ["en\0\0", "01616263", "abcd", "ffffffff"]


def test_a_filter_compares_what_is_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table_of(pa.array([b"\xff", b"en", None], pa.binary())))
    for value, texts in (("ff", ["document 0"]), ("en", ["document 1"])):
        clause = FilterClause(name="one", column="x", op="==", value=value)
        result = read(path, ReadSettings(DocumentSpec(), (clause,)))
        assert (result.texts, result.filtered, result.dead) == (texts, {"one": 2}, {})


UTC = datetime.UTC
WRITTEN: list[tuple[pa.Array, list[str | None]]] = [
    (pa.array([0.5, -2.0, None, 0.25], pa.float16()), ["0.5", "-2", None, "0.25"]),
    (pa.array([0.1, 1.0, None], pa.float32()), ["0.1", "1", None]),
    (pa.array([0.1, 1e300, None], pa.float64()), ["0.1", "1e+300", None]),
    (pa.array([True, None, False]), ["true", None, "false"]),
    (pa.array([2**64 - 1, None], pa.uint64()), ["18446744073709551615", None]),
    (pa.array([-128, None], pa.int8()), ["-128", None]),
    (pa.array([datetime.date(2024, 2, 29), None]), ["2024-02-29", None]),
    (pa.array([datetime.date(2024, 2, 29), None], pa.date64()), ["2024-02-29", None]),
    (pa.array([datetime.time(1, 2, 3), None], pa.time32("s")), ["01:02:03", None]),
    (pa.array([datetime.datetime(2024, 2, 29, 1, 2, 3), None], pa.timestamp("ms")), ["2024-02-29 01:02:03.000", None]),
    (
        pa.array([datetime.datetime(2024, 2, 29, tzinfo=UTC), None], pa.timestamp("s", "UTC")),
        ["2024-02-29 00:00:00Z", None],
    ),
    (pa.array([decimal.Decimal("1.20"), None]), ["1.20", None]),
    (pa.array([decimal.Decimal("1.20"), None], pa.decimal256(50, 2)), ["1.20", None]),
    (pa.nulls(3), [None, None, None]),
    (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    (pa.array([7, None, 7]).dictionary_encode(), ["7", None, "7"]),
    (pa.array(["a", None], pa.string_view()), ["a", None]),
    (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([DIGESTS[0], None], pa.binary(16))),
        [str(uuid.UUID(bytes=DIGESTS[0])), None],
    ),
]

REFUSED: list[pa.Array] = [
    pa.array([["a"]]),
    pa.array([{"a": 1}]),
    pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    pa.array([pa.MonthDayNano([1, 2, 3])]),
    pa.array([0], pa.int64()).cast(pa.timestamp("s", "Nowhere/Land")),
]


@pytest.mark.parametrize(("labels", "shown"), WRITTEN, ids=[str(labels.type) for labels, _ in WRITTEN])
def test_types_that_have_a_text(tmp_path: Path, labels: pa.Array, shown: list[str | None]) -> None:
    result = read(write(tmp_path / "a.arrow", table_of(labels)), EVERYWHERE)
    assert (result.ids, result.dead, len(result.texts)) == (shown, {}, len(labels))
    assert result.domains == [value or "(none)" for value in shown]


@pytest.mark.parametrize("labels", REFUSED, ids=[str(labels.type) for labels in REFUSED])
@pytest.mark.parametrize("place", ["id", "domain", "cluster"])
def test_types_that_have_none_are_refused_by_name(tmp_path: Path, labels: pa.Array, place: str) -> None:
    planned = plan(write(tmp_path / "a.arrow", table_of(labels)))
    spec = ReadSettings(DocumentSpec.model_validate({place: "x"}))
    with pytest.raises(ShardError) as caught:
        list(read_split(planned.shard, planned.splits[0], spec, SplitTally()))
    assert f"its column 'x' has the type {labels.type}, which cannot be used as a label" in str(caught.value)
    assert "corrupt" not in str(caught.value)


def test_json_labels_of_any_type_keep_their_documents(tmp_path: Path) -> None:
    labels: list[Any] = [["a", 1], {"b": {"c": None}, "a": 1}, True, None, 1.5, "x", 7, []]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "t", "x": label}) + "\n" for label in labels))
    result = read(path, EVERYWHERE)
    assert (result.dead, len(result.texts)) == ({}, len(labels))
    assert result.ids == ['["a",1]', '{"a":1,"b":{"c":null}}', "true", None, "1.5", "x", "7", "[]"]


TYPES = st.sampled_from(
    [pa.binary(), pa.binary(16), pa.large_binary(), pa.binary_view(), pa.string(), pa.large_string(), pa.bool_(),
     pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.date32(), pa.timestamp("us"), pa.time64("ns"),
     pa.duration("s"), pa.decimal128(20, 3), pa.null(), pa.uuid()]
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    type_=TYPES,
    data=st.lists(st.one_of(st.none(), st.binary(min_size=16, max_size=16)), min_size=1, max_size=40),
    dictionary=st.booleans(),
)
def test_the_number_of_documents_never_depends_on_a_label(
    tmp_path_factory: pytest.TempPathFactory, type_: pa.DataType, data: list[bytes | None], dictionary: bool
) -> None:
    """Any bytes as values of any type that has a text, good or nonsensical."""
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    labels = _any_bytes(storage, data)
    if isinstance(type_, pa.BaseExtensionType):
        labels = pa.ExtensionArray.from_storage(type_, labels)
    elif dictionary and not pa.types.is_null(type_):
        indices = pa.array([None if value is None else i for i, value in enumerate(data)], pa.int32())
        labels = pa.DictionaryArray.from_arrays(indices, labels)
    path = write(tmp_path_factory.mktemp("labels") / "a.arrow", table_of(labels))
    result = read(path, EVERYWHERE)
    assert (len(result.texts), result.dead) == (len(data), {})
    for batch in result.batches:
        assert batch.ids is not None and batch.cluster is not None
        for column in (batch.ids, batch.cluster, batch.facets["f"].dictionary):
            column.validate(full=True)  # valid UTF-8, whatever came in


def _any_bytes(type_: pa.DataType, data: list[bytes | None]) -> pa.Array:
    types = pa.types
    if types.is_null(type_):
        return pa.nulls(len(data))
    if types.is_string(type_) or types.is_large_string(type_):
        raw = pa.array(data, pa.large_binary() if types.is_large_string(type_) else pa.binary())
        return pa.Array.from_buffers(type_, len(raw), raw.buffers(), raw.null_count)
    if (
        types.is_fixed_size_binary(type_)
        or types.is_binary(type_)
        or types.is_large_binary(type_)
        or type_ == pa.binary_view()
    ):
        return pa.array(data, type_)
    if types.is_boolean(type_):
        return pa.array([None if value is None else bool(value[0] & 1) for value in data])
    width = type_.bit_width // 8
    low, high = -(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1
    if types.is_decimal(type_) or types.is_time(type_):
        low, high = 0, 10**9
    clipped = [
        b"\0" * width
        if value is None
        else min(max(int.from_bytes(value[:width], "little", signed=True), low), high).to_bytes(
            width, "little", signed=True
        )
        for value in data
    ]
    mask = pa.array([value is not None for value in data])
    bits = mask.buffers()[1]
    return pa.Array.from_buffers(type_, len(data), [bits, pa.py_buffer(b"".join(clipped))])
