"""What induction heads do in the corpus: results of ``heads`` for the run's index, with documents that show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from corpus_audit.checks.report.activations.marked_text import Mark, token_text
from corpus_audit.checks.report.activations.provenance import Provenance, provenance_of

HEADS = 10
"""Induction heads of the table."""

HEADS_WITH_DOCUMENTS = 3

EVERYTHING = "(all)"
"""Name of the row of the whole corpus in ``head_domains``."""


@dataclass(frozen=True)
class InductionHead:
    """A head and its scores.

    Attributes:
        head: its address.
        scores: its row of ``head_scores``.
        corpus: its row of ``head_domains`` over the corpus: attention to what comes next, where a pair repeats; None if
            no windows were read.
        domains: the same by domain, most queries first.
    """

    head: str
    scores: dict[str, Any]
    corpus: dict[str, Any] | None
    domains: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Completion:
    """A training document in which a head completes a sequence.

    Attributes:
        head: its address; mass: its attention to what is right.
        domain, document: where it is; distance, length: tokens back, and tokens that repeat.
        text: of the window, empty if texts are not kept; marks: the token that the head attends to.
        query: the token at which it does; query_text, key_text: both tokens as they stand there.
    """

    head: str
    mass: float
    domain: str
    document: str
    distance: int
    length: int
    text: str
    marks: tuple[Mark, ...]
    query: tuple[int, int]
    query_text: str
    key_text: str


@dataclass(frozen=True)
class HeadsView:
    """What the section shows of heads.

    Attributes:
        scored: heads that were scored; threshold: prefix matching from which a head counts as an induction head.
        induction: those heads, of the highest first; further: how many more there are.
        best: the head of the highest prefix matching, and that, whether it is one or not.
        chance: prefix matching of a head that attends evenly.
        completions: documents of the first of them.
        windows: of the corpus that were read.
        provenance: what decides the results; None if there are none that can be read.
        unread: (file, reason) of results that could not be read.
    """

    scored: int = 0
    threshold: float = 0.0
    induction: tuple[InductionHead, ...] = ()
    further: int = 0
    best: tuple[str, float] | None = None
    chance: float = 0.0
    completions: tuple[Completion, ...] = ()
    windows: int = 0
    provenance: Provenance | None = None
    unread: tuple[tuple[str, str], ...] = ()


def load_heads(tables: Mapping[str, pa.Table]) -> HeadsView:
    """The view of the tables on heads, by name; all but ``head_results`` may be missing."""
    results = tables["head_results"].to_pylist()
    unread = tuple((row["file"], row["reason"]) for row in results if row["reason"] is not None)
    good = next((row for row in results if row["reason"] is None), None)
    if good is None or "head_scores" not in tables:
        return HeadsView(unread=unread)
    scores = sorted(tables["head_scores"].to_pylist(), key=lambda row: -row["prefix"])
    above = [row for row in scores if row["prefix"] >= good["threshold"]]
    measures = tables["head_domains"].to_pylist() if "head_domains" in tables else []
    completing = [row for row in measures if row["measure"] == "completing"]
    evidence = tables["head_evidence"].to_pylist() if "head_evidence" in tables else []
    shown = [row["head"] for row in above[:HEADS_WITH_DOCUMENTS]]
    return HeadsView(
        scored=good["heads"],
        threshold=good["threshold"],
        induction=tuple(_head(row, completing) for row in above[:HEADS]),
        further=max(len(above) - HEADS, 0),
        best=(scores[0]["head"], scores[0]["prefix"]) if scores else None,
        chance=scores[0]["chance"] if scores else 0.0,
        completions=tuple(_completion(row) for head in shown for row in evidence if row["head"] == head),
        windows=good["windows"],
        provenance=provenance_of(good["file"], good["provenance"]),
        unread=unread,
    )


def _head(scores: dict[str, Any], completing: list[dict[str, Any]]) -> InductionHead:
    own = [row for row in completing if row["head"] == scores["head"]]
    domains = [row for row in own if row["domain"] != EVERYTHING and row["queries"]]
    return InductionHead(
        scores["head"],
        scores,
        next((row for row in own if row["domain"] == EVERYTHING), None),
        tuple(sorted(domains, key=lambda row: -row["queries"])),
    )


def _completion(row: dict[str, Any]) -> Completion:
    text = row["text"] or ""
    query = (row["query_start"] or 0, row["query_end"] or 0)
    key = (row["key_start"] or 0, row["key_end"] or 0)
    return Completion(
        head=row["head"],
        mass=row["mass"],
        domain=row["domain"],
        document=row["document"],
        distance=row["distance"],
        length=row["length"],
        text=text,
        marks=(Mark(*key, row["mass"]),) if text else (),
        query=query,
        query_text=token_text(text, *query),
        key_text=token_text(text, *key),
    )
