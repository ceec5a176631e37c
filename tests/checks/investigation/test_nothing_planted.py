"""Runs in which nothing was planted have no findings, and what was planted is found among as many of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpus_audit.checks.investigation.investigation import investigate
from corpus_audit.checks.investigation.run_analysis import analyse_run
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry
from corpus_audit.pipelines.telemetry.segments import join
from corpus_audit.schemas.run.findings import Finding, Reading
from corpus_audit.schemas.spec.investigation import InvestigationSpec, TrainingRun, Window

STEPS = np.arange(3000)
RUNS = 30

pytestmark = pytest.mark.slow


def curve(generator: np.random.Generator, phi: float) -> np.ndarray:
    """A loss that falls as a power law, with noise of first-order dependence."""
    noise, value = np.empty(len(STEPS)), 0.0
    for i, step in enumerate(generator.standard_normal(len(STEPS)).tolist()):
        value = phi * value + step
        noise[i] = value
    return 1.8 + 9 * (STEPS + 20.0) ** -0.35 + 0.02 * noise


def shown(loss: np.ndarray, seconds: np.ndarray, *windows: tuple[int, int]) -> list[Finding]:
    """The findings about a run that are shown."""
    account = Account()
    collector = Collector(account)
    for tag, values in (("lm loss", loss), ("elapsed time per iteration (ms)", 1000 * seconds)):
        tags = np.full(len(STEPS), collector.position(tag), np.int32)
        collector.extend(tags, STEPS, values, np.full(len(STEPS), np.nan), STEPS)
    file = FileTelemetry(Path("a.out"), "megatron", "byte", (collector.finish(),), account)
    run = TrainingRun(id="a", telemetry=("a.out",))
    limited = tuple(Window(first=first, last=last) for first, last in windows) or "auto"
    spec = InvestigationSpec(version=1, name="x", runs=(run,), windows=limited)
    result = investigate(spec, {"a": analyse_run(run, join([file]), ())})
    return [finding for finding in result.findings if finding.reading is Reading.SHOWN]


def test_clean_runs_have_next_to_no_findings() -> None:
    generator = np.random.default_rng(3)
    alarms = 0
    for i in range(RUNS):
        seconds = np.exp(0.03 * generator.standard_normal(len(STEPS)))
        alarms += bool(shown(curve(generator, (0.0, 0.3, 0.6)[i % 3]), seconds))
    assert alarms <= 4  # of 30; at 5 % more have a chance of 2 %, and 200 runs had 4


def test_planted_faults_are_shown_and_windows_limit_them() -> None:
    generator = np.random.default_rng(4)
    placed = 0
    for _ in range(10):
        loss, seconds = curve(generator, 0.3), np.exp(0.03 * generator.standard_normal(len(STEPS)))
        loss[1000] += 0.3
        loss[2000:] += 0.05
        seconds[1500:] *= 1.25
        ids = {finding.id for finding in shown(loss, seconds)}
        assert {"a.spike.1000", "a.step_time"} <= ids
        shifts = [int(each.rpartition(".")[2]) for each in ids if each.startswith("a.shift.")]
        placed += any(abs(step - 2000) <= 20 for step in shifts)
        assert "a.spike.1000" not in {finding.id for finding in shown(loss, seconds, (1900, 2100))}
    assert placed >= 8
