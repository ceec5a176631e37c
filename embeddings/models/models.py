"""Loads language models for the scan: from safetensors only, without code from the hub, identified by their content.

A model is a folder, a hub name (whose safetensors and JSON files are fetched into the hub's cache), or
``entry-point:NAME``: a function of no arguments in the entry-point group ``corpus_audit.models`` that returns
`ModelParts` around any `torch.nn.Module`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from corpus_audit.embeddings.architecture.layouts import Layout, same
from corpus_audit.embeddings.architecture.tracing import ALONE, LENGTH, ROWS, Trace, first_tensor, probe_ids, trace
from corpus_audit.embeddings.models.blocks import NotOffered, Reading, find_blocks
from corpus_audit.embeddings.models.language_model import LanguageModel, ModelCard
from corpus_audit.embeddings.models.model_folder import ModelParts, find_folder, first_line, load_folder
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind

__all__ = ["ENTRY_POINTS", "LanguageModel", "ModelCard", "assemble", "check_vocabulary", "check_window", "load_model"]

_ROUNDING = 1e-5
"""Of how far a token's own output moves, what the outputs of earlier tokens may move by rounding."""

ENTRY_POINTS = "corpus_audit.models"
_ENTRY = "entry-point:"


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
    if name.startswith(_ENTRY):
        parts, count = _from_entry_point(name.removeprefix(_ENTRY)), None
    else:
        parts, count = load_folder(find_folder(name, base), with_head)
    return assemble(parts, name, device, with_head, prepend_bos, count)


def assemble(
    parts: ModelParts,
    name: str,
    device: str = "auto",
    with_head: bool = False,
    prepend_bos: bool | None = None,
    count: int | None = None,
) -> LanguageModel:
    """A model that is ready to be hooked and run, of a module and its tokenizer; a trace finds what can be read in it.

    Args:
        parts: the module, moved to the device and frozen, and its tokenizer.
        name, device, with_head, prepend_bos: as for `load_model`.
        count: number of its blocks, if that is known.

    Raises:
        UsageError: as `load_model`, but for what concerns files.
    """
    torch_device = _device(device)
    module = parts.module.float().to(torch_device).eval().requires_grad_(False)
    tokenizer = parts.tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    check_vocabulary(module, tokenizer, name)
    prefix, suffix = _surroundings(tokenizer)
    if prepend_bos is not None:
        prefix = _with_bos(prefix, parts.bos, prepend_bos, name)
    special = tuple(sorted(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special))
    avoided = tuple(sorted({*special, *_padding(module)}))
    ids = probe_ids(tokenizer.get_vocab_size(), avoided, torch_device)
    architecture = type(module).__name__
    traced = _traced(module, ids, name)
    traced_blocks = find_blocks(traced, architecture, parts.heads, count)
    logits = _logits(module, parts.head, traced) if with_head or parts.head is not None else None
    not_offered = traced_blocks.not_offered
    if with_head and logits is None:
        not_offered += (NotOffered(Kind.LOGIT, (), f"{architecture} returns no logits of the tokens"),)
    return LanguageModel(
        _card(parts, module, name, ids, prefix, suffix),
        module,
        tokenizer,
        traced_blocks.blocks,
        parts.heads,
        parts.head,
        torch_device,
        parts.longest,
        parts.bos,
        traced_blocks.hidden,
        logits,
        not_offered,
        avoided,
    )


def _card(
    parts: ModelParts,
    module: nn.Module,
    name: str,
    ids: torch.Tensor,
    prefix: tuple[int, ...],
    suffix: tuple[int, ...],
) -> ModelCard:
    """The identity of a model in an index; ``ids`` are those of a trial pass."""
    return ModelCard(
        name=name,
        architecture=type(module).__name__,
        digest=parts.digest,
        tokenizer=hashlib.sha256(parts.tokenizer.to_str().encode()).hexdigest(),
        causal=_is_causal(module, ids),
        prefix=prefix,
        suffix=suffix,
        special=_special(parts.tokenizer, (*prefix, *suffix)),
    )


def _padding(module: nn.Module) -> set[int]:
    """The padding token's id by the model's configuration: XLM takes it for the end of a text wherever it stands."""
    config = getattr(module, "config", None)
    text = config.get_text_config() if config is not None and hasattr(config, "get_text_config") else config
    return {i for each in (config, text) if type(i := getattr(each, "pad_token_id", None)) is int}


def _traced(module: nn.Module, ids: torch.Tensor, name: str) -> Trace:
    try:
        return trace(module, ids)
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError, AssertionError) as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise UsageError(
            f"{name} does not run on a few tokens of text ({type(module).__name__}): {first_line(error)}"
        ) from error


def _logits(module: nn.Module, head: nn.Module | None, traced: Trace) -> Reading | None:
    """How logits are read: as the model returns them, scaled and capped; of an entry point's module, at its head."""
    whole = next(call for call in traced.calls if call.module is module)
    if traced.logits is not None:
        batch, alone = traced.logits
        layout = Layout.detect(batch, alone, (ROWS, LENGTH), ALONE)
        if layout is not None and whole.output is not None and same(whole.output, batch):
            return Reading(module, False, layout, int(batch.shape[-1]))
        return None
    calls = [call for call in traced.calls if call.module is head]
    if len(calls) != 1 or calls[0].output is None:
        return None
    layout = traced.layout(calls[0], is_input=False)
    return None if layout is None else Reading(calls[0].module, False, layout, int(calls[0].output.shape[-1]))


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


def _is_causal(module: nn.Module, ids: torch.Tensor) -> bool:
    """Whether changing the last token leaves the outputs of earlier ones as they were, but for rounding.

    A trial pass decides, because configurations do not say it for every architecture.

    Args:
        module: the model.
        ids: of a trial pass, int64 [B, L]: no padding, which an encoder leaves out of its attention.
    """
    pair = ids[:1].repeat(2, 1)
    pair[1, -1] = ids[-1, 0]
    with torch.inference_mode():
        hidden = first_tensor(module(input_ids=pair))
    if hidden is None:
        raise UsageError(f"{type(module).__name__} returns no tensor of activations: it is no text model")
    moved = (hidden[0] - hidden[1]).abs().flatten(1).amax(dim=1)
    return bool(moved[:-1].max() <= _ROUNDING * moved[-1])


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
    token = int(model.probe()[0, 0])
    try:
        model.run(torch.full((1, window), token, device=model.device))
    except (IndexError, RuntimeError) as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise UsageError(f"{model.card.name} cannot read a window of {window} tokens: {first_line(error)}") from error
