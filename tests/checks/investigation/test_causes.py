""" "Caused" is said where a twin and matched windows agree, and not where only one of the two does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.investigation.drawn_windows import analyse_drawn
from corpus_audit.checks.investigation.investigation import investigate
from corpus_audit.checks.investigation.run_analysis import RunAnalysis, analyse_run
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry
from corpus_audit.pipelines.telemetry.segments import join
from corpus_audit.schemas.run.findings import Finding, Reading
from corpus_audit.schemas.spec.investigation import DrawnDocuments, Event, InvestigationSpec, TrainingRun

STEPS, BATCH, BAD, MODEL = 1200, 40, 700, 400
DRAWN = DrawnDocuments(log="log.parquet")


def analysed(name: str, loss: np.ndarray, twin: str | None) -> RunAnalysis:
    account = Account()
    collector = Collector(account)
    norm = 1 + 0.02 * np.random.default_rng(3).standard_normal(STEPS)
    for tag, values in (("lm loss", loss), ("grad norm", norm)):
        tags = np.full(STEPS, collector.position(tag), np.int32)
        collector.extend(tags, np.arange(STEPS), values, np.full(STEPS, np.nan), np.arange(STEPS))
    file = FileTelemetry(Path(f"{name}.out"), "megatron", "byte", (collector.finish(),), account)
    return analyse_run(TrainingRun(id=name, telemetry=("x",), same_order_as=twin), join([file]), ())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A log with bad documents at step 700 and the loss of it; at step 400 the model is worse at everything."""
    root = tmp_path_factory.mktemp("causes")
    rng = np.random.default_rng(12)
    step = np.repeat(np.arange(STEPS), BATCH)
    domain, tokens = rng.choice(3, len(step), p=(0.6, 0.3, 0.1)), rng.integers(50, 500, len(step))
    level = 2 + 8 * (np.arange(STEPS) + 10.0) ** -0.4 + 0.05 * rng.standard_normal(STEPS)
    loss = level[step] + np.array([0.0, -0.8, 0.3])[domain] + 0.3 * rng.standard_normal(len(step))
    bad = (step == BAD) & (np.arange(len(step)) % 3 == 0)
    loss[bad] += 6
    loss[step == MODEL] += 1.5
    names = [f"bad-{i}" if wrong else f"d{i}" for i, wrong in enumerate(bad.tolist())]
    table = {"step": step, "tokens": tokens, "document": names, "loss": loss, "domain": np.array(list("abc"))[domain]}
    pq.write_table(pa.table(table), root / "log.parquet")
    return root, np.bincount(step, weights=tokens * loss) / np.bincount(step, weights=tokens)


def causes(
    world: tuple[Path, np.ndarray], twin: str = "spikes", log: bool = True, events: tuple[Event, ...] = ()
) -> dict[str, Finding]:
    """Findings on causes with a twin that has all spikes, has none, falls there, is unrelated, or is not there."""
    root, loss = world
    runs = {"now": analysed("now", loss, None if twin == "none" else "twin")}
    if twin != "none":
        rng = np.random.default_rng(5)
        other = loss + 0.01 * rng.standard_normal(STEPS)
        if twin == "clean":
            other[[BAD, MODEL]] = other[[BAD - 1, MODEL - 1]]
        elif twin == "falls":
            other[BAD] = other[BAD - 1] - 0.25
        elif twin == "unrelated":
            other = 2 + 8 * (np.arange(STEPS) + 10.0) ** -0.4 + 0.05 * rng.standard_normal(STEPS)
            other[BAD] += 2
        runs["twin"] = analysed("twin", other, None)
    spec = InvestigationSpec(
        version=1, name="x", runs=tuple(run.spec for run in runs.values()), drawn=DRAWN if log else None, events=events
    )
    drawn = analyse_drawn(DRAWN, root, runs["now"], []) if log else None
    findings = {f.id: f for f in investigate(spec, runs, drawn=drawn).findings if ".cause." in f.id}
    for finding in findings.values():
        assert ("caused" in finding.model_dump_json()) == (finding.reading is Reading.SHOWN)
    return findings


def test_twin_and_windows_agree(world: tuple[Path, np.ndarray]) -> None:
    findings = causes(world)
    cause = findings[f"now.cause.{BAD}"]
    assert cause.reading is Reading.SHOWN and "caused its spike at step 700" in cause.claim
    assert "twin, which drew the same batches, rises by" in cause.detail and "of excess loss" not in cause.claim
    assert cause.effect is not None and cause.effect.low is not None and 1.0 < cause.effect.low < cause.effect.value
    assert all(row.shown.startswith("document bad-") for row in cause.evidence) and len(cause.evidence) == 10
    assert {each.state for each in cause.explanations if each.what in ("chance",)} == {"ruled out"}
    # The model is worse at all documents of step 400, and so is the twin: its recipe may do that, its documents do not.
    other = findings[f"now.cause.{MODEL}"]
    assert other.reading is Reading.NOT_SHOWN and "documents unlike the others" in other.detail
    assert findings[f"twin.cause.{BAD}"].reading is Reading.NOT_ENOUGH  # the log is that of the other run


def test_no_control_window_holds_the_rest_of_a_lasting_spike(tmp_path: Path) -> None:
    """Bad documents in twelve steps, of which the first is the highest: its window holds one of them."""
    rng = np.random.default_rng(13)
    step, tokens = np.repeat(np.arange(STEPS), BATCH), np.full(STEPS * BATCH, 200)
    loss = 2 + 8 * (step + 10.0) ** -0.4 + 0.3 * rng.standard_normal(len(step))
    bad = (step >= BAD) & (step < BAD + 12) & (np.arange(len(step)) % 3 == 0)
    loss[bad] += np.where(step[bad] == BAD, 5.5, 4.5)
    log = {"step": step, "tokens": tokens, "document": [f"d{i}" for i in range(len(step))], "loss": loss}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    run = analysed("now", np.bincount(step, weights=tokens * loss) / np.bincount(step, weights=tokens), None)
    documents = analyse_drawn(DRAWN, tmp_path, run, []).spikes[BAD]
    assert documents.avoided == (BAD - 5, BAD + 11) and documents.comparison is not None
    # The smallest p that this many control windows give: one of them would hold five bad steps of the same spike.
    assert documents.comparison.p == 1 / (1 + documents.comparison.controls)


def test_windows_alone_are_not_enough(world: tuple[Path, np.ndarray]) -> None:
    for twin in ("none", "unrelated"):
        cause = causes(world, twin)[f"now.cause.{BAD}"]
        assert cause.reading is Reading.NOT_ENOUGH and "no run that drew the same batches" in cause.detail
        assert "the comparison of windows speaks for it" in cause.detail


def test_a_twin_without_the_spike_speaks_against_it(world: tuple[Path, np.ndarray]) -> None:
    cause = causes(world, "clean")[f"now.cause.{BAD}"]
    assert cause.reading is Reading.NOT_SHOWN and "twin, which drew the same batches, " in cause.detail


def test_a_twin_whose_loss_falls_there_is_said_to_fall(world: tuple[Path, np.ndarray]) -> None:
    cause = causes(world, "falls")[f"now.cause.{BAD}"]
    assert cause.reading is Reading.NOT_SHOWN and "twin, which drew the same batches, falls by 0." in cause.detail


def test_a_twin_alone_is_not_enough(world: tuple[Path, np.ndarray]) -> None:
    for step in (BAD, MODEL):
        cause = causes(world, log=False)[f"now.cause.{step}"]
        assert cause.reading is Reading.NOT_ENOUGH and "the twin speaks for it" in cause.detail
    assert causes(world, "none", log=False) == {}


def test_what_both_runs_share_is_not_called_a_cause(world: tuple[Path, np.ndarray]) -> None:
    node, all_runs = Event(step=BAD - 3, what="node change", run="now"), Event(step=BAD - 3, what="new data version")
    assert causes(world, events=(node,))[f"now.cause.{BAD}"].reading is Reading.SHOWN  # the twin was not met by it
    cause = causes(world, events=(all_runs,))[f"now.cause.{BAD}"]
    assert cause.reading is Reading.NOT_ENOUGH and "not ruled out is new data version" in cause.detail
