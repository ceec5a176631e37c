"""Reads text logs of Megatron-LM and Megatron-DeepSpeed: ``iteration N/M | key: value | ... |``.

Anything may precede ``iteration`` (ranks, time stamps). Fields of lines that have the same keys are converted together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from corpus_audit.pipelines.telemetry.lines import line_blocks, line_count, text_of
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry, Refusal

RECORD = re.compile(
    rb"(?:\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[^\]\n]{0,20}\][ \t]*)?"
    rb"(?:\biteration[ \t]+(\d+)[ \t]*/[ \t]*\d+|\b(validation|test) loss at iteration[ \t]+(\d+)[^|\n]{0,200})"
    rb"[ \t]*\|([^\n]*)"
)
"""A line of a training step, or of an evaluation within training: time, step, kind, step, fields."""

_CONTINUED = 6
"""Lines that a wrapped line may go on for."""

_GOES_ON = re.compile(rb"(?:\[[^\]\n]{0,40}\]:?|\d+:)?[ \t]*[A-Za-z][\w ()/.-]{0,60}:[ \t]*[^|\s]{1,40}[ \t]*\|")
"""A line that starts with a field: the one before was wrapped between two fields."""

_PREFIX = re.compile(rb"^(?:\[[^\]\n]{0,40}\]:?|\d+:)[ \t]?")
_LAYOUTS = 64


class _Layout:
    """Lines with the same keys in the same order: their values, and where they stood."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self.keys = keys
        pieces = (rb"\s*" + re.escape(key) + rb"\s*:\s*([^|\s]{1,40})\s*\|" for key in keys)
        self.pattern = re.compile(b"".join(pieces) + rb"\s*$")
        self.rows: list[tuple[bytes, ...]] = []
        self.origins: list[tuple[int, float, int]] = []


def read_megatron(path: Path) -> FileTelemetry:
    """The values of every iteration line; a field that the end of the file cuts is refused, not read as a number."""
    account = Account()
    collector = Collector(account)
    layouts: dict[tuple[str, tuple[bytes, ...]], _Layout] = {}
    recent: dict[str, _Layout] = {}
    times: dict[bytes, float] = {}
    for start, block in line_blocks(path, account):
        records = 0
        for offset, stamp, kind, step, body, lines in _records(block):
            records += lines
            account.entries += lines - 1
            account.used += lines - 1
            wall = float("nan")
            if stamp:
                wall = times[stamp] if stamp in times else times.setdefault(stamp, _seconds(stamp))
                if len(times) > 100_000:
                    times.clear()
            origin = (step, wall, start + offset)
            layout = recent.get(kind)
            match = layout.pattern.match(body) if layout else None
            if match is None:
                layout, match = _other_layout(kind, body, layouts, recent)
            if layout is None or match is None:
                _one_by_one(kind, body, origin, collector, account)
                continue
            account.entry(True)
            layout.rows.append(match.groups())
            layout.origins.append(origin)
        others = line_count(block) - records
        account.entries += others
        account.other += others
        for (kind, _), layout in layouts.items():
            _convert(kind, layout, collector, account)
    return FileTelemetry(path, "megatron", "byte", (collector.finish(),), account)


def _seconds(stamp: bytes) -> float:
    try:
        return datetime.fromisoformat(stamp.decode()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("nan")


def _records(block: bytes) -> Iterator[tuple[int, bytes | None, str, int, bytes, int]]:
    """(offset, time, kind, step, fields, lines) of the records of a block; wrapped lines are joined."""
    position = 0
    while match := RECORD.search(block, position):
        position = match.end()
        stamp, iteration, kind, evaluated, body = match.groups()
        lines = 1
        if not body.rstrip().endswith(b"|") or _GOES_ON.match(block, position + 1):
            joined, end, more = _joined(block, position, body)
            if joined.endswith(b"|"):
                body, position, lines = joined, end, 1 + more
        step = int((iteration or evaluated)[:20])
        yield match.start(), stamp, f"{kind.decode()} " if kind else "", step, body, lines


def _joined(block: bytes, position: int, body: bytes) -> tuple[bytes, int, int]:
    """(fields, where they end, lines added) with the lines that follow, up to one that ends a record."""
    joined = body.rstrip(b"\r")
    for added in range(1, _CONTINUED + 1):
        end = block.find(b"\n", position + 1)
        line = block[position + 1 : end if end >= 0 else len(block)].rstrip(b"\r")
        if not line or RECORD.search(line) or line.lstrip().startswith(b"time (ms)"):
            break
        joined += _PREFIX.sub(b"", line, count=1)
        position = end if end >= 0 else len(block)
        if joined.rstrip().endswith(b"|") and not _GOES_ON.match(block, position + 1):
            return joined.rstrip(), position, added
        if end < 0:
            break
    return body, position, 0


def _other_layout(
    kind: str, body: bytes, layouts: dict[tuple[str, tuple[bytes, ...]], _Layout], recent: dict[str, _Layout]
) -> tuple[_Layout | None, re.Match[bytes] | None]:
    """A layout that a record fits, known or new; None if it must be read field by field."""
    fields = body.rstrip().split(b"|")
    if fields[-1].strip():  # the last field is not ended: it may be cut
        return None, None
    keys = tuple(field.rpartition(b":")[0].strip() for field in fields[:-1])
    if not all(keys) or len(set(keys)) != len(keys):
        return None, None
    layout = layouts.get((kind, keys))
    if layout is None:
        if len(layouts) >= _LAYOUTS:
            return None, None
        layout = layouts[kind, keys] = _Layout(keys)
    recent[kind] = layout
    return layout, layout.pattern.match(body.rstrip())


def _one_by_one(kind: str, body: bytes, origin: tuple[int, float, int], collector: Collector, account: Account) -> None:
    """Read a record that fits no layout."""
    step, wall, offset = origin
    *fields, last = body.rstrip().split(b"|")
    used = False
    seen: set[bytes] = set()
    for field in fields:
        key, _, value = field.rpartition(b":")
        key = key.strip()
        if key in seen:
            account.refuse_value(offset, Refusal.DUPLICATE_KEY, text_of(field))
            continue
        seen.add(key)
        if not key:
            if field.strip():
                account.refuse_value(offset, Refusal.MALFORMED, text_of(field))
            continue
        used = _value(kind, key, value.strip(), step, wall, offset, collector, account) or used
    if last.strip():
        account.refuse_value(offset, Refusal.TRUNCATED, text_of(last))
    account.entry(used)


def _value(
    kind: str, key: bytes, text: bytes, step: int, wall: float, offset: int, collector: Collector, account: Account
) -> bool:
    try:
        value = float(text)
    except ValueError:
        account.refuse_value(offset, Refusal.NOT_A_NUMBER, f"{text_of(key)}: {text_of(text)}")
        return False
    return collector.add(kind + text_of(key), step, value, wall, offset)


def _convert(kind: str, layout: _Layout, collector: Collector, account: Account) -> None:
    """Convert the collected rows of a layout, column by column."""
    if not layout.rows:
        return
    rows, origins = layout.rows, layout.origins
    layout.rows, layout.origins = [], []
    try:
        values = np.array(rows, "S40").astype(np.float64)
        steps = np.array([origin[0] for origin in origins], np.int64)
        positions = [collector.position(kind + text_of(key)) for key in layout.keys]
        if min(positions) < 0 or steps.max() > 2**62:
            raise ValueError
    except (ValueError, OverflowError):
        for row, (step, wall, offset) in zip(rows, origins, strict=True):
            for key, text in zip(layout.keys, row, strict=True):
                _value(kind, key, text, step, wall, offset, collector, account)
        return
    n, width = values.shape
    walls = np.array([origin[1] for origin in origins])
    offsets = np.array([origin[2] for origin in origins], np.int64)
    collector.extend(
        np.tile(np.array(positions, np.int32), n),
        np.repeat(steps, width),
        values.reshape(-1),
        np.repeat(walls, width),
        np.repeat(offsets, width),
    )
