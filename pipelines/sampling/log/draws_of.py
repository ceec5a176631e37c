"""The steps at which a sampler drew documents of a list, from its log in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.sampling.log.reader import SamplerLogReader, id_keys
from corpus_audit.pipelines.statistics.intervals.clustered import Integers

MOST_DRAWS = 20_000_000
"""Draws of listed documents that are held."""


def draws_of(log: SamplerLogReader, ids: Sequence[str]) -> tuple[Integers, Integers] | None:
    """(step, position in ``ids``) of every draw of a listed document, steps ascending, int64 [N] each.

    Returns:
        None if the log has no ids of documents, or more than `MOST_DRAWS` of these draws.

    Raises:
        UsageError: the log does not fit its spec, or is damaged.
    """
    if not log.has_document:
        return None
    keys = id_keys(pa.array(list(ids), pa.string()))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    steps: list[np.ndarray] = [np.empty(0, np.int64)]
    documents: list[np.ndarray] = [np.empty(0, np.int64)]
    size = 0
    for rows in log.rows():
        assert rows.document is not None
        drawn = id_keys(rows.document)
        at = np.minimum(np.searchsorted(ordered, drawn), max(len(ordered) - 1, 0))
        listed = ordered[at] == drawn if len(ordered) else np.zeros(len(drawn), bool)
        size += int(listed.sum())
        if size > MOST_DRAWS:
            return None
        steps.append(rows.step[listed])
        documents.append(order[at[listed]])
    step, document = np.concatenate(steps), np.concatenate(documents)
    by_step = np.argsort(step, kind="stable")
    return step[by_step], document[by_step]
