"""tokenizers#917, #918: added tokens with ``single_word``, ``lstrip``, ``rstrip``, and what is beside them.

gigatoken finds a token with ``single_word=True`` inside words, too, so that a corpus lost 16 tokens of 596,122 with
exit code 0 where the documents that a run compares happened to have none of them, and stopped with exit code 4 where
they had. Right is the count of `tokenizers`; the fast path is admitted by probes made from the tokenizer's own tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.tokens.tokenization import FAST, REFERENCE
from tests.pipelines.tokenizer.made import content, ids_of, loaded, reference_ids

SIDES = ["", "a", "Z", "7", " ", "  ", "\n", "\t", ".", "-", "_", "é", "中", "\u00a0", "\u0301", "<", ">", "x"]
SIDES += ["bc", "'s"]

WRONG: dict[str, list[dict[str, Any]]] = {
    "single word": [{"content": "foo", "single_word": True}],
    "single word, special": [{"content": "<x>", "single_word": True, "special": True}],
    "white space is taken along that begins another token": [
        {"content": "é", "rstrip": True},
        {"content": " x", "rstrip": False},
    ],
    "white space that is a token": [{"content": "\n", "rstrip": True}],
    "one is looked for after normalisation and overlaps": [
        {"content": "ab", "normalized": True},
        {"content": "bc", "normalized": False},
    ],
}
"""Tokenizers for which gigatoken 0.10 gives other ids."""

RIGHT: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "special": [{"content": "<|endoftext|>", "special": True}],
    "overlapping": [{"content": "ab"}, {"content": "abc"}, {"content": "bca"}, {"content": "<a b>"}],
    "stripping": [{"content": "<mask>", "lstrip": True, "special": True}, {"content": "<|user|>", "rstrip": True}],
    "white space": [{"content": "  "}, {"content": "    "}, {"content": "\n\n"}],
    "many": [{"content": f"<extra_{n}>"} for n in range(1500)],
}


def texts_beside(tokens: list[dict[str, Any]]) -> list[str]:
    names = [token["content"] for token in tokens[:4]] or ["abc"]
    texts = [f"{left}{name}{right}" for name in names for left in SIDES for right in SIDES]
    texts += [f"{left}{entry}{two}{left}{two}" for entry in names for two in names for left in SIDES]
    return [*texts, "", "foobar foo foo. xfoo", "abc bca abcbc  ab c"]


@pytest.mark.parametrize("tokens", [*WRONG.values(), *RIGHT.values()], ids=[*WRONG, *RIGHT])
def test_ids_are_those_of_the_reference(tmp_path: Path, tokens: list[dict[str, Any]]) -> None:
    made = content(added=tokens)
    texts = texts_beside(tokens)
    assert ids_of(loaded(tmp_path, made), texts) == reference_ids(made, texts)


@pytest.mark.parametrize("tokens", WRONG.values(), ids=WRONG)
def test_the_fast_path_is_refused_and_the_reason_names_a_text_and_both_ids(
    tmp_path: Path, tokens: list[dict[str, Any]]
) -> None:
    tokenization = loaded(tmp_path, content(added=tokens))
    assert tokenization.path == REFERENCE
    assert tokenization.reason.startswith("gigatoken gives other ids for this tokenizer: on '")
    assert "by gigatoken" in tokenization.reason and "by tokenizers" in tokenization.reason


@pytest.mark.parametrize("tokens", RIGHT.values(), ids=RIGHT)
def test_the_fast_path_is_kept_where_it_is_right(tmp_path: Path, tokens: list[dict[str, Any]]) -> None:
    tokenization = loaded(tmp_path, content(added=tokens))
    assert tokenization.path == FAST, tokenization.reason
