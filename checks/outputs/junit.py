"""JUnit XML: judgements as test cases, for job pages of Jenkins, GitLab and others.

One suite has the integrity rules and one the policy's. What fails is a failure; what cannot be judged is an error; a
waived failure is skipped, with the waiver in its message; a warning passes and says so on the case's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.escaping import plain
from corpus_audit.checks.text.wording import bound_text, figure
from corpus_audit.schemas.run.results import UNJUDGED, Judgement, Status


def render_junit(context: RenderContext) -> str:
    """The file's text; the same run gives the same."""
    root = Element("testsuites", name=plain(f"corpus-audit {context.report.name}"))
    rules = [judgement for judgement in context.judgements if judgement.kind == "rule"]
    policy = context.results.policy if context.results else None
    name = f"policy {policy.name} {policy.version}" if policy else "policy"
    _suite(root, "integrity", [judgement for judgement in context.judgements if judgement.kind == "integrity"], context)
    if rules:
        _suite(root, name, rules, context)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{tostring(root, encoding='unicode')}\n"


def _suite(root: Element, name: str, judgements: Sequence[Judgement], context: RenderContext) -> None:
    statuses = [judgement.status for judgement in judgements]
    suite = SubElement(
        root,
        "testsuite",
        name=plain(name),
        tests=str(len(statuses)),
        failures=str(statuses.count(Status.FAIL)),
        errors=str(sum(status in UNJUDGED for status in statuses)),
        skipped=str(statuses.count(Status.WAIVED)),
        time="0",
        id=plain(context.report.run),
    )
    for judgement in judgements:
        _case(suite, judgement)


def _case(suite: Element, judgement: Judgement) -> None:
    slice_ = f" [{judgement.slice}]" if judgement.slice and judgement.slice != "all" else ""
    case = SubElement(
        suite, "testcase", classname=plain(judgement.rule), name=plain(f"{judgement.title}{slice_}"), time="0"
    )
    reason, text = plain(judgement.reason), "\n".join(details(judgement))
    if judgement.status is Status.FAIL:
        SubElement(case, "failure", message=reason, type="fail").text = text
    elif judgement.status in UNJUDGED:
        SubElement(case, "error", message=reason, type=judgement.status.value).text = text
    elif judgement.status is Status.WAIVED:
        SubElement(case, "skipped", message=plain(f"waived by {judgement.waiver}: {judgement.reason}"))
    elif judgement.status is Status.WARN:
        SubElement(case, "system-out").text = f"warning: {reason}\n{text}"


def details(judgement: Judgement) -> list[str]:
    """The fields of a judgement that have a value, as lines ``name: value``."""
    unit = judgement.compared_unit
    fields = {
        "observed": figure(judgement.observed, unit) if judgement.observed is not None else "",
        "95 % interval": f"{figure(judgement.low, judgement.unit)} to {figure(judgement.high, judgement.unit)}"
        if judgement.low is not None and judgement.high is not None
        else "",
        "n": str(judgement.n) if judgement.n is not None else "",
        "warns unless": bound_text(judgement.warn, unit),
        "fails unless": bound_text(judgement.fail, unit),
        "metric": judgement.metric,
        "next step": judgement.next_step,
        "owner": judgement.owner,
        "rationale": judgement.rationale,
    }
    return [f"{name}: {plain(value)}" for name, value in fields.items() if value]
