"""Compressed logs: the points of the plain file, in every codec; damage and bombs keep what came before."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.pipelines.telemetry import event_files, log_file
from corpus_audit.pipelines.telemetry.points import FileTelemetry, Refusal
from corpus_audit.pipelines.telemetry.reading import UnreadFile, read_telemetry_file
from tests.pipelines.telemetry import events


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": partial(bz2.compress, compresslevel=1), "xz": lzma.compress, "zstd": zstd,
}  # fmt: skip
STEPS = range(3_000)
LOGS = {
    "tensorboard": events.VERSION + b"".join(
        events.record(events.event(1.0, step, ("loss", events.simple(step / 4)))) for step in range(200)
    ),
    "megatron": "".join(f" iteration {s}/ 9 | lm loss: {s / 4} |\n" for s in STEPS).encode(),
    "jsonl": "".join(f'{{"step": {s}, "loss": {s / 4}}}\n' for s in STEPS).encode(),
    "csv": ("step,loss\n" + "".join(f"{s},{s / 4}\n" for s in STEPS)).encode(),
    "nanogpt": "".join(f"iter {s}: loss {s / 4}, time 1.0ms\n" for s in STEPS).encode(),
    "trainer_state": json.dumps({"log_history": [{"step": s, "loss": s / 4} for s in STEPS]}).encode(),
    "wandb": (Path(__file__).parent / "wandb_files" / "wandb_0.31.0.wandb").read_bytes(),
}  # fmt: skip


def read(path: Path, data: bytes) -> FileTelemetry:
    path.write_bytes(data)
    result = read_telemetry_file(path)
    assert isinstance(result, FileTelemetry) and result.account.is_conserved
    return result


def columns(result: FileTelemetry) -> list[list[float]]:
    (run,) = result.runs
    return [np.nan_to_num(getattr(run.points, name), nan=-1.0).tolist() for name in ("tag", "step", "value", "offset")]


@pytest.mark.parametrize("kind", LOGS)
def test_a_compressed_log_holds_what_the_plain_one_does(tmp_path: Path, kind: str) -> None:
    plain = read(tmp_path / "log", LOGS[kind])
    assert plain.kind == kind and len(plain.runs[0].points) >= 128
    for codec, compress in CODECS.items():
        half = len(LOGS[kind]) // 2
        result = read(tmp_path / "packed", compress(LOGS[kind][:half]) + compress(LOGS[kind][half:]))  # two members
        assert columns(result) == columns(plain) and result.kind == kind
        assert result.account.notes[0] == f"{codec}: offsets in bytes are those after decompression"


@pytest.mark.parametrize("codec", CODECS)
def test_what_comes_before_damage_is_kept(tmp_path: Path, codec: str) -> None:
    noise = np.random.default_rng(0).random(6_000).tolist()
    text = "".join(f'{{"step": {step}, "loss": {value}}}\n' for step, value in enumerate(noise)).encode()
    packed = CODECS[codec](text)
    result = read(tmp_path / "log", packed[: -len(packed) // 4])
    points = result.runs[0].points
    assert 0 < len(points) < len(noise) and points.value.tolist() == noise[: len(points)]  # no number is cut
    assert result.account.reasons == {Refusal.UNREADABLE: 1}
    assert "damaged or truncated" in result.account.dead_letters[0].detail


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "EXPANSION", 10)
    monkeypatch.setattr(log_file, "FREE_BYTES", 100_000)
    for head in (LOGS["jsonl"][:5_000].rpartition(b"\n")[0] + b"\n", LOGS["tensorboard"][:5_000]):
        result = read(tmp_path / "bomb", CODECS[codec](head + b"\0" * 3_000_000))
        assert len(result.runs[0].points) >= 50 and result.account.reasons[Refusal.TOO_LARGE] == 1
        assert any("bomb" in letter.detail for letter in result.account.dead_letters)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_no_log_has_a_reason(tmp_path: Path, codec: str) -> None:
    for data, reason in (
        (CODECS[codec](b""), "empty"),
        (CODECS[codec](b"a run went wrong"), "not recognised"),
        (CODECS[codec](b"PAR1"), "not recognised"),
        (CODECS[codec](LOGS["jsonl"])[:12], f"cannot be read: the {codec} data are damaged or truncated"),
    ):
        (tmp_path / "log").write_bytes(data)
        result = read_telemetry_file(tmp_path / "log")
        assert isinstance(result, UnreadFile) and result.reason.startswith(reason)


def test_records_that_are_too_large_are_skipped_in_compressed_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "LARGEST_RECORD", 1_000)
    monkeypatch.setattr(event_files, "BLOCK", 4_096)
    large = events.record(events.event(1.0, 1, ("x" * 20_000, events.simple(1))))
    claimed = struct.pack("<Q", 2**63 + 5)
    endless = claimed + struct.pack("<I", events.crc(claimed)) + b"?" * 100
    data = large + events.scalars([("loss", step, step / 4) for step in range(50)]) + large + endless
    for codec in (bytes, *CODECS.values()):
        result = read(tmp_path / "log", codec(data))
        assert len(result.runs[0].points) == 50 and result.account.reasons == {Refusal.TOO_LARGE: 3}


def test_compressed_evaluations(tmp_path: Path) -> None:
    text = "".join(json.dumps({"id": item, "score": item % 2, "task": "t"}) + "\n" for item in range(50)).encode()
    for ending, codec in (("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("zst", "zstd")):
        path = tmp_path / f"items.jsonl.{ending}"
        path.write_bytes(CODECS[codec](text))
        result = read_evaluation(path)
        assert result.items.num_rows == 50 and sum(result.items["score"].to_pylist()) == 25
