"""Identifies a file by its first bytes (magic numbers), whatever its name, before it is called damaged."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES = 4096
"""First bytes of a file that `identify` needs."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileSignature:
    """A kind of file that `identify` recognises.

    Attributes:
        text: what the file is and what to do, as a phrase that follows the file's name: "is gzip data; …".
        binary: whether the bytes cannot be the beginning of JSON lines with a bad first line.
    """

    text: str
    binary: bool = True


_REWRITE = "write its rows as Parquet, Arrow IPC or JSON lines"
_UNPACK = "unpack it, and write its rows as Parquet, Arrow IPC or JSON lines"
_RECOMPRESS = "decompress it, or compress it anew with gzip or zstd"

_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, rb"\x1f\x8b", "is gzip data; decompress it, or name it .jsonl.gz if it holds JSON lines"),
    (0, rb"\x28\xb5\x2f\xfd", "is zstd data; decompress it, or name it .jsonl.zst if it holds JSON lines"),
    (0, rb"[\x50-\x5f]\x2a\x4d\x18", "is zstd data; decompress it, or name it .jsonl.zst if it holds JSON lines"),
    (0, rb"[\x22-\x27]\xb5\x2f\xfd", f"is zstd data written by a version before 0.8; {_RECOMPRESS}"),
    (0, rb"\xfd7zXZ\x00", f"is xz data; {_RECOMPRESS}"),
    (0, rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", f"is bzip2 data; {_RECOMPRESS}"),
    (0, rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", f"is lz4 data; {_RECOMPRESS}"),
    (0, rb"\xff\x06\x00\x00sNaPpY", f"is Snappy data; {_RECOMPRESS}"),
    (0, rb"\x1f[\x9d\xa0]", f"is data compressed by the program compress; {_RECOMPRESS}"),
    (0, rb"PK(\x03\x04|\x05\x06|\x07\x08)", f"is a zip archive; {_UNPACK}"),
    (0, rb"7z\xbc\xaf\x27\x1c", f"is a 7z archive; {_UNPACK}"),
    (0, rb"Rar!\x1a\x07", f"is a rar archive; {_UNPACK}"),
    (257, rb"ustar(\x00|  \x00)", f"is a tar archive; {_UNPACK}"),
    (0, rb"PAR1", "is Parquet; name it .parquet"),
    (
        0,
        rb"PARE",
        "is encrypted Parquet (its footer is encrypted), which cannot be read without a key; decrypt it first",
    ),
    (0, rb"ARROW1", "is an Arrow IPC file (Feather V2); name it .arrow"),
    (0, rb"\xff\xff\xff\xff[\x00-\xff]{2}[\x00-\x03]\x00", "is an Arrow IPC stream; name it .arrow"),
    (
        0,
        rb"FEA1",
        "is Feather V1, an older format than Arrow IPC; rewrite it: pyarrow.feather.write_feather(pyarrow.feather."
        "read_table(old), new)",
    ),
    (0, rb"ORC", f"is ORC; {_REWRITE}"),
    (0, rb"Obj\x01", f"is Avro; {_REWRITE}"),
    (0, rb"SEQ[\x04-\x06]", f"is a Hadoop sequence file; {_REWRITE}"),
    (0, rb"\xff\xd8\xff|\x89PNG\r\n", "is an image; it holds no documents"),
    (0, rb"%PDF-", "is a PDF document; extract its text first"),
    (0, rb"\x80[\x02-\x05]", f"is a Python pickle, which is never loaded here; {_REWRITE}"),
    (0, rb"SQLite format 3\x00", f"is an SQLite database; {_REWRITE}"),
    (8, rb"DUCK[\x00-\xff]\x00\x00\x00", f"is a DuckDB database; {_REWRITE}"),
    (0, rb"\x93NUMPY", f"is a NumPy array; {_REWRITE}"),
    (0, rb"\x89HDF\r\n\x1a\n", f"is HDF5; {_REWRITE}"),
    (0, rb"\x7fELF", "is a program; it holds no documents"),
    (
        0,
        rb"version https://git-lfs|version https://hawser",
        "is a Git LFS pointer, not the file itself; run `git lfs pull`",
    ),
    (0, rb"(\.\./)*(\.git/|/)annex/objects/", "is a git-annex pointer, not the file itself; run `git annex get`"),
)  # fmt: skip

_PATTERNS = tuple((offset, re.compile(pattern, re.DOTALL), text) for offset, pattern, text in _MAGICS)

_TEXTS: tuple[tuple[bytes, str], ...] = (
    (
        rb"<!doctype html|<html|<head|<body",
        "is an HTML page, such as an error page that was saved under its name; fetch it again",
    ),
    (rb"<\?xml|<error>", "is XML, such as an object store's error message saved under its name; fetch it again"),
    (rb"WARC/[01]\.", f"is a WARC archive; {_REWRITE}"),
)  # fmt: skip

_TEXT_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in _TEXTS)


def identify(head: bytes) -> FileSignature | None:
    """The kind of file that begins with these bytes (the first `HEAD_BYTES`, or all of a shorter file); None if
    unknown.

    JSON itself, and text of no format, are None.
    """
    for offset, pattern, text in _PATTERNS:
        # "ORC" and the like may also begin a line of text: what is wholly printable is not taken for a binary format.
        if pattern.match(head, offset) and not (len(pattern.pattern) <= 4 and _is_printable(head)):
            return FileSignature(text)
    for mark in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff", b"\xff\xfe", b"\xfe\xff"):
        if head.startswith(mark):
            return FileSignature(f"is UTF-{32 if len(mark) == 4 else 16} text; write it as UTF-8", binary=False)
    start = head.removeprefix(BOM).lstrip()
    for text_pattern, text in _TEXT_PATTERNS:
        if text_pattern.match(start):
            return FileSignature(text, binary=False)
    if head and not head.strip(b"\x00"):
        return FileSignature("begins with zero bytes: its content was never written, or was lost", binary=False)
    if len(head) >= 4 and (head[1:64:2].strip(b"\x00") == b"" or head[:64:2].strip(b"\x00") == b""):
        return FileSignature("is UTF-16 text; write it as UTF-8", binary=False)
    return None


def _is_printable(head: bytes) -> bool:
    return head.isascii() and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)
