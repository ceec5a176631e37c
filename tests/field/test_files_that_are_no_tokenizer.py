"""What users give instead of a tokenizer.json: each is named for what it is, with the way to a tokenizer.json."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.tokens.tokenization import load_tokenizer
from corpus_audit.schemas.errors import UsageError

TIKTOKEN = b"".join(base64.b64encode(bytes([n])) + b" %d\n" % n for n in range(256))
SENTENCEPIECE = b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02\n\x0c\n\x03<s>\x15\x00\x00\x00\x00\x18\x03"

CASES = {
    "tokenizer_config.json": (json.dumps({"tokenizer_class": "GPT2Tokenizer"}).encode(), "a tokenizer_config.json"),
    "config.json": (json.dumps({"model_type": "gpt2", "vocab_size": 9}).encode(), "a model's config.json"),
    "vocab.json": (json.dumps({"a": 0, "b": 1}).encode(), "a vocabulary .* without its merges"),
    "merges.txt": (b"#version: 0.2\na b\n", "the merges of a BPE"),
    "tokenizer.model": (SENTENCEPIECE, "a SentencePiece model"),
    "cl100k_base.tiktoken": (TIKTOKEN, "a tiktoken file"),
    "renamed.json": (SENTENCEPIECE, "a SentencePiece model"),
    "pointer.json": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "page.json": (b"<!DOCTYPE html><html></html>", "an HTML page"),
    "archive.json": (b"PK\x03\x04", "an? .*archive"),
    "list.json": (b"[1, 2]", "a JSON list"),
    "object.json": (b'{"a": "b"}', "it has no model"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_named_for_what_it_is(tmp_path: Path, name: str) -> None:
    data, expected = CASES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=expected) as caught:
        load_tokenizer(name, tmp_path, tmp_path / "used")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "used").exists()


def test_a_folder_without_one_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.model").write_bytes(SENTENCEPIECE)
    with pytest.raises(UsageError, match=r"has no tokenizer\.json but tokenizer\.model: .*save_pretrained"):
        load_tokenizer("model", tmp_path, tmp_path / "used")


def test_a_model_on_which_the_reference_panics_is_an_error_and_no_panic(tmp_path: Path) -> None:
    """``continuing_subword_prefix`` longer than a merge's second part: tokenizers panics while it loads."""
    from tests.pipelines.tokenizer.made import content

    made = content(continuing_subword_prefix="####")
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    with pytest.raises(UsageError, match="that tokenizers can load"):
        load_tokenizer("tokenizer.json", tmp_path, tmp_path / "used")


def test_ids_with_holes_have_texts_and_absurd_ones_are_refused(tmp_path: Path) -> None:
    from tests.pipelines.tokenizer.made import content, ids_of, loaded

    made = content()
    made["model"]["vocab"]["the"] = 5000
    tokenization = loaded(tmp_path, made)
    assert tokenization.file.vocabulary == 5001
    assert 5000 in ids_of(tokenization, ["the"])[0]
    assert tokenization.texts(np.array([5000, 4000])).to_pylist() == ["the", "token 4000"]
    made["model"]["vocab"]["the"] = 2**31
    with pytest.raises(UsageError, match="token ids up to 2,147,483,648"):
        loaded(tmp_path, made)
