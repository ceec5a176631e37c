"""Shards that decode to far more than their size: refused past a bound, and read in bounded memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.schemas.run.snapshot import ShardPlan
from corpus_audit.schemas.spec.audit import DocumentSpec, LimitsSpec
from tests.pipelines.reading.shard_files import (
    error_and_texts,
    json_lines,
    plan,
    read,
    write,
    zstd,
    zstd_sized,
)

ROWS = [{"text": f"document {i} " * (i % 9), "id": str(i), "domain": "ab"[i % 2]} for i in range(200)]
TEXT_ONLY = ReadSettings(DocumentSpec())


def _bomb(path: Path, settings: ReadSettings = TEXT_ONLY) -> ShardPlan:
    planned = plan(path)
    assert planned.error is None, planned.error
    with pytest.raises(ShardError, match="decompression bomb"):
        for split in planned.splits:
            for _ in read_split(planned.shard, split, settings, SplitTally()):
                pass
    return planned


@pytest.mark.parametrize("sized", [False, True])
def test_zstd_bomb(tmp_path: Path, sized: bool) -> None:
    path = tmp_path / "a.jsonl.zst"
    line = json_lines([{"text": "a" * 1_000_000}]) * 100
    path.write_bytes(zstd_sized(line) if sized else zstd(line))
    assert path.stat().st_size < 20_000
    _bomb(path)


@pytest.mark.slow
def test_gzip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" * 100_000_000))
    _bomb(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_dictionary_bomb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a" + suffix)
    indices = pa.array([0] * 500_000, pa.int32())
    text = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 10_000]))
    table = pa.table({"text": text})
    if suffix == ".parquet":
        pq.write_table(table, path, compression="zstd", store_schema=False)
    else:
        with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as sink:
            sink.write_table(table)
    assert path.stat().st_size < 20_000
    _bomb(path)


def test_a_compressed_arrow_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    table = pa.table({"text": ["x" * 1_000_000] * 100})
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as sink:
        sink.write_table(table)
    assert path.stat().st_size < 200_000
    _bomb(path)


def test_what_expands_as_the_limit_allows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstd(json_lines([{"text": "a" * 1_000_000}]) * 100))
    result = read(path, ReadSettings(DocumentSpec(), limits=LimitsSpec(expansion=1_000_000)))
    assert len(result.texts) == 100


_CHILD = """
    import json, sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
    from corpus_audit.pipelines.reading.files.errors import ShardError
    from corpus_audit.pipelines.reading.formats.reader import read_split
    from corpus_audit.schemas.spec.audit import DocumentSpec
    from tests.pipelines.reading.shard_files import plan
    planned = plan(Path({path!r}))
    tally, error, documents = SplitTally(), planned.error, 0
    try:
        for split in planned.splits:
            for batch in read_split(planned.shard, split, ReadSettings(DocumentSpec()), tally):
                documents += len(batch)
    except ShardError as problem:
        error = str(problem)
    # Not ru_maxrss: a process inherits that of the one that started it, which may hold whatever other tests left.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    letters = [[letter.reason, letter.bytes] for letter in tally.letters]
    print(json.dumps([error, documents, letters, peak]))
"""


def _in_a_process(path: Path) -> tuple[str | None, int, list[list[object]], int]:
    """Read a shard in its own process: the error, the documents, the dead letters and the peak RSS in bytes."""
    root = str(Path(__file__).parents[2])
    code = textwrap.dedent(_CHILD).format(root=root, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    error, documents, letters, peak = json.loads(done.stdout)
    return error, documents, letters, peak


@pytest.mark.slow
@pytest.mark.parametrize("size", [200 * 2**20, 2**30])
def test_a_line_of_hundreds_of_megabytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "before"}\n{"text": "')
        for _ in range(size // 2**20):
            file.write(b"x" * 2**20)
        file.write(b'"}\n{"text": "after"}\n')
    error, documents, letters, peak = _in_a_process(path)
    assert (error, documents, letters) == (None, 2, [["too_large", size + 12]])
    assert peak < 2 * 2**30


@pytest.mark.slow
def test_a_zstd_bomb_of_two_gibibytes_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    with path.open("wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
        for _ in range(2048):
            stream.write(bytes(2**20))
    assert path.stat().st_size < 200_000
    error, documents, _, peak = _in_a_process(path)
    assert error is not None and "decompression bomb" in error
    assert documents == 0 and peak < 2 * 2**30


@pytest.mark.slow
def test_a_parquet_bomb_of_five_gigabytes_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 500_000, pa.int32()), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"text": text}), path, compression="zstd", store_schema=False)
    error, _, _, peak = _in_a_process(path)
    assert error is not None and "decompression bomb" in error
    assert peak < 2 * 2**30


@pytest.mark.slow
def test_a_parquet_bomb_behind_short_rows_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    indices = pa.array([0] * 100_000 + [1] * 20_000, pa.int32())
    text = pa.DictionaryArray.from_arrays(indices, pa.array(["short", "x" * 900_000]))
    pq.write_table(pa.table({"text": text}), path, compression="zstd", store_schema=False)
    error, documents, _, peak = _in_a_process(path)
    assert error is not None and "decompression bomb" in error
    assert documents >= 100_000 and peak < 2 * 2**30


@pytest.mark.slow
def test_a_parquet_footer_damaged_at_every_byte_never_ends_the_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ROWS[:20], part=10)
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    errors = 0
    for position in range(len(whole) - footer, len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        errors += error_and_texts(path)[0] is not None
    assert errors > footer // 4
