"""What ``trace --units`` prints: units that fire on the same words of a text and of training documents."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text

if TYPE_CHECKING:
    from corpus_audit.embeddings.lookup.shared_units import SharedUnit, SharedUnits


def shared_unit_lines(shared: SharedUnits, width: int) -> Iterator[str]:
    """Units as a table; everything from the corpus and the text made safe."""
    yield ""
    if not shared.windows:
        yield from textwrap.wrap("Units: no stored window of the activation index holds one of the spans shown", width)
        return
    windows, units = numbers.plural(shared.windows, "stored window"), numbers.plural(shared.in_documents, "unit")
    have = "has an example" if shared.in_documents == 1 else "have an example"
    yield from textwrap.wrap(
        f"Units: {windows} of the activation index {'holds' if shared.windows == 1 else 'hold'} a span; {units} {have} "
        f"that peaks in one, and {shared.on_both:,} of them fire on the same word of the text too",
        width,
    )
    if not shared.units:
        return
    yield f"{'Unit':16} {'text':>9} {'document':>9} {'rank':>5} {'as high':>9}  token, document"
    for unit in shared.units:
        token = fit(safe_text(" ".join(unit.token.split())), 12)
        high = numbers.percent(unit.tail, 2) if unit.tail else f"< {1 / max(unit.tokens, 1):.2%}"
        figures = f"{unit.value:9.3f} {unit.example:9.3f} {unit.rank + 1:>5,} {high:>9}"
        line = f"{unit.unit!s:16} {figures}  {token} {_document(unit)}"
        yield fit(line, width).rstrip()
    if shared.on_both > len(shared.units):
        yield f"and {shared.on_both - len(shared.units):,} more"
    yield from textwrap.wrap(
        "(text, document: activation there; rank: of the document's window among the unit's strongest examples; as "
        "high: share of the corpus's tokens with an activation as high as on the text. A unit that fires on both "
        "responds to these words; that the model learned them from this document does not follow)",
        width,
        subsequent_indent=" ",
    )


def _document(unit: SharedUnit) -> str:
    if not unit.locations:
        return numbers.NONE
    first = unit.locations[0]
    return safe_text(first.id if first.id is not None else f"{first.shard} row {first.row}")


def shared_units_json(shared: SharedUnits) -> dict[str, Any]:
    """The units as plain values."""
    listed = []
    for unit in shared.units:
        places = [{"shard": p.shard, "split": p.split, "row": p.row, "domain": p.domain, "id": p.id}
                  for p in unit.locations]  # fmt: skip
        values = {name: value for name, value in asdict(unit).items() if name not in ("unit", "locations")}
        listed.append({"unit": str(unit.unit), **values, "documents": places})
    counts = {"windows": shared.windows, "in_documents": shared.in_documents, "on_both": shared.on_both}
    return {**counts, "units": listed}
