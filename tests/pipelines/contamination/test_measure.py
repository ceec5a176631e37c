"""The contamination measure keeps the laws of measures: whatever the batches, the order and the way of merging, the
same bytes; and the lists that it bounds keep the same rows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.contamination import measure as contamination
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.contamination.measure import Contamination, value_of_rank
from corpus_audit.pipelines.counting.blocks import BlockBuilder
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.base import Accumulator, merge_files
from corpus_audit.pipelines.storage import partials
from corpus_audit.pipelines.storage.partials import Partial, PartialReader, write_partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers
from corpus_audit.pipelines.tokens.verification import Verifier
from tests.oracle import Document
from tests.pipelines.contamination.making import Pages, benchmark, measure_of, pages_of
from tests.pipelines.making import batch_of, spec_of

ITEMS = [" ".join(f"{name}{i}" for i in range(28)) for name in ("red", "green", "blue")]
SOURCE = " ".join(f"source{i}" for i in range(40))

Row = tuple[str, str]
"""(text, domain)"""


@pytest.fixture(scope="module")
def measure(tokenization: Tokenization, tmp_path_factory: pytest.TempPathFactory) -> Contamination:
    folder = tmp_path_factory.mktemp("index")
    quiz, exam = benchmark(*ITEMS), benchmark(ITEMS[0], name="exam")
    return measure_of(tokenization, folder, quiz, exam)


@pytest.fixture(scope="module")
def decoys(tokenization: Tokenization, tmp_path_factory: pytest.TempPathFactory) -> Contamination:
    """Of a passage of `SOURCE`, and of passages that the rows share."""
    high, low = hash_documents(*reversed(text_buffers(pa.array([SOURCE, *ITEMS], pa.large_string()))))
    cut = [Decoy(int(h), int(lo), text[:150]) for h, lo, text in zip(high, low, [SOURCE, *ITEMS], strict=True)]
    folder = tmp_path_factory.mktemp("decoys")
    return measure_of(tokenization, folder, benchmark(*ITEMS), decoys=sorted(cut, key=lambda d: (d.high, d.low)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partials, "CHUNK_ROWS", 7)
    monkeypatch.setattr(contamination, "MATCHES", replace(contamination.MATCHES, keep_per_domain=3))


def written(path: Path, partial: Partial) -> bytes:
    write_partial(path, partial)
    return path.read_bytes()


def rows_of(seed: int, size: int) -> list[Row]:
    """Excerpts of the items with their words changed here and there, and copies of one text in several domains."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for _ in range(size):
        words = rng.choice([*ITEMS, SOURCE]).split()
        start = rng.randrange(20)
        part = words[start : start + rng.randrange(8, 40)]
        if rng.random() < 0.3:
            part[rng.randrange(len(part))] = "changed"
        text = rng.choice(["plain words", SOURCE, " ".join(part), " ".join(part), f"{' '.join(part)} {ITEMS[0]}"])
        rows += [(text, rng.choice(["web", "books", "code"])) for _ in range(rng.choice([1, 1, 2]))]
    return rows


@pytest.mark.parametrize("which", ["measure", "decoys"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=5), st.lists(st.integers(0, 40), max_size=4))
def test_any_division_gives_the_same_bytes(
    request: pytest.FixtureRequest,
    tokenization: Tokenization,
    folder: Path,
    which: str,
    seed: int,
    cuts: list[int],
    batches: list[int],
) -> None:
    measure: Contamination = request.getfixturevalue(which)
    rows = rows_of(seed, 14)

    def block(part: Sequence[Row], within: Sequence[int] = ()) -> Pages:
        texts, domains = zip(*part, strict=True)
        return pages_of(measure, tokenization, texts, domains, within)

    expected = written(folder / "whole", measure.merge([measure.count(block(rows))]))  # type: ignore[arg-type]
    shuffled = random.Random(seed + 1).sample(rows, len(rows))
    bounds = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    parts = [block(shuffled[a:b], batches) for a, b in itertools.pairwise(bounds)]
    counted = [measure.count(part) for part in parts]  # type: ignore[arg-type]
    assert written(folder / "once", measure.merge([measure.empty(), *counted])) == expected
    folded = measure.empty()
    for each in reversed(counted):
        folded = measure.merge([each, folded])
    assert written(folder / "left", folded) == expected
    files = []
    for i, each in enumerate(counted):
        files.append(folder / f"part-{i}")
        write_partial(files[-1], each)
    merge_files(measure, files, folder / "merged")
    assert (folder / "merged").read_bytes() == expected
    accumulator = Accumulator(measure, spill_rows=5)
    for part in parts:
        accumulator.add(part)  # type: ignore[arg-type]
        accumulator.spill(folder)
    accumulator.write(folder / "accumulated")
    assert (folder / "accumulated").read_bytes() == expected


def test_the_kept_documents_are_the_best(measure: Contamination, tokenization: Tokenization) -> None:
    """Of six documents the three that cover most of the text, with all their copies counted."""
    words = ITEMS[1].split()
    texts = [" ".join(words[: 10 + 3 * i]) for i in range(6)]
    pages = pages_of(measure, tokenization, [*texts, texts[5], texts[4]], ["web"] * 7 + ["books"])
    table = measure.merge([measure.count(pages)]).tables["matches"]  # type: ignore[arg-type]
    assert value_of_rank(table.columns["rank"]).tolist() == [25, 22, 19]
    assert table.columns["documents"].tolist() == [2, 2, 1]


def test_documents_count_once_a_benchmark(
    measure: Contamination, decoys: Contamination, tokenization: Tokenization
) -> None:
    """A document with three items of a benchmark is one document; a text of two benchmarks counts for both."""
    pages = pages_of(measure, tokenization, [" . ".join(ITEMS), ITEMS[2], SOURCE])
    tables = measure.count(pages).tables  # type: ignore[arg-type]
    assert tables["documents"].columns["benchmark"].tolist() == [0, 1]
    assert tables["documents"].columns["documents"].tolist() == [2, 1]
    assert not len(tables["copies"])
    own = decoys.count(pages_of(decoys, tokenization, [SOURCE, "nothing", SOURCE])).tables  # type: ignore[arg-type]
    assert own["copies"].columns["documents"].tolist() == [2]
    assert not len(own["matches"])
    assert 3 not in tables["matches"].columns["text"].tolist()  # the decoy, in its own document


def test_no_documents(measure: Contamination, folder: Path) -> None:
    written(folder / "none", measure.empty())
    partial = PartialReader(folder / "none").partial(measure.tables())
    assert set(partial.tables) == set(measure.tables())


def test_the_key_tells_the_index(measure: Contamination, tokenization: Tokenization, tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    other = measure_of(tokenization, tmp_path, benchmark(*ITEMS[:2]))
    assert measure.settings(spec)["index"] != other.settings(spec)["index"]
    assert measure.settings_digest(spec) != other.settings_digest(spec)


def test_a_block_without_hits_is_refused(measure: Contamination, tokenization: Tokenization) -> None:
    pages = replace(pages_of(measure, tokenization, ["text"]), hits=None)
    with pytest.raises(ValueError, match="without a scanner"):
        measure.count(pages)  # type: ignore[arg-type]


def test_blocks_carry_the_hits(measure: Contamination, tokenization: Tokenization) -> None:
    """A builder with the scanner gives the evidence of the texts themselves, wherever its batches end."""
    rows = rows_of(5, 30)
    texts, domains = zip(*rows, strict=True)
    builder = BlockBuilder(0, 9, tokenization, Verifier(tokenization, 0, "shard"), False, measure.scanner)
    documents = [Document(text, f"id-{domain}-{text[:9]}", {"domain": domain}) for text, domain in rows]
    for part in (documents[:7], documents[7:8], documents[8:]):
        builder.add(batch_of(list(enumerate(part)), clustered=False))
    block = builder.take()
    assert block is not None
    counted = measure.count(block)
    expected = measure.count(pages_of(measure, tokenization, texts, domains))  # type: ignore[arg-type]
    assert counted.names == expected.names
    for name, table in expected.tables.items():
        assert len(table) > 0 or name == "copies", name
        for column, values in table.columns.items():
            assert counted.tables[name].columns[column].tolist() == values.tolist(), (name, column)
