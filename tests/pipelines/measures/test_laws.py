"""The laws that every measure must keep: whatever the blocks, the order and the way of merging, the same bytes.

After TFDV's ``assertCombinerOutputEqual``: one check over every measure, so that a new one is covered by being listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.measures import document_sample, minhash_sample, samples, tokens
from corpus_audit.pipelines.measures.base import Accumulator, Block, Measure, merge_files
from corpus_audit.pipelines.measures.records import Records
from corpus_audit.pipelines.measures.registry import ALWAYS
from corpus_audit.pipelines.measures.split_totals import SplitTotals
from corpus_audit.pipelines.storage import partials
from corpus_audit.pipelines.storage.partials import Partial, PartialReader, write_partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from tests import corpora
from tests.oracle import Document
from tests.pipelines.making import Numbered, block_of, pieces

MEASURES: tuple[Measure, ...] = (*ALWAYS, document_sample.DocumentSample(), Records(), SplitTotals())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, samples of a few texts, and half of all documents signed."""
    monkeypatch.setattr(partials, "CHUNK_ROWS", 7)
    monkeypatch.setattr(samples, "KEPT", 3)
    monkeypatch.setattr(samples, "SAMPLES", replace(samples.SAMPLES, keep_per_domain=3))
    monkeypatch.setattr(document_sample, "DOCUMENTS_KEPT", 3)
    monkeypatch.setattr(
        document_sample, "DOCUMENTS", replace(document_sample.DOCUMENTS, keep_per_domain=3, chunk_rows=5)
    )
    monkeypatch.setattr(minhash_sample, "SAMPLE_SHARE", 1 / 2)


def written(path: Path, partial: Partial) -> bytes:
    write_partial(path, partial)
    return path.read_bytes()


def merged_in_memory(measure: Measure, blocks: Sequence[Block], folder: Path) -> bytes:
    """All at once, and from the left, the identity first."""
    counted = [measure.count(block) for block in blocks]
    at_once = written(folder / "once", measure.merge(counted))
    left = measure.empty()
    for part in counted:
        left = measure.merge([left, part])
    assert written(folder / "left", left) == at_once
    return at_once


def merged_as_files(measure: Measure, blocks: Sequence[Block], folder: Path) -> bytes:
    """A tree of two at a time, the partial of no documents among them, at first place and last."""
    paths = []
    empty = [measure.empty()]
    for number, part in enumerate([*empty, *(measure.count(block) for block in blocks), *empty]):
        paths.append(folder / f"part-{number}")
        write_partial(paths[-1], part)
    sources = list(paths)
    merge_files(measure, sources, folder / "flat")
    number = 0
    while len(paths) > 1:
        number += 1
        merge_files(measure, [paths.pop(0), paths.pop(0)], folder / f"level-{number}")
        paths.append(folder / f"level-{number}")
    whole = (folder / "flat").read_bytes()
    assert paths[0].read_bytes() == whole
    check_tables_apart(measure, sources, folder)
    return paths[0].read_bytes()


def check_tables_apart(measure: Measure, sources: Sequence[Path], folder: Path) -> None:
    """Tables that different workers merge are those that one worker merges."""
    whole = PartialReader(folder / "flat").partial(measure.tables())
    apart = {}
    for group in measure.merged_apart():
        merge_files(measure, sources, folder / "apart", group)
        reader = PartialReader(folder / "apart")
        assert reader.names == whole.names
        apart |= {name: reader.table(name, measure.tables()[name]) for name in group}
    assert written(folder / "joined", Partial(whole.names, apart, whole.facts)) == (folder / "flat").read_bytes()


def accumulated(measure: Measure, blocks: Sequence[Block], folder: Path, spill_rows: int) -> bytes:
    """As a worker does it."""
    accumulator = Accumulator(measure, spill_rows)
    for block in blocks:
        accumulator.add(block)
        accumulator.spill(folder)
    accumulator.write(folder / "accumulated")
    assert list(folder.glob(f"{measure.name}-*")) == []
    return (folder / "accumulated").read_bytes()


def ways(measure: Measure, blocks: Sequence[Block], folder: Path) -> Iterator[tuple[str, bytes]]:
    yield "in memory", merged_in_memory(measure, blocks, folder)
    yield "as files", merged_as_files(measure, blocks, folder)
    yield "accumulated", accumulated(measure, blocks, folder, 10**9)
    yield "spilled at every block", accumulated(measure, blocks, folder, 0)
    yield "spilled at times", accumulated(measure, blocks, folder, 60)


def check(
    tokenization: Tokenization,
    documents: Sequence[Numbered],
    shuffled: Sequence[Numbered],
    cuts: Sequence[int],
    clustered: bool,
    folder: Path,
) -> None:
    whole = block_of(tokenization, documents, clustered=clustered)
    blocks = [block_of(tokenization, part, clustered=clustered) for part in pieces(shuffled, cuts)]
    for measure in MEASURES:
        expected = written(folder / "expected", measure.count(whole))
        for way, got in ways(measure, blocks, folder):
            assert got == expected, f"{measure.name}, {way}"
        assert PartialReader(folder / "expected").names == measure.count(whole).names


# An example is many files: a failing one is reported as it was found.
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    documents=corpora.documents(max_size=25),
    random=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 25), max_size=4),
    clustered=st.booleans(),
    group_cells=st.sampled_from([2**28, 64 * 600 * 2, 0]),
)
def test_any_blocks_in_any_order_merged_in_any_way(  # type: ignore[no-untyped-def]
    tokenization: Tokenization,
    folder: Path,
    documents: list[Document],
    random,
    cuts: list[int],
    clustered: bool,
    group_cells: int,
) -> None:
    """Copies of a text have ids of their own; hash groups are kept by domain, overall, or collapse on the way."""
    numbered = list(enumerate(documents))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "GROUP_CELLS", group_cells)
        check(tokenization, numbered, random.sample(numbered, len(numbered)), cuts, clustered, folder)


@pytest.mark.slow
def test_real_documents_with_copies(tokenization: Tokenization, folder: Path) -> None:
    documents = list(enumerate(corpora.with_duplicates(corpora.real_documents(0.4), share=0.3)))
    check(tokenization, documents, documents[::-1], [1, 9, 10, 40], True, folder)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_no_documents(measure: Measure, folder: Path) -> None:
    expected = written(folder / "expected", measure.empty())
    assert accumulated(measure, [], folder, 0) == expected
    merge_files(measure, [folder / "expected"] * 2, folder / "merged")
    assert (folder / "merged").read_bytes() == expected
    partial = PartialReader(folder / "merged").partial(measure.tables())
    assert {name: len(table) for name, table in partial.tables.items()} == dict.fromkeys(measure.tables(), 0)


def test_names_are_distinct_and_versions_count_from_1() -> None:
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    assert all(measure.version >= 1 for measure in MEASURES)


def test_a_source_that_is_named_twice_counts_twice(tokenization: Tokenization, folder: Path) -> None:
    part = list(enumerate(corpora.odd_documents(20)))
    block = block_of(tokenization, part)
    for measure in ALWAYS:
        write_partial(folder / "one", measure.count(block))
        merge_files(measure, [folder / "one"] * 2, folder / "two")
        table = next(iter(measure.tables()))
        spec = measure.tables()[table]
        once, twice = (PartialReader(folder / name).table(table, spec) for name in ("one", "two"))
        column = "count" if table == "cells" else "documents"
        assert (twice.columns[column] == 2 * once.columns[column]).all()
        assert len(once)
