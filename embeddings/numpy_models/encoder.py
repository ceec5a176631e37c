"""Opens the model of an index in numpy, where it is one of those that `bert` computes, and encodes texts with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus_audit.embeddings.index.files import IndexFacts
from corpus_audit.embeddings.numpy_models.bert import NumpyBert, UnknownModelError
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:  # it compiles kernels, and a model that is none of these needs none
    from corpus_audit.embeddings.scan.windows import WindowPlan, Windows

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class NumpyModel:
    """The model of an index, its tokenizer and the rules by which its windows are cut."""

    network: NumpyBert
    tokenizer: Any
    plan: WindowPlan

    def windows(self, texts: Sequence[str]) -> Windows:
        """The windows of texts, which are numbered so that equal texts stay apart."""
        from corpus_audit.embeddings.scan.windows import cut, document_key

        return cut(texts, [document_key(str(i), text) for i, text in enumerate(texts)], self.tokenizer, self.plan)

    def means(self, texts: Sequence[str], block: int) -> np.ndarray:
        """The mean of each text's windows at length 1, float32 [N, d]; zero for a text without a token that counts.

        Args:
            texts: to encode.
            block: whose output is pooled.
        """
        from corpus_audit.embeddings.index.vectors import document_means, unit

        windows = self.windows(texts)
        pooled = np.zeros((len(windows), self.network.hidden), np.float32)
        for rows, indices in batches(windows):
            stream, counted = self.network.run(windows.tokens[indices], block), windows.counted[indices]
            pooled[rows] = (stream * counted[..., None]).sum(axis=1) / counted.sum(axis=1, keepdims=True)
        means = np.zeros((len(texts), self.network.hidden), np.float32)
        documents, vectors = document_means(unit(pooled), windows.document)
        means[documents] = vectors
        return means


def batches(windows: Windows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of one length at a time: their positions [B], and where their tokens are in the arrays, int64 [B, L]."""
    for length in np.unique(windows.lengths).tolist():
        same = np.flatnonzero(windows.lengths == length)
        rows = max(1, BATCH_TOKENS // max(length, 1))
        for begin in range(0, len(same), rows):
            part = same[begin : begin + rows]
            yield part, windows.offsets[part][:, None] + np.arange(length)


def open_numpy_model(facts: IndexFacts, folder: Path, model: str | None = None) -> NumpyModel | None:
    """The model of an index; None if it is none that is known here, or not a local folder.

    Args:
        facts: the index's `index.json`.
        folder: the index's folder; a model's relative path is resolved from the working directory, then from the
            folders above the index.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the model is not the one of the index.
    """
    name = model or str(facts.model["name"])
    bases = [Path.cwd(), *(() if model else folder.resolve().parents)]
    path = next((base / name for base in bases if (base / name).is_dir()), None)
    if path is None or facts.model.get("causal") is not False:
        return None
    try:
        from tokenizers import Tokenizer

        network = NumpyBert(path)
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    except (UnknownModelError, ModuleNotFoundError):
        return None
    except Exception:  # the tokenizer's library raises bare ones; the other way of loading says what is wrong
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    digests = weights_digest(path), hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    if digests != (facts.model["digest"], facts.model["tokenizer"]):
        raise UsageError(f"{name} is not the model of the index: its weights or its tokenizer differ")
    from corpus_audit.embeddings.scan.windows import WindowPlan

    card = facts.model
    prefix, suffix, special = (tuple(card[part]) for part in ("prefix", "suffix", "special"))
    return NumpyModel(network, tokenizer, WindowPlan(facts.window, 0, False, prefix, suffix, special, digests[1]))


def weights_digest(folder: Path) -> str:
    """SHA-256 over names and digests of a model's configuration and weights, as `models.model_folder` makes it."""
    lines = []
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
