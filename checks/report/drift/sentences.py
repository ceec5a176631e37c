"""What the report says of drift, in sentences; the page and the terminal share them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus_audit.checks.report.drift.readings import Case
from corpus_audit.checks.report.drift.records import DriftView, ShareShift
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.schemas.tables.drift_tables import NOTHING_CHANGED

NAMED = 3
"""Domains that a sentence names."""

MOST_CHARACTERS = 600
"""Of a conclusion on a terminal; domains' names may be long."""


def bits(value: float | None) -> str:
    """A divergence in bits: ``0.00291``; never 0 for what is not."""
    if value is None:
        return numbers.NONE
    if 0 < abs(value) < 5e-6:
        return "< 0.00001" if value > 0 else f"> {numbers.MINUS}0.00001"
    return f"{value:.5f}".replace("-", numbers.MINUS)


def bits_interval(low: float | None, high: float | None) -> str:
    """Bounds of a divergence in bits."""
    if low is None or high is None:
        return numbers.NONE
    return f"[{low:.5f}, {high:.5f}]".replace("-", numbers.MINUS)


def log2(value: float | None) -> str:
    """A log2 ratio, signed: ``+1.32``."""
    return numbers.NONE if value is None else f"{value:+.2f}".replace("-", numbers.MINUS)


def change(value: float | None) -> str:
    """A log2 ratio of lengths as a change in per cent, ``+12.0``, or as a factor from four times on."""
    if value is None:
        return numbers.NONE
    if abs(value) >= 2:
        return f"× {2**value:.3g}"
    text = f"{100 * (2**value - 1):+.1f}"
    return (text if float(text) else "0.0").replace("-", numbers.MINUS)


def headline(view: DriftView) -> str:
    """The conclusion from all lenses; of a run of an earlier version, the reading of the token distributions."""
    return distribution(view) if view.conclusion is None else view.conclusion.headline


def headline_parts(view: DriftView) -> Sentence:
    """The headline in pieces, as a page shows only so many characters of each piece of text."""
    return tuple(re.split(r"(?<=[;.] )", headline(view)))


def distribution(view: DriftView) -> str:
    """The reading of all token distributions, with figure, interval and p."""
    row = view.overall
    if row.reading == "insufficient":
        return f"Whether the text drifted cannot be told: {_reason(row.reason)}."
    if row.case == "same":
        if view.nothing_changed:
            return "Both hold the same documents: nothing changed."
        return "Both hold the same documents, so the token distributions are the same."
    if row.case == "even":
        return (
            "One holds every document of the other, and every token has the same share in both: the text did not drift."
        )
    figures = f"{bits(row.excess)} bits {bits_interval(row.low, row.high)} beyond chance, p = {row.p:.4f}"
    if row.reading == "drift":
        return f"The token distributions have drifted apart by {figures}; chance alone gives {bits(row.null_mean)}."
    if (row.high or 0.0) <= 0:
        return (
            f"The token distributions are no farther apart than with documents exchanged at random, p = {row.p:.4f}. "
            "The documents are too unlike each other for this test to bound a drift."
        )
    return (
        f"No drift of the token distributions is shown: {figures}. If there is any, it is at most {_most(view)} bits."
    )


def sentences(view: DriftView) -> Iterator[Sentence]:
    """What a reader should know of one comparison after a minute: the headline first."""
    if view.baselines > 1:
        first, *others = headline_parts(view)
        yield ("From ", Name(view.label), f": {str(first)[:1].lower()}{str(first)[1:]}", *others)
    else:
        yield headline_parts(view)
    yield from view.documents
    if not view.nothing_changed:
        if view.conclusion is not None:
            yield (distribution(view),)
        yield from _shares(view)
        yield from _cause(view)
        yield from _domains(view)
    if not view.nothing_changed:
        yield from _classifier(view)


def lines(view: DriftView) -> Iterator[str]:
    """Reading, figure and interval, what moved most, and mix or text: at most three lines for a terminal.

    One line where nothing changed, or nothing can be compared.
    """
    row = view.overall
    of = f"from {safe_text(view.label, 20)}: " if view.baselines > 1 else ""
    if view.conclusion is not None:
        yield f"{of}{safe_text(view.conclusion.headline, MOST_CHARACTERS)}"
        if view.nothing_changed:
            return
    elif row.reading == "insufficient":
        yield f"{of}insufficient: {_reason(row.reason)}"
        if row.value is None:
            return
    elif row.case == "same":
        yield f"{of}{'nothing changed' if view.nothing_changed else 'none'}: both hold the same documents"
        if view.nothing_changed:
            return
    elif row.case == "even":
        yield f"{of}none: every token has the share that it had"
    else:
        shown = "shown" if row.reading == "drift" else f"no drift shown, at most {_most(view)} bits"
        yield f"{of}{shown}: {bits(row.excess)} bits {bits_interval(row.low, row.high)} beyond chance"
    moved = [share for share in view.shares if share.reading == "moved"]
    if moved:
        first = moved[0]
        yield (
            f"share moved most: {safe_text(first.domain, 24)} {_points(first.difference)} points "
            f"{numbers.points_interval(first.low, first.high, 2)}"
        )
    elif view.conclusion is None:
        unknown = _untold_shares(view)
        yield "domain shares: " + ("insufficient data" if unknown else "no move shown")
    if view.parts.mixture is not None and view.parts.content is not None:
        yield (
            f"{numbers.percent(view.parts.mixture)} of the change is the mix of domains, "
            f"{numbers.percent(view.parts.content)} the text{causes_text(view.parts.causes)}"
        )


def _reason(reason: str) -> str:
    return reason or "no interval could be made"


def _most(view: DriftView) -> str:
    return bits(max(view.overall.high or 0.0, 0.0))


def _shares(view: DriftView) -> Iterator[Sentence]:
    moved = [row for row in view.shares if row.reading == "moved"]
    unknown = _untold_shares(view)
    if moved:
        parts: list[str | Name] = ["The domain shares that moved most are "]
        for index, row in enumerate(moved[:NAMED]):
            figures = f"{_points(row.difference)} points {numbers.points_interval(row.low, row.high, 2)}"
            parts += ["; " if index else "", Name(row.domain), f" {figures}"]
        yield (*parts, " of tokens.")
    elif unknown:
        yield (f"Whether domain shares moved cannot be told: {_reason(unknown[0].reason)}.",)
    elif view.shares:
        reach = max(max(abs(row.low or 0.0), abs(row.high or 0.0)) for row in view.shares)
        yield (
            f"No domain's share of tokens is shown to have moved; none moved by more than {100 * reach:.2f} points.",
        )


def _untold_shares(view: DriftView) -> list[ShareShift]:
    """Domains whose change of share has no bounds; one that neither side has anything of did not change."""
    return [
        row
        for row in view.shares
        if row.reading == "insufficient" and (row.difference is None or row.before or row.now)
    ]


def _points(difference: float | None) -> str:
    return numbers.NONE if difference is None else numbers.points(difference, 2)


def _cause(view: DriftView) -> Iterator[Sentence]:
    mixture, content = view.parts.mixture, view.parts.content
    if mixture is None or content is None:
        if view.parts.reason in ("", NOTHING_CHANGED):
            yield ("No token's share changed.",)
        return
    yield (
        f"Of the change of token shares, noise included, {numbers.percent(mixture)} is the mix of domains and "
        f"{numbers.percent(content)} is the text within them{causes_text(view.parts.causes)}.",
    )


CAUSES = ("edits", "added", "removed")
"""Parts of DRIFT_PARTS that add up to the content."""


def causes_of_content(parts: Mapping[str, Mapping[str, Any]]) -> tuple[float, ...]:
    """What edited, added and removed documents make of the change, from a slice's rows of DRIFT_PARTS by part."""
    shares = [parts[name]["attribution"] for name in CAUSES if name in parts]
    return tuple(shares) if len(shares) == len(CAUSES) and None not in shares else ()


def causes_text(causes: Sequence[float]) -> str:
    """The causes in brackets, edits first; nothing where they are not known."""
    if not causes:
        return ""
    edits, added, removed = (numbers.percent(share) for share in causes)
    return f" (edits {edits}, added documents {added}, removed documents {removed})"


def _domains(view: DriftView) -> Iterator[Sentence]:
    """In how many domains the text drifted."""
    if view.domains < 2:
        return
    shown = [row for row in view.distances if row.reading == "drift"]
    unknown = _cases(view, "untested")
    of = f"{numbers.grouped(len(shown))} of {numbers.grouped(view.domains)}"
    parts: list[str | Name] = [f"Within domains, drift of the text is shown in {of}"]
    for index, row in enumerate(shown[:NAMED]):
        parts += [", " if index else " (", Name(row.domain)]
    parts += [")" if len(shown) <= NAMED else " and more)"] if shown else []
    if unknown:
        parts.append(f"; in {numbers.grouped(unknown)} the data are insufficient")
    for number, said in ((_cases(view, "new"), "new"), (_cases(view, "gone"), "gone")):
        if number:
            parts.append(f"; {numbers.grouped(number)} {'is' if number == 1 else 'are'} {said}")
    if view.same:
        parts.append(
            f"; {numbers.grouped(len(view.same))} hold{'s' if len(view.same) == 1 else ''} the same documents as before"
        )
    yield (*parts, ".")


def _cases(view: DriftView, wanted: Case) -> int:
    return sum(1 for row in view.distances if row.case == wanted)


def _classifier(view: DriftView) -> Iterator[Sentence]:
    whole = next((row for row in view.classifiers if row.everything), None)
    if whole is None or whole.reading == "insufficient":
        yield (f"The classifier test has insufficient data: {_reason(whole.reason if whole else '')}.",)
        return
    if whole.reason:
        yield (f"The classifier test: {whole.reason}.",)
        return
    auc = f"AUC {whole.auc:.3f} [{whole.low:.3f}, {whole.high:.3f}], p = {whole.p:.3f}"
    if whole.reading == "told apart":
        yield (f"A classifier tells the documents that came from those that went: {auc}, where 0.5 is no difference.",)
    else:
        yield (f"A classifier is not shown to tell the documents that came from those that went: {auc}.",)
