"""Documents kept, edited, renamed, replaced, added and removed between two runs, in tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.drift.documents.document_tables import (
    DocumentTable,
    codes_of,
    domain_names,
    lists_documents,
    read_documents,
)
from corpus_audit.pipelines.drift.documents.matching import Matches, Pairs, match_documents, moved, renamed
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from corpus_audit.schemas.tables.turnover_tables import EDIT_SIZES, TURNOVER

EARLIER_RUN = (
    "a run of an earlier version lists no ids and sketches of its documents, so they were compared by content alone: "
    "what was edited, renamed or replaced counts as removed and added; audit that corpus again"
)
"""Reason of TURNOVER where a run has no table DOCUMENT_IDENTITIES."""

NO_IDS = "documents have no ids on a side (document.id), so which were renamed or replaced is not known"
"""Reason of TURNOVER where documents could be followed by their text alone."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FollowedDocuments:
    """The documents of two runs and what became of each.

    Attributes:
        names: domains, which the tables' positions refer to.
        baseline, current: rows by (content hash, id, domain).
        matches: pairs of their rows, and rows without a partner.
        reason: why less than everything is known; None otherwise.
    """

    names: list[str]
    baseline: DocumentTable
    current: DocumentTable
    matches: Matches
    reason: str | None


def follow_documents(baseline: RunDirectory, current: RunDirectory) -> FollowedDocuments:
    """Match the documents of two runs; by content alone where one is of an earlier version.

    Raises:
        StoreError: a table cannot be read.
    """
    names = domain_names(baseline, current)
    by_content_alone = not (lists_documents(baseline) and lists_documents(current))
    before, now = (read_documents(run, names, by_content_alone) for run in (baseline, current))
    matches = match_documents(before, now)
    reason = EARLIER_RUN if by_content_alone else None if matches.by_id else NO_IDS
    return FollowedDocuments(names, before, now, matches, reason)


def turnover(label: str, followed: FollowedDocuments, unlisted: Integers) -> pa.Table:
    """Table TURNOVER; ``unlisted`` are the documents by row that table DOCUMENT_CHANGES leaves out.

    In the row of all domains a document that changed its domain is kept or edited; in the domains' rows it was moved
    out of one and into the other, which removes and adds it there. What is not known is null (see its reason).
    """
    rows = len(followed.names) + 1
    columns: dict[str, np.ndarray] = {name: np.zeros(rows, np.int64) for name in TURNOVER.names[2:-1]}
    columns |= {"kept_squared": np.zeros(rows), "unlisted": unlisted}
    matches, baseline, current = followed.matches, followed.baseline, followed.current
    for kind, pairs in (("kept", matches.kept), ("edited", matches.edited)):
        _add_pairs(columns, kind, pairs, followed)
    for kind, part, side in (("removed", matches.removed, baseline), ("added", matches.added, current)):
        _add(columns[kind], side.domain[part.rows], part.documents)
        _add(columns[f"{kind}_tokens"], side.domain[part.rows], part.documents * side.tokens[part.rows])
    are_copies = _is_in_baseline(followed)[matches.added.rows]
    copies = matches.added.rows[are_copies]
    _add(columns["added_copies"], current.domain[copies], matches.added.documents[are_copies])
    replaced = matches.replaced
    before, now = baseline.domain[replaced.baseline], current.domain[replaced.current]
    _add(columns["replaced"], np.where(before == now, now, -1), replaced.documents)
    unknown = [] if matches.by_text else ["edited", "edited_tokens_baseline", "edited_tokens_current"]
    unknown += [] if matches.by_id else ["renamed", "renamed_tokens", "replaced"]
    return pa.table(
        {
            "baseline": pa.array([label] * rows, pa.string()),
            "domain": pa.array([ALL_DOMAINS, *followed.names], pa.string()),
            **{
                name: pa.array(values, mask=np.full(rows, name in unknown), type=TURNOVER.field(name).type)
                for name, values in columns.items()
            },
            "reason": pa.array([followed.reason] * rows, pa.string()),
        },
        schema=TURNOVER,
    )


def _is_in_baseline(followed: FollowedDocuments) -> npt.NDArray[np.bool_]:
    """Whether the baseline has the text of each current row."""
    sides = followed.baseline, followed.current
    codes = codes_of([np.concatenate([getattr(side, name) for side in sides]) for name in ("high", "low")])
    return np.isin(codes[len(sides[0]) :], codes[: len(sides[0])])


def not_shared(table: pa.Table) -> tuple[Integers, Integers]:
    """Documents of each row of TURNOVER that the other side does not hold byte for byte, int64 [rows] each.

    Returns:
        ``(baseline, current)``: removed and edited ones; added and edited ones.
    """
    edited = pc.fill_null(table["edited"], 0).to_numpy()
    return table["removed"].to_numpy() + edited, table["added"].to_numpy() + edited


def edit_sizes(label: str, followed: FollowedDocuments) -> pa.Table:
    """Table EDIT_SIZES: quantiles over the edited documents, for all and by domain of the current snapshot."""
    pairs = followed.matches.edited
    before = followed.baseline.tokens[pairs.baseline].astype(np.float64)
    now = followed.current.tokens[pairs.current].astype(np.float64)
    domain = followed.current.domain[pairs.current]
    figures = {
        "tokens_baseline": before,
        "tokens_current": now,
        "tokens_change": now - before,
        "similarity": pairs.similarity,
    }
    rows = []
    for code, name in enumerate([ALL_DOMAINS, *followed.names], start=-1):
        mine = np.flatnonzero(domain == code) if code >= 0 else np.arange(len(pairs))
        documents = pairs.documents[mine]
        if not len(mine):
            continue
        for figure, values in sorted(figures.items()):
            points = _quantiles(values[mine], documents)
            rows.append(
                {"baseline": label, "domain": name, "figure": figure, "documents": int(documents.sum())}
                | dict(zip(("p05", "p25", "p50", "p75", "p95"), points, strict=True))
                | {"mean": float((values[mine] * documents).sum() / documents.sum())}
            )
    return pa.Table.from_pylist(rows, schema=EDIT_SIZES)


def _add_pairs(columns: dict[str, np.ndarray], kind: str, pairs: Pairs, followed: FollowedDocuments) -> None:
    """Add documents with a partner: to their domain, or, moved, as removed from one domain and added to the other."""
    baseline, current = followed.baseline, followed.current
    out, into = baseline.domain[pairs.baseline], current.domain[pairs.current]
    before, now = (
        pairs.documents * side.tokens[rows] for side, rows in ((baseline, pairs.baseline), (current, pairs.current))
    )
    stayed = np.where(out == into, into, -1)
    _add(columns[kind], stayed, pairs.documents)
    if kind == "kept":
        _add(columns["kept_tokens"], stayed, now)
        squared = pairs.documents * current.tokens[pairs.current].astype(np.float64) ** 2
        _add(columns["kept_squared"], stayed, squared)
    else:
        _add(columns["edited_tokens_baseline"], stayed, before)
        _add(columns["edited_tokens_current"], stayed, now)
    other = renamed(baseline, current, pairs)
    _add(columns["renamed"], stayed[other], pairs.documents[other])
    _add(columns["renamed_tokens"], stayed[other], now[other])
    apart = moved(baseline, current, pairs)
    for domain, how, direction, tokens in ((out, "removed", "moved_out", before), (into, "added", "moved_in", now)):
        for name, values in ((how, pairs.documents), (direction, pairs.documents), (f"{how}_tokens", tokens)):
            np.add.at(columns[name], domain[apart] + 1, values[apart])


def _add(sums: np.ndarray, domain: Integers, values: np.ndarray) -> None:
    """Add values to their domains' rows, of which -1 is none, and to the row of all domains, the first."""
    listed = domain >= 0
    np.add.at(sums, domain[listed] + 1, values[listed])
    sums[0] += values.sum()


def _quantiles(values: npt.NDArray[np.float64], documents: Integers) -> list[float]:
    """Quantiles `QUANTILES` of values that each occur ``documents`` times (the lowest value that reaches each)."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(documents[order])
    positions = np.searchsorted(reached, np.array(QUANTILES) * reached[-1])
    points: list[float] = values[order][np.minimum(positions, len(order) - 1)].tolist()
    return points
