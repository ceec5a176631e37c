"""Balance of experts: measures by hand, dead experts, shifts by the mixture and by something else, nothing planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpus_audit.checks.representations.expert_analysis import ExpertAnalysis, analyse_experts
from corpus_audit.checks.representations.expert_findings import expert_findings, expert_tables
from corpus_audit.pipelines.sampling.log.mixture_by_step import StepMixture
from corpus_audit.pipelines.statistics.telemetry.expert_balance import expert_balance, mixture_effect
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry
from corpus_audit.pipelines.telemetry.segments import RunTelemetry, join
from corpus_audit.schemas.run.findings import Finding, Reading
from corpus_audit.schemas.spec.investigation import Event
from corpus_audit.schemas.tables.investigation.representation_tables import EXPERT_TABLES

STEPS, EXPERTS, SHIFT = 1200, 8, 800
DOMAINS = ("web", "code", "books")


def telemetry(series: dict[str, np.ndarray]) -> RunTelemetry:
    account = Account()
    collector = Collector(account)
    for tag, values in series.items():
        tags = np.full(len(values), collector.position(tag), np.int32)
        collector.extend(tags, np.arange(len(values)), values, np.full(len(values), np.nan), np.arange(len(values)))
    return join([FileTelemetry(Path("a.jsonl"), "jsonl", "byte", (collector.finish(),), account)])


def mixture(rng: np.random.Generator, changed: bool) -> StepMixture:
    """Shares of documents drawn, 200 a step; code goes from 30 to 55 % at step 800 if the mixture changes."""
    shares = np.empty((STEPS, 3))
    for step in range(STEPS):
        p = (0.35, 0.55, 0.1) if changed and step >= SHIFT else (0.6, 0.3, 0.1)
        shares[step] = rng.multinomial(200, p) / 200
    return StepMixture(np.arange(STEPS), shares, DOMAINS)


def loads(rng: np.random.Generator, drawn: StepMixture, route: np.ndarray, more: float = 0.0) -> np.ndarray:
    """Tokens by expert: every domain prefers experts as ``route`` says; from step 800 on one gets ``more``."""
    p = drawn.shares @ route
    p[SHIFT:, 0] += more
    p /= p.sum(axis=1, keepdims=True)
    return np.stack([rng.multinomial(20_000, row) for row in p]).astype(float)


def route(rng: np.random.Generator) -> np.ndarray:
    """Shares of experts by domain; code is sent to the first one more than others are."""
    table = rng.dirichlet(np.full(EXPERTS, 60.0), 3)
    table[1, 0] += 0.25
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def analysis(rng: np.random.Generator, changed: bool, more: float, known: bool = True) -> ExpertAnalysis:
    drawn = mixture(rng, changed)
    tags = {}
    for layer in range(2):
        values = loads(rng, drawn, route(rng), more if layer else 0.0)
        tags |= {f"moe/layer_{layer}/expert_{e}/tokens": values[:, e] for e in range(EXPERTS)}
    run = telemetry(tags | {"lm loss": np.linspace(3, 2, STEPS), "moe/temperature": np.ones(STEPS)})
    return analyse_experts("now", run, "moe/*", drawn if known else None, 0, "no log")


def by_id(result: ExpertAnalysis, *events: Event) -> dict[str, Finding]:
    return {finding.id: finding for finding in expert_findings(result, events)}


def test_measures_by_hand() -> None:
    balance = expert_balance(np.array([[1.0, 1, 1, 1], [4, 0, 0, 0], [2, 1, 1, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(balance.violation, [0, 3, 1, np.nan])
    np.testing.assert_allclose(balance.variation, [0, 3**0.5, 0.5**0.5, np.nan])
    np.testing.assert_allclose(balance.entropy, [1, 0, 0.75, np.nan], atol=1e-12)


def test_the_effect_of_a_mixture_is_that_which_was_planted_and_its_nulls_hold() -> None:
    rng = np.random.default_rng(4)
    shares = rng.multinomial(100, (0.6, 0.3, 0.1), 800) / 100
    slopes = np.array([0.0, 2.0, -1.0])
    effect = mixture_effect(shares @ slopes + 0.05 * rng.standard_normal(800), shares)
    assert effect is not None and effect.p < 0.01
    change = effect.change(np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.4, 0.1]))
    assert change.low < 0.2 < change.high and change.high - change.low < 0.05
    p = []
    for _ in range(200):  # noise of first-order dependence
        noise = np.zeros(400)
        for i, value in enumerate(rng.standard_normal(400).tolist()):
            noise[i] = 0.7 * noise[i - 1] + value
        null = mixture_effect(noise, rng.multinomial(100, (0.6, 0.3, 0.1), 400) / 100)
        assert null is not None
        p.append(null.p)
    assert 3 <= sum(value <= 0.05 for value in p) <= 19  # of 200: 5 % gives 10, with standard deviation 3.1
    assert mixture_effect(np.ones(400), shares[:400]) is None


def test_a_shift_that_the_mixture_explains_and_one_that_it_does_not() -> None:
    explained = by_id(analysis(np.random.default_rng(1), changed=True, more=0.0))
    shifts = [each for name, each in explained.items() if ".shift." in name]
    assert shifts and all(each.reading is Reading.SHOWN for each in shifts)
    assert all(abs(int(each.id.rpartition(".")[2]) - SHIFT) <= 10 for each in shifts)
    assert {each.explanations[0].state.value for each in shifts} == {"not ruled out"}
    assert explained["now.experts.mixture"].reading is Reading.SHOWN
    assert "10 points more of code in place of" in explained["now.experts.mixture"].detail

    event = Event(step=SHIFT - 2, what="new router")
    other = by_id(analysis(np.random.default_rng(2), changed=False, more=0.3), event)
    (shift,) = [each for name, each in other.items() if ".shift." in name]
    assert shift.id.startswith("now.experts.shift.1.") and shift.claim.startswith("the largest load over the mean - 1")
    assert [each.state.value for each in shift.explanations] == ["ruled out", "not ruled out"]
    assert shift.explanations[1].what == "new router" and shift.effect is not None and shift.effect.value > 1


def test_without_anything_planted_nothing_is_shown_and_without_a_log_it_is_untested() -> None:
    rng = np.random.default_rng(3)
    even = np.full((3, EXPERTS), 1 / EXPERTS)
    drawn = mixture(rng, False)
    values = loads(rng, drawn, even)
    run = telemetry({f"block 0{e // 4}/expert.{e % 4}": values[:, e] for e in range(EXPERTS)})
    result = analyse_experts("now", run, "block*", drawn, 0, "")
    assert [each.series.layer for each in result.layers] == [0, 1]
    findings = by_id(result)
    assert {each.reading for each in findings.values()} == {Reading.NOT_SHOWN} and len(findings) == 3
    without = by_id(analysis(np.random.default_rng(2), changed=False, more=0.3, known=False))
    (shift,) = [each for name, each in without.items() if ".shift." in name]
    assert (shift.explanations[0].state.value, shift.explanations[0].figure) == ("untested", "no log")
    assert without["now.experts.mixture"].reading is Reading.NOT_ENOUGH


def test_dead_experts_tags_that_are_not_understood_and_tables() -> None:
    rng = np.random.default_rng(5)
    values = rng.multinomial(5000, [0.25, 0.25, 0.25, 0.25], STEPS).astype(float)
    values[-300:, 3] = 0
    tags = {f"moe/layer.7/expert_{e}": values[:, e] for e in range(4)}
    tags |= {f"moe/layer.8/expert_{e}": values[:, e] - 1300 for e in range(4)}
    tags |= {"moe/load_balancing_loss_layer_7": 1 + 0.01 * rng.standard_normal(STEPS), "moe/aux": np.ones(STEPS)}
    result = analyse_experts("now", telemetry(tags), "moe/*", None, 0, "no log")
    assert [(each.series.layer, len(each.series.experts)) for each in result.layers] == [(7, 4), (7, 0)]
    assert set(result.refused) == {"moe/layer.8/expert_*", "moe/aux"}
    dead = by_id(result)["now.experts.dead"]
    assert dead.reading is Reading.SHOWN and "1 expert of now" in dead.claim and "layer 7: 3" in dead.claim
    assert sum(dead.excluded.values()) == 2
    tables = dict(expert_tables(result))
    assert {name: table.schema for name, table in tables.items()} == EXPERT_TABLES
    assert tables["expert_layers"]["dead"].to_pylist() == [1, None]
    nothing = by_id(analyse_experts("now", telemetry({"moe/aux": np.ones(9)}), "moe/*", None, 0, ""))
    assert nothing["now.experts"].reading is Reading.NOT_ENOUGH and "neither a layer" in nothing["now.experts"].detail


@pytest.mark.slow
def test_clean_layers_have_next_to_no_findings() -> None:
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(40):
        findings = by_id(analysis(rng, changed=False, more=0.0))
        alarms += any(".shift." in name for name in findings)
    assert alarms <= 5  # of 40; at 5 % more have a chance of 1.4 %
