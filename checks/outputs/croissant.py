"""Croissant 1.0 with RAI 1.0: the snapshot as a dataset with its shards' digests, and what was measured of it.

Only what the audit knows is filled in. License, address, creator and date are the publisher's to add; their absence is
a warning of the validator and not an error. The columns of the shards are not described.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corpus_audit.checks.outputs.context import MOST_SHARDS, RenderContext
from corpus_audit.checks.outputs.escaping import json_text, plain, reference, sentence_text
from corpus_audit.checks.outputs.markdown import verdict_line
from corpus_audit.checks.report.page.findings import findings
from corpus_audit.checks.report.page.limits import limits
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.verdict.section import VERDICT, headline
from corpus_audit.checks.text.numbers import grouped, percent, plural

CONFORMS_TO = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")

_TERMS = ("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet",
          "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
          "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
          "transform")  # fmt: skip

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The context of Croissant 1.0."""

_FORMATS = {
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/jsonlines",
    "jsonl.gz": "application/gzip",
    "jsonl.zst": "application/zstd",
    "tar": "application/x-tar",
    "tar.gz": "application/gzip",
    "tar.zst": "application/zstd",
    "imagefolder": "application/x-tar",
    "arrow": "application/vnd.apache.arrow.file",
}


_OF_CAPTIONS = " Documents are images; bytes and tokens are those of their captions."


def render_croissant(context: RenderContext) -> str:
    """The file's text; the same run gives the same."""
    model = context.report
    topics = {finding.topic: " ".join(map(sentence_text, finding.sentences)) for finding in findings(model)}
    dataset: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": plain(model.name),
        "description": f"{_description(model)} {topics.get('Coverage', '')}",
        "conformsTo": list(CONFORMS_TO),
        "version": plain(f"1.0.0+{model.snapshot.digest[:16]}"),
        "distribution": list(_files(context)),
        "recordSet": [_domains(model)],
        "rai:dataCollectionMissingData": topics.get("Coverage", ""),
        "rai:dataPreprocessingProtocol": [_filters(model)],
        "rai:dataBiases": [
            topics[topic] for topic in ("Mixture", "Domains", "Lengths", "Vocabulary") if topic in topics
        ],
        "rai:dataLimitations": [
            *(topics[topic] for topic in ("Duplicates", "Benchmarks") if topic in topics),
            *map(sentence_text, limits(model)),
        ],
        "rai:personalSensitiveInformation": ["This audit did not search for personal and sensitive information."],
        "rai:dataReleaseMaintenancePlan": _governance(model, topics.get(VERDICT, "")),
    }
    return json_text(dataset)


def _description(model: ReportModel) -> str:
    if model.images:
        captions = (
            f"; their captions have {plural(model.totals.tokens, 'token')} of {plain(model.tokenizer.name)} and "
            f"{plural(model.totals.bytes, 'byte')}"
            if model.text
            else ", without captions"
        )
        return (
            f"Snapshot {plain(model.snapshot.digest)} of a corpus of images: "
            f"{plural(model.totals.documents, 'image')} in {plural(model.snapshot.shards, 'shard')}{captions}."
        )
    return (
        f"Snapshot {plain(model.snapshot.digest)} of a text corpus: {plural(model.totals.documents, 'document')}, "
        f"{plural(model.totals.tokens, 'token')} of {plain(model.tokenizer.name)}, "
        f"{plural(model.totals.bytes, 'byte')} of text in {plural(model.snapshot.shards, 'shard')}."
    )


def _filters(model: ReportModel) -> str:
    if not model.filter:
        return "No filter was applied by the audit: all rows of the shards are counted."
    clauses = "; ".join(f"{plain(clause.name)}: {plain(clause.clause)}" for clause in model.filter)
    return f"The audit counts the rows that meet these conditions: {clauses}."


def _governance(model: ReportModel, verdict: str) -> str:
    view = model.verdict
    if view is None:
        return f"{verdict_line(model)}. No policy judged this snapshot."
    return (
        f"{verdict_line(model)}. {plain(headline(view))} {verdict} Policy SHA-256 {plain(view.policy_sha256)}; "
        f"a sign-off needs {plural(view.approvals, 'approval')}."
    )


def _files(context: RenderContext) -> Iterator[dict[str, Any]]:
    """The manifest, which names every shard, and the first shards themselves."""
    shards = context.report.snapshot.shards
    listed = f"the first {grouped(MOST_SHARDS)} are listed here" if shards > MOST_SHARDS else "listed here as well"
    yield {
        "@type": "cr:FileObject",
        "@id": "manifest",
        "name": "MANIFEST.sha256",
        "description": f"SHA-256 and name of {plural(shards, 'shard')}; {listed}.",
        "contentUrl": "../MANIFEST.sha256",
        "encodingFormat": "text/plain",
        "sha256": plain(context.manifest),
    }
    for index, shard in enumerate(context.shards):
        yield {
            "@type": "cr:FileObject",
            "@id": f"shard-{index}",
            "name": plain(shard.name),
            "contentUrl": reference(shard.name),
            "contentSize": f"{shard.bytes} B",
            "encodingFormat": _FORMATS.get(shard.format, "application/octet-stream"),
            "sha256": plain(shard.sha256),
        }


def _domains(model: ReportModel) -> dict[str, Any]:
    """Totals and shares of the largest domains, as records embedded in the file."""
    kinds = {"domain": "sc:Text", "documents": "sc:Integer", "bytes": "sc:Integer", "tokens": "sc:Integer",
             "share": "sc:Text"}  # fmt: skip
    return {
        "@type": "cr:RecordSet",
        "@id": "domains",
        "name": "domains",
        "description": f"Measured totals by domain; shares are of {model.unit}.{_OF_CAPTIONS if model.images else ''}",
        "field": [
            {"@type": "cr:Field", "@id": f"domains/{name}", "name": name, "dataType": kind}
            for name, kind in kinds.items()
        ],
        "data": [
            {
                "domains/domain": plain(row.name) if not row.folded else "all others",
                "domains/documents": row.documents.count,
                "domains/bytes": row.bytes.count,
                "domains/tokens": row.tokens.count,
                "domains/share": percent(row.amount(model.unit).share, 3),
            }
            for row in model.domains
        ],
    }
