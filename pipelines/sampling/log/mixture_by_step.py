"""The mixture that a sampler drew at every step, from its log in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.sampling.log.drawn import domain_codes
from corpus_audit.pipelines.sampling.log.reader import SamplerLogReader
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

MOST_CELLS = 50_000_000
"""Steps times domains that are held."""

MOST_DOMAINS = 50
"""Domains that are kept apart, those with most tokens; the others are one."""

OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class StepMixture:
    """Shares of tokens.

    Attributes:
        step: steps of the log, ascending, int64 [S].
        shares: float64 [S, G]; a step without tokens has NaN.
        domains: their names, [G].
    """

    step: Integers
    shares: Floats
    domains: tuple[str, ...]


def mixture_by_step(log: SamplerLogReader) -> StepMixture | None:
    """The shares of domains in the tokens of every step; None if the log has no domains, or too many cells.

    Raises:
        UsageError: the log does not fit its spec, or is damaged.
    """
    if not log.has_domain:
        return None
    first, last = log.step_range()
    steps = last - first + 1
    if steps > MOST_CELLS:
        return None
    codes: dict[str, int] = {}
    tokens = np.zeros((8, steps))
    for rows in log.rows():
        assert rows.domain is not None
        domain = domain_codes(rows.domain, codes)
        if len(codes) > len(tokens):
            size = max(2 * len(tokens), len(codes))
            if size * steps > MOST_CELLS:
                return None
            tokens = np.concatenate([tokens, np.zeros((size - len(tokens), steps))])
        np.add.at(tokens, (domain, rows.step - first), rows.tokens)
    tokens = tokens[: len(codes)]
    names = list(codes)
    order = np.argsort(-tokens.sum(axis=1), kind="stable")
    kept = tokens[order[:MOST_DOMAINS]]
    labels = [names[i] for i in order[:MOST_DOMAINS].tolist()]
    if len(order) > MOST_DOMAINS:
        kept = np.concatenate([kept, tokens[order[MOST_DOMAINS:]].sum(axis=0, keepdims=True)])
        labels.append(OTHER)
    drawn = np.flatnonzero(kept.sum(axis=0) > 0)
    shares = kept[:, drawn] / kept[:, drawn].sum(axis=0)
    return StepMixture(drawn + first, np.ascontiguousarray(shares.T), tuple(labels))
