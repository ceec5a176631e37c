"""SARIF 2.1.0: judgements that do not pass, at their line of the policy, for code scanning pages.

Passing judgements are counted and not listed, because such pages show every result as an alert. Integrity rules, which
no policy lists, are reported at its first line: such pages refuse a file that has results without a location.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.metadata import version
from typing import Any

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.escaping import json_text, message, plain, reference
from corpus_audit.checks.outputs.junit import details
from corpus_audit.schemas.run.results import Judgement, Status

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_RESULTS = 25_000
"""GitHub accepts no more results of a run; the most urgent come first."""

LEVELS = {Status.WARN: "warning"}
"""Everything else that does not pass is an error."""

_URGENCY = (Status.FAIL, Status.ERROR, Status.MISSING, Status.INSUFFICIENT, Status.WAIVED, Status.WARN)


def render_sarif(context: RenderContext) -> str:
    """The file's text; the same run gives the same."""
    rules: dict[str, Judgement] = {}
    for judgement in context.judgements:
        rules.setdefault(judgement.rule, judgement)
    indices = {rule: index for index, rule in enumerate(rules)}
    open_judgements = sorted(
        (judgement for judgement in context.judgements if judgement.status is not Status.PASS),
        key=lambda judgement: _URGENCY.index(judgement.status),
    )
    waivers = {waiver.id: waiver for waiver in context.results.waivers} if context.results else {}
    policy_file = {"uri": reference(context.policy_path)}
    results = []
    for judgement in open_judgements[:MOST_RESULTS]:
        result: dict[str, Any] = {
            "ruleId": plain(judgement.rule),
            "ruleIndex": indices[judgement.rule],
            "level": LEVELS.get(judgement.status, "error"),
            "message": {"text": message(_text(judgement))},
            "locations": [
                {"physicalLocation": {"artifactLocation": policy_file, "region": {"startLine": judgement.line or 1}}}
            ],
            "partialFingerprints": {"corpusAuditRuleAndSlice/v1": _fingerprint(judgement)},
            "properties": {
                "status": judgement.status.value,
                "slice": plain(judgement.slice),
                "details": details(judgement),
            },
        }
        if judgement.status is Status.WAIVED:
            waiver = waivers.get(judgement.waiver or "")
            why = f"{waiver.reason} Approved by {waiver.approved_by} until {waiver.expires}." if waiver else ""
            result["suppressions"] = [
                {"kind": "external", "status": "accepted", "justification": plain(f"Waiver {judgement.waiver}. {why}")}
            ]
        results.append(result)
    counts = Counter(judgement.status.value for judgement in context.judgements)
    run = {
        "tool": {
            "driver": {
                "name": "corpus-audit",
                "semanticVersion": version("corpus-audit"),
                "rules": [_rule(judgement) for judgement in rules.values()],
            }
        },
        "automationDetails": {"id": f"corpus-audit/{plain(context.report.run)}"},
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": {
            "audit": plain(context.report.name),
            "snapshot": plain(context.report.snapshot.digest),
            "verdict": context.results.verdict.value if context.results else "not judged",
            "counts": {status.value: counts[status.value] for status in Status if counts[status.value]},
            "resultsLeftOut": max(len(open_judgements) - MOST_RESULTS, 0),
        },
    }
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(judgement: Judgement) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": plain(judgement.rule), "shortDescription": {"text": message(judgement.title)}}
    if judgement.rationale:
        rule["fullDescription"] = {"text": message(judgement.rationale)}
    if judgement.next_step:
        rule["help"] = {"text": message(judgement.next_step)}
    return rule | {"properties": {"kind": judgement.kind, "owner": plain(judgement.owner)}}


def _text(judgement: Judgement) -> str:
    slice_ = f", {judgement.slice}" if judgement.slice and judgement.slice != "all" else ""
    text = f"{judgement.title}{slice_} ({judgement.status.value}): {judgement.reason}"
    return f"{text} {judgement.next_step}" if judgement.next_step else text


def _fingerprint(judgement: Judgement) -> str:
    return hashlib.sha256(f"{judgement.rule}\n{judgement.slice}".encode(errors="surrogatepass")).hexdigest()
