"""One conclusion of a comparison: what changed, and whether any of its tests shows more than chance.

Comes in: the tables of one comparison, and its lenses (`lenses.py`).

1. What happened to documents and domains is counted, not tested: it is said whatever the tests show.
2. The status, and one sentence with the facts first, then the strongest evidence.

Goes out: rows of DRIFT_CONCLUSION and DRIFT_LENSES. Terminal, report, Markdown, metrics and JSON take the sentence and
the figures from there, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.drift.lenses import LEVEL, OF_CONTENT, Lens, lenses, pattern_text
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

Status = Literal["identical", "changed", "no significant drift", "too few to test", "not tested"]

UNTESTABLE = ("neither run measured their tokens", "holds no tokens", "holds a token")
"""In the reason of DRIFT where what two runs share is not known, or a side has no tokens."""

BY_CONTENT_ALONE = "documents were followed by their content alone, so that edits count as removed and added"
"""Fact of a comparison with a run of an earlier version, which lists no ids and sketches."""

NAMED = 2
"""Domains that a part of the sentence names."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Conclusion:
    """What one comparison says.

    Attributes:
        status: identical: the same documents; changed: a lens shows more than chance, or a domain came or went; no
            significant drift: tests were made and none shows it; too few to test: documents came or went, too few for
            a test of all their text, and none of single tokens, lengths or shares shows anything; not tested: which
            tokens both runs hold is not known, and no other lens shows anything.
        headline: the sentence that every output starts with.
        lenses: in the order of `lenses.Lens.name`.
    """

    status: Status
    headline: str
    lenses: tuple[Lens, ...]


def conclude(tables: Mapping[str, pa.Table]) -> Conclusion:
    """The conclusion of one comparison from its tables (those of `drift_tables.DRIFT_TABLES` but the conclusion's).

    Raises:
        KeyError: a table is missing.
    """
    turnover = tables["turnover"].to_pylist()
    whole = next(row for row in turnover if row["domain"] == ALL_DOMAINS)
    domains = [row for row in turnover if row["domain"] != ALL_DOMAINS]
    made = lenses(tables)
    shown = [lens for lens in made if lens.reading == "shown"]
    came = [row for row in domains if not _before(row) and _now(row)]
    went = [row for row in domains if _before(row) and not _now(row)]
    facts = list(_facts(whole, domains, came, went, pattern_text(tables)))
    if facts and whole["edited"] is None:
        facts.append(BY_CONTENT_ALONE)
    if not facts:
        documents = _documents(_now(whole))
        status: Status = "identical"
        headline = f"Identical: both hold the same {documents}." if _now(whole) else "Identical: both are empty."
    elif shown or came or went:
        status, headline = "changed", f"Changed: {_joined(facts)}{_evidence(shown)}."
    elif (unknown := untestable(tables)) and not any(lens.reading == "not shown" for lens in _of_images(made)):
        status, headline = "not tested", f"Not tested: {_joined(facts)}; {unknown}."
    elif _equal_shares(tables):
        status = "no significant drift"
        headline = f"No significant drift: {_joined(facts)}; every token has the same share in both."
    elif any(lens.reading == "not shown" for lens in made if lens.name in OF_CONTENT):
        status = "no significant drift"
        headline = f"No significant drift: {_joined(facts)}; {_unchanged(whole)}{_nearest(made)}."
    else:
        status = "too few to test"
        # Single tokens and lengths are tested however few documents differ.
        partly = any(lens.reading == "not shown" for lens in made) and _unchanged_share(whole) < 1
        extent = " as a whole" if partly else ""
        headline = f"Only {_joined(facts)}; too few to test{extent}, {_unchanged(whole)}{_nearest(made)}."
    return Conclusion(status, headline, tuple(made))


def conclusion_tables(label: str, conclusion: Conclusion) -> dict[str, pa.Table]:
    """DRIFT_CONCLUSION and DRIFT_LENSES of one comparison."""
    row = {
        "baseline": label,
        "status": conclusion.status,
        "headline": conclusion.headline,
        "level": LEVEL,
        "lenses_shown": sum(lens.reading == "shown" for lens in conclusion.lenses),
        "lenses_tested": sum(lens.reading != "not tested" for lens in conclusion.lenses),
        "p": min((lens.adjusted for lens in conclusion.lenses if not np.isnan(lens.adjusted)), default=None),
    }
    lenses = [
        {
            "baseline": label,
            "lens": lens.name,
            "reading": lens.reading,
            "tests": lens.tests,
            "p": None if np.isnan(lens.p) else lens.p,
            "p_adjusted": None if np.isnan(lens.adjusted) else lens.adjusted,
            "example": lens.example or None,
            "reason": lens.reason,
        }
        for lens in conclusion.lenses
    ]
    return {
        "drift_conclusion": pa.Table.from_pylist([row], schema=drift_tables.DRIFT_CONCLUSION),
        "drift_lenses": pa.Table.from_pylist(lenses, schema=drift_tables.DRIFT_LENSES),
    }


def _of_images(made: Sequence[Lens]) -> list[Lens]:
    return [lens for lens in made if lens.name.startswith("image ")]


def _overall(tables: Mapping[str, pa.Table]) -> Row:
    """The row of DRIFT on the divergence of all documents."""
    rows = tables["drift"].to_pylist()
    return next(row for row in rows if row["domain"] == ALL_DOMAINS and row["statistic"] == "jsd")


def untestable(tables: Mapping[str, pa.Table]) -> str:
    """Why tokens cannot be tested however many there are, "" if they can: see `UNTESTABLE`."""
    row = _overall(tables)
    reason: str = row["reason"] or ""
    return reason if row["p"] is None and any(part in reason for part in UNTESTABLE) else ""


def _equal_shares(tables: Mapping[str, pa.Table]) -> bool:
    """Whether nothing had to be tested, as every token has the very same share on both sides."""
    row = _overall(tables)
    return row["p"] == 1.0 and not row["permutations"]


def _before(row: Row) -> int:
    return int(row["kept"] + (row["edited"] or 0) + row["removed"])


def _now(row: Row) -> int:
    return int(row["kept"] + (row["edited"] or 0) + row["added"])


def _facts(whole: Row, domains: Sequence[Row], came: Sequence[Row], went: Sequence[Row], pattern: str) -> Iterator[str]:
    """What happened to domains and documents, most telling first; nothing if all documents were kept as they are."""
    if went:
        yield _listed_domains(went, "is gone", "are gone", _before, "removed_tokens")
    if came:
        yield _listed_domains(came, "is new", "are new", _now, "added_tokens")
    if whole["edited"]:
        kept_ids = f"{whole['edited']:,} of {_documents(_before(whole))} {_were(whole['edited'])} edited"
        yield f"{kept_ids} ({pattern})" if pattern else kept_ids
    if whole["renamed"]:
        yield f"{_documents(whole['renamed'])} {_were(whole['renamed'])} renamed"
    named = {row["domain"] for row in (*came, *went)}
    for kind, verb in (("added", "added"), ("removed", "removed")):
        if whole[kind]:
            of = _largest(domains, kind, named, whole[kind])
            more = ""
            if kind == "removed" and whole["replaced"]:
                which = "all" if whole["replaced"] == whole["removed"] else f"{whole['replaced']:,}"
                more = f", {which} of them under an id that now names another text"
                more = ", whose id now names another text" if whole["removed"] == 1 else more
            copies = whole.get("added_copies") if kind == "added" else 0
            if copies:
                which = "all" if copies == whole["added"] > 1 else f"{copies:,}"
                more = f", {which} of them {'a copy' if copies == 1 else 'copies'} of what the baseline has"
            yield f"{_documents(whole[kind])} {_were(whole[kind])} {verb}{of}{more}"
    moved = sum(row["moved_in"] for row in domains)
    if moved:
        yield f"{_documents(moved)} moved to another domain{_route(domains, moved)}"


def _route(domains: Sequence[Row], moved: int) -> str:
    """The domain that all moved documents left and the one they entered, in brackets; nothing where they differ."""
    out = [row["domain"] for row in domains if row["moved_out"] == moved]
    into = [row["domain"] for row in domains if row["moved_in"] == moved]
    return f" ({out[0]} to {into[0]})" if out and into else ""


def _listed_domains(rows: Sequence[Row], one: str, many: str, size: Any, tokens: str) -> str:
    ordered = sorted(rows, key=lambda row: (-size(row), row["domain"]))
    parts = []
    for row in ordered[:NAMED]:
        of_text = f", {row[tokens]:,} tokens" if row[tokens] else ""  # images without captions have none
        parts.append(f"{row['domain']} ({_documents(size(row))}{of_text})")
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f"{'domain' if len(rows) == 1 else 'domains'} {', '.join(parts)}{more} {one if len(rows) == 1 else many}"


def _largest(domains: Sequence[Row], kind: str, named: set[str], total: int) -> str:
    """The domains that most of the documents are of, in brackets; nothing where there is one domain.

    A domain's row counts documents that moved in from another one, or out, as added or removed there: they are neither.
    """
    moved = {"added": "moved_in", "removed": "moved_out"}[kind]
    numbers = {row["domain"]: row[kind] - row[moved] for row in domains}
    rows = sorted((name for name in numbers if numbers[name]), key=lambda name: (-numbers[name], name))
    if len(domains) < 2 or not rows:
        return ""
    parts = [f"{name} {numbers[name]:,}" for name in rows[:NAMED] if name not in named or numbers[name] < total]
    return f" ({', '.join(parts)}{', …' if len(rows) > NAMED else ''})" if parts else ""


def _evidence(shown: Sequence[Lens]) -> str:
    """The strongest lens with its example."""
    if not shown:
        return ""
    lens = min(shown, key=lambda lens: (lens.adjusted, lens.p))
    others = f", and {len(shown) - 1} more of its tests" if len(shown) > 1 else ""
    return f". More than chance by {lens.name} ({lens.example}; family-wise p {_p(lens.adjusted)}){others}"


def _nearest(made: Sequence[Lens]) -> str:
    """The lens that would show something if it were the only one; nothing where there is none."""
    tested = [lens for lens in made if not np.isnan(lens.p)]
    lens = min(tested, key=lambda lens: lens.p, default=None)
    if lens is None or lens.p > LEVEL:
        return ""
    which = f"{_p(lens.p)} of {lens.name} ({lens.example})"
    return f"; the smallest p, {which}, is not significant among {len(tested)} tests"


def _unchanged_share(whole: Row) -> float:
    most = max(_before(whole), _now(whole))
    return whole["kept"] / most if most else 1.0


def _unchanged(whole: Row) -> str:
    share = _unchanged_share(whole)
    if share == 1:
        return "no text changed"
    text = f"{share:.0%}" if share < 0.995 else f"{min(share, 0.9999):.2%}"
    return f"{text} unchanged"


def _documents(number: int) -> str:
    return f"{number:,} document{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(parts)


def _p(value: float) -> str:
    return "below 0.0001" if value < 0.0001 else f"{value:.4f}"
