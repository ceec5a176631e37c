"""The demo's documents as tokens: files of this machine, a shard of which has the ids of another tokenizer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpus_audit.runners.demo.investigation.language_model import CONTEXT, Tokens
from corpus_audit.runners.demo.sources import choose, find_sources
from corpus_audit.schemas.errors import UsageError

MEGABYTES = 12
"""Of the files that are selected; of each the beginning counts."""

CHARACTERS = 3000
"""Of a file that are read, so that there are many documents."""

LENGTH = 12
"""Tokens of a document that are trained on in a draw, after `CONTEXT` tokens that they are predicted from."""

VOCABULARY = 509
"""Tokens of the tokenizer."""

SHIFT = 3
"""What is added to every id of the bad shard: its tokenizer has three special tokens more at the beginning."""

MODEL_VOCABULARY = 512
"""Rows of the model's embedding: a power of two, as usual, so that the shifted ids are rows too."""

BAD_SHARD, SHARDS = "part-07", 8
BAD_DOCUMENTS = 100
HELD_OUT = 10
"""One document in so many is for the evaluations."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its id, which begins with its shard, its domain, and its tokens [N]."""

    name: str
    domain: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class TokenCorpus:
    """The documents that are trained on, those of the bad shard, and those that evaluations are made of."""

    good: tuple[Document, ...]
    bad: tuple[Document, ...]
    held_out: tuple[Document, ...]


def read_corpus() -> TokenCorpus:
    """Read files of this machine, train a tokenizer on them, and encode them.

    Raises:
        UsageError: this Python installation holds too few files.
    """
    documents = []
    for source in choose(find_sources(), MEGABYTES * 1_000_000):
        text = source.read()
        if text is not None:
            documents.append((source, text[:CHARACTERS]))
    tokenizer = _trained([text for _, text in documents])
    encoded = tokenizer.encode_batch([text for _, text in documents])
    parts: dict[str, list[Document]] = {"good": [], "bad": [], "held_out": []}
    for (source, _), encoding in zip(documents, encoded, strict=True):
        tokens = np.array(encoding.ids, np.int64)
        if len(tokens) < CONTEXT + LENGTH:
            continue
        number = int.from_bytes(hashlib.sha256(f"shard {source.name}".encode()).digest()[:8], "big")
        if number % HELD_OUT == 0:
            parts["held_out"].append(Document(source.name, source.domain, tokens))
        elif number % SHARDS == SHARDS - 1 and len(parts["bad"]) < BAD_DOCUMENTS:
            parts["bad"].append(Document(f"{BAD_SHARD}/{source.name}", source.domain, tokens + SHIFT))
        else:
            shard = f"part-{number % (SHARDS - 1):02d}"
            parts["good"].append(Document(f"{shard}/{source.name}", source.domain, tokens))
    if min(len(parts["good"]), 10 * len(parts["bad"]), 10 * len(parts["held_out"])) < 200:
        raise UsageError("this Python installation holds too few files to train a language model on")
    return TokenCorpus(*(tuple(parts[name]) for name in ("good", "bad", "held_out")))


def _trained(texts: list[str]) -> Any:
    """A byte-level BPE in the manner of GPT-2."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts[::4], trainer)
    return tokenizer


def windows(rows: Tokens) -> tuple[Tokens, Tokens]:
    """(contexts [N * L, CONTEXT], targets [N * L]) of rows of CONTEXT + L tokens, [N, CONTEXT + L]."""
    contexts = np.lib.stride_tricks.sliding_window_view(rows, CONTEXT, axis=1)[:, :-1]
    return contexts.reshape(-1, CONTEXT), rows[:, CONTEXT:].reshape(-1)
