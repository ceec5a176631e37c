"""Measures of every head on windows of the corpus, by document; and where induction heads complete a sequence there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from corpus_audit.embeddings.attention.reader import AttentionReader, BlockAttention
from corpus_audit.embeddings.heads.measures import MASSES, MEASURES, measured, targets_of
from corpus_audit.embeddings.heads.samples import WindowSample, sample_batches
from corpus_audit.embeddings.index.files import ALL
from corpus_audit.pipelines.statistics.intervals.ratios import RatioEstimate, ratio_estimates

Head = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A query of the corpus at which a head attends to the token that comes next, behind an earlier copy.

    Attributes:
        head: block and head.
        window: position in the sample.
        query, key: positions in the window; the key has most of the mass, and its token follows the query.
        mass: attention to all keys that are right.
        length: tokens up to the query that equal those in front of the key, 1 or more.
    """

    head: Head
    window: int
    query: int
    key: int
    mass: float
    length: int


@dataclass
class CorpusMeasures:
    """Measures of R heads over the documents of a sample.

    Attributes:
        sample: the windows.
        heads: block and head of every column.
        sums: by measure, float64 [D, R], over queries that count.
        counts: by measure, float64 [D], those queries.
        uniform: by measure, float64 [D], the sums of a head that attends evenly.
        tokens: float64 [D], tokens that count.
        evidence: of the heads it was collected for, the best of every window.
    """

    sample: WindowSample
    heads: tuple[Head, ...]
    sums: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    uniform: dict[str, np.ndarray]
    tokens: np.ndarray
    evidence: list[Evidence] = field(default_factory=list)

    def documents_of(self, domain: str) -> np.ndarray:
        """Which documents are in a domain, bool [D]; all of them in `ALL`."""
        return np.array([domain in (ALL, name) for name in self.sample.domains])

    def domains(self) -> list[str]:
        """`ALL`, then the domains by tokens, most first."""
        names = sorted(set(self.sample.domains), key=lambda name: (-self.tokens[self.documents_of(name)].sum(), name))
        return [ALL, *names]

    def estimates(self, measure: str, domain: str = ALL) -> list[RatioEstimate]:
        """The mean of a measure over the queries of a domain, of every head, with documents as clusters."""
        rows = self.documents_of(domain)
        bounds = (0.0, 1.0) if measure in MASSES else (0.0, np.inf)
        return ratio_estimates(self.sums[measure][rows], self.counts[measure][rows], bounds)

    def chance(self, measure: str, domain: str = ALL) -> float | None:
        """The mean of a mass for a head that attends evenly; None if no query counts."""
        rows = self.documents_of(domain)
        total = float(self.counts[measure][rows].sum())
        return float(self.uniform[measure][rows].sum()) / total if total else None

    def best_evidence(self, head: Head, count: int) -> list[Evidence]:
        """The evidence of a head with most mass, at most one of a document, longer sequences first among equals."""
        ranked = sorted(
            (each for each in self.evidence if each.head == head),
            key=lambda each: (-round(each.mass, 3), -each.length, int(self.sample.names[each.window])),
        )
        best: dict[int, Evidence] = {}
        for each in ranked:
            best.setdefault(int(self.sample.document[each.window]), each)
        return list(best.values())[:count]


def measure_corpus(
    reader: AttentionReader, sample: WindowSample, evidence_for: Collection[Head] = ()
) -> CorpusMeasures:
    """Measure every head on windows of the corpus.

    Args:
        reader: of the model.
        sample: the windows; documents are its clusters.
        evidence_for: heads whose evidence is collected.
    """
    heads = tuple((block, head) for block in sorted(reader.heads) for head in range(reader.heads[block]))
    first = {block: heads.index((block, 0)) for block in reader.heads}
    documents = len(sample.locations)
    result = CorpusMeasures(
        sample,
        heads,
        {name: np.zeros((documents, len(heads))) for name in MEASURES},
        {name: np.zeros(documents) for name in MEASURES},
        {name: np.zeros(documents) for name in MASSES},
        np.zeros(documents),
    )
    with reader.reading():
        for batch in sample_batches(sample, reader.model):
            targets = targets_of(batch.ids, batch.counted)
            rows = len(batch.windows)
            document = sample.document[batch.windows]
            for name in MEASURES:
                np.add.at(result.counts[name], document, _numbers(targets.valid[name].sum(1))[:rows])
            for name in MASSES:
                masses = (targets.uniform(name) * targets.valid[name]).sum(1)
                np.add.at(result.uniform[name], document, _numbers(masses)[:rows])
            np.add.at(result.tokens, document, _numbers(batch.counted.sum(1))[:rows])

            def sink(attention: BlockAttention) -> None:
                values = measured(attention.weights, targets)  # noqa: B023 - called before the next batch
                columns = slice(first[attention.block], first[attention.block] + attention.weights.shape[1])
                for name, each in values.items():
                    sums = (each * targets.valid[name][:, None]).sum(-1)  # noqa: B023
                    np.add.at(result.sums[name][:, columns], document, _numbers(sums)[:rows])  # noqa: B023
                mine = [head for block, head in evidence_for if block == attention.block]
                if mine:
                    valid = targets.valid["completing"]  # noqa: B023
                    keys = targets.keys["completing"]  # noqa: B023
                    result.evidence.extend(
                        _evidence(attention, mine, values["completing"], keys, valid, batch.windows, sample)  # noqa: B023
                    )

            reader.run(batch.ids, sink)
    return result


def _numbers(values: torch.Tensor) -> np.ndarray:
    return values.double().cpu().numpy()  # type: ignore[no-any-return]


def _evidence(
    attention: BlockAttention,
    heads: Sequence[int],
    mass: torch.Tensor,
    keys: torch.Tensor,
    valid: torch.Tensor,
    windows: np.ndarray,
    sample: WindowSample,
) -> list[Evidence]:
    """The query of most mass of every window that has one, of some heads of a block."""
    result = []
    for head in heads:
        best = mass[:, head].masked_fill(~valid, -1.0).max(-1)
        for row, window in enumerate(windows.tolist()):
            value, query = float(best.values[row]), int(best.indices[row])
            if value < 0:
                continue
            key = int((attention.weights[row, head, query] * keys[row, query]).argmax())
            length = match_length(sample.tokens(window), query, key - 1)
            result.append(Evidence((attention.block, head), window, query, key, value, length))
    return result


def match_length(tokens: np.ndarray, first: int, second: int) -> int:
    """How many tokens up to one position equal those up to an earlier one."""
    length = 0
    while second - length >= 0 and tokens[first - length] == tokens[second - length]:
        length += 1
    return length


def domain_rows(measures: CorpusMeasures) -> list[dict[str, object]]:
    """Estimates of every head, measure and domain, in the schema `attention_tables.HEAD_DOMAINS`."""
    result: list[dict[str, object]] = []
    for domain in measures.domains():
        rows = measures.documents_of(domain)
        tokens = int(measures.tokens[rows].sum())
        for measure in MEASURES:
            counts = measures.counts[measure][rows]
            shared = {
                "domain": domain,
                "measure": measure,
                "chance": measures.chance(measure, domain) if measure in MASSES else None,
                "queries": int(counts.sum()),
                "documents": int((counts > 0).sum()),
                "tokens": tokens,
            }
            for (block, head), each in zip(measures.heads, measures.estimates(measure, domain), strict=True):
                bounds = {"value": each.value, "low": each.low, "high": each.high}
                result.append({"head": f"head.{block}:{head}", **shared, **bounds})
    return result
