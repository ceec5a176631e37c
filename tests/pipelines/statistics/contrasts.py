"""Contrasts made of documents, for the drift tests."""

import numpy as np

from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample


def sample(counts, group=None):
    """The counters of documents given as a count matrix [D, K]."""
    y = np.asarray(counts, dtype=np.int64)
    n = y.sum(axis=1)
    groups = np.zeros((GROUPS, y.shape[1]), dtype=np.int64)
    np.add.at(groups, np.arange(len(y)) % GROUPS if group is None else group, y)
    return TokenSample(
        y.sum(axis=0),
        (y > 0).sum(axis=0),
        (y * y).sum(axis=0).astype(float),
        (n @ y).astype(float),
        groups,
        len(y),
        int(n.sum()),
        float((n * n).sum()),
    )


def document_tokens(counts):
    """Token ids of documents given as a count matrix [D, K]."""
    ids = np.concatenate([np.repeat(np.arange(counts.shape[1]), row) for row in counts] or [np.zeros(0, int)])
    return DocumentTokens(ids, np.concatenate([[0], np.cumsum(counts.sum(axis=1))]).astype(np.int64))


def contrast(before, now, shared=None, clustered=False, groups=(None, None, None)):
    """The contrast of three sets of documents, and the hash group of each document."""
    tokens = np.shape(before)[1]
    shared = np.zeros((0, tokens), dtype=int) if shared is None else shared
    parts = [sample(y, group) for y, group in zip((before, now, shared), groups, strict=True)]
    return TokenContrast(np.arange(tokens, dtype=np.int32), *parts, clustered)


def bursty(rng, documents, tokens=200, tilt=1.0):
    """Dirichlet-multinomial documents of log-normal length."""
    share = 1 / (np.arange(tokens) + 10.0)
    length = rng.lognormal(4.5, 0.8, size=documents).astype(int) + 5
    rate = rng.standard_gamma(np.maximum(share / share.sum() * 150, 1e-3), (documents, tokens)) * tilt
    return rng.poisson(rate / rate.sum(axis=1, keepdims=True) * length[:, None])
