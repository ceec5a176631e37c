"""Reads text logs with a step and named numbers on a line: torchtitan, lingua, nanoGPT, llm.c, DeepSpeed, OLMo-core.

Each format is a pattern of where a line names its step and how names and numbers follow. OLMo-core writes the numbers
on indented lines below the one with the step. Two columns of numbers, a step and a value, are a format of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from corpus_audit.pipelines.telemetry.lines import NUMBER, line_blocks, number, text_of
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry, Refusal

_END = rb"(?![\w.])"
_NAMED = re.compile(rb"(?<![\w./-])([A-Za-z_][\w./-]{0,199})[ \t]*[:=][ \t]*(" + NUMBER + rb")")
_STAMP = re.compile(rb"\b(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How a log writes its steps.

    Attributes:
        name: of the format.
        head: matches a line up to its numbers; the group is the step.
        pairs: matches a name and a number; groups name and number, or number and name where ``reversed_pairs`` matches.
        below: matches a line below that has a name and a number.
    """

    name: str
    head: re.Pattern[bytes]
    pairs: re.Pattern[bytes] = _NAMED
    reversed_pairs: re.Pattern[bytes] | None = None
    below: re.Pattern[bytes] | None = None


_SPACED = re.compile(
    rb"(?:^|[,|])[ \t]*([A-Za-z][A-Za-z_ ]{0,60}?)[ \t]{1,40}(" + NUMBER + rb")" + rb"(?=[ \t]*(?:$|[,|(]|ms|s\b|%))"
)

FORMATS = (
    TextFormat(
        "olmo",
        re.compile(rb"\[step=(\d+)(?:/\d+)?(?:,[^\]\n]{0,200})?\]"),
        below=re.compile(rb"^[ \t]+([A-Za-z_][\w./ ()-]{0,199}?)[ \t]{0,40}=[ \t]*(" + NUMBER + rb")[ \t]*$"),
    ),
    TextFormat(
        "deepspeed",
        re.compile(rb"\[Rank \d+\][ \t]+step=(\d+),|\bsteps: (\d+) (?=loss:)"),
        re.compile(rb"(?<![\w/])([A-Za-z_][\w/]{0,199}(?: [a-z]{1,60} \(s\))?)[ \t]*[:=][ \t]*\[?(" + NUMBER + rb")"),
    ),
    TextFormat("llm.c", re.compile(rb"^s:(\d+)(?= \w+:)")),
    TextFormat("modded-nanogpt", re.compile(rb"^step:(\d+)/\d+(?= \w+:)")),
    TextFormat(
        "llm.c terminal",
        re.compile(rb"^step[ \t]+(\d+)/\d+[ \t]*(?=\|)"),
        _SPACED,
        re.compile(rb"\|[ \t]*(" + NUMBER + rb")[ \t]*(ms|tok/s|% [A-Za-z0-9]+ MFU)" + _END),
    ),
    TextFormat("nanogpt", re.compile(rb"^(?:iter|step) (\d+):(?= (?:train )?loss )"), _SPACED),
    TextFormat("torchtitan", re.compile(rb"(?:^|[ \t])step:[ \t]*(\d+)[ \t]+(?=[\w./]+:[ \t]*[-+\d.n])")),
    TextFormat(
        "two columns", re.compile(rb"^(\d+)(?=[ \t]+" + NUMBER + rb"[ \t]*\r?$)"), re.compile(rb"()(" + NUMBER + rb")")
    ),
)
"""In the order in which they are tried."""

BY_NAME = {text_format.name: text_format for text_format in FORMATS}


def read_step_text(path: Path, text_format: TextFormat) -> FileTelemetry:
    """The numbers of every line that names a step; all other lines are counted as ``other``."""
    account = Account()
    collector = Collector(account)
    current: tuple[int, float, int] | None = None  # the step that indented lines belong to
    in_use = False
    for offset, line in _lines(path, account):
        head = text_format.head.search(line)
        if head is None:
            below = text_format.below.match(line.rstrip(b"\r")) if text_format.below and current else None
            if below is None:
                current = None
                account.entry(False)
            else:
                step, wall, _ = current or (0, 0.0, 0)
                account.entry(_add(below[1], below[2], step, wall, offset, collector, account))
            continue
        digits = next(group for group in head.groups() if group)
        step = int(digits[:20])
        stamp = _STAMP.search(line)
        wall = _seconds(stamp[1]) if stamp else float("nan")
        current = (step, wall, offset)
        rest = line[head.end() :].rstrip(b"\r")
        in_use = False
        seen: set[bytes] = set()
        for name, text in _pairs(text_format, rest):
            if name in seen:
                account.refuse_value(offset, Refusal.DUPLICATE_KEY, text_of(name))
                continue
            seen.add(name)
            in_use = _add(name, text, step, wall, offset, collector, account) or in_use
        account.entry(in_use)
    return FileTelemetry(path, text_format.name, "byte", (collector.finish(),), account)


def _pairs(text_format: TextFormat, rest: bytes) -> Iterator[tuple[bytes, bytes]]:
    for match in text_format.pairs.finditer(rest):
        yield match[1].strip() or b"value", match[2]
    if text_format.reversed_pairs is not None:
        for match in text_format.reversed_pairs.finditer(rest):
            yield match[2], match[1]


def _add(name: bytes, text: bytes, step: int, wall: float, offset: int, collector: Collector, account: Account) -> bool:
    try:
        value = number(text)
    except ValueError:
        account.refuse_value(offset, Refusal.NOT_A_NUMBER, text_of(name + b": " + text))
        return False
    return collector.add(text_of(name), step, value, wall, offset)


def _lines(path: Path, account: Account) -> Iterator[tuple[int, bytes]]:
    for offset, block in line_blocks(path, account):
        for line in block.split(b"\n") if not block.endswith(b"\n") else block[:-1].split(b"\n"):
            yield offset, line
            offset += len(line) + 1


def _seconds(stamp: bytes) -> float:
    try:
        return datetime.fromisoformat(stamp.decode()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("nan")
