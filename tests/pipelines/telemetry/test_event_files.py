"""Event files: every form of a scalar, damage, and hostile tags."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.telemetry.event_records import crc_tables, tag_hash
from corpus_audit.pipelines.telemetry import event_files
from corpus_audit.pipelines.telemetry.points import FileTelemetry, Refusal
from tests.pipelines.telemetry import events


def rows(result: FileTelemetry) -> list[tuple[str, int, float]]:
    (run,) = result.runs
    points = run.points
    assert result.account.is_conserved and len(points) == result.account.values_used
    return [
        (run.tags[tag], step, value)
        for tag, step, value in zip(points.tag.tolist(), points.step.tolist(), points.value.tolist(), strict=True)
    ]


def read(path: Path, data: bytes) -> FileTelemetry:
    return event_files.read_event_file(events.write(path, data))


def test_the_checksum_is_that_of_rfc_3720(tmp_path: Path) -> None:
    tables = crc_tables()
    value = 0xFFFFFFFF
    for byte in bytes(32):
        value = int(tables[(value ^ byte) & 255]) ^ (value >> 8)
    assert value ^ 0xFFFFFFFF == 0x8A9136AA  # RFC 3720, B.4: 32 bytes of zeroes
    assert tag_hash(b"") != tag_hash(b"a")


def test_scalars_in_every_form(tmp_path: Path) -> None:
    forms = {
        "simple": events.simple(1.5),
        "nan": events.simple(float("nan")),
        "float": events.tensor(dtype=1, floats=struct.pack("<f", 2.5)),
        "float content": events.tensor(dtype=1, content=struct.pack("<f", 3.5)),
        "double": events.tensor(dtype=2, doubles=struct.pack("<d", 1e-300)),
        "double content": events.tensor(dtype=2, content=struct.pack("<d", 4.25)),
        "int64": events.tensor(dtype=9, integers=events.varint(-7)),
        "int32 content": events.tensor(dtype=3, content=struct.pack("<i", -9)),
        "half": events.tensor(dtype=19, content=np.float16(0.5).tobytes()),
        "bfloat16": events.tensor(dtype=14, content=struct.pack("<H", 0x4040)),
        "one of one": events.tensor(dtype=1, shape=(1,), floats=struct.pack("<f", 5.5)),
    }
    others = {
        "two": events.tensor(dtype=1, shape=(2,), floats=struct.pack("<ff", 1, 2)),
        "filled": events.tensor(dtype=1, shape=(5,), floats=struct.pack("<f", 1)),
        "text": events.tensor(dtype=7, content=b""),
        "histogram": events.field(5, 2, b""),
    }
    data = events.VERSION + events.record(events.event(9.25, 2**40, *forms.items(), *others.items()))
    result = read(tmp_path / "e", data)
    values = {tag: value for tag, step, value in rows(result) if step == 2**40}
    assert np.isnan(values.pop("nan"))
    assert values == {
        "simple": 1.5, "float": 2.5, "float content": 3.5, "double": 1e-300, "double content": 4.25, "int64": -7,
        "int32 content": -9, "half": 0.5, "bfloat16": 3.0, "one of one": 5.5,
    }  # fmt: skip
    assert set(result.runs[0].points.wall_time) == {9.25}
    assert set(result.runs[0].points.offset) == {len(events.VERSION)}
    assert (result.account.entries, result.account.used, result.account.other) == (2, 1, 1)


ROWS = [("loss", step, step / 2) for step in range(20)]


def test_a_cut_file_loses_its_last_record(tmp_path: Path) -> None:
    data = events.scalars(ROWS)
    for cut in (1, 5, 20):
        result = read(tmp_path / "e", data[:-cut])
        assert rows(result) == ROWS[:-1]
        assert result.account.reasons == {Refusal.TRUNCATED: 1}


@settings(deadline=None, max_examples=40)
@given(bit=st.integers(0, 8 * len(events.scalars(ROWS)) - 1))
def test_a_flipped_bit_costs_one_record(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    data = bytearray(events.scalars(ROWS))
    data[bit // 8] ^= 1 << bit % 8
    result = read(tmp_path_factory.mktemp("flip") / "e", bytes(data))
    remaining = rows(result)
    assert len(remaining) >= len(ROWS) - 1 and [row for row in ROWS if row in remaining] == remaining
    assert result.account.refused == 1


def test_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = events.scalars([(f"tag {i % 70}\x1b[31m<b>", i, float(i)) for i in range(500)])
    whole = rows(read(tmp_path / "e", data))
    monkeypatch.setattr(event_files, "BLOCK", 257)
    monkeypatch.setattr(event_files, "_ROOM", 3)
    assert rows(read(tmp_path / "e", data)) == whole and whole[71] == ("tag 1\x1b[31m<b>", 71, 71.0)


def test_too_many_tags_and_too_large_records_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "MOST_TAGS", 50)
    monkeypatch.setattr(event_files, "LARGEST_RECORD", 1000)
    large = events.record(events.event(1.0, 1, ("x" * 2000, events.simple(1))))
    data = large + events.scalars([(f"tag {i}", 1, 1.0) for i in range(80)]) + large
    result = read(tmp_path / "e", data)
    assert len(rows(result)) == 50
    assert result.account.reasons == {Refusal.TOO_MANY_TAGS: 30, Refusal.TOO_LARGE: 2}


def test_garbage_is_not_read_as_points(tmp_path: Path) -> None:
    result = read(tmp_path / "e", np.random.default_rng(1).bytes(10_000))
    assert rows(result) == [] and result.account.reasons == {Refusal.LENGTH_CHECKSUM: 1}


WHOLE = events.event(
    9.25, 2**40, ("a", events.simple(1.5)), ("b", events.tensor(dtype=1, shape=(1,), floats=struct.pack("<f", 5.5))),
    ("c", events.tensor(dtype=2, content=struct.pack("<d", 4.25))), ("d", events.tensor(dtype=9, integers=b"\x07")),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(at=st.integers(0, len(WHOLE) - 1), change=st.integers(1, 255), cut=st.integers(0, len(WHOLE)))
def test_nonsense_with_right_checksums_is_an_outcome(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int, cut: int
) -> None:
    data = bytearray(WHOLE)
    data[at] ^= change
    records = [events.record(bytes(data)), events.record(bytes(data[:cut])), events.record(WHOLE)]
    result = read(tmp_path_factory.mktemp("nonsense") / "e", events.VERSION + b"".join(records))
    assert result.account.entries == 4 and result.account.is_conserved
    assert [row for row in rows(result) if row[1] == 2**40][-4:] == [
        ("a", 2**40, 1.5), ("b", 2**40, 5.5), ("c", 2**40, 4.25), ("d", 2**40, 7.0),
    ]  # fmt: skip
