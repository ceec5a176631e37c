"""Reads telemetry files of any known format; what is not recognised is listed, never skipped in silence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from corpus_audit.pipelines.telemetry import (
    columns,
    event_files,
    json_documents,
    megatron,
    mlflow,
    recognition,
    step_text,
    wandb_log,
)
from corpus_audit.pipelines.telemetry.log_file import LogFile
from corpus_audit.pipelines.telemetry.points import Account, FileTelemetry, Refusal

READERS: dict[str, Callable[[Path], FileTelemetry]] = {
    "tensorboard": event_files.read_event_file,
    "wandb": wandb_log.read_wandb,
    "megatron": megatron.read_megatron,
    "trainer_state": json_documents.read_trainer_state,
    "golden_values": json_documents.read_golden_values,
    "mlflow": mlflow.read_mlflow_database,
    "mlruns": mlflow.read_mlflow_metric,
    "jsonl": columns.read_jsonl,
    "csv": columns.read_csv,
    "parquet": columns.read_parquet,
    **{text.name: partial(step_text.read_step_text, text_format=text) for text in step_text.FORMATS},
}
"""Reader of every format."""


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file that was not read, and why."""

    path: Path
    reason: str


def read_telemetry_file(path: Path) -> FileTelemetry | UnreadFile:
    """What a file holds; a container that is damaged is an account with one dead letter, not an exception."""
    try:
        kind = recognition.recognise(path)
        if not kind:
            return UnreadFile(path, _why_not(path))
        return READERS[kind](path)
    except (OSError, pa.ArrowException, sqlite3.Error) as error:
        if isinstance(error, OSError) and not isinstance(error, pa.ArrowException) and error.errno is not None:
            return UnreadFile(path, f"cannot be read: {error.strerror}")
        account = Account()
        account.refuse(0, Refusal.UNREADABLE, str(error))
        return FileTelemetry(path, kind or "unknown", "byte", (), account)


def _why_not(path: Path) -> str:
    if path.stat().st_size == 0:
        return "empty"
    with LogFile(path) as file:
        head = file.read(recognition.HEAD)
        if file.fault is not None:
            return f"cannot be read: {file.fault[1]}"
        return "empty" if not head else "not recognised"


def read_files(paths: Sequence[Path]) -> tuple[list[FileTelemetry], list[UnreadFile]]:
    """(read, not read) of several files."""
    results = [read_telemetry_file(path) for path in paths]
    return (
        [result for result in results if isinstance(result, FileTelemetry)],
        [result for result in results if isinstance(result, UnreadFile)],
    )
