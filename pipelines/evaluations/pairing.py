"""Pairs the items of two evaluations: the same item, prompt and task version, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.evaluations.grouping import Floats, Scores, cluster_labels


@dataclass(frozen=True)
class Pairs:
    """Items that two evaluations have in common, and how many are left out and why.

    Attributes:
        before, after: scores of the two, float64 [n].
        item, item_id: names of the items, strings [n].
        cluster: labels of their clusters, [n]; None if every item is one of its own.
        only_a, only_b: items that the other evaluation lacks.
        other_prompt: items whose prompts are known and differ.
        other_version: items whose task versions are known and differ.
        unknown_prompt: paired items whose prompt is not known on both sides.
        versions: the two versions of the first such item.
        answers: mean number of answers an item in the two.
    """

    before: Floats
    after: Floats
    item: pa.Array
    item_id: pa.Array
    cluster: npt.NDArray[np.int64] | None
    only_a: int
    only_b: int
    other_prompt: int
    other_version: int
    unknown_prompt: int
    versions: tuple[str, str] | None
    answers: tuple[float, float]


def pair(a: Scores, b: Scores) -> Pairs:
    """Pair the items of one metric of one task.

    Items whose prompt or task version is known on both sides and differs are incomparable and left out: a difference
    there says nothing of the models. An item without a cluster value is a cluster of its own; items that occur several
    times are one cluster where no cluster field is given.
    """
    index = pc.index_in(a.keys, value_set=b.keys)
    both = pc.is_valid(index).to_numpy(zero_copy_only=False)
    rows_a = np.flatnonzero(both)
    rows_b = index.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    version_a, version_b = a.version.take(pa.array(rows_a)), b.version.take(pa.array(rows_b))
    other_version = _differ(version_a, version_b)
    prompt_a, prompt_b = a.prompt.take(pa.array(rows_a)), b.prompt.take(pa.array(rows_b))
    other_prompt = _differ(prompt_a, prompt_b) & ~other_version
    unknown = pc.or_(pc.is_null(prompt_a), pc.is_null(prompt_b)).to_numpy(zero_copy_only=False)
    versions = None
    if other_version.any():
        first = int(np.flatnonzero(other_version)[0])
        versions = (version_a[first].as_py(), version_b[first].as_py())
    keep = ~(other_version | other_prompt)
    kept_a, kept_b = rows_a[keep], rows_b[keep]
    rows_of_a = pa.array(kept_a)
    return Pairs(
        before=a.score[kept_a],
        after=b.score[kept_b],
        item=a.item.take(rows_of_a),
        item_id=a.item_id.take(rows_of_a),
        cluster=cluster_labels(
            pc.coalesce(a.cluster.take(rows_of_a), b.cluster.take(pa.array(kept_b))), a.item.take(rows_of_a), a.repeated
        ),
        only_a=len(a.keys) - len(rows_a),
        only_b=len(b.keys) - len(rows_b),
        other_prompt=int(other_prompt.sum()),
        other_version=int(other_version.sum()),
        unknown_prompt=int((unknown & ~other_version).sum()),
        versions=versions,
        answers=(float(a.answers.mean()), float(b.answers.mean())),
    )


def _differ(first: pa.Array, second: pa.Array) -> npt.NDArray[np.bool_]:
    """Where two labels are known and differ, bool [n]."""
    return np.asarray(pc.not_equal(first, second).fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
