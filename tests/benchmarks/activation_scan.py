"""What the scan for top activations costs beside the bare forward pass, and what its state takes.

``python -m tests.benchmarks.activation_scan [--models NAME ...] [--windows N ...] [--rounds N] [--out FILE]``

Every round runs ways of doing the work one after the other in this process over the same batches; a figure is the
median over the rounds of its time over that of the round's bare forward pass. All rounds have the forward pass, twice,
and the scan that is limited; only the first `--all` rounds have the other ways, which no limit depends on. Lists are
empty at the start of every run, so that nearly every window enters some: the more windows, the lower the ratios. Exits
1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from corpus_audit.embeddings.scan.batches import batch_ids, batches
from tests.benchmarks.activation_peers import buffered, plain
from tests.benchmarks.activation_ways import (
    AGAIN,
    ALL,
    BARE,
    EVERYTHING,
    HEAT,
    LIMITED,
    VERIFY,
    HeatMaps,
    Verification,
    peer,
    ways,
)
from tests.benchmarks.activation_work import BATCH_TOKENS, MODELS, Work, sources

RATIO, STATE_BYTES, PADDING = 1.15, 24.0, 0.05
READ = 4_000_000
"""Characters of which a scan makes batches at once, about."""

LEAST_WINDOWS = {"cpu": {"minilm": 100, "gpt2-shape": 32}, "cuda": {"minilm": 10_000, "gpt2-shape": 5_000}}
"""About how many windows are scanned by default."""

TOKENS = {"cpu": BATCH_TOKENS, "cuda": 1 << 16}
"""Of a batch, by default."""


def timed(
    ways: dict[str, Callable[[], Any]], rounds: int, of_all: int, minutes: float
) -> dict[str, dict[str, list[float]]]:
    """Seconds of every way in every round that it was in, by the processor's clock and by the wall's.

    A first pass over what every round has is not kept. No round but the first begins that would end after so many
    minutes, as the last one took. Every figure is printed when it is known.
    """
    began, took = time.monotonic(), 0.0
    seconds: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in ways}
    in_all = [BARE, LIMITED, AGAIN]
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() - began + took > 60 * minutes:
            print(f"  no time for more than {number - 1} of {rounds} rounds (--minutes)", flush=True)
            break
        start = time.monotonic()
        order = [name for name in ways if name in in_all or 0 < number <= of_all]
        for name in order if number % 2 else order[::-1]:
            cpu, wall = clocked(ways[name])
            if number:
                seconds[name]["cpu"].append(cpu)
                seconds[name]["wall"].append(wall)
            print(f"  round {number}: {name:<26} {cpu:7.1f} s of the processor, {wall:6.1f} s", flush=True)
        # A round with all ways says nothing of how long one with fewer takes.
        took = (time.monotonic() - start) * (1.0 if number > of_all or not number else len(in_all) / len(order))
    return seconds


def clocked(way: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one way, by the processor's clock and by the wall's."""
    _settle()
    cpu, wall = time.process_time(), time.perf_counter()
    way()
    _settle()
    return time.process_time() - cpu, time.perf_counter() - wall


def _settle() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(seconds: dict[str, dict[str, list[float]]], name: str, over: str, clock: str) -> float:
    """The median, over the rounds that both were in, of one way's time over another's."""
    return median(a / b for a, b in zip(seconds[name][clock], seconds[over][clock], strict=False))


def memory(work: Work) -> dict[str, Any]:
    """Peak of what the scan allocates with all lists, the model's own tensors apart (they are torch's, not traced)."""
    taps = work.taps("mlp.*:*")
    work.scanned(taps, EVERYTHING)
    tracemalloc.start()
    state = work.scanned(taps, EVERYTHING)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    lists = (state.top, state.minima, state.samples, *state.by_domain)
    slots = sum(each.value.size for each in lists)
    counts = state.histogram.nbytes + state.fired.nbytes + state.total.nbytes
    return {
        "units": state.rows,
        "slots_a_unit": slots / state.rows,
        "bytes_a_slot": (peak - counts) / slots,
        "bytes_a_slot_in_lists": sum(column.nbytes for each in lists for column in each.columns) / slots,
        "sums_and_histogram_bytes_a_unit": counts / state.rows,
        "plain_bytes_a_unit": 4 * len(work.windows),
    }


def padding(work: Work) -> dict[str, Any]:
    """How much of what the model is given is padding, of as much text as a scan reads at once.

    Batches are of windows of one length, so that padding is the repeats that fill the smallest batches.
    """
    windows, keys = work.windows_of(sources(READ))
    given = filling = 0
    large = []
    for chosen in batches(windows.lengths, work.batch_tokens):
        size = batch_ids(windows, chosen).size
        given += size
        filling += size - int(windows.lengths[chosen].sum())
        large += [size > work.batch_tokens // 2] * len(chosen)
    return {
        "documents": len(keys),
        "windows": len(windows),
        "tokens": given,
        "padding": filling / given,
        "special_and_first": 1 - int(windows.counted.sum()) / int(windows.lengths.sum()),
        "windows_in_large_batches": sum(large) / len(large),
    }


def benchmark(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of a model."""
    device, rounds = options.device, options.rounds
    windows = options.windows or LEAST_WINDOWS[device][name]
    print(f"{name}: about {windows:,} windows; loading the model", flush=True)
    work = Work(MODELS[name](options.cache, device), windows, options.batch_tokens or TOKENS[device], options.dtype)
    print("  a scan for the heat maps, and one for the verification", flush=True)
    there = ways(work)
    print("  checking that the baselines agree", flush=True)
    state = work.scanned(work.taps("mlp.*:*"), EVERYTHING)
    same = all(torch.equal(a[0], b[0]) for a, b in zip(peer(work, plain), peer(work, buffered), strict=True))
    seconds = timed(there, rounds, max(1, options.all), options.minutes / len(options.models))
    kept = len(seconds[BARE]["cpu"])
    print("  memory of a scan's state, and padding", flush=True)
    state_memory, batch_padding = memory(work), padding(work)
    heat, verification = there[HEAT], there[VERIFY]
    assert isinstance(heat, HeatMaps) and isinstance(verification, Verification)
    return {
        "model": name,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": options.dtype,
        "batch_tokens": work.batch_tokens,
        "windows": len(work.windows),
        "tokens": int(work.windows.lengths.sum()),
        "rounds": kept,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "over_forward": {
            clock: {way: ratio(seconds, way, BARE, clock) for way in there if way != BARE} for clock in ("cpu", "wall")
        },
        "heat_over_scan": {clock: ratio(seconds, HEAT, ALL, clock) for clock in ("cpu", "wall")},
        "windows_with_heat": len(heat.windows),
        "verification_over_scan": {clock: ratio(seconds, VERIFY, ALL, clock) for clock in ("cpu", "wall")},
        "windows_verified": len(verification.chosen),
        "memory": state_memory,
        "padding": batch_padding,
        "all_windows_seen": int(state.windows.sum()) == len(work.windows) and same,
        "full_lists": float(state.top.filled.mean()),
    }


def missed(result: dict[str, Any]) -> list[str]:
    """Limits that a model's figures miss."""
    clocks = ("cpu", "wall") if result["device"] == "cpu" else ("wall",)  # a GPU's time is on no processor's clock
    over = {clock: result["over_forward"][clock][LIMITED] for clock in clocks}
    found = [f"{LIMITED}: {r:.3f} by {clock}, limit {RATIO}" for clock, r in over.items() if not r <= RATIO]
    size, share = result["memory"]["bytes_a_slot"], result["padding"]["padding"]
    if not size <= STATE_BYTES:
        found.append(f"{size:.1f} bytes a slot, limit {STATE_BYTES:g}")
    if not share < PADDING:
        found.append(f"{share:.1%} padding, limit {PADDING:.0%}")
    if not result["all_windows_seen"]:
        found.append("a window was not seen, or the two baselines disagree, so the times say nothing")
    return [f"{result['model']}: {reason}" for reason in found]


def tell(result: dict[str, Any]) -> None:
    """Print a model's figures."""
    where = f"{result['threads']} threads" if result["device"] == "cpu" else result["device"]
    at = f"{result['windows']:,} windows, {result['tokens']:,} tokens, {where}, {result['dtype']}"
    print(f"{result['model']} ({at}, {result['rounds']} rounds)\n  over the forward pass:       CPU    wall")
    cpu, wall = result["over_forward"]["cpu"], result["over_forward"]["wall"]
    for way in cpu:
        print(f"    {way:<26} {cpu[way]:>6.3f}  {wall[way]:>6.3f}")
    heat, held = result["heat_over_scan"], result["windows_with_heat"]
    print(f"  heat maps over the scan: {heat['cpu']:.2f} CPU, {heat['wall']:.2f} wall, of {held:,} windows")
    again, ran = result["verification_over_scan"], result["windows_verified"]
    print(f"  verification over the scan: {again['cpu']:.2f} CPU, {again['wall']:.2f} wall, of {ran:,} windows")
    state, text, half = result["memory"], result["padding"], result["batch_tokens"] // 2
    print(
        f"  state: {state['bytes_a_slot']:.1f} bytes a slot at the peak, {state['bytes_a_slot_in_lists']:g} in lists, "
        f"{state['slots_a_unit']:.0f} slots a unit; sums and histogram {state['sums_and_histogram_bytes_a_unit']:,.0f} "
        f"bytes a unit; keeping all maxima {state['plain_bytes_a_unit']:,}, growing with the corpus"
    )
    print(
        f"  padding: {text['padding']:.3%} of {text['tokens']:,} tokens of {text['documents']:,} documents; "
        f"{text['special_and_first']:.1%} special or first tokens; "
        f"{text['windows_in_large_batches']:.1%} of the windows in batches of more than {half:,} tokens"
    )


def main() -> int:
    """Run it and print what came out; with ``--out`` write it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--models", choices=MODELS, nargs="+", default=list(MODELS))
    parser.add_argument("--windows", type=int, help="about how many are scanned, at least 20")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--all", type=int, default=1, help="rounds with all ways, at least 1")
    parser.add_argument("--minutes", type=float, default=6.0, help="for the rounds of all models; one is always kept")
    parser.add_argument("--device", choices=LEAST_WINDOWS, default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of forward pass and scan")
    parser.add_argument("--batch-tokens", type=int, help=f"{TOKENS['cpu']:,} on the CPU, {TOKENS['cuda']:,} on a GPU")
    parser.add_argument("--threads", type=int, help="of the forward pass; torch's default if not given")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    results, reasons = [], []
    for name in arguments.models:
        result = benchmark(name, arguments)
        tell(result)
        results.append(result)
        reasons += missed(result)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"results": results, "missed": reasons}, indent=1) + "\n", encoding="utf-8")
    for reason in reasons:
        print(f"MISSED: {reason}")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
