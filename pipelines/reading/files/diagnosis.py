"""Finds out from its bytes why a shard cannot be read: another format or encoding, padding, or truncation.

`check_beginning` runs before a shard is planned; the others only if reading failed or gave no document.
"""

from __future__ import annotations

import json
import zlib

import pyarrow as pa

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.signatures import BOM, HEAD_BYTES, identify
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat

_CODECS = {ShardFormat.JSONL_GZ: ("gzip", b"\x1f\x8b"), ShardFormat.JSONL_ZST: ("zstd", b"")}
_BEGINNINGS = {
    ShardFormat.PARQUET: (b"PAR1",),
    ShardFormat.ARROW: (b"ARROW1", b"\xff\xff\xff\xff"),
    ShardFormat.JSONL_GZ: (b"\x1f\x8b",),
}
_ZSTD = b"\x28\xb5\x2f\xfd"
_CONTENT_BYTES = 2**16
_BLOCK = 2**20
_MAX_DECODED = 2**32  # where a gzip member ends is a detail of a message, not worth decoding a bomb
_MAX_SHOWN_KEYS, _KEY_CHARACTERS = 8, 40


def check_beginning(shard: Shard) -> None:
    """Check the first bytes of a shard against its format; of compressed JSON lines also the first decoded bytes.

    A JSON lines file may begin with any bad line: only what is certainly another format is refused.

    Raises:
        ShardError: the shard has another format; the message says which, and what to do.
    """
    if shard.format is ShardFormat.IMAGE_FOLDER:
        return
    head = _head(shard)
    if shard.format is ShardFormat.TAR:
        signature = identify(head)
        if signature is not None and "tar archive;" not in signature.text:
            raise ShardError(shard, _of_archive(signature.text))
        return
    if shard.format is ShardFormat.TAR_ZST and not head.startswith(_ZSTD):
        raise ShardError(shard, "does not begin like zstd data: not a .tar.zst file, or damaged")
    if shard.format is ShardFormat.TAR_ZST:
        return
    if shard.format is ShardFormat.TAR_GZ:
        if not head.startswith(b"\x1f\x8b"):
            raise ShardError(shard, "does not begin like gzip data: not a .tar.gz file, or damaged")
        return
    expected = _BEGINNINGS.get(shard.format, ())
    if expected and head.startswith(expected):
        content = _decoded_head(shard, HEAD_BYTES) if shard.format in _CODECS else b""
        _refuse_binary(shard, content, " when it is decompressed")
        return
    if shard.format is ShardFormat.JSONL:
        _refuse_binary(shard, head)
        return
    if shard.format is ShardFormat.JSONL_ZST:
        if head[:1] in (b"{", b"["):
            raise ShardError(shard, "is not compressed: it begins like JSON; name it .jsonl")
        if (signature := identify(head)) is not None and "zstd data;" not in signature.text:
            raise ShardError(shard, signature.text)
        _refuse_binary(shard, _decoded_head(shard, HEAD_BYTES), " when it is decompressed")
        return
    if (signature := identify(head)) is not None:
        raise ShardError(shard, signature.text)
    if head.removeprefix(BOM).lstrip()[:1] in (b"{", b"["):
        kind = "not compressed" if shard.format in _CODECS else f"no {shard.format} file"
        raise ShardError(shard, f"is {kind}: it begins like JSON; name it .jsonl if it holds JSON lines")
    if shard.format is ShardFormat.JSONL_GZ:
        raise ShardError(shard, "does not begin like gzip data: not a .gz file, or damaged")


def explain_failure(shard: Shard, error: BaseException) -> str:
    """Why decoding failed, as a phrase that follows the shard's name.

    Args:
        shard: unchanged since it was listed.
        error: the exception of the decoder.
    """
    text = str(error).strip()
    if "crypt" in text.lower() and shard.format is ShardFormat.PARQUET:
        return f"has encrypted columns, which cannot be read without a key ({text}); decrypt it first"
    if isinstance(error, MemoryError):
        return f"needs more memory to decode than is available ({text})"
    if isinstance(error, pa.ArrowNotImplementedError):
        return f"contains data of an unsupported type ({text}); write it without that type"
    try:
        zipped = shard.format in (ShardFormat.JSONL_GZ, ShardFormat.TAR_GZ)
        explanation = _explain_gzip(shard) if zipped else None
    except OSError:
        explanation = None
    return explanation or f"cannot be decoded ({text}): truncated or corrupt"


def describe_content(shard: Shard) -> str | None:
    """What a shard without any document contains, as a phrase such as "is a JSON array …"; None if that is unclear."""
    if shard.format in (ShardFormat.PARQUET, ShardFormat.ARROW) or shard.format.is_archive:
        return None
    try:
        head = _decoded_head(shard, _CONTENT_BYTES) if shard.format in _CODECS else _head(shard, _CONTENT_BYTES)
    except OSError:
        return None
    if (signature := identify(head[:HEAD_BYTES])) is not None:
        return signature.text
    start = head.removeprefix(BOM).lstrip()
    line, newline, rest = start.partition(b"\n")
    several = bool(newline and rest.strip())
    if start[:1] == b"[":
        if several and _parsed(line) is None:
            return "is a JSON array spread over several lines; write one document per line, as jq -c '.[]' does"
        if several:
            return "holds a JSON array on every line; write one object per line"
        return "is a JSON array on one line; write one document per line, as jq -c '.[]' does"
    if start[:1] == b"{":
        value = _parsed(line)
        if isinstance(value, dict):
            names = [repr(str(key)[:_KEY_CHARACTERS]) for key in list(value)[:_MAX_SHOWN_KEYS]]
            more = ", …" if len(value) > _MAX_SHOWN_KEYS else ""
            return f"begins with an object with the keys {', '.join(names) or '(none)'}{more}"
        if several:
            return "is JSON spread over several lines; write one document per line, as jq -c . does"
        return "is one line that begins as a JSON object does; write one document per line"
    return None


def _of_archive(text: str) -> str:
    """What a file is, with the name that a compressed archive has."""
    return text.replace("name it .jsonl.", "name it .tar.").replace(" if it holds JSON lines", " if it is an archive")


def _refuse_binary(shard: Shard, head: bytes, suffix: str = "") -> None:
    signature = identify(head)
    if signature is not None and signature.binary:
        description, _, advice = signature.text.partition("; ")
        raise ShardError(shard, f"{description}{suffix}; {advice}")


def _head(shard: Shard, count: int = HEAD_BYTES) -> bytes:
    with filesystems.open_binary(shard.path) as file:
        return bytes(file.read(count))


def _decoded_head(shard: Shard, count: int) -> bytes:
    """The first decoded bytes; empty if they cannot be decoded, which reading the shard will report."""
    try:
        with filesystems.open_arrow(shard.path) as file:
            return bytes(pa.CompressedInputStream(file, _CODECS[shard.format][0]).read(count))
    except (pa.ArrowException, OSError):
        return b""


def _explain_gzip(shard: Shard) -> str | None:
    """What follows the last complete member of a .gz file, or in which member the file ends; None if unclear."""
    members, start, position, decoded = 0, 0, 0, 0
    decoder = zlib.decompressobj(wbits=31)
    with filesystems.open_binary(shard.path) as file:
        while block := file.read(_BLOCK):
            while block:
                try:
                    decoded += len(decoder.decompress(block, _BLOCK))
                except zlib.error:
                    return _behind_gzip(shard, members, start)
                remainder = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                position += len(block) - len(remainder)
                if decoder.eof:
                    members, start, decoder = members + 1, position, zlib.decompressobj(wbits=31)
                if decoded > _MAX_DECODED:
                    return None
                block = remainder
    if position > start:
        return f"is truncated: its last gzip member (number {members + 1:,}, from byte {start:,}) is incomplete"
    return None


def _behind_gzip(shard: Shard, members: int, start: int) -> str | None:
    if not members:
        return None
    with filesystems.open_binary(shard.path) as file:
        file.seek(start)
        count = shard.size - start
        while block := file.read(_BLOCK):
            if block.strip(b"\x00"):
                return None if block.startswith(b"\x1f\x8b") else (
                    f"contains {count:,} bytes that are not gzip data after its last complete member (at {start:,}): "
                    "damaged, or something was appended"
                )  # fmt: skip
    return (
        f"ends with {count:,} zero bytes after its last complete gzip member (at {start:,}): padding, as tapes and "
        f"block copies add it, or lost data; if it is padding, remove it: truncate -s {start} FILE"
    )


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
