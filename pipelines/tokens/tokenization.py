"""Text to token ids: gigatoken where it agrees with the reference, `tokenizers` otherwise.

Counts are without special tokens. Truncation, padding and dropout that a tokenizer.json sets are switched off, or a
long document would count as its first 128 tokens and another time as other ones, and reported.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import orjson
import pyarrow as pa

from corpus_audit.pipelines.tokens.admissions import is_admitted, write_admission
from corpus_audit.pipelines.tokens.file import FAST as FAST
from corpus_audit.pipelines.tokens.file import REFERENCE as REFERENCE
from corpus_audit.pipelines.tokens.file import TokenizerFile as TokenizerFile
from corpus_audit.pipelines.tokens.file import call_tokenizer, name_and_version, reference_of
from corpus_audit.pipelines.tokens.file import load_tokenizer as load_tokenizer
from corpus_audit.pipelines.tokens.probes import byte_alphabet, probes
from corpus_audit.pipelines.tokens.settings import unsupported_setting
from corpus_audit.pipelines.tokens.slices import SLICE_CHARACTERS, may_cut, slices
from corpus_audit.schemas.errors import NoVerdictError, TokenizerMismatchError, UsageError

MAX_SLICE_CHARACTERS = 2**24
"""A document that cannot be cut (see `tokenizer.slices`) must not be longer for the reference: it takes 2 GB there."""

ENCODED_ALONE, BYTES_A_CALL = 2**23, 512
"""The first bytes of a process that are encoded by a call a document, whose own cost counts as so many bytes. The call
for many documents returns an awkward array, and importing awkward costs a small audit more than that call saves."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token ids of D documents: uint32 [T], and int64 [D + 1] offsets into them."""

    ids: np.ndarray
    offsets: np.ndarray

    def of(self, d: int) -> np.ndarray:
        """The ids of one document."""
        ids: np.ndarray = self.ids[self.offsets[d] : self.offsets[d + 1]]
        return ids


class Tokenization:
    """Encodes batches of documents; one object a process, used by all its threads.

    The fast path is admitted by probes made from the tokenizer itself (`tokenizer.probes`); the store remembers what
    passed. A gigatoken tokenizer holds a lock while it encodes, so that threads sharing one take turns (measured: no
    gain from a second thread); each thread therefore has its own.

    Attributes:
        path: `FAST` or `REFERENCE`, the one in use.
        reason: why the reference path is used, if it is.
        path_version: version of the package in use.

    Raises:
        UsageError: the file's engine is ``fast`` and the fast path is not admitted; the message says why.
    """

    def __init__(self, file: TokenizerFile) -> None:
        self.file = file
        self._text = file.path.read_text(encoding="utf-8")
        self._fast: dict[int, Any] = {}
        self._unused: list[Any] = []
        self._encoded_alone = 0
        self._tokenizer = reference_of(self._text)
        content = orjson.loads(self._text)
        self._may_cut = may_cut(content)
        if file.engine == "reference":
            self.path, self.reason = REFERENCE, file.reason or "tokenizer.engine is reference"
        else:
            self.reason = self._refusal(content)
            self.path = REFERENCE if self.reason else FAST
            if self.reason and file.engine == "fast":
                raise UsageError(f"tokenizer.engine is fast, but {self.reason}; use engine: auto or reference")
        self._unused = list(self._fast.values())  # the probes' tokenizer, for the first thread that needs one
        self._fast.clear()
        self.path_version = importlib.metadata.version(self.path)

    def _refusal(self, content: Mapping[str, Any]) -> str:
        """Why the fast path may not count; "" if it may. ``content`` is that of the tokenizer.json."""
        try:
            import gigatoken  # noqa: F401
        except ImportError as error:
            return f"{FAST} is not installed here ({error})"
        versions = (name_and_version(FAST), name_and_version(REFERENCE))
        if is_admitted(self.file.path, versions):
            return ""
        setting = unsupported_setting(content)
        if setting:
            return f"{FAST} may not support a setting of this tokenizer ({setting})"
        texts = probes(content)
        try:
            reference = self.encode_reference(texts)
            fast = self._encode_fast(pa.array(texts, pa.large_string()))
        except TokenizerMismatchError as error:
            return f"{FAST} does not support this tokenizer ({error})"
        except NoVerdictError as error:
            return f"{FAST} cannot be compared on this tokenizer ({error})"
        for d, text in enumerate(texts):
            difference = self.difference(fast.of(d), reference.of(d))
            if difference:
                shown = repr(text if len(text) <= 40 else text[:39] + "\u2026")
                return f"{FAST} gives other ids for this tokenizer: on {shown}, {difference}"
        write_admission(self.file.path, versions)
        return ""

    @property
    def identity(self) -> str:
        """What identifies the tokenizer and the path that counts, in the keys of stored partials.

        Counts of the two paths never share a key, because they may differ. The key of the fast path is only the file's
        digest, unless another version of it is known to be wrong on this tokenizer.
        """
        parts = [self.file.sha256]
        if any(setting.startswith("dropout") for setting in self.file.switched_off):
            parts.append("without dropout")
        if self.path == REFERENCE:
            parts.append(REFERENCE)
        elif self.file.mismatched_version:
            parts.append(name_and_version(FAST))
        return ":".join(parts)

    def decided(self) -> TokenizerFile:
        """The file with the path that this object chose as its engine: workers must use the same one or fail."""
        return replace(self.file, engine="fast" if self.path == FAST else "reference", reason=self.reason)

    @property
    def reference_version(self) -> str:
        """Version of the reference."""
        return importlib.metadata.version(REFERENCE)

    def encode(self, text: pa.LargeStringArray) -> TokenBatch:
        """Token ids of every document.

        Raises:
            TokenizerMismatchError: the fast path fails, or gives ids that the tokenizer does not have.
            NoVerdictError: the reference fails on a document, or would need too much memory for it.
        """
        if self.path == FAST:
            return self._encode_fast(text)
        return self.encode_reference(text.to_pylist())

    def encode_reference(self, texts: Sequence[str]) -> TokenBatch:
        """Token ids by the reference.

        Raises:
            NoVerdictError: it fails on a document, which the message names by its content hash.
        """
        encoded: list[np.ndarray] = []
        lengths = np.zeros(len(texts) + 1, np.int64)
        for group in self._groups(texts):
            try:
                texts_of_group = [part for _, part in group]
                parts = call_tokenizer(partial(self._encode_parts, texts_of_group), NoVerdictError)
            except NoVerdictError as error:
                self._explain(texts, [d for d, _ in group], error)
            for (d, _), ids in zip(group, parts, strict=True):
                lengths[d + 1] += len(ids)
            encoded += parts
        return TokenBatch(np.concatenate(encoded) if encoded else np.empty(0, np.uint32), np.cumsum(lengths))

    def _groups(self, texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
        """(document, part of its text) in groups of about `SLICE_CHARACTERS`; encoding needs 140 times that."""
        group: list[tuple[int, str]] = []
        size = 0
        for d, text in enumerate(texts):
            for part in slices(text) if self._may_cut and len(text) > SLICE_CHARACTERS else (text,):
                if group and size + len(part) > SLICE_CHARACTERS:
                    yield group
                    group, size = [], 0
                if len(part) > MAX_SLICE_CHARACTERS:
                    raise NoVerdictError(
                        f"{_document(text)} has {len(part):,} characters without a position where it can be split for "
                        f"this tokenizer; {REFERENCE} needs about 140 bytes of memory for each, and the limit is "
                        f"{MAX_SLICE_CHARACTERS:,}; set limits.document_bytes to {MAX_SLICE_CHARACTERS} to count "
                        "longer documents as dead letters"
                    )
                group.append((d, part))
                size += len(part)
        if group:
            yield group

    def _encode_parts(self, texts: list[str]) -> list[np.ndarray]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, np.uint32) for encoding in encodings]

    def _explain(self, texts: Sequence[str], documents: Sequence[int], error: NoVerdictError) -> NoReturn:
        """Raise the error of a group again with the document that causes it."""
        for d in dict.fromkeys(documents):
            try:
                call_tokenizer(partial(self._encode_parts, [texts[d]]), NoVerdictError)
            except NoVerdictError as alone:
                raise NoVerdictError(
                    f"{REFERENCE} {self.reference_version} fails on {_document(texts[d])}: {alone}"
                ) from None
        raise NoVerdictError(f"{REFERENCE} {self.reference_version} fails: {error}") from None

    def difference(self, fast: np.ndarray, reference: np.ndarray) -> str:
        """The first difference of two lists of ids, with ids and texts, as a phrase; "" if they are equal."""
        common = min(len(fast), len(reference))
        differing = np.flatnonzero(fast[:common] != reference[:common])
        if not len(differing) and len(fast) == len(reference):
            return ""
        first = int(differing[0]) if len(differing) else common
        fast_token, reference_token = (
            self._id_and_text(ids[first]) if first < len(ids) else "no more" for ids in (fast, reference)
        )
        version = importlib.metadata.version(FAST)
        return (
            f"token {first} is {fast_token} by {FAST} {version} ({len(fast)} ids) and {reference_token} by {REFERENCE} "
            f"{self.reference_version} ({len(reference)} ids)"
        )

    def _id_and_text(self, token: int) -> str:
        return f"{token} ({self._text_of([int(token)])[0]!r})"

    def texts(self, ids: np.ndarray) -> pa.Array:
        """What each of the token ids decodes to by itself, string [ids].

        A token that is a part of a character has its bytes written ``\\xe4``, one that decodes to nothing the
        tokenizer's own name; an id without a token is ``token <id>``.
        """
        return pa.array(self._text_of(ids.tolist()), pa.string())

    def _text_of(self, ids: list[int]) -> list[str]:
        decoded = self._tokenizer.decode_batch([[token] for token in ids], skip_special_tokens=False)
        names = map(self._tokenizer.id_to_token, ids)
        return [
            f"token {token}" if name is None else text if text and "\ufffd" not in text else _token_text(name)
            for token, name, text in zip(ids, names, decoded, strict=True)
        ]

    def _encode_fast(self, text: pa.LargeStringArray) -> TokenBatch:
        """Encode Arrow buffers to numpy arrays; beyond `ENCODED_ALONE`, without a Python object a document or token."""
        offsets, data = text_buffers(text)
        if len(data) == 0:
            return TokenBatch(np.empty(0, np.uint32), np.zeros(len(text) + 1, np.int64))
        self._encoded_alone += len(data) + BYTES_A_CALL * len(text)
        encode = _encode_each if self._encoded_alone <= ENCODED_ALONE else _encode_together
        ids, ends = call_tokenizer(
            lambda: encode(self._fast_tokenizer(), offsets, data),
            lambda problem: TokenizerMismatchError(f"{FAST} {importlib.metadata.version(FAST)} fails: {problem}"),
        )
        if len(ends) != len(text) + 1 or (len(ids) and int(ids.max()) >= self.file.vocabulary):
            raise TokenizerMismatchError(
                f"{FAST} {importlib.metadata.version(FAST)} gives ids that the tokenizer does not have"
            )
        return TokenBatch(ids, ends)

    def _fast_tokenizer(self) -> Any:
        thread = threading.get_ident()
        if thread not in self._fast:
            import gigatoken

            try:
                self._fast[thread] = self._unused.pop()
            except IndexError:
                self._fast[thread] = gigatoken.Tokenizer.from_json(self._text)
        return self._fast[thread]

    def release(self) -> None:
        """Drop the tokenizers of all threads: the word cache of a gigatoken tokenizer takes some hundred megabytes."""
        self._fast.clear()
        self._unused.clear()


def _encode_each(tokenizer: Any, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ids uint32, their int64 offsets) of documents, one call each."""
    encoded = [tokenizer.encode(data[start:stop].tobytes()) for start, stop in pairwise(offsets.tolist())]
    ends = np.zeros(len(offsets), np.int64)
    np.cumsum([len(ids) for ids in encoded], out=ends[1:])
    return np.concatenate(encoded, dtype=np.uint32), ends


def _encode_together(tokenizer: Any, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ids uint32, their int64 offsets) of documents, views of what one call returns."""
    import awkward as ak

    documents = ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index64(offsets),
            ak.contents.NumpyArray(data, parameters={"__array__": "char"}),
            parameters={"__array__": "string"},
        )
    )
    # Workers run in parallel already; gigatoken's own thread pool would compete with them.
    layout = tokenizer.encode_batch(documents, parallel=False).layout
    ends = np.asarray(layout.offsets.data).astype(np.int64, copy=False)
    ids = np.asarray(layout.content.data)
    if ids.dtype != np.uint32:
        ids = ids.astype(np.uint32)
    if ends[0] != 0 or len(ids) != ends[-1]:
        ids, ends = ids[ends[0] : ends[-1]], ends - ends[0]
    return ids, ends


def _document(text: str) -> str:
    return f"the document with the content hash {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def text_buffers(text: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [D + 1] starting at 0, data uint8) of an Arrow string array, without copying the data."""
    if len(text) == 0:
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    buffers = text.buffers()
    offsets = np.frombuffer(buffers[1], np.int64)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] else np.empty(0, np.uint8)
    start, stop = int(offsets[0]), int(offsets[-1])
    return (offsets - start if start else offsets), data[start:stop]


_FALLBACK = re.compile("<0x([0-9A-F]{2})>")


def _token_text(piece: str) -> str:
    """A token that is a part of a character: its bytes, if its name is byte-level BPE or a byte fallback."""
    fallback = _FALLBACK.fullmatch(piece)
    if fallback is not None:
        return f"\\x{fallback[1].lower()}"
    alphabet = byte_alphabet()
    if piece.isascii() or any(character not in alphabet for character in piece):
        return piece
    return bytes(alphabet[character] for character in piece).decode("utf-8", "backslashreplace")
