"""Why a shard cannot be read, looked up in its bytes: another format, another encoding, padding, or a cut.

`check_beginning` is asked before a shard is planned; the others only when reading has failed or gave no document.
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
_CONTENT_BYTES = 2**16
_BLOCK = 2**20
_MOST_DECODED = 2**32
_NAMED_KEYS, _KEY_CHARACTERS = 8, 40


def check_beginning(shard: Shard) -> None:
    """Hold the first bytes of a shard against its format; of compressed JSON lines the first decoded ones too.

    A JSON lines file may begin with any bad line: only what is certainly another format is refused.

    Raises:
        ShardError: the shard is of another format; the message says of which, and what to do.
    """
    head = _head(shard)
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
            raise ShardError(shard, "is not compressed: it begins as JSON does; name it .jsonl")
        if (signature := identify(head)) is not None and "zstd data;" not in signature.text:
            raise ShardError(shard, signature.text)
        _refuse_binary(shard, _decoded_head(shard, HEAD_BYTES), " when it is decompressed")
        return
    if (signature := identify(head)) is not None:
        raise ShardError(shard, signature.text)
    if head.removeprefix(BOM).lstrip()[:1] in (b"{", b"["):
        what = "not compressed" if shard.format in _CODECS else f"no {shard.format} file"
        raise ShardError(shard, f"is {what}: it begins as JSON does; name it .jsonl if it holds JSON lines")
    if shard.format is ShardFormat.JSONL_GZ:
        raise ShardError(shard, "does not begin as gzip data does: not a .gz file, or damaged")


def explain_failure(shard: Shard, error: BaseException) -> str:
    """Why decoding failed, to stand behind the shard's name.

    Args:
        shard: unchanged since it was listed.
        error: what the decoder raised.
    """
    text = str(error).strip()
    if "crypt" in text.lower() and shard.format is ShardFormat.PARQUET:
        return f"has encrypted columns, for which there is no key here ({text}); decrypt it first"
    if isinstance(error, MemoryError):
        return f"needs more memory than there is to be decoded ({text})"
    if isinstance(error, pa.ArrowNotImplementedError):
        return f"holds data of a kind that cannot be read here ({text}); write it without that"
    try:
        found = _explain_gzip(shard) if shard.format is ShardFormat.JSONL_GZ else None
    except OSError:
        found = None
    return found or f"cannot be decoded ({text}): cut or corrupt"


def describe_content(shard: Shard) -> str | None:
    """What a shard holds from which no document came, as "is …"; None where its bytes do not tell."""
    if shard.format in (ShardFormat.PARQUET, ShardFormat.ARROW):
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
            return "is a JSON array over several lines; write one document per line, as jq -c '.[]' does"
        if several:
            return "holds a JSON array on every line; write one object per line"
        return "is a JSON array on one line; write one document per line, as jq -c '.[]' does"
    if start[:1] == b"{":
        value = _parsed(line)
        if isinstance(value, dict):
            names = [repr(str(key)[:_KEY_CHARACTERS]) for key in list(value)[:_NAMED_KEYS]]
            more = ", …" if len(value) > _NAMED_KEYS else ""
            return f"begins with an object of the keys {', '.join(names) or '(none)'}{more}"
        if several:
            return "is JSON over several lines; write one document per line, as jq -c . does"
        return "is one line that begins as a JSON object does; write one document per line"
    return None


def _refuse_binary(shard: Shard, head: bytes, when: str = "") -> None:
    signature = identify(head)
    if signature is not None and signature.binary:
        what, _, advice = signature.text.partition("; ")
        raise ShardError(shard, f"{what}{when}; {advice}")


def _head(shard: Shard, count: int = HEAD_BYTES) -> bytes:
    with filesystems.open_binary(shard.path) as file:
        return bytes(file.read(count))


def _decoded_head(shard: Shard, count: int) -> bytes:
    """The first decoded bytes; none if they cannot be decoded, which reading reports."""
    try:
        with filesystems.open_arrow(shard.path) as file:
            return bytes(pa.CompressedInputStream(file, _CODECS[shard.format][0]).read(count))
    except (pa.ArrowException, OSError):
        return b""


def _explain_gzip(shard: Shard) -> str | None:
    """What stands behind the last whole member of a .gz file, or in which member it ends."""
    whole, start, position, decoded = 0, 0, 0, 0
    decoder = zlib.decompressobj(wbits=31)
    with filesystems.open_binary(shard.path) as file:
        while block := file.read(_BLOCK):
            while block:
                try:
                    decoded += len(decoder.decompress(block, _BLOCK))
                except zlib.error:
                    return _behind_gzip(shard, whole, start)
                left = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                position += len(block) - len(left)
                if decoder.eof:
                    whole, start, decoder = whole + 1, position, zlib.decompressobj(wbits=31)
                if decoded > _MOST_DECODED:
                    return None
                block = left
    if position > start:
        return f"ends inside a gzip member that begins at byte {start:,}: cut; {whole:,} before it are whole"
    return None


def _behind_gzip(shard: Shard, whole: int, start: int) -> str | None:
    if not whole:
        return None
    with filesystems.open_binary(shard.path) as file:
        file.seek(start)
        count = shard.size - start
        while block := file.read(_BLOCK):
            if block.strip(b"\x00"):
                return None if block.startswith(b"\x1f\x8b") else (
                    f"holds {count:,} bytes that are no gzip data behind its last whole member (at {start:,}): "
                    "damaged, or something was appended"
                )  # fmt: skip
    return (
        f"ends with {count:,} zero bytes behind its last whole gzip member (at {start:,}): padding, as tapes and "
        f"copies of blocks leave it, or lost data; if it is padding, cut the file there: truncate -s {start} FILE"
    )


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
