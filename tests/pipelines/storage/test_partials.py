"""Partial profiles on disk: round trips, equal bytes for equal content, and damage that is always found."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.storage import count_tables, merging, partials
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial, PartialReader, PartialWriter, merge_partials, write_partial
from corpus_audit.schemas.errors import StoreError

COUNTS = TableSpec((("cell", ColumnKind.CELL), ("n", ColumnKind.SUM), ("groups", ColumnKind.GROUPS)))
TEXTS = TableSpec(
    (
        ("key", ColumnKind.KEY),
        ("tie", ColumnKind.TIE),
        ("domain", ColumnKind.FIRST_DOMAIN),
        ("n", ColumnKind.FIRST),
        ("text", ColumnKind.BYTES),
    )
)
HOMES = TableSpec((("domain", ColumnKind.DOMAIN), ("key", ColumnKind.KEY), ("n", ColumnKind.SUM)))
SPECS = {"counts": COUNTS, "texts": TEXTS, "homes": HOMES}
ALL_NAMES = ["a", "b", "ä", "\U0001f642", "(none)", ""]
NAMES = st.lists(st.sampled_from(ALL_NAMES), unique=True, min_size=1, max_size=4)


@st.composite
def partial_of(draw: st.DrawFn) -> Partial:
    """A partial with merged tables; what rows of one key hold follows from names and keys."""
    names = tuple(sorted(draw(NAMES), key=str.encode))
    domain = st.integers(0, len(names) - 1)
    cells = draw(st.lists(st.tuples(domain, st.integers(0, 5), st.integers(0, 2**40)), max_size=12))
    masks = np.array([1 << token | 1 << 63 for _, token, _ in cells], np.uint64)
    counts = CountTable(
        COUNTS,
        {
            "cell": np.array([d << 32 | token for d, token, _ in cells], np.uint64),
            "n": np.array([n for *_, n in cells], np.int64),
            "groups": masks,
        },
        np.ones(int(np.bitwise_count(masks).sum()), np.int64),
    )
    drawn = draw(st.lists(st.tuples(st.integers(0, 2**64 - 1), domain), max_size=12))
    rows = [((key & ~7) + ALL_NAMES.index(names[d]), d) for key, d in drawn]
    texts = CountTable(
        TEXTS,
        {
            "key": np.array([key % 3 for key, _ in rows], np.uint64),
            "tie": np.array([key for key, _ in rows], np.uint64),
            "domain": np.array([d for _, d in rows], np.int64),
            "n": np.array([key % 1000 for key, _ in rows], np.int64),
            "text": pa.array([b"%d" % key for key, _ in rows], pa.large_binary()),
        },
    )
    homes = CountTable(
        HOMES,
        {
            "domain": np.array([d for _, d in rows], np.int64),
            "key": np.array([key % 5 for key, _ in rows], np.uint64),
            "n": np.ones(len(rows), np.int64),
        },
    )
    tables = {"counts": counts, "texts": texts, "homes": homes}
    facts = draw(st.sampled_from([{}, {"vocabulary": 7}]))
    return Partial(names, {name: merging.merge([table]) for name, table in tables.items()}, facts)


def bytes_of(partial: Partial, folder: Path) -> bytes:
    write_partial(folder / "p", partial)
    return (folder / "p").read_bytes()


def content(partial: Partial) -> Any:
    """A partial as plain values."""
    tables = {
        name: (
            {column: values.tolist() for column, values in table.columns.items()},
            None if table.counts is None else table.counts.tolist(),
        )
        for name, table in partial.tables.items()
    }
    return partial.names, tables, partial.facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("partials")


@settings(max_examples=60, deadline=None)
@given(partial=partial_of(), chunk_rows=st.sampled_from([1, 3, 65_536]))
def test_round_trip(folder: Path, partial: Partial, chunk_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partials, "CHUNK_ROWS", chunk_rows)
        first = bytes_of(partial, folder)
        reader = PartialReader(folder / "p")
        again = reader.partial(SPECS)
        assert content(again) == content(partial)
        assert {name: reader.rows(name) for name in SPECS} == {name: len(t) for name, t in partial.tables.items()}
        assert all(len(chunk) <= chunk_rows for name, spec in SPECS.items() for chunk in reader.chunks(name, spec))
        assert bytes_of(again, folder) == first


@settings(max_examples=60, deadline=None)
@given(partial=partial_of(), cuts=st.lists(st.integers(0, 12), max_size=5), chunk_rows=st.sampled_from([2, 5]))
def test_bytes_do_not_depend_on_how_rows_arrive(
    folder: Path, partial: Partial, cuts: list[int], chunk_rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partials, "CHUNK_ROWS", chunk_rows)
        with PartialWriter(folder / "pieces", partial.names, partial.facts) as writer:
            for name in sorted(partial.tables):
                table = partial.tables[name]
                bounds = sorted({0, len(table), *(min(cut, len(table)) for cut in cuts)})
                writer.add(name, table.slice(0, 0))
                for start, stop in zip(bounds, bounds[1:] or bounds, strict=False):
                    writer.add(name, table.slice(start, stop))
        assert (folder / "pieces").read_bytes() == bytes_of(partial, folder)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), partial=partial_of())
def test_a_flipped_bit_is_found(folder: Path, partial: Partial, data: st.DataObject) -> None:
    raw = bytearray(bytes_of(partial, folder))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    (folder / "damaged").write_bytes(raw)
    with pytest.raises(StoreError):
        PartialReader(folder / "damaged")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), partial=partial_of())
def test_a_cut_or_a_longer_file_is_found(folder: Path, partial: Partial, data: st.DataObject) -> None:
    raw = bytes_of(partial, folder)
    length = data.draw(st.integers(0, len(raw) - 1))
    for damaged in (raw[:length], raw[length + 1 :], raw + b"\0", raw + raw):
        (folder / "damaged").write_bytes(damaged)
        with pytest.raises(StoreError):
            PartialReader(folder / "damaged")


def test_every_single_bit_of_a_small_partial(folder: Path) -> None:
    raw = bytes_of(Partial(("a",), {"homes": count_tables.empty(HOMES)}), folder)
    silent = []
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / "damaged").write_bytes(damaged)
        try:
            PartialReader(folder / "damaged")
            silent.append(bit)
        except StoreError:
            pass
    assert silent == []


@pytest.mark.parametrize("raw", [b"", b"x", b"corpus-audit partial 0\n" + bytes(60)])
def test_something_else_is_no_partial(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "other").write_bytes(raw)
    with pytest.raises(StoreError, match="not a partial profile"):
        PartialReader(tmp_path / "other")
    with pytest.raises(StoreError, match="cannot read"):
        PartialReader(tmp_path / "absent")


def test_format_1_is_read_and_checked(folder: Path) -> None:
    """Stores and baselines of earlier versions end with SHA-256."""
    partial = Partial(
        ("a",),
        {
            "homes": CountTable(
                HOMES, {"domain": np.zeros(1, np.int64), "key": np.array([3], np.uint64), "n": np.array([7])}
            )
        },
        {"vocabulary": 5},
    )
    new = bytes_of(partial, folder)
    body = b"corpus-audit partial 1\n" + new[len(partials.MAGIC) : -32]
    path = folder / "format-1"
    path.write_bytes(body + hashlib.sha256(body).digest())
    reader = PartialReader(path)
    assert reader.table("homes", HOMES).columns["n"].tolist() == [7]
    assert (reader.names, reader.facts) == (("a",), {"vocabulary": 5})
    path.write_bytes(body + blake3(body).digest())
    with pytest.raises(StoreError, match="digest"):
        PartialReader(path)


def test_the_digest_is_blake3_of_all_that_precedes(folder: Path) -> None:
    raw = bytes_of(Partial(("a",), {"homes": count_tables.empty(HOMES)}), folder)
    assert raw[-32:] == blake3(raw[:-32]).digest()


def test_a_large_partial_is_mapped_and_checked(tmp_path: Path) -> None:
    rows = 300_000
    keys = np.random.default_rng(0).integers(0, 2**63, rows).astype(np.uint64)
    homes = {"domain": np.zeros(rows, np.int64), "key": np.sort(keys), "n": np.arange(rows)}
    write_partial(tmp_path / "p", Partial(("a",), {"homes": CountTable(HOMES, homes)}))
    assert (tmp_path / "p").stat().st_size > 2**20
    back = PartialReader(tmp_path / "p").table("homes", HOMES)
    assert all((back.columns[name] == column).all() for name, column in homes.items())
    raw = bytearray((tmp_path / "p").read_bytes())
    raw[len(raw) // 2] ^= 4
    (tmp_path / "p").write_bytes(raw)
    with pytest.raises(StoreError, match="digest"):
        PartialReader(tmp_path / "p")


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(partial_of(), min_size=1, max_size=5), random=st.randoms(use_true_random=False))
def test_merging_is_associative_and_commutative(folder: Path, parts: list[Partial], random) -> None:  # type: ignore[no-untyped-def]
    merged = bytes_of(merge_partials(parts), folder)
    assert merge_partials(parts).names == tuple(
        sorted({name for part in parts for name in part.names}, key=lambda name: name.encode())
    )
    rest = random.sample(parts, len(parts))
    while len(rest) > 1:
        rest.append(merge_partials([rest.pop(0), rest.pop()]))
    assert bytes_of(merge_partials(rest), folder) == merged
    none = Partial((), {name: count_tables.empty(spec) for name, spec in SPECS.items()})
    assert bytes_of(merge_partials([none, *parts, none]), folder) == merged


def test_a_table_that_only_some_have(folder: Path) -> None:
    home = CountTable(HOMES, {"domain": np.array([0]), "key": np.array([4], np.uint64), "n": np.array([9], np.int64)})
    with_it, without = Partial(("b",), {"homes": home}), Partial(("a",), {})
    for parts in ([with_it, without], [without, with_it]):
        merged = merge_partials(parts)
        assert merged.names == ("a", "b")
        assert merged.tables["homes"].columns["domain"].tolist() == [1]


def test_names_sort_as_bytes_do() -> None:
    assert partials.union_names([["\U0001f642", "\uffff"], ["z", "Z", "\uffff"]]) == ("Z", "z", "\uffff", "\U0001f642")
    assert partials.positions_in(["Z", "\U0001f642"], ["Z", "z", "\U0001f642"]).tolist() == [0, 2]


def test_an_exception_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), PartialWriter(tmp_path / "p", ()) as writer:
        writer.add("homes", count_tables.empty(HOMES))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_partial_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Partial((), {}).names = ("a",)  # type: ignore[misc]
