"""Trains the demo's two runs and writes what a team would have of them: logs, sampler's log, evaluations, spec."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from corpus_audit.runners.demo.investigation.corpus import BAD_SHARD, LENGTH, read_corpus
from corpus_audit.runners.demo.investigation.evaluation import evaluate, make_items
from corpus_audit.runners.demo.investigation.language_model import LanguageModel
from corpus_audit.runners.demo.investigation.training import (
    BATCH,
    FAULT_STEPS,
    Plan,
    draw,
    train,
    write_sampler_log,
)

STEPS = 2000
"""Steps of each of the two runs; with them the demo takes about half a minute of processor time."""


@dataclass(frozen=True, slots=True)
class InvestigationDemo:
    """A training run with two planted causes, ready to be investigated.

    Attributes:
        folder: holds ``logs/``, ``sampler/``, ``evals/`` and the spec.
        spec: path of ``investigation.yaml``.
        steps: of each run.
        fault: first and last step of the fault.
        shard: first and last step of the bad shard; None if there is none.
        documents: of the bad shard.
    """

    folder: Path
    spec: Path
    steps: int
    fault: tuple[int, int]
    shard: tuple[int, int] | None
    documents: tuple[str, ...]


def build_investigation_demo(
    folder: Path, progress: Callable[[str], None], steps: int, with_shard: bool = True
) -> InvestigationDemo:
    """Train a model on a faulty machine, and another one with the same batches on a good machine.

    Args:
        folder: where the files are written; earlier ones of the demo are replaced.
        progress: called with what is done, in a few words.
        steps: of each run.
        with_shard: whether the bad shard is among the data.

    Files depend on the Python installation and on ``steps`` alone.

    Raises:
        UsageError: this Python installation holds too few files.
    """
    progress("reading files of the Python installation, and training a tokenizer on them")
    corpus, plan = read_corpus(), Plan.of(steps, with_shard)
    draws, items = draw(corpus, plan), make_items(corpus.held_out)
    # Around the shard, which is where a team would look, and at the end.
    around = plan.shard_steps or (plan.fault, plan.fault + FAULT_STEPS)
    checkpoints = (around[0] - 1, around[1], steps)

    def score(step: int, model: LanguageModel) -> None:
        evaluate(model, items, folder / "evals" / "now" / f"step{step}" / "items.jsonl")

    planted = "a fault and a bad shard" if with_shard else "a fault"
    progress(f"training a language model for {steps:,} steps of {BATCH * LENGTH} tokens, with {planted}")
    logs = folder / "logs"
    losses = train(draws, plan, 1, logs / "now" / "metrics.jsonl", True, checkpoints, score)
    write_sampler_log(draws, losses, folder / "sampler" / "draws.parquet")
    progress("training another one on the same batches, without the fault")
    train(draws, plan, 2, logs / "twin" / "metrics.jsonl", False)
    spec = folder / "investigation.yaml"
    evals = [f"- {{run: now, step: {step}, paths: [evals/now/step{step}]}}" for step in checkpoints]
    template = resources.files("corpus_audit.runners.demo.investigation").joinpath("investigation.yaml")
    text = string.Template(template.read_text(encoding="utf-8")).substitute(
        tokens=BATCH * LENGTH, steps=steps, evals="\n  ".join(evals)
    )
    spec.write_text(text, encoding="utf-8")
    return InvestigationDemo(
        folder,
        spec,
        steps,
        (plan.fault, plan.fault + FAULT_STEPS - 1),
        plan.shard_steps,
        tuple(document.name for document in corpus.bad) if plan.shard is not None else (),
    )


def is_of_shard(document: str) -> bool:
    """Whether a document's id names the bad shard."""
    return document.startswith(f"{BAD_SHARD}/")
