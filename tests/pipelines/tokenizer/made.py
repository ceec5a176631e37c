"""Small byte-level BPE tokenizers as the JSON of a tokenizer.json, with merges of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers

from corpus_audit.pipelines.tokens.tokenization import Tokenization, load_tokenizer

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
MERGES = "t h,th e,Ġ th,Ġth e,a b,ab c,Ġ a,Ġa b,1 2,12 3,Ġ Ġ,Ã ©,i n,in g,. .,' s,Ċ Ċ,Ġ <,x >,b c"


@cache
def alphabet() -> tuple[str, ...]:
    """The 256 characters of byte-level BPE."""
    return tuple(sorted(pre_tokenizers.ByteLevel.alphabet()))


def content(
    merges: Sequence[str] = tuple(MERGES.split(",")),
    added: Iterable[Mapping[str, Any]] = (),
    normalizer: Mapping[str, Any] | None = None,
    pre_tokenizer: Mapping[str, Any] | None = BYTE_LEVEL,
    **model: Any,
) -> dict[str, Any]:
    """A tokenizer.json; ``added`` are added tokens by their content and the flags that are set."""
    vocabulary = {character: number for number, character in enumerate(alphabet())}
    kept = []
    for merge in merges:
        one, two = merge.split(" ")
        if one in vocabulary and two in vocabulary:
            vocabulary.setdefault(one + two, len(vocabulary))
            kept.append(merge)
    used_ids = set(vocabulary.values())
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    tokens: list[dict[str, Any]] = []
    for token in added:
        number = vocabulary.get(token["content"], len(vocabulary) + len({t["id"] for t in tokens} - used_ids))
        tokens.append({"id": number, **dict.fromkeys(flags, False), **token})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": {**BYTE_LEVEL},
        "model": {"type": "BPE", "dropout": None, "vocab": vocabulary, "merges": kept, **model},
    }


def loaded(folder: Path, made: Mapping[str, Any], engine: Any = "auto") -> Tokenization:
    """It, read from a file as an audit reads it."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    return Tokenization(load_tokenizer(str(path), folder, folder / "used", engine))


def reference_ids(made: Mapping[str, Any], texts: Iterable[str]) -> list[list[int]]:
    """What `tokenizers` gives, one text at a time."""
    tokenizer = Tokenizer.from_str(json.dumps(made))
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def ids_of(tokenization: Tokenization, texts: Sequence[str]) -> list[list[int]]:
    """What an audit counts."""
    import pyarrow as pa

    batch = tokenization.encode(pa.array(texts, pa.large_string()))
    return [batch.of(d).tolist() for d in range(len(texts))]
