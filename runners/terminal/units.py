"""What ``units`` prints of units that fire on a text, and of units that fire together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.coactivation.related import RelatedUnit
from corpus_audit.embeddings.lookup.text_units import TextUnit


def text_unit_lines(listed: Sequence[TextUnit], compared: int) -> Iterator[str]:
    """Units on a text as a table; everything from the text made safe."""
    yield f"Of {numbers.plural(compared, 'unit')}, those whose activation on the text is rarest in the corpus"
    yield f"{'Unit':17} {'activation':>10} {'of highest':>10} {'rank':>6} {'tokens as high':>14}  token"
    for unit in listed:
        share = numbers.NONE if unit.share_of_highest != unit.share_of_highest else f"{unit.share_of_highest:.0%}"
        rank = numbers.NONE if unit.rank is None else f"{unit.rank + 1:,}"
        token = fit(safe_text(unit.token), 16).rstrip()
        yield f"{unit.unit!s:17} {unit.value:10.3f} {share:>10} {rank:>6} {_tail(unit):>14}  {token}"
    yield "(rank: where it would stand in the unit's top list; tokens as high: share of the"
    yield " corpus's tokens in the same bin of the unit's histogram or a higher one)"


def _tail(unit: TextUnit) -> str:
    if not unit.tail:
        return f"< {1 / unit.tokens:.3%}" if unit.tokens else numbers.NONE
    return f"{unit.tail:.3%}"


def text_unit_json(unit: TextUnit) -> dict[str, Any]:
    """A unit on a text as plain values."""
    share = unit.share_of_highest
    return {
        "unit": str(unit.unit),
        "value": unit.value,
        "peak": [unit.start, unit.end],
        "token": unit.token,
        "share_of_highest": None if share != share else share,
        "rank": unit.rank,
        "tail": unit.tail,
        "histogram_tokens": unit.tokens,
    }


def related_lines(unit: str, listed: Sequence[RelatedUnit]) -> Iterator[str]:
    """Units that fire together with another as a table."""
    if not listed:
        yield f"no other unit's strongest examples are in the windows of {unit}'s"
        return
    yield f"Units whose strongest examples are those of {unit}, which has {listed[0].examples}"
    yield f"{'Unit':17} {'same token':>10} {'same window':>12}"
    for other in listed:
        yield f"{other.unit!s:17} {other.tokens:10} {other.windows:12}"
    yield "(of the lists of highest activations alone)"


def related_json(unit: RelatedUnit) -> dict[str, Any]:
    """A related unit as plain values."""
    return {"unit": str(unit.unit), "tokens": unit.tokens, "windows": unit.windows, "examples": unit.examples}
