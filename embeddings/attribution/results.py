"""Files of attributions: Parquet with provenance, named by the digest of everything that decides their content.

They are beside the index, in ``.attributions/INDEX/POINT/``, and no part of it. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.embeddings.attribution.methods.names import FACTS, Method
from corpus_audit.embeddings.attribution.stored import folder_of
from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.tables.attribution_tables import ATTRIBUTIONS
from corpus_audit.schemas.units import Unit

_PROVENANCE = b"provenance"
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


def digest_of(provenance: dict[str, Any]) -> str:
    """The SHA-256 of the provenance of a result, hexadecimal."""
    return hashlib.sha256(strict_json.dumps(provenance)).hexdigest()


def result_path(index_folder: Path, unit: Unit, what: str, provenance: dict[str, Any]) -> Path:
    """The file of a result: beside the index, by point; its name holds the unit, the method and the digest."""
    return folder_of(index_folder, unit) / f"{unit.index}-{what}-{digest_of(provenance)[:16]}.parquet"


def write_table(path: Path, table: pa.Table, provenance: dict[str, Any]) -> None:
    """Write a result's table with its provenance in the schema's metadata, atomically."""
    metadata = {**(table.schema.metadata or {}), _PROVENANCE: strict_json.dumps(provenance)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with AtomicFile(path) as file:
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd", write_page_checksum=True)
        file.write(sink.getvalue())


def read_table(path: Path, schema: pa.Schema) -> tuple[pa.Table, dict[str, Any]] | None:
    """A result's table and its provenance; None if there is no such file, or it is damaged or of another version."""
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        provenance = strict_json.loads((table.schema.metadata or {})[_PROVENANCE])
    except (OSError, pa.ArrowException, KeyError, strict_json.StrictJsonError):
        return None
    if not isinstance(provenance, dict) or not table.schema.equals(schema):
        return None
    return table, provenance


def write_attributions(path: Path, examples: Sequence[Attributed], provenance: dict[str, Any]) -> None:
    """Write attributions in the schema `ATTRIBUTIONS`."""
    rows = []
    for example in examples:
        rows.append({each.name: getattr(example, each.name) for each in fields(Attributed)})
    write_table(path, pa.Table.from_pylist(rows, ATTRIBUTIONS), provenance)


def read_attributions(path: Path) -> tuple[list[Attributed], dict[str, Any]] | None:
    """The attributions of a file and their provenance; None as for `read_table`."""
    stored = read_table(path, ATTRIBUTIONS)
    if stored is None:
        return None
    table, provenance = stored
    examples = []
    for row in table.to_pylist():
        examples.append(Attributed(**row | {name: np.array(row[name], kind) for name, kind in _LISTS.items()}))
    return examples, provenance


def attributed_json(example: Attributed) -> dict[str, Any]:
    """An attributed example as plain values; an error that is not finite is null."""
    values = asdict(example) | {name: getattr(example, name).tolist() for name in _LISTS}
    values["window"] = None if example.window is None else f"{example.window:016x}"
    values["document"] = None if example.document is None else example.document.hex()
    if example.completeness_error is not None and not np.isfinite(example.completeness_error):
        values["completeness_error"] = None
    return values
