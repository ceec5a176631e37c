"""Copies that a snapshot has beyond its baseline's number, taken from the counters of shared documents.

A shard is counted without knowing how many copies of a text the rest of the snapshot has, so `Shared` counts every copy
of a text that the baseline has. What is shared is only as many as both hold; the others were added.

1. `surplus_copies` compares, text by text, how many copies were counted as shared with how many are.
2. The token ids of these texts are read once more (`SurplusTexts`).
3. `SurplusCounters` are what their further copies came to in the token counters.
4. `without_surplus` writes the tables of `Shared` without them.

A text can also have been counted too seldom: where a shard of the baseline is there twice, its second copy counts as
new as a whole, also a text that the baseline has in another shard too. Then the number is negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.kernels.counters.counting import GROUPS
from corpus_audit.pipelines.measures.duplicates import HASHES
from corpus_audit.pipelines.measures.overlap.baseline_keys import documents_of
from corpus_audit.pipelines.measures.overlap.document_keys import Keys, document_keys, key_positions
from corpus_audit.pipelines.measures.overlap.shared import Shared
from corpus_audit.pipelines.measures.overlap.surplus_texts import TEXTS
from corpus_audit.pipelines.measures.tokens import CELLS, DOMAIN_GROUPS, OVERALL_GROUPS
from corpus_audit.pipelines.storage import count_tables
from corpus_audit.pipelines.storage.count_tables import CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import PartialReader, PartialWriter
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError

Integers = npt.NDArray[np.int64]

PENDING_CELLS = 2**22
"""Cells of texts that are collected before they are added up: about 200 MB."""


@dataclass(frozen=True)
class SurplusCopies:
    """T texts, and how many of their copies were counted as shared and are not.

    Attributes:
        high, low: uint64 [T], keys of `document_keys`, sorted by (high, low).
        copies: int64 [T], not 0.
    """

    high: Keys
    low: Keys
    copies: Integers

    def __len__(self) -> int:
        return len(self.copies)


def surplus_copies(
    profile: Profile, baseline: RunDirectory, measure: Shared, unshared: Sequence[Path]
) -> SurplusCopies:
    """Compare the copies that `Shared` counted with those that a snapshot and its baseline both have.

    Args:
        profile: of the snapshot.
        baseline: the run that it is compared with.
        measure: what counted the shared documents.
        unshared: partials of `Duplicates` of the shards of which the snapshot has more copies than the baseline, one
            for each further copy: nothing of them was counted as shared.

    Raises:
        StoreError: a table of the baseline cannot be read.
    """
    reader = profile.reader("duplicates", "hashes")
    pieces = [(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64))]
    for high, low, documents in _texts(reader):
        rows = np.flatnonzero(documents > 1)  # a text that is there once is not there more often than in the baseline
        rows = rows[measure.keys.holds_keys(high[rows], low[rows])]
        pieces.append((high[rows], low[rows], documents[rows]))
    high, low, copies = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    if not len(copies):
        return SurplusCopies(high, low, copies)
    order = np.lexsort((low, high))
    high, low, copies = high[order], low[order], copies[order]
    before = _copies_of(high, low, [documents_of(baseline)])
    counted = copies - _copies_of(high, low, (piece for path in unshared for piece in _texts(PartialReader(path))))
    surplus = counted - np.minimum(before, copies)
    other = surplus != 0
    return SurplusCopies(high[other], low[other], surplus[other])


def holds_texts(path: Path, texts: SurplusCopies) -> npt.NDArray[np.bool_]:
    """Which of the T texts a shard has, by its partial of `Duplicates`."""
    present = np.zeros(len(texts), bool)
    for high, low, _ in _texts(PartialReader(path)):
        at = key_positions(high, low, texts.high, texts.low)
        present[at[at >= 0]] = True
    return present


def _texts(reader: PartialReader) -> Iterator[tuple[Keys, Keys, Integers]]:
    """Keys and numbers of documents of the texts in a partial of `Duplicates`."""
    for chunk in reader.chunks("hashes", HASHES):
        columns = chunk.columns
        yield (*document_keys(columns["high"], columns["low"], columns["domain"], reader.names), columns["documents"])


def _copies_of(high: Keys, low: Keys, tables: Iterable[tuple[Keys, Keys, Integers]]) -> Integers:
    """How many documents the tables have of each of the sorted keys, int64 [T]."""
    copies = np.zeros(len(high), np.int64)
    for their_high, their_low, documents in tables:
        at = key_positions(their_high, their_low, high, low)
        np.add.at(copies, at[at >= 0], documents[at >= 0])
    return copies


@dataclass(frozen=True)
class SurplusCounters:
    """Token counters of the copies, over K cells of domain and token.

    Attributes:
        names: the domains that cells refer to.
        cell: uint64 [K], ascending.
        sums: int64 [4, K], as `CELLS` has them: count, documents, sum of squares, sum of products.
        group_cell: uint64 [R], the cell of every run of occurrences in one hash group; ascending, as are the groups.
        group: int64 [R]; group_count: int64 [R], the occurrences.
    """

    names: tuple[str, ...]
    cell: npt.NDArray[np.uint64]
    sums: Integers
    group_cell: npt.NDArray[np.uint64]
    group: Integers
    group_count: Integers

    @classmethod
    def of(cls, reader: PartialReader, texts: SurplusCopies, clustered: bool) -> SurplusCounters:
        """From a merged partial of `SurplusTexts`."""
        weights = _weights(reader, texts, clustered)
        cells, groups = _Sums(4), _Sums(1)
        for chunk in reader.chunks("texts", TEXTS):
            weight, weights = weights[: len(chunk)], weights[len(chunk) :]
            _add_texts(chunk, weight, cells, groups)
        cell, sums = cells.result()
        keys, occurrences = groups.result()
        return cls(reader.names, cell[:, 0], sums, keys[:, 0], keys[:, 1].astype(np.int64), occurrences[0])


def _weights(reader: PartialReader, texts: SurplusCopies, clustered: bool) -> Integers:
    """How many copies each row of the partial stands for, int64.

    Documents without clusters are in the group of their content hash, so that a text has one row. The copies of a
    clustered text are in the groups of their clusters; nothing says which of them the baseline has, and those of the
    highest groups count as new.
    """
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for chunk in reader.chunks("texts", TEXTS):
        columns = chunk.columns
        keys = document_keys(columns["high"], columns["low"], columns["domain"], reader.names)
        parts.append((key_positions(*keys, texts.high, texts.low), columns["documents"]))
    at, documents = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    copies: Integers = texts.copies[at]
    if not clustered:
        return copies
    # Rows of a text are neighbours, in the order of their groups: what is left after the groups behind a row is its.
    behind = np.cumsum(documents[::-1])[::-1] - documents
    last = np.flatnonzero(np.append(at[1:] != at[:-1], True))
    behind -= behind[last[np.searchsorted(last, np.arange(len(at)))]]
    weights: Integers = np.clip(copies - behind, 0, documents)
    return weights


class _Sums:
    """Adds up int64 values by keys of two uint64."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._values: list[Integers] = []

    def add(self, keys: npt.NDArray[np.uint64], values: Integers) -> None:
        """Add values [width, N] at keys [N, 2]."""
        self._keys.append(keys)
        self._values.append(values)
        if sum(map(len, self._keys)) > PENDING_CELLS:
            keys, values = self.result()
            self._keys, self._values = [keys], [values]

    def result(self) -> tuple[npt.NDArray[np.uint64], Integers]:
        """Distinct keys, ascending, and their sums."""
        keys = np.concatenate([np.empty((0, 2), np.uint64), *self._keys])
        values = np.concatenate([np.empty((self._width, 0), np.int64), *self._values], axis=1)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        keys, values = keys[order], values[:, order]
        starts = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1))[: len(keys)])
        if not len(starts):
            return keys, values
        return keys[starts], np.add.reduceat(values, starts, axis=1)


def _add_texts(chunk: CountTable, weight: Integers, cells: _Sums, groups: _Sums) -> None:
    """Add the counters of the texts of a chunk, each ``weight`` times."""
    columns = chunk.columns
    lengths = columns["tokens"]
    ids = columns["ids"]
    offsets = np.frombuffer(ids.buffers()[1], np.int64)[ids.offset : ids.offset + len(ids) + 1]
    total = int(lengths.sum())
    if not total:
        return
    data = np.frombuffer(ids.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    token = data.view(f"<u{len(data) // total}").astype(np.uint64)
    text = np.repeat(np.arange(len(chunk), dtype=np.uint64), lengths)
    occurring, count = np.unique((text << np.uint64(32)) | token, return_counts=True)
    text_of = (occurring >> np.uint64(32)).astype(np.int64)
    cell = count_tables.cells(columns["domain"][text_of], occurring & np.uint64(0xFFFFFFFF))
    times, length = weight[text_of], lengths[text_of]
    sums = np.array([times * count, times, times * count * count, times * count * length])
    cells.add(np.column_stack((cell, np.zeros_like(cell))), sums)
    groups.add(np.column_stack((cell, columns["group"][text_of])), sums[:1])


def without_surplus(profile: Profile, measure: Shared, surplus: SurplusCounters, folder: Path) -> Profile:
    """The profile with the tables of `Shared` less the counters of further copies; they are written to ``folder``.

    Raises:
        StoreError: the counters are larger than those of the shared documents.
    """
    files = dict(profile.files)
    for name, spec, subtract in (
        ("cells", CELLS, _cells_less),
        ("domain_groups", DOMAIN_GROUPS, _groups_less),
        ("overall_groups", OVERALL_GROUPS, _groups_less),
    ):
        reader = profile.reader(measure.name, name)
        part = _overall(surplus) if name == "overall_groups" else _in_names(surplus, reader.names)
        path = folder / f"{measure.name}-{name}-without-surplus"
        with PartialWriter(path, reader.names, reader.facts) as writer:
            writer.add(name, count_tables.empty(spec))
            for chunk in reader.chunks(name, spec):
                writer.add(name, subtract(chunk, part, spec))
        files[measure.name, name] = path
    return replace(profile, files=files)


def _in_names(surplus: SurplusCounters, names: Sequence[str]) -> SurplusCounters:
    """The counters with positions in other names, of which all of theirs are."""
    position = {name: at for at, name in enumerate(names)}
    remap = np.array([position.get(name, 0) for name in surplus.names], np.uint64)

    def cells(cell: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        domain, token = count_tables.split_cells(cell)
        return count_tables.cells(remap[domain], token) if len(cell) else cell

    return replace(surplus, names=tuple(names), cell=cells(surplus.cell), group_cell=cells(surplus.group_cell))


def _overall(surplus: SurplusCounters) -> SurplusCounters:
    """Occurrences by hash group, of all domains together; the cell is the token."""
    groups = _Sums(1)
    _, token = count_tables.split_cells(surplus.group_cell)
    groups.add(np.column_stack((token.astype(np.uint64), surplus.group.astype(np.uint64))), surplus.group_count[None])
    keys, occurrences = groups.result()
    return replace(surplus, group_cell=keys[:, 0], group=keys[:, 1].astype(np.int64), group_count=occurrences[0])


def _cells_less(chunk: CountTable, surplus: SurplusCounters, spec: TableSpec) -> CountTable:
    """Cells less those of the copies; one without documents is left out."""
    columns = dict(chunk.columns)
    at, rows = _matches(columns["cell"], surplus.cell)
    if not len(rows):
        return chunk
    for name, values in zip(("count", "documents", "squared", "product"), surplus.sums[:, at], strict=True):
        columns[name] = columns[name].copy()
        columns[name][rows] -= values
        if name in ("squared", "product"):
            # The low half is below 2^32 and stays so: what it lacks, or has too much, moves to the high half.
            carry = columns[name][rows] >> count_tables.LOW_BITS
            columns[name][rows] -= carry << count_tables.LOW_BITS
            columns[f"{name}_high"] = columns[f"{name}_high"].copy()
            columns[f"{name}_high"][rows] += carry
    _check(columns["count"], columns["documents"], columns["squared_high"], columns["product_high"])
    kept = columns["documents"] > 0
    return CountTable(spec, {name: column[kept] for name, column in columns.items()})


def _groups_less(chunk: CountTable, surplus: SurplusCounters, spec: TableSpec) -> CountTable:
    """Occurrences by hash group less those of the copies; a row without any is left out."""
    key = spec.keys[0]
    masks, counts = chunk.columns["groups"], chunk.counts
    assert counts is not None
    at, rows = _matches(chunk.columns[key], surplus.group_cell)
    if not len(rows):
        return chunk
    bits = np.unpackbits(np.ascontiguousarray(masks).view(np.uint8), bitorder="little").reshape(-1, GROUPS)
    row, group = np.nonzero(bits)
    runs = row * GROUPS + group
    theirs = rows * GROUPS + surplus.group[at]
    run = np.searchsorted(runs, theirs)
    counts = counts.copy()
    if (run >= len(runs)).any() or (runs[run] != theirs).any():
        raise StoreError(_TOO_MANY)
    counts[run] -= surplus.group_count[at]
    _check(counts)
    left = counts > 0
    masks = np.zeros(len(masks), np.uint64)
    np.bitwise_or.at(masks, row[left], np.uint64(1) << group[left].astype(np.uint64))
    kept = masks > 0
    return CountTable(spec, {key: chunk.columns[key][kept], "groups": masks[kept]}, counts[left])


def _matches(
    keys: npt.NDArray[np.uint64], sorted_keys: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions in ``sorted_keys`` that are among ``keys`` (distinct, ascending), and the row of each in ``keys``."""
    row = np.searchsorted(keys, sorted_keys)
    inside = row < len(keys)
    inside[inside] = keys[row[inside]] == sorted_keys[inside]
    return np.flatnonzero(inside), row[inside]


_TOO_MANY = "the counters of further copies are larger than those of the shared documents"


def _check(*columns: Integers) -> None:
    if any((column < 0).any() for column in columns):
        raise StoreError(_TOO_MANY)
