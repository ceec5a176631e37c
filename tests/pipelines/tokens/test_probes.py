"""Admission by probes: whichever path is admitted counts the reference's ids, whatever the tokenizer."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from corpus_audit.pipelines.tokens import probes as module
from corpus_audit.pipelines.tokens.probes import REPRESENTATIVES, probes, representatives
from corpus_audit.pipelines.tokens.tokenization import REFERENCE
from corpus_audit.schemas.errors import NoVerdictError
from tests.pipelines.tokenizer.made import BYTE_LEVEL, CL100K, content, ids_of, loaded, reference_ids

ATOMS = ["a", "b", "c", "ab", "bc", "the", "<", "x", ">", " ", "  ", "\n", "1", "12", "é", "e\u0301", "\u0301", "."]
ATOMS += ["中", "A", "'s", "\u00a0", "_", "-", "İ", "ß", "ﬁ"]

PIECES = st.text(st.sampled_from("abcth<x>12.'éĠĊÃ©"), min_size=1, max_size=2)
MERGES = st.lists(st.tuples(PIECES, PIECES).map(" ".join), max_size=25)
TOKENS = st.builds(
    lambda parts, flags: {"content": "".join(parts), **dict.fromkeys(flags, True)},
    st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3),
    st.sets(st.sampled_from(["single_word", "lstrip", "rstrip", "normalized", "special"]), max_size=2),
)
NORMALIZERS: list[dict[str, Any] | None] = [
    *[None] * 4,
    *[{"type": name} for name in ("NFC", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")],
    {"type": "Strip", "strip_left": True, "strip_right": False},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "b"},
    {"type": "Prepend", "prepend": "x"},
    {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
]
SPLIT = {"type": "Split", "pattern": {"Regex": CL100K}, "behavior": "Isolated", "invert": False}
WITHIN = {**BYTE_LEVEL, "use_regex": False}
PRE_TOKENIZERS: list[dict[str, Any]] = [
    *[BYTE_LEVEL] * 3,
    {**BYTE_LEVEL, "add_prefix_space": True},
    WITHIN,
    {"type": "Sequence", "pretokenizers": [SPLIT, WITHIN]},
    {"type": "Sequence", "pretokenizers": [SPLIT, {**WITHIN, "add_prefix_space": True}]},
    {"type": "Sequence", "pretokenizers": [{**SPLIT, "behavior": "Removed"}, WITHIN]},
    {"type": "Sequence", "pretokenizers": [{**SPLIT, "behavior": "MergedWithPrevious"}, WITHIN]},
    {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]},
    {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, BYTE_LEVEL]},
]


CASES = given(
    merges=MERGES,
    added=st.lists(TOKENS, max_size=4, unique_by=lambda token: token["content"]),
    normalizer=st.sampled_from(NORMALIZERS),
    pre_tokenizer=st.sampled_from(PRE_TOKENIZERS),
    model=st.sampled_from([{}, {}, {"ignore_merges": True}, {"dropout": 0.5}, {"end_of_word_suffix": "x"}]),
    data=st.data(),
)


@settings(max_examples=10, deadline=None)
@CASES
def test_counted_ids_are_the_references(**case: Any) -> None:
    counted_ids_are_the_references(**case)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@CASES
def test_counted_ids_are_the_references_for_many_tokenizers(**case: Any) -> None:
    counted_ids_are_the_references(**case)


def counted_ids_are_the_references(
    merges: list[str], added: list[dict[str, Any]], normalizer: Any, pre_tokenizer: Any, model: Any, data: st.DataObject
) -> None:
    made = content(merges, added, normalizer, pre_tokenizer, **model)
    parts = [*ATOMS, *[token["content"] for token in added] * 4]
    texts = data.draw(st.lists(st.lists(st.sampled_from(parts), max_size=9).map("".join), min_size=5, max_size=40))
    with tempfile.TemporaryDirectory() as folder:
        tokenization = loaded(Path(folder), made)
    try:
        counted = ids_of(tokenization, texts)
    except NoVerdictError as error:  # the reference panics where lstrip and rstrip of white space meet
        assert "tokenizers" in str(error) and "content hash" in str(error)
        assert tokenization.path == REFERENCE
        return
    if model.get("dropout"):
        made["model"]["dropout"] = None
    assert counted == reference_ids(made, texts)


@pytest.mark.parametrize(
    "setting",
    [
        {"end_of_word_suffix": "</w>"},
        {"strange": 1},
    ],
)
def test_a_setting_that_the_fast_path_may_not_honour_is_named(tmp_path: Path, setting: dict[str, Any]) -> None:
    tokenization = loaded(tmp_path, content(**setting))
    assert tokenization.path == REFERENCE
    assert f"model.{next(iter(setting))}" in tokenization.reason


def test_unknown_keys_of_every_part_are_named(tmp_path: Path) -> None:
    token = {"content": "<x>", "strange": True}
    for made, name in (
        (content() | {"strange": 1}, "strange"),
        (content(added=[token]), "added_tokens.strange"),
        (content(pre_tokenizer={**BYTE_LEVEL, "strange": 1}), "pre_tokenizer.strange"),
        (content(normalizer={"type": "NFC", "strange": 1}), "normalizer.strange"),
        (content(normalizer={"type": "Lowercase"}), "normalizer Lowercase"),
    ):
        try:
            Tokenizer.from_str(json.dumps(made))
        except Exception:  # the reference refuses it itself
            continue
        assert name in loaded(tmp_path, made).reason


def test_the_probes_of_a_tokenizer_with_thousands_of_tokens_are_bounded() -> None:
    few = sum(map(len, probes(content())))
    many = content(added=[{"content": f"word{n}ab", "normalized": bool(n % 2)} for n in range(6000)])
    assert sum(map(len, probes(many))) < few + 4 * module.TEXT_CHARACTERS
    large = content()
    large["model"]["vocab"] = {f"piece{n:07}": n for n in range(200_000)}
    assert sum(map(len, probes(large))) < few + 3 * module.TEXT_CHARACTERS


def test_every_token_is_probed_beside_letters() -> None:
    tokens = [{"content": f"<extra_{n}>"} for n in range(3000)]
    text = "\0".join(probes(content(added=tokens)))
    assert all(f"a{token['content']}b" in text for token in tokens)


def test_representatives_are_of_every_kind_first() -> None:
    tokens = [{"content": f"<{n}>"} for n in range(100)] + [{"content": "word", "single_word": True}, {"content": "  "}]
    selected = representatives(tokens)
    assert len(selected) == REPRESENTATIVES
    assert [token["content"] for token in selected[:3]] == ["<0>", "word", "  "]
