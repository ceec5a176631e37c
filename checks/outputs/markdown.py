"""A Markdown summary for the page of a CI job: verdict, what does not pass, waivers, findings of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.escaping import code, prose, sentence
from corpus_audit.checks.report.page.findings import findings
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.verdict.records import JudgementRow, VerdictView
from corpus_audit.checks.report.verdict.section import MARKS, VERDICT, WORDS, headline
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree

MOST_ROWS = 50
"""Judgements in the table; a job page takes 1 MiB."""


def render_markdown(context: RenderContext) -> str:
    """The file's text; the same run gives the same."""
    return "\n".join(_lines(context.report)) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; cells are Markdown already, a head that starts with ``>`` is right-aligned."""
    yield "| " + " | ".join(head.removeprefix(">") for head in heads) + " |"
    yield "| " + " | ".join("---:" if head.startswith(">") else "---" for head in heads) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def verdict_line(model: ReportModel) -> str:
    """Mark and words of the verdict, or of the run's completeness if it was not judged."""
    if model.verdict:
        _, mark, words = WORDS[model.verdict.verdict]
        return f"{mark} {words}"
    return "✓ Complete, not judged" if model.complete else "✗ No verdict"


def _lines(model: ReportModel) -> Iterator[str]:
    yield f"# {verdict_line(model)}: {code(model.name)}"
    yield ""
    yield f"Snapshot {code(model.snapshot.digest[:16])}, run {code(model.run)}. {_totals(model)}"
    if not model.complete:
        yield ""
        yield "The run is incomplete; do not base a decision on its figures:"
        yield ""
        yield from (f"* {prose(reason)}" for reason in model.reasons)
    if model.verdict:
        yield from _verdict(model.verdict)
    yield ""
    yield "## Summary"
    yield ""
    for finding in findings(model):
        if finding.topic != VERDICT:
            yield f"* **{prose(finding.topic)}**: {' '.join(map(sentence, finding.sentences))}"
    yield ""
    yield "Before signing, read `report.html` in the run directory."


def _totals(model: ReportModel) -> str:
    totals = model.totals
    shards = numbers.plural(model.coverage.shards_used, "shard")
    if model.images:
        count = f"{numbers.compact(totals.documents)} {agree(totals.documents, 'image', 'images')}"
        tokens = f"{numbers.compact(totals.tokens)} {agree(totals.tokens, 'token', 'tokens')}"
        captions = f", {tokens}, {numbers.byte_size(totals.bytes)} of captions" if model.text else ""
        return f"{count}{captions} in {shards}."
    return (
        f"{numbers.compact(totals.documents)} {agree(totals.documents, 'document', 'documents')}, "
        f"{numbers.compact(totals.tokens)} {agree(totals.tokens, 'token', 'tokens')}, "
        f"{numbers.byte_size(totals.bytes)} of text in {shards}."
    )


def _verdict(view: VerdictView) -> Iterator[str]:
    yield ""
    judged_on = prose(f"{view.policy_version}, judged on {view.judged_on}")
    yield f"{prose(headline(view))} Policy {code(view.policy)} {judged_on}."
    if view.not_passing:
        yield ""
        yield "## What does not pass"
        yield ""
        heads = (
            "Status",
            "Rule",
            "Slice",
            ">Observed",
            ">95 % interval",
            ">n",
            "Allowed",
            "Why, and what to do",
            "Owner",
        )
        yield from table(heads, [_judgement(row) for row in view.not_passing[:MOST_ROWS]])
        more = len(view.not_passing) - MOST_ROWS
        if more > 0:
            yield ""
            yield f"{numbers.grouped(more)} more {agree(more, 'does', 'do')} not pass; see `results.json`."
    if view.not_judged:
        yield ""
        yield "## Measured, and not judged by any rule"
        yield ""
        yield from (f"* {prose(line)}" for line in view.not_judged)
    if view.waivers:
        yield ""
        yield "## Waivers"
        yield ""
        rows = [
            (code(w.id), w.state, code(w.rule), code(w.slice), prose(w.holds_while), prose(w.reason), code(w.owner),
             code(w.approved_by), code(w.expires), code(w.ticket))
            for w in view.waivers
        ]  # fmt: skip
        yield from table(_WAIVERS, rows)
    if view.since:
        since = view.since
        yield ""
        yield "## Since the last sign-off"
        yield ""
        totals = ", ".join(
            f"{total.what} {numbers.compact(total.before)} → {numbers.compact(total.now)}" for total in since.totals
        )
        changed = prose(totals)
        policy = "is the same" if since.same_policy else "changed"
        yield (
            f"Last signed: {code(since.run)}. {changed[:1].upper()}{changed[1:]}. "
            f"{numbers.plural(len(since.changed), 'judgement')} changed, {numbers.grouped(since.added)} added, "
            f"{numbers.grouped(len(since.removed))} removed; the policy {policy}."
        )
        if since.changed:
            yield ""
            for row in since.changed[:MOST_ROWS]:
                yield f"* {code(row.rule)} {code(row.slice)}: {row.before} → {row.status}"


_WAIVERS = ("Waiver", "State", "Rule", "Slice", "Holds while", "Why", "Owner", "Approved by", "Expires", "Ticket")


def _judgement(row: JudgementRow) -> tuple[str, ...]:
    allowed = "; ".join(
        f"{what} unless {bound}" for what, bound in (("warns", row.warns), ("fails", row.fails)) if bound
    )
    observed = f"{row.observed} ({row.judged} {row.bound})" if row.bound else row.observed
    why = " ".join(prose(text) for text in (row.reason, row.next_step) if text)
    if row.waiver:
        why += f" Waiver {code(row.waiver)}."
    return (
        f"{MARKS[row.status]} {row.status}",
        f"{prose(row.title)} {code(row.rule)}",
        code(row.slice),
        numbers.NONE if row.integrity else prose(observed),
        prose(row.interval),
        prose(row.n),
        prose(allowed) or numbers.NONE,
        why,
        code(row.owner),
    )
