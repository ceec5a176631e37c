"""What ``lookup`` prints: examples with their heat maps, the unit's histogram, and the unit by domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from corpus_audit.embeddings.index.bins import HISTOGRAM_ONE_IN, histogram_edges
from corpus_audit.embeddings.index.files import facts_text
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import DomainRate, Example, Index, Which
from corpus_audit.embeddings.lookup.compare_units import DENSE, firing
from corpus_audit.embeddings.lookup.explanations import explanations_of
from corpus_audit.runners.terminal.heat_map import LEVELS, PEAK_MARKS, character_values, heat_lines, paint
from corpus_audit.runners.terminal.scores import score_line

if TYPE_CHECKING:  # torch comes with it, and a lookup without --context does without
    from corpus_audit.embeddings.attribution.stored import StoredShares
    from corpus_audit.embeddings.unit_reading.receptive import ReceptiveField

LINES = 3
"""Lines of text of an example."""

DOMAINS = 6
"""Domains that are named."""

EXPLANATIONS = 3
"""Explanations that are shown."""

BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class View:
    """The terminal: its columns, and whether it has 256 colours."""

    width: int
    colour: bool


def summary_lines(
    index: Index,
    unit: str,
    examples: Sequence[Example],
    which: Which,
    view: View,
    fields: Sequence[ReceptiveField] = (),
    shares: Sequence[StoredShares | None] = (),
) -> Iterator[str]:
    """Lines for a terminal; everything from the corpus made safe."""
    yield fit(f"{unit}  {safe_text(facts_text(index.facts))}", view.width).rstrip()
    yield f"snapshot {index.facts.snapshot[:12]}  index {index.folder.name}"
    yield from _autoencoder(index, unit, view.width)
    for explanation in explanations_of(index, unit)[:EXPLANATIONS]:
        yield fit(f"said to be: {safe_text(' '.join(explanation.text.split()))}", view.width).rstrip()
        for score in explanation.scores:
            yield fit(f"  scored: {score_line(score)}", view.width).rstrip()
    extreme = index.lookup(unit, which="minima" if which == "minima" else "top", k=1)
    scale = extreme[0].value if extreme else 0.0
    if examples:
        yield from _key(examples, which, scale, view.colour)
        yield from example_lines(examples, view, scale, fields, shares)
    else:
        yield "No example: the unit never fires above its floor there, or no value is in that range."
    yield ""
    yield _density(index, unit)
    yield from _histogram(index.histogram(unit), view.width)
    yield ""
    yield from _domains(index.domain_rates(unit), view.width)


def _key(examples: Sequence[Example], which: Which, scale: float, colour: bool) -> Iterator[str]:
    """What the colours say."""
    end = "lowest" if which == "minima" else "highest"
    if not colour:
        yield f"{PEAK_MARKS[0]}{PEAK_MARKS[1]}: the token at the peak, whose activation stands in front"
        return
    heats = [example.heat for example in examples if example.heat is not None]
    sign = 1 if scale > 0 else -1
    steps = " ".join(paint(f" {share:.0%} ", sign * level) for level, share in enumerate(LEVELS, 1))
    opposite = any(np.nanmin(sign * heat) <= -LEVELS[0] * abs(scale) for heat in heats)
    beyond = " below 0 " if sign > 0 else " above 0 "
    other = f" {paint(beyond, -2 * sign)}" if opposite else ""
    yield f"Share of the unit's {end}, {scale:.4g}: {steps}{other} {paint('the peak', 0, peak=True)}"
    if which == "minima":
        yield "Values are before the activation function; only the peak's is stored."
    elif len(heats) < len(examples):
        yield "Where only the peak is coloured, --heat computes the other tokens' activations."


def example_lines(
    examples: Sequence[Example],
    view: View,
    scale: float | None,
    fields: Sequence[ReceptiveField] = (),
    shares: Sequence[StoredShares | None] = (),
) -> Iterator[str]:
    """Where each example is, and its text: around its peak, coloured by shares of ``scale``; plain if that is None."""
    for number, example in enumerate(examples):
        yield ""
        yield head_line(example, view.width)
        if scale is None:
            values, peak = np.zeros(len(example.text)), (0, 0)
        else:
            heat = example.heat if example.heat is not None else _peak_only(example)
            values, peak = character_values(len(example.text), example.starts, example.ends, heat), example.peak
        for line in heat_lines(example.text, values, peak, abs(scale or 0.0), view.width - 2, LINES, view.colour):
            yield f"  {line}"
        if fields:
            yield _field_line(example, fields[number], view.width)
        if shares and (attributed := shares[number]) is not None:
            yield _shares_line(attributed, view.width)


def _shares_line(attributed: StoredShares, width: int) -> str:
    """The tokens of the largest shares of a stored attribution."""
    tokens = ", ".join(
        f"{safe_text(' '.join(text.split()) or repr(text))} {numbers.percent(share, 0)}"
        for text, share in attributed.tokens
    )
    return fit(f"  {attributed.method}: {tokens}", width).rstrip()


def _field_line(example: Example, field: ReceptiveField, width: int) -> str:
    """What of an example keeps 90 % of the activation."""
    begin = max(int(example.starts[field.first]), 0)
    text = example.text[begin : int(example.ends[field.end - 1])]
    count = numbers.plural(field.end - field.first, "token")
    needs = f"  needs {'' if field.exact else 'at most '}{count} ({field.value:.3f}): "
    return fit(needs + safe_text(" ".join(text.split())), width).rstrip()


def head_line(example: Example, width: int) -> str:
    """An example's activation, domain, document and character."""
    origin = example.locations[0] if example.locations else None
    if origin is None:
        return f"{example.value:8.3f}"
    also = f" and {len(example.locations) - 1} more" if len(example.locations) > 1 else ""
    name = document_name(origin.id, origin.shard, origin.row)
    at = f"  character {example.text_start + max(example.peak[0], 0):,}{also}"
    front = f"{example.value:8.3f}  {fit(safe_text(origin.domain), 24).rstrip()}  "
    room = width - cell_width(front) - len(at)
    shown = safe_text(name)
    return f"{front}{shown if cell_width(shown) <= room else fit(shown, max(room, 8)).rstrip()}{at}"


def _peak_only(example: Example) -> np.ndarray:
    heat = np.zeros(len(example.starts))
    heat[example.position] = example.value
    return heat


def _autoencoder(index: Index, unit: str, width: int) -> Iterator[str]:
    """That the unit's autoencoder does not explain what it reads, where that is so."""
    name = unit.removeprefix("sae.").partition(":")[0] if unit.startswith("sae.") else None
    checked = (index.facts.autoencoders or {}).get(name or "")
    explained = None if checked is None else checked["explained_variance"]
    if checked is not None and explained is not None and explained < checked["least_explained"]:
        yield fit(f"warning: the autoencoder explains {explained:.1%} of the variance of its input", width).rstrip()


def _density(index: Index, unit: str) -> str:
    density = density_json(index, unit)
    if density["dead"]:
        return f"Dead: it fires on none of {numbers.plural(density['tokens'], 'token')}"
    dense = ", dense" if density["dense"] and not unit.startswith("head.") else ""
    return f"Fires on {density['share']:.3%} of {numbers.plural(density['tokens'], 'token')}{dense}"


def _histogram(counts: np.ndarray, width: int) -> Iterator[str]:
    """Tokens by activation as a row of bars, from the first bin that holds one to the last."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return
    first, last = int(filled[0]), int(filled[-1])
    heights = np.ceil(np.log1p(counts) / np.log1p(counts.max()) * (len(BARS) - 1)).astype(int)
    middle = len(counts) // 2
    bars = "".join(f"│{BARS[heights[i]]}│" if i == middle else BARS[heights[i]] for i in range(first, last + 1))
    edges = histogram_edges()
    low = f"{edges[first - 1]:.3g}" if first else f"< {edges[0]:.3g}"
    high = f"{edges[last]:.3g}" if last < len(edges) else f"> {edges[-1]:.3g}"
    yield f"Activations of {numbers.plural(int(counts.sum()), 'token')}, one window in {HISTOGRAM_ONE_IN}"
    yield f"  {low} {bars} {high}"
    around = "; │ │ is around 0" if first <= middle <= last else ""
    yield fit(f"  (a bar is half an octave, its height is logarithmic{around})", width).rstrip()


def _domains(rates: Sequence[DomainRate], width: int) -> Iterator[str]:
    yield f"{'Domain':20} {'mean':>9} {'95 % interval':20} {'fires on, %':>11} 95 % interval"
    for rate in rates[:DOMAINS]:
        mean = rate.mean_interval
        reach = numbers.NONE if mean is None else f"[{mean[0]:.4f}, {mean[1]:.4f}]"
        share = numbers.interval(*(rate.rate_interval or (None, None)))
        means = f"{fit(safe_text(rate.domain), 20)} {rate.mean:9.4f} {reach:20}"
        yield fit(f"{means} {numbers.percent_figure(rate.rate):>11} {share}", width).rstrip()
    if len(rates) > DOMAINS:
        yield f"and {len(rates) - DOMAINS} more of a lower mean"
    yield f"(fires on: share of tokens with an activation above 0; {numbers.NONE}: too few documents)"


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
        "heat": None if example.heat is None else _numbers(example.heat),
        "tokens": [[int(start), int(end)] for start, end in zip(example.starts, example.ends, strict=True)],
        "token_ids": example.tokens.tolist(),
        "token_texts": example.token_texts,
        "counted": example.counted.tolist(),
        "places": [
            {"snapshot": p.snapshot, "shard": p.shard, "split": p.split, "row": p.row, "domain": p.domain, "id": p.id}
            for p in example.locations
        ],
    }


def _numbers(heat: np.ndarray) -> list[float | None]:
    """Activations with the digits of a float32, as JSON, which has no NaN."""
    return [None if np.isnan(value) else float(f"{value:.7g}") for value in heat]


def density_json(index: Index, unit: str) -> dict[str, Any]:
    """On how many tokens of the corpus a unit fires; dead: on none; dense: on more than half."""
    share, tokens = firing(index, np.array([index.row_of(unit)]))
    return {"share": float(share[0]), "tokens": tokens, "dead": bool(share[0] == 0), "dense": bool(share[0] > DENSE)}


def histogram_json(index: Index, unit: str) -> dict[str, Any]:
    """Tokens of a unit by activation: lower edges of all bins but the first, and how many tokens are in each bin."""
    return {
        "windows_one_in": HISTOGRAM_ONE_IN,
        "edges": histogram_edges().tolist(),
        "tokens": index.histogram(unit).tolist(),
    }
