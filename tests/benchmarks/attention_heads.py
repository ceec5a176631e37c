"""What scores of attention heads cost over the forward passes that they need.

Rounds are interleaved: the bare forward passes (SDPA, as the model is run otherwise), the same in the plain attention
that weights are read from, then with all measures of every head; by the processor's clock of one thread. The model has
the shape of GPT-2 small (12 blocks of 12 heads) with random weights: the cost does not depend on them.

    python -m tests.benchmarks.attention_heads --rounds 5
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from corpus_audit.embeddings.attention.matrices import head_matrices
from corpus_audit.embeddings.attention.reader import AttentionReader
from corpus_audit.embeddings.attention.readout import direct_readout
from corpus_audit.embeddings.heads.circuits import ov_eigenvalues
from corpus_audit.embeddings.heads.scores import score_heads
from corpus_audit.embeddings.heads.sequences import repeated_sequences
from tests.embeddings.attention.small_models import loaded

IDS = 50_257

SCORES_RATIO, WHOLE_RATIO = 1.6, 3.0
"""Most that the scores of all heads over ten samples may take over the bare forward passes; with matrices and
eigenvalues."""


def clocked(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def peak_mb() -> float:
    """The largest memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> int:
    """Measure and print; returns 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=IDS, n_positions=256, bos_token_id=0, eos_token_id=0)
    with tempfile.TemporaryDirectory() as folder:
        model = loaded(GPT2LMHeadModel(config).eval(), Path(folder) / "model", IDS)
    reader = AttentionReader(model)
    readout, _ = direct_readout(model, reader.trace)
    ids, _, _ = repeated_sequences(model)

    def plain() -> None:
        with reader.reading():
            reader.run(ids, lambda attention: None)

    model.run(ids)
    model.run(ids)
    bare_peak = peak_mb()
    times: dict[str, list[float]] = {name: [] for name in ("bare", "plain", "scores", "matrices", "eigenvalues")}
    for number in range(arguments.rounds):
        times["bare"].append(clocked(lambda: model.run(ids)))
        times["plain"].append(clocked(plain))
        times["scores"].append(clocked(lambda: score_heads(reader, {}, readout)))
        if not number:
            score_peak = peak_mb()
        times["matrices"].append(clocked(lambda: head_matrices(reader)))
        if not number:
            matrices = head_matrices(reader)
            assert readout is not None
        times["eigenvalues"].append(clocked(lambda: ov_eigenvalues(model, matrices, readout)))
        last = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in times.items())
        print(f"round {number + 1} of {arguments.rounds}: {last}", flush=True)
    weights = ids.shape[0] * 12 * ids.shape[1] ** 2 * 4
    bare = statistics.median(times["bare"])
    ratios = {name: statistics.median(a / b for a, b in zip(values, times["bare"], strict=True))
              for name, values in times.items()}  # fmt: skip
    whole = sum(statistics.median(times[name]) for name in ("scores", "matrices", "eigenvalues"))
    result = {
        "heads": 144,
        "tokens": ids.numel(),
        "bare_seconds": round(bare, 2),
        "over_bare": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "all_scores_seconds": round(whole, 2),
        "all_scores_over_bare": round(whole / bare, 2),
        "one_block_of_weights_mb": round(weights / 1e6, 1),
        "peak_over_bare_mb": round(score_peak - bare_peak, 1),
    }
    limits = (("scores", ratios["scores"], SCORES_RATIO), ("all of it", whole / bare, WHOLE_RATIO))
    missed = [f"{name}: {ratio:.2f} times, limit {limit:g}" for name, ratio, limit in limits if ratio > limit]
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps({**result, "missed": missed}, indent=1) + "\n", encoding="utf-8")
    for reason in missed:
        print(f"MISSED: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
