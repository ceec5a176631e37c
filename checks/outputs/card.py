"""A draft dataset card for the Hugging Face hub: measured figures are filled in, the rest is marked."""

from __future__ import annotations

import json
from collections.abc import Iterator

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.escaping import code, plain, prose, sentence
from corpus_audit.checks.outputs.markdown import table, verdict_line
from corpus_audit.checks.report.page.findings import decimals, findings
from corpus_audit.checks.report.page.limits import limits
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.text import numbers

TO_FILL = "[More Information Needed]"

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"),
          (10**12, "100B<n<1T"))  # fmt: skip
"""The hub's categories of size, in documents."""


def render_card(context: RenderContext) -> str:
    """The file's text; the same run gives the same."""
    return "\n".join((*_front(context.report), *_body(context.report))) + "\n"


def _front(model: ReportModel) -> Iterator[str]:
    size = next((name for limit, name in _SIZES if model.totals.documents < limit), "n>1T")
    yield "---"
    yield f"pretty_name: {json.dumps(plain(model.name))}"
    yield "size_categories:"
    yield f"- {size}"
    if not model.images:  # what images are for is not known
        yield "task_categories:"
        yield "- text-generation"
    yield "tags:"
    yield "- corpus-audit"
    yield "---"


def _body(model: ReportModel) -> Iterator[str]:
    topics = {finding.topic: " ".join(map(sentence, finding.sentences)) for finding in findings(model)}
    yield ""
    yield f"# Dataset card for {code(model.name)}"
    yield ""
    yield (
        "Draft: figures are those of an audit of the snapshot; what only people know is marked "
        f"{TO_FILL}. Remove each mark when you fill it in."
    )
    yield ""
    yield "## Dataset description"
    yield ""
    yield f"* **Curated by:** {TO_FILL}"
    yield f"* **Languages:** {TO_FILL}"
    yield f"* **License:** {TO_FILL}"
    yield f"* **Snapshot:** {code(model.snapshot.digest)} (SHA-256 of its manifest)"
    yield f"* **Audit:** {verdict_line(model)}, run {code(model.run)}"
    yield ""
    yield "## Uses"
    yield ""
    yield TO_FILL
    yield ""
    yield "## Dataset structure"
    yield ""
    yield from _totals(model)
    yield ""
    yield from _domains(model)
    for topic in ("Mixture", "Domains", "Lengths", "Vocabulary"):
        if topic in topics:
            yield ""
            yield f"**{topic}.** {topics[topic]}"
    yield ""
    yield "## Dataset creation"
    yield ""
    yield f"Curation rationale, sources and who made them: {TO_FILL}"
    yield ""
    yield from _filters(model)
    yield ""
    yield "### Personal and sensitive information"
    yield ""
    yield f"The audit did not search for it. {TO_FILL}"
    yield ""
    yield "## Quality, as measured"
    yield ""
    shown = [topic for topic in topics if topic not in ("Mixture", "Domains", "Lengths", "Vocabulary")]
    for topic in shown:
        yield f"* **{prose(topic)}.** {topics[topic]}"
    yield ""
    yield "## Bias, risks and limitations"
    yield ""
    yield TO_FILL
    yield ""
    yield "What the audit does not show:"
    yield ""
    yield from (f"* {sentence(limit)}" for limit in limits(model))


def _totals(model: ReportModel) -> Iterator[str]:
    totals = model.totals
    of_text = {
        "tokens": totals.tokens,
        "words": totals.words,
        "characters": totals.characters,
        "bytes of captions" if model.images else "bytes of text": totals.bytes,
    }
    amounts = {
        "images" if model.images else "documents": totals.documents,
        **(of_text if model.text else {}),
        "shards": model.snapshot.shards,
        "bytes on disk": model.snapshot.bytes,
    }
    yield from table(("Total", ">Count"), [(name, numbers.grouped(count)) for name, count in amounts.items()])
    if not model.text:
        return
    yield ""
    of_captions = ", and of captions" if model.images else ""
    yield f"Tokens are those of {code(model.tokenizer.name)} (SHA-256 {code(model.tokenizer.sha256)}){of_captions}."


def _domains(model: ReportModel) -> Iterator[str]:
    digits = decimals(model.domains, model)
    rows = []
    for row in model.domains:
        amount = row.amount(model.unit)
        name = code(row.name) if not row.folded else "all others"
        tokens = (numbers.grouped(row.tokens.count),) if model.text else ()
        share = (numbers.percent_figure(amount.share, digits), numbers.interval(amount.low, amount.high, digits))
        rows.append((name, numbers.grouped(row.documents.count), *tokens, *share))
    heads = ("Domain", ">Documents", *((">Tokens",) if model.text else ()), f">% of {model.unit}", ">95 % interval")
    yield from table(heads, [tuple(prose(cell) if i else cell for i, cell in enumerate(row)) for row in rows])


def _filters(model: ReportModel) -> Iterator[str]:
    if model.filter:
        yield "The audit counts the rows that meet these conditions:"
        yield ""
        yield from (f"* {code(clause.name)}: {code(clause.clause)}" for clause in model.filter)
    else:
        yield "No filter was applied by the audit: all rows of the shards are counted."
