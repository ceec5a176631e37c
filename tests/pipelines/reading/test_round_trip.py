"""Any documents, in any format and any division into splits, read back as they were written."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.reading.formats import splits
from corpus_audit.pipelines.reading.formats.lines import LongLine, read_lines
from corpus_audit.schemas.tables.run_tables import NO_VALUE
from tests.pipelines.reading.shard_files import SUFFIXES, json_lines, plan, read, shard_of, write, zstd, zstd_sized

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"text": TEXTS, "id": st.none() | TEXTS, "domain": st.none() | st.sampled_from(["", "a", "b", NO_VALUE])}
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, suffix=st.sampled_from(SUFFIXES), part=st.integers(1, 9), split_bytes=st.integers(1, 5000))
def test_documents_read_back(rows: list[dict[str, str | None]], suffix: str, part: int, split_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "shard" + suffix), rows, part)
        result = read(path, split_bytes=split_bytes)
        assert result.texts == [row["text"] for row in rows]
        assert result.ids == [row["id"] for row in rows]
        assert result.domains == [row["domain"] or NO_VALUE for row in rows]
        assert result.dead == {} and result.filtered == {}
        assert sum(tally.rows for tally in result.tallies) == len(rows)
        for index, tally in enumerate(result.tallies):
            assert [row for split, row in result.rows if split == index] == list(range(tally.rows))


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    end=st.sampled_from([b"", b"\n"]),
    cuts=st.lists(st.integers(0, 150), max_size=6),
    chunk=st.integers(1, 9),
    limit=st.integers(1, 12),
)
def test_every_line_belongs_to_one_part(
    lines: list[bytes], end: bytes, cuts: list[int], chunk: int, limit: int
) -> None:
    data = b"\n".join(lines) + end
    expected_lines = data.split(b"\n")[: -1 if data.endswith(b"\n") else None] if data else []
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    lines: list[bytes | LongLine] = []
    for start, stop in pairwise(bounds):
        part, rest = data[start:stop], data[stop:]
        pieces = [part[i : i + chunk] for i in range(0, len(part), chunk)]
        following = [rest[i : i + chunk] for i in range(0, len(rest), chunk)]
        for some in read_lines(pieces, following, start > 0, limit):
            lines += some
    assert [line.size if isinstance(line, LongLine) else line for line in lines] == [
        len(line.removesuffix(b"\r")) if len(line.removesuffix(b"\r")) > limit else line for line in expected_lines
    ]


def test_jsonl_splits_are_line_aligned_by_the_byte_that_starts_a_line(tmp_path: Path) -> None:
    rows = [{"text": "x" * (i % 5), "id": str(i)} for i in range(30)]
    path = write(tmp_path / "a.jsonl", rows)
    starts, position = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        starts.append(position)
        position += len(line)
    for split_bytes in range(1, 90):
        planned = plan(path, split_bytes)
        result = read(path, split_bytes=split_bytes)
        expected = [sum(split.start <= start < split.stop for start in starts) for split in planned.splits]
        assert [tally.rows for tally in result.tallies] == expected
        assert result.ids == [row["id"] for row in rows]


def test_zstd_frames_may_end_inside_lines(tmp_path: Path) -> None:
    rows = [{"text": "ä" * (i % 7), "id": str(i)} for i in range(40)]
    data = json_lines(rows)
    skippable = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"index"
    for size in (1, 13, 60, 999):
        path = tmp_path / f"{size}.jsonl.zst"
        frames = [zstd_sized(data[start : start + size]) for start in range(0, len(data), size)]
        path.write_bytes(skippable + b"".join(frames) + skippable)
        for split_bytes in (1, 30, 100, 10**6):
            assert read(path, split_bytes=split_bytes).ids == [row["id"] for row in rows]
    assert len(plan(tmp_path / "60.jsonl.zst", 100).splits) > 5


def test_zstd_frames_without_a_size_are_one_split(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstd(json_lines([{"text": "a"}])) * 3)
    planned = plan(path, 1)
    assert [(split.start, split.stop) for split in planned.splits] == [(0, path.stat().st_size)]
    assert read(path, split_bytes=1).texts == ["a"] * 3


def test_bounds_do_not_depend_on_name_or_memory_of_the_digest(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "id": None, "domain": "a"} for i in range(50)]
    for suffix in SUFFIXES:
        first, second = write(tmp_path / ("a" + suffix), rows), write(tmp_path / "deeper" / ("b" + suffix), rows)
        counts: list[int] = []
        planned = splits.plan_shard(shard_of(first), None, counts.append, 200)
        again = splits.plan_shard(shard_of(second), planned.sha256, lambda count: None, 200)
        assert planned.splits == again.splits and planned.sha256 == again.sha256
        assert planned.digest_computed and not again.digest_computed
        assert sum(counts) == first.stat().st_size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_hold_a_few_megabytes(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": f"{i:07d}" * 2000, "id": str(i), "domain": "a"} for i in range(1500)]
    rows[700]["text"] = "x" * 11_000_000
    path = write(tmp_path / ("a" + suffix), rows, part=5000)
    result = read(path)
    assert result.texts == [row["text"] for row in rows]
    sizes = [sum(len(text) for text in batch.text.to_pylist()) for batch in result.batches]
    assert max(sizes) < 16_000_000
    assert sum(size > 1_500_000 for size in sizes) >= 4
