"""datasets#6460 (a JSON array on one line read as one bad line) and gascity#5336 (a file's tail of zero bytes).

12,000 short rows and one shard that is a JSON array of 20,000 documents on one line came out COMPLETE with
"1 dead letter (0.008 %)", though 94 % of all bytes were lost. Right: no verdict. Loss is bounded in rows, in bytes and
by shard, and a shard of which nothing could be read is an error that says what it is.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.schemas.run.snapshot import ShardStatus
from corpus_audit.schemas.spec.audit import DocumentSpec, FilterClause, LimitsSpec
from tests.field.accounting import TEXT_ONLY, failed_rules, state_of, states_of


def rows(count: int, words: int = 3, start: int = 0) -> bytes:
    return b"".join(json.dumps({"text": f"row {start + i} " + "word " * words}).encode() + b"\n" for i in range(count))


def good_shards(folder: Path) -> list[Path]:
    paths = []
    for number in range(3):
        path = folder / f"good-{number}.jsonl"
        path.write_bytes(rows(4_000, start=4_000 * number))
        paths.append(path)
    return paths


def array_on_one_line(documents: int = 20_000) -> bytes:
    return json.dumps([{"text": f"document {i} " + "lost " * 20} for i in range(documents)]).encode()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (array_on_one_line(), "is a JSON array on one line; write one document per line"),
        (json.dumps([{"text": "a" * 50}] * 4_000, indent=1).encode(), "is a JSON array spread over several lines"),
        (json.dumps({"data": [{"text": "a"}] * 9}).encode(), "begins with an object with the keys 'data'"),
        (
            json.dumps({"text": "a" * 500}, indent=2).encode(),
            "is JSON spread over several lines; write one document per line",
        ),
        (b"\0" * 100_000, "begins with zero bytes"),
        (rows(50).decode().encode("utf-16"), "is UTF-16 text; write it as UTF-8"),
        (rows(50).decode().encode("utf-16-le"), "is UTF-16 text; write it as UTF-8"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "is an HTML page"),
        (b"<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code></Error>", "is XML"),
        (b"".join(json.dumps([i]).encode() + b"\n" for i in range(9)), "holds a JSON array on every line"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_shard_without_a_document_is_an_error_that_says_what_it_is(
    tmp_path: Path, data: bytes, what: str, packed: bool
) -> None:
    bad = tmp_path / ("bad.jsonl.gz" if packed else "bad.jsonl")
    bad.write_bytes(gzip.compress(data) if packed else data)
    states = states_of([*good_shards(tmp_path), bad])
    assert [state.status is ShardStatus.ERROR for state in states] == [False, False, False, True]
    failed = failed_rules(states)
    assert "bad.jsonl" in failed["coverage"] and what in failed["coverage"]
    assert "lost lost" not in failed["coverage"] and "NoSuchKey" not in failed["coverage"]  # never the text itself


@pytest.mark.parametrize("document_bytes", [64 * 2**20, 100_000])
def test_one_line_of_most_bytes_is_over_the_budget_of_bytes_and_of_its_shard(
    tmp_path: Path, document_bytes: int
) -> None:
    """The array is one of many rows of its shard: bad as JSON of another kind, or as too_large."""
    bad = tmp_path / "mixed.jsonl"
    array = array_on_one_line(3_000)
    bad.write_bytes(rows(4_000, start=12_000) + array + b"\n")
    reading = ReadSettings(DocumentSpec(), limits=LimitsSpec(document_bytes=document_bytes))
    states = states_of([*good_shards(tmp_path), bad], reading)
    total = sum(len(line) for state in states for line in Path(state.shard.path).read_bytes().splitlines())
    failed = failed_rules(states)
    assert set(failed) == {"dead_letter_budget", "shard_loss"}
    assert f"1 of 16,001 rows (0.006%), {len(array):,} of {total:,} bytes" in failed["dead_letter_budget"]
    assert "1 of 4 shards lost more than 10.0%" in failed["shard_loss"] and "mixed.jsonl" in failed["shard_loss"]
    assert set(failed_rules(states, dead_letter_share=1.0)) == set()  # whoever accepts it says so


def test_a_tail_of_zero_bytes_is_over_the_budget(tmp_path: Path) -> None:
    bad = tmp_path / "tail.jsonl"
    bad.write_bytes(rows(4_000) + b"\0" * 200_000)
    assert set(failed_rules(states_of([*good_shards(tmp_path), bad]))) == {"dead_letter_budget", "shard_loss"}


def test_what_is_empty_or_filtered_is_no_loss(tmp_path: Path) -> None:
    empty, blank, mark = tmp_path / "empty.jsonl", tmp_path / "blank.jsonl", tmp_path / "mark.jsonl"
    empty.touch()
    blank.write_bytes(b"\n \r\n")
    mark.write_bytes(b"\xef\xbb\xbf")
    assert failed_rules(states_of([*good_shards(tmp_path), empty, blank, mark])) == {}
    dropped = tmp_path / "dropped.jsonl"
    dropped.write_bytes(b'{"text": "a", "keep": false}\n' * 9)
    clause = FilterClause(name="kept", column="keep", op="not_null")
    kept = FilterClause(name="kept", column="keep", op="==", value=True)
    assert failed_rules(states_of([dropped], ReadSettings(DocumentSpec(), (clause,)))) == {}
    states = states_of([dropped], ReadSettings(DocumentSpec(), (kept,)))
    assert failed_rules(states) == {} and states[0].coverage is not None and states[0].coverage.filtered == {"kept": 9}


def _cut(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    return "a.jsonl", data[: rng.randrange(1, len(data))]


def _nul_tail(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    keep = rng.randrange(len(data))
    return "a.jsonl", data[:keep] + b"\0" * (len(data) - keep)


def _nul_hole(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    start, stop = sorted(rng.randrange(len(data)) for _ in range(2))
    return "a.jsonl", data[:start] + b"\0" * (stop - start) + data[stop:]


def _wrapped(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    lines = data.splitlines()
    first = rng.randrange(len(lines))
    return "a.jsonl", b"\n".join([*lines[:first], b"[" + b",".join(lines[first:]) + b"]"])


def _renamed(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    return rng.choice([("a.jsonl", gzip.compress(data)), ("a.jsonl.gz", data), ("a.parquet", data)])


DAMAGES: list[Callable[[bytes, random.Random], tuple[str, bytes]]] = [_cut, _nul_tail, _nul_hole, _wrapped, _renamed]


@settings(deadline=None, max_examples=60)
@given(
    damages=st.lists(st.sampled_from(DAMAGES), max_size=3),
    good=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    limit=st.sampled_from([0.0001, 0.01, 0.2]),
    by_shard=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_every_lost_byte_is_within_the_stated_budgets_or_the_run_fails(
    damages: list[Callable[[bytes, random.Random], tuple[str, bytes]]],
    good: int,
    seed: int,
    limit: float,
    by_shard: float,
) -> None:
    rng = random.Random(seed)
    with TemporaryDirectory() as name:
        paths, lost, total, worst = [], 0, 0, 0.0
        for number in range(good + len(damages)):
            data = rows(rng.randint(1, 60), rng.randint(0, 30), start=1000 * number)
            file = "a.jsonl"
            if number >= good:
                file, data = damages[number - good](data, rng)
            path = Path(name) / str(number) / file
            path.parent.mkdir()
            path.write_bytes(data)
            paths.append(path)
            # What a reader that knows only JSON lines of plain files would have lost, counted without the product's.
            lines = [line for line in data.split(b"\n") if line.strip()] if file == "a.jsonl" else [data]
            bad = [line for line in lines if file != "a.jsonl" or not _is_document(line)]  # a row alone is JSON too
            shares = (len(bad) / len(lines), sum(map(len, bad)) / max(1, sum(map(len, lines)))) if lines else (0.0, 0.0)
            lost, total, worst = lost + sum(map(len, bad)), total + sum(map(len, lines)), max(worst, *shares)
        failed = failed_rules(states_of(paths), dead_letter_share=limit, shard_dead_letter_share=by_shard)
        if not failed:
            assert lost <= limit * total
            assert worst <= max(limit, by_shard)
        if lost == 0:
            assert not failed


def _is_document(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and isinstance(value.get("text"), str)


def test_bytes_are_the_same_however_a_shard_is_divided(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\r\n".join([rows(1)[:-1], b"[1]", b"", b"\xff\xff", rows(1)[:-1], b"x" * 300]) + b"\r\n")
    limits = ReadSettings(DocumentSpec(), limits=LimitsSpec(document_bytes=200))
    result = []
    for split_bytes in (2**26, 64, 7):
        coverage = state_of(path, limits, split_bytes).coverage
        assert coverage is not None
        result.append((coverage.rows, coverage.row_bytes, coverage.dead, coverage.dead_bytes))
    dead = {"not_an_object": 3, "invalid_utf8": 2, "too_large": 300}
    assert result == [(5, 2 * len(rows(1)[:-1]) + 305, dict.fromkeys(dead, 1), dead)] * 3
    assert TEXT_ONLY.limits.document_bytes > 300
