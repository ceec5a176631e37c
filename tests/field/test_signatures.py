"""python-zstandard#157 (zstd --long=31), datasets#6851 (a pointer or page under a data file's name) and their like.

A file of another kind under a shard's name was "cut or corrupt" or one dead row. Right: its first bytes are looked at,
and the shard's error says what the file is and what to do.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.reading.files.signatures import identify
from tests.field.accounting import states_of
from tests.pipelines.reading.shard_files import SUFFIXES, json_lines, write, zstd

ROWS = [{"text": f"document {i}", "id": str(i), "domain": "a"} for i in range(300)]
LINES = json_lines(ROWS)


def error_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    (state,) = states_of([path])
    assert state.error is not None
    assert "Traceback" not in state.error
    return state.error


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def arrow_file() -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def legacy_arrow(is_file: bool) -> bytes:
    """As versions before 0.15 wrote it; pyarrow still can."""
    sink = io.BytesIO()
    table = pa.Table.from_pylist(ROWS)
    options = pa.ipc.IpcWriteOptions(use_legacy_format=True, metadata_version=pa.ipc.MetadataVersion.V4)
    opened = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with opened(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def archive(kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as made:
            made.writestr("a.jsonl", LINES)
    else:
        with tarfile.open(fileobj=sink, mode="w") as packed:
            member = tarfile.TarInfo("a.jsonl")
            member.size = len(LINES)
            packed.addfile(member, io.BytesIO(LINES))
    return sink.getvalue()


def sqlite(tmp_path: Path) -> bytes:
    path = tmp_path / "made.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("create table t (text)")
    base.close()
    return path.read_bytes()


def orc() -> bytes:
    orc_module = pytest.importorskip("pyarrow.orc")
    sink = io.BytesIO()
    orc_module.write_table(pa.table({"text": ["a"]}), sink)
    return sink.getvalue()


FOREIGN = {
    "gzip": (gzip.compress(LINES), "is gzip data"),
    "zstd": (zstd(LINES), "is zstd data"),
    "xz": (lzma.compress(LINES), "is xz data"),
    "bzip2": (bz2.compress(LINES), "is bzip2 data"),
    "zip": (archive("zip"), "is a zip archive"),
    "tar": (archive("tar"), "is a tar archive"),
    "parquet": (parquet(), "is Parquet; name it .parquet"),
    "arrow": (arrow_file(), "is an Arrow IPC file"),
    "pickle": (pickle.dumps(ROWS), "is a Python pickle, which is never loaded"),
    "orc": (orc(), "is ORC"),
    "avro": (b"Obj\x01\x04\x16avro.schema" + bytes(range(256)), "is Avro"),
    "feather v1": (b"FEA1" + b"\0" * 100 + b"FEA1", "is Feather V1"),
    "encrypted": (b"PARE" + bytes(range(200)) + b"PARE", "is encrypted Parquet"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "run `git lfs pull`"),
    "page": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n", "is an HTML page"),
    "old zstd": (b"\x25\xb5\x2f\xfd" + bytes(50), "is zstd data written by a version before 0.8"),
}
OWN = {"gzip": ".jsonl.gz", "zstd": ".jsonl.zst", "parquet": ".parquet", "arrow": ".arrow"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_says_what_it_is(tmp_path: Path, kind: str, suffix: str) -> None:
    if OWN.get(kind) == suffix:
        pytest.skip("its own name")
    data, what = FOREIGN[kind]
    error = error_of(tmp_path / ("a" + suffix), data)
    assert what in error and "corrupt" not in error
    if suffix in (".jsonl.gz", ".jsonl.zst"):  # and once more inside of the right compression
        packed = gzip.compress(data) if suffix == ".jsonl.gz" else zstd(data)
        if not data.startswith(b"<"):
            what = what.partition("; ")[0]
        assert what in error_of(tmp_path / ("b" + suffix), packed)


def test_an_sqlite_database(tmp_path: Path) -> None:
    assert "is an SQLite database" in error_of(tmp_path / "a.jsonl", sqlite(tmp_path))


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".parquet", ".arrow"])
def test_json_lines_under_another_name(tmp_path: Path, suffix: str) -> None:
    assert "it begins like JSON; name it .jsonl" in error_of(tmp_path / ("a" + suffix), LINES)


def test_gzip_in_gzip(tmp_path: Path) -> None:
    error = error_of(tmp_path / "a.jsonl.gz", gzip.compress(gzip.compress(LINES)))
    assert "is gzip data when it is decompressed" in error


def test_zero_bytes_behind_gzip_are_no_cut(tmp_path: Path) -> None:
    whole = gzip.compress(LINES)
    error = error_of(tmp_path / "a.jsonl.gz", whole + b"\0" * 512)
    assert f"ends with 512 zero bytes after its last complete gzip member (at {len(whole):,})" in error
    assert f"truncate -s {len(whole)}" in error
    (tmp_path / "a.jsonl.gz").write_bytes((tmp_path / "a.jsonl.gz").read_bytes()[: len(whole)])  # as it says
    (state,) = states_of([tmp_path / "a.jsonl.gz"])
    assert state.coverage is not None and state.coverage.documents == 300
    error = error_of(tmp_path / "b.jsonl.gz", whole + b"appended by hand")
    assert "contains 16 bytes that are not gzip data after its last complete member" in error
    error = error_of(tmp_path / "c.jsonl.gz", whole + whole[:-20])
    assert f"is truncated: its last gzip member (number 2, from byte {len(whole):,}) is incomplete" in error
    damaged = whole[:100] + b"\0" * (len(whole) - 100)  # a lost tail is no padding
    assert "zero bytes behind" not in error_of(tmp_path / "d.jsonl.gz", damaged)


def frame(descriptor: int, header: bytes, content: bytes) -> bytes:
    """A zstd frame of one raw block (RFC 8878): any decoder without limits reads it."""
    return struct.pack("<IB", 0xFD2FB528, descriptor) + header + struct.pack("<I", len(content) << 3 | 1)[:3] + content


def test_a_window_beyond_the_decoders(tmp_path: Path) -> None:
    long_31, long_27 = bytes([31 - 10 << 3]), bytes([27 - 10 << 3])
    error = error_of(tmp_path / "a.jsonl.zst", frame(0, long_31, LINES))
    assert "needs 2,048 MiB of memory" in error and "--long" in error and "corrupt" not in error
    path = tmp_path / "b.jsonl.zst"
    path.write_bytes(frame(0, long_27, LINES))
    (state,) = states_of([path])
    assert state.error is None and state.coverage is not None and state.coverage.documents == 300


def test_a_dictionary_that_is_not_there(tmp_path: Path) -> None:
    error = error_of(tmp_path / "a.jsonl.zst", frame(0b01, bytes([0, 77]), LINES))
    assert "compressed with a zstd dictionary (number 77)" in error


@pytest.mark.parametrize("is_file", [True, False], ids=["file", "stream"])
def test_arrow_before_0_15(tmp_path: Path, is_file: bool) -> None:
    assert "is Arrow IPC written by a version before 0.15" in error_of(tmp_path / "a.arrow", legacy_arrow(is_file))


def test_encrypted_columns(tmp_path: Path) -> None:
    """The footer is readable, the columns are not."""
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Client(encryption.KmsClient):  # type: ignore[misc, name-defined]
        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
            return key_bytes.hex()

        def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
            return bytes.fromhex(wrapped_key)

    factory = encryption.CryptoFactory(lambda _: Client())
    config = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=True, encryption_algorithm="AES_GCM_V1"
    )
    path = tmp_path / "a.parquet"
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
    table = pa.Table.from_pylist(ROWS)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    error = error_of(path, path.read_bytes())
    assert "encrypted" in error and "corrupt" not in error


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_good_shards_are_taken_for_what_they_are(tmp_path: Path, suffix: str) -> None:
    (state,) = states_of([write(tmp_path / ("a" + suffix), ROWS)])
    assert state.error is None


def test_first_lines_that_look_like_something_else_are_rows(tmp_path: Path) -> None:
    """Only what is certainly another format is refused before it is read: a bad first line is one bad line."""
    for first in (b"ORC is a format", b"PK", b"<html>", b"Obj", b"[1]", b"\0\0\0", b"PAR1 was here", b"BZh9"):
        path = tmp_path / "a.jsonl"
        path.write_bytes(first + b"\n" + LINES)
        (state,) = states_of([path])
        assert state.error is None and state.coverage is not None
        assert (state.coverage.documents, sum(state.coverage.dead.values())) == (300, 1), first


def test_json_has_no_signature() -> None:
    for text in ("{}", '{"text": "' + "a" * 9000, "", "\n\n", '\ufeff{"text": 1}', json.dumps({"ORC": "PAR1"})):
        assert identify(text.encode()[:4096]) is None
