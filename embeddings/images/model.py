"""Loads image models: a folder of `transformers` (safetensors only), or any module that a function returns.

``model: FOLDER`` is a folder with config.json, preprocessor_config.json and safetensors. ``model: entry-point:NAME``
takes a function of no arguments from the entry-point group ``corpus_audit.models``, and ``model: package.module:name``
one by its import path, which runs that code: the person who writes the audit file says so. Both return `ImageParts`.
Models of timm are a folder of its own format, or ``timm:ARCHITECTURE:FILE`` (`timm_models/`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from corpus_audit.embeddings.images.image_units import ImageUnits, find_units
from corpus_audit.embeddings.images.preprocessing import Preprocessing, read_preprocessor
from corpus_audit.embeddings.images.receptive_fields import input_box
from corpus_audit.embeddings.images.timm_models.loading import load_timm
from corpus_audit.embeddings.images.timm_models.names import is_timm
from corpus_audit.embeddings.images.trace import Trace, first_tensor, trace
from corpus_audit.embeddings.images.vit.points import find_token_units
from corpus_audit.embeddings.models.model_folder import first_line
from corpus_audit.schemas.errors import UsageError

_ENTRY_POINTS, _ENTRY = "corpus_audit.models", "entry-point:"
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class ImageParts:
    """An image model as an entry point or a function returns it.

    Attributes:
        module: called with float32 [B, 3, h, w]; returns logits [B, classes] (a tensor, or ``logits`` of an object), or
            any tensor if it has none.
        preprocessing: how an image becomes its input.
        digest: identifies its weights and code; indexes of different digests do not merge.
        class_names: of its logits, in order; may be empty.
    """

    module: nn.Module
    preprocessing: Preprocessing
    digest: str
    class_names: Sequence[str] = ()


@dataclass(frozen=True)
class ImageModel:
    """A loaded image model, frozen, in evaluation mode and float32.

    Attributes:
        name: as the audit names it.
        module: called with float32 [B, 3, h, w].
        preprocessing: makes its input of an image.
        class_names: of its logits, in order; may be empty.
        digest: of weights, code and preprocessing.
        device: where it is.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    digest: str
    device: torch.device

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of its input."""
        return self.preprocessing.input_size

    def preprocess(self, pixels: np.ndarray) -> torch.Tensor:
        """Its input for one image, float32 [3, h, w]; pixels: uint8 [H, W, 3], RGB.

        Raises:
            UsageError: the pixels have another type or shape.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise UsageError(f"an image is uint8 [height, width, 3], not {pixels.dtype} {list(pixels.shape)}")
        return self.preprocessing(pixels)

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the module returns for [B, 3, h, w], as a tensor: logits where it has them; gradients are kept.

        Raises:
            UsageError: it returns no tensor.
        """
        returned = first_tensor(self.module(inputs))
        if returned is None:
            raise UsageError(f"{self.name} returns no tensor")
        return returned

    @cached_property
    def trace(self) -> Trace:
        """What it computes, of two images of noise (a batch, so that images are told from channels)."""
        height, width = self.input_size
        generator = torch.Generator().manual_seed(0)
        try:
            with torch.inference_mode(False):
                noise = torch.randn(2, 3, height, width, generator=generator)
                return trace(self.module, noise.to(self.device))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise UsageError(f"{self.name} does not run on [2, 3, {height}, {width}]: {first_line(error)}") from error

    @cached_property
    def units(self) -> ImageUnits:
        """Its units, and what has none, with reasons."""
        traced = self.trace
        tokens = find_token_units(
            traced.operations, lambda operation, box: input_box(traced, operation, box)[0], self.parameter
        )
        return find_units(traced, [name for name, _ in self.module.named_modules()], tokens)

    def parameter(self, name: str) -> torch.Tensor:
        """A parameter or a buffer by its name."""
        return dict([*self.module.named_parameters(), *self.module.named_buffers()])[name]


def load_image_model(name: str, base: Path = Path(), device: str = "cpu") -> ImageModel:
    """Load an image model; see the module's docstring for names.

    Args:
        name: as `embedding.model` says it; a folder is relative to ``base``.
        base: the folder of the audit file.
        device: auto, cpu or cuda.

    Raises:
        UsageError: there is no such model, or it is not stored as safetensors, lacks weights or is no image model.
    """
    return assemble(_parts(name, base), name, device)


def assemble(parts: ImageParts, name: str, device: str = "cpu") -> ImageModel:
    """A model that is ready to run; parameters are frozen, in float32.

    Raises:
        UsageError: its input has no fixed size, or there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("embedding.device is cuda, but torch sees no CUDA device")
    size = parts.preprocessing.input_size  # raises if it depends on the image
    module = parts.module.float().to(device).eval().requires_grad_(False)
    digest = hashlib.sha256(f"{parts.digest} {parts.preprocessing.digest} {size}".encode()).hexdigest()
    return ImageModel(name, module, parts.preprocessing, tuple(parts.class_names), digest, torch.device(device))


def is_image_model(name: str, base: Path) -> bool:
    """Whether a name is of an image model: a folder with preprocessor_config.json and no tokenizer, timm's, or code."""
    if is_timm(name, base):
        return True
    folder = (base / name).expanduser()
    if folder.is_dir():
        return (folder / "preprocessor_config.json").is_file() and not (folder / "tokenizer.json").is_file()
    return _IMPORT_PATH.fullmatch(name) is not None


def _parts(name: str, base: Path) -> ImageParts:
    if is_timm(name, base):
        loaded = load_timm(name, base)
        return ImageParts(loaded.module, Preprocessing(**loaded.steps), loaded.digest, loaded.class_names)
    folder = (base / name).expanduser()
    if folder.is_dir():
        return _load_folder(folder)
    if name.startswith(_ENTRY):
        return _called(_entry_point(name.removeprefix(_ENTRY)), name)
    if _IMPORT_PATH.fullmatch(name):
        module, _, function = name.partition(":")
        try:
            return _called(getattr(importlib.import_module(module), function), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"embedding.model: {name} cannot be imported: {first_line(error)}") from error
    raise UsageError(f"no image model at {folder}: give a folder, package.module:function or entry-point:NAME")


def _entry_point(name: str) -> Callable[[], Any]:
    points = importlib.metadata.entry_points(group=_ENTRY_POINTS, name=name)
    if not points:
        raise UsageError(f"no entry point {name!r} in the group {_ENTRY_POINTS}")
    loaded: Callable[[], Any] = next(iter(points)).load()
    return loaded


def _called(function: Callable[[], Any], name: str) -> ImageParts:
    parts = function()
    if not isinstance(parts, ImageParts):
        raise UsageError(f"{name} returns {type(parts).__name__}, not ImageParts")
    return parts


def _load_folder(folder: Path) -> ImageParts:
    for name in ("config.json", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise UsageError(f"{folder} is not an image model: it has no {name}")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
        problem = f"{pickles[0]} is a pickle, which can run code when it is loaded" if pickles else "it has no weights"
        raise UsageError(f"{folder} has no *.safetensors: {problem}")
    try:
        config = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{folder / 'preprocessor_config.json'} is no JSON: {error}") from None
    preprocessing = read_preprocessor(config)
    module, classes = _load_module(folder)
    return ImageParts(module, preprocessing, _digest(folder), classes)


def _load_module(folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    common = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **common)
        classifies = str((config.architectures or [""])[0]).endswith("ForImageClassification")
        loader = transformers.AutoModelForImageClassification if classifies else transformers.AutoModel
        module, report = loader.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **common
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise UsageError(f"{folder} cannot be loaded as an image model: {first_line(error)}") from error
    missing = sorted(key for key in report["missing_keys"] if classifies or "pooler" not in key)
    if missing:
        raise UsageError(
            f"{folder} lacks {len(missing):,} of the weights of {type(module).__name__}, such as {missing[0]}: they "
            "would be initialised with random numbers"
        )
    names = config.id2label if classifies else {}
    return module, tuple(str(names[index]) for index in sorted(names))


def _digest(folder: Path) -> str:
    """SHA-256 over names and digests of the configuration and the weights."""
    lines = []
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
