"""Loads a model from a folder in the format of `transformers`, or from the hub: safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from corpus_audit.schemas.errors import UsageError

_UNUSED = ("pooler",)
"""Parts of checkpoints that may be missing, because no unit is read from them."""

_COMPUTED = ("inv_freq", "masked_bias", "attn.bias", "attention.bias", "position_ids", "num_batches_tracked")
"""Ends of names of tensors that some checkpoints store although models compute them."""


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


def load_folder(folder: Path, with_head: bool) -> tuple[ModelParts, int]:
    """Load the model of a folder and its tokenizer; returns its parts and the number of its blocks.

    Raises:
        UsageError: it cannot be loaded, lacks weights, or has weights in its blocks that would be ignored.
    """
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    common = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **common)
        text_config = config.get_text_config()
        if getattr(config, "is_encoder_decoder", False) and not _is_encoder_half(config):
            raise UsageError(
                f"{folder} is an encoder-decoder: only encoders and decoders are scanned. Its encoder alone is, if "
                "it is saved as such (architectures: T5EncoderModel and the like)"
            )
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
        raise UsageError(f"{folder} cannot be loaded as a model: {first_line(error)}") from error
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


def _is_encoder_half(config: Any) -> bool:
    """Whether a folder holds the encoder of an encoder-decoder alone, as T5EncoderModel saves it."""
    return str((getattr(config, "architectures", None) or [""])[0]).endswith("EncoderModel")


def _loader(transformers: Any, config: Any, with_head: bool) -> Any:
    """The class that loads a model, with its output layer where that is wanted."""
    from transformers.models.auto import modeling_auto as auto

    name = (getattr(config, "architectures", None) or [""])[0]
    if _is_encoder_half(config):
        return transformers.AutoModelForTextEncoding
    if not with_head:
        # Of BART and its kind, AutoModel is the encoder-decoder; the decoder alone comes with its output layer.
        is_half = name.endswith("ForCausalLM") and type(config) in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
        return transformers.AutoModelForCausalLM if is_half else transformers.AutoModel
    if not name.endswith("ForMaskedLM") and type(config) in auto.MODEL_FOR_CAUSAL_LM_MAPPING:
        return transformers.AutoModelForCausalLM
    if type(config) in auto.MODEL_FOR_MASKED_LM_MAPPING:
        return transformers.AutoModelForMaskedLM
    if type(config) in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return transformers.AutoModelForImageTextToText
    return transformers.AutoModelForCausalLM


def _digest(folder: Path) -> str:
    """SHA-256 over names and digests of the configuration and the weights."""
    lines = []
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters; its type if there is none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
