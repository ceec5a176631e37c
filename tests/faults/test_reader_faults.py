"""Damaged and hostile shards: none is read in silence, bad rows are counted by reason, their neighbours stay."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.reading.documents.batches import LETTERS_PER_REASON, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.schemas.spec.audit import DocumentSpec, LimitsSpec
from tests.pipelines.reading.shard_files import (
    SUFFIXES,
    error_and_texts,
    json_lines,
    plan,
    read,
    shard_of,
    write,
    zstd,
    zstd_sized,
)

ROWS = [{"text": f"document {i} " * (i % 9), "id": str(i), "domain": "ab"[i % 2]} for i in range(200)]
TEXT_ONLY = ReadSettings(DocumentSpec())


def _single_zst(path: Path) -> None:
    path.write_bytes(zstd(json_lines(ROWS)))


def _many_zst(path: Path) -> None:
    path.write_bytes(b"".join(zstd(json_lines(ROWS[start : start + 50])) for start in range(0, 200, 50)))


def _arrow_stream(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(path, table.schema) as sink:
        sink.write_table(table, max_chunksize=30)


def _formatted(path: Path) -> None:
    write(path, ROWS, part=60)


COMPRESSED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "gz": ("a.jsonl.gz", lambda path: path.write_bytes(gzip.compress(json_lines(ROWS), mtime=0)) and None),
    "gz members": ("a.jsonl.gz", _formatted),
    "zst": ("a.jsonl.zst", _single_zst),
    "zst frames": ("a.jsonl.zst", _many_zst),
    "zst sized frames": ("a.jsonl.zst", _formatted),
    "parquet": ("a.parquet", _formatted),
    "arrow file": ("a.arrow", _formatted),
    "arrow stream": ("a.arrow", _arrow_stream),
}


def _ends(name: str, data: bytes) -> set[int]:
    """Where a member or frame begins: a cut there leaves a whole file."""
    magic = b"\x1f\x8b\x08" if name.startswith("gz") else b"\x28\xb5\x2f\xfd"
    ends = {0}
    position = data.find(magic, 1)
    while position > 0:
        ends.add(position)
        position = data.find(magic, position + 1)
    return ends


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_cut_is_never_silent(tmp_path: Path, name: str) -> None:
    file, make = COMPRESSED[name]
    path = tmp_path / file
    make(path)
    whole = path.read_bytes()
    error, texts = error_and_texts(path)
    assert error is None and texts == [row["text"] for row in ROWS]
    ends = _ends(name, whole) if name.startswith(("gz", "zst")) else set()
    cuts = {len(whole) * percent // 100 for percent in range(0, 100, 2)} | {1, 2, len(whole) - 8, len(whole) - 1}
    for cut in sorted(cuts - ends | {0}):
        path.write_bytes(whole[:cut])
        error, _ = error_and_texts(path)
        assert error is not None, f"{name} cut at {cut} of {len(whole)}"
    for cut in sorted(ends - {0}):
        path.write_bytes(whole[:cut])
        error, _ = error_and_texts(path)
        assert error is None  # a whole file, as far as its bytes can tell
        error, _ = error_and_texts(path, hashlib.sha256(whole).hexdigest())
        assert error is not None and "manifest" in error


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("garbage", [b"\n", b"\0" * 16, b"garbage behind the end"])
def test_bytes_behind_the_end_are_never_silent(tmp_path: Path, name: str, garbage: bytes) -> None:
    file, make = COMPRESSED[name]
    path = tmp_path / file
    make(path)
    path.write_bytes(path.read_bytes() + garbage)
    assert error_and_texts(path)[0] is not None


def test_a_cut_at_a_line_needs_a_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    whole = path.read_bytes()
    sha256 = hashlib.sha256(whole).hexdigest()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:150]))
    assert error_and_texts(path)[0] is None
    error, _ = error_and_texts(path, sha256)
    assert error is not None and "manifest" in error and sha256 in error
    path.write_bytes(whole[:-7])
    result = read(path)
    assert result.dead == {"not_json": 1} and len(result.texts) == 199


def test_single_bit_flips_under_a_manifest_are_never_silent(tmp_path: Path) -> None:
    choose = random.Random(1)
    paths = [write(tmp_path / ("a" + suffix), ROWS, part=60) for suffix in SUFFIXES]
    for number in range(300):
        path = paths[number % len(paths)]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[choose.randrange(len(whole))] ^= 1 << choose.randrange(8)
        path.write_bytes(damaged)
        error, _ = error_and_texts(path, hashlib.sha256(whole).hexdigest())
        assert error is not None and "manifest" in error
        path.write_bytes(whole)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".jsonl.zst", ".jsonl.gz"])
def test_bit_flips_without_a_manifest_end_in_documents_or_in_a_shard_error(tmp_path: Path, suffix: str) -> None:
    choose = random.Random(2)
    path = write(tmp_path / ("a" + suffix), ROWS, part=60)
    whole = path.read_bytes()
    errors = 0
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[choose.randrange(len(whole))] ^= 1 << choose.randrange(8)
        path.write_bytes(damaged)
        errors += error_and_texts(path)[0] is not None
    assert errors >= (10 if suffix == ".arrow" else 50)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_zero_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a" + suffix)
    path.touch()
    planned = plan(path)
    if suffix == ".jsonl":
        assert planned.error is None and planned.splits == () and planned.rows == 0
    else:
        assert planned.error is not None and "empty" in planned.error


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_rows_is_fine(tmp_path: Path, suffix: str) -> None:
    result = read(write(tmp_path / ("a" + suffix), []))
    assert result.texts == [] and sum(tally.rows for tally in result.tallies) == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pointer_to_a_file_is_not_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a" + suffix)
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")
    error = plan(path).error
    assert error is not None and "git lfs pull" in error


BAD_LINES: list[tuple[bytes, str]] = [
    (b'{"text": "\xff"}', "invalid_utf8"),
    (b'{"text": "ok", "other": "\xed\xa0\x80"}', "invalid_utf8"),
    (b'{"text": "\\ud800"}', "lone_surrogate"),
    (b'{"text": "a\\udc00b"}', "lone_surrogate"),
    (b'{"text": "cut', "not_json"),
    (b"not json \xe2\x82\xac", "not_json"),
    (b'{"text": NaN}', "nan_in_json"),
    (b'{"text": "a"} {"text": "b"}', "not_json"),
    (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
    (b'["text"]', "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"null", "not_an_object"),
    (b"{}", "missing_text"),
    (b'{"text": null}', "missing_text"),
    (b'{"text": 5}', "wrong_type"),
    (b'{"text": ["a"]}', "wrong_type"),
    (b'{"text": {"text": "a"}}', "wrong_type"),
    (b'{"text": "' + b"x" * 300_000 + b'"}', "too_large"),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_bad_lines_leave_their_neighbours_alone(tmp_path: Path, suffix: str) -> None:
    lines: list[bytes] = []
    for number, (bad, _) in enumerate(BAD_LINES):
        lines += [b'{"text": "good \\u0000 %d"}' % number, bad, b"", b"  \r"]
    lines.append(b'{"text": "last\xe2\x80\xa8line"}')
    data = b"\xef\xbb\xbf" + b"\r\n".join(lines)
    pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstd_sized}[suffix]
    path = tmp_path / ("a" + suffix)
    path.write_bytes(pack(data))
    settings = ReadSettings(DocumentSpec(), limits=LimitsSpec(document_bytes=250_000))
    for split_bytes in (2**26, 1000):
        result = read(path, settings, split_bytes)
        assert result.texts == [f"good \0 {i}" for i in range(len(BAD_LINES))] + ["last\u2028line"]
        expected: dict[str, int] = {}
        for _, reason in BAD_LINES:
            expected[reason] = expected.get(reason, 0) + 1
        assert result.dead == expected
        letters = {letter.sha256: letter for tally in result.tallies for letter in tally.letters}
        for bad, reason in BAD_LINES:
            letter = letters[hashlib.sha256(bad).hexdigest()]
            assert (letter.reason, letter.bytes, letter.excerpt) == (reason, len(bad), None)


def test_dead_letters_are_capped_and_have_excerpts_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"secret\n" * (LETTERS_PER_REASON + 5) + b"\xff" + b"y" * 500 + b"\n")
    with_excerpts = ReadSettings(DocumentSpec(), limits=LimitsSpec(dead_letter_excerpts=True))
    for settings, excerpts in ((TEXT_ONLY, {None}), (with_excerpts, {"secret", "\ufffd" + "y" * 199})):
        result = read(path, settings)
        assert result.dead == {"not_json": LETTERS_PER_REASON + 5, "invalid_utf8": 1}
        assert len(result.tallies[0].letters) == LETTERS_PER_REASON + 1
        assert {letter.excerpt for letter in result.tallies[0].letters} == excerpts


def _raw_strings(values: list[bytes | None], type_: pa.DataType) -> pa.Array:
    """A string array over bytes that nobody checked."""
    binary = pa.array(values, pa.large_binary() if type_ == pa.large_string() else pa.binary())
    return pa.Array.from_buffers(type_, len(binary), binary.buffers(), binary.null_count)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str)
def test_bad_values_leave_their_neighbours_alone(tmp_path: Path, suffix: str, type_: pa.DataType) -> None:
    values = [b"good \0", b"\xff\xfe", None, b"\xed\xa0\x80", "ä€".encode(), b"x" * 2000, b"", b"last"]
    text = (
        pa.array(values, type_)
        if pa.types.is_binary(type_) or pa.types.is_large_binary(type_)
        else _raw_strings(values, type_)
    )
    domain = _raw_strings([b"a", b"a", b"a", b"a", b"b", b"a", b"\xff", None], pa.string())
    table = pa.table({"text": text, "domain": domain})
    path = tmp_path / ("a" + suffix)
    if suffix == ".parquet":
        pq.write_table(table, path, use_dictionary=False)
    else:
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table)
    result = read(path, ReadSettings(DocumentSpec(domain="domain"), limits=LimitsSpec(document_bytes=1000)))
    assert result.texts == ["good \0", "ä€", "", "last"]
    assert result.domains == ["a", "b", "ff", "(none)"]
    assert result.dead == {"invalid_utf8": 2, "missing_text": 1, "too_large": 1}
    assert sum(tally.row_bytes for tally in result.tallies) == sum(len(value) for value in values if value is not None)
    assert result.tallies[0].dead_bytes == {"invalid_utf8": 5, "missing_text": 0, "too_large": 2000}
    assert {(letter.row, letter.sha256) for letter in result.tallies[0].letters} == {
        (row, hashlib.sha256(values[row] or b"").hexdigest()) for row in (1, 2, 3, 5)
    }


def test_invalid_utf8_in_a_dictionary(tmp_path: Path) -> None:
    words = _raw_strings([b"good", b"\xff", b"fine"], pa.string())
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None, 0, 1], pa.int8()), words)})
    path = tmp_path / "a.arrow"
    with pa.ipc.new_file(path, table.schema) as sink:
        sink.write_table(table)
    result = read(path, TEXT_ONLY)
    assert result.texts == ["good", "fine", "good"]
    assert result.dead == {"invalid_utf8": 2, "missing_text": 1}


@pytest.mark.parametrize("moment", ["after planning", "while reading", "removed"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_shard_that_changes(tmp_path: Path, suffix: str, moment: str) -> None:
    rows = [{"text": f"{i} " * 3000, "id": str(i), "domain": "a"} for i in range(900)]
    path = write(tmp_path / ("a" + suffix), rows, part=2000)
    planned = plan(path)
    assert planned.error is None
    documents = read_split(planned.shard, planned.splits[0], TEXT_ONLY, SplitTally())
    if moment == "while reading":
        next(documents)
    if moment == "removed":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :])
        os.utime(path, ns=(1, 1))
    with pytest.raises(ShardError, match=r"changed while it was read|cannot be reached"):
        list(documents)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_shard_that_shrinks_while_it_is_read(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": hashlib.sha256(str(i).encode()).hexdigest() * 100, "id": None, "domain": "a"} for i in range(3000)]
    path = write(tmp_path / ("a" + suffix), rows, part=2000)
    planned = plan(path)
    documents = read_split(planned.shard, planned.splits[0], TEXT_ONLY, SplitTally())
    next(documents)
    os.truncate(path, 100)
    with pytest.raises(ShardError, match="changed while it was read"):
        list(documents)


def test_a_shard_that_changes_between_listing_and_planning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    shard = shard_of(path)
    write(path, ROWS[:-1])
    error = plan_shard(shard, None, lambda count: None).error
    assert error is not None and "changed while it was read" in error
