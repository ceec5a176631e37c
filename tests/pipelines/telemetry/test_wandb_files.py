"""Offline files of W&B: two that its programs wrote, and what damage and hostile records do."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.telemetry import record_log, wandb_log
from corpus_audit.pipelines.telemetry.points import FileTelemetry, Refusal
from corpus_audit.pipelines.telemetry.reading import read_telemetry_file
from tests.pipelines.telemetry.events import field, varint

FILES = Path(__file__).parent / "wandb_files"
ROWS = {  # what wandb_files/make.py logs
    ("train/loss", step if step < 30 else step + 70): 2 + 8 * (step + 10) ** -0.4 for step in range(60)
} | {("train/grad_norm", step if step < 30 else step + 70): 1 / (step + 1) for step in range(60)}
ROWS |= {("eval/loss", step if step < 30 else step + 70): 2.5 + 1 / (step + 1) for step in range(9, 60, 10)}
ROWS |= {("train/loss", 7): math.nan, ("train/loss", 8): math.inf, ("big", 21): 2.0**60, ("\x1b[31m<b>", 21): 1.5}


def points(result: FileTelemetry) -> dict[tuple[str, int], float]:
    (run,) = result.runs
    assert result.account.is_conserved and len(run.points) == result.account.values_used
    rows = zip(run.points.tag.tolist(), run.points.step.tolist(), run.points.value.tolist(), strict=True)
    return {(run.tags[tag], step): value for tag, step, value in rows}


def read(path: Path, data: bytes) -> FileTelemetry:
    path.write_bytes(data)
    return wandb_log.read_wandb(path)


def same(left: dict[tuple[str, int], float], right: dict[tuple[str, int], float]) -> bool:
    return left.keys() == right.keys() and all(
        left[key] == right[key] or (math.isnan(left[key]) and math.isnan(right[key])) for key in left
    )


@pytest.mark.parametrize("version", ["0.16.6", "0.31.0"])
def test_what_wandb_wrote_is_what_was_logged(version: str) -> None:
    result = read_telemetry_file(FILES / f"wandb_{version}.wandb")
    assert isinstance(result, FileTelemetry) and result.kind == "wandb"
    assert same(points(result), ROWS)
    assert result.account.used == 60 and not result.account.refused
    (run,) = result.runs
    assert np.isfinite(run.points.wall_time).all() and (np.diff(run.points.wall_time) >= 0).all()
    notes = "; ".join(result.account.notes)
    assert "run fixture of demo" in notes and "model/layers = 12" in notes and "best = 1.25" in notes
    assert "no exit record" not in notes


def test_a_file_that_ends_early_keeps_what_came_before(tmp_path: Path) -> None:
    data = (FILES / "wandb_0.31.0.wandb").read_bytes()
    whole = points(read(tmp_path / "w", data))
    for size in (len(data) - 3, record_log.BLOCK + 3, record_log.BLOCK, 20_000):
        result = read(tmp_path / "w", data[:size])
        remaining = points(result)
        assert same(remaining, {key: whole[key] for key in remaining})
        assert result.account.reasons == {Refusal.TRUNCATED: 1} and "no exit record" in "; ".join(result.account.notes)
    assert len(remaining) < len(whole)


@settings(deadline=None, max_examples=60)
@given(bit=st.integers(8 * 7, 8 * (FILES / "wandb_0.16.6.wandb").stat().st_size - 1))
def test_a_flipped_bit_is_counted_and_changes_no_value(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    data = bytearray((FILES / "wandb_0.16.6.wandb").read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    result = read(tmp_path_factory.mktemp("flip") / "w", bytes(data))
    remaining = points(result)
    assert same(remaining, {key: ROWS[key] for key in remaining}) and sum(result.account.reasons.values()) == 1


def chunk(data: bytes, kind: int = 1) -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + data), len(data), kind) + data


def item(name: str, value: str, *, nested: bool = True) -> bytes:
    return field(1, 2, field(2 if nested else 1, 2, name.encode()) + field(16, 2, value.encode()))


def history(step: int, *items: bytes) -> bytes:
    return field(1, 0, varint(1)) + field(2, 2, b"".join(items) + field(2, 2, field(1, 0, varint(step))))


def test_every_form_of_a_value(tmp_path: Path) -> None:
    typed = field(1, 2, field(1, 2, b"integer") + field(5, 0, varint(7)))  # zigzag: -4
    double = field(1, 2, field(1, 2, b"number") + field(6, 1, struct.pack("<d", 1e-300)))
    text = field(1, 2, field(1, 2, b"text") + field(7, 2, b"nan"))
    record = history(
        5, item("plain", "1.5", nested=False), item("words", '"nan"'), item("yes", "true"), item("none", "null"),
        item("nested", '{"a": {"b": 2}, "list": [1]}'), item("picture", '{"_type": "image-file", "size": 7}'),
        item("no json", "1_0"), typed, double, text,
    )  # fmt: skip
    values = points(read(tmp_path / "w", record_log.FILE_HEADER + chunk(record)))
    assert {key for key, value in values.items() if math.isnan(value)} == {("words", 5), ("text", 5)}
    assert {key[0]: value for key, value in values.items() if not math.isnan(value)} == {
        "plain": 1.5, "nested/a/b": 2, "integer": -4, "number": 1e-300,
    }  # fmt: skip


def test_hostile_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_log, "LARGEST_RECORD", 50_000)
    good = history(1, item("loss", "1"))
    records = [
        good,
        b"\x12\xff\xff\xff\xff\x0f",  # a length past the end
        b"\x13\x14",  # groups, which are no wire type of today
        history(2, item("loss", "1"), item("loss", "2")),
        history(2, item("loss", '{"a": 1, "a": 2}')),
        field(2, 2, item("loss", "3")),  # no step
        history(-5, item("loss", "5")),
        history(6, item("loss", "[" * 10_000)),
    ]
    data = record_log.FILE_HEADER + b"".join(map(chunk, records))
    data += chunk(b"", 3) + chunk(good[:9], 2) + chunk(history(7, item("loss", "7")))
    data += b"\0" * (record_log.BLOCK - len(data)) + chunk(b"x" * 32_761, 2) + chunk(b"x" * 32_761, 3) + chunk(b"y", 4)
    data += chunk(history(8, item("loss", "8")))
    result = read(tmp_path / "w", data)
    assert points(result) == {("loss", 1): 1, ("loss", -5): 5, ("loss", 7): 7, ("loss", 8): 8}
    assert result.account.reasons == {
        Refusal.MALFORMED: 4, Refusal.DUPLICATE_KEY: 2, Refusal.NO_STEP: 1, Refusal.TOO_LARGE: 1, Refusal.CHECKSUM: 1,
    }  # fmt: skip


def test_another_version_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(record_log.FILE_HEADER[:-1] + b"\x01" + chunk(history(1, item("loss", "1"))))
    assert not isinstance(read_telemetry_file(tmp_path / "w"), FileTelemetry)
