"""The metrics that a run can have, as the modules that compute them declare: what a policy may name."""

from __future__ import annotations

from corpus_audit.pipelines.contamination import metrics as contamination
from corpus_audit.pipelines.drift import metrics as drift
from corpus_audit.pipelines.figures import index_metrics as index
from corpus_audit.pipelines.figures import metrics as profile
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration

_DECLARED = (*profile.DECLARATIONS, *drift.DECLARATIONS, *contamination.DECLARATIONS, *index.DECLARATIONS)

KNOWN: dict[str, MetricDeclaration] = {
    metric.name: metric for metric in sorted(_DECLARED, key=lambda metric: metric.name)
}
"""Name -> declaration, sorted by name."""
