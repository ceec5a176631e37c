"""Lines of a text log in blocks of bounded size, with the offset of each block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from corpus_audit.pipelines.telemetry.log_file import LogFile
from corpus_audit.pipelines.telemetry.points import Account, Refusal

BLOCK = 2**23
"""Bytes; a line that is longer is refused."""

NUMBER = rb"[-+]?(?:\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|(?i:nan|inf(?:inity)?)(?=ms|[^A-Za-z]|$))"
"""A number as logs write them: ``1,234.5``, ``1.2E-05``, ``nan``, ``-inf``."""

_COLOUR = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")


def line_blocks(path: Path, account: Account, size: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, whole lines) of a file; colours are replaced by as many spaces, so that offsets stay.

    The lines are not counted in ``account``, but for those that are too long, and the one within which compressed data
    become unreadable.
    """
    with LogFile(path) as file:
        file.note(account)
        offset = 0
        rest = b""
        while piece := file.read(size):
            block = rest + piece
            cut = block.rfind(b"\n") + 1
            if not cut and len(block) > size:
                account.refuse(offset, Refusal.TOO_LARGE, f"a line of more than {size} bytes")
                offset += len(block)
                while piece and (end := piece.find(b"\n")) < 0:  # nothing of it is kept
                    piece = file.read(size)
                    offset += len(piece)
                rest = piece[end + 1 :] if piece else b""
                offset -= len(rest)
                continue
            if cut:
                yield offset, _plain(block[:cut])
                offset += cut
            rest = block[cut:]
        if file.fault is not None:
            account.refuse(offset, *file.fault)
        elif rest:
            yield offset, _plain(rest)


def _plain(block: bytes) -> bytes:
    if b"\x1b" not in block:
        return block
    return _COLOUR.sub(lambda match: b" " * len(match[0]), block)


def line_count(block: bytes) -> int:
    """Lines of a block; the last may lack its end."""
    return block.count(b"\n") + (not block.endswith(b"\n"))


def number(text: bytes) -> float:
    """The value of what `NUMBER` matches."""
    return float(text.replace(b",", b""))


def text_of(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 become escapes."""
    return name.decode("utf-8", "backslashreplace")
