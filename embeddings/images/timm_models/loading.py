"""Loads a model of timm from local files: the module, its preprocessing and its weights; never a download."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from corpus_audit.embeddings.images.timm_models.names import PREFIX
from corpus_audit.embeddings.models.model_folder import first_line
from corpus_audit.schemas.errors import UsageError

_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Pillow's numbers of interpolations."""


@dataclass(frozen=True)
class TimmModel:
    """A model of timm.

    Attributes:
        module: returns logits [B, classes], or features if it has no classifier.
        steps: the fields of `images.preprocessing.Preprocessing` by name.
        digest: of architecture, configuration, weights and timm's version.
        class_names: as the configuration names them; may be empty.
    """

    module: nn.Module
    steps: dict[str, Any]
    digest: str
    class_names: tuple[str, ...]


def load_timm(name: str, base: Path) -> TimmModel:
    """A model of timm, by a folder or as ``timm:ARCHITECTURE:FILE``.

    Raises:
        UsageError: timm is not installed, does not know the architecture, or its preprocessing is not applied here;
            there are no weights as safetensors, or they do not fit.
    """
    try:
        import timm
    except ImportError as error:
        raise UsageError(
            f"{name} is a model of timm, which is not installed: pip install 'corpus-audit[timm]' ({first_line(error)})"
        ) from None
    if name.startswith(PREFIX):
        architecture, colon, file = name.removeprefix(PREFIX).partition(":")
        if not colon or ":" in architecture or "/" in architecture:
            raise UsageError(f"{name}: write timm:ARCHITECTURE:FILE.safetensors; nothing is downloaded")
        source, weights, config = architecture, (base / file).expanduser(), b""
    else:
        folder = (base / name).expanduser()
        source, weights = f"local-dir:{folder}", folder / "model.safetensors"
        config = (folder / "config.json").read_bytes()
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise UsageError(
            f"{name}: there is no file of weights {weights}; only safetensors are read, as pickles can run code"
        )
    try:
        module = timm.create_model(source, pretrained=False)
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, AssertionError) as error:
        raise UsageError(f"{name}: timm {timm.__version__} cannot make it: {first_line(error)}") from error
    _load_weights(name, module, weights)
    settings = timm.data.resolve_model_data_config(module)
    known = dict(getattr(module, "pretrained_cfg", None) or {})
    labels = known.get("label_names") or ()
    with weights.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    architecture = "" if config else source
    identity = f"timm {timm.__version__} {architecture} {hashlib.sha256(config).hexdigest()} {digest}"
    return TimmModel(module, steps_of(settings), hashlib.sha256(identity.encode()).hexdigest(), tuple(map(str, labels)))


def steps_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Preprocessing` for what ``timm.data.resolve_model_data_config`` returns.

    Raises:
        UsageError: they are not applied here; the message names the setting.
    """
    channels, height, width = settings["input_size"]
    share, mode, filtered = settings["crop_pct"], settings["crop_mode"], settings["interpolation"]
    if channels != 3:
        raise UsageError(f"timm: input_size has {channels} channels, and only RGB is read")
    if filtered not in _FILTERS:
        raise UsageError(f"timm: interpolation = {filtered!r} is not applied here")
    if not 0 < share <= 1:
        raise UsageError(f"timm: crop_pct = {share!r} is not applied here")
    known = {"input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode"}
    for key, value in settings.items():
        if key not in known and value not in (None, False, 0):
            raise UsageError(f"timm: {key} = {value!r} is not applied here")
    scaled = math.floor(height / share), math.floor(width / share)
    if mode == "squash":
        resize: dict[str, Any] = {"resize": scaled}
    elif mode == "center" and height == width:
        resize = {"shortest_edge": scaled[0]}
    else:
        raise UsageError(f"timm: crop_mode = {mode!r} of an input of {height} x {width} is not applied here")
    mean, std = (tuple(map(float, settings[key])) for key in ("mean", "std"))
    return resize | {
        "crop": (height, width),
        "resample": _FILTERS[filtered],
        "mean": mean,
        "std": std,
        "rounding": "torchvision",
    }


def _load_weights(name: str, module: nn.Module, weights: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(weights)
        missing, unexpected = module.load_state_dict(state, strict=False)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UsageError(f"{name}: {weights.name} cannot be loaded: {first_line(error)}") from error
    for keys, problem in ((missing, "lacks"), (unexpected, "has, beyond the architecture,")):
        if keys:
            raise UsageError(f"{name}: {weights.name} {problem} {len(keys):,} weights, such as {sorted(keys)[0]}")
