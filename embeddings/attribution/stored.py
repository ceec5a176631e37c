"""Stored attributions of a unit's examples, for `lookup`: nothing is imported or read where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.schemas.units import Unit

FOLDER = ".attributions"
TOKENS = 3
"""Tokens of an example that are named."""


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
    return index_folder.parent / FOLDER / index_folder.name / str(unit.point)


def stored_shares(index: Index, unit: Unit, examples: Sequence[Example]) -> list[StoredShares | None]:
    """Of each example what its stored attribution says, of the newest file that has it; None where there is none."""
    folder = folder_of(index.folder, unit)
    paths = list(folder.glob(f"{unit.index}-*.parquet")) if folder.is_dir() else []
    shares: dict[tuple[int, int], StoredShares] = {}
    if paths:
        from corpus_audit.embeddings.attribution.methods.names import Method
        from corpus_audit.embeddings.attribution.results import read_attributions

        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):  # a newer one takes the place of an older
            stored = read_attributions(path)
            for example in stored[0] if stored is not None else ():
                method = str(stored[1]["method"]) if stored is not None else ""
                total = example.whole(Method(method))
                if example.window is None or total <= 0:
                    continue
                order = sorted(example.in_text.tolist(), key=lambda i: -float(example.attribution[i]))[:TOKENS]
                tokens = tuple((example.token_text(i), float(example.attribution[i]) / total) for i in order)
                shares[example.window, example.position] = StoredShares(method, tokens)
    return [shares.get((example.window, example.position)) for example in examples]
