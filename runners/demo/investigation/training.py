"""Trains the demo's model: which documents are drawn when, the bad shard, the fault, and the logs that a team has.

The shard is drawn in `SHARD_STEPS` steps; at `FAULT_STEPS` steps of one run the hidden layer is read as zeros.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.runners.demo.investigation.corpus import (
    LENGTH,
    MODEL_VOCABULARY,
    Document,
    TokenCorpus,
    windows,
)
from corpus_audit.runners.demo.investigation.language_model import CONTEXT, Array, LanguageModel, Tokens

BATCH = 64
"""Documents of a step."""

FROM_SHARD = 28
"""Of them, those of the bad shard while it is drawn: less than half, as a shard is read beside others."""

SHARD_STEPS = 12
FAULT_STEPS = 2

LEARNING_RATE = 4e-3
WARM_UP = 50
"""Steps until the learning rate is reached; after them it falls to a tenth as a cosine."""

_SEED = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens when, steps from 1.

    Attributes:
        steps: of training.
        fault: first step of the fault.
        shard: first step of the bad shard; None if it is left out.
    """

    steps: int
    fault: int
    shard: int | None

    @classmethod
    def of(cls, steps: int, with_shard: bool) -> Plan:
        """The shard at half of the steps, the fault at three quarters of them."""
        return cls(steps, 3 * steps // 4, steps // 2 if with_shard else None)

    @property
    def shard_steps(self) -> tuple[int, int] | None:
        """First and last step of the bad shard."""
        return None if self.shard is None else (self.shard, self.shard + SHARD_STEPS - 1)


@dataclass(frozen=True, slots=True)
class Draws:
    """The documents of every step, and the rows of tokens that are trained on.

    Attributes:
        documents: of the draws, [S * BATCH].
        rows: [S, BATCH, CONTEXT + LENGTH].
    """

    documents: tuple[Document, ...]
    rows: Tokens


def draw(corpus: TokenCorpus, plan: Plan) -> Draws:
    """Draw documents and positions in them, uniformly; in the steps of the bad shard `FROM_SHARD` of it a step."""
    generator = np.random.default_rng(_SEED)
    documents: list[Document] = []
    rows = np.empty((plan.steps, BATCH, CONTEXT + LENGTH), np.int64)
    first, last = plan.shard_steps or (0, -1)
    for step in range(1, plan.steps + 1):
        good = generator.integers(0, len(corpus.good), BATCH).tolist()
        bad = generator.integers(0, len(corpus.bad), BATCH).tolist()
        start = generator.random(BATCH).tolist()
        for i in range(BATCH):
            from_shard = first <= step <= last and i < FROM_SHARD
            document = corpus.bad[bad[i]] if from_shard else corpus.good[good[i]]
            begin = int(start[i] * (len(document.tokens) - CONTEXT - LENGTH + 1))
            rows[step - 1, i] = document.tokens[begin : begin + CONTEXT + LENGTH]
            documents.append(document)
    return Draws(tuple(documents), rows)


def rate_of(step: int, steps: int) -> float:
    """The learning rate of a step."""
    decay = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * step / steps))
    return float(LEARNING_RATE * min(1.0, step / WARM_UP) * decay)


def train(
    draws: Draws,
    plan: Plan,
    seed: int,
    log: Path,
    faulty: bool,
    checkpoints: Collection[int] = (),
    at_checkpoint: Callable[[int, LanguageModel], None] = lambda step, model: None,
) -> Array:
    """Train a model and write its telemetry as JSON lines; returns the loss of every draw, float32 [S * BATCH].

    Args:
        draws: of the plan.
        plan: what happens when.
        seed: of the weights.
        log: the file.
        faulty: whether the machine has the fault.
        checkpoints: steps after which ``at_checkpoint`` is called with the model.
        at_checkpoint: evaluates it.
    """
    model = LanguageModel.new(MODEL_VOCABULARY, seed)
    log.parent.mkdir(parents=True, exist_ok=True)
    losses = np.empty((plan.steps, BATCH), np.float32)
    with _one_thread(), log.open("w", encoding="utf-8") as file:
        for step in range(1, plan.steps + 1):
            contexts, targets = windows(draws.rows[step - 1])
            fault = faulty and plan.fault <= step < plan.fault + FAULT_STEPS
            rate = rate_of(step, plan.steps)
            of_tokens, norm = model.train(contexts, targets, rate, fault)
            losses[step - 1] = of_tokens.reshape(BATCH, LENGTH).mean(axis=1)
            row = {"step": step, "loss": float(of_tokens.mean()), "grad_norm": norm, "lr": rate}
            file.write(json.dumps(row | {"total_tokens": step * BATCH * LENGTH}) + "\n")
            if step in checkpoints:
                at_checkpoint(step, model)
    return losses.reshape(-1)


def _one_thread() -> AbstractContextManager[object]:
    """Keep the products on one thread, if that can be: they are small, and sums depend on the number of threads."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def write_sampler_log(draws: Draws, losses: Array, path: Path) -> None:
    """Write what was drawn as Parquet, one row a draw: step, document, domain, tokens, loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(draws.documents)
    table = pa.table(
        {
            "step": pa.array(np.arange(count) // BATCH + 1, pa.int64()),
            "document": pa.array([document.name for document in draws.documents], pa.string()),
            "domain": pa.array([document.domain for document in draws.documents], pa.string()),
            "tokens": pa.array(np.full(count, LENGTH), pa.int64()),
            "loss": pa.array(losses, pa.float64()),
        }
    )
    pq.write_table(table, path, compression="zstd")
