"""Reads out circuits of two layers: which earlier heads an induction head depends on, by weights and by experiment.

An induction head needs an earlier head that writes at every token which token stood before it. Two figures say which:
K-composition, from the weights alone, and what is left of the induction head's prefix matching when the earlier head's
output is replaced by its mean. Sources that are tried are the heads of highest K-composition and the earlier ones of
highest previous-token score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attention.interventions import replaced_outputs, summed_outputs
from corpus_audit.embeddings.attention.matrices import HeadMatrices
from corpus_audit.embeddings.attention.reader import AttentionReader, BlockAttention
from corpus_audit.embeddings.heads.circuits import Composition, k_composition
from corpus_audit.embeddings.heads.measures import measured, targets_of
from corpus_audit.embeddings.heads.scores import HeadScores
from corpus_audit.embeddings.heads.sequences import repeated_sequences

Head = tuple[int, int]

SOURCES = 3
"""Heads of highest K-composition, and of highest previous-token score, that are tried for an induction head."""

READERS = 8
"""Induction heads whose sources are looked for, those of highest prefix matching."""


@dataclass(frozen=True, slots=True)
class FeedingHead:
    """An earlier head and an induction head.

    Attributes:
        reader, source: block and head of the induction head and the earlier one.
        composition: K-composition less that of random matrices; None if the reader's queries or keys are not linear.
        random: K-composition of random matrices; None likewise.
        previous: the source's previous-token score.
        prefix: the reader's prefix matching.
        without: the same with the source replaced by its mean.
    """

    reader: Head
    source: Head
    composition: float | None
    random: float | None
    previous: float
    prefix: float
    without: float


def read_circuits(
    reader: AttentionReader,
    matrices: Mapping[int, HeadMatrices],
    scores: Sequence[HeadScores],
    tokens: np.ndarray | None = None,
) -> list[FeedingHead]:
    """The sources of a model's induction heads, by induction head, the one that matters most first.

    Empty for an encoder, or if there are no induction heads behind the first block.
    """
    if not reader.model.card.causal:
        return []
    readers = sorted((s for s in scores if s.is_induction), key=lambda s: -s.prefix)[:READERS]
    previous = {(s.block, s.head): s.previous for s in scores}
    tried: dict[Head, dict[Head, Composition | None]] = {}
    for each in readers:
        compositions = k_composition(matrices, (each.block, each.head))
        by_source = {composition.source: composition for composition in compositions}
        earlier = sorted((h for h in previous if h[0] < each.block), key=lambda h: -previous[h])
        selected = [*(composition.source for composition in compositions[:SOURCES]), *earlier[:SOURCES]]
        tried[each.block, each.head] = {source: by_source.get(source) for source in dict.fromkeys(selected)}
    without = _prefix_without(reader, sorted({source for sources in tried.values() for source in sources}), tokens)
    result: list[FeedingHead] = []
    for each in readers:
        head = (each.block, each.head)
        sources = [
            FeedingHead(
                head,
                source,
                None if composition is None else composition.score,
                None if composition is None else composition.random,
                previous[source],
                each.prefix,
                float(without[source][each.block][each.head]),
            )
            for source, composition in tried[head].items()
        ]
        result += sorted(sources, key=lambda source: source.without)
    return result


def _prefix_without(
    reader: AttentionReader, sources: Sequence[Head], tokens: np.ndarray | None
) -> dict[Head, dict[int, torch.Tensor]]:
    """Prefix matching of all heads, float [H] by block, with each source replaced by its mean output."""
    ids, random, _ = repeated_sequences(reader.model, tokens=tokens)
    counted = random.expand(ids.shape)
    targets = targets_of(ids, counted)
    valid = targets.valid["induction"]
    means: dict[int, torch.Tensor] = {}
    result: dict[Head, dict[int, torch.Tensor]] = {}
    with reader.reading():
        with summed_outputs(reader.model, means) as begin:
            begin(counted)
            reader.model.run(ids)
        for source in sources:
            prefix = result[source] = {}

            def sink(attention: BlockAttention, prefix: dict[int, torch.Tensor] = prefix) -> None:
                masses = measured(attention.weights, targets)["induction"]
                prefix[attention.block] = (masses * valid[:, None]).sum((0, 2)) / valid.sum()

            with replaced_outputs(reader.model, [source], means):
                reader.run(ids, sink)
    return result
