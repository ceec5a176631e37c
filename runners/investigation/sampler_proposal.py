"""The ``drawn:`` section of a proposed `investigation.yaml`: files that are a sampler's log by their columns."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

_NEEDED = {"step", "tokens"}
_ANY = {"document", "domain"}
_LINE = 2**20
"""Bytes of a first line that are read."""


def is_sampler_log(path: Path) -> bool:
    """Whether a Parquet file or JSON lines have the columns ``step``, ``tokens`` and ``document`` or ``domain``."""
    try:
        if path.suffix == ".parquet":
            names = set(pq.read_schema(path).names)
        elif path.suffix in (".jsonl", ".ndjson"):
            with path.open("rb") as file:
                first = json.loads(file.readline(_LINE))
            names = set(first) if isinstance(first, dict) else set()
        else:
            return False
    except (OSError, ValueError, RecursionError, pa.ArrowException):
        return False
    return names >= _NEEDED and bool(names & _ANY)


def drawn_lines(logs: Sequence[str], run: str, several: bool) -> list[str]:
    """Lines of the section.

    Args:
        logs: paths as the spec has them.
        run: the first run of the spec.
        several: whether it has others.
    """
    if not logs:
        return ["# drawn: {log: sampler/*.parquet}     # what the sampler drew: step, tokens, document, domain, loss"]
    folders = {PurePosixPath(path).parent for path in logs}
    patterns = {f"{glob.escape(PurePosixPath(path).parent.as_posix())}/*{PurePosixPath(path).suffix}" for path in logs}
    log = logs[0] if len(logs) == 1 else sorted(patterns)[0]
    lines = ["# what the sampler drew, one row a document; step_offset: 0 is tested, not trusted"]
    if several:
        lines.append(f"# of the runs it is taken to be that of {json.dumps(run)}: change it, if it is not")
    if len(patterns) > 1:
        lines.append(f"# further logs of a sampler are in {len(folders)} folders; one log is compared")
    return [*lines, f"drawn: {{log: {json.dumps(log)}, run: {json.dumps(run)}}}"]
