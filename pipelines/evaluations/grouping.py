"""Items of an evaluation by task, metric and filter, with one score an item: the mean over its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.schemas.errors import UsageError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


MOST_MEASURES = 20_000
"""Tasks times metrics times filters of an evaluation."""


class Measured(NamedTuple):
    """What is compared: a metric of a task, with the filter that extracted the answers."""

    task: str
    metric: str
    filter: str


@dataclass(frozen=True)
class Scores:
    """Scores of one metric of one task in one evaluation, an entry an item.

    A benchmark may hold a document twice: each occurrence in a file is an item of its own, in the order of the file.

    Attributes:
        keys: what items are paired by, strings [n]: the item, and which occurrence of it where there are several.
        item: the item, without the occurrence, strings [n].
        item_id: its id in the file, strings [n].
        prompt: hash of its prompt, strings [n], null where unknown.
        version: version of its task, strings [n], null where unknown.
        cluster: its cluster, strings [n], null where unknown.
        score: mean over its answers, float64 [n].
        answers: number of its answers, int64 [n].
        repeated: whether an item occurs more than once in a file.
        shared: items that are in more than one file.
        rows_item: position in ``keys`` of every answer, int64 [rows].
        rows_score: score of every answer, float64 [rows].
        rows_seed: code of the seed of every answer, int64 [rows].
    """

    keys: pa.Array
    item: pa.Array
    item_id: pa.Array
    prompt: pa.Array
    version: pa.Array
    cluster: pa.Array
    score: Floats
    answers: Integers
    repeated: bool
    shared: int
    rows_item: Integers
    rows_score: Floats
    rows_seed: Integers


def models_of(items: pa.Table) -> list[str]:
    """Models that the items name, sorted."""
    return sorted(name for name in pc.unique(items["model"].cast(pa.string())).to_pylist() if name)


def of_model(items: pa.Table, model: str | None, option: str, name: str) -> pa.Table:
    """The items of one model; items without a model belong to the only one that the others name.

    Args:
        items: a table with the schema `EVALUATION_ITEMS`.
        model: the model, or None if there is but one.
        option: the option that names the model, for messages.
        name: the evaluation, for messages.

    Raises:
        UsageError: there are several models and none is named, or the one that is named is not there.
    """
    models = models_of(items)
    if model is None:
        if len(models) > 1:
            shown = ", ".join(models[:8]) + (", …" if len(models) > 8 else "")
            raise UsageError(f"{name} holds {len(models)} models ({shown}): choose one with {option}")
        return items
    if model not in models:
        raise UsageError(f"{name} holds no model {model!r}; it holds {', '.join(models[:8]) or 'none with a name'}")
    return items if models == [model] else items.filter(pc.equal(items["model"].cast(pa.string()), model))


def _codes(column: pa.ChunkedArray) -> tuple[Integers, list[str]]:
    """Codes of a dictionary column, -1 where it is null, and the names."""
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, array.dictionary.to_pylist()


def rows_by(items: pa.Table, columns: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Integers]]:
    """Rows of a table with equal values in some of its dictionary columns, and these values, sorted by them."""
    if not items.num_rows:
        return
    combined = np.zeros(items.num_rows, dtype=np.int64)
    codes = []
    for column in columns:
        of_column, names = _codes(items[column])
        codes.append((of_column, names))
        # Renumbered after each column, so that the product of all columns' sizes cannot pass 64 bits.
        combined = np.unique(combined * (len(names) + 1) + of_column, return_inverse=True)[1].reshape(-1)
    order = np.argsort(combined, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(combined[order])) + 1)
    named = [(tuple(names[of_column[rows[0]]] for of_column, names in codes), rows) for rows in groups]
    yield from sorted(named, key=lambda group: group[0])


class ScoresByMeasure(Mapping[Measured, Scores]):
    """Scores of every task, metric and filter of an evaluation, made when they are asked for and not kept.

    So that of a million items only those of one measure are in memory twice.

    Raises:
        UsageError: there are more than `MOST_MEASURES`, as in a file that names another metric in every row.
    """

    def __init__(self, items: pa.Table) -> None:
        self._items = items
        self._rows = {Measured(*names): rows for names, rows in rows_by(items, Measured._fields)}
        if len(self._rows) > MOST_MEASURES:
            most = f"{MOST_MEASURES:,} can be compared"
            raise UsageError(f"an evaluation holds {len(self._rows):,} tasks, metrics and filters, and at most {most}")

    def __getitem__(self, measured: Measured) -> Scores:
        return scores_of(self._items, self._rows[measured])

    def __iter__(self) -> Iterator[Measured]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def scores_of(items: pa.Table, selected: Integers) -> Scores:
    """Scores of one measure.

    Args:
        items: a table with the schema `EVALUATION_ITEMS`.
        selected: its rows, int64 [rows].
    """
    rows = items.take(pa.array(selected))
    item, items = _codes(rows["item"].dictionary_encode())
    count = len(item)
    score = rows["score"].to_numpy()
    seed, _ = _codes(rows["seed"])
    occurrence = np.zeros(count, dtype=np.int64)
    shared = 0
    if len(items) < count:
        file, files = _codes(rows["file"])
        shared = int((np.bincount(np.unique(item * len(files) + file) // len(files)) > 1).sum())
        occurrence = _occurrences(item, file, rows["epoch"].to_numpy().astype(np.int64), seed)
    repeated = bool(occurrence.any())
    unit_of_row, first = item, np.arange(count)
    if len(items) < count:
        _, first, inverse = np.unique(
            item * (int(occurrence.max()) + 1) + occurrence, return_index=True, return_inverse=True
        )
        unit_of_row = inverse.reshape(-1)
    answers = np.bincount(unit_of_row)
    firsts = rows.select(["item", "item_id", "prompt_hash", "task_version", "cluster"]).take(pa.array(first))
    columns = [_array(firsts[name]) for name in firsts.column_names]
    keys = columns[0]
    if repeated:
        keys = pc.binary_join_element_wise(keys, pa.array(occurrence[first]).cast(pa.string()), "\x00")
    return Scores(
        keys=keys,
        item=columns[0],
        item_id=columns[1],
        prompt=columns[2],
        version=columns[3],
        cluster=columns[4],
        score=np.bincount(unit_of_row, weights=score) / answers,
        answers=answers,
        repeated=repeated,
        shared=shared,
        rows_item=unit_of_row,
        rows_score=score,
        rows_seed=seed,
    )


def _array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array of strings."""
    array = column.cast(pa.string()).combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks or [pa.array([], pa.string())])


def _occurrences(item: Integers, file: Integers, epoch: Integers, seed: Integers) -> Integers:
    """How often each row's item occurred before in the same file, epoch and seed, int64 [rows]."""
    order = np.lexsort((np.arange(len(item)), seed, epoch, file, item))
    parts = np.stack([item[order], file[order], epoch[order], seed[order]])
    new = np.r_[True, (np.diff(parts, axis=1) != 0).any(axis=0)]
    run = np.flatnonzero(new)
    within = np.arange(len(item)) - np.repeat(run, np.diff(np.r_[run, len(item)]))
    result = np.empty(len(item), dtype=np.int64)
    result[order] = within
    return result


def cluster_labels(label: pa.Array, item: pa.Array, repeated: bool) -> Integers | None:
    """Codes of the items' clusters, int64 [n]; None if every item is one of its own.

    Args:
        label: values of the cluster field, null where an item has none: it is then a cluster of its own.
        item: the items, without their occurrence.
        repeated: whether items occur more than once, which are one cluster where there is no field.
    """
    if label.null_count == len(label):
        if not repeated:
            return None
        label = item
    codes = pc.dictionary_encode(label).indices
    alone = pa.array(np.arange(len(label), dtype=np.int64) + len(label))
    return np.asarray(pc.coalesce(codes.cast(pa.int64()), alone).to_numpy(zero_copy_only=False), dtype=np.int64)
