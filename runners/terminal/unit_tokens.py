"""What ``lookup --tokens`` and ``--logits`` print: what a unit responds to on average, and what it writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.embeddings.lookup.token_means import LEAST, TokenMean, token_means
from corpus_audit.schemas.units import parse_unit

if TYPE_CHECKING:  # torch comes with it
    from corpus_audit.embeddings.unit_reading.logits import LogitEffect

LENGTHS = (1, 2, 3)
"""Tokens of the n-grams that are listed."""


def tokens_json(index: Index, unit: str, k: int, most: int, model: str | None) -> dict[str, Any]:
    """Tokens and n-grams with the highest mean activation, as plain values."""
    values = corpus_values(index, [parse_unit(unit)], most, model)
    return {
        "windows": len(values.windows),
        "share_of_windows": values.of_corpus,
        "exact": values.of_corpus == 1.0,
        "least_occurrences": LEAST,
        "ngrams": {str(n): [_mean_json(mean) for mean in token_means(index, values, 0, n, k)] for n in LENGTHS},
    }


def _mean_json(mean: TokenMean) -> dict[str, Any]:
    return {"ids": list(mean.ids), "text": mean.text, "count": mean.count, "mean": mean.mean, "highest": mean.highest}


def token_lines(tokens: dict[str, Any]) -> Iterator[str]:
    """Lines of `tokens_json` for a terminal."""
    part = (
        "all windows: exact" if tokens["exact"] else f"{tokens['share_of_windows']:.1%} of windows, by hash: estimates"
    )
    yield f"Mean activation on all occurrences in {part}; at least {tokens['least_occurrences']} occurrences"
    for n, means in tokens["ngrams"].items():
        yield f"{'token' if n == '1' else f'{n} tokens':34} {'mean':>9} {'highest':>9} {'occurrences':>12}"
        for mean in means:
            text = fit(safe_text(repr(mean["text"])), 34)
            yield f"{text} {mean['mean']:9.4f} {mean['highest']:9.4f} {mean['count']:12,}"


def logits_json(index: Index, unit: str, k: int, model: str | None) -> dict[str, Any]:
    """Tokens whose logits a unit raises and lowers most, as plain values."""
    from corpus_audit.embeddings.scan.encoder import open_model
    from corpus_audit.embeddings.unit_reading.logits import written_logits
    from corpus_audit.embeddings.unit_reading.unit_reader import source_vector

    address = parse_unit(unit)
    index.row_of(address)
    loaded = open_model(index.facts, index.folder, model, with_head=True)
    highest, lowest = written_logits(loaded, address, k, source_vector(index.facts, index.folder, address))
    return {"raised": _effects(highest), "lowered": _effects(lowest)}


def _effects(effects: Sequence[LogitEffect]) -> list[dict[str, Any]]:
    return [{"id": effect.id, "token": effect.token, "logit": effect.logit} for effect in effects]


def logit_lines(logits: dict[str, Any]) -> Iterator[str]:
    """Lines of `logits_json` for a terminal."""
    yield "Logits that it writes (its vector alone through final norm and unembedding; later blocks left out)"
    for name, effects in logits.items():
        listed = "  ".join(f"{safe_text(repr(effect['token']))} {effect['logit']:+.2f}" for effect in effects)
        yield f"{name:8} {listed or numbers.NONE}"
