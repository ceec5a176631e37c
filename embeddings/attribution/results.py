"""Files of attributions, beside the index in ``.attributions/INDEX/POINT/``; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.attribution.methods.names import FACTS, Method
from corpus_audit.embeddings.attribution.stored import folder_of
from corpus_audit.embeddings.index.stored_results import digest_of, load_table, read_table, write_table
from corpus_audit.schemas.tables.attribution_tables import ATTRIBUTIONS
from corpus_audit.schemas.units import Unit

_LISTS = {"tokens": np.int32, "starts": np.int32, "ends": np.int32, "attribution": np.float64}


@dataclass(frozen=True)
class Attributed:
    """One example with its attribution; the fields are the columns of `ATTRIBUTIONS`."""

    window: int | None
    document: bytes | None
    domain: str | None
    shard: str | None
    row: int | None
    id: str | None
    text: str
    text_start: int
    position: int
    value: float
    baseline_value: float
    tokens: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    attribution: np.ndarray
    steps: int | None = None
    completeness_error: float | None = None
    converged: bool | None = None
    deletion: float | None = None
    insertion: float | None = None
    random_areas: list[float] | None = None
    randomised_block: float | None = None
    randomised_all: float | None = None

    @property
    def in_text(self) -> np.ndarray:
        """Positions of the tokens that are part of the text, int64; special tokens around it are not."""
        return np.flatnonzero(self.starts >= 0)

    def whole(self, method: Method) -> float:
        """What shares are of: F(x) - F(b), or for methods whose values are no parts of it the sum of all values."""
        if FACTS[method].of_change:
            return self.value - self.baseline_value
        return float(self.attribution.sum())

    def token_text(self, position: int) -> str:
        """The text of a token, as it stands in the document."""
        return self.text[int(self.starts[position]) : int(self.ends[position])]


@dataclass(frozen=True)
class AttributionResult:
    """The attributions of one call.

    Attributes:
        examples: strongest first.
        provenance: everything that decides them; JSON.
        path: the file.
        cached: whether they were read from it and not computed.
    """

    examples: list[Attributed]
    provenance: dict[str, Any]
    path: Path
    cached: bool


def result_path(index_folder: Path, unit: Unit, what: str, provenance: dict[str, Any]) -> Path:
    """The file of a result: beside the index, by point; its name holds the unit, the method and the digest."""
    return folder_of(index_folder, unit) / f"{unit.index}-{what}-{digest_of(provenance)[:16]}.parquet"


def write_attributions(path: Path, examples: Sequence[Attributed], provenance: dict[str, Any]) -> None:
    """Write attributions in the schema `ATTRIBUTIONS`."""
    rows = []
    for example in examples:
        rows.append({each.name: getattr(example, each.name) for each in fields(Attributed)})
    write_table(path, pa.Table.from_pylist(rows, ATTRIBUTIONS), provenance)


def read_attributions(path: Path, provenance: dict[str, Any]) -> tuple[list[Attributed], dict[str, Any]] | None:
    """The attributions of a file and their provenance; None as for `stored_results.read_table`."""
    stored = read_table(path, ATTRIBUTIONS, provenance)
    return None if stored is None else (attributed_rows(stored.table), stored.provenance)


def load_attributions(path: Path) -> tuple[list[Attributed], dict[str, Any]] | None:
    """The attributions of a file, whatever they are of, and their provenance; None if there is no such file.

    Raises:
        StoreError: it is damaged, or of another version.
    """
    stored = load_table(path, ATTRIBUTIONS)
    return None if stored is None else (attributed_rows(stored.table), stored.provenance)


def attributed_rows(table: pa.Table) -> list[Attributed]:
    """The rows of a table in the schema `ATTRIBUTIONS`."""
    return [
        Attributed(**row | {name: np.array(row[name], kind) for name, kind in _LISTS.items()})
        for row in table.to_pylist()
    ]


def attributed_json(example: Attributed) -> dict[str, Any]:
    """An attributed example as plain values; an error that is not finite is null."""
    values = asdict(example) | {name: getattr(example, name).tolist() for name in _LISTS}
    values["window"] = None if example.window is None else f"{example.window:016x}"
    values["document"] = None if example.document is None else example.document.hex()
    if example.completeness_error is not None and not np.isfinite(example.completeness_error):
        values["completeness_error"] = None
    return values
