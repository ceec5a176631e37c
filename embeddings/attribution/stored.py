"""Stored attributions of a unit's examples, for `lookup`: nothing is imported or read where there are none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.stored_results import results_folder
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.units import Unit

TOKENS = 3
"""Tokens of an example that are named."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredShares:
    """What a stored attribution says of an example.

    Attributes:
        method: the attribution's.
        tokens: the tokens of the largest attribution and their shares (`Attributed.whole`), largest first.
    """

    method: str
    tokens: tuple[tuple[str, float], ...]


def folder_of(index_folder: Path, unit: Unit) -> Path:
    """The folder of the results of a unit's point, beside the index."""
    return results_folder(index_folder, "attributions") / str(unit.point)


def attribution_files(index_folder: Path, unit: Unit) -> list[Path]:
    """Files of the attributions of a unit, by name; those of prototypes are not among them."""
    files = folder_of(index_folder, unit).glob(f"{unit.index}-*.parquet")
    return sorted(path for path in files if not path.name.startswith(f"{unit.index}-prototype-"))


def stored_shares(index: Index, unit: Unit, examples: Sequence[Example]) -> list[StoredShares | None]:
    """Of each example what its stored attribution says, of the newest file that has it; None where there is none."""
    shares: dict[tuple[int, int], StoredShares] = {}
    paths = attribution_files(index.folder, unit)
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):  # a newer one takes the place of an older
        shares |= _shares_of(path)
    return [shares.get((example.window, example.position)) for example in examples]


def _shares_of(path: Path) -> dict[tuple[int, int], StoredShares]:
    """What a file says of examples, by window and position; a file that cannot be read is logged and left out."""
    from corpus_audit.embeddings.attribution.methods.names import Method
    from corpus_audit.embeddings.attribution.results import load_attributions

    try:
        stored = load_attributions(path)
    except StoreError as error:
        _LOG.warning("corpus-audit: %s; `attribute` computes it again", error)
        return {}
    shares: dict[tuple[int, int], StoredShares] = {}
    for example in stored[0] if stored is not None else ():
        method = str(stored[1]["method"]) if stored is not None else ""
        total = example.whole(Method(method))
        if example.window is None or total <= 0:
            continue
        order = sorted(example.in_text.tolist(), key=lambda i: -float(example.attribution[i]))[:TOKENS]
        tokens = tuple((example.token_text(i), float(example.attribution[i]) / total) for i in order)
        shares[example.window, example.position] = StoredShares(method, tokens)
    return shares
