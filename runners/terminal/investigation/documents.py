"""What ``investigate documents`` prints: domains, repeated documents and excess losses of some steps."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.pipelines.sampling.log.comparison import DrawnDocument, WindowComparison
from corpus_audit.pipelines.sampling.log.repetition import NGRAM, TextComparison
from corpus_audit.pipelines.statistics.sampling.control_windows import LEAST_CONTROLS

TOP = 15
"""Rows of a list; --json has up to 100 documents, and all domains."""

_NAME = 40


def documents_lines(comparison: WindowComparison, first: int, last: int, offset: int, width: int) -> Iterator[str]:
    """The lines of the lists.

    Args:
        comparison: of the window.
        first: its first step of the run.
        last: its last step of the run.
        offset: step of the run minus step of the log.
        width: columns of the terminal.
    """
    steps = f"steps {grouped(first)} to {grouped(last)}"
    yield from wrap(
        f"{plural(comparison.documents, 'draw')} with {plural(comparison.tokens, 'token')} in {steps} "
        f"(steps of the log: {grouped(comparison.first)} to {grouped(comparison.last)}; the stated offset of "
        f"{offset:+d} is not tested here)",
        width,
    )
    yield from wrap(_judged(comparison), width)
    if comparison.shares:
        yield ""
        yield f"{fit('Domain', _NAME)}{'draws':>10}{'share':>9}{'usual':>9}{'z':>7}"
        for each in comparison.shares[:TOP]:
            usual = f"{each.control_share:.1%}" if each.control_share == each.control_share else "-"
            cells = f"{grouped(each.documents):>10}{each.share:>9.1%}{usual:>9}{each.z:>7.1f}"
            yield f"{fit(safe_text(each.domain, 200), _NAME)}{cells}"
        yield from _more(len(comparison.shares), "domain")
    if comparison.repeated is not None:
        yield ""
        usual = "" if comparison.control_repeated is None else f" (usually {comparison.control_repeated:.2%})"
        yield f"{comparison.repeated:.2%} of the draws repeat a document{usual}"
        for document in comparison.most_drawn[:TOP]:
            yield f"  {fit(safe_text(document.document, 200), _NAME)}{plural(document.draws, 'draw'):>12}"
    if any(document.excess is not None for document in comparison.top):
        yield ""
        yield f"{fit('Document', _NAME)}{'tokens':>9}{'excess':>10}{'per token':>11}  domain"
        for document in comparison.top[:TOP]:
            yield _row(document).rstrip()


def text_lines(texts: TextComparison, width: int) -> Iterator[str]:
    """The lines about texts: how much they repeat, near-duplicates, and n-grams that repeat."""
    yield ""
    missing = f"; {plural(texts.missing, 'document')} of these steps have none" if texts.missing else ""
    yield from wrap(f"{plural(texts.documents, 'document')} with a text{missing}", width)
    for what, share, usual, p in (
        (f"{NGRAM}-grams of words occurred before in the window", texts.repeated, texts.control_repeated,
         texts.p_repeated),
        ("documents have a near-duplicate in it", texts.similar, texts.control_similar, texts.p_similar),
    ):  # fmt: skip
        against = "" if usual is None else f" (usually {usual:.2%})"
        judged = texts.controls >= LEAST_CONTROLS and p is not None
        words = "" if share is None else f"{share:.2%} of the {what}{against}" + (f", p {p:.2g}" if judged else "")
        yield from wrap(words, width)
    if texts.drift is not None and texts.control_drift is not None and texts.p_drift is not None:
        with_p = f", p {texts.p_drift:.2g}" if texts.controls >= LEAST_CONTROLS else ""
        drift = f"{texts.drift:.3g} bits from those of the other windows (usually {texts.control_drift:.3g}{with_p})"
        moved = ", ".join(f"{safe_text(word.text, 40)} ({grouped(word.occurrences)})" for word in texts.words[:8])
        yield from wrap(f"the words drift by {drift}{'; more frequent: ' if moved else ''}{moved}", width)
    if texts.controls < LEAST_CONTROLS:
        count = plural(texts.controls, "control window")
        yield from wrap(f"{count} with texts; at least {LEAST_CONTROLS} are needed for a p", width)
    for group in texts.groups[:TOP]:
        names = ", ".join(safe_text(name, 40) for name in group.documents[:5])
        yield from wrap(f"  {grouped(group.count)} near-duplicates: {names}", width, subsequent_indent="    ")
    if texts.ngrams:
        yield ""
        yield f"{'times':>7}{'usual':>9}{'in documents':>14}  n-gram"
        for ngram in texts.ngrams[:TOP]:
            expected = "-" if ngram.expected is None else f"{ngram.expected:.1f}"
            text = fit(safe_text(ngram.text, 200), max(width - 32, 20)).rstrip()
            yield f"{grouped(ngram.occurrences):>7}{expected:>9}{grouped(ngram.documents):>14}  {text}"


def _row(document: DrawnDocument) -> str:
    excess = "-" if document.excess is None else f"{document.excess:,.1f}"
    per_token = "-" if document.excess_per_token is None else f"{document.excess_per_token:+.3f}"
    domain = "" if document.domain is None else safe_text(document.domain, 30)
    name = fit(safe_text(document.document, 200), _NAME)
    return f"{name}{grouped(document.tokens):>9}{excess:>10}{per_token:>11}  {domain}"


def _judged(comparison: WindowComparison) -> str:
    if comparison.controls < LEAST_CONTROLS:
        count = plural(comparison.controls, "control window")
        return f"{count} of this length; at least {LEAST_CONTROLS} are needed for a p"
    if not comparison.each:
        return "nothing could be compared: the log has neither two domains, nor ids of documents, nor losses"
    each = ", ".join(f"{name} {p:.2g}" for name, p in comparison.each.items())
    return f"p {comparison.p:.2g} against {grouped(comparison.controls)} control windows ({each})"


def _more(count: int, what: str) -> Iterator[str]:
    if count > TOP:
        yield f"and {plural(count - TOP, what)} more, which --json has"
