"""Which tokens make units fire: results of ``attribute`` for the run's index, with what was checked of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow as pa

from corpus_audit.checks.report.activations.marked_text import Mark, token_text
from corpus_audit.checks.report.activations.provenance import Provenance, provenance_of
from corpus_audit.checks.text import numbers

UNITS = 6
"""Units that are shown at most."""

TOKENS = 5
"""Tokens of a domain, and of an example, that are shown."""

TOGETHER = 2
"""Runs of several tokens of a domain that are shown."""


@dataclass(frozen=True)
class TokenShare:
    """A token of an example: its text, its attribution, and its share of the whole (None if that is not above 0)."""

    text: str
    attribution: float
    share: float | None


@dataclass(frozen=True)
class DomainTokens:
    """The tokens that carry a unit's activation in a domain.

    Attributes:
        domain: its name.
        examples, documents: that were attributed.
        rows: of the table ``unit_attribution_tokens``: single tokens, then runs of several, largest mean first.
    """

    domain: str
    examples: int
    documents: int
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class UnitAttribution:
    """A unit with its attribution.

    Attributes:
        unit, method: as the command line calls them.
        examples, documents: that were attributed.
        checks: (name, sentence) of each check.
        caveat: what the method does not show.
        domain, document: of the strongest example; value, baseline_value: F(x) and F(b).
        text: its text, empty if texts are not kept; marks: its tokens; peak: the one whose activation it is.
        tokens: its tokens of the largest attribution.
        domains: by domain, that of the strongest example first.
        provenance: what decides the result.
    """

    unit: str
    method: str
    examples: int
    documents: int
    checks: tuple[tuple[str, str], ...]
    caveat: str
    domain: str
    document: str
    value: float
    baseline_value: float
    text: str
    marks: tuple[Mark, ...]
    peak: tuple[int, int]
    tokens: tuple[TokenShare, ...]
    domains: tuple[DomainTokens, ...]
    provenance: Provenance

    @property
    def scale(self) -> float:
        """The largest magnitude of a token's attribution."""
        return max((abs(mark.value) for mark in self.marks), default=0.0)

    @property
    def has_intervals(self) -> bool:
        """Whether a domain has enough documents for intervals."""
        return any(row["low"] is not None for domain in self.domains for row in domain.rows)

    @property
    def has_together(self) -> bool:
        """Whether runs of several tokens are among the rows."""
        return any(row["tokens"] > 1 for domain in self.domains for row in domain.rows)


@dataclass(frozen=True)
class AttributionsView:
    """What the section shows of attributions.

    Attributes:
        units: those that are shown, of the most documents first.
        further: how many more there are.
        unread: (file, reason) of results that could not be read.
    """

    units: tuple[UnitAttribution, ...] = ()
    further: int = 0
    unread: tuple[tuple[str, str], ...] = field(default=())


def load_attributions(results: pa.Table, tokens: pa.Table) -> AttributionsView:
    """The view of the tables ``unit_attributions`` and ``unit_attribution_tokens``."""
    rows = results.to_pylist()
    good = sorted((row for row in rows if row["reason"] is None), key=lambda row: -row["documents"])
    by_unit = {unit: list(each) for unit, each in groupby(tokens.to_pylist(), key=lambda row: row["unit"])}
    return AttributionsView(
        tuple(_unit(row, by_unit.get(row["unit"], [])) for row in good[:UNITS]),
        max(len(good) - UNITS, 0),
        tuple((row["file"], row["reason"]) for row in rows if row["reason"] is not None),
    )


def _unit(row: dict[str, Any], tokens: Sequence[dict[str, Any]]) -> UnitAttribution:
    text = row["text"] or ""
    spans = list(zip(row["starts"] or (), row["ends"] or (), row["attribution"] or (), strict=True))
    strongest = sorted(spans, key=lambda span: -span[2])[:TOKENS]
    return UnitAttribution(
        unit=row["unit"],
        method=row["method"].replace("_", " "),
        examples=row["examples"],
        documents=row["documents"],
        checks=tuple(_checks(row)),
        caveat=row["caveat"],
        domain=row["domain"] or "",
        document=row["document"],
        value=row["value"],
        baseline_value=row["baseline_value"],
        text=text,
        marks=tuple(Mark(*span) for span in spans),
        peak=spans[row["peak"]][:2] if spans else (0, 0),
        tokens=tuple(
            TokenShare(token_text(text, start, end), value, value / row["whole"] if row["whole"] > 0 else None)
            for start, end, value in strongest
            if value > 0
        ),
        domains=tuple(_domains(tokens)),
        provenance=provenance_of(row["file"], row["provenance"]),
    )


def _domains(tokens: Sequence[dict[str, Any]]) -> Iterator[DomainTokens]:
    for domain, group in groupby(tokens, key=lambda row: row["domain"]):
        rows = list(group)
        above = [row for row in rows if row["mean"] > 0]
        single = [row for row in above if row["tokens"] == 1][:TOKENS]
        together = [row for row in above if row["tokens"] > 1][:TOGETHER]
        yield DomainTokens(domain, rows[0]["examples"], rows[0]["domain_documents"], (*single, *together))


def _checks(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was checked of a result, in sentences."""
    if row["converged"] is None:
        yield "Completeness", "none: values of this method need not sum to the activation"
    else:
        missed = row["examples"] - row["converged"]
        state = f"NOT CONVERGED: {missed} of" if missed else "converged:"
        error = f"the largest error is {row['completeness_error']:.1e}, at most {row['tolerance']:g} is asked for"
        yield "Completeness", f"{state} {numbers.plural(row['examples'], 'example')}; {error}"
    if row["checked"]:
        mean, low, high = (_signed(row[f"random_{name}"], 3) for name in ("mean", "low", "high"))
        random = f"{mean} ({low} to {high})"
        orders = numbers.plural(row["random_orders"], "random order")
        yield "Deletion", f"area {_signed(row['deletion'], 3)}; {orders}: {random}, {row['deletion_beaten']} lower"
        yield "Insertion", f"area {_signed(row['insertion'], 3)}; {orders}: {random}, {row['insertion_beaten']} higher"
    else:
        yield "Deletion, insertion", "not computed"
    if row["randomised_block"] is not None:
        block, every = (_signed(row[name]) for name in ("randomised_block", "randomised_all"))
        yield "Permuted weights", f"Spearman correlation {block} (its block), {every} (all blocks up to it)"


def _signed(value: float, decimals: int = 2) -> str:
    """A figure with its sign if it is below 0; never minus nothing."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", numbers.MINUS)


def figure(value: float) -> str:
    """An activation or an attribution in four digits."""
    return f"{value:.4g}".replace("-", numbers.MINUS)
