"""Reads telemetry files through a store, so that a large file that has not changed is not parsed again."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.storage.parsed_files import ParsedFiles, code_digest, digest_of
from corpus_audit.pipelines.telemetry import recognition
from corpus_audit.pipelines.telemetry.points import (
    Account,
    DeadLetter,
    FileTelemetry,
    Points,
    Refusal,
    RunPoints,
)
from corpus_audit.pipelines.telemetry.reading import UnreadFile, read_telemetry_file

LEAST = 2**20
"""Bytes of a file below which it is parsed each time: that takes no longer than to read the entry."""

_BY_PATH = ("mlflow", "mlruns")
"""Formats of which more is read than the content of the file: beside it there are a journal, or names in its path."""

_COLUMNS = ("tag", "step", "value", "wall_time", "offset")
_COUNTS = ("entries", "used", "other", "refused", "values", "values_used", "values_refused")


@cache
def _code() -> str:
    return code_digest(f"corpus_audit.pipelines.{name}" for name in ("telemetry", "kernels.telemetry", "reading.files"))


def read_stored_telemetry(path: Path, store: ParsedFiles | None) -> FileTelemetry | UnreadFile:
    """What `read_telemetry_file` returns, from the store if the file and the readers are those of the entry."""
    try:
        before = path.stat()
        if store is None or before.st_size < LEAST or (kind := recognition.recognise(path)) in (*_BY_PATH, ""):
            return read_telemetry_file(path)
        key = store.key("telemetry", _code(), kind, digest_of(path))
    except OSError:
        return read_telemetry_file(path)  # which says what is wrong with it
    entry = store.load(key)
    if entry is not None:
        return _telemetry(path, *entry)
    result = read_telemetry_file(path)
    try:
        after = path.stat()
    except OSError:
        return result
    # A log that is being written may have grown between the digest and the reading.
    unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if unchanged and isinstance(result, FileTelemetry):
        store.save(key, *_entry(result))
    return result


def _entry(file: FileTelemetry) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = {f"{name}{number}": getattr(run.points, name) for number, run in enumerate(file.runs) for name in _COLUMNS}
    account = file.account
    return arrays, {
        "kind": file.kind,
        "offset_unit": file.offset_unit,
        "runs": [[run.run, list(run.tags)] for run in file.runs],
        "counts": {name: getattr(account, name) for name in _COUNTS},
        "reasons": {reason.value: count for reason, count in account.reasons.items()},
        "dead_letters": [[letter.offset, letter.reason.value, letter.detail] for letter in account.dead_letters],
        "notes": account.notes,
    }


def _telemetry(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> FileTelemetry:
    account = Account(
        **header["counts"],
        reasons=Counter({Refusal(reason): count for reason, count in header["reasons"].items()}),
        dead_letters=[DeadLetter(offset, Refusal(reason), detail) for offset, reason, detail in header["dead_letters"]],
        notes=list(header["notes"]),
    )
    runs = tuple(
        RunPoints(name, tuple(tags), Points(*(arrays[f"{column}{number}"] for column in _COLUMNS)))
        for number, (name, tags) in enumerate(header["runs"])
    )
    return FileTelemetry(path, header["kind"], header["offset_unit"], runs, account)
