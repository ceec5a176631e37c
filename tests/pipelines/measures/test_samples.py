"""The samples of a run by hand: signatures by the first MinHash, texts of lowest hash."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from corpus_audit.pipelines.kernels.text import ngrams
from corpus_audit.pipelines.measures import minhash_sample, samples
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from tests.oracle import Document
from tests.pipelines.making import block_of, digest, hashes, rows


def test_signatures_of_every_text(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash_sample, "SAMPLE_SHARE", 1 - 2**-40)
    texts = ["a", "a", "", "one two three four five six seven", "\U0001f642" * 30]
    partial = minhash_sample.MinHashSample().count(
        block_of(tokenization, [(n, Document(text)) for n, text in enumerate(texts)], clustered=False)
    )
    assert hashes(partial, "signatures") == sorted({digest(text) for text in texts if text})
    signed = dict(
        zip(hashes(partial, "signatures"), rows(partial, "signatures", "documents", "signature"), strict=True)
    )
    for text in set(texts) - {""}:
        encoded = tokenization.encode_reference([text])
        narrow = encoded.ids.astype(np.uint16)  # as a block keeps them under a small vocabulary
        expected = ngrams.signatures(narrow, encoded.offsets, np.zeros(1, np.int64))
        assert signed[digest(text)] == (texts.count(text), expected.astype("<u4").tobytes())


def test_the_sample_follows_the_first_minhash(tokenization: Tokenization) -> None:
    documents = [(n, Document(digest(str(n)).hex())) for n in range(1500)]
    block = block_of(tokenization, documents, clustered=False)
    firsts = block.first_minhash
    chosen = np.flatnonzero(ngrams.rehash(firsts) < np.uint64(2**59))
    assert 15 < len(chosen) < 90
    partial = minhash_sample.MinHashSample().count(block)
    assert hashes(partial, "signatures") == sorted(digest(documents[d][1].text) for d in chosen)


def test_samples_are_the_distinct_texts_of_lowest_hash(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "KEPT", 4)
    monkeypatch.setattr(samples, "SAMPLES", replace(samples.SAMPLES, keep_per_domain=4))
    documents = [Document(f"text {n % 9}", facets={"domain": "ab"[n % 2]}) for n in range(60)]
    documents += [Document("long ä" * 100, facets={"domain": "c"})]
    measure = samples.Samples()
    for excerpts in (True, False):
        blocks = [
            block_of(tokenization, list(enumerate(documents[a:b])), clustered=False, excerpts=excerpts)
            for a, b in ((0, 17), (17, 18), (18, 61))
        ]
        partial = measure.merge([measure.count(one) for one in blocks])
        expected = []
        for domain in "abc":
            counts = Counter(document.text for document in documents if document.facets["domain"] == domain)
            expected += [(domain, digest(t), counts[t], t) for t in sorted(counts, key=digest)[:4]]
        got = rows(partial, "samples", "domain", "documents", "excerpt", "buckets", "counts")
        for (name, content, number, text), sample, (d, n, excerpt, buckets, counted) in zip(
            expected, hashes(partial, "samples"), got, strict=True
        ):
            assert (partial.names[d], sample, n) == (name, content, number)
            assert excerpt == (text[: samples.EXCERPT_CHARACTERS].encode() if excerpts else b"")
            encoded = tokenization.encode_reference([text])
            vector = ngrams.feature_vectors(encoded.ids, encoded.offsets, np.zeros(1, np.int64))
            assert np.frombuffer(buckets, "<i2").tolist() == vector[0].tolist()
            assert np.frombuffer(counted, "<u2").tolist() == vector[1].tolist()
