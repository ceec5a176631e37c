"""What ``heads`` prints: scores of heads, what feeds induction heads, their evidence in the corpus, and ablations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.runners.terminal.attention import token_label
from corpus_audit.runners.terminal.heat_map import character_values, heat_lines
from corpus_audit.runners.terminal.lookup import View

Row = Mapping[str, Any]

EVIDENCE = 3
DOMAINS = 6
CIRCUITS = 4
SOURCES = 3

_ALL = "(all)"


def score_lines(rows: Sequence[Row], total: int) -> Iterator[str]:
    """Scores of the listed heads."""
    columns = ("prefix", "copying", "OV eig.", "previous", "duplicate", "first", "entropy")
    yield f"{'Head':12}" + "".join(f"{name:>9}" if name != "duplicate" else f"{name:>10}" for name in columns)
    for row in rows:
        yield (
            f"{row['head']:12}{row['prefix']:9.3f}{_signed(row['copying']):>9}{_signed(row['eigenvalues']):>9}"
            f"{row['previous']:9.3f}{row['duplicate']:10.3f}{row['first']:9.3f}{row['entropy']:9.2f}"
        )
    if total > len(rows):
        yield f"and {total - len(rows):,} more"
    if rows:
        yield f"(random tokens that repeat; prefix matching of even attention: {rows[0]['chance']:.3f})"


def _signed(value: float | None) -> str:
    return numbers.NONE if value is None else f"{value:+.3f}".replace("-", numbers.MINUS)


def circuit_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Which earlier heads feed each induction head."""
    heads = list(dict.fromkeys(row["head"] for row in rows))
    if not heads:
        return
    yield ""
    yield f"{'Induction head':15} {'earlier head':13} {'previous':>8} {'K-comp.':>8} {'random':>7}   prefix without it"
    for head in heads[:CIRCUITS]:
        for number, row in enumerate([row for row in rows if row["head"] == head][:SOURCES]):
            composition = None if row["composition"] is None else row["composition"] + row["random"]
            shown = numbers.NONE if composition is None else f"{composition:.3f}"
            random = numbers.NONE if row["random"] is None else f"{row['random']:.3f}"
            yield (
                f"{head if not number else '':15} {row['source']:13} {row['previous']:8.3f} {shown:>8} {random:>7}   "
                f"{row['prefix']:.3f} -> {row['without']:.3f}"
            )
    if len(heads) > CIRCUITS:
        yield f"and {len(heads) - CIRCUITS} more induction heads"


_QUERIES = {
    "previous": ("attention to the token before", "queries"),
    "duplicate": ("attention to earlier copies of a token", "copies"),
    "induction": ("attention to what followed earlier copies of a token", "copies"),
    "completing": ("attention to what comes next, where a pair repeats", "repeats"),
    "first": ("attention to the first position", "queries"),
    "entropy": ("entropy of the attention weights, in nats", "queries"),
}


def domain_lines(rows: Sequence[Row], head: str, measure: str = "completing") -> Iterator[str]:
    """A measure of a head by domain."""
    mine = [row for row in rows if row["head"] == head and row["measure"] == measure]
    if not mine:
        return
    what, queries = _QUERIES[measure]
    yield ""
    yield f"{head} in the corpus: {what}"
    yield f"  {'Domain':20} {f'{queries}, % of tokens':>20} {'mean':>10} {'95 % interval':15} {'even':>6}"
    for row in mine[: DOMAINS + 1]:
        share = row["queries"] / row["tokens"] if row["tokens"] else 0.0
        value = numbers.NONE if row["value"] is None else f"{row['value']:.3f}"
        reach = numbers.NONE if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        even = numbers.NONE if row["chance"] is None else f"{row['chance']:.3f}"
        name = "all" if row["domain"] == _ALL else safe_text(row["domain"])
        yield f"  {fit(name, 20)} {numbers.percent_figure(share):>20} {value:>10} {reach:15} {even:>6}".rstrip()
    if len(mine) > DOMAINS + 1:
        yield f"  and {len(mine) - DOMAINS - 1} more with fewer tokens"
    yield "  (even: of a head that attends evenly)"


def evidence_lines(index: Index, rows: Sequence[Row], head: str, view: View, count: int = EVIDENCE) -> Iterator[str]:
    """Windows of the corpus where a head attends to what came next behind an earlier copy."""
    mine = [row for row in rows if row["head"] == head][:count]
    if not mine:
        return
    yield ""
    yield f"{head} completes sequences of these training documents:"
    for row in mine:
        example, _ = index.example_at(row["mass"], row["window"], row["query"], row["rank"])
        starts, ends, text = example.starts, example.ends, example.text
        name = document_name(row["id"], row["shard"], row["row"])
        front = f"{row['mass']:8.1%}  {fit(safe_text(row['domain']), 20).rstrip()}  "
        at = f"  character {example.text_start + max(example.peak[0], 0):,}"
        room = max(8, view.width - cell_width(front) - len(at))
        shown = safe_text(name)
        yield ""
        yield f"{front}{shown if cell_width(shown) <= room else fit(shown, room).rstrip()}{at}"
        query, key = row["query"], row["key"]
        heat = np.zeros(len(starts))
        heat[key] = row["mass"]
        values = character_values(len(text), starts, ends, heat)
        for line in heat_lines(text, values, example.peak, 1.0, view.width - 2, 2, view.colour):
            yield f"  {line}"
        attends = token_label(text, int(starts[query]), int(ends[query]))
        target = token_label(text, int(starts[key]), int(ends[key]))
        yield fit(
            f"  at {attends} to {target}, {numbers.plural(query - key, 'token')} back, which comes next; "
            f"{numbers.plural(row['length'], 'token')} repeated",
            view.width,
        ).rstrip()


def ablation_lines(rows: Sequence[Row]) -> Iterator[str]:
    """What the loss is without heads."""
    first = rows[0]
    if first["loss"] is not None:
        yield (
            f"Loss, of {numbers.plural(first['tokens'], 'token')} in {numbers.plural(first['documents'], 'document')}: "
            f"{first['loss']:.3f} nats"
        )
    yield f"Loss, of repeats of random tokens: {first['repeat_loss']:.3f} nats"
    corpus = first["loss"] is not None
    yield (
        f"{'Without':19}"
        + (f"{'corpus':>10} {'95 % interval':20}" if corpus else "")
        + f"{'repeats':>10} 95 % interval"
    )
    for row in rows:
        heads = fit(row["heads"], 19)
        own = f"{_difference(row['difference']):>10} {_reach(row['low'], row['high']):20}" if corpus else ""
        repeats = f"{_difference(row['repeat_difference']):>10} {_reach(row['repeat_low'], row['repeat_high'])}"
        yield f"{heads}{own}{repeats}".rstrip()


def _difference(value: float | None) -> str:
    return numbers.NONE if value is None else f"{value:+.4f}".replace("-", numbers.MINUS)


def _reach(low: float | None, high: float | None) -> str:
    return numbers.NONE if low is None else f"[{_difference(low)}, {_difference(high)}]"
