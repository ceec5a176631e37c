"""Settings of a tokenizer.json: which are switched off for counting, and which rule out the fast tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_TOP_LEVEL_KEYS = {
    "version",
    "truncation",
    "padding",
    "added_tokens",
    "normalizer",
    "pre_tokenizer",
    "post_processor",
    "decoder",
    "model",
}
_MODEL_KEYS = {
    "type",
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
    "vocab",
    "merges",
}
_ADDED_TOKEN_KEYS = {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}
_NORMALIZERS = {
    "NFC": set(),
    "Sequence": {"normalizers"},
    "Replace": {"pattern", "content"},
    "Prepend": {"prepend"},
    "Strip": {"strip_left", "strip_right"},
}
_PRE_TOKENIZERS = {
    "ByteLevel": {"add_prefix_space", "trim_offsets", "use_regex"},
    "Sequence": {"pretokenizers"},
    "Split": {"pattern", "behavior", "invert"},
    "Metaspace": {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"},
    "Digits": {"individual_digits"},
}


def switch_off(content: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The content with truncation, padding and dropout off, and what was switched off, such as ``truncation (128)``.

    Truncation would count a long document as its first tokens; dropout (Provilkov et al. 2020, BPE-dropout) is meant
    for training and gives other ids each time.
    """
    used, off = dict(content), []
    for key, detail in (("truncation", "max_length"), ("padding", "strategy")):
        if used.get(key) is not None:
            off.append(f"{key} ({json.dumps(used[key].get(detail))})")
            used[key] = None
    model = used.get("model")
    if isinstance(model, dict) and model.get("dropout") is not None:
        if model["dropout"]:
            off.append(f"dropout ({json.dumps(model['dropout'])})")
        used["model"] = model | {"dropout": None}
    return used, tuple(off)


def unsupported_setting(content: Mapping[str, Any]) -> str:
    """The first setting that the fast tokenizer may not support, such as ``model.end_of_word_suffix``; "" if none.

    This is an allow-list: an unknown key may change ids in only one of the tokenizers, so the reference counts then.
    """
    return next(_unsupported(content), "")


def _unsupported(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown_keys("", content, _TOP_LEVEL_KEYS)
    model = content["model"]
    if model.get("type", "BPE") != "BPE":
        yield f"model.type {model['type']}"
        return
    yield from _unknown_keys("model.", model, _MODEL_KEYS)
    for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(key):
            yield f"model.{key} {json.dumps(model[key])}"
    for token in content.get("added_tokens") or ():
        yield from _unknown_keys("added_tokens.", token, _ADDED_TOKEN_KEYS)
    yield from _components("normalizer", content.get("normalizer"), "normalizers", _NORMALIZERS)
    yield from _components("pre_tokenizer", content.get("pre_tokenizer"), "pretokenizers", _PRE_TOKENIZERS)


def _components(
    name: str, component: Mapping[str, Any] | None, parts: str, known: Mapping[str, set[str]]
) -> Iterator[str]:
    if component is None:
        return
    kind = str(component.get("type"))
    if kind not in known:
        yield f"{name} {kind}"
        return
    yield from _unknown_keys(f"{name}.", component, known[kind] | {"type"})
    for part in component.get(parts) or ():
        yield from _components(name, part, parts, known)


def _unknown_keys(prefix: str, mapping: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    for key in mapping:
        if key not in known:
            yield f"{prefix}{key}"
