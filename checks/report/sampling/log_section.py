"""The report's part on a sampler's log: windows that differ, order effects, repeats, documents never drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from corpus_audit.checks.report.sampling.records import (
    LoggedDocument,
    LoggedDomain,
    LogView,
    Series,
    SharePoint,
    Window,
)
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.pipelines.sampling.log.rows import UNKNOWN
from corpus_audit.pipelines.statistics.sampling.log import ALPHA
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

NEEDED = ("sampling_log_windows", "sampling_log_domains", "sampling_log_documents")
SERIES = 6
LISTED = 30
DOCUMENTS = 10


def load_log(run: RunDirectory) -> LogView | None:
    """The view of the sampler's log; None when the run has no log tables.

    Raises:
        StoreError: a table is damaged.
    """
    if any(not (run.folder / "tables" / f"{name}.parquet").exists() for name in NEEDED):
        return None
    rows = run.table("sampling_log_windows").to_pylist()
    domains = run.table("sampling_log_domains").to_pylist()
    documents = run.table("sampling_log_documents").to_pylist()
    joint = [row for row in rows if row["domain"] == ALL_DOMAINS]
    if not joint:
        return None
    series = _series(rows, domains)
    tested = [row for row in domains if row["intended"] is not None and row["domain"] != ALL_DOMAINS]
    listed = sorted((_domain(row) for row in domains), key=_order)
    frequent = [_document(row) for row in documents]
    return LogView(
        unit=joint[0]["unit"],
        windows=tuple(_window(row) for row in joint),
        series=series,
        hidden_series=len(tested) - len(series),
        rows=tuple(listed[:LISTED]),
        hidden_rows=max(len(listed) - LISTED, 0),
        documents=tuple(frequent[:DOCUMENTS]),
        unusual=sum(1 for row in frequent if row.p is not None and row.p <= 1 - 0.999),
        listed_documents=len(frequent),
        trending=tuple(row.domain for row in listed if row.order and not row.everything),
        uneven=tuple(row.domain for row in listed if row.drawing == "uneven" and not row.everything),
    )


def log_sentences(log: LogView) -> Iterator[Sentence]:
    """What the log shows, in sentences; the mixture comes first."""
    windows = log.windows
    span = f"steps {numbers.grouped(windows[0].first)} to {numbers.grouped(windows[-1].last)}"
    tested = [window for window in windows if window.q is not None]
    differing = [window for window in windows if window.differs]
    if not tested:
        yield (f"Whether the sampler drew the intended mixture over {span} could not be tested: {_reason(windows)}.",)
    elif not differing:
        yield (
            f"Over {span} the drawn mixture does not differ significantly from the intended one in any of "
            f"{numbers.plural(len(tested), 'window')}.",
        )
    else:
        worst = max(differing, key=lambda window: window.distance or 0.0)
        yield (
            f"Over {span} the drawn mixture differs significantly from the intended one in "
            f"{numbers.grouped(len(differing))} of {numbers.plural(len(tested), 'window')}, most in steps "
            f"{steps(worst)}, by {numbers.percent(worst.distance or 0.0, 1)} of {log.unit}.",
        )
    both = [window for window in windows if window.both]
    if both:
        listed = ", ".join(steps(window) for window in both[:3])
        more = f" and {numbers.plural(len(both) - 3, 'more window')}" if len(both) > 3 else ""
        yield (f"Loss and mixture both jump in steps {listed}{more}.",)
    if log.trending:
        yield ("The share changes with the order of steps in ", *_names(log.trending), ".")
    if log.uneven:
        yield ("Documents are drawn more unevenly than by chance in ", *_names(log.uneven), ".")
    if log.unusual:
        every = log.unusual == log.listed_documents
        yield (
            f"{'At least ' if every else ''}{numbers.plural(log.unusual, 'document')} "
            f"{agree(log.unusual, 'was', 'were')} drawn so often that in 99.9 % of random samples no document of the "
            "domain would be.",
        )
    unknown = next((row for row in log.rows if row.unknown and row.draws), None)
    if unknown is not None:
        yield (
            f"{numbers.plural(unknown.draws, 'draw')} ({numbers.percent(unknown.share, 2)} of {log.unit}) "
            f"{agree(unknown.draws, 'is', 'are')} of documents or domains that are not in the run.",
        )
    total = next((row for row in log.rows if row.everything), None)
    if total is not None and total.never is not None and total.documents:
        if not total.never:
            yield (f"Each of {numbers.plural(total.documents, 'document')} was drawn at least once.",)
        else:
            share = numbers.percent(total.never / total.documents, 1)
            documents = numbers.plural(total.documents, "document")
            were = agree(total.never, "was", "were")
            yield (f"{numbers.grouped(total.never)} of {documents} ({share}) {were} never drawn.",)


def log_lines(log: LogView) -> list[str]:
    """One line for a terminal."""
    tested = sum(1 for window in log.windows if window.q is not None)
    if not tested:
        return ["log: too few documents per window to test the mixture"]
    differing = sum(window.differs for window in log.windows)
    both = sum(window.both for window in log.windows)
    jumps = f"; mix and loss jump in {both}" if both else ""
    return [f"log: {differing} of {numbers.plural(tested, 'window')} off the intended mix{jumps}"]


def steps(window: Window) -> str:
    """The window's steps, ``120–159``."""
    first, last = numbers.grouped(window.first), numbers.grouped(window.last)
    return first if first == last else f"{first}–{last}"


def _reason(windows: Sequence[Window]) -> str:
    return next((window.reason for window in windows if window.reason), "no window could be tested")


def _names(names: Sequence[str]) -> Iterator[str | Name]:
    for index, name in enumerate(names[:3]):
        if index:
            yield ", "
        yield Name(name)
    if len(names) > 3:
        yield f" and {numbers.grouped(len(names) - 3)} more"


def _significant(q: float | None) -> bool:
    return q is not None and q <= ALPHA


def _window(row: dict[str, Any]) -> Window:
    return Window(
        first=row["first_step"],
        last=row["last_step"],
        documents=row["documents"],
        tokens=row["tokens"],
        distance=row["distance"],
        p=row["p"],
        q=row["q"],
        loss=row["loss"],
        loss_of_mixture=row["loss_of_mixture"],
        loss_jump=row["loss_jump"],
        jump_q=row["mixture_jump_q"],
        differs=_significant(row["q"]),
        both=bool(row["both_move"]),
        reason=row["reason"] or "",
    )


def _series(rows: Sequence[dict[str, Any]], domains: Sequence[dict[str, Any]]) -> tuple[Series, ...]:
    """The domains that deviate most clearly from their intended share, the largest intended share first."""
    intended = {row["domain"]: row["intended"] for row in domains if row["intended"] is not None}
    by_domain: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        if row["domain"] in intended and row["domain"] != ALL_DOMAINS:
            by_domain.setdefault(row["domain"], {})[row["window"]] = row

    def clearest(name: str) -> tuple[bool, float, str]:
        windows = by_domain[name].values()
        differs = any(_significant(row["q"]) for row in windows)
        gap = max((abs(row["share"] - intended[name]) for row in windows if row["share"] is not None), default=0.0)
        return not differs, -gap, name

    count = 1 + max((row["window"] for row in rows), default=-1)
    selected = sorted(sorted(by_domain, key=clearest)[:SERIES], key=lambda name: (-intended[name], name))
    return tuple(
        Series(name, intended[name], tuple(_point(by_domain[name].get(window)) for window in range(count)))
        for name in selected
    )


def _point(row: dict[str, Any] | None) -> SharePoint:
    if row is None:
        return SharePoint(None, None, None, False)
    return SharePoint(row["share"], row["low"], row["high"], _significant(row["q"]))


def _domain(row: dict[str, Any]) -> LoggedDomain:
    return LoggedDomain(
        domain=row["domain"],
        everything=row["domain"] == ALL_DOMAINS,
        unknown=row["domain"] == UNKNOWN,
        draws=row["draws"],
        tokens=row["tokens"],
        share=row["share"],
        intended=row["intended"],
        q=row["q"],
        differs=_significant(row["q"]),
        early=row["early_share"],
        late=row["late_share"],
        trend_q=row["trend_q"],
        order=None if row["trend_q"] is None else _significant(row["trend_q"]),
        documents=row["documents"],
        drawn=row["drawn_documents"],
        never=row["never_drawn"],
        never_expected=row["never_expected"],
        never_replaced=row["never_expected_replaced"],
        mean=row["repeats_mean"],
        most=row["repeats_maximum"],
        limit=row["repeats_limit"],
        drawing=row["drawing"] or "",
        reason=row["reason"] or "",
    )


def _order(row: LoggedDomain) -> tuple[bool, bool, bool, float, str]:
    """Sort key: all domains, then the unknown one if it was drawn, then the domains that differ, by share."""
    differs = row.differs or bool(row.order) or row.drawing == "uneven"
    return (
        not row.everything,
        not (row.unknown and row.draws),
        not differs,
        -max(row.share, row.intended or 0),
        row.domain,
    )


def _document(row: dict[str, Any]) -> LoggedDocument:
    return LoggedDocument(row["document"], row["domain"], row["draws"], row["expected"], row["p"])
