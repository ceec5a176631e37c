"""What ``prototype`` prints: synthetic sequences that maximise a unit, beside its strongest examples of the corpus."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.attribution.prototype import PrototypeResult
from corpus_audit.embeddings.index.files import facts_text
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.runners.terminal.lookup import View, example_lines

LIMITS = (
    "A local search (greedy coordinate gradient, restarted): it finds a sequence with a high activation, not the "
    "highest one, mostly no natural text. It says what a unit can respond to, not what it has met in training; a "
    "higher activation than that of all examples is what a search is expected to find."
)


def prototype_lines(
    index: Index, unit: str, result: PrototypeResult, examples: Sequence[Example], view: View
) -> Iterator[str]:
    """Lines for a terminal; everything from the corpus and the tokenizer made safe."""
    yield fit(f"{unit}  {safe_text(facts_text(index.facts))}", view.width).rstrip()
    parameters = result.provenance["parameters"]
    yield fit(
        f"{numbers.plural(parameters['restarts'], 'restart')} of a search of sequences of "
        f"{numbers.plural(parameters['length'], 'token')}, seed {parameters['seed']}", view.width
    ).rstrip()  # fmt: skip
    yield ""
    yield "Synthetic: found by the search, no text of the corpus"
    for row in result.rows:
        text = f"{row['value']:8.3f}  {safe_text(' '.join(row['text'].split()))}"
        yield from textwrap.wrap(text, view.width, initial_indent="", subsequent_indent=" " * 10)
        again = "no token that counts" if row["text_value"] is None else f"{row['text_value']:.3f}"
        begin = "the best example's tokens" if row["start"] == "example" else row["start"]
        count = numbers.plural(row["iterations"], "iteration")
        how = f"(from {begin}, {count}; as text, tokenized again: {again})"
        yield from textwrap.wrap(how, view.width, initial_indent=" " * 10, subsequent_indent=" " * 10)
    yield ""
    yield "Of the corpus: the strongest examples"
    if not examples:
        yield "There is none: the unit never fires above its floor."
    scale = examples[0].value if examples else None
    yield from example_lines(examples, view, scale)
    yield ""
    yield from textwrap.wrap(f"Limits  {LIMITS}", view.width, subsequent_indent=" " * 8)
