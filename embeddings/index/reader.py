"""Reading an activation index: a unit's examples with their text, tokens, heat map and documents.

Arrays and tables are memory-mapped, so that opening costs nothing; sizes are checked first (reading a truncated mapped
file kills the process), digests by `damaged_files`. Nothing here needs torch, numba or an engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.compact import LISTS
from corpus_audit.embeddings.index.examples import EMPTY, DomainRate, Example, Which, domain_rate
from corpus_audit.embeddings.index.files import IndexFacts, check_size, find_index, read_facts
from corpus_audit.embeddings.index.mapped_tables import DocumentLocation, DocumentTable, StoredWindow, WindowTable
from corpus_audit.embeddings.index.packed import UNIT_AXIS, PackedArray, read_packed
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.units import Point, Unit, check_exists, parse_point, parse_unit

__all__ = ["EMPTY", "DomainRate", "Example", "Index", "Which", "open_index"]


class Index:
    """An activation index that is open for reading; `open_index` opens one.

    Attributes:
        folder: the index's folder.
        facts: the content of its index.json.
        widths: by point, one more than the highest index of an indexed unit.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: IndexFacts = read_facts(folder)
        self._arrays: dict[str, np.ndarray] = {}
        self._packed: dict[str, PackedArray] = {}
        self._first: dict[Point, int] = {}
        self.widths: dict[Point, int] = {}
        at = 0
        indices = self.array("indices")
        for text, size in self.facts.points:
            point = parse_point(text)
            self._first[point] = at
            self.widths[point] = int(indices[at : at + size].max()) + 1 if size else 0
            at += size
        self._sizes = dict(zip(self._first, (size for _, size in self.facts.points), strict=True))

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the order of the arrays."""
        return self.facts.domains

    def lookup(
        self,
        unit: str | Unit,
        *,
        which: Which = "top",
        domain: str | None = None,
        k: int = 20,
        per_document: int | None = None,
        between: tuple[float, float] | None = None,
    ) -> list[Example]:
        """Examples of a unit, best first.

        Args:
            unit: its address.
            which: the highest, the lowest, or samples across the range of its peaks (lowest bin first; of more than
                ``k``, evenly spaced ones).
            domain: the highest in this domain, from its own list.
            k: the number of examples at most.
            per_document: the number of examples of one document at most.
            between: only values from the first to the second, both included.

        Raises:
            UnitError: there is no such unit; the message says what exists.
            UsageError: there is no such domain, or no such list of it.
        """
        row = self.row_of(unit)
        examples: list[Example] = []
        of_document: dict[bytes, int] = {}
        heats = self._heats(row) if which != "minima" else {}
        for rank, value, window_row, position in self._slots(row, which, domain):
            if len(examples) == k and which != "samples":
                break
            if between is not None and not between[0] <= value <= between[1]:
                continue
            stored = self._windows.at(window_row)
            example, document = self._example(rank, value, stored, position, heats.get(window_row))
            of_document[document] = of_document.get(document, 0) + 1
            if per_document is None or of_document[document] <= per_document:
                examples.append(example)
        if len(examples) <= k:
            return examples
        return [examples[i] for i in np.linspace(0, len(examples) - 1, k).round().astype(int).tolist()]

    def _heats(self, row: int) -> dict[int, tuple[int, int]]:
        """Row and slot in the array ``heat`` by the window's row; only windows of the top list have heat maps."""
        if "arrays/heat.npy" not in self.facts.files:
            return {}
        return {window_row: (row, slot) for slot, window_row in enumerate(self.array("top.row")[row].tolist())}

    def row_of(self, unit: str | Unit) -> int:
        """The row of a unit in the arrays.

        Raises:
            UnitError: it is not indexed.
        """
        address = parse_unit(unit) if isinstance(unit, str) else unit
        check_exists(address, self.widths)
        first, size = self._first[address.point], self._sizes[address.point]
        indices = self.array("indices")[first : first + size]
        at = int(indices.searchsorted(indices.dtype.type(address.index)))  # of another type, it would copy them all
        if at == size or indices[at] != address.index:
            raise UsageError(f"{address} is not among the {size:,} units of {address.point} that were indexed")
        return first + at

    def rows_of(self, point: Point, indices: np.ndarray) -> np.ndarray:
        """Rows of those units of a point that are indexed, int64 ascending."""
        first, size = self._first[point], self._sizes[point]
        return first + np.flatnonzero(np.isin(self.array("indices")[first : first + size], indices))

    def units(self) -> Iterator[Unit]:
        """The indexed units, in the order of the rows."""
        indices = self.array("indices")
        for point, first in self._first.items():
            for index in indices[first : first + self._sizes[point]].tolist():
                yield Unit(point, index)

    def histogram(self, unit: str | Unit) -> np.ndarray:
        """Tokens by activation, int64 [bins], of one window in sixteen; edges by `histogram_edges`."""
        return np.array(self.of_unit("histogram", self.row_of(unit)), np.int64)

    def domain_rates(self, unit: str | Unit) -> list[DomainRate]:
        """The unit's rates in every domain with tokens, by mean activation descending."""
        row = self.row_of(unit)
        fired, total = (self.of_unit(name, row) for name in ("fired", "total"))
        tokens, documents = self.array("tokens"), self.array("documents")
        by_domain = [
            domain_rate(name, fired[d], total[d], tokens[d], int(documents[d]))
            for d, name in enumerate(self.domains)
            if tokens[d].sum()
        ]
        return sorted(by_domain, key=lambda rate: -rate.mean)

    def _slots(self, row: int, which: Which, domain: str | None) -> Iterator[tuple[int, float, int, int]]:
        if domain is not None and which != "top":
            raise UsageError("a domain has a list of its highest activations only")
        parts = "value", "row", "position"
        if domain is None:
            value, rows, position = (self.of_unit(f"{which}.{part}", row) for part in parts)
        else:
            if domain not in self.domains:
                raise UsageError(f"the index has no domain {domain!r}; it has {', '.join(self.domains)}")
            if not self.facts.sizes["domain_k"]:
                raise UsageError("the index was made without lists by domain (embedding.domain_k)")
            at = self.domains.index(domain), row
            value, rows, position = (self.array(f"domain.{part}")[at] for part in parts)
        if which == "samples":
            ranks = np.repeat(np.arange(value.shape[0]), value.shape[1])
        else:
            ranks = np.arange(value.shape[-1])
        sign = -1.0 if which == "minima" else 1.0
        empty = len(self._windows)
        for rank, number, window_row, peak in zip(
            ranks.tolist(), value.ravel().tolist(), rows.ravel().tolist(), position.ravel().tolist(), strict=True
        ):
            if window_row != empty:
                yield rank, sign * number, window_row, peak

    def _example(
        self, rank: int, value: float, stored: StoredWindow | None, position: int, heat: tuple[int, int] | None
    ) -> tuple[Example, bytes]:
        if stored is None:
            raise StoreError(f"{self.folder} lacks a window of an example: the index is damaged")
        heat_values = None
        if heat is not None:
            heat_values = self.array("heat")[heat][: len(stored.starts)].astype(np.float32)
        example = Example(
            rank=rank,
            value=value,
            window=stored.name,
            number=stored.number,
            position=position,
            text=stored.text,
            text_start=stored.text_start,
            starts=stored.starts,
            ends=stored.ends,
            heat=heat_values,
            locations=self._documents.locations(stored.document),
            tokens=stored.tokens,
            counted=stored.counted,
        )
        return example, stored.document

    def document_of(self, example: Example) -> bytes:
        """The key of an example's document.

        Raises:
            StoreError: its window is not stored.
        """
        return self.example_at(example.value, example.window, example.position, example.rank)[1]

    def example_at(self, value: float, window: int, position: int, rank: int) -> tuple[Example, bytes]:
        """An example of a stored window, without a heat map, and the key of its document.

        Raises:
            StoreError: the window is not stored.
        """
        return self._example(rank, value, self._windows.find(window), position, None)

    @cached_property
    def windows(self) -> pa.Table:
        """The stored windows, mapped; in the schema WINDOWS, but for lists of 16-bit numbers (`compact_windows`)."""
        return self._table("windows")

    @cached_property
    def window_names(self) -> np.ndarray:
        """Names of the stored windows, uint64 ascending."""
        names: np.ndarray = self.windows["window"].combine_chunks().to_numpy()
        return names

    @cached_property
    def documents(self) -> pa.Table:
        """Locations of documents, in the schema DOCUMENTS, mapped."""
        return self._table("documents")

    def locations(self, document: bytes) -> tuple[DocumentLocation, ...]:
        """Locations of the document of a key."""
        return self._documents.locations(document)

    def _table(self, name: str) -> pa.Table:
        path = check_size(self.folder, self.facts, f"{name}.arrow")
        try:
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} is damaged: {error}") from None

    @cached_property
    def _windows(self) -> WindowTable:
        return WindowTable(check_size(self.folder, self.facts, "windows.arrow"))

    @cached_property
    def _documents(self) -> DocumentTable:
        return DocumentTable(check_size(self.folder, self.facts, "documents.arrow"))

    def of_unit(self, name: str, row: int) -> np.ndarray:
        """The part of one unit of an array, without reading the others' if it is packed; ``row``: of the unit.

        Raises:
            StoreError: it is not there, or damaged.
        """
        if name not in UNIT_AXIS:
            part: np.ndarray = self.array(name)[row]
            return part
        try:
            return self._packed_array(name).of_unit(row)
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.folder / 'arrays' / name}.blocks is damaged: {error}") from None

    def _packed_array(self, name: str) -> PackedArray:
        if name not in self._packed:
            blocks, starts = (
                check_size(self.folder, self.facts, f"arrays/{name}.{kind}") for kind in ("blocks", "starts.npy")
            )
            try:
                self._packed[name] = read_packed(blocks, starts, name, self.facts.packed[name])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise StoreError(f"{blocks} is damaged: {error}") from None
        return self._packed[name]

    def array(self, name: str) -> np.ndarray:
        """An array of the index, mapped, or decompressed if it is packed; `FORMAT.md` lists their names.

        ``LIST.window`` too: names of the windows of a list, uint64, `EMPTY` in empty slots, made from their rows.

        Raises:
            StoreError: it is not there, or damaged.
        """
        if name not in self._arrays and name.removesuffix(".window") in LISTS:
            names = np.append(self.window_names, np.uint64(EMPTY))
            self._arrays[name] = names[self.array(name.removesuffix("window") + "row")]
        if name not in self._arrays and name in UNIT_AXIS:
            try:
                self._arrays[name] = self._packed_array(name).whole()
            except (OSError, ValueError) as error:
                raise StoreError(f"{self.folder / 'arrays' / name}.blocks is damaged: {error}") from None
        if name not in self._arrays:
            path = check_size(self.folder, self.facts, f"arrays/{name}.npy")
            try:
                # As a plain array: every index into a memmap makes another one, which takes microseconds.
                self._arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
            except (OSError, ValueError) as error:
                raise StoreError(f"{path} is damaged: {error}") from None
        return self._arrays[name]


def open_index(path: str | Path, snapshot: str | None = None) -> Index:
    """Open an index from its folder, or the newest index of a folder of indexes.

    Args:
        path: an index, or a folder of indexes.
        snapshot: open the newest index of this snapshot, as in `find_index`.

    Raises:
        UsageError: there is no such index.
        StoreError: it is damaged, or of another version.
    """
    return Index(find_index(Path(path), snapshot))
