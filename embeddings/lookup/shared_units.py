"""Units that fire on the same words of a text and of training documents that hold them.

A span that a text shares with documents (`pipelines/tracing`) is looked for in the stored windows of an index. A unit
fires on both if one of its strongest examples peaks on a token within the span in such a window, and its activation on
the same characters of the text is rare in the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.index.mapped_tables import DocumentLocation
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.text_units import activations_on_text
from corpus_audit.schemas.units import Unit

RARE = 0.01
"""The largest share of the corpus's tokens with such an activation or a higher one, for a unit to fire on a text."""


@dataclass(frozen=True, slots=True)
class SharedUnit:
    """A unit that fires on the same token of a text and of a training document.

    Attributes:
        unit: its address.
        span: the number of the span.
        token: the text of the token at which it peaks in the document.
        start, end: code points of the text where that token is.
        value: its highest activation there in the text.
        tail: share of the corpus's tokens with such an activation or a higher one: the whole bin of the histogram that
            holds the value is counted.
        tokens: in the histogram, from which the share is.
        example: its activation in the document.
        rank: rank of that example in the unit's top list, from 0.
        locations: where the document is.
    """

    unit: Unit
    span: int
    token: str
    start: int
    end: int
    value: float
    tail: float
    tokens: int
    example: float
    rank: int
    locations: tuple[DocumentLocation, ...]


@dataclass(frozen=True, slots=True)
class SharedUnits:
    """Units that fire on the same words of a text and of documents.

    Attributes:
        units: those that fire on both, the rarest activation on the text first; one entry for a unit.
        on_both: how many fire on both.
        in_documents: how many have an example that peaks in a span, whether they fire on the text or not.
        windows: stored windows that hold a span.
    """

    units: tuple[SharedUnit, ...]
    on_both: int
    in_documents: int
    windows: int


@dataclass(frozen=True, slots=True)
class _Peak:
    """An example of a unit that peaks within a span; start and end are code points of the text."""

    row: int
    span: int
    start: int
    end: int
    token: str
    slot: int
    window: int


def units_on_both(
    index: Index,
    text: str,
    spans: Sequence[tuple[int, int]],
    k: int,
    rows: np.ndarray | None = None,
    model: str | None = None,
) -> SharedUnits:
    """Units that fire on spans of a text and at the same words of documents that hold them.

    Only the lists of highest activations over the corpus are looked at, and only windows that hold a span whole: a span
    that is divided between windows is not found.

    Args:
        index: the index.
        text: the text.
        spans: code points of the text, start and stop of each.
        k: units that are returned at most.
        rows: of the units that are looked at, int64 ascending; all, if None.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: no token of the text counts; or the model is not that of the index.
        ModuleNotFoundError: the extra is not installed.
    """
    windows, peaks = _peaks(index, text, spans, rows)
    if not peaks:
        return SharedUnits((), 0, 0, windows)
    of_row: dict[int, list[_Peak]] = {}
    for peak in peaks:
        of_row.setdefault(peak.row, []).append(peak)
    wanted = np.array(sorted(of_row))
    values = dict.fromkeys(peaks, -np.inf)
    for first, activations, starts, ends in activations_on_text(index, text, wanted, model):
        for row in wanted[(wanted >= first) & (wanted < first + activations.shape[1])].tolist():
            for peak in of_row[row]:
                at = (starts < peak.end) & (ends > peak.start)
                if at.any():
                    values[peak] = max(values[peak], float(activations[at, row - first].max()))
    edges, names = histogram_edges(), list(index.units())
    firing = []
    for row, candidates in of_row.items():
        best = max(candidates, key=lambda peak: (values[peak], -peak.slot))
        histogram = np.asarray(index.array("histogram")[row], np.int64)
        above = histogram[int(np.searchsorted(edges, values[best], side="right")) :].sum()
        tail = float(above / max(int(histogram.sum()), 1))
        if values[best] > 0 and tail <= RARE:
            firing.append((tail, best))
    firing.sort(key=lambda entry: (entry[0], entry[1].slot, entry[1].row))
    units = [
        SharedUnit(
            unit=names[peak.row], span=peak.span, token=peak.token, start=peak.start, end=peak.end,
            value=values[peak], tail=tail,
            tokens=int(np.asarray(index.array("histogram")[peak.row], np.int64).sum()),
            example=float(index.array("top.value")[peak.row, peak.slot]), rank=peak.slot,
            locations=index.locations(index.windows["document"][peak.window].as_py()),
        )
        for tail, peak in firing[:k]
    ]  # fmt: skip
    return SharedUnits(tuple(units), len(firing), len(of_row), windows)


def _peaks(
    index: Index, text: str, spans: Sequence[tuple[int, int]], rows: np.ndarray | None
) -> tuple[int, list[_Peak]]:
    """How many stored windows hold a span, and the examples that peak within one."""
    top = np.asarray(index.array("top.row"))
    positions = np.asarray(index.array("top.position"))
    table = index.windows
    holding: set[int] = set()
    peaks: list[_Peak] = []
    for number, (start, stop) in enumerate(spans):
        span = text[start:stop]
        windows = np.flatnonzero(np.asarray(pc.match_substring(table["text"], span).combine_chunks()))
        holding.update(windows.tolist())
        hits = np.isin(top, windows)
        if rows is not None:
            hits[np.setdiff1d(np.arange(len(top)), rows)] = False
        for row, slot in np.argwhere(hits).tolist():
            window, position = int(top[row, slot]), int(positions[row, slot])
            content = table["text"][window].as_py()
            first, last = (int(table[name][window][position].as_py()) for name in ("starts", "ends"))
            for at in _occurrences(content, span):
                if at <= first and last <= at + len(span):
                    begins = start + first - at
                    peaks.append(_Peak(row, number, begins, begins + last - first, content[first:last], slot, window))
                    break
    return len(holding), peaks


def _occurrences(text: str, span: str) -> list[int]:
    """Where a span occurs in a text, but not where it begins or ends within a word."""
    starts = []
    at = text.find(span)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(span) : at + len(span) + 1]
        if not (_in_word(before) and _in_word(span[0])) and not (_in_word(after) and _in_word(span[-1])):
            starts.append(at)
        at = text.find(span, at + 1)
    return starts


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
