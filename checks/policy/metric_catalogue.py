"""The metrics that a run can have, as the modules that compute them declare: what a policy may name."""

from __future__ import annotations

from corpus_audit.pipelines.contamination import metrics as contamination
from corpus_audit.pipelines.drift import metrics as drift
from corpus_audit.pipelines.figures import index_metrics as index
from corpus_audit.pipelines.figures import investigation_metrics as investigation
from corpus_audit.pipelines.figures import metrics as profile
from corpus_audit.pipelines.image_figures import benchmark_copies
from corpus_audit.pipelines.image_figures import drift as image_drift
from corpus_audit.pipelines.image_figures import metrics as images
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration

_OF_IMAGES = (*images.DECLARATIONS, *image_drift.DECLARATIONS, *benchmark_copies.DECLARATIONS)
_OF_TEXTS = (*profile.DECLARATIONS, *drift.DECLARATIONS, *contamination.DECLARATIONS, *index.DECLARATIONS)
_DECLARED = (*_OF_TEXTS, *_OF_IMAGES, *investigation.DECLARATIONS)

KNOWN: dict[str, MetricDeclaration] = {
    metric.name: metric for metric in sorted(_DECLARED, key=lambda metric: metric.name)
}
"""Name -> declaration, sorted by name."""

OF_IMAGES = frozenset(metric.name for metric in _OF_IMAGES)
"""Metrics of image corpora, which an audit of texts does not have."""

OF_INVESTIGATIONS = frozenset(metric.name for metric in investigation.DECLARATIONS)
"""Metrics of investigations, which an audit has if it names one."""
