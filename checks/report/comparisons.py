"""What a report says of drift, sampling strategies and contamination: sentences and tables, where the run has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus_audit.schemas.tables import ALL_DOMAINS

Row = dict[str, Any]
Read = Callable[[str], pa.Table]

LISTED_DOMAINS = 30
LISTED_TOKENS = 12
NONE = "–"


@dataclass(frozen=True)
class ComparisonTable:
    """A caption, column heads and rows of cells; the first cell of a row is its head."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class ComparisonSection:
    """A section of the page: what to read first, then the tables."""

    heading: str
    sentences: tuple[str, ...]
    tables: tuple[ComparisonTable, ...]


def reading(row: Row) -> str:
    """Three-valued: ``drift``, ``no drift shown`` or ``insufficient``, from a row of DRIFT with statistic jsd.

    Drift is shown when the lower bound of the excess divergence is above 0; where there is no bound or no p the data
    show neither drift nor its absence.
    """
    if row["low"] is None or row["high"] is None or row["p"] is None:
        return "insufficient"
    return "drift" if row["low"] > 0 else "no drift shown"


def comparison_sections(names: Iterable[str], read: Read) -> tuple[ComparisonSection, ...]:
    """The sections that the tables of a run allow.

    Args:
        names: the tables that the run has.
        read: reads one of them.
    """
    held = set(names)
    sections: list[ComparisonSection] = []
    if "drift" in held:
        labels = list(dict.fromkeys(read("drift")["baseline"].to_pylist()))
        sections += [_drift(label, read) for label in labels]
    return tuple(sections)


def run_tables(run_dir: Path) -> list[str]:
    """Names of the tables in a run directory."""
    return sorted(path.stem for path in (run_dir / "tables").glob("*.parquet"))


def _rows(table: pa.Table, **wanted: str) -> list[Row]:
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]


def _figure(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _bounds(low: float | None, high: float | None, form: str) -> str:
    return NONE if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def _more(total: int, shown: int, what: str) -> str:
    return f"{total - shown:,} more {what} are in the table." if total > shown else ""


def _drift(label: str, read: Read) -> ComparisonSection:
    rows = _rows(read("drift"), baseline=label, statistic="jsd")
    overall = next(row for row in rows if row["domain"] == ALL_DOMAINS)
    parts = {row["part"]: row for row in _rows(read("drift_parts"), baseline=label, domain=ALL_DOMAINS)}
    turnover = _rows(read("turnover"), baseline=label)
    return ComparisonSection(
        f"Drift from {label}",
        (
            _headline(overall),
            _mix_or_text(parts),
            f"{turnover[0]['kept']:,} documents were kept, {turnover[0]['added']:,} added and "
            f"{turnover[0]['removed']:,} removed.",
            _classifier(_rows(read("drift_classifier"), baseline=label, domain=ALL_DOMAINS)),
        ),
        (
            _distances(rows),
            _shares(_rows(read("drift_domains"), baseline=label, unit="tokens")),
            _parts(parts),
            *_tokens(_rows(read("drift_tokens"), baseline=label, domain=ALL_DOMAINS)),
            _lengths(_rows(read("drift_lengths"), baseline=label, domain=ALL_DOMAINS)),
            _turnover(turnover),
            _others(_rows(read("drift"), baseline=label, domain=ALL_DOMAINS)),
        ),
    )


def _headline(row: Row) -> str:
    found = reading(row)
    if found == "insufficient":
        return f"Whether the text drifted cannot be told: {row['reason'] or 'no interval could be made'}."
    if not row["permutations"]:
        return f"There is no drift: {row['reason']}."
    bounds = f"{row['excess']:.5f} bits {_bounds(row['low'], row['high'], '.5f')} beyond chance, p = {row['p']:.4f}"
    if found == "drift":
        return f"The token distribution has drifted: by {bounds}."
    return f"No drift of the token distribution is shown: {bounds}. There is at most {max(row['high'], 0):.5f} bits."


def _mix_or_text(parts: dict[str, Row]) -> str:
    mixture, content = parts["mixture"], parts["content"]
    if mixture["attribution"] is None or content["attribution"] is None:
        return "No token's share changed."
    return (
        f"Of the change of token shares, {mixture['attribution']:.0%} is the mix of domains and "
        f"{content['attribution']:.0%} the text within them."
    )


def _classifier(rows: Sequence[Row]) -> str:
    if not rows or rows[0]["auc"] is None:
        return f"The classifier test was not made: {rows[0]['reason'] if rows else 'there is no sample'}."
    row = rows[0]
    return (
        f"A classifier tells unshared documents of the two sides apart with an AUC of {row['auc']:.3f} "
        f"{_bounds(row['low'], row['high'], '.3f')}, p = {row['p']:.3f}; 0.5 is no difference."
    )


def _distances(rows: Sequence[Row]) -> ComparisonTable:
    cells = [
        (
            "all domains" if row["domain"] == ALL_DOMAINS else row["domain"],
            _figure(row["value"], ".5f"),
            _figure(row["null_mean"], ".5f"),
            _figure(row["excess"], "+.5f"),
            _bounds(row["low"], row["high"], ".5f"),
            _figure(row["p"], ".4f"),
            reading(row),
        )
        for row in rows[:LISTED_DOMAINS]
    ]
    head = ("Domain", "Divergence, bits", "By chance", "Beyond chance", "95 % interval", "p", "Reading")
    note = _more(len(rows), LISTED_DOMAINS, "domains")
    return ComparisonTable("Jensen-Shannon divergence of the token distributions", head, tuple(cells), note)


def _shares(rows: Sequence[Row]) -> ComparisonTable:
    ordered = sorted(rows, key=lambda row: -abs(row["difference"]))
    cells = [
        (
            row["domain"],
            f"{100 * row['share_baseline']:.2f}",
            f"{100 * row['share_current']:.2f}",
            f"{100 * row['difference']:+.2f}",
            NONE if row["low"] is None else _bounds(100 * row["low"], 100 * row["high"], "+.2f"),
            _figure(row["q"], ".4f"),
        )
        for row in ordered[:LISTED_DOMAINS]
    ]
    head = ("Domain", "Before, %", "Now, %", "Change, points", "95 % interval", "q")
    note = _more(len(rows), LISTED_DOMAINS, "domains")
    return ComparisonTable("Share of tokens by domain, largest changes first", head, tuple(cells), note)


def _parts(parts: dict[str, Row]) -> ComparisonTable:
    cells = [
        (
            name,
            _figure(parts[name]["tvd"], ".5f"),
            _figure(parts[name]["tvd_null_mean"], ".5f"),
            _figure(parts[name]["tvd_excess"], "+.5f"),
            _figure(parts[name]["attribution"], ".0%"),
            ", ".join(f"{visible(text)}" for text in parts[name]["top_texts"][:8]),
        )
        for name in ("total", "mixture", "content")
    ]
    head = ("Part", "Change of shares (TVD)", "By chance", "Beyond chance", "Explains", "Tokens that it changes most")
    return ComparisonTable("The mix or the text", head, tuple(cells))


def _tokens(rows: Sequence[Row]) -> list[ComparisonTable]:
    found = []
    for kind, caption in (
        ("riser", "Tokens that rose"),
        ("faller", "Tokens that fell"),
        ("new", "New tokens"),
        ("vanished", "Tokens that vanished"),
    ):
        mine = [row for row in rows if row["kind"] == kind]
        cells = [
            (
                visible(row["text"]),
                f"{row['count_baseline']:,}",
                f"{row['count_current']:,}",
                f"{row['log2_ratio']:+.2f}",
                _bounds(row["low"], row["high"], "+.2f"),
                _figure(row["q"], ".4f"),
                f"{row['documents_baseline']:,} / {row['documents_current']:,}",
                row["example_current"] or row["example_baseline"] or NONE,
            )
            for row in mine[:LISTED_TOKENS]
        ]
        if cells:
            head = ("Token", "Before", "Now", "Change, log2", "95 % interval", "q", "Documents", "Example")
            found.append(ComparisonTable(caption, head, tuple(cells), _more(len(mine), LISTED_TOKENS, "tokens")))
    return found


def _lengths(rows: Sequence[Row]) -> ComparisonTable:
    cells = [
        (
            f"{row['statistic']}, {row['unit']}",
            _figure(row["value_baseline"], ",.1f"),
            _figure(row["value_current"], ",.1f"),
            _figure(row["change"], "+.3f"),
            _bounds(row["low"], row["high"], "+.3f"),
        )
        for row in rows
    ]
    head = ("Length", "Before", "Now", "Change, log2 (ks: gap)", "95 % interval")
    return ComparisonTable("Lengths of documents", head, tuple(cells))


def _turnover(rows: Sequence[Row]) -> ComparisonTable:
    cells = [
        (
            "all domains" if row["domain"] == ALL_DOMAINS else row["domain"],
            *(f"{row[name]:,}" for name in ("kept", "added", "removed", "moved_in", "moved_out")),
        )
        for row in rows[:LISTED_DOMAINS]
    ]
    head = ("Domain", "Kept", "Added", "Removed", "Moved in", "Moved out")
    note = _more(len(rows), LISTED_DOMAINS, "domains")
    return ComparisonTable("Documents kept, added and removed", head, tuple(cells), note)


def _others(rows: Sequence[Row]) -> ComparisonTable:
    cells = [
        (
            f"{row['statistic']} ({row['unit']})",
            _figure(row["value"], ".5f"),
            _figure(row["null_mean"], ".5f"),
            _bounds(row["null_low"], row["null_high"], ".5f"),
            _figure(row["p"], ".4f"),
        )
        for row in rows
    ]
    head = ("Distance", "Value", "By chance, mean", "By chance, 95 %", "p")
    note = (
        "Over a full vocabulary these distances are large for two samples of one source (PSI passes 0.25, TVD is "
        "mostly rare tokens): they stand here beside what chance gives, and are not to be judged by themselves."
    )
    return ComparisonTable("Other distances, all domains", head, tuple(cells), note)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _cell(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def visible(text: str) -> str:
    """A token with its spaces and line ends shown."""
    return text.replace(" ", "␣").replace("\n", "\\n").replace("\t", "\\t")
