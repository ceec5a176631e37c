"""The sampling tables as lines for a terminal, at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import pyarrow as pa

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

WIDTH = 80
TOP = 10
"""Domains in the table; --json and --out have all."""

SIGNIFICANT = 0.05  # of q, the share of false findings among those that are named
TRAP = 0.01
"""Total variation from which reading weights in the wrong unit is worth a sentence."""

_NAME = 20
_CELL = 20
_A_BLOCK = (WIDTH - _NAME) // _CELL

Row = dict[str, Any]


def sampling_summary(name: str, run: str, tables: Mapping[str, pa.Table]) -> str:
    """The summary of the sampling tables; each line ends with a newline.

    Args:
        name: name of the corpus in the audit.
        run: name of the run.
        tables: those of `corpus_audit.pipelines.sampling.strategies_report.sampling_tables`.
    """
    strategies = tables["sampling_strategies"].to_pylist()
    domains: dict[str, list[Row]] = {}
    for row in tables["sampling"].to_pylist():
        domains.setdefault(row["strategy"], []).append(row)
    lines = [
        f"{safe_text(name, 50)}  run {safe_text(run, 24)}",
        *_head(strategies, next(iter(domains.values()))),
        "",
        *_compared(strategies),
        "",
        *_by_domain(domains),
        *_remarks(strategies),
    ]
    if "sampling_log_windows" in tables:
        logged = ("sampling_log_windows", "sampling_log_domains", "sampling_log_documents")
        lines += ["", *_log(*(tables[table].to_pylist() for table in logged))]
    return "".join(line.rstrip() + "\n" for line in lines)


def _head(strategies: list[Row], domains: list[Row]) -> Iterator[str]:
    first = strategies[0]
    unique = sum(row["unique_tokens"] for row in domains)
    count = sum(row["unique_tokens"] > 0 for row in domains)
    yield (
        f"{_tokens(first['budget'])} training tokens from {_tokens(unique)} unique ones in "
        f"{numbers.plural(count, 'domain')}"
    )
    if first["parameters"] is not None:
        yield (
            f"{_tokens(first['parameters'])} parameters: {_figure(first['tokens_per_parameter'])} tokens a parameter "
            f"(Chinchilla: 20), {first['flops']:.2g} FLOP"
        )


def _compared(strategies: list[Row]) -> Iterator[str]:
    yield _cells("Strategy", "drawn", "worth", "text seen", "domains", "most epochs")
    for row in strategies:
        most = f"{_figure(row['epochs_maximum'])} {safe_text(row['epochs_maximum_domain'], 40)}"
        yield _cells(
            safe_text(row["strategy"], 60),
            _tokens(row["allocated"]),
            _tokens(row["effective_tokens"]),
            numbers.percent(row["coverage"]),
            _figure(row["effective_domains"]),
            most,
        )


def _cells(name: str, drawn: str, worth: str, coverage: str, domains: str, most: str) -> str:
    figures = "".join(fit(text, width, True) for text, width in ((drawn, 9), (worth, 9), (coverage, 10), (domains, 9)))
    return fit(name, _NAME) + figures + "  " + fit(most, WIDTH - _NAME - 39)


def _by_domain(domains: dict[str, list[Row]]) -> Iterator[str]:
    names = list(domains)
    cells = {name: {row["domain"]: row for row in rows} for name, rows in domains.items()}
    largest = sorted(
        {domain for rows in cells.values() for domain in rows},
        key=lambda domain: (-max(rows[domain]["share"] for rows in cells.values() if domain in rows), domain),
    )
    for start in range(0, len(names), _A_BLOCK):
        block = names[start : start + _A_BLOCK]
        yield fit("Share, epochs", _NAME) + "".join(
            fit(safe_text(name, 60), _CELL - 1, True).rjust(_CELL) for name in block
        )
        for domain in largest[:TOP]:
            shown = (_share(cells[name].get(domain)) for name in block)
            yield fit(safe_text(domain, 60), _NAME) + "".join(fit(text, _CELL, True) for text in shown)
        if len(largest) > TOP:
            yield f"and {numbers.plural(len(largest) - TOP, 'domain')} more"
        yield ""


def _share(row: Row | None) -> str:
    if row is None:
        return numbers.NONE
    epochs = numbers.NONE if row["epochs"] is None else _figure(row["epochs"])
    return f"{numbers.percent(row['share'])} {epochs:>7}"


def _remarks(strategies: list[Row]) -> Iterator[str]:
    for row in strategies:
        name = safe_text(row["strategy"], 60)
        if row["unallocated"] > 0.0005 * row["budget"]:
            reason = safe_text(row["unallocated_reason"] or "", 200)
            yield from _paragraph(f"{name}: {_tokens(row['unallocated'])} tokens cannot be drawn: {reason}.")
        if row["kind"] == "weights" and (row["misread_distance"] or 0) >= TRAP:
            yield from _paragraph(
                f"{name}: a sampler that takes the weights for the other unit (documents or tokens) moves "
                f"{numbers.percent(row['misread_distance'])} of the training tokens to other domains."
            )
        if row["kind"] == "dsir":
            yield from _paragraph(
                f"{name}: estimated from {numbers.grouped(row['dsir_sample'])} documents; it brings the n-grams "
                f"{row['dsir_kl_reduction']:.3f} bits nearer to the target, and 1 % of the documents hold "
                f"{numbers.percent(row['dsir_top_weight'])} of the weight."
            )
    notes = dict.fromkeys(row["note"] for row in strategies if row["note"])
    for text in notes:
        yield from _paragraph(f"Note: {text}.")


def _log(windows: list[Row], domains: list[Row], documents: list[Row]) -> Iterator[str]:
    joint = [row for row in windows if row["domain"] == ALL_DOMAINS]
    overall = next(row for row in domains if row["domain"] == ALL_DOMAINS)
    first, last = joint[0]["first_step"], joint[-1]["last_step"]
    yield from _paragraph(
        f"The log: {numbers.grouped(overall['draws'])} documents, {_tokens(overall['tokens'])} tokens, steps "
        f"{numbers.grouped(first)} to {numbers.grouped(last)} in {numbers.plural(len(joint), 'window')}."
    )
    tested = [row for row in joint if row["q"] is not None]
    off = [row for row in tested if row["q"] <= SIGNIFICANT]
    if not tested:
        yield from _paragraph("- No window holds enough documents to test the mixture.")
    else:
        worst = max(tested, key=lambda row: (row["distance"], -row["window"]))
        yield from _paragraph(
            f"- The mixture differs from the intended one in {len(off)} of {len(tested)} tested windows (q <= 0.05); "
            f"the furthest is {numbers.percent(worst['distance'])} away (steps {numbers.grouped(worst['first_step'])} "
            f"to {numbers.grouped(worst['last_step'])})."
        )
    moved = [row for row in domains if row["q"] is not None and row["q"] <= SIGNIFICANT]
    for row in sorted(moved, key=lambda row: -abs(row["z"]))[:3]:
        yield from _paragraph(
            f"- {safe_text(row['domain'], 60)}: {numbers.percent(row['share'])} of the {row['unit']} where "
            f"{numbers.percent(row['intended'])} was intended."
        )
    for row in [row for row in domains if row["trend_q"] is not None and row["trend_q"] <= SIGNIFICANT][:3]:
        yield from _paragraph(
            f"- {safe_text(row['domain'], 60)}: its share moves with the steps, from "
            f"{numbers.percent(row['early_share'])} in the first half to {numbers.percent(row['late_share'])}."
        )
    both = [row for row in joint if row["both_move"]]
    if both:
        steps = ", ".join(numbers.grouped(row["first_step"]) for row in both[:5])
        yield from _paragraph(f"- Loss and mixture both jump at the windows that begin at steps {steps}.")
    if overall["never_drawn"] is not None:
        yield from _paragraph(
            f"- {numbers.grouped(overall['never_drawn'])} of {numbers.grouped(overall['documents'])} documents were "
            f"never drawn; the most one was drawn is {numbers.plural(overall['repeats_maximum'], 'time')}."
        )
    odd = [row for row in documents if row["p"] is not None and row["p"] <= 0.001]
    if odd:
        yield from _paragraph(
            f"- Drawn more often than chance allows: {len(odd)} of the {len(documents)} documents drawn most, first "
            f"{safe_text(odd[0]['document'], 60)} ({odd[0]['draws']} times)."
        )


def _paragraph(text: str) -> list[str]:
    # A figure stays on the line of its per cent sign.
    lines = wrap(text.replace(" %", "\u00a0%"), WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _tokens(value: float) -> str:
    return numbers.compact(round(value))


def _figure(value: float) -> str:
    """Three digits; no exponent."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}" if value >= 0.001 or value == 0 else "<0.001"
