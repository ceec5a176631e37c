"""A simulated team: two runs with the same batches, the sampler's log, and evaluations of two checkpoints.

Losses scatter as those of public runs do: golden values of Megatron-LM for GPT-3 15B and Mixtral 8x7B deviate from
their local medians by 0.015 to 0.025, correlated by 0 to 0.17 from one logged step to the next, and two runs with the
same batches share 0.65 to 0.99 of it. Nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter

from corpus_audit.checks.investigation.drawn_windows import analyse_log
from corpus_audit.checks.investigation.evaluation_findings import compare_steps
from corpus_audit.checks.investigation.investigation import Investigation, investigate
from corpus_audit.checks.investigation.leak_findings import ContaminationAnalysis
from corpus_audit.checks.investigation.run_analysis import RunAnalysis, analyse_run
from corpus_audit.pipelines.evaluations.contaminated import ContaminatedItems
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.pipelines.sampling.log.reader import LogRows
from corpus_audit.pipelines.statistics.evaluations.power import minimum_detectable
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry
from corpus_audit.pipelines.telemetry.segments import join
from corpus_audit.schemas.spec.investigation import DrawnDocuments, InvestigationSpec, StepEvaluation, TrainingRun
from corpus_audit.schemas.tables.investigation.evaluation_tables import EVALUATION_ITEMS

STEPS, BATCH, SPIKE = 1_200, 40, 700
DOMAINS = ("web", "code", "books")
ITEMS = 800
TASKS = ("leaked", "other", "regressed")
DIRTY = 0.25
"""Share of the items of every task that the training data hold."""

LEAK = 0.2
"""What a planted leak adds to the chance of a contaminated item."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What was planted; the spike is there in any case, and without bad documents only one run has it.

    Attributes:
        documents: bad documents in the two steps before the spike.
        regression: by how much items of `regressed` get worse; 0 for none.
        leak: by how much contaminated items of `leaked` get better; 0 for none.
    """

    documents: bool = False
    regression: float = 0.0
    leak: float = 0.0


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """A sampler's log in memory."""

    path: Path
    batch: LogRows

    def step_range(self) -> tuple[int, int]:
        """The first and the last step."""
        return 0, STEPS - 1

    def rows(self) -> Iterator[LogRows]:
        """All rows."""
        yield self.batch


def detectable() -> float:
    """The regression that a test of one task detects with a power of 80 %."""
    within = 0.5 * 0.5 - 1 / 28  # mean of s (1 - s) of skills with the distribution beta(3, 3)
    return minimum_detectable(ITEMS, 0.0, (within, within), (1, 1))


def simulated_team(rng: np.random.Generator, planted: Planted) -> Investigation:
    """Everything that an investigation of such a team finds."""
    log, loss = _drawn(rng, planted)
    own, twin = (loss + 0.006 * _dependent(rng, STEPS) for _ in range(2))
    if not planted.documents:
        own[SPIKE] += 0.5
    names = {"now": own, "twin": twin}
    specs = tuple(TrainingRun(id=n, telemetry=("log",), same_order_as=None if n == "now" else "now") for n in names)
    runs = {spec.id: _analysed(spec, names[spec.id], rng) for spec in specs}
    evals = tuple(StepEvaluation(run="now", step=step, paths=("e",)) for step in (600, 1_100))
    drawn = DrawnDocuments(log="drawn")
    spec = InvestigationSpec(version=1, name="team", runs=specs, evals=evals, primary=("regressed",), drawn=drawn)
    evaluations, listed = _evaluations(rng, planted)
    analysis = analyse_log(log, drawn, None, runs["now"], [])
    compared = compare_steps(spec, evaluations, listed)
    return investigate(spec, runs, compared, None, analysis, ContaminationAnalysis(listed))


def _drawn(rng: np.random.Generator, planted: Planted) -> tuple[MemoryLog, np.ndarray]:
    """The log, and the mean loss of the documents of every step."""
    n = STEPS * BATCH
    step, domain = np.repeat(np.arange(STEPS), BATCH), rng.choice(3, n, p=(0.6, 0.3, 0.1))
    level = 1.8 + 9 * (np.arange(STEPS) + 20.0) ** -0.35
    loss = level[step] + np.array([0.0, -0.2, 0.1])[domain] + 0.12 * rng.standard_normal(n)
    names = np.char.add("d", rng.integers(0, 20 * n, n).astype(str))
    tokens = rng.integers(200, 600, n)
    if planted.documents:
        bad = (step >= SPIKE - 1) & (step <= SPIKE) & (np.arange(n) % 3 == 0)
        loss[bad] += 3.0
        names[bad] = np.char.add("bad", np.arange(int(bad.sum())).astype(str))
    logged = loss if planted.documents else loss + 0.5 * (step == SPIKE)  # the model was worse at every document
    rows = LogRows(step, tokens, pa.array(names), pa.array([DOMAINS[i] for i in domain.tolist()]), logged)
    mean = np.bincount(step, weights=tokens * loss) / np.bincount(step, weights=tokens)
    return MemoryLog(Path("drawn"), rows), mean


def _dependent(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.asarray(lfilter([1], [1, -0.1], rng.standard_normal(n)))


def _analysed(spec: TrainingRun, loss: np.ndarray, rng: np.random.Generator) -> RunAnalysis:
    account = Account()
    collector = Collector(account)
    steps, seconds = np.arange(STEPS), np.exp(0.01 * rng.standard_normal(STEPS))
    for tag, values in (("lm loss", loss), ("elapsed time per iteration (ms)", 1000 * seconds)):
        tags = np.full(STEPS, collector.position(tag), np.int32)
        collector.extend(tags, steps, values, np.full(STEPS, np.nan), steps)
    file = FileTelemetry(Path("a.out"), "megatron", "byte", (collector.finish(),), account)
    return analyse_run(spec, join([file]), ())


def _evaluations(rng: np.random.Generator, planted: Planted) -> tuple[list[Evaluation], ContaminatedItems]:
    """Two evaluations of right and wrong answers, and which of their items the training data hold."""
    before, after = [], []
    listed = ContaminatedItems(complete=True, named_tasks=True)
    for task in TASKS:
        skill = rng.beta(3, 3, ITEMS)
        dirty = rng.random(ITEMS) < DIRTY
        if task == "leaked":
            skill *= 1 - LEAK  # so that the chance after the leak is at most 1
        change = planted.leak * dirty if task == "leaked" else -planted.regression * (task == "regressed")
        before.append(rng.random(ITEMS) < skill)
        after.append(rng.random(ITEMS) < np.clip(skill + change, 0, 1))
        listed.status[task] = {f"{task}{i}": int(each) for i, each in enumerate(dirty.tolist())}
    return [_evaluation(scores) for scores in (before, after)], listed


def _evaluation(scores: list[np.ndarray]) -> Evaluation:
    n = ITEMS * len(TASKS)
    items = [f"{task}{i}" for task in TASKS for i in range(ITEMS)]
    columns: dict[str, object] = {
        "task": [task for task in TASKS for _ in range(ITEMS)], "item": items, "item_id": items,
        "metric": ["acc"] * n, "model": [""] * n, "filter": [""] * n, "epoch": [1] * n, "file": ["e"] * n,
        "score": np.concatenate(scores).astype(np.float64), "row": list(range(1, n + 1)),
    }  # fmt: skip
    arrays = [
        pa.array(columns[field.name], field.type.value_type).dictionary_encode().cast(field.type)
        if field.name in columns and pa.types.is_dictionary(field.type)
        else pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(n, field.type)
        for field in EVALUATION_ITEMS
    ]
    table = pa.Table.from_arrays(arrays, schema=EVALUATION_ITEMS)
    return Evaluation("e", table, (), (), (), {}, (), {})
