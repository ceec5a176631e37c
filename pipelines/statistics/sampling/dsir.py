"""Estimates what data selection with importance resampling (DSIR) would draw, from samples of documents.

Xie et al. (2023, Data Selection for Language Models via Importance Resampling): a document's log weight is
sum_j z_j (log p_j - log q_j), z its hashed n-gram counts, p and q the target's and the corpus's bag of them; Gumbel
noise is added and the top documents are selected. Everything here is an estimate: documents are a uniform sample of
each domain's distinct texts, weighted to the domain's size, and their features are those of table ``samples`` (a
quarter of the token 1- and 2-grams of the first 256 tokens, in 4,096 buckets), where the paper hashes word 1- and
2-grams into 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.sampling.draws import kish_effective_size, kl_divergence
from corpus_audit.pipelines.statistics.sampling.strategies import normalised

JACKKNIFE = 32
"""Groups of documents, by content hash, that are left out one at a time for the intervals."""

PRIOR = 0.5
"""Occurrences added to every bucket (Jeffreys), on the scale of the sample's own occurrences."""

TOP = 0.01
"""Share of the documents, those of largest weight, whose share of the weight is reported."""

_NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True)
class SampledCorpus:
    """Sampled documents of G domains, with the totals that they represent.

    Attributes:
        sample: the sampled distinct texts.
        documents: distinct texts by domain, [G].
        tokens: their tokens by domain, [G].
    """

    sample: HashedDocuments
    documents: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]

    def weights(self, selected: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Texts and tokens of the corpus that each sampled text represents, float64 [N] each; 0 if not ``selected``.

        A domain of which no text is selected is used whole: without it the jackknife would lose the domain.
        """
        domain, size = self.sample.domain, len(self.documents)
        is_empty = np.bincount(domain[selected], minlength=size) == 0
        used = selected | is_empty[domain]
        texts_of_domain = np.bincount(domain[used], minlength=size)
        tokens_of_domain = np.bincount(domain, weights=self.sample.tokens * used, minlength=size)
        with np.errstate(divide="ignore", invalid="ignore"):
            texts = np.where(texts_of_domain > 0, self.documents / texts_of_domain, 0.0)[domain] * used
            scale = np.where(tokens_of_domain > 0, self.tokens / tokens_of_domain, 0.0)[domain]
        return texts, np.asarray(scale * self.sample.tokens * used)


@dataclass(frozen=True, slots=True)
class DsirEstimate:
    """What DSIR would select, by domain of the corpus, G.

    Attributes:
        selected: expected unique tokens selected, float64 [G].
        share: their shares, [G].
        low, high: 95 % bounds of the shares (delete-a-group jackknife over both samples), [G].
        effective_share: Kish's effective share of the documents under the importance weights.
        top_weight: share of the weight of the top 1 % of the documents.
        kl_reduction: KL(target || corpus) - KL(target || selected) of the bags of n-grams, in bits.
        sampled: documents of the corpus behind the estimate.
    """

    selected: Floats
    share: Floats
    low: Floats
    high: Floats
    effective_share: float
    top_weight: float
    kl_reduction: float
    sampled: int


def dsir(corpus: SampledCorpus, target: SampledCorpus, select: float, buckets: int) -> DsirEstimate:
    """Estimate the selection of ``select`` unique tokens that resemble ``target``.

    Gumbel top-k over many documents is a threshold: document d is selected if l_d + G_d > t, which has probability
    1 - exp(-exp(l_d - t)) (Kool et al. 2019); t is where the expected tokens are ``select``. All documents are selected
    if they hold no more than that.

    Args:
        corpus: the documents to select from.
        target: the documents to resemble.
        select: unique tokens to select.
        buckets: hashed n-grams.
    """
    full = _bags(corpus, target, np.ones(len(corpus.sample), bool), np.ones(len(target.sample), bool), buckets)
    selection = _selection(corpus, full, select)
    share = normalised(selection.by_domain)
    replicates = []
    for group in range(JACKKNIFE):
        remaining = (corpus.sample.low % JACKKNIFE) != group
        remaining_target = (target.sample.low % JACKKNIFE) != group
        without_group = _selection(corpus, _bags(corpus, target, remaining, remaining_target, buckets), select)
        replicates.append(normalised(without_group.by_domain))
    deviations = np.array(replicates) - np.mean(replicates, axis=0)
    error = np.sqrt((JACKKNIFE - 1) / JACKKNIFE * (deviations**2).sum(axis=0))
    weight = np.exp(full.log_weight - full.log_weight.max())
    after = _bag(corpus.sample, full.texts * selection.probability, buckets)
    return DsirEstimate(
        selected=selection.by_domain,
        share=share,
        low=np.maximum(share - _NORMAL * error, 0.0),
        high=np.minimum(share + _NORMAL * error, 1.0),
        effective_share=kish_effective_size(full.texts, weight) / float(full.texts.sum()),
        top_weight=_top_weight(full.texts, weight),
        kl_reduction=kl_divergence(full.target, full.corpus) - kl_divergence(full.target, after),
        sampled=len(corpus.sample),
    )


@dataclass(frozen=True, slots=True)
class _Bags:
    texts: Floats
    tokens: Floats
    corpus: Floats
    target: Floats
    log_weight: Floats


@dataclass(frozen=True, slots=True)
class _Selection:
    probability: Floats
    by_domain: Floats


def _bags(
    corpus: SampledCorpus,
    target: SampledCorpus,
    selected: npt.NDArray[np.bool_],
    selected_target: npt.NDArray[np.bool_],
    buckets: int,
) -> _Bags:
    texts, tokens = corpus.weights(selected)
    corpus_bag = _bag(corpus.sample, texts, buckets)
    target_bag = _bag(target.sample, target.weights(selected_target)[0], buckets)
    return _Bags(texts, tokens, corpus_bag, target_bag, corpus.sample.scores(np.log(target_bag) - np.log(corpus_bag)))


def _bag(sample: HashedDocuments, weight: Floats, buckets: int) -> Floats:
    """Smoothed shares of the buckets; weighted counts are scaled to the occurrences in the sample before smoothing."""
    totals = sample.bucket_totals(weight, buckets)
    occurrences = float(sample.counts.sum())
    scaled = normalised(totals) * occurrences + PRIOR
    return np.asarray(scaled / scaled.sum())


def _selection(corpus: SampledCorpus, bags: _Bags, select: float) -> _Selection:
    domains = len(corpus.tokens)
    total = float(bags.tokens.sum())
    probability = np.ones_like(bags.tokens)
    if 0 < select < total:
        from scipy.optimize import brentq  # imported late: it costs every audit 0.2 s

        def excess(threshold: float) -> float:
            return float((bags.tokens * _probability(bags.log_weight, threshold)).sum()) - select

        low, high = bags.log_weight.min() - 10, bags.log_weight.max() + 10
        while excess(low) < 0:
            low -= 10
        while excess(high) > 0:
            high += 10
        probability = _probability(bags.log_weight, brentq(excess, low, high, xtol=1e-10))
    by_domain = np.bincount(corpus.sample.domain, weights=bags.tokens * probability, minlength=domains)
    return _Selection(probability, by_domain.astype(np.float64))


def _probability(log_weight: Floats, threshold: float) -> Floats:
    return np.asarray(-np.expm1(-np.exp(np.minimum(log_weight - threshold, 50.0))))


def _top_weight(texts: Floats, weight: Floats) -> float:
    order = np.argsort(-weight, kind="stable")
    reached = np.concatenate([[0.0], np.cumsum(texts[order])])
    mass = np.concatenate([[0.0], np.cumsum((texts * weight)[order])])
    return float(np.interp(TOP * reached[-1], reached, mass) / mass[-1])
