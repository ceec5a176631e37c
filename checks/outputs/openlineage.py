"""An OpenLineage event: the audit as a job that ran over the snapshot, with its assertions, for lineage servers.

The event says that the job completed, whatever the verdict: the verdict is a facet of the run, and every judgement an
assertion on the data. A judgement succeeds if it passes or warns; what cannot be judged, or is waived, does not.
"""

from __future__ import annotations

import uuid
from importlib.metadata import version
from typing import Any

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.escaping import json_text, plain
from corpus_audit.schemas.run.results import Status

NAMESPACE = "corpus-audit"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_RUN_FACET = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet"
_RUNS = uuid.UUID("6a6d0a64-6f53-5b0a-9c0c-2f7d6f1a7c11")
"""Namespace of run ids: the same run gets the same id every time the event is rendered."""


def render_openlineage(context: RenderContext) -> str:
    """The file's text; the same run gives the same."""
    model, results = context.report, context.results
    name = plain(model.name)
    verdict = {
        "verdict": results.verdict.value if results else "not judged",
        "complete": model.complete,
        "policy": plain(f"{results.policy.name} {results.policy.version}") if results else "",
        "policySha256": plain(results.policy.sha256) if results else "",
    }
    event = {
        "eventType": "COMPLETE",
        "eventTime": plain(context.finished),
        "run": {
            "runId": str(uuid.uuid5(_RUNS, plain(f"{model.snapshot.digest} {model.run}"))),
            "facets": {"corpusAudit_verdict": _facet(_RUN_FACET, verdict)},
        },
        "job": {"namespace": NAMESPACE, "name": name},
        "inputs": [
            {
                "namespace": NAMESPACE,
                "name": name,
                "facets": {
                    "version": _facet(
                        _named("1-0-0", "DatasetVersion"), {"datasetVersion": plain(model.snapshot.digest)}
                    )
                },
                "inputFacets": {
                    "dataQualityMetrics": _facet(
                        _named("1-0-2", "DataQualityMetricsInput"),
                        {
                            "rowCount": model.coverage.documents,
                            "bytes": model.snapshot.bytes,
                            "fileCount": model.coverage.shards_used,
                            "columnMetrics": {},
                        },
                    ),
                    "dataQualityAssertions": _facet(
                        _named("1-0-1", "DataQualityAssertions"),
                        {
                            "assertions": [
                                {
                                    "assertion": plain(
                                        f"{judgement.rule} [{judgement.slice}]" if judgement.slice else judgement.rule
                                    ),
                                    "success": judgement.status in (Status.PASS, Status.WARN),
                                }
                                for judgement in context.judgements
                            ]
                        },
                    ),
                },
            }
        ],
        "outputs": [],
        "producer": _producer(),
        "schemaURL": _EVENT,
    }
    return json_text(event)


def _producer() -> str:
    return f"urn:corpus-audit:{version('corpus-audit')}"


def _named(release: str, facet: str) -> str:
    return f"{_SPEC}/facets/{release}/{facet}DatasetFacet.json#/$defs/{facet}DatasetFacet"


def _facet(schema: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"_producer": _producer(), "_schemaURL": schema, **content}
