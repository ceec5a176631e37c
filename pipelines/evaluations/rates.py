"""The score of one evaluation alone, with an interval: exact for rates of independent items."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, cluster_labels
from corpus_audit.pipelines.statistics.evaluations.paired import mean_with_error
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson


def score_row(side: str, measured: Measured, scores: Scores) -> dict[str, Any]:
    """A row of `EVALUATION_SCORES`.

    Scores of 0 and 1 of independent items have the exact bounds of Clopper and Pearson (1934), which hold where nothing
    was seen as well: of 0 in 30, such as harmful answers, the rate is at most 11.6 %. All others have Student's t with
    clustered error, and bounds only where there is spread.
    """
    cluster = cluster_labels(scores.cluster, scores.item, scores.repeated)
    estimate = mean_with_error(scores.score, cluster)
    row = {"side": side, **measured._asdict(), "items": estimate.items, "clusters": estimate.clusters}
    row |= {"score": estimate.mean, "error": estimate.error}
    if cluster is None and scores.answers.max() == 1 and np.isin(scores.score, (0.0, 1.0)).all():
        low, high = clopper_pearson(estimate.mean, estimate.items)
        return row | {"low": float(low), "high": float(high), "method": "Clopper-Pearson"}
    method = "t" if cluster is None else "t, clustered"
    return row | {"low": estimate.low, "high": estimate.high, "method": method}
