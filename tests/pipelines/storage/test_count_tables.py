"""The laws of merging: associative, commutative, an identity, independent of how rows are split; exact or an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec

SUMS = TableSpec(
    (
        ("a", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("n", ColumnKind.SUM),
        ("squared", ColumnKind.SUM),
        ("squared_high", ColumnKind.WIDE_HIGH),
    )
)
FIRSTS = TableSpec(
    (
        ("a", ColumnKind.KEY),
        ("high", ColumnKind.TIE),
        ("low", ColumnKind.TIE),
        ("domain", ColumnKind.FIRST_DOMAIN),
        ("n", ColumnKind.FIRST),
        ("text", ColumnKind.BYTES),
    )
)
GROUPED = TableSpec((("cell", ColumnKind.CELL), ("groups", ColumnKind.GROUPS)))
KEPT = TableSpec(
    (("domain", ColumnKind.DOMAIN), ("a", ColumnKind.KEY), ("n", ColumnKind.SUM), ("text", ColumnKind.BYTES)),
    keep_per_domain=2,
)

KEYS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
Row = tuple[Any, ...]


def first_row(a: int, high: int, low: int) -> Row:
    """What is kept follows from the keys and ties, as it does for every measure."""
    return (a, high, low, (high + low) % 4, high * 3 + low, b"x" * (high + low))


ROWS = {
    SUMS: st.tuples(KEYS, st.integers(0, 3), st.integers(0, 2**50), st.integers(0, 2**32 - 1), st.integers(0, 2**50)),
    FIRSTS: st.builds(first_row, KEYS, st.integers(0, 3), st.integers(0, 3)),
    GROUPED: st.tuples(
        st.builds(lambda d, t: d << 32 | t, st.integers(0, 3), st.sampled_from([0, 1, 2**32 - 1])),
        st.dictionaries(st.integers(0, 63), st.integers(1, 2**40), max_size=5),
    ),
    KEPT: st.builds(lambda d, a, n: (d, a, n, b"%d" % a), st.integers(0, 3), KEYS, st.integers(0, 9)),
}


STARTS: dict[TableSpec, list[Any]] = {SUMS: [0, 0, 0], GROUPED: [{}]}
"""What sums start from."""


def table(spec: TableSpec, rows: Sequence[Row]) -> CountTable:
    """Rows as a table, in the order given."""
    columns: dict[str, Any] = {}
    for at, (name, kind) in enumerate(spec.columns):
        values = [row[at] for row in rows]
        if kind is ColumnKind.BYTES:
            columns[name] = pa.array(values, pa.large_binary())
        elif kind is ColumnKind.GROUPS:
            columns[name] = np.array([sum(1 << group for group in value) for value in values], np.uint64)
        else:
            columns[name] = np.array(values, count_tables.dtype_of(kind))
    counts = [row[-1][group] for row in rows for group in sorted(row[-1])] if spec.groups else None
    return CountTable(spec, columns, None if counts is None else np.array(counts, np.int64))


def rows_of(merged: CountTable) -> list[Row]:
    """The rows of a table, groups as dictionaries."""
    columns = [
        column.to_pylist() if isinstance(column, pa.Array) else column.tolist() for column in merged.columns.values()
    ]
    rows: list[Row] = list(zip(*columns, strict=True))
    if merged.counts is None:
        return rows
    counts = iter(merged.counts.tolist())
    return [(cell, {g: next(counts) for g in range(64) if mask >> g & 1}) for cell, mask in rows]


def expected(spec: TableSpec, rows: Sequence[Row]) -> list[Row]:
    """Merging in plain Python."""
    keys = len(spec.keys)
    merged: dict[Row, list[Any]] = {}
    for row in sorted(rows, key=lambda row: row[: len(spec.sort_columns)]):
        total = merged.setdefault(row[:keys], [*row[:keys], *STARTS[spec]] if spec in STARTS else list(row))
        if spec is SUMS:
            total[2] += row[2]
            wide = total[3] + (total[4] << 32) + row[3] + (row[4] << 32)
            total[3], total[4] = wide % 2**32, wide >> 32
        elif spec is GROUPED:
            total[1] = {g: total[1].get(g, 0) + row[1].get(g, 0) for g in sorted({*total[1], *row[1]})}
        elif spec is KEPT:
            total[2] = sum(other[2] for other in rows if other[:2] == row[:2])
    if spec is GROUPED:
        return [(cell, dict(sorted(groups.items()))) for cell, groups in map(tuple, merged.values())]
    out = [tuple(row) for row in merged.values()]
    if spec is KEPT:
        out = [row for domain in range(4) for row in [r for r in out if r[0] == domain][:2]]
    return out


@st.composite
def cases(draw: st.DrawFn) -> tuple[TableSpec, list[Row], list[int]]:
    spec = draw(st.sampled_from(list(ROWS)))
    rows = draw(st.lists(ROWS[spec], max_size=25))
    cuts = draw(st.lists(st.integers(0, len(rows)), max_size=4))
    return spec, rows, cuts


@settings(max_examples=200, deadline=None)
@given(cases())
def test_merging_equals_plain_python(case: tuple[TableSpec, list[Row], list[int]]) -> None:
    spec, rows, _ = case
    assert rows_of(merging.merge([table(spec, rows)])) == expected(spec, rows)


@settings(max_examples=200, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_merging_is_associative_commutative_and_split_invariant(
    case: tuple[TableSpec, list[Row], list[int]],
    random,  # type: ignore[no-untyped-def]
) -> None:
    spec, rows, cuts = case
    once = rows_of(merging.merge([table(spec, rows)]))
    parts = [merging.merge([table(spec, rows[a:b])]) for a, b in pairwise(sorted([0, *cuts, len(rows)]))]
    random.shuffle(parts)
    while len(parts) > 1:  # a random tree, the identity at any place
        parts.append(merging.merge([parts.pop(), count_tables.empty(spec), parts.pop(0)]))
    assert rows_of(parts[0]) == once
    assert rows_of(merging.merge([parts[0]])) == once
    shuffled = random.sample(rows, len(rows))
    assert rows_of(merging.merge([table(spec, shuffled)])) == once


@pytest.mark.parametrize("spec", list(ROWS))
def test_the_empty_table_is_the_identity(spec: TableSpec) -> None:
    assert rows_of(merging.merge([count_tables.empty(spec)] * 2)) == []


def test_rows_of_zeros_are_kept() -> None:
    rows = [(0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 0, 0)]
    assert rows_of(merging.merge([table(SUMS, rows)])) == rows[:2]


def test_of_rows_that_tie_in_everything_the_first_given_is_kept() -> None:
    rows = [(1, 5, 5, 0, 1, b"one"), (1, 5, 5, 0, 2, b"two"), (1, 5, 6, 0, 3, b"")]
    assert rows_of(merging.merge([table(FIRSTS, rows)])) == rows[:1]


def test_wide_sums_are_exact_far_past_int64() -> None:
    largest = 2**62
    low, high = count_tables.wide(np.array([2**63 - 1] * 1000))
    rows = [(0, 0, 1, int(a), int(b)) for a, b in zip(low, high, strict=True)]
    merged = merging.merge([merging.merge([table(SUMS, rows)])] * 1000)
    assert (int(merged.columns["squared_high"][0]) << 32) + int(merged.columns["squared"][0]) == 10**6 * (2**63 - 1)
    decimals = count_tables.wide_to_decimal(merged.columns["squared"], merged.columns["squared_high"])
    assert [int(value) for value in decimals.to_pylist()] == [10**6 * (2**63 - 1)]
    assert count_tables.wide(np.array([largest]))[1][0] == largest >> 32


@pytest.mark.parametrize("values", [[2**62, 2**62], [2**63 - 1, 1], [2**61] * 5, [-(2**62), -(2**62) - 1]])
def test_a_sum_past_64_bits_raises(values: list[int]) -> None:
    with pytest.raises(OverflowError):
        merging.merge([table(SUMS, [(0, 0, value, 0, 0) for value in values])])


def test_large_counts_of_different_keys_do_not_raise() -> None:
    rows = [(key, 0, 2**61, 0, 0) for key in range(9)] + [(0, 0, 5, 0, 0)]
    assert rows_of(merging.merge([table(SUMS, rows)]))[0][2] == 2**61 + 5


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**38 // 4), max_size=8))
def test_wide_to_decimal_equals_python(values: list[int]) -> None:
    values = [value % 2**94 for value in values]
    low = np.array([value % 2**32 for value in values], np.int64)
    high = np.array([value >> 32 for value in values], np.int64)
    assert [int(value) for value in count_tables.wide_to_decimal(low, high).to_pylist()] == values


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**63 - 1), max_size=8))
def test_wide_halves_add_up(values: list[int]) -> None:
    low, high = count_tables.wide(np.array(values, np.int64))
    assert [(int(h) << 32) + int(part) for part, h in zip(low, high, strict=True)] == values
    assert all(0 <= part < 2**32 for part in low)


def test_cells_round_trip() -> None:
    domain, number = np.array([0, 1, 2**31 - 1]), np.array([2**32 - 1, 0, 77])
    cell = count_tables.cells(domain, number)
    assert [part.tolist() for part in count_tables.split_cells(cell)] == [domain.tolist(), number.tolist()]
    assert cell.tolist() == [2**32 - 1, 2**32, ((2**31 - 1) << 32) + 77]


@settings(max_examples=100, deadline=None)
@given(cases(), st.sets(st.integers(0, 50), min_size=4, max_size=4))
def test_increasing_positions_keep_order_and_content(
    case: tuple[TableSpec, list[Row], list[int]], positions: set[int]
) -> None:
    spec, rows, _ = case
    positions = np.array(sorted(positions), np.int64)
    merged = merging.merge([table(spec, rows)])
    moved = count_tables.remap_domains(merged, positions)
    assert rows_of(merging.merge([moved])) == rows_of(moved)
    back = np.full(51, -1, np.int64)
    back[positions] = np.arange(4)
    assert rows_of(count_tables.remap_domains(moved, back)) == rows_of(merged)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=30))
def test_sort_order_is_the_stable_lexicographic_one(rows: list[tuple[int, ...]]) -> None:
    columns = [np.array([row[at] for row in rows], np.uint64) for at in range(3)]
    assert merging.sort_order(columns).tolist() == sorted(range(len(rows)), key=lambda i: rows[i])


def stream(merged: CountTable, cuts: Sequence[int], blanks: bool) -> Iterator[CountTable]:
    """A sorted table in chunks."""
    if blanks:
        yield count_tables.empty(merged.spec)
    for start, stop in pairwise(sorted({0, len(merged), *(cut % (len(merged) + 1) for cut in cuts)})):
        yield merged.slice(start, stop)
        if blanks:
            yield count_tables.empty(merged.spec)


@settings(max_examples=200, deadline=None)
@given(
    spec=st.sampled_from(list(ROWS)),
    data=st.data(),
    number=st.integers(0, 4),
    blanks=st.booleans(),
)
def test_streams_merge_as_tables_do(spec: TableSpec, data: st.DataObject, number: int, blanks: bool) -> None:
    """Any chunking, keys that several streams share at chunk borders, empty streams, one stream, none."""
    parts = [data.draw(st.lists(ROWS[spec], max_size=20)) for _ in range(number)]
    streams = []
    for rows in parts:
        cuts = data.draw(st.lists(st.integers(0, 30), max_size=6))
        streams.append(stream(merging.merge([table(spec, rows)]), cuts, blanks))
    chunks = list(merging.merge_streams(streams, spec))
    together = [row for chunk in chunks for row in rows_of(chunk)]
    assert together == expected(spec, [row for rows in parts for row in rows])
    if not spec.keep_per_domain:
        assert all(len(chunk) for chunk in chunks)


def test_a_stream_of_many_chunks_is_never_whole_in_memory() -> None:
    """While the first rows come out, each input has been read no further than a chunk or two."""
    read = [0, 0]

    def counted(which: int) -> Iterator[CountTable]:
        for number in range(100):
            read[which] = number
            yield table(SUMS, [(10 * number + k, 0, 1, 0, 0) for k in range(10)])

    wide = iter([table(SUMS, [(0, 0, 1, 0, 0), (5000, 0, 1, 0, 0)])])
    merged = merging.merge_streams([counted(0), counted(1), wide], SUMS)
    next(merged)
    assert max(read) <= 2
    assert sum(len(chunk) for chunk in merged) == 991
    assert read == [99, 99]


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 25), st.integers(0, 25))
def test_slices_and_concatenation(case: tuple[TableSpec, list[Row], list[int]], start: int, stop: int) -> None:
    spec, rows, _ = case
    rows = [row if spec is not GROUPED else (row[0], dict(sorted(row[1].items()))) for row in rows]
    start, stop = sorted((min(start, len(rows)), min(stop, len(rows))))
    whole = table(spec, rows)
    middle = whole.slice(start, stop)
    assert len(middle) == stop - start
    assert rows_of(middle) == rows[start:stop]
    together = count_tables.concatenate([whole.slice(0, start), middle, whole.slice(stop, len(rows))])
    assert rows_of(together) == rows
