"""Recognises the format of a telemetry file by its content, and lists the files of folders and patterns."""

from __future__ import annotations

import glob
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.telemetry import megatron, step_text, wandb_log
from corpus_audit.pipelines.telemetry.json_documents import as_number, flat, parse_json, step_name
from corpus_audit.pipelines.telemetry.log_file import LogFile

HEAD = 2**20
"""Bytes at the start of a file that are looked at."""

SAMPLE = 2**16
"""Bytes in the middle and at the end of a text that are looked at as well."""

COMPRESSED = 2**23
"""Bytes at the start of a compressed file that are looked at, after decompression."""

_GOLDEN = re.compile(rb'^\s*\{\s*"[^"]{1,200}"\s*:\s*\{\s*"start_step"\s*:')
_MLRUNS = re.compile(rb"^\d{12,14} \S+(?: -?\d+)?\r?$")


def files_of(base: Path, patterns: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """(file, run in it or "") of paths, folders and globs, relative to ``base``; each file once, sorted.

    ``mlflow.db#RUN`` names one run of a file with several.

    Raises:
        FileNotFoundError: a pattern matches nothing.
    """
    seen: set[tuple[Path, str]] = set()
    for pattern in patterns:
        name, _, run = pattern.partition("#") if not (base / pattern).exists() else (pattern, "", "")
        root = base / Path(name).expanduser()
        matches = [root] if root.exists() else sorted(map(Path, glob.glob(str(root), recursive=True)))  # noqa: PTH207
        if not matches:
            raise FileNotFoundError(pattern)
        for match in matches:
            files = [match] if match.is_file() else sorted(path for path in match.rglob("*") if path.is_file())
            for path in files:
                if (path, run) not in seen:
                    seen.add((path, run))
                    yield path, run


def recognise(path: Path) -> str:
    """The format of a file, a key of `reading.READERS`; empty where it is none that is known.

    Of a compressed file the first `COMPRESSED` bytes after decompression are looked at; of a text also its middle and
    its end.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with LogFile(path) as file:
        head = file.read(HEAD)
        if not file.codec:
            if head[:4] == b"PAR1":
                return _parquet(path)
            if head[:16] == b"SQLite format 3\0":
                return _database(path)
        if wandb_log.is_wandb(head):
            return "wandb"
        if _is_event_file(head):
            return "tensorboard"
        text = head
        if file.codec:
            text += file.read(COMPRESSED - HEAD)
            size = len(text)
        else:
            position = len(head)
            for offset in (size // 2, size - SAMPLE):
                if offset > HEAD:
                    file.skip(offset - position)
                    piece = file.read(SAMPLE)
                    position = offset + len(piece)
                    text += b"\n" + piece
    if b"\0" in head[:4096]:
        return ""
    return _json(head, size) or _log(path, text) or _csv(head)


def _is_event_file(head: bytes) -> bool:
    """Whether a record of TFRecord framing begins the file whose data are an Event with a wall time or a version."""
    from corpus_audit.pipelines.kernels.telemetry.event_records import crc_tables

    if len(head) < 16:
        return False
    table = crc_tables()[:256].tolist()
    crc = 0xFFFFFFFF
    for byte in head[:8]:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return masked == int.from_bytes(head[8:12], "little") or b"brain.Event:" in head[:64]


def _parquet(path: Path) -> str:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return ""
    return "parquet" if step_name(schema.names) is not None else ""


def _database(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(metrics)")}
    except sqlite3.Error:
        return ""
    return "mlflow" if {"run_uuid", "key", "step", "timestamp", "value", "is_nan"} <= columns else ""


def _json(head: bytes, size: int) -> str:
    start = head.lstrip()[:1]
    if start != b"{":
        return ""
    if _GOLDEN.match(head):
        return "golden_values"
    lines = head.split(b"\n", 3)
    for line in lines[:3]:  # the first may be a header or damaged
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            if "log_history" in row:
                return "trainer_state"
            values = dict(flat(row))
            key = step_name(list(values))
            if key is not None and any(as_number(value) is not None for name, value in values.items() if name != key):
                return "jsonl"
    whole = b'"log_history"' in head or (size > HEAD and b'"best_model_checkpoint"' in head)
    return "trainer_state" if whole else ""


def _log(path: Path, text: bytes) -> str:
    if b"\x1b" in text:
        text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", lambda match: b" " * len(match[0]), text)
    if megatron.RECORD.search(text):
        return "megatron"
    lines = text.split(b"\n")
    with_content = [line for line in lines if line.strip()]
    if "metrics" in path.absolute().parts[:-1]:
        points = sum(_MLRUNS.match(line) is not None for line in with_content)
        if 2 * points > len(with_content):
            return "mlruns"
    for text_format in step_text.FORMATS:
        matches = sum(text_format.head.search(line) is not None for line in with_content)
        if text_format.name == "two columns":
            if with_content and matches >= 3 and matches >= 0.9 * len(with_content):
                return text_format.name
        elif matches >= 1:
            return text_format.name
    return ""


def _csv(head: bytes) -> str:
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace").lstrip("\ufeff")
    if "," not in first or len(first) > 2**18:
        return ""
    names = [name.strip().strip('"') for name in first.rstrip("\r").split(",")]
    return "csv" if step_name(names) is not None else ""
