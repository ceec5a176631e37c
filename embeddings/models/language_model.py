"""A loaded language model, ready to be hooked and run, and its identity in an index."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from corpus_audit.embeddings.architecture.tracing import probe_ids
from corpus_audit.embeddings.models.blocks import NotOffered, Reading, TransformerBlock


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Identity of a model in an index, and how it reads text.

    Attributes:
        name: what the spec calls it.
        digest: sha256 over its configuration and weights.
        tokenizer: sha256 of its tokenizer.
        causal: whether a token's activations depend on earlier tokens only (measured by a trial pass).
        prefix, suffix: special tokens before and after a window's text.
        special: ids that never count as examples.
    """

    name: str
    architecture: str
    digest: str
    tokenizer: str
    causal: bool
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    special: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model with its tokenizer and blocks, ready to be hooked and run.

    Attributes:
        card: identity of the model, and how it reads text.
        blocks: the transformer blocks, in order.
        heads: attention heads of a block, as the configuration says it.
        head: the output layer; None if it is not run. Its output need not be the model's logits: see ``logits``.
        longest: largest context in tokens; 2**31 where the model sets none.
        bos: id of the token that begins a text, if it has one.
        hidden: width of the residual stream.
        logits: how the model's logits are read; None if they are not.
        not_offered: units that the model has, or may be expected to have, and that are not offered, with reasons.
        avoided: ids that stand in no trial pass, as models treat them differently: special ones, padding.
    """

    card: ModelCard
    module: nn.Module
    tokenizer: Tokenizer
    blocks: tuple[TransformerBlock, ...]
    heads: int
    head: nn.Module | None
    device: torch.device
    longest: int = 2**31
    bos: int | None = None
    hidden: int = 0
    logits: Reading | None = None
    not_offered: tuple[NotOffered, ...] = ()
    avoided: tuple[int, ...] = ()

    def probe(self) -> torch.Tensor:
        """Ids of a few short texts for a trial pass, int64 [B, L]; B and L differ."""
        return probe_ids(self.tokenizer.get_vocab_size(), self.avoided, self.device)

    @property
    def begins_with_bos(self) -> bool:
        """Whether the token that begins a text stands in front of every window."""
        return self.card.prefix[:1] == (self.bos,) or (self.bos is None and bool(self.card.prefix))

    def run(self, ids: torch.Tensor) -> Any:
        """Run the forward pass of [B, L] ids without padding; activations are read by hooks."""
        with torch.inference_mode():
            return self.module(input_ids=ids)
