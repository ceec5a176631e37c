"""SARIF 2.1.0: what does not pass, at the line of the policy that asks for it, for code scanning pages.

Passing judgements are counted and not listed, because such pages show every result as an alert. Integrity rules, which
no policy spells out, stand at its first line: a page that is given results without a place refuses the file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.metadata import version
from typing import Any

from corpus_audit.checks.outputs.escaping import json_text, message, plain, reference
from corpus_audit.checks.outputs.evidence import Evidence
from corpus_audit.checks.outputs.junit import details
from corpus_audit.schemas.run.results import Judgement, Status, Verdict

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_RESULTS = 25_000
"""What GitHub takes of a run; the most urgent come first."""

LEVELS = {Verdict.WARN: "warning", Verdict.PASS: "note"}
"""By what a judgement does to the verdict; everything else is an error."""

_URGENCY = (Status.FAIL, Status.ERROR, Status.MISSING, Status.INSUFFICIENT, Status.WAIVED, Status.WARN)


def render_sarif(evidence: Evidence) -> str:
    """The file's text; the same run gives the same."""
    rules: dict[str, Judgement] = {}
    for one in evidence.judgements:
        rules.setdefault(one.rule, one)
    indices = {rule: index for index, rule in enumerate(rules)}
    found = sorted(
        (one for one in evidence.judgements if one.status is not Status.PASS),
        key=lambda one: _URGENCY.index(one.status),
    )
    waivers = {one.id: one for one in evidence.results.waivers} if evidence.results else {}
    where = {"uri": reference(evidence.policy_path)}
    results = []
    for one in found[:MOST_RESULTS]:
        result: dict[str, Any] = {
            "ruleId": plain(one.rule),
            "ruleIndex": indices[one.rule],
            "level": "error" if one.status is Status.WAIVED else LEVELS.get(one.effect, "error"),
            "message": {"text": message(_told(one))},
            "locations": [{"physicalLocation": {"artifactLocation": where, "region": {"startLine": one.line or 1}}}],
            "partialFingerprints": {"corpusAuditRuleAndSlice/v1": _fingerprint(one)},
            "properties": {
                "status": one.status.value,
                "slice": plain(one.slice),
                "details": details(one),
            },
        }
        if one.status is Status.WAIVED:
            waiver = waivers.get(one.waiver or "")
            why = f"{waiver.reason} Approved by {waiver.approved_by} until {waiver.expires}." if waiver else ""
            result["suppressions"] = [
                {"kind": "external", "status": "accepted", "justification": plain(f"Waiver {one.waiver}. {why}")}
            ]
        results.append(result)
    counts = Counter(one.status.value for one in evidence.judgements)
    run = {
        "tool": {
            "driver": {
                "name": "corpus-audit",
                "semanticVersion": version("corpus-audit"),
                "rules": [_rule(one) for one in rules.values()],
            }
        },
        "automationDetails": {"id": f"corpus-audit/{plain(evidence.report.run)}"},
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": {
            "audit": plain(evidence.report.name),
            "snapshot": plain(evidence.report.snapshot.digest),
            "verdict": evidence.results.verdict.value if evidence.results else "not judged",
            "counts": {status.value: counts[status.value] for status in Status if counts[status.value]},
            "resultsLeftOut": max(len(found) - MOST_RESULTS, 0),
        },
    }
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(judgement: Judgement) -> dict[str, Any]:
    described: dict[str, Any] = {"id": plain(judgement.rule), "shortDescription": {"text": message(judgement.title)}}
    if judgement.rationale:
        described["fullDescription"] = {"text": message(judgement.rationale)}
    if judgement.next_step:
        described["help"] = {"text": message(judgement.next_step)}
    return described | {"properties": {"kind": judgement.kind, "owner": plain(judgement.owner)}}


def _told(judgement: Judgement) -> str:
    slice_ = f", {judgement.slice}" if judgement.slice and judgement.slice != "all" else ""
    told = f"{judgement.title}{slice_} ({judgement.status.value}): {judgement.reason}"
    return f"{told} {judgement.next_step}" if judgement.next_step else told


def _fingerprint(judgement: Judgement) -> str:
    return hashlib.sha256(f"{judgement.rule}\n{judgement.slice}".encode(errors="surrogatepass")).hexdigest()
