"""What the report says of drift, in sentences; the page and the terminal share them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus_audit.checks.report.drift import edits
from corpus_audit.checks.report.drift.readings import EVEN, Case, bounds_agree
from corpus_audit.checks.report.drift.records import (
    ClassifierRow,
    DistanceRow,
    DriftView,
    EditedRow,
    PartRow,
    ShareShift,
)
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
    """The reading of all token distributions, with figure, interval and p, and which other tests say otherwise."""
    row = view.overall
    lenses = view.conclusion.lenses if view.conclusion else ()
    others = [_OF_DOMAINS.get(lens.name, lens.name) for lens in lenses if lens.reading == "shown"]
    but = f" More than chance is shown by {_listed(others)}." if others else ""
    if row.reading == "not enough data":
        return f"Whether the token distributions as a whole drifted was not tested: {_reason(row.reason)}.{but}"
    if row.case == "same":
        if view.nothing_changed:
            return "Both hold the same documents: nothing changed."
        return "Both hold the same documents, so the token distributions are the same."
    if row.case == "even":
        return (
            "One holds every document of the other, and every token has the same share in both: the text did not drift."
        )
    if row.reading == "drift":
        return (
            f"The token distributions have drifted apart by {excess_text(row)}; "
            f"chance alone gives {bits(row.null_mean)}."
        )
    if row.high is not None and row.high <= 0:
        return (
            "The token distributions as a whole are no farther apart than with documents exchanged at random, "
            f"{p_text(row)}. The documents are too unlike each other for this test to bound a drift.{but}"
        )
    whole = "No drift of the token distributions as a whole is shown"
    most = "" if row.high is None else f" If there is any, it is at most {bits(row.high)} bits."
    return f"{whole}: {excess_text(row)}.{most}{but}"


_OF_DOMAINS = {"distribution": "the distribution within domains"}
"""What a lens is called where its test over all documents shows nothing."""


def excess_text(row: DistanceRow) -> str:
    """How far a slice's distributions are apart beyond chance, and p."""
    return f"{_beyond_chance(row)}, {p_text(row)}"


def _beyond_chance(row: DistanceRow) -> str:
    """The excess divergence in bits; its interval only where it says what p says."""
    bounds = ""
    if bounds_agree(row.reading == "drift", row.low, row.high):
        bounds = f" {bits_interval(row.low, row.high)}"
    elif row.reading == "drift" and row.high is not None:
        bounds = f" (at most {bits(row.high)})"
    return f"{bits(row.excess)} bits{bounds} beyond chance"


def p_text(row: DistanceRow | ClassifierRow) -> str:
    """The p that the reading follows; in runs of earlier versions it is not adjusted."""
    if row.adjusted is None:
        return numbers.NONE if row.p is None else f"p = {row.p:.4f}"
    return f"adjusted p {'below 0.0001' if row.adjusted < 0.0001 else f'= {row.adjusted:.4f}'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


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
        yield from _domains(view)
        yield from edits.sentences(view.edits)
        yield from _shares(view)
        yield from _cause(view)
        yield from classifier(view)


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
    elif row.reading == "not enough data":
        yield f"{of}not enough data: {_reason(row.reason)}"
        if row.value is None:
            return
    elif row.case == "same":
        yield f"{of}{'nothing changed' if view.nothing_changed else 'none'}: both hold the same documents"
        if view.nothing_changed:
            return
    elif row.case == "even":
        yield f"{of}none: every token has the share that it had"
    else:
        most = "" if row.high is None or row.high <= 0 else f", at most {bits(row.high)} bits"
        shown = "shown" if row.reading == "drift" else f"no drift shown{most}"
        yield f"{of}{shown}: {_beyond_chance(row)}"
    moved = [share for share in view.shares if share.reading == "moved"]
    if moved:
        first = moved[0]
        yield (
            f"share shown to have moved: {safe_text(first.domain, 24)} {_points(first.difference)} points "
            f"{numbers.points_interval(first.low, first.high, 2)}"
        )
    elif view.conclusion is None:
        unknown = _untested_shares(view)
        yield "domain shares: " + ("not enough data" if unknown else "no move shown")
    if view.parts.mixture is not None and view.parts.content is not None:
        yield (
            f"{numbers.percent(view.parts.mixture)} of the change is the mix of domains, "
            f"{numbers.percent(view.parts.content)} the text{causes_text(view.parts)}"
        )


def _reason(reason: str) -> str:
    return reason or "no interval could be made"


def _shares(view: DriftView) -> Iterator[Sentence]:
    moved = [row for row in view.shares if row.reading == "moved"]
    unknown = _untested_shares(view)
    if moved:
        parts: list[str | Name] = ["The largest significant changes of domain shares are "]
        for index, row in enumerate(moved[:NAMED]):
            figures = f"{_points(row.difference)} points {numbers.points_interval(row.low, row.high, 2)}"
            parts += ["; " if index else "", Name(row.domain), f" {figures}"]
        yield (*parts, " of tokens.")
    elif unknown:
        yield (f"Whether domain shares moved was not tested: {_reason(unknown[0].reason)}.",)
    elif view.shares:
        beyond = [row for row in view.shares if row.before and row.now]
        reach = max((max(abs(row.low or 0.0), abs(row.high or 0.0)) for row in beyond), default=0.0)
        apart = "Apart from domains that are new or gone, no" if len(beyond) < len(view.shares) else "No"
        most = f"; none moved by more than {100 * reach:.2f} points" if beyond else ""
        yield (f"{apart} domain's share of tokens is shown to have moved{most}.",)
    if view.moved_documents and not moved:
        parts = ["By documents, shares moved: "]
        for index, row in enumerate(view.moved_documents[:NAMED]):
            parts += ["; " if index else "", Name(row.domain), f" {_points(row.difference)} points"]
        yield (*parts, ".")


def _untested_shares(view: DriftView) -> list[ShareShift]:
    """Domains whose change of share has no bounds; one that neither side has anything of did not change."""
    return [
        row
        for row in view.shares
        if row.reading == "not enough data" and (row.difference is None or row.before or row.now)
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
        f"{numbers.percent(content)} is the text within them{causes_text(view.parts)}."
        f"{offset_text(view)}",
    )


OPPOSED = 0.05
"""Part of the change, below 0, from which a sentence says what that means."""

MOST_FOLLOWED = 0.99
"""Share of the edited documents that are known in both versions, up to which a sentence says how many are."""

CAUSES = ("edits", "added", "removed")
"""Parts of DRIFT_PARTS that add up to the content."""


def causes_of_content(parts: Mapping[str, Mapping[str, Any]]) -> tuple[float, ...]:
    """What edited, added and removed documents make of the change, from a slice's rows of DRIFT_PARTS by part."""
    shares = [parts[name]["attribution"] for name in CAUSES if name in parts]
    return tuple(shares) if len(shares) == len(CAUSES) and None not in shares else ()


def offset_text(view: DriftView) -> str:
    """What parts below 0 or above 100 % mean, as a sentence with a space before it; nothing where there are none."""
    parts = [part for part in (view.parts.mixture, view.parts.content, *view.parts.causes) if part is not None]
    opposed = min(parts, default=0.0) < -OPPOSED
    return " A part below 0 % works against the change, and makes others larger than it." if opposed else ""


def causes_text(parts: PartRow) -> str:
    """The causes in brackets, edits first; nothing where they are not known."""
    if not parts.causes:
        return ""
    edits, added, removed = (numbers.percent(share) for share in parts.causes)
    followed, edited = parts.followed
    some = ""
    if followed < MOST_FOLLOWED * edited:
        some = f" of {numbers.grouped(followed)} of the {numbers.grouped(edited)} edited documents"
    return f" (edits{some} {edits}, added documents {added}, removed documents {removed})"


def _domains(view: DriftView) -> Iterator[Sentence]:
    """In which domains the token distributions drifted, and in which edits go one way."""
    if view.domains < 2:
        return
    shown = [row for row in view.distances if row.reading == "drift"]
    edited = [row for row in view.edits.rows if row.reading == "drift" and not row.everything]
    unknown = _cases(view, "untested")
    of = f"{numbers.grouped(len(shown))} of {numbers.grouped(view.domains)} domains"
    parts: list[str | Name] = [f"By token distributions, drift is shown within {of}", *_in_brackets(shown)]
    if edited:
        parts += [f"; edits go one way in {numbers.grouped(len(edited))}", *_in_brackets(edited)]
    if unknown:
        parts.append(f"; {numbers.grouped(unknown)} {'has' if unknown == 1 else 'have'} not enough data")
    for number, state in ((_cases(view, "new"), "new"), (_cases(view, "gone"), "gone")):
        if number:
            parts.append(f"; {numbers.grouped(number)} {'is' if number == 1 else 'are'} {state}")
    if view.same:
        parts.append(
            f"; {numbers.grouped(len(view.same))} hold{'s' if len(view.same) == 1 else ''} the same documents as before"
        )
    yield (*parts, ".")


def _in_brackets(rows: Sequence[DistanceRow | EditedRow]) -> Iterator[str | Name]:
    """The first domains, ``(peps, rfcs and more)``; nothing of none."""
    for index, row in enumerate(rows[:NAMED]):
        yield ", " if index else " ("
        yield Name(row.domain)
    if rows:
        yield ")" if len(rows) <= NAMED else " and more)"


def _cases(view: DriftView, wanted: Case) -> int:
    return sum(1 for row in view.distances if row.case == wanted)


def classifier(view: DriftView) -> Iterator[Sentence]:
    """Whether a classifier tells the two sides apart: over all documents, and the domains where it does if not."""
    whole = next((row for row in view.classifiers if row.everything), None)
    apart = [row for row in view.classifiers if row.reading == "distinguished" and not row.everything]
    if whole is None or whole.reading == "not enough data":
        reason = _reason(whole.reason if whole else "")
        yield (f"The classifier test does not have enough data: {reason}.", *_where(apart))
        return
    if whole.reason:
        yield (f"The classifier test: {whole.reason}.",)
        return
    shown = whole.reading == "distinguished"
    bounds = f" [{whole.low:.3f}, {whole.high:.3f}]" if bounds_agree(shown, whole.low, whole.high, EVEN) else ""
    auc = f"AUC {whole.auc:.3f}{bounds}, {p_text(whole)}"
    if shown:
        yield (f"A classifier tells the documents that came from those that went: {auc}, where 0.5 is no difference.",)
    else:
        negative = "A classifier is not shown to tell all documents that came from those that went"
        yield (f"{negative}: {auc}.", *_where(apart))


def _where(rows: Sequence[ClassifierRow]) -> Iterator[str | Name]:
    for index, row in enumerate(rows[:NAMED]):
        yield ", " if index else " It does within "
        yield Name(row.domain)
        yield f" (AUC {row.auc:.3f}, {p_text(row)})"
    if rows:
        yield "." if len(rows) <= NAMED else " and more."
