"""Differences between two evaluations in the chances to pass in k tries: pass@k and pass^k, paired over items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.evaluations.difference import paired_difference
from corpus_audit.pipelines.evaluations.grouping import Floats, Measured, Scores
from corpus_audit.pipelines.evaluations.pairing import pair
from corpus_audit.pipelines.statistics.evaluations.passes import pass_at_k, pass_hat_k

MOST_TRIES = 10


def pass_rows(measured: Measured, a: Scores, b: Scores) -> Iterator[dict[str, Any]]:
    """A row for pass@k and one for pass^k, with the largest k that both evaluations have.

    Items with fewer than k tries on either side are left out. There are no rows with one try an item, where both are
    the score itself, or where scores are other than 0 and 1.
    """
    k = int(min(a.answers.max(), b.answers.max(), MOST_TRIES))
    if k < 2 or not all(np.isin(each.rows_score, (0.0, 1.0)).all() for each in (a, b)):
        return
    enough = [each.answers >= k for each in (a, b)]
    fewer = int(sum((~mask).sum() for mask in enough))
    for kind, estimate in (("pass@k", pass_at_k), ("pass^k", pass_hat_k)):
        sides = []
        for each, mask in zip((a, b), enough, strict=True):
            chance = estimate(each.answers, np.rint(each.score * each.answers), k)
            sides.append(with_scores(each, chance, mask))
        pairs = pair(*sides)
        yield {
            **measured._asdict(),
            "kind": kind,
            "k": k,
            "fewer_tries": fewer,
            "only_a": pairs.only_a,
            "only_b": pairs.only_b,
            "incomparable": pairs.other_prompt + pairs.other_version,
            "difference_of": paired_difference(pairs),
        }


def with_scores(scores: Scores, values: Floats, keep: npt.NDArray[np.bool_] | None = None) -> Scores:
    """The same items with other values, or some of the items; the single answers stay those of all items."""
    rows = np.arange(len(values)) if keep is None else np.flatnonzero(keep)
    selected = pa.array(rows)
    columns = {name: getattr(scores, name).take(selected) for name in ("keys", "item", "item_id", "prompt", "version")}
    return replace(
        scores, **columns, cluster=scores.cluster.take(selected), score=values[rows], answers=scores.answers[rows]
    )
