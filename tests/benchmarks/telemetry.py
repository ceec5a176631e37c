"""Speed and memory of reading telemetry, and of its analyses.

    python -m tests.benchmarks.telemetry [--points 10000000]

Makes an event file of scalars and a text log of Megatron-LM, both with that many values, and reads each in a fresh
process, and the event file once more by the whole of ``corpus-audit investigate``. The baseline parses a twentieth of
the same event file in plain Python (framing, CRC not checked, protobuf by hand) and a twentieth of the log with a
regular expression a field, in the same session. Then the loss of one series is analysed: spikes and level shifts, and a
scaling law of 240 runs is fitted with 1,000 bootstrap samples. Exits 1 over 60 s (event files), 45 s (text), 15 s
(analyses) of processor time for 10 million points, over 30 s (law), over 1.5 GB, over a page of 2 MB, or under 10 times
the plain parse of event files.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.measuring import measure
from tests.pipelines.telemetry.events import VERSION, event, record, simple

READ = """
import sys
from pathlib import Path
from corpus_audit.pipelines.telemetry.reading import read_telemetry_file
result = read_telemetry_file(Path(sys.argv[1]))
assert sum(len(run.points) for run in result.runs) == int(sys.argv[2]), result.account
"""


def event_file(path: Path, points: int, tags: int = 20) -> None:
    """An event file whose records differ in step and value only; every checksum is right."""
    from corpus_audit.pipelines.kernels.telemetry.event_records import crc_tables

    table = crc_tables()[:256]
    sample = record(event(1.7e9, 2**28, ("metric/00", simple(0.0))))
    length = len(sample) - 16
    steps = np.repeat(np.arange(-(-points // tags)), tags)[:points]
    with path.open("wb") as file:
        file.write(VERSION)
        for start in range(0, points, 500_000):
            step = steps[start : start + 500_000]
            n = len(step)
            rows = np.tile(np.frombuffer(sample, np.uint8), (n, 1))
            at = sample.index(struct.pack("<B", 0x10), 12 + 9) + 1
            padded = step + 2**28  # five bytes of a varint, whatever the step
            for i in range(5):
                rows[:, at + i] = (padded >> (7 * i)) & 127 | (128 if i < 4 else 0)
            digits = sample.index(b"metric/") + 7
            number = np.arange(start, start + n) % tags
            rows[:, digits], rows[:, digits + 1] = 48 + number // 10, 48 + number % 10
            values = (2 + 8 * (step + 10.0) ** -0.4).astype("<f4").view(np.uint8).reshape(n, 4)
            where = digits + 3  # the tag of the field stands between
            rows[:, where : where + 4] = values
            crc = np.full(n, 0xFFFFFFFF, np.int64)
            for i in range(12, 12 + length):
                crc = table[(crc ^ rows[:, i]) & 255] ^ (crc >> 8)
            crc ^= 0xFFFFFFFF
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            rows[:, 12 + length :] = masked.astype("<u4").view(np.uint8).reshape(n, 4)
            file.write(rows.tobytes())


def text_log(path: Path, points: int) -> int:
    """A log of Megatron-LM with nine values a line; returns how many values it has."""
    lines = points // 9
    losses = 2 + 8 * (np.arange(lines) + 10.0) ** -0.4 + 0.02 * np.random.default_rng(0).standard_normal(lines)
    with path.open("w") as file:
        for step, loss in enumerate(losses.tolist()):
            file.write(
                f" iteration {step:8d}/ {lines} | consumed samples: {step * 1024:12d} | "
                f"elapsed time per iteration (ms): {1250 + step % 17}.8 | learning rate: 1.485E-04 | "
                f"global batch size:  1024 | lm loss: {loss:.6E} | "
                f"loss scale: 12.0 | grad norm: {1 + step % 13}.992 | number of skipped iterations:   0 | "
                "number of nan iterations:   0 |\n"
            )
    return lines * 9


def plain_events(data: bytes) -> int:
    """A parse as one writes it by hand: a record at a time, protobuf fields in a loop."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value, at

    def fields(at: int, end: int) -> list[tuple[int, int, int]]:
        result = []
        while at < end:
            key, at = varint(at)
            if key & 7 == 0:
                value, at = varint(at)
                result.append((key >> 3, value, at))
            else:
                size = {1: 8, 5: 4}.get(key & 7)
                if size is None:
                    size, at = varint(at)
                result.append((key >> 3, at, at + size))
                at += size
        return result

    rows, at = [], 0
    while at + 12 < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 16 + length > len(data):
            break
        step, wall = 0, 0.0
        for number, start, end in fields(at + 12, at + 12 + length):
            if number == 1:
                (wall,) = struct.unpack_from("<d", data, start)
            elif number == 2:
                step = start
            elif number == 5:
                for _, first, last in fields(start, end):
                    parts = {name: (x, y) for name, x, y in fields(first, last)}
                    tag = data[slice(*parts[1])].decode()
                    rows.append((tag, step, struct.unpack_from("<f", data, parts[2][0])[0], wall))
        at += 16 + length
    return len(rows)


def plain_text(data: bytes) -> int:
    """A regular expression a field, a line at a time."""
    count = 0
    for line in data.decode().splitlines():
        match = re.search(r"iteration\s+(\d+)/", line)
        if match:
            count += len([float(value) for value in re.findall(r"\|[^|:]+:\s*(\S+)", line)])
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000_000)
    options = parser.parse_args()
    scale = options.points / 10_000_000
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        events, log = Path(folder) / "events.out.tfevents.1", Path(folder) / "run.out"
        event_file(events, options.points)
        values = text_log(log, options.points)
        warm = Path(folder) / "warm"
        event_file(warm, 1000)
        measure([sys.executable, "-c", READ, str(warm), "1000"])
        for name, path, n, plain, limit, least in (
            ("event file", events, options.points, plain_events, 60, 10.0),
            ("Megatron-LM text", log, values, plain_text, 45, 0.4),
        ):
            took = measure([sys.executable, "-c", READ, str(path), str(n)])
            piece = path.read_bytes()[: path.stat().st_size // 20]
            began = time.process_time()
            plain(piece)
            baseline = 20 * (time.process_time() - began)
            cpu = took.cpu_seconds
            print(
                f"{name}: {n:,} values in {took.seconds:.1f} s ({cpu:.1f} CPU), {took.peak_bytes / 1e9:.2f} GB; "
                f"a plain parse {baseline:.1f} CPU s: {baseline / cpu:.1f} times"
            )
            failed |= cpu > limit * max(scale, 0.1) or took.peak_bytes > 1.5e9 or baseline / cpu < least * min(scale, 1)
        failed |= analyses(options.points) > 15 * max(scale, 0.1)
        failed |= law() > 30
        failed |= not investigated(Path(folder), events)
    return int(failed)


def law() -> float:
    """CPU seconds of a scaling law with 1,000 bootstrap samples, of 240 runs of a known law."""
    from corpus_audit.pipelines.statistics.scaling.uncertainty import fit_with_intervals

    rng = np.random.default_rng(0)
    parameters, tokens = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), 240)), np.exp(rng.uniform(21, 27, 240))
    loss = (1.8172 + 477.83 / parameters**0.3473 + 2143.4 / tokens**0.3672) * np.exp(0.005 * rng.standard_normal(240))
    began = time.process_time()
    fitted = fit_with_intervals(parameters, tokens, loss, replicates=1000)
    took = time.process_time() - began
    print(f"a law of 240 runs with 1,000 bootstrap samples: {took:.1f} CPU s (E {fitted.intervals['E']})")
    return took


def investigated(folder: Path, events: Path) -> bool:
    """Whether the whole command on the event file stays within 1.5 GB, and its page below 2 MB."""
    spec = {"version": 1, "name": "benchmark", "runs": [{"id": "run", "telemetry": [events.name]}]}
    (folder / "investigation.yaml").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "investigate", str(folder / "investigation.yaml")]
    took = measure([*command, "--json"])
    page = Path(json.loads(took.output)["folder"]) / "report.html"
    print(
        f"corpus-audit investigate: {took.seconds:.1f} s ({took.cpu_seconds:.1f} CPU), {took.peak_bytes / 1e9:.2f} GB; "
        f"page {page.stat().st_size / 1e6:.2f} MB"
    )
    return took.peak_bytes <= 1.5e9 and page.stat().st_size <= 2e6


def analyses(points: int) -> float:
    """CPU seconds of spikes and level shifts of one series."""
    from corpus_audit.pipelines.statistics.telemetry.level_shifts import windowed_shifts
    from corpus_audit.pipelines.statistics.telemetry.spikes import find_spikes, local_scores, spike_threshold

    steps = np.arange(points)
    loss = 2 + 8 * (steps + 10.0) ** -0.4 + 0.02 * np.random.default_rng(0).standard_normal(points)
    local_scores(loss[:1000])
    began = time.process_time()
    scores = local_scores(loss)
    spikes = find_spikes(scores, loss, spike_threshold(scores.z))
    shifts = windowed_shifts(steps, loss)
    took = time.process_time() - began
    print(
        f"spikes and level shifts of {points:,} points: {took:.1f} CPU s ({len(spikes)} spikes, {len(shifts)} windows)"
    )
    return took


if __name__ == "__main__":
    sys.exit(main())
