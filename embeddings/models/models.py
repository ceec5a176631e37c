"""Loads language models for the scan: from safetensors only, without code from the hub, identified by their content.

A model is a folder, a hub name (whose safetensors and JSON files are fetched into the hub's cache), or
``entry-point:NAME``: a function of no arguments in the entry-point group ``corpus_audit.models`` that returns
`ModelParts` around any `torch.nn.Module`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from corpus_audit.embeddings.models.blocks import TransformerBlock, find_blocks
from corpus_audit.schemas.errors import UsageError

ENTRY_POINTS = "corpus_audit.models"
_ENTRY = "entry-point:"
_UNUSED = ("pooler",)
"""Parts of checkpoints that may be missing, because no unit is read from them."""


@dataclass(frozen=True)
class ModelParts:
    """A model as an entry point returns it.

    Attributes:
        module: called with ``input_ids`` [B, L]; `blocks.find_blocks` finds the list of its blocks.
        tokenizer: makes its ids.
        digest: identifies its weights and code; indexes of different digests do not merge.
        heads: attention heads of a block.
        longest: largest context in tokens.
        head: the module whose output is the logits, if it is run.
        bos: the token that begins a text, if it has one.
    """

    module: nn.Module
    tokenizer: Tokenizer
    digest: str
    heads: int
    longest: int
    head: nn.Module | None = None
    bos: int | None = None


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
        parts, count = _from_folder(folder, with_head)
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
        special=tuple(sorted(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)),
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


def find_folder(name: str, base: Path) -> Path:
    """The folder of a model: as named, or downloaded from the hub (JSON and safetensors files only).

    Raises:
        UsageError: there is none, or it has no safetensors, or needs what is not supported.
    """
    folder = (base / name).expanduser()
    if not folder.is_dir():
        if name.count("/") > 1 or name.startswith((".", "/", "~")):
            raise UsageError(f"no model at {folder}: give a folder with config.json, tokenizer.json and safetensors")
        folder = _from_hub(name)
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is not a model: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
        problem = f"{pickles[0]} is a pickle, which can run code when it is loaded" if pickles else "it has no weights"
        raise UsageError(f"{folder} has no *.safetensors: {problem}; save it with safetensors.torch.save_model")
    if (folder / "adapter_config.json").is_file():
        raise UsageError(f"{folder} has an adapter (adapter_config.json), which is not applied: merge it first")
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"{folder} has no tokenizer.json (slow tokenizers are not used)")
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the hub's client raises many kinds
        raise UsageError(f"{name} is not a folder, and downloading it from the hub failed: {error}") from error


def _from_entry_point(name: str) -> ModelParts:
    installed = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise UsageError(f"no entry point {name!r} in the group {ENTRY_POINTS} (installed: {known})")
    parts = installed[name].load()()
    if not isinstance(parts, ModelParts):
        raise UsageError(f"entry point {name!r} returned {type(parts).__name__}, not ModelParts")
    return parts


def _from_folder(folder: Path, with_head: bool) -> tuple[ModelParts, int]:
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    common = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **common)
        text_config = config.get_text_config()
        if getattr(config, "is_encoder_decoder", False):
            raise UsageError(f"{folder} is an encoder-decoder: only encoders and decoders are scanned")
        config.use_cache = False
        loader = _loader(transformers, config, with_head)
        # Of attention, `transformers` takes its own default: SDPA, and where a model has none (GPT-OSS), the plain one.
        module, report = loader.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **common,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError) as error:
        raise UsageError(f"{folder} cannot be loaded as a model: {_first_line(error)}") from error
    missing = [key for key in report["missing_keys"] if not any(part in key for part in _UNUSED)]
    if missing:
        raise UsageError(
            f"{folder} lacks {_weights(len(missing))} of {type(module).__name__}, such as {sorted(missing)[0]}: "
            "they would be initialised with random numbers"
        )
    _check_unused(folder, module, report["unexpected_keys"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    parts = ModelParts(
        module=module,
        tokenizer=tokenizer,
        digest=_digest(folder),
        heads=int(getattr(text_config, "num_attention_heads", 0)),
        longest=_longest(text_config),
        head=module.get_output_embeddings() if with_head else None,
        bos=_bos(folder, text_config, tokenizer),
    )
    return parts, int(text_config.num_hidden_layers)


_COMPUTED = ("inv_freq", "masked_bias", "attn.bias", "attention.bias", "position_ids", "num_batches_tracked")
"""Ends of names of tensors that some checkpoints store although models compute them."""


def _check_unused(folder: Path, module: nn.Module, unexpected: Iterable[str]) -> None:
    """Check that no stored weight inside of the model's blocks is ignored: the model would compute something else.

    Weights elsewhere belong to heads and poolers that are not run.

    Raises:
        UsageError: a weight is ignored.
    """
    lists = [name for name, part in module.named_modules() if isinstance(part, nn.ModuleList) and name]
    blocks = re.compile(rf"(?:^|\.)(?:{'|'.join(map(re.escape, lists))})\.\d+\.") if lists else None
    unused = sorted(key for key in unexpected if blocks and blocks.search(key) and not key.endswith(_COMPUTED))
    if unused:
        raise UsageError(
            f"{folder} holds {_weights(len(unused))} inside of its blocks that {type(module).__name__} does not use, "
            f"such as {unused[0]}: its config.json is of another model, or transformers does not know this one"
        )


def _weights(count: int) -> str:
    return f"{count:,} {'weight' if count == 1 else 'weights'}"


def _longest(config: Any) -> int:
    """The largest context in tokens; models without a limit have no such setting, or 0 or -1."""
    number = getattr(config, "max_position_embeddings", None)
    return number if isinstance(number, int) and number > 0 else 2**31


def _bos(folder: Path, config: Any, tokenizer: Tokenizer) -> int | None:
    """The token that begins a text: the tokenizer's, else the model's; None if neither is one of the tokenizer's."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        token = settings.get("bos_token")
        name = token.get("content") if isinstance(token, dict) else token
    except (OSError, ValueError, AttributeError):
        name = None
    if isinstance(name, str) and (token_id := tokenizer.token_to_id(name)) is not None:
        return int(token_id)
    number = getattr(config, "bos_token_id", None)
    return number if isinstance(number, int) and tokenizer.id_to_token(number) is not None else None


def _loader(transformers: Any, config: Any, with_head: bool) -> Any:
    if not with_head:
        return transformers.AutoModel
    name = (getattr(config, "architectures", None) or [""])[0]
    return transformers.AutoModelForMaskedLM if name.endswith("ForMaskedLM") else transformers.AutoModelForCausalLM


def _digest(folder: Path) -> str:
    """SHA-256 over names and digests of the configuration and the weights."""
    lines = []
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


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
        raise UsageError(f"{model.card.name} cannot read a window of {window} tokens: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
