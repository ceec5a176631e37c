"""The tokenizer of a corpus that has no text: images without captions. It has a token a byte, and counts none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson

from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.pipelines.tokens.file import TokenizerFile, load_tokenizer
from corpus_audit.pipelines.tokens.probes import byte_alphabet
from corpus_audit.schemas.spec.audit import AuditSpec

NAME = "none: images without captions"
"""Its name in runs."""


def load_tokenizer_of(spec: AuditSpec, base: Path, folder: Path) -> TokenizerFile:
    """The tokenizer of an audit as `load_tokenizer` loads it; that of no text where the audit has none.

    Raises:
        UsageError: there is no such tokenizer, or it cannot be loaded.
    """
    if spec.tokenizer_path is not None:
        return load_tokenizer(spec.tokenizer_path, base, folder, spec.tokenizer_engine)
    path = folder / "no_text.json"
    atomic_write(path, _content())
    return replace(load_tokenizer(path.name, folder, folder, "reference"), name=NAME)


def _content() -> bytes:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return orjson.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": byte_alphabet(), "merges": []},
        }
    )
