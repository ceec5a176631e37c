"""What ``search`` prints of an index of images: the images nearest to a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import Example


def nearest_lines(examples: Sequence[Example], width: int) -> Iterator[str]:
    """Lines for a terminal, everything from the corpus made safe: cosine, domain, name and caption."""
    if not examples:
        yield "No image is left to compare with."
    for example in examples:
        origin = example.locations[0] if example.locations else None
        domain = safe_text(origin.domain) if origin else numbers.NONE
        name = safe_text(document_name(origin.id, origin.shard, origin.row)) if origin else f"{example.window:016x}"
        more = f" and {len(example.locations) - 1} more" if len(example.locations) > 1 else ""
        caption = f"  {safe_text(example.text)}" if example.text.strip() else ""
        yield fit(f"{example.value:8.3f}  {fit(domain, 24).rstrip()}  {name}{more}{caption}", width).rstrip()


def nearest_json(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """The images as plain values by name."""
    return [
        {
            "rank": example.rank, "value": example.value, "image": f"{example.window:016x}", "caption": example.text,
            "places": [asdict(location) for location in example.locations],
        }
        for example in examples
    ]  # fmt: skip
