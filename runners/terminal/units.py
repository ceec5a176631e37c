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


def related_lines(unit: str, listed: Sequence[RelatedUnit], of_images: bool = False) -> Iterator[str]:
    """Units that fire together with another as a table; names of image models' units are long, and stand last."""
    if not listed:
        of = "images are among" if of_images else "examples are in the windows of"
        yield f"no other unit's strongest {of} {unit}'s"
        return
    if of_images:
        yield f"Units whose strongest images are those of {unit}, which has {listed[0].examples}"
        yield f"{'same image':>10} {'same position':>14}  Unit"
        for other in listed:
            positions = numbers.NONE if other.positions is None else str(other.positions)
            yield f"{other.windows:10} {positions:>14}  {other.unit}"
        yield f"(of lists of highest activations; {numbers.NONE}: maps of another size, or one position)"
        return
    yield f"Units whose strongest examples are those of {unit}, which has {listed[0].examples}"
    yield f"{'Unit':17} {'same token':>10} {'same window':>12}"
    for other in listed:
        yield f"{other.unit!s:17} {other.positions:10} {other.windows:12}"
    yield "(of the lists of highest activations alone)"


def related_json(unit: RelatedUnit, of_images: bool = False) -> dict[str, Any]:
    """A related unit as plain values: shared tokens and windows, or positions and images."""
    names = ("positions", "images") if of_images else ("tokens", "windows")
    return {
        "unit": str(unit.unit),
        names[0]: unit.positions,
        names[1]: unit.windows,
        "examples": unit.examples,
    }
