"""Fields by dotted path, facets from every source, path patterns, and the Arrow types that hold text."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import DocumentSpec
from tests.pipelines.reading.shard_files import plan, read, shard_of

ROWS: list[dict[str, Any]] = [
    {
        "doc": {"text": "one", "meta": {"id": 7}},
        "url": "https://www.a.example/x",
        "year": 2024,
        "ok": True,
        "score": 0.5,
    },
    {"doc": {"text": "two", "meta": None}, "url": "http://b.example:80", "year": None, "ok": False, "score": 1.0},
    {"doc": None, "url": None, "year": 2024, "ok": None, "score": None},
    {"doc": {"text": "three", "meta": {"id": 9}}, "url": "nonsense", "year": 2025, "ok": True, "score": 1e20},
]


def _spec(**fields: Any) -> DocumentSpec:
    return DocumentSpec.model_validate(fields)


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    elif path.suffix == ".arrow":
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=2)
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.jsonl", "a.jsonl.gz"])
def test_every_format_gives_the_same_fields(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path / "data" / "en" / name, ROWS)
    spec = _spec(
        text="doc.text",
        id="doc.meta.id",
        domain={"url_host": "url"},
        facets={
            "language": {"path": "data/{language}/*"},
            "year": "year",
            "ok": {"column": "ok"},
            "score": "score",
            "kind": {"constant": "web"},
        },
        cluster={"url_host": "url"},
    )
    found = read(path, ReadSettings(spec))
    assert found.texts == ["one", "two", "three"]
    assert found.ids == ["7", None, "9"]
    assert found.dead == {"missing_text": 1}
    facets = {
        facet: [value for batch in found.batches for value in batch.facets[facet].to_pylist()]
        for facet in found.batches[0].facets
    }
    assert facets == {
        "domain": ["a.example", "b.example", "(none)"],
        "language": ["en", "en", "en"],
        "year": ["2024", "(none)", "2025"],
        "ok": ["true", "false", "true"],
        "score": ["0.5", "1", "1e+20"],
        "kind": ["web", "web", "web"],
    }
    assert next(iter(facets)) == "domain"
    for batch in found.batches:
        for facet in batch.facets.values():
            assert facet.type == pa.dictionary(pa.int32(), pa.string()) and not facet.null_count
            assert len(set(facet.dictionary.to_pylist())) == len(facet.dictionary)
        assert batch.text.type == pa.large_string() and batch.ids is not None and batch.ids.type == pa.large_string()
        assert batch.cluster is not None and batch.cluster.type == pa.large_string()
        domains = batch.facets["domain"].to_pylist()
        assert batch.cluster.to_pylist() == [None if name == "(none)" else name for name in domains]


def test_a_name_with_a_dot_goes_before_a_path(tmp_path: Path) -> None:
    rows = [{"a.b": "flat", "a": {"b": "nested"}}]
    for name in ("a.parquet", "a.arrow", "a.jsonl"):
        assert read(_write(tmp_path / name, rows), ReadSettings(_spec(text="a.b"))).texts == ["flat"]


def _dictionary(values: list[str | None], index: pa.DataType, value: pa.DataType) -> pa.Array:
    return pa.array(values, value).dictionary_encode().cast(pa.dictionary(index, value))


VALUES = ["first", None, "", "ä€", "first"]
TEXT_ARRAYS = {
    "string": pa.array(VALUES, pa.string()),
    "large_string": pa.array(VALUES, pa.large_string()),
    "string_view": pa.array(VALUES, pa.string_view()),
    "binary": pa.array(VALUES, pa.string()).cast(pa.binary()),
    "dictionary": _dictionary(VALUES, pa.int32(), pa.string()),
    "small dictionary": _dictionary(VALUES, pa.int8(), pa.large_string()),
}


@pytest.mark.parametrize("kind", TEXT_ARRAYS)
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_text_in_any_layout(tmp_path: Path, suffix: str, kind: str) -> None:
    column = TEXT_ARRAYS[kind]
    table = pa.table({"text": column, "domain": column})
    path = tmp_path / ("a" + suffix)
    if suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table)
    found = read(path, ReadSettings(_spec(domain="domain")))
    assert found.texts == ["first", "", "ä€", "first"]
    assert found.domains == ["first", "(none)", "ä€", "first"]
    assert found.dead == {"missing_text": 1}


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_columns_that_are_missing_or_of_another_type(tmp_path: Path, suffix: str) -> None:
    rows = [{"content": "a", "n": 5, "tags": ["x"], "meta": {"source": {"name": "s"}}}]
    path = _write(tmp_path / ("a" + suffix), rows)
    for spec, problem in [
        (_spec(), r"has no column 'text'; it has: content, n, tags, meta\.source\.name"),
        (_spec(text="meta.text"), r"has no column 'meta\.text'"),
        (_spec(text="n"), "'n' has the type int64, not text"),
        (_spec(text="meta"), "'meta' has the type struct"),
        (_spec(text="content", domain="tags"), "'tags' holds list"),
        (_spec(text="content", id="meta.source"), "'meta.source' holds struct"),
        (_spec(text="content", domain={"url_host": "url"}), "no column 'url'"),
    ]:
        planned = plan(path)
        with pytest.raises(ShardError, match=problem) as caught:
            list(read_split(planned.shard, planned.splits[0], ReadSettings(spec), SplitTally()))
        assert pickle.loads(pickle.dumps(caught.value)).problem == caught.value.problem
    empty = tmp_path / ("b" + suffix)
    table = pa.table({"text": pa.nulls(3)})
    if suffix == ".parquet":
        pq.write_table(table, empty)
    else:
        with pa.ipc.new_file(empty, table.schema) as sink:
            sink.write_table(table)
    assert read(empty, ReadSettings(_spec())).dead == {"missing_text": 3}


def test_json_labels_of_any_type_become_text_and_cost_no_document(tmp_path: Path) -> None:
    rows = [{"text": "a", "d": ["x"]}, {"text": "b", "d": {"x": 1}}, {"text": "c", "d": "fine"}, {"text": "d"}]
    found = read(_write(tmp_path / "a.jsonl", rows), ReadSettings(_spec(domain="d")))
    assert (found.texts, found.domains, found.dead) == (
        ["a", "b", "c", "d"],
        ['["x"]', '{"x":1}', "fine", "(none)"],
        {},
    )


def _shard(name: str) -> Shard:
    return Shard(f"/corpora/big/{name}", name, ShardFormat.PARQUET, 1, "")


@pytest.mark.parametrize(
    ("pattern", "name", "value"),
    [
        ("data/{domain}/*.parquet", "data/wiki/00.parquet", "wiki"),
        ("{domain}/*.parquet", "data/wiki/00.parquet", "wiki"),
        ("{domain}-*.parquet", "books-00001-of-00002.parquet", "books"),
        ("big/{x}/**/*.parquet", "wiki/a/b/00.parquet", "wiki"),
        ("big/{x}/**/*.parquet", "wiki/00.parquet", "wiki"),
        ("domain={domain}/part-??.parquet", "domain=a b/part-01.parquet", "a b"),
        ("{language}/{domain}/*", "en/web/x.parquet", "web"),
        ("/corpora/{x}/*.parquet", "x.parquet", "big"),
        ("a.b/{x}.parquet", "a.b/c.d.parquet", "c.d"),
    ],
)
def test_path_patterns(pattern: str, name: str, value: str) -> None:
    assert path_values(_shard(name), _spec(domain={"path": pattern})) == {"domain": value}


def test_path_patterns_that_do_not_fit(tmp_path: Path) -> None:
    spec = _spec(
        domain={"path": "{domain}/a.parquet"}, cluster={"path": "{x}.parquet"}, facets={"one": {"constant": "1"}}
    )
    assert path_values(_shard("d/a.parquet"), spec) == {"domain": "d", "(cluster)": "a"}
    for name in ("a-b.parquet", "axparquet"):
        with pytest.raises(ShardError, match="does not match the pattern"):
            path_values(_shard(name), _spec(domain={"path": "data/{domain}/a.parquet"}))
    for pattern in ("data/*.parquet", "{a}/{b}.parquet", "{domain}/{domain}.parquet"):
        with pytest.raises(UsageError):
            path_values(_shard("data/a.parquet"), _spec(domain={"path": pattern}))
    path = _write(tmp_path / "a.jsonl", [{"text": "a"}])
    planned = plan(path)
    with pytest.raises(ShardError, match="does not match the pattern"):
        list(
            read_split(
                shard_of(path), planned.splits[0], ReadSettings(_spec(domain={"path": "x/{d}/*.gz"})), SplitTally()
            )
        )


NOTHING = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    "type_", [NOTHING, pa.string(), pa.string_view(), pa.large_string(), pa.binary(), pa.null()], ids=str
)
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_columns_without_a_value(tmp_path: Path, suffix: str, type_: pa.DataType) -> None:
    spec = _spec(domain={"url_host": "d"}, id="d", cluster="d")
    for texts, rows in ((["a", "b", "c"], 3), ([], 0)):
        table = pa.table({"text": pa.array(texts, pa.string()), "d": pa.nulls(rows, type_)})
        path = tmp_path / (f"{rows}{type_}" + suffix)
        if suffix == ".parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_stream(path, table.schema) as sink:
                sink.write_table(table)
        found = read(path, ReadSettings(spec))
        assert (found.texts, found.domains, found.ids) == (texts, ["(none)"] * rows, [None] * rows)
        assert read(path, ReadSettings(_spec(text="d"))).dead == ({"missing_text": 3} if rows else {})
