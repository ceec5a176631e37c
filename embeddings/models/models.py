"""Loads language models for the scan: from safetensors only, without code from the hub, identified by their content.

A model is a folder, a hub name (whose safetensors and JSON files are fetched into the hub's cache), or
``entry-point:NAME``: a function of no arguments in the entry-point group ``corpus_audit.models`` that returns
`ModelParts` around any `torch.nn.Module`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from corpus_audit.embeddings.models.blocks import TransformerBlock, find_blocks
from corpus_audit.embeddings.models.model_folder import ModelParts, find_folder, first_line, load_folder
from corpus_audit.schemas.errors import UsageError

ENTRY_POINTS = "corpus_audit.models"
_ENTRY = "entry-point:"


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
        heads: attention heads of a block.
        head: the module whose output is the logits; None if it is not run.
        longest: largest context in tokens; 2**31 where the model sets none.
        bos: id of the token that begins a text, if it has one.
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

    @property
    def begins_with_bos(self) -> bool:
        """Whether the token that begins a text stands in front of every window."""
        return self.card.prefix[:1] == (self.bos,) or (self.bos is None and bool(self.card.prefix))

    def run(self, ids: torch.Tensor) -> Any:
        """Run the forward pass of [B, L] ids without padding; activations are read by hooks."""
        with torch.inference_mode():
            return self.module(input_ids=ids)


def load_model(
    name: str, base: Path, device: str = "auto", with_head: bool = False, prepend_bos: bool | None = None
) -> LanguageModel:
    """Load a model for scanning.

    Args:
        name: as `EmbeddingSpec.model` says it; a folder is relative to ``base``.
        base: the folder of the audit file.
        device: auto, cpu or cuda.
        with_head: also the output layer, for units ``logit:*``.
        prepend_bos: whether windows begin with the token that begins a text; None: as the tokenizer does it.

    Raises:
        UsageError: the model does not exist, is not stored as safetensors, lacks weights, needs code of its own, is
            no text model, or its tokenizer has ids without an embedding; the message says which.
    """
    torch_device = _device(device)
    if name.startswith(_ENTRY):
        parts = _from_entry_point(name.removeprefix(_ENTRY))
        count = None
    else:
        folder = find_folder(name, base)
        parts, count = load_folder(folder, with_head)
    module = parts.module.float().to(torch_device).eval().requires_grad_(False)
    tokenizer = parts.tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    check_vocabulary(module, tokenizer, name)
    prefix, suffix = _surroundings(tokenizer)
    if prepend_bos is not None:
        prefix = _with_bos(prefix, parts.bos, prepend_bos, name)
    card = ModelCard(
        name=name,
        architecture=type(module).__name__,
        digest=parts.digest,
        tokenizer=hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        causal=_is_causal(module, tokenizer.get_vocab_size(), torch_device),
        prefix=prefix,
        suffix=suffix,
        special=_special(tokenizer, (*prefix, *suffix)),
    )
    blocks = find_blocks(module, count)
    return LanguageModel(
        card, module, tokenizer, blocks, parts.heads, parts.head, torch_device, parts.longest, parts.bos
    )


def check_vocabulary(module: nn.Module, tokenizer: Tokenizer, name: str) -> None:
    """Check that every id of the tokenizer, added tokens included, has a row in the model's embedding.

    Raises:
        UsageError: one has none; the message names both sizes and the first such token.
    """
    find = getattr(module, "get_input_embeddings", None)
    try:
        weight = getattr(find() if find is not None else None, "weight", None)
    except NotImplementedError:
        return
    if not isinstance(weight, torch.Tensor):  # a module of an entry point: nothing to compare with
        return
    rows = int(weight.shape[0])
    beyond = sorted((i, token) for token, i in tokenizer.get_vocab(with_added_tokens=True).items() if i >= rows)
    if beyond:
        first, token = beyond[0]
        raise UsageError(
            f"{name}: the tokenizer and the model do not fit: the model's embedding has {rows:,} rows, and the "
            f"tokenizer's highest id is {beyond[-1][0]:,}. The model cannot read {len(beyond):,} "
            f"{'token' if len(beyond) == 1 else 'tokens'}, first {token!r} ({first:,}). Use the model's own "
            "tokenizer.json"
        )


def _with_bos(prefix: tuple[int, ...], bos: int | None, prepend: bool, name: str) -> tuple[int, ...]:
    """The special tokens in front of a window, with the token that begins a text or without it."""
    if bos is None:
        raise UsageError(
            f"embedding.prepend_bos: {str(prepend).lower()}: the beginning-of-text token of {name} is unknown: neither "
            "tokenizer_config.json (bos_token) nor config.json (bos_token_id) names one that its tokenizer has"
        )
    rest = prefix[1:] if prefix[:1] == (bos,) else prefix
    return (bos, *rest) if prepend else rest


def _from_entry_point(name: str) -> ModelParts:
    installed = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise UsageError(f"no entry point {name!r} in the group {ENTRY_POINTS} (installed: {known})")
    parts = installed[name].load()()
    if not isinstance(parts, ModelParts):
        raise UsageError(f"entry point {name!r} returned {type(parts).__name__}, not ModelParts")
    return parts


def _device(device: str) -> torch.device:
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UsageError("device: cuda, but torch finds no CUDA device")
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def _surroundings(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Special tokens that the tokenizer puts before and after a text."""
    encoded = tokenizer.encode("a").ids
    inner = tokenizer.encode("a", add_special_tokens=False).ids
    for start in range(len(encoded) - len(inner) + 1):
        if encoded[start : start + len(inner)] == inner:
            return tuple(encoded[:start]), tuple(encoded[start + len(inner) :])
    raise UsageError("the tokenizer changes a text's tokens when it adds special ones: not supported")


def _special(tokenizer: Tokenizer, around: tuple[int, ...]) -> tuple[int, ...]:
    """Ids of special tokens; the one for unknown text is none, unless it stands around texts: it stands for text."""
    unknown = getattr(tokenizer.model, "unk_token", None)
    tokens = tokenizer.get_added_tokens_decoder().items()
    return tuple(sorted(i for i, token in tokens if token.special and (token.content != unknown or i in around)))


def _is_causal(module: nn.Module, vocabulary: int, device: torch.device) -> bool:
    """Whether changing the last token leaves the outputs of earlier ones as they were.

    A trial pass decides, because configurations do not say it for every architecture.
    """
    ids = torch.arange(8, device=device).repeat(2, 1) % vocabulary
    ids[1, -1] = (ids[1, -1] + vocabulary // 2) % vocabulary
    with torch.inference_mode():
        output = module(input_ids=ids)
    hidden = output[0] if not isinstance(output, torch.Tensor) else output
    return bool(torch.equal(hidden[0, :-1], hidden[1, :-1]))


def check_window(model: LanguageModel, window: int) -> None:
    """Check that the model can read a window of that many tokens, by a trial pass.

    Raises:
        UsageError: it cannot.
    """
    if window > model.longest:
        raise UsageError(
            f"{model.card.name} reads at most {model.longest:,} tokens at once (max_position_embeddings), but "
            f"embedding.window is {window:,}"
        )
    token = (model.card.special or (0,))[-1]
    other = next(i for i in range(model.tokenizer.get_vocab_size()) if i != token)
    try:
        model.run(torch.full((1, window), other, device=model.device))
    except (IndexError, RuntimeError) as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise UsageError(f"{model.card.name} cannot read a window of {window} tokens: {first_line(error)}") from error
