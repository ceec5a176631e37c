"""What ``lookup`` prints: examples with their heat maps, and the unit by domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from corpus_audit.checks.report.escapes import safe_text
from corpus_audit.embeddings.index_files import facts_text
from corpus_audit.embeddings.reader import DomainRate, Example, Index
from corpus_audit.runners.heat_map import character_values, colours_of_terminal, heat_lines

LINES = 3
"""Lines of text of an example."""

DOMAINS = 6
"""Domains that are named."""


def summary_lines(index: Index, unit: str, examples: Sequence[Example], width: int, colour: bool) -> Iterator[str]:
    """Lines for a terminal of ``width`` columns; everything from the corpus made safe."""
    yield f"{unit}  {safe_text(facts_text(index.facts), width - len(unit) - 2)}"
    if not examples:
        yield "No example: the unit never fires above its floor there, or no value is in that range."
    yield from example_lines(examples, width, colour)
    yield ""
    yield from _domains(index.domain_rates(unit), width)


def example_lines(examples: Sequence[Example], width: int, colour: bool, peaks: bool = True) -> Iterator[str]:
    """Where each example is, and its text; with ``peaks`` coloured around its peak, else from its beginning."""
    colours = colours_of_terminal(colour)
    scale = max((abs(example.value) for example in examples), default=0.0)
    for example in examples:
        yield ""
        yield _head(example, width)
        if not peaks:
            plain = np.zeros(len(example.text))
            yield from (f"  {line}" for line in heat_lines(example.text, plain, (0, 0), 0.0, width - 2, LINES, colours))
            continue
        heat = example.heat if example.heat is not None else _peak_only(example)
        values = character_values(len(example.text), example.starts, example.ends, heat)
        for line in heat_lines(example.text, values, example.peak, scale, width - 2, LINES, colours):
            yield f"  {line}"


def _head(example: Example, width: int) -> str:
    place = example.places[0] if example.places else None
    if place is None:
        return f"{example.value:8.3f}"
    also = f" and {len(example.places) - 1} more" if len(example.places) > 1 else ""
    name = place.id if place.id is not None else f"{place.shard} row {place.row}"
    return safe_text(f"{example.value:8.3f}  {place.domain}  {name}{also}", width)


def _peak_only(example: Example) -> np.ndarray:
    heat = np.zeros(len(example.starts))
    heat[example.position] = example.value
    return heat


def _domains(found: Sequence[DomainRate], width: int) -> Iterator[str]:
    yield f"{'Domain':24} {'fires':>8}  {'95 % interval':18} {'mean':>8}"
    for one in found[:DOMAINS]:
        low_high = (
            f"[{one.rate_interval[0]:.2%}, {one.rate_interval[1]:.2%}]" if one.rate_interval else "too few documents"
        )
        yield f"{safe_text(one.domain, 24):24} {one.rate:8.2%}  {low_high:18} {one.mean:8.4f}"[:width]
    if len(found) > DOMAINS:
        yield f"and {len(found) - DOMAINS} domains more"


def example_json(example: Example) -> dict[str, Any]:
    """An example as plain values."""
    start, end = example.peak
    return {
        "rank": example.rank,
        "value": example.value,
        "window": f"{example.window:016x}",
        "position": example.position,
        "peak": [example.text_start + start, example.text_start + end],
        "text": example.text,
        "text_start": example.text_start,
        "heat": None if example.heat is None else [round(float(value), 5) for value in example.heat],
        "tokens": [[int(start), int(end)] for start, end in zip(example.starts, example.ends, strict=True)],
        "places": [
            {"snapshot": p.snapshot, "shard": p.shard, "split": p.split, "row": p.row, "domain": p.domain, "id": p.id}
            for p in example.places
        ],
    }
