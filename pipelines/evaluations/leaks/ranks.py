"""The order of models on the items that all of them have, with and without those that the training data hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.evaluations.comparison import Side, direction
from corpus_audit.pipelines.evaluations.contaminated import CLEAN, DIRTY, FEWEST_DIRTY, UNKNOWN, ContaminatedItems
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, ScoresByMeasure, cluster_labels, of_model
from corpus_audit.pipelines.statistics.evaluations.leaks import LeakShare, leak_share
from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg


@dataclass(frozen=True, slots=True)
class PairOrder:
    """Two models, ``first`` and ``second`` by position.

    Attributes:
        leak: the difference second - first, split into clean and contaminated items.
        q: of its leak, Benjamini-Hochberg over all pairs and measures.
    """

    first: int
    second: int
    leak: LeakShare
    q: float

    @property
    def reversed(self) -> bool:
        """Whether the two change places when contaminated items are left out."""
        return self.leak.gain.mean * self.leak.clean.mean < 0


@dataclass(frozen=True, slots=True)
class Ranking:
    """Models on one measure.

    Attributes:
        measured: task, metric, filter.
        items, contaminated: clean and contaminated items that all models have, and the latter of them.
        left_out: items that all have and that are not known to be either.
        scores, clean: mean over all items and over clean ones, float64 [models]; empty where there are too few.
        ranks, clean_ranks: 1 is the best (the highest, where it is not known whether higher is better); equal ones
            share the smallest, int64 [models].
        pairs: every two models.
    """

    measured: Measured
    items: int
    contaminated: int
    left_out: int
    scores: Floats
    clean: Floats
    ranks: npt.NDArray[np.int64]
    clean_ranks: npt.NDArray[np.int64]
    pairs: tuple[PairOrder, ...]


def rank_models(sides: Sequence[Side], listed: ContaminatedItems) -> list[Ranking]:
    """Rank models on every measure that all of them have.

    Args:
        sides: the models, two or more.
        listed: which items are contaminated.

    Raises:
        UsageError: an evaluation holds several models.
    """
    by_measure = [
        ScoresByMeasure(of_model(side.evaluation.items, side.model, "model in evals", side.evaluation.name))
        for side in sides
    ]
    better = {key: value for side in sides for key, value in side.evaluation.higher_is_better.items()}
    measures = sorted(set.intersection(*(set(scores) for scores in by_measure)))
    rankings = [_ranking(each, [scores[each] for scores in by_measure], listed, better) for each in measures]
    q = iter(benjamini_hochberg([pair.leak.p for ranking in rankings for pair in ranking.pairs]).tolist())
    return [_with_q(ranking, [next(q) for _ in ranking.pairs]) for ranking in rankings]


def _ranking(
    measured: Measured, models: Sequence[Scores], listed: ContaminatedItems, better: Mapping[tuple[str, str], bool]
) -> Ranking:
    rows = _common(models)
    first = models[0]
    at = pa.array(rows[0])
    status = listed.of(measured.task, first.item.take(at), first.item_id.take(at))
    known = status != UNKNOWN
    dirty = status[known] == DIRTY
    scores = np.stack([model.score[positions][known] for model, positions in zip(models, rows, strict=True)])
    few = min(int(dirty.sum()), int((status == CLEAN).sum()))
    counts = int(known.sum()), int(dirty.sum()), int((~known).sum())
    if few < FEWEST_DIRTY:
        nothing, no_rank = np.empty(0), np.empty(0, np.int64)
        return Ranking(measured, *counts, nothing, nothing, no_rank, no_rank, ())
    cluster = cluster_labels(first.cluster.take(at), first.item.take(at), first.repeated)
    labels = None if cluster is None else cluster[known]
    pairs = tuple(
        PairOrder(a, b, leak_share(scores[a], scores[b], dirty, labels, permutations=1), float("nan"))
        for a, b in combinations(range(len(models)), 2)
    )
    means, clean = scores.mean(axis=1), scores[:, ~dirty].mean(axis=1)
    sign = -1.0 if direction(measured, better) is False else 1.0
    return Ranking(measured, *counts, means, clean, _ranks(sign * means), _ranks(sign * clean), pairs)


def _ranks(values: Floats) -> npt.NDArray[np.int64]:
    """1 for the largest; equal ones share the smallest."""
    return np.array([1 + int((values > value).sum()) for value in values], np.int64)


def _common(models: Sequence[Scores]) -> list[npt.NDArray[np.int64]]:
    """Positions in every model of the items that all have with one prompt and version, as far as these are known."""
    first = models[0]
    positions = np.arange(len(first.keys))
    matches = [np.asarray(pc.index_in(first.keys, value_set=model.keys).fill_null(-1)) for model in models]
    keep = np.all([each >= 0 for each in matches], axis=0)
    for model, each in zip(models[1:], matches[1:], strict=True):
        at = pa.array(np.maximum(each, 0).astype(np.int64))
        for column in ("prompt", "version"):
            other = pc.not_equal(getattr(first, column), getattr(model, column).take(at)) if len(model.keys) else None
            if other is not None:
                keep &= ~np.asarray(other.fill_null(False), dtype=bool)
    return [np.asarray(each[positions[keep]], np.int64) for each in matches]


def _with_q(ranking: Ranking, q: Sequence[float]) -> Ranking:
    pairs = tuple(replace(pair, q=value) for pair, value in zip(ranking.pairs, q, strict=True))
    return replace(ranking, pairs=pairs)
