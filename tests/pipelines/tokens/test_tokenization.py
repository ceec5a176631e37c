"""Text to token ids: the fast path against the reference, what is switched off, and every way to be no tokenizer."""

from __future__ import annotations

import builtins
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from corpus_audit.pipelines.tokens import tokenization
from corpus_audit.pipelines.tokens.probes import byte_alphabet
from corpus_audit.pipelines.tokens.tokenization import (
    ENCODED_ALONE,
    FAST,
    REFERENCE,
    TokenBatch,
    Tokenization,
    TokenizerFile,
    _token_text,
    load_tokenizer,
    text_buffers,
)
from corpus_audit.schemas.errors import UsageError
from tests import corpora


def same(fast: TokenBatch, reference: TokenBatch) -> bool:
    return fast.ids.tolist() == reference.ids.tolist() and fast.offsets.tolist() == reference.offsets.tolist()


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    """A WordPiece tokenizer whose file truncates to 128 and pads to 128."""
    folder = tmp_path_factory.mktemp("wordpiece")
    return load_tokenizer(str(corpora.wordpiece(folder, vocabulary=500)), folder, folder / "used")


@settings(max_examples=150, deadline=None)
@given(st.lists(corpora.TEXTS, max_size=12), st.sampled_from([0, ENCODED_ALONE]))
def test_the_fast_path_equals_the_reference(tokenization: Tokenization, texts: list[str], encoded: int) -> None:
    assert tokenization.path == FAST
    tokenization._encoded_alone = encoded  # a call a document, or one for all
    batch = tokenization.encode(pa.array(texts, pa.large_string()))
    assert batch.ids.dtype == np.uint32
    assert batch.offsets.dtype == np.int64
    assert same(batch, tokenization.encode_reference(texts))
    assert (batch.ids < tokenization.file.vocabulary).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(corpora.TEXTS, min_size=1, max_size=10), st.data())
def test_slices_of_arrow_arrays(tokenization: Tokenization, texts: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts)))
    length = data.draw(st.integers(0, len(texts) - start))
    part = pa.array(texts, pa.large_string()).slice(start, length)
    wanted = texts[start : start + length]
    for encoded in (0, ENCODED_ALONE):
        tokenization._encoded_alone = encoded
        assert same(tokenization.encode(part), tokenization.encode_reference(wanted))
    offsets, raw = text_buffers(part)
    assert offsets.tolist() == np.cumsum([0, *(len(text.encode()) for text in wanted)]).tolist()
    assert raw.tobytes() == "".join(wanted).encode()


@pytest.mark.parametrize("texts", [[], [""], ["", "", ""], ["", "a", ""]])
def test_empty_batches(tokenization: Tokenization, wordpiece: TokenizerFile, texts: list[str]) -> None:
    for loaded in (tokenization, Tokenization(wordpiece)):
        batch = loaded.encode(pa.array(texts, pa.large_string()))
        assert same(batch, loaded.encode_reference(texts))
        assert len(batch.offsets) == len(texts) + 1


def test_real_documents_on_several_threads(tokenization: Tokenization) -> None:
    texts = [text for _, text in corpora.real_texts(300_000)]
    expected = tokenization.encode_reference(texts)
    results: list[bool] = []

    def work() -> None:
        results.extend(same(tokenization.encode(pa.array(texts, pa.large_string())), expected) for _ in range(2))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 6


def test_counts_are_without_special_tokens_truncation_and_padding(wordpiece: TokenizerFile) -> None:
    assert wordpiece.switched_off == ("truncation (128)", 'padding ({"Fixed": 128})')
    loaded = Tokenization(wordpiece)
    words = "document " * 500
    batch = loaded.encode(pa.array([words, "a", ""], pa.large_string()))
    lengths = np.diff(batch.offsets)
    assert lengths[0] >= 500
    assert lengths[1:].tolist() == [1, 0]
    assert lengths[0] == 500 * (loaded.encode(pa.array(["document"], pa.large_string())).offsets[1])


def test_the_tokenizer_of_the_probes_encodes_documents(bpe_file: TokenizerFile, tmp_path: Path) -> None:
    copy = tmp_path / "tokenizer.json"  # beside which no admission is recorded
    copy.write_bytes(bpe_file.path.read_bytes())
    loaded = Tokenization(replace(bpe_file, path=copy))
    (made,) = loaded._unused
    assert loaded._fast_tokenizer() is made
    assert not loaded._unused
    loaded.release()
    assert loaded._fast_tokenizer() is not made


def test_wordpiece_takes_the_reference_path_and_says_why(wordpiece: TokenizerFile) -> None:
    loaded = Tokenization(wordpiece)
    assert loaded.path == REFERENCE
    assert "gigatoken" in loaded.reason
    assert loaded.path_version == loaded.reference_version


def test_a_fast_path_that_differs_on_the_probes_is_not_used(
    bpe_file: TokenizerFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "tokenizer.json"  # beside which no admission is recorded
    copy.write_bytes(bpe_file.path.read_bytes())
    right = Tokenization._encode_fast

    def wrong(self: Tokenization, text: pa.LargeStringArray) -> TokenBatch:
        batch = right(self, text)
        return TokenBatch(np.where(batch.ids == batch.ids[-1], batch.ids - 1, batch.ids), batch.offsets)

    monkeypatch.setattr(Tokenization, "_encode_fast", wrong)
    loaded = Tokenization(replace(bpe_file, path=copy))
    assert loaded.path == REFERENCE
    assert loaded.reason.startswith("gigatoken gives other ids for this tokenizer: on ")


def test_without_gigatoken_the_reference_counts(bpe_file: TokenizerFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    loaded = Tokenization(bpe_file)
    assert loaded.path == REFERENCE
    assert "not installed" in loaded.reason
    assert len(loaded.encode(pa.array(["some text"], pa.large_string())).ids)


def test_the_file_as_used(bpe_file: TokenizerFile, tmp_path: Path) -> None:
    original = tmp_path / "tokenizer.json"
    content = json.loads(bpe_file.path.read_text(encoding="utf-8"))
    content["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    original.write_text(json.dumps(content), encoding="utf-8")
    loaded = load_tokenizer("tokenizer.json", tmp_path, tmp_path / "used")
    assert loaded.switched_off == ("truncation (8)",)
    assert loaded.path == tmp_path / "used" / bpe_file.path.name  # without its truncation it is the same file
    assert loaded.sha256 != bpe_file.sha256
    assert loaded.vocabulary == bpe_file.vocabulary == 600
    assert load_tokenizer(str(tmp_path), Path("/"), tmp_path / "used").sha256 == loaded.sha256
    assert bpe_file.switched_off == ()


@pytest.mark.parametrize("name", ["absent.json", "./absent", "a/b/c", "~/absent/x"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no tokenizer at"):
        load_tokenizer(name, tmp_path, tmp_path / "used")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b"null", b'{"model": {"type": "BPE"}}', b'"text"', b"not json"]
)
def test_a_file_that_is_no_tokenizer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UsageError, match="that tokenizers can load"):
        load_tokenizer("tokenizer.json", tmp_path, tmp_path / "used")
    assert not (tmp_path / "used").exists()


def test_a_hub_name_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install 'corpus-audit\[hub\]'"):
        load_tokenizer("someone/some-model", tmp_path, tmp_path / "used")


def fake_hub(path: Path | None) -> Any:
    """A huggingface_hub whose repository has the file, or not."""
    hub = type(sys)("huggingface_hub")

    def metadata(url: str, timeout: float) -> None:
        if path is None:
            raise OSError(f"no {url}\n\nand a page of advice")

    def download(name: str, file: str, local_files_only: bool = False) -> str:
        if path is None:
            raise OSError("not in the cache")
        return str(path)

    hub.hf_hub_url = lambda name, file: f"{name}/{file}"  # type: ignore[attr-defined]
    hub.get_hf_file_metadata = metadata  # type: ignore[attr-defined]
    hub.hf_hub_download = download  # type: ignore[attr-defined]
    return hub


def test_a_hub_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub(None))
    with pytest.raises(UsageError, match=r"cannot be reached \(no someone/some-model/tokenizer.json\); give the path"):
        load_tokenizer("someone/some-model", tmp_path, tmp_path / "used")


def test_a_hub_name(tmp_path: Path, bpe_file: TokenizerFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake_hub(bpe_file.path))
    assert load_tokenizer("someone/some-model", tmp_path, tmp_path / "used").vocabulary == 600


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        ("ä¸", "\\xe4\\xb8"),
        ("ĠÃ", " \\xc3"),
        ("<0xE4>", "\\xe4"),
        ("[CLS]", "[CLS]"),
        ("token 7", "token 7"),
        ("日", "日"),
    ],
)
def test_a_token_that_is_no_character_is_shown_by_its_bytes(piece: str, shown: str) -> None:
    assert _token_text(piece) == shown


def test_the_byte_alphabet_is_that_of_the_reference() -> None:
    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256))


def test_the_store_remembers_what_passed_the_probes(
    bpe_file: TokenizerFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / bpe_file.path.name
    copy.write_bytes(bpe_file.path.read_bytes())
    file = replace(bpe_file, path=copy)
    assert Tokenization(file).path == "gigatoken"
    probed: list[object] = []
    monkeypatch.setattr(tokenization, "probes", lambda content: probed.append(content) or [])
    assert Tokenization(file).path == "gigatoken"
    assert not probed
    [record] = tmp_path.glob("*.admitted.json")
    conditions = json.loads(record.read_text())
    for name in conditions:
        record.write_text(json.dumps(conditions | {name: "another"}))
        Tokenization(file)
        assert probed, name
        probed.clear()
    record.write_text("{")
    Tokenization(file)
    assert probed
