"""What ``attribute`` prints: heat maps of attributions, tokens and n-grams by domain, and the checks of the method."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.attribution.checks import CurveChecks, PermutedWeights, curve_checks, permuted_weights
from corpus_audit.embeddings.attribution.domains import Carrier, DomainAttribution
from corpus_audit.embeddings.attribution.methods.names import FACTS, SENSITIVE, Method, short_baseline
from corpus_audit.embeddings.attribution.results import Attributed, AttributionResult
from corpus_audit.embeddings.index.files import facts_text
from corpus_audit.embeddings.index.mapped_tables import DocumentLocation
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.pipelines.statistics.intervals.ratios import LEAST_CLUSTERS
from corpus_audit.runners.terminal.heat_map import LEVELS, paint
from corpus_audit.runners.terminal.lookup import View, example_lines

TOKENS, LOWEST, NGRAMS = 8, 2, 4
"""Tokens of the highest and of the lowest attribution that are listed, and n-grams."""

_BASELINES = {
    "mask": "every token replaced by the mask token",
    "mean": "every token replaced by the mean of all word embeddings",
    "zero": "every word embedding 0",
}


def attribution_lines(
    index: Index, unit: str, result: AttributionResult, domains: Sequence[DomainAttribution], view: View
) -> Iterator[str]:
    """Lines for a terminal: of each domain if there are any, else of each example; everything from the corpus safe."""
    method = Method(result.provenance["method"])
    snapshot = f"snapshot {index.facts.snapshot[:12]}  index {index.folder.name}"
    yield fit(f"{unit}  {safe_text(facts_text(index.facts))}", view.width).rstrip()
    yield fit(snapshot, view.width).rstrip()
    baseline = _BASELINES[result.provenance["baseline"]]
    about = f"{method}: {FACTS[method].about}. Baseline: {baseline}; special tokens around the text stay."
    yield from textwrap.wrap(about, view.width)
    lowest = bool(result.provenance["parameters"].get("lowest"))
    if lowest:
        about = "F is the negative of the activation: a token's value is by how much it lowers the unit's lowest one."
        yield from textwrap.wrap(about, view.width)
    if domains:
        for domain in domains:
            yield ""
            yield from _domain_lines(domain, view.width, lowest)
            if domain.documents < LEAST_CLUSTERS and domain.tokens and domain.tokens[0].share is not None:
                why = _why_no_intervals(index, domain, lowest)
                yield from textwrap.wrap(why, view.width, initial_indent="  ", subsequent_indent="  ")
    else:
        for example in result.examples:
            yield from _example_lines(example, method, view)
    yield ""
    yield from check_lines(result.examples, method, result.provenance, view.width)


def _example_lines(example: Attributed, method: Method, view: View) -> Iterator[str]:
    """One example: its text as a heat map of its attribution, and its tokens."""
    largest = float(np.abs(example.attribution).max())
    if view.colour and largest:
        steps = " ".join(paint(f" {share:.0%} ", level) for level, share in enumerate(LEVELS, 1))
        below = f" {paint(' below 0 ', -2)}" if example.attribution.min() <= -LEVELS[0] * largest else ""
        yield f"Share of the largest attribution, {largest:.4g}: {steps}{below} {paint('the peak', 0, peak=True)}"
    yield from example_lines([_as_example(example)], view, largest)
    yield ""
    if not example.attribution.any():
        yield "No token has an attribution other than 0."
        return
    order = sorted(example.in_text.tolist(), key=lambda i: (-float(example.attribution[i]), i))
    total = example.whole(method)
    yield f"{'Token':30} {'attribution':>11} {'share':>8}"
    highest = [i for i in order[:TOKENS] if example.attribution[i] > 0]
    lowest = [i for i in order[len(highest) :][-LOWEST:] if example.attribution[i] <= -LEVELS[0] * largest]
    for i in [*highest, *lowest]:
        value = float(example.attribution[i])
        share = numbers.percent(value / total) if total > 0 else numbers.NONE
        at = " (peak)" if i == example.position else ""
        yield f"{fit(_shown(example.token_text(i)) + at, 30)} {value:11.4f} {share:>8}"
    ends = f"F(x) {example.value:.4f}, F(b) {example.baseline_value:.4f}"
    yield f"{ends}; shares are of " + ("F(x) - F(b)" if FACTS[method].of_change else f"the sum of all, {total:.4f}")


def _as_example(example: Attributed) -> Example:
    """The attribution in the place of the activations, for the heat map."""
    at: tuple[DocumentLocation, ...] = ()
    if example.domain is not None and example.shard is not None and example.row is not None:
        at = (DocumentLocation("", example.shard, 0, example.row, example.domain, example.id),)
    return Example(
        rank=0,
        value=example.value,
        window=example.window or 0,
        number=0,
        position=example.position,
        text=example.text,
        text_start=example.text_start,
        starts=example.starts,
        ends=example.ends,
        heat=example.attribution,
        locations=at,
        tokens=example.tokens,
        counted=example.starts >= 0,
    )


def _shown(text: str) -> str:
    return safe_text(" ".join(text.split()) or repr(text))


def _why_no_intervals(index: Index, domain: DomainAttribution, lowest: bool) -> str:
    """Why a domain has no intervals, and what gives it some."""
    few = f"There are no intervals with fewer than {LEAST_CLUSTERS} documents"
    name, sizes = "minima" if lowest else "domain_k", index.facts.sizes
    if sizes[name] < LEAST_CLUSTERS:
        what = "lowest examples of a unit" if lowest else "examples of a unit in a domain"
        return f"{few}: the index lists {sizes[name]} {what}. Index with {name}: 20 for intervals."
    if domain.examples < LEAST_CLUSTERS and not lowest:
        return f"{few}: give --k {max(20, LEAST_CLUSTERS)}, unless the domain has no more examples."
    return f"{few}, and the list has examples of no more."


def _domain_lines(domain: DomainAttribution, width: int, lowest: bool) -> Iterator[str]:
    """A domain: the tokens and n-grams that carry the activation of its strongest examples."""
    what = "lowest example" if lowest else "strongest example"
    head = (
        f"{safe_text(domain.domain)}: {numbers.plural(domain.examples, what)} of "
        f"{numbers.plural(domain.documents, 'document')}, mean {'F' if lowest else 'activation'} {domain.value:.4g}, "
        f"of the baseline {domain.baseline_value:.4g}"
    )
    yield from textwrap.wrap(head, width)
    yield f"  {'Token':24} {'share, %':>8} {'95 % interval':16} {'an example':>10} {'times':>6} {'documents':>9}"
    yield from map(_carrier_line, domain.tokens[:TOKENS])
    ngrams = [carrier for carrier in domain.ngrams if carrier.mean > 0][:NGRAMS]
    if ngrams:
        yield f"  {'Tokens together':24}"
        yield from map(_carrier_line, ngrams)
    if domain.tokens and domain.tokens[0].share is None:
        yield "  What shares would be of is not above 0: there are none."


def _carrier_line(carrier: Carrier) -> str:
    share = numbers.NONE if carrier.share is None else f"{100 * carrier.share:.1f}"
    reach = ""
    if carrier.low is not None and carrier.high is not None:
        reach = f"[{100 * carrier.low:.1f}, {100 * carrier.high:.1f}]"
    counts = f"{carrier.occurrences:>6,} {carrier.documents:>9,}"
    return f"  {fit(_shown(carrier.text), 24)} {share:>8} {reach:16} {carrier.mean:10.4f} {counts}"


def check_lines(
    examples: Sequence[Attributed], method: Method, provenance: dict[str, Any], width: int
) -> Iterator[str]:
    """What was checked of the method on these examples, and what the method does not show."""
    parameters = provenance["parameters"]
    yield "Checks"
    text = short_baseline(float(provenance["baseline_length"]))
    if method is Method.INTEGRATED_GRADIENTS and text is not None:
        yield from textwrap.wrap(f"{'baseline':14}{text}", width, subsequent_indent=" " * 14)
    for label, text in _checks(examples, method, parameters):
        yield from textwrap.wrap(f"{label:14}{text}", width, subsequent_indent=" " * 14)
    yield from textwrap.wrap(f"{'Limits':14}{FACTS[method].caveat}", width, subsequent_indent=" " * 14)


def _checks(examples: Sequence[Attributed], method: Method, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "completeness", _completeness(examples, method, float(parameters["tolerance"]))
    curves, permuted = curve_checks(examples), permuted_weights(examples)
    if curves is not None:
        yield "deletion", _area(curves, curves.deletion, curves.deletion_beaten, "lower") + _of(curves, examples)
        yield "insertion", _area(curves, curves.insertion, curves.insertion_beaten, "higher") + _of(curves, examples)
    elif parameters["checked"]:
        yield "deletion", "not computed: the baseline has the same activation, or the text is a single token"
    if permuted is not None:
        text = (
            f"Spearman {permuted.block:.2f} with the permuted weights of the block, {permuted.blocks:.2f} of all "
            "blocks up to it"
        )
        if method is Method.SALIENCY and permuted.blocks > SENSITIVE:
            text += ": the map hardly depends on the weights and shows the text, not the unit"
        yield "randomisation", text + _of(permuted, examples)
    elif parameters["checked"]:
        yield "randomisation", "no correlation: an attribution is constant, or there are fewer than three tokens"
    if not parameters["checked"]:
        yield "not checked", "deletion, insertion and randomisation (--checked 0)"


def _of(checks: CurveChecks | PermutedWeights, examples: Sequence[Attributed]) -> str:
    return "" if len(examples) == 1 else f" (mean of {checks.examples} of {len(examples)} examples)"


def _completeness(examples: Sequence[Attributed], method: Method, tolerance: float) -> str:
    errors = [example.completeness_error for example in examples if example.completeness_error is not None]
    if method is Method.INTEGRATED_GRADIENTS and errors:
        good = sum(bool(example.converged) for example in examples)
        steps = max(example.steps or 0 for example in examples)
        what = f"error {max(errors):.1e}, at most {tolerance:g} is asked for, {steps} steps"
        if len(examples) == 1:
            return what if good else f"NOT CONVERGED: {what}"
        failed = "" if good == len(examples) else f"; NOT CONVERGED: {len(examples) - good}"
        return f"{good} of {len(examples)} examples converged{failed}; largest {what}"
    if method is Method.SALIENCY:
        return "none: lengths of gradients do not sum to the activation"
    total = float(np.mean([example.attribution.sum() for example in examples]))
    fall = float(np.mean([example.value - example.baseline_value for example in examples]))
    return f"none to expect: the values sum to {total:.4g}, and F(x) - F(b) is {fall:.4g}" + (
        "" if len(examples) == 1 else " (means)"
    )


def _area(curves: CurveChecks, area: float, beaten: int, better: str) -> str:
    """An area under a curve beside those of random orders."""
    return (
        f"area {area:.3f}; of {curves.orders} random orders, {beaten} have a {better} one "
        f"(mean {curves.random_mean:.3f}, {curves.random_low:.3f} to {curves.random_high:.3f})"
    )
