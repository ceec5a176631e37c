"""Scalars of event files: ours, tbparse and TensorBoard's own loaders on the same file, in turn.

    python -m tests.benchmarks.telemetry_peers [--points 200000] [--rounds 3] [--python PYTHON]

``--python`` is a Python that has tbparse and tensorboard; without it, an environment under ``.bench`` is made, which
needs a package index. Where neither is to be had, this says so and measures nothing.

Every reading is a fresh process and counts its processor time from opening the file to having all scalars:
``EventFileLoader`` as events whose values are numbers, ``EventAccumulator`` as lists of every tag without its default
sample of 10,000, tbparse as a table; ours with checksums, as an investigation reads. Imports, and compiling our
kernels, are left out. All must count the same scalars. Prints medians and ratios; exits 1 if a peer takes less than 10
times as long as ours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measuring import measure, middle, peer_environment
from tests.benchmarks.telemetry import event_file

REQUIREMENTS = ("tbparse==0.0.9", "tensorboard", "pandas")
LEAST = 10.0

OURS = """
import sys, time
from pathlib import Path
from corpus_audit.pipelines.telemetry.reading import read_telemetry_file
read_telemetry_file(Path(sys.argv[2]))  # compiles, or loads what was compiled
began = time.process_time()
count = sum(len(run.points) for run in read_telemetry_file(Path(sys.argv[1])).runs)
print(count, time.process_time() - began)
"""

LOADER = """
import sys, time
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
began = time.process_time()
count = 0
for event in EventFileLoader(sys.argv[1]).Load():
    for value in event.summary.value:
        if value.HasField("tensor") and not value.tensor.tensor_shape.dim:
            number = value.tensor.float_val[0] if value.tensor.float_val else value.tensor.tensor_content
            row = (value.tag, event.step, event.wall_time, number)
            count += 1
print(count, time.process_time() - began)
"""

ACCUMULATOR = """
import sys, time
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
began = time.process_time()
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
count = sum(len(events.Scalars(tag)) for tag in events.Tags()["scalars"])
print(count, time.process_time() - began)
"""

TBPARSE = """
import sys, time
from tbparse import SummaryReader
began = time.process_time()
table = SummaryReader(sys.argv[1], extra_columns={"wall_time"}).scalars
print(len(table), time.process_time() - began)
"""

PEERS = {"EventFileLoader": LOADER, "EventAccumulator": ACCUMULATOR, "tbparse": TBPARSE}


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default=None)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    options = parser.parse_args()
    python = options.python or peer_environment(options.cache / "telemetry-peers-env", REQUIREMENTS)
    if python is None:
        return 0
    probe = subprocess.run([python, "-c", "import tbparse, tensorboard"], capture_output=True, text=True)
    if probe.returncode:
        print(f"skipped: {python} has no tbparse or tensorboard: {probe.stderr.strip().splitlines()[-1:]}")
        return 0
    took: dict[str, list[float]] = {name: [] for name in ("ours", *PEERS)}
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "events.out.tfevents.1", Path(folder) / "small"
        event_file(path, options.points)
        event_file(small, 1000)
        for _ in range(options.rounds):
            for name in took:
                script = [sys.executable, "-c", OURS] if name == "ours" else [python, "-c", PEERS[name]]
                count, seconds = measure([*script, str(path), str(small)]).output.split()[-2:]
                if int(count) != options.points:
                    raise RuntimeError(f"{name} read {count} of {options.points} scalars")
                took[name].append(float(seconds))
    ours = middle(took["ours"])
    print(f"{options.points:,} scalars, {options.rounds} rounds in turn, CPU seconds (median)")
    for name, seconds in took.items():
        ratio = "" if name == "ours" else f"{middle(seconds) / ours:10.1f} times ours"
        print(f"{name:18}{middle(seconds):10.3f}{ratio}")
    return int(any(middle(took[name]) / ours < LEAST for name in PEERS))


if __name__ == "__main__":
    raise SystemExit(main())
