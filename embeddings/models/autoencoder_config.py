"""Reads a SAELens ``cfg.json``, old (flat) or new (with ``metadata``), and refuses settings that are not supported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from corpus_audit.embeddings.models.autoencoder_keys import ALIASES, MODEL_RULES, MODEL_UNUSED, RULES, UNUSED
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run import strict_json

CONFIG_FILE = "cfg.json"
_HOOKED = re.compile(
    r"blocks\.(\d+)\.(hook_resid_pre|hook_resid_mid|hook_resid_post|hook_mlp_out|hook_attn_out"
    r"|hook_mlp_in|mlp\.hook_in|mlp\.hook_post|attn\.hook_z)"
)
_MODULE = re.compile(r"(?:model\.layers|transformer\.h|gpt_neox\.layers|model\.decoder\.layers)\.(\d+)")
"""A block of `transformers`' own, whose output a hook of that name is (``model_class_name: AutoModelForCausalLM``)."""
_OFFERED = (
    "blocks.N.hook_resid_pre, .hook_resid_mid, .hook_resid_post, .hook_mlp_in, .hook_mlp_out, .hook_attn_out, "
    ".mlp.hook_in, .mlp.hook_post, .attn.hook_z"
)


class HookKind(StrEnum):
    """Where in a block an autoencoder reads, by TransformerLens' names."""

    RESID_PRE = "hook_resid_pre"
    RESID_MID = "hook_resid_mid"
    RESID_POST = "hook_resid_post"
    STREAM_TO_MLP = "hook_mlp_in"
    MLP_OUT = "hook_mlp_out"
    ATTN_OUT = "hook_attn_out"
    MLP_IN = "mlp.hook_in"
    MLP_POST = "mlp.hook_post"
    Z = "attn.hook_z"

    @property
    def is_in_stream(self) -> bool:
        """Whether it is in the residual stream, or is added to it: no norm and no projection stands between."""
        return self not in (HookKind.MLP_IN, HookKind.MLP_POST, HookKind.Z)


_FOLDED = {
    HookKind.MLP_IN: ("fold_ln",),
    HookKind.Z: ("fold_value_biases", "refactor_factored_attn_matrices"),
}
"""What may not have been done to a model's weights, by hook: it changes what is there."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A point in a model that an autoencoder reads."""

    kind: HookKind
    block: int

    def __str__(self) -> str:
        return f"blocks.{self.block}.{self.kind.value}"


@dataclass(frozen=True, slots=True)
class SaeConfig:
    """The settings of an autoencoder that its latents depend on.

    Attributes:
        architecture: standard, gated, jumprelu or topk; batch top-k ones have a threshold and count as jumprelu, and
            transcoders as standard or jumprelu.
        predicts: of a transcoder, what it predicts (``hook_name_out``, or "another activation" where no name is given);
            empty for an autoencoder, which reconstructs what it reads.
        skips: whether a transcoder also has a linear path from input to output, which changes no latent.
        is_tanh: whether tanh follows the ReLU.
        k: latents of a top-k autoencoder that stay; else 0.
        by_decoder_norm: whether what goes into the activation function is multiplied by the norms of W_dec's rows.
        subtracts_b_dec: whether the decoder's bias is subtracted from the input.
        normalization: of each input: none, constant_norm_rescale or layer_norm.
        scales_decoder: whether latents are scaled before they are decoded, which changes no latent.
        hook: what it reads.
        is_centered: whether its model's writing weights were centred: the residual stream less its mean.
        inputs, latents: d_in and d_sae, where the file says them.
        prepend_bos, context_size, model_name: what it was trained on, where the file says so.
    """

    architecture: str
    predicts: str
    skips: bool
    is_tanh: bool
    k: int
    by_decoder_norm: bool
    subtracts_b_dec: bool
    normalization: str
    scales_decoder: bool
    hook: Hook
    is_centered: bool
    inputs: int | None
    latents: int | None
    prepend_bos: bool | None
    context_size: int | None
    model_name: str | None


def read_config(folder: Path, ignore: tuple[str, ...] = ()) -> SaeConfig:
    """Read the configuration of an autoencoder.

    Args:
        folder: holds cfg.json.
        ignore: unknown keys of which the user says that they change no latent.

    Raises:
        UsageError: it cannot be read; a key is unknown, has a value that is not applied, or contradicts another. The
            message names the key and its value.
    """
    path = folder / CONFIG_FILE
    try:
        raw = strict_json.loads(path.read_bytes())
    except (OSError, strict_json.StrictJsonError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{path} is not a SAELens configuration: it holds no object")
    return _ConfigReader(path, ignore).read(raw)


@dataclass(frozen=True)
class _ConfigReader:
    """Turns the object of one ``cfg.json`` into an `SaeConfig`; errors name its path."""

    path: Path
    ignore: tuple[str, ...]

    def read(self, raw: dict[str, Any]) -> SaeConfig:
        values = self._values(raw)
        transcoder = self._transcoder(values)
        architecture, k = self._architecture(values)
        activation = values.get("activation_fn")
        hook = self._hook(values)
        by_norm = values.get("rescale_acts_by_decoder_norm") is True
        if by_norm and architecture not in ("topk", "batchtopk"):
            raise self._refused("rescale_acts_by_decoder_norm", True, f"false where the architecture is {architecture}")
        normalization = values.get("normalize_activations")
        return SaeConfig(
            architecture="jumprelu" if architecture == "batchtopk" else architecture,
            predicts=(values.get("hook_name_out") or "another activation") if transcoder else "",
            skips="skip" in transcoder,
            is_tanh=activation == "tanh-relu",
            k=k,
            by_decoder_norm=by_norm,
            subtracts_b_dec=not transcoder and values.get("apply_b_dec_to_input") is not False,
            normalization=normalization if isinstance(normalization, str) else "none",
            scales_decoder=values.get("finetuning_scaling_factor") is True,
            hook=hook,
            is_centered=self._is_centered(values.get("model_from_pretrained_kwargs") or {}, hook),
            inputs=values.get("d_in"),
            latents=values.get("d_sae"),
            prepend_bos=values.get("prepend_bos"),
            context_size=values.get("context_size"),
            model_name=values.get("model_name"),
        )

    def _values(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The keys that have rules, by their new names, every one of them accepted."""
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        unknown: dict[str, Any] = {}
        for name, value in _flat(raw):
            key = name.rpartition(".")[2]
            key = ALIASES.get(key, key)
            rule = RULES.get(key)
            if rule is None:
                if key not in UNUSED and key not in self.ignore and name not in self.ignore:
                    unknown[name] = value
                continue
            if not rule.accepts(value):
                raise self._refused(name, value, rule.supported)
            if value is None:
                continue
            if key in values and values[key] != value:
                raise UsageError(
                    f"{self.path} contradicts itself: {names[key]}: {_shown(values[key])}, and {name}: {_shown(value)}"
                )
            values[key], names[key] = value, name
        self._check_unknown(unknown, "the latents")
        return values

    def _transcoder(self, values: dict[str, Any]) -> str:
        """The architecture of a transcoder, which becomes its encoder's in ``values``; empty for an autoencoder."""
        architecture: str = values.get("architecture", "standard")
        if "transcoder" not in architecture:
            only = f"{{}} where the architecture is {architecture}: of transcoders"
            if values.get("d_out", values.get("d_in")) != values.get("d_in"):
                raise self._refused("d_out", values["d_out"], only.format("d_in"))
            for key in ("hook_name_out", "hook_layer_out"):
                if values.get(key):
                    raise self._refused(key, values[key], only.format("nothing"))
            return ""
        if values.get("apply_b_dec_to_input") is True:
            raise self._refused("apply_b_dec_to_input", True, f"false where the architecture is {architecture}")
        if values.get("finetuning_scaling_factor") is True:
            raise self._refused("finetuning_scaling_factor", True, f"false where the architecture is {architecture}")
        values["architecture"] = "jumprelu" if architecture.startswith("jumprelu") else "standard"
        return architecture

    def _architecture(self, values: dict[str, Any]) -> tuple[str, int]:
        """The architecture by its own name (of batch top-k ones: batchtopk), and k of a top-k one."""
        architecture = values.get("architecture", "standard").removeprefix("matryoshka_")
        activation, kwargs = values.get("activation_fn"), values.get("activation_fn_kwargs") or {}
        if activation == "topk" and architecture == "standard":
            architecture = "topk"  # as old files say it
        if activation == "topk" and architecture not in ("topk", "batchtopk"):
            raise self._refused(
                "activation_fn", activation, f"relu, tanh-relu where the architecture is {architecture}"
            )
        if activation == "tanh-relu" and architecture in ("topk", "batchtopk"):
            raise self._refused("activation_fn", activation, f"topk where the architecture is {architecture}")
        if architecture != "topk":
            if "k" in kwargs:
                raise self._refused("activation_fn_kwargs", kwargs, f"nothing where the architecture is {architecture}")
            return architecture, 0
        k, other = kwargs.get("k", values.get("k")), values.get("k")
        if not isinstance(k, int | float) or k < 1 or k != int(k) or (other is not None and other != k):
            raise UsageError(f"{self.path}: a top-k autoencoder needs one k, a whole number above 0")
        return architecture, int(k)

    def _hook(self, values: dict[str, Any]) -> Hook:
        name = values.get("hook_name", "")
        if not name:
            raise UsageError(f"{self.path} names no hook: it needs hook_name (in old files hook_point): {_OFFERED}")
        if "{layer}" in name and "hook_layer" in values:
            name = name.replace("{layer}", str(values["hook_layer"]))
        if match := _HOOKED.fullmatch(name):
            hook = Hook(HookKind(match[2]), int(match[1]))
        elif (match := _MODULE.fullmatch(name)) and values.get("model_class_name") == "AutoModelForCausalLM":
            hook = Hook(HookKind.RESID_POST, int(match[1]))
        else:
            raise self._refused("hook_name", name, _OFFERED)
        if values.get("hook_layer", hook.block) != hook.block:
            raise UsageError(
                f"{self.path} contradicts itself: hook_name: {name}, and hook_layer: {values['hook_layer']}"
            )
        reshape = values.get("reshape_activations")
        if reshape is not None and (reshape == "hook_z") != (hook.kind is HookKind.Z):
            raise self._refused(
                "reshape_activations", reshape, f"{'hook_z' if reshape == 'none' else 'none'} at {name}"
            )
        return hook

    def _check_unknown(self, unknown: dict[str, Any], what: str) -> None:
        if unknown:
            listed = ", ".join(f"{name}: {_shown(value)}" for name, value in unknown.items())
            known = ", ".join(unknown)
            raise UsageError(
                f"{self.path}: {listed} {'is' if len(unknown) == 1 else 'are'} unknown, and may change {what}. If you "
                f"know better, say so in the audit: saes: [{{name: …, path: …, ignore: [{known}]}}]"
            )

    def _is_centered(self, kwargs: dict[str, Any], hook: Hook) -> bool:
        unknown: dict[str, Any] = {}
        for key, value in kwargs.items():
            name = f"model_from_pretrained_kwargs.{key}"
            rule = MODEL_RULES.get(key)
            if rule is None:
                if key not in MODEL_UNUSED and key not in self.ignore and name not in self.ignore:
                    unknown[name] = value
            elif not rule.accepts(value):
                raise self._refused(name, value, rule.supported)
            elif value and key in _FOLDED.get(hook.kind, ()):
                raise self._refused(name, value, f"false at {hook}")
        self._check_unknown(unknown, "what the autoencoder reads")
        return kwargs.get("center_writing_weights") is True and hook.kind.is_in_stream

    def _refused(self, name: str, value: Any, supported: str) -> UsageError:
        more = ""
        if (value is True and name.endswith("normalize_activations")) or value == "expected_average_only_in":
            more = ". Its scaling factor is in no file: fold it in with fold_activation_norm_scaling_factor, and save"
        elif name.endswith("architecture") and "crosscoder" in str(value):
            more = (
                ". A crosscoder reads several points of a model, or several models: SAELens has no format for them, "
                "and a unit of an index is read at one point"
            )
        return UsageError(f"{self.path}: {name}: {_shown(value)} is not supported (supported: {supported}){more}")


def _flat(raw: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, value) of the keys of a file and of its metadata, which are ``metadata.KEY``."""
    for key, value in raw.items():
        yield key, value
        if key == "metadata" and isinstance(value, dict):
            for inner, of_inner in value.items():
                yield f"metadata.{inner}", of_inner


def _shown(value: Any) -> str:
    text = strict_json.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
