"""One conclusion of a comparison: what changed, and whether any of its tests shows more than chance.

Comes in: the tables of one comparison. Each *lens* is one question that was put to the data, with its own calibrated
test: edits, the distribution of tokens, single tokens, the classifier, lengths, domain shares.

1. Each lens gives one p. Where it made many tests (a domain or a token each) that is Simes's (1986, Biometrika 73), the
   smallest Benjamini-Hochberg q: at most the level if nothing moved, for independent and positively dependent tests.
2. Holm (1979, Scandinavian Journal of Statistics 6) over the lenses: the chance that any of them is called shown where
   nothing moved is at most `LEVEL`, whatever their dependence.
3. What happened to documents and domains is counted, not tested: it is said whatever the tests show.
4. The status, and one sentence with the facts first, then the strongest evidence.

Goes out: rows of DRIFT_CONCLUSION and DRIFT_LENSES. Terminal, report, Markdown, metrics and JSON take the sentence and
the figures from there, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg, holm
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LEVEL = 0.05
"""Family-wise error of the conclusion: the chance that it says "changed" by its tests where nothing moved."""

Status = Literal["identical", "changed", "no significant drift", "too few to test", "not tested"]
Reading = Literal["shown", "not shown", "not tested"]

UNTESTABLE = ("neither run measured their tokens", "holds no tokens", "holds a token")
"""In the reason of DRIFT where what two runs share is not known, or a side has no tokens."""

OF_TEXT = ("edits", "distribution", "tokens", "classifier")
"""Lenses that look at text; where none of them has a test, the documents that came and went are too few."""

NAMED = 2
"""Domains that a part of the sentence names."""

MOST_CHARACTERS = 48
"""Of a passage that the sentence quotes."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Lens:
    """One question and its answer.

    Attributes:
        name: edits, distribution, tokens, classifier, lengths or domain shares.
        tests: tests that were made.
        p: Simes p over them; NaN without one.
        example: what moved most, in words; "" without one.
        reason: why no test was made; None if one was.
        adjusted: Holm's p over all lenses; NaN without a test.
    """

    name: str
    tests: int
    p: float
    example: str
    reason: str | None
    adjusted: float = float("nan")

    @property
    def reading(self) -> Reading:
        """Whether it shows more than chance."""
        if np.isnan(self.adjusted):
            return "not tested"
        return "shown" if self.adjusted <= LEVEL else "not shown"


@dataclass(frozen=True)
class Conclusion:
    """What one comparison says.

    Attributes:
        status: identical: the same documents; changed: a lens shows more than chance, or a domain came or went; no
            significant drift: tests were made and none shows it; too few to test: documents came or went, too few for
            any test; not tested: which tokens both runs hold is not known, and no other lens shows anything.
        headline: the sentence that every output starts with.
        lenses: in the order of `Lens.name` above.
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
    lenses = adjusted([_edits(tables), *_lenses(tables, turnover)])
    shown = [lens for lens in lenses if lens.reading == "shown"]
    came = [row for row in domains if not _before(row) and _now(row)]
    went = [row for row in domains if _before(row) and not _now(row)]
    facts = list(_facts(whole, domains, came, went, _pattern(tables)))
    if not facts:
        documents = _documents(_now(whole))
        status: Status = "identical"
        headline = f"Identical: both hold the same {documents}." if _now(whole) else "Identical: both are empty."
    elif shown or came or went:
        status, headline = "changed", f"Changed: {_joined(facts)}{_evidence(shown)}."
    elif unknown := untestable(tables):
        status, headline = "not tested", f"Not tested: {_joined(facts)}; {unknown}."
    elif _equal_shares(tables):
        status = "no significant drift"
        headline = f"No significant drift: {_joined(facts)}; every token has the same share in both."
    elif any(lens.reading == "not shown" for lens in lenses if lens.name in OF_TEXT):
        status = "no significant drift"
        headline = f"No significant drift: {_joined(facts)}; {_unchanged(whole)}{_single(tables)}."
    else:
        status, headline = "too few to test", f"Only {_joined(facts)}; too few to test, {_unchanged(whole)}."
    return Conclusion(status, headline, tuple(lenses))


def adjusted(lenses: Sequence[Lens]) -> list[Lens]:
    """The lenses with Holm's p."""
    values = holm([lens.p for lens in lenses])
    return [
        Lens(lens.name, lens.tests, lens.p, lens.example, lens.reason, float(value))
        for lens, value in zip(lenses, values, strict=True)
    ]


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


def simes(p: Sequence[float]) -> float:
    """Simes's p over tests, NaN of none; NaN stands for a test that was not made."""
    q = benjamini_hochberg(p)
    return float(np.nanmin(q)) if np.isfinite(q).any() else float("nan")


def _lens(name: str, rows: Sequence[Row], p: str, example: str, reasons: Sequence[str | None]) -> Lens:
    values = [float("nan") if row[p] is None else row[p] for row in rows]
    made = int(np.isfinite(values).sum()) if values else 0
    reason = None if made else next((reason for reason in reasons if reason), "there is nothing to test")
    return Lens(name, made, simes(values) if made else float("nan"), example if made else "", reason)


def _edits(tables: Mapping[str, pa.Table]) -> Lens:
    """The two versions of edited documents, exchanged at random."""
    rows = [row for row in tables["drift_edits"].to_pylist() if row["statistic"] == "jsd"]
    return _lens("edits", rows, "p", _pattern(tables), [row["reason"] for row in rows] or ["no document was edited"])


def _lenses(tables: Mapping[str, pa.Table], turnover: Sequence[Row]) -> Iterator[Lens]:
    # A distance of sides that hold the same documents is 0 and certain: there is nothing that a test could show.
    distances = [row for row in tables["drift"].to_pylist() if row["statistic"] == "jsd"]
    tested = [row for row in distances if row["permutations"]]
    example = min(tested, key=lambda row: (row["p"], -(row["excess"] or 0.0)), default=None)
    text = "" if example is None else f"{_slice(example['domain'])}: {example['excess']:.5f} bits beyond chance"
    yield _lens("distribution", tested, "p", text, [row["reason"] for row in distances])

    tokens = tables["drift_tokens"].filter(pc.is_valid(tables["drift_tokens"]["p"]))
    every = tokens.filter(pc.equal(tokens["domain"], ALL_DOMAINS)).to_pylist()
    strongest = min(every, key=lambda row: (row["q"], row["token"]), default=None)
    text = "" if strongest is None else _token(strongest)
    reason = [row["reason"] or "no token is in enough documents" for row in distances if row["domain"] == ALL_DOMAINS]
    yield _lens("tokens", every, "p", text, reason)

    classified = tables["drift_classifier"].to_pylist()
    best = max((row for row in classified if row["p"] is not None), key=lambda row: row["auc"], default=None)
    text = "" if best is None else f"{_slice(best['domain'])}: AUC {best['auc']:.3f}"
    yield _lens("classifier", classified, "p", text, [row["reason"] for row in classified])

    sizes = {row["domain"]: row for row in turnover}
    lengths = [row for row in tables["drift_lengths"].to_pylist() if row["statistic"] == "ks"]
    lengths = [row | {"p": _gap_p(row["change"], sizes[row["domain"]])} for row in lengths]
    longest = max((row for row in lengths if row["p"] is not None), key=lambda row: row["change"], default=None)
    text = (
        ""
        if longest is None
        else (f"{_slice(longest['domain'])}: distributions of {longest['unit']} up to {longest['change']:.1%} apart")
    )
    yield _lens("lengths", lengths, "p", text, [row["reason"] for row in lengths])

    shares = tables["drift_domains"].to_pylist()
    moved = min(
        (row for row in shares if row["p"] is not None), key=lambda row: (row["p"], row["domain"]), default=None
    )
    text = (
        ""
        if moved is None
        else (f"{moved['domain']}: {moved['share_baseline']:.2%} to {moved['share_current']:.2%} of {moved['unit']}")
    )
    yield _lens("domain shares", shares, "p", text, [row["reason"] for row in shares])


def _gap_p(gap: float | None, row: Row) -> float | None:
    """p of the largest gap of two length distributions; conservative, as edited documents count as independent.

    Kolmogorov's distribution of gap / sqrt(1 / n_1 + 1 / n_2 - 2 n_S / (n_1 n_2)), n_S the kept documents.
    """
    before, now = _before(row), _now(row)
    if gap is None or not before or not now:
        return None
    unshared = 1 / before + 1 / now - 2 * row["kept"] / (before * now)
    if before == now == row["kept"] or unshared <= 0 or min(before, now) < 8:
        return None
    return float(special.kolmogorov(gap / np.sqrt(unshared)))


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
            replaced = ""
            if kind == "removed" and whole["replaced"]:
                replaced = f", {whole['replaced']:,} of them under an id that now names another text"
            yield f"{_documents(whole[kind])} {_were(whole[kind])} {verb}{of}{replaced}"
    moved = sum(row["moved_in"] for row in domains)
    if moved:
        yield f"{_documents(moved)} moved to another domain"


def _listed_domains(rows: Sequence[Row], one: str, many: str, size: Any, tokens: str) -> str:
    ordered = sorted(rows, key=lambda row: (-size(row), row["domain"]))
    parts = [f"{row['domain']} ({_documents(size(row))}, {row[tokens]:,} tokens)" for row in ordered[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f"{'domain' if len(rows) == 1 else 'domains'} {', '.join(parts)}{more} {one if len(rows) == 1 else many}"


def _largest(domains: Sequence[Row], kind: str, named: set[str], total: int) -> str:
    """The domains that most of the documents are of, in brackets; nothing where there is one domain."""
    rows = sorted((row for row in domains if row[kind]), key=lambda row: (-row[kind], row["domain"]))
    if len(domains) < 2 or not rows:
        return ""
    parts = [
        f"{row['domain']} {row[kind]:,}" for row in rows[:NAMED] if row["domain"] not in named or row[kind] < total
    ]
    return f" ({', '.join(parts)}{', …' if len(rows) > NAMED else ''})" if parts else ""


def _pattern(tables: Mapping[str, pa.Table]) -> str:
    """The edit that most documents have in common, in words; "" where none is known."""
    rows = [row for row in tables["edit_patterns"].to_pylist() if row["domain"] != ALL_DOMAINS and row["text"].strip()]
    if not rows:
        return ""
    row = max(rows, key=lambda row: (row["documents"] * row["documents"] / row["edited"], row["tokens"], row["text"]))
    verb = "gone from" if row["direction"] == "vanished" else "new in"
    words = " ".join(row["text"].split())
    text = words if len(words) <= MOST_CHARACTERS else f"{words[: MOST_CHARACTERS - 1]}…"
    return f"“{text}” is {verb} {row['documents']:,} of {row['edited']:,} in {row['domain']}"


def _evidence(shown: Sequence[Lens]) -> str:
    """The strongest lens with its example."""
    if not shown:
        return ""
    lens = min(shown, key=lambda lens: (lens.adjusted, lens.p))
    others = f", and {len(shown) - 1} more of its tests" if len(shown) > 1 else ""
    return f". More than chance by {lens.name} ({lens.example}; family-wise p {_p(lens.adjusted)}){others}"


def _single(tables: Mapping[str, pa.Table]) -> str:
    """Tokens that are discoveries by themselves though the comparison as a whole shows nothing."""
    rows = tables["drift_tokens"]
    found = int(pc.sum(pc.and_(pc.equal(rows["domain"], ALL_DOMAINS), pc.less_equal(rows["q"], LEVEL))).as_py() or 0)
    if not found:
        return ""
    return f"; {found:,} {'token has' if found == 1 else 'tokens have'} q of at most 5 % among tokens alone"


def _unchanged_share(whole: Row) -> float:
    most = max(_before(whole), _now(whole))
    return whole["kept"] / most if most else 1.0


def _unchanged(whole: Row) -> str:
    share = _unchanged_share(whole)
    text = f"{share:.0%}" if share < 0.995 or share == 1 else f"{min(share, 0.9999):.2%}"
    return f"{text} unchanged"


def _token(row: Row) -> str:
    text = row["text"].replace("\n", "⏎").replace(" ", "␣")
    return f"{text}: in {row['documents_baseline']:,} documents before, {row['documents_current']:,} now"


def _slice(domain: str) -> str:
    return "all documents" if domain == ALL_DOMAINS else domain


def _documents(number: int) -> str:
    return f"{number:,} document{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(parts)


def _p(value: float) -> str:
    return "below 0.0001" if value < 0.0001 else f"{value:.4f}"
