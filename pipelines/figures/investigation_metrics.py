"""Metrics of an investigation of training runs, which a policy can judge, in the schema METRICS.

They are computed from its findings and its table of files; the logs themselves are not needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.schemas.run.findings import Finding, Reading
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration
from corpus_audit.schemas.tables.run_tables import METRICS

DECLARATIONS = (
    MetricDeclaration(
        "investigation_findings_shown",
        "findings of the investigation that the data show",
        "findings",
        "buckets of findings",
        "fact",
        "finding",
    ),
    MetricDeclaration(
        "investigation_findings_not_enough_data",
        "questions of the investigation for whose answer there is not enough data",
        "findings",
        "buckets of findings",
        "fact",
        "finding",
    ),
    MetricDeclaration(
        "investigation_finding",
        "whether a finding of the investigation is shown: 1, or 0 if it is not",
        "findings",
        "findings",
        "fact",
        "finding",
    ),
    MetricDeclaration(
        "investigation_effect",
        "size of a finding of the investigation, in the unit of its effect",
        "unit of the effect",
        "findings",
        "interval",
        "effect",
    ),
    MetricDeclaration(
        "investigation_dead_letters",
        "entries and values in the logs of training runs that could not be read",
        "dead letters",
        "training runs",
        "fact",
        "finding",
    ),
    MetricDeclaration(
        "investigation_files_unread",
        "files among the logs of training runs that were not read",
        "files",
        "training runs",
        "fact",
        "finding",
    ),
)
"""Every metric of this module."""


def investigation_metrics(findings: Iterable[Finding], files: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Metrics of an investigation, sorted by metric and slice.

    Args:
        findings: of the investigation; a finding without enough data has no value, but a reason.
        files: rows of its table `TELEMETRY_FILES`.

    Returns:
        a table in the schema METRICS; ``n`` is the number of findings, of points or items of a finding, of entries and
        values, or of files.
    """
    rows: list[dict[str, Any]] = []

    def add(metric: str, slice_: str, value: float | None, n: int, unit: str, **more: Any) -> None:
        bounds = {"low": value, "high": value, "reason": None} | more
        rows.append({"metric": metric, "slice": slice_, "value": value, "n": n, "unit": unit, **bounds})

    readings: dict[str, Counter[Reading]] = {"all": Counter()}
    for finding in findings:
        for slice_ in ("all", f"bucket={finding.bucket}"):
            readings.setdefault(slice_, Counter())[finding.reading] += 1
        slice_, unknown = f"finding={finding.id}", finding.reading is Reading.NOT_ENOUGH
        # The parts of a reason are divided by "; " (checks.policy.empty_figures): this is one.
        reason = f"not enough data: {finding.detail}".replace("; ", ", ") if unknown else None
        shown = None if unknown else float(finding.reading is Reading.SHOWN)
        add("investigation_finding", slice_, shown, finding.n, "findings", reason=reason)
        if (effect := finding.effect) is not None and not unknown:
            low, high = effect.low, effect.high
            add("investigation_effect", slice_, effect.value, finding.n, effect.unit, low=low, high=high)
    for slice_, counted in readings.items():
        n = counted.total()
        add("investigation_findings_shown", slice_, float(counted[Reading.SHOWN]), n, "findings")
        add("investigation_findings_not_enough_data", slice_, float(counted[Reading.NOT_ENOUGH]), n, "findings")
    of_logs: dict[str, Counter[str]] = {"all": Counter()}
    for file in files:
        for slice_ in ("all", f"run={file['run']}"):
            counts = of_logs.setdefault(slice_, Counter())
            counts["files"] += 1
            counts["unread"] += file["format"] is None
            counts["letters"] += file["refused"] + file["values_refused"]
            counts["entries"] += file["entries"] + file["values"]
    for slice_, counts in of_logs.items():
        add("investigation_dead_letters", slice_, float(counts["letters"]), counts["entries"], "dead letters")
        add("investigation_files_unread", slice_, float(counts["unread"]), counts["files"], "files")
    table = pa.Table.from_pylist(rows, schema=METRICS)
    return table.sort_by([("metric", "ascending"), ("slice", "ascending")])
