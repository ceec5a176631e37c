"""Text to token ids: gigatoken where it agrees with the reference, `tokenizers` otherwise.

Counts are without special tokens. Truncation and padding that a tokenizer.json sets are switched off, or a long
document would count as its first 128 tokens, and reported.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.atomic import atomic_write
from corpus_audit.schemas.errors import UsageError

FAST, REFERENCE = "gigatoken", "tokenizers"

_PROBES = (
    "",
    " ",
    "Hello, world! It's 2024; don't panic.",
    "def f(x):\n\treturn x  # comment\n\n\n",
    "na\u00efve caf\u00e9 \u4f60\u597d \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \U0001f642\U0001f469\u200d\U0001f680",
    "a\u00a0b\u2003c\u3000d\r\n e\x00f\x1fg",
    "1234567890 3.14159 0xDEADBEEF   \t  trailing   ",
)
"""Strings on which both paths must agree before the fast one is used at all; every run then checks its own text."""


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """A tokenizer.json as it is used: its text with truncation and padding off, and what identifies it.

    Attributes:
        name: what the spec calls it.
        sha256: of the file's bytes.
        path: a copy of it with those settings off, which both paths load; workers are sent the path, not the megabytes.
        switched_off: settings that were removed, such as ``truncation (max_length 128)``.
        vocabulary: one more than the largest token id.
    """

    name: str
    sha256: str
    path: Path
    switched_off: tuple[str, ...]
    vocabulary: int


def load_tokenizer(name: str, base: Path, folder: Path) -> TokenizerFile:
    """Find and read a tokenizer.json: a file, a folder that holds one, or a hub name.

    What is used is written into ``folder``, under its digest.

    Raises:
        UsageError: when it cannot be found or is not a tokenizer.
    """
    path = (base / name).expanduser()
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        path = _from_hub(name)
    data = path.read_bytes()
    switched_off = []
    try:
        content = json.loads(data)
        for key in ("truncation", "padding"):
            setting = content.get(key)
            if setting is not None:
                detail = setting.get("max_length") if key == "truncation" else setting.get("strategy")
                switched_off.append(f"{key} ({json.dumps(detail)})")
                content[key] = None
        text = json.dumps(content, ensure_ascii=False)
        vocabulary = max(_reference(text).get_vocab(with_added_tokens=True).values()) + 1
    except Exception as error:  # tokenizers raises bare Exception
        raise UsageError(f"{path} is not a tokenizer.json that tokenizers can load: {error}") from error
    used = text.encode()
    place = folder / f"{hashlib.sha256(used).hexdigest()}.json"
    if not place.exists():
        atomic_write(place, used)
    return TokenizerFile(name, hashlib.sha256(data).hexdigest(), place, tuple(switched_off), vocabulary)


def _from_hub(name: str) -> Path:
    problem = f"no tokenizer at {name}: give the path of a tokenizer.json, or of a folder that holds one"
    if name.endswith(".json") or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise UsageError(problem)
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UsageError(f"{problem}; hub names need the extra: pip install 'corpus-audit[hub]'") from None
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except Exception as error:
        raise UsageError(f"{problem}; asking the hub failed: {error}") from error


def _reference(text: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token ids of D documents: uint32 [T], and int64 [D + 1] offsets into them."""

    ids: np.ndarray
    offsets: np.ndarray


class Tokenization:
    """Encodes batches of documents; one object a process, used by all its threads.

    A gigatoken tokenizer holds a lock while it encodes, so that threads sharing one take turns (measured: no gain from
    a second thread); each thread therefore has its own.

    Attributes:
        path: `FAST` or `REFERENCE`, the one in use.
        reason: why the reference path is used, if it is.
        path_version: version of the package in use.
    """

    def __init__(self, file: TokenizerFile) -> None:
        self.file = file
        self._text = file.path.read_text(encoding="utf-8")
        self._fast: dict[int, Any] = {}
        self._tokenizer = _reference(self._text)
        self.path, self.reason = FAST, ""
        try:
            import gigatoken  # noqa: F401
        except ImportError as error:
            self.path, self.reason = REFERENCE, f"gigatoken is not installed here ({error})"
        else:
            try:
                probes = pa.array(_PROBES, pa.large_string())
                fast, reference = self._encode_fast(probes), self.encode_reference(list(_PROBES))
                if fast.ids.tobytes() != reference.ids.tobytes() or (fast.offsets != reference.offsets).any():
                    self.path, self.reason = REFERENCE, "gigatoken gives other ids for this tokenizer"
            except Exception as error:  # gigatoken refuses what it does not support with assorted types
                first_line = (str(error) or type(error).__name__).splitlines()[0]
                self.path, self.reason = REFERENCE, f"gigatoken does not support this tokenizer ({first_line})"
        self.release()  # the probes' tokenizer: workers have their own
        self.path_version = importlib.metadata.version(self.path)

    @property
    def reference_version(self) -> str:
        """Version of the reference."""
        return importlib.metadata.version(REFERENCE)

    def encode(self, text: pa.LargeStringArray) -> TokenBatch:
        """Token ids of every document."""
        if self.path == FAST:
            return self._encode_fast(text)
        return self.encode_reference(text.to_pylist())

    def encode_reference(self, texts: list[str]) -> TokenBatch:
        """Token ids by the reference."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(encoding) for encoding in encodings], out=offsets[1:])
        ids = np.empty(int(offsets[-1]), np.uint32)
        for i, encoding in enumerate(encodings):
            ids[offsets[i] : offsets[i + 1]] = encoding.ids
        return TokenBatch(ids, offsets)

    def texts(self) -> pa.Array:
        """What every token id decodes to by itself, string [vocabulary].

        A token that is a part of a character has its bytes written ``\\xe4``, one that decodes to nothing the
        tokenizer's own name; an id without a token is ``token <id>``.
        """
        size = self.file.vocabulary
        decoded = self._tokenizer.decode_batch([[token] for token in range(size)], skip_special_tokens=False)
        texts = [
            text if text and "\ufffd" not in text else _named(self._tokenizer.id_to_token(token) or f"token {token}")
            for token, text in enumerate(decoded)
        ]
        return pa.array(texts, pa.string())

    def _encode_fast(self, text: pa.LargeStringArray) -> TokenBatch:
        """Arrow buffers in, numpy views out: no Python object a document or a token."""
        import awkward as ak

        offsets, data = text_buffers(text)
        if len(data) == 0:
            return TokenBatch(np.empty(0, np.uint32), np.zeros(len(text) + 1, np.int64))
        documents = ak.Array(
            ak.contents.ListOffsetArray(
                ak.index.Index64(offsets),
                ak.contents.NumpyArray(data, parameters={"__array__": "char"}),
                parameters={"__array__": "string"},
            )
        )
        # Our workers are the parallelism; gigatoken's own pool would compete with them.
        layout = self._fast_tokenizer().encode_batch(documents, parallel=False).layout
        ends = np.asarray(layout.offsets.data).astype(np.int64, copy=False)
        ids = np.asarray(layout.content.data)
        if ids.dtype != np.uint32:
            ids = ids.astype(np.uint32)
        if ends[0] != 0 or len(ids) != ends[-1]:
            ids, ends = ids[ends[0] : ends[-1]], ends - ends[0]
        return TokenBatch(ids, ends)

    def _fast_tokenizer(self) -> Any:
        thread = threading.get_ident()
        if thread not in self._fast:
            import gigatoken

            self._fast[thread] = gigatoken.Tokenizer.from_json(self._text)
        return self._fast[thread]

    def release(self) -> None:
        """Give back what threads keep: a gigatoken tokenizer's cache of words takes some hundred megabytes."""
        self._fast.clear()


def text_buffers(text: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [D + 1] starting at 0, data uint8) of an Arrow string array, without copying the data."""
    if len(text) == 0:
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    buffers = text.buffers()
    offsets = np.frombuffer(buffers[1], np.int64)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] else np.empty(0, np.uint8)
    start, stop = int(offsets[0]), int(offsets[-1])
    return (offsets - start if start else offsets), data[start:stop]


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for every byte (Radford et al. 2019, ``bytes_to_unicode``)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_alphabet()
_FALLBACK = re.compile("<0x([0-9A-F]{2})>")


def _named(piece: str) -> str:
    """A token that is no whole text: its bytes, where its name is of byte-level BPE or a byte fallback."""
    fallback = _FALLBACK.fullmatch(piece)
    if fallback is not None:
        return f"\\x{fallback[1].lower()}"
    if piece.isascii() or any(character not in _BYTES for character in piece):
        return piece
    return bytes(_BYTES[character] for character in piece).decode("utf-8", "backslashreplace")
