"""Cuts documents into windows, the token spans that a model sees at once.

A window never crosses documents. Every token of a document counts in exactly one window, where the tokens before it are
its context; ``overlap`` tokens in front of a window's own are shown and not counted. Special tokens never count, nor
does the first position of a causal model, whose activations are those of an attention sink: where the tokenizer puts no
special token in front, windows overlap by at least one, and only a document's first token is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.activations.windows import hash_contexts
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.activation_tables import WINDOWS

CONTEXT_TOKENS = 8
"""Two examples count as the same passage if this many tokens up to the peak are equal, which their hash says."""


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The rules by which documents are cut into windows.

    Attributes:
        window: tokens that the model sees, special ones included.
        overlap: context tokens in front of a window's own.
        causal: whether the first position is left out.
        prefix, suffix: special tokens around a window.
        special: ids that never count.
        tokenizer: digest of the tokenizer.
    """

    window: int
    overlap: int
    causal: bool
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    special: tuple[int, ...]
    tokenizer: str

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UsageError(f"a window of {self.window} tokens leaves no room for text: special tokens and overlap")

    @property
    def lead(self) -> int:
        """Context tokens in front of every window but a document's first."""
        return max(self.overlap, 1) if self.causal and not self.prefix else self.overlap

    @property
    def stride(self) -> int:
        """Tokens from one window's own to the next."""
        return self.window - len(self.prefix) - len(self.suffix) - self.lead

    @property
    def digest(self) -> str:
        """Identifies the plan; part of every window's id."""
        values = [self.window, self.lead, self.causal, self.prefix, self.suffix, self.special, self.tokenizer]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def spans(self, tokens: int) -> list[tuple[int, int, int]]:
        """(first shown, first counted, end) of each window of a document of that many tokens.

        The first window has no lead: that room goes to tokens of its own.
        """
        spans = [(0, 0, min(tokens, self.stride + self.lead))] if tokens else []
        while spans and spans[-1][2] < tokens:
            begin = spans[-1][2]
            spans.append((begin - self.lead, begin, min(tokens, begin + self.stride)))
        return spans


@dataclass(frozen=True)
class Windows:
    """N windows of T tokens in all, special ones included.

    Attributes:
        ids: uint64 [N, 2], big-endian halves of the 128-bit ids; the first half names the window in slots.
        document: int64 [N], position of its document in the block it was cut from.
        number: int32 [N], which window of its document.
        offsets: int64 [N + 1] into the token arrays.
        tokens: int32 [T].
        counted: bool [T], whether a token may be an example.
        contexts: uint64 [T], hash of up to `CONTEXT_TOKENS` tokens that end there, special ones in front left out.
        starts, ends: int32 [T], code points within ``texts``; -1 for special tokens around the text.
        texts: the text of each window; text_starts: int64 [N], code points of the document before it.
    """

    ids: np.ndarray
    document: np.ndarray
    number: np.ndarray
    offsets: np.ndarray
    tokens: np.ndarray
    counted: np.ndarray
    contexts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    texts: list[str]
    text_starts: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, int64 [N]."""
        return np.diff(self.offsets)

    def table(self, rows: np.ndarray, documents: np.ndarray) -> pa.Table:
        """Some windows in the schema WINDOWS; ``documents`` are the documents' 16-byte keys, uint8 [D, 16]."""
        ranges = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in rows]
        flat = np.concatenate(ranges) if ranges else np.empty(0, np.int64)
        offsets = pa.array(np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int32))

        def lists(values: np.ndarray) -> pa.Array:
            return pa.ListArray.from_arrays(offsets, pa.array(values[flat]))

        columns = [
            pa.array(self.ids[rows, 0]),
            _binary16(self.ids[rows].astype(">u8").view(np.uint8)),
            _binary16(documents[self.document[rows]]),
            pa.array(self.number[rows]),
            pa.array([self.texts[i] for i in rows], pa.string()),
            pa.array(self.text_starts[rows]),
            lists(self.tokens),
            lists(self.starts),
            lists(self.ends),
            lists(self.counted),
        ]
        return pa.table([column.cast(f.type) for column, f in zip(columns, WINDOWS, strict=True)], schema=WINDOWS)


def _binary16(values: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def document_key(document_id: str | None, text: str) -> bytes:
    """The 16-byte key of a document in an index: BLAKE2b-128 of its id (if it has one) and its text."""
    name = b"" if document_id is None else document_id.encode()
    return hashlib.blake2b(len(name).to_bytes(8, "big") + name + text.encode(), digest_size=16).digest()


def cut(texts: Sequence[str], keys: Sequence[bytes], tokenizer: Any, plan: WindowPlan) -> Windows:
    """Cut documents into windows, in the order of the documents; windows without a token that counts are left out.

    Args:
        texts: the documents.
        keys: their `document_key`.
        tokenizer: a `tokenizers.Tokenizer` without truncation or padding.
        plan: the rules.
    """
    prefix, suffix = np.array(plan.prefix, np.int32), np.array(plan.suffix, np.int32)
    special = np.array(plan.special, np.int32)
    settings = bytes.fromhex(plan.digest)
    ids, documents, numbers, shown, text_starts = [], [], [], [], []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("tokens", "counted", "starts", "ends")}
    lengths = [0]
    for d, encoding in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
        tokens = np.array(encoding.ids, np.int32)
        code_points = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        is_special = np.isin(tokens, special)
        for number, (first, own, end) in enumerate(plan.spans(len(tokens))):
            counted = ~is_special[first:end]
            counted[: own - first] = False
            if plan.causal and not plan.prefix:
                counted[:1] = False
            if not counted.any():
                continue
            begin, stop = int(code_points[first:end, 0].min()), int(code_points[first:end, 1].max())
            outside = np.full(len(prefix), -1, np.int32), np.full(len(suffix), -1, np.int32)
            parts["tokens"] += [prefix, tokens[first:end], suffix]
            parts["counted"] += [outside[0] > 0, counted, outside[1] > 0]
            for name, column in (("starts", 0), ("ends", 1)):
                parts[name] += [outside[0], (code_points[first:end, column] - begin).astype(np.int32), outside[1]]
            ids.append(hashlib.blake2b(keys[d] + settings + number.to_bytes(8, "big"), digest_size=16).digest())
            documents.append(d)
            numbers.append(number)
            shown.append(texts[d][begin:stop])
            text_starts.append(begin)
            lengths.append(len(prefix) + end - first + len(suffix))
    flat = {
        name: np.concatenate(arrays) if arrays else np.empty(0, bool if name == "counted" else np.int32)
        for name, arrays in parts.items()
    }
    offsets = np.cumsum(np.array(lengths, np.int64))
    return Windows(
        ids=np.frombuffer(b"".join(ids), ">u8").astype(np.uint64).reshape(-1, 2),
        document=np.array(documents, np.int64),
        number=np.array(numbers, np.int32),
        offsets=offsets,
        contexts=context_hashes(flat["tokens"], offsets, len(prefix)),
        texts=shown,
        text_starts=np.array(text_starts, np.int64),
        **flat,
    )


def context_hashes(tokens: np.ndarray, offsets: np.ndarray, skipped: int) -> np.ndarray:
    """Hash of up to `CONTEXT_TOKENS` tokens that end at each token, uint64 [T]; never across windows.

    Args:
        tokens: int32 [T].
        offsets: int64 [N + 1].
        skipped: special tokens at the start of every window that are no part of a context.
    """
    out = np.zeros(len(tokens), np.uint64)
    hash_contexts(tokens, offsets, skipped, CONTEXT_TOKENS, out)
    return out


def windows_of(table: pa.Table, skipped: int) -> Windows:
    """The windows of a scan's table or of an index's, without texts; ``skipped`` as for `context_hashes`."""
    combined = table.combine_chunks()

    def flat(name: str) -> np.ndarray:
        values: np.ndarray = pc.list_flatten(combined[name]).to_numpy()
        return values if values.dtype == np.bool_ else values.astype(np.int32, copy=False)

    lengths = pc.list_value_length(combined["tokens"]).to_numpy()
    ids = np.zeros((len(combined), 2), np.uint64)
    ids[:, 0] = combined["window"].to_numpy()
    tokens = flat("tokens")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Windows(
        ids=ids,
        document=np.arange(len(combined)),
        number=combined["number"].to_numpy(),
        offsets=offsets,
        tokens=tokens,
        counted=flat("counted"),
        contexts=context_hashes(tokens, offsets, skipped),
        starts=flat("starts"),
        ends=flat("ends"),
        texts=[],
        text_starts=combined["text_start"].to_numpy(),
    )
