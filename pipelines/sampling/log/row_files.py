"""Files of rows, Parquet or JSON lines, as record batches of a few columns; what is wrong with one names it."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from corpus_audit.pipelines.reading.snapshot.conventions import is_never_data
from corpus_audit.schemas.errors import UsageError

ROWS_A_BATCH = 1 << 18

LOG = "sampler log"
"""What messages call a file, unless they are told otherwise."""

_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")
_BLOCK = 1 << 22


def row_files(base: Path, pattern: str, what: str = LOG) -> list[Path]:
    """The files that a path names: itself, those of a folder, or those that a glob matches.

    Raises:
        UsageError: there are none, or one has another suffix.
    """
    path = base / pattern
    if path.is_file():
        files = [path]
    elif path.is_dir():
        entries = [entry for entry in path.iterdir() if not entry.name.startswith((".", "_"))]
        files = sorted(entry for entry in entries if not is_never_data(entry.name))
    else:
        matches = glob.glob(pattern, root_dir=base, recursive=True)  # noqa: PTH207 (the folder may have brackets)
        files = sorted(base / name for name in matches if (base / name).is_file())
        if not files:
            raise UsageError(f"{what} {path}: there is no such file or folder")
    if path.is_dir() and not any(file.name.endswith(_SUFFIXES) for file in files):
        raise UsageError(f"{what} {path}: the folder has no file that ends in {', '.join(_SUFFIXES)}")
    for file in files:
        if not file.name.endswith(_SUFFIXES):
            raise UsageError(f"{what} {file}: its name must end in {', '.join(_SUFFIXES)}")
    return files


def column_types(file: Path, what: str = LOG) -> dict[str, pa.DataType]:
    """Columns of a file and their types; those of JSON lines from its first row."""
    with usage_errors(file, what):
        if file.suffix == ".parquet":
            schema = pq.read_schema(file)
            return {field.name: field.type for field in schema}
        with pa.input_stream(file, compression="detect") as stream:
            first = json.loads(_first_line(stream) or b"{}")
    if not isinstance(first, dict):
        raise UsageError(f"{what} {file}: its first line is not a JSON object")
    types = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(), type(None): pa.null()}
    return {name: types.get(type(value), pa.null()) for name, value in first.items()}


def _first_line(stream: pa.NativeFile) -> bytes:
    line = b""
    while b"\n" not in line and (chunk := stream.read(1 << 16)):
        line += chunk
    return line.split(b"\n", 1)[0]


def record_batches(
    file: Path, names: list[str], types: dict[str, pa.DataType], what: str = LOG, rows: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Some columns of a file, of Parquet at most ``rows`` (or `ROWS_A_BATCH`) at a time."""
    with usage_errors(file, what):
        if file.suffix == ".parquet":
            with pq.ParquetFile(file) as parquet:
                yield from parquet.iter_batches(batch_size=rows or ROWS_A_BATCH, columns=names)
            return
        # Only the first row says a column's type: one that is null there, as a loss may be, is read as float.
        fields = [(name, pa.float64() if types[name] in (pa.float64(), pa.null()) else types[name]) for name in names]
        options = pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore")
        with pa.input_stream(file, compression="detect") as stream:
            reader = pj.open_json(stream, read_options=pj.ReadOptions(block_size=_BLOCK), parse_options=options)
            for batch in reader:
                yield batch.select(names)


@contextmanager
def usage_errors(file: Path, what: str = LOG) -> Iterator[None]:
    """Raise a `UsageError` that names the file instead of the errors of a damaged or unreadable one."""
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{what} {file}: cannot be read: {error}") from error
