"""What ``trace`` prints: how much of a text the corpus holds, the shared spans, and the documents that hold them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from corpus_audit.pipelines.tracing.results import SharedDocument, SharedSpan, Trace

DOMAINS = 5
"""Domains that are named."""

LINES = 3
"""Lines of a span or excerpt, at most."""

MARKS = ("«", "»")
"""What surrounds the span in the excerpt of a document."""


def trace_lines(facts: Mapping[str, Any], trace: Trace, width: int) -> Iterator[str]:
    """Lines for a terminal; everything from the corpus and the text made safe."""
    counts = facts["counts"]
    yield fit(
        f"{safe_text(facts['name'])}: {numbers.plural(counts['documents'], 'document')}, "
        f"{numbers.compact(counts['words'])} words", width
    ).rstrip()  # fmt: skip
    yield from _coverage(trace, width)
    if trace.spans:
        yield ""
        yield from textwrap.wrap(
            f"Spans, in the order of the text{_of(len(trace.spans), trace.shared_spans, 'the least probable')}", width
        )
        for span in trace.spans:
            yield from _span(span, width)
    if trace.domains:
        yield ""
        yield from _domains(trace, width)
    if trace.documents:
        yield ""
        shown = _of(len(trace.documents), trace.holding, "those that share most")
        yield from textwrap.wrap(f"Documents that hold such spans{shown}", width)
        for document in trace.documents:
            yield from _document(document, trace.words, width)
    if trace.unranked:
        yield ""
        occur = "occurs" if trace.unranked == 1 else "occur"
        yield from textwrap.wrap(
            f"{numbers.plural(trace.unranked, 'span')} {occur} more than 100,000 times; documents are not ranked by "
            f"{'it' if trace.unranked == 1 else 'them'}", width
        )  # fmt: skip


def _of(shown: int, total: int, which: str) -> str:
    return "" if shown >= total else f" ({which}, {shown:,} of {total:,})"


def _coverage(trace: Trace, width: int) -> Iterator[str]:
    """How much of the text is covered, and what that means in this corpus."""
    spans = numbers.plural(trace.shared_spans, "span")
    share = f"{trace.covered:,} of {numbers.plural(trace.words, 'word')} ({numbers.percent(trace.coverage)})"
    yield from textwrap.wrap(
        f"Covered: {share}, by {spans} of {trace.shortest} or more words", width, subsequent_indent="  "
    )
    if trace.longest < trace.shortest:
        text = f": {safe_text(' '.join(trace.longest_text.split()))}" if trace.longest else ""
        line = f"The longest span that the corpus holds has {numbers.plural(trace.longest, 'word')}{text}"
        yield from textwrap.wrap(line, width, subsequent_indent="  ")
    reference = trace.reference
    if reference is None:
        yield from textwrap.wrap(f"No reference: {trace.no_reference}", width, subsequent_indent="  ")
        return
    _, low, median, high, most = (numbers.percent(share) for share in reference.quantiles)
    yield from textwrap.wrap(
        f"Reference: {reference.stretches:,} stretches of as many words of the corpus's own documents, each traced to "
        f"all other documents: median {median}, 10th and 90th percentile {low} and {high}, highest {most}; "
        f"{reference.as_high:,} of {reference.stretches:,} are covered as much as the text or more",
        width,
        subsequent_indent="  ",
    )


def _span(span: SharedSpan, width: int) -> Iterator[str]:
    domains = ", ".join(f"{safe_text(domain.domain)} {domain.occurrences:,}" for domain in span.domains[:DOMAINS])
    more = f" and {len(span.domains) - DOMAINS:,} more domains" if len(span.domains) > DOMAINS else ""
    occurrences = numbers.plural(span.occurrences, "occurrence")
    yield ""
    yield fit(
        f"{numbers.plural(span.words, 'word')}  {occurrences}  ln p {span.log_probability:.0f}  {domains}{more}", width
    ).rstrip()  # fmt: skip
    yield from _wrapped(" ".join(span.text.split()), width)


def _domains(trace: Trace, width: int) -> Iterator[str]:
    name = max(12, min(32, width - 48))
    yield f"{'Domain':{name}} {'words shared':>13} {'documents':>10} {'words of the domain':>20}"
    for domain in trace.domains[:DOMAINS]:
        shared = f"{domain.words:,} ({numbers.percent(domain.words / trace.words, 0)})"
        yield (
            f"{fit(safe_text(domain.domain), name)} {shared:>13} {domain.documents:>10,} "
            f"{numbers.compact(domain.corpus_words):>20}"
        )
    if len(trace.domains) > DOMAINS:
        yield f"and {numbers.plural(len(trace.domains) - DOMAINS, 'domain')} more"


def _document(document: SharedDocument, words: int, width: int) -> Iterator[str]:
    where = document.id if document.id is not None else f"{document.shard} row {document.row}"
    share = numbers.percent(document.words / words, 0)
    front = f"{document.words:,} words ({share}) in {numbers.plural(document.spans, 'span')}  "
    front += f"{fit(safe_text(document.domain), 16).rstrip()}  "
    end = f"  character {document.character + 1:,}"
    room = max(width - cell_width(front) - cell_width(end), 8)
    yield ""
    yield f"{front}{fit(safe_text(where), room).rstrip()}{end}"
    before, shared, after = (_one_line(text) for text in (document.before, document.shared, document.after))
    side = max(((width - 2) * LINES - len(shared)) // 2 - 4, 20)
    before = before if len(before) <= side else f"…{before[-side:]}"
    after = after if len(after) <= side else f"{after[:side]}…"
    yield from _wrapped(f"{before}{MARKS[0]}{shared}{MARKS[1]}{after}".strip(), width)


def _one_line(text: str) -> str:
    """A text with each run of white space as one space, also at its ends."""
    return re.sub(r"\s+", " ", text)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Some lines of a text, indented and made safe."""
    lines = textwrap.wrap(safe_text(text, 4 * width), width - 2)
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], fit(f"{lines[LINES - 1]} …", width - 2).rstrip()]
    for line in lines:
        yield f"  {fit(line, width - 2).rstrip()}"
