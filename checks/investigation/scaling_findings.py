"""Whether a run is off the scaling law of other runs, and the model and tokens that its compute is best spent on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, Estimate
from corpus_audit.pipelines.statistics.scaling.data_constrained import DataConstrainedLaw
from corpus_audit.pipelines.statistics.scaling.law import ChinchillaLaw
from corpus_audit.pipelines.statistics.scaling.uncertainty import LawWithIntervals, fit_with_intervals
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, Reading, State
from corpus_audit.schemas.tables.investigation.scaling_tables import SCALING_TABLES

FEWEST_OTHERS = 20
"""Runs besides the one asked about; simulated with 8 and 12, 95 % intervals hold 90 and 92 %, with 20 and 40 97 %."""

_UNIT = "nats per token"
_PART = 0.5  # of a deviation, below which epochs do not explain it
_LIMIT = (
    "that the runs can be compared is not tested: one tokenizer and validation set, each at the end of its schedule"
)


@dataclass(frozen=True, slots=True)
class ScalingRun:
    """A run: parameters, tokens, and loss in nats a token."""

    name: str
    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True, slots=True)
class ScalingRuns:
    """The runs of a file, and how many of its rows were left out, by reason."""

    file: str
    runs: tuple[ScalingRun, ...]
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CorpusTokens:
    """Tokens of an audited corpus.

    Attributes:
        unique: tokens of its distinct texts.
        tokens: all of them.
        tokenizer: what they were counted with.
        read: share of the corpus that the audit read.
    """

    unique: int
    tokens: int
    tokenizer: str
    read: float


@dataclass(frozen=True, slots=True)
class UniqueOptimum:
    """The best use of compute where tokens beyond the unique ones are epochs: parameters, tokens, loss.

    Attributes:
        parameters, tokens, loss: with bootstrap intervals.
        price: loss above that of a corpus without end, nats a token.
    """

    parameters: Estimate
    tokens: Estimate
    loss: Estimate
    price: Estimate


@dataclass(frozen=True, slots=True)
class ScalingAnalysis:
    """The law of all runs but one, and what it expects of that one.

    Attributes:
        read: the runs.
        holdout: the run that is asked about.
        others: those that the law is fitted to.
        law: None where there are too few.
        expected: the holdout's loss with its prediction interval, nats a token.
        p: of the holdout's distance from the law.
        optimum: parameters and tokens of the smallest loss for the holdout's compute, with bootstrap intervals.
        corpus: the corpus that the holdout is trained on, if it was audited.
        on_corpus: the best use of the holdout's compute on that corpus.
    """

    read: ScalingRuns
    holdout: ScalingRun
    others: tuple[ScalingRun, ...]
    law: LawWithIntervals | None = None
    expected: Estimate | None = None
    p: float = float("nan")
    optimum: tuple[Estimate, Estimate] | None = None
    corpus: CorpusTokens | None = None
    on_corpus: UniqueOptimum | None = None


def analyse_scaling(read: ScalingRuns, holdout: str, corpus: CorpusTokens | None = None) -> ScalingAnalysis:
    """Fit the law to all runs but the holdout.

    Args:
        read: the runs.
        holdout: name of the one that is asked about.
        corpus: what the holdout is trained on, if it was audited.

    Raises:
        UsageError: no run has the holdout's name.
    """
    one = next((run for run in read.runs if run.name == holdout), None)
    if one is None:
        raise UsageError(f"scaling: {read.file} has no usable run {holdout!r}")
    others = tuple(run for run in read.runs if run is not one)
    if len(others) < FEWEST_OTHERS:
        return ScalingAnalysis(read, one, others, corpus=corpus)
    columns = np.array([(run.parameters, run.tokens, run.loss) for run in others]).T
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # bootstrap laws may run away
        law = fit_with_intervals(*columns)
        expected = law.predict(one.parameters, one.tokens)
        if not np.isfinite([expected.value, expected.low, expected.high]).all():
            return ScalingAnalysis(read, one, others, law, corpus=corpus)
        flops = 6 * one.parameters * one.tokens
        optimum = _optimum(law, flops)
        on_corpus = None if corpus is None or optimum is None else _on_corpus(law, flops, corpus.unique)
        p = law.p_of(one.parameters, one.tokens, one.loss)
        return ScalingAnalysis(read, one, others, law, expected, p, optimum, corpus, on_corpus)


def _on_corpus(law: LawWithIntervals, flops: float, unique: int) -> UniqueOptimum:
    def row(one: ChinchillaLaw) -> tuple[float, float, float, float]:
        parameters, tokens, loss = DataConstrainedLaw(one).optimal(flops, unique)
        return parameters, tokens, loss, loss - float(one.loss(*one.optimal(flops)))

    usable = [one for one in law.replicates if min(one.alpha, one.beta) > 0]
    rows = np.array([row(one) for one in usable])
    low, high = np.quantile(rows, ((1 - LEVEL) / 2, 0.5 + LEVEL / 2), axis=0)
    best = row(law.law)
    return UniqueOptimum(*(Estimate(*map(float, each)) for each in zip(best, low, high, strict=True)))


def _optimum(law: LawWithIntervals, flops: float) -> tuple[Estimate, Estimate] | None:
    """None where the law has none: an exponent is not positive, in it or in more than 5 % of the bootstrap laws."""
    if min(law.law.alpha, law.law.beta) <= 0:
        return None
    usable = [one for one in law.replicates if min(one.alpha, one.beta) > 0]
    points = np.log(np.array([one.optimal(flops) for one in usable]))
    if len(usable) < LEVEL * len(law.replicates) or not np.isfinite(points).all():
        return None
    low, high = np.exp(np.quantile(points, ((1 - LEVEL) / 2, 0.5 + LEVEL / 2), axis=0))
    best = law.law.optimal(flops)
    return Estimate(best[0], float(low[0]), float(high[0])), Estimate(best[1], float(low[1]), float(high[1]))


def scaling_finding(analysis: ScalingAnalysis) -> Finding:
    """Whether the loss of the holdout is outside of what the law of the others expects."""
    one, expected, others = analysis.holdout, analysis.expected, analysis.others
    few = f"{plural(len(others), 'other run')}, and {FEWEST_OTHERS} are needed"
    unknown = Finding(
        id=f"{one.name}.scaling",
        bucket="training",
        question=f"Is the loss of {one.name} off the scaling law of the other runs?",
        claim=f"the loss of {one.name} is off the scaling law of {plural(len(others), 'other run')}",
        reading=Reading.NOT_ENOUGH,
        detail=few if analysis.law is None else "laws of resampled runs differ without bound at this run",
        n=len(others),
        excluded=dict(analysis.read.refused),
    )
    if expected is None:
        return unknown
    bounds = f"95 %: {expected.low:.4g} to {expected.high:.4g}"
    off = not expected.low <= one.loss <= expected.high
    share = 100 * (one.loss / expected.value - 1)
    figures = f"its loss is {one.loss:.4g}, and {expected.value:.4g} is expected ({bounds})"
    most = max(one.loss - expected.low, expected.high - one.loss)
    rest = "" if off else f"; off by at most {most:.2g} {_UNIT}"
    judged = {
        "reading": Reading.SHOWN if off else Reading.NOT_SHOWN,
        "detail": f"{figures}, {abs(share):.2g} % {'above' if share > 0 else 'below'}{rest}",
        "effect": Effect(
            value=one.loss - expected.value, unit=_UNIT, low=one.loss - expected.high, high=one.loss - expected.low
        ),
        "test": "95 % prediction interval of L = E + A / N^alpha + B / D^beta, bootstrap over runs; p by Student's t "
        "of the same distance",
        "p": _finite(analysis.p),
        "q": _finite(analysis.p),
        "family": "scaling law",
        "explanations": _explanations(analysis),
        "limits": (_LIMIT,),
    }
    return unknown.model_copy(update=judged)


def _explanations(analysis: ScalingAnalysis) -> tuple[Explanation, ...]:
    one, others = analysis.holdout, analysis.others
    outside = []
    for name in ("parameters", "tokens"):
        values = [getattr(run, name) for run in others]
        own = getattr(one, name)
        if not min(values) <= own <= max(values):
            outside.append(f"{own:.3g} {name}, and the others have {min(values):.3g} to {max(values):.3g}")
    return (
        Explanation(
            what="the law does not hold as far out as this run is",
            state=State.NOT_RULED_OUT if outside else State.RULED_OUT,
            figure="; ".join(outside) or "parameters and tokens are within those of the other runs",
        ),
        _repeated(analysis),
    )


def _repeated(analysis: ScalingAnalysis) -> Explanation:
    """Whether epochs explain the deviation: by the data-constrained law, with the decay that was fitted to C4."""
    what, one, corpus = "tokens were repeated", analysis.holdout, analysis.corpus
    law, expected = analysis.law, analysis.expected
    if corpus is None or law is None or expected is None or not corpus.unique:
        figure = f"{analysis.read.file} does not say how many tokens were unique; audit under scaling names an audit"
        return Explanation(what=what, state=State.UNTESTED, figure=figure)
    epochs = one.tokens / corpus.unique
    if epochs <= 1 or min(law.law.alpha, law.law.beta) <= 0:
        figure = f"they are {epochs:.2g} of the unique tokens of the corpus; whether some were, the sampler's log says"
        return Explanation(what=what, state=State.UNTESTED, figure=figure)
    constrained = DataConstrainedLaw(law.law)
    tokens = constrained.effective_tokens(one.tokens, corpus.unique)
    more = float(law.law.loss(one.parameters, tokens)) - expected.value
    off = one.loss - expected.value
    figure = f"{epochs:.3g} epochs are worth {tokens:.3g} unique tokens, which adds {more:.2g} of {off:.2g} {_UNIT}"
    state = State.NOT_RULED_OUT if off > 0 and more >= _PART * off else State.RULED_OUT
    return Explanation(
        what=what if state is State.NOT_RULED_OUT else f"{what}, which explains half of it or more",
        state=state,
        figure=figure,
    )


def unique_finding(analysis: ScalingAnalysis) -> Finding | None:
    """Whether the corpus has the unique tokens of the compute-optimal point; None without an audit of it."""
    one, corpus, optimum, best = analysis.holdout, analysis.corpus, analysis.optimum, analysis.on_corpus
    if corpus is None:
        return None
    finding = Finding(
        id=f"{one.name}.scaling.unique",
        bucket="data",
        question=f"Does the corpus have the unique tokens of the compute-optimal point of {one.name}?",
        claim=f"the compute-optimal point of {one.name} has more tokens than the corpus has unique ones",
        reading=Reading.NOT_ENOUGH,
        detail="the law has no optimum for the compute of this run",
        n=len(analysis.others),
        limits=(
            f"unique tokens are those of the tokenizer {corpus.tokenizer} in exactly distinct texts; the law counts "
            "with that of its runs",
            "what repeated tokens are worth is taken from runs on C4 (Muennighoff et al. 2023), not from these runs",
        ),
    )
    if not corpus.unique:
        return finding.model_copy(update={"detail": "the audit counted no tokens"})
    if optimum is None or best is None:
        return finding
    epochs = Estimate(*(value / corpus.unique for value in (optimum[1].value, optimum[1].low, optimum[1].high)))
    figures = (
        f"{optimum[1].value:.3g} tokens (95 %: {optimum[1].low:.3g} to {optimum[1].high:.3g}) of {corpus.unique:.3g} "
        f"unique ones, {epochs.value:.3g} epochs"
    )
    facts: dict[str, object] = {
        "effect": Effect(value=epochs.value, unit="epochs", low=epochs.low, high=epochs.high),
        "test": "compute-optimal tokens of the law, bootstrap over runs, against the audit's tokens of distinct texts",
    }
    if epochs.high <= 1:
        return finding.model_copy(update=facts | {"reading": Reading.NOT_SHOWN, "detail": f"at most {figures}"})
    if corpus.read < 1:
        why = f"the audit read {corpus.read:.1%} of the corpus, which has more than these: {figures}"
        return finding.model_copy(update=facts | {"detail": why})
    if epochs.low <= 1:
        return finding.model_copy(update=facts | {"detail": f"the interval of the optimum holds both: {figures}"})
    spent = (
        f"{figures}. With epochs the best use of this compute is {best.parameters.value:.3g} parameters and "
        f"{best.tokens.value:.3g} tokens ({best.tokens.value / corpus.unique:.3g} epochs) with a loss of "
        f"{best.loss.value:.4g}, {best.price.value:.2g} (95 %: {best.price.low:.2g} to {best.price.high:.2g}) {_UNIT} "
        "above that of a corpus without end"
    )
    return finding.model_copy(update=facts | {"reading": Reading.SHOWN, "detail": spent})


def optimum_sentence(analysis: ScalingAnalysis) -> str | None:
    """What the holdout's compute would have been best spent on by the law; None where the law says nothing of it."""
    if analysis.optimum is None or analysis.law is None:
        return None
    one, (parameters, tokens) = analysis.holdout, analysis.optimum
    best = float(analysis.law.law.loss(parameters.value, tokens.value))
    flops = 6 * one.parameters * one.tokens
    outside = any(
        not min(getattr(run, name) for run in analysis.others)
        <= value.value
        <= max(getattr(run, name) for run in analysis.others)
        for name, value in (("parameters", parameters), ("tokens", tokens))
    )
    return (
        f"For the {flops:.3g} floating-point operations of {one.name} (6 N D), the law has its smallest loss, "
        f"{best:.4g}, at {parameters.value:.3g} parameters (95 %: {parameters.low:.3g} to {parameters.high:.3g}) and "
        f"{tokens.value:.3g} tokens (95 %: {tokens.low:.3g} to {tokens.high:.3g}); {one.name} has {one.parameters:.3g} "
        f"and {one.tokens:.3g}." + (" That point is outside of the runs that the law is fitted to." if outside else "")
    )


def scaling_tables(analysis: ScalingAnalysis) -> Iterator[tuple[str, pa.Table]]:
    """(name, table) with the schemas `SCALING_TABLES`."""
    law = analysis.law
    left_out = [] if law is None else law.left_out.tolist()
    rows = []
    positions = {run.name: number for number, run in enumerate(analysis.others)}
    for run in analysis.read.runs:
        number = positions.get(run.name)
        expected = None if law is None else float(law.law.loss(run.parameters, run.tokens))
        deviation = None
        if law is not None and expected is not None:
            deviation = math.log(run.loss / expected) if number is None else left_out[number]
        rows.append(
            {
                "run": run.name, "role": "holdout" if number is None else "fitted", "parameters": run.parameters,
                "tokens": run.tokens, "loss": run.loss, "expected": expected, "deviation": deviation,
            }
        )  # fmt: skip
    yield "scaling_runs", pa.Table.from_pylist(rows, SCALING_TABLES["scaling_runs"])
    constants = {} if law is None else dict(law.intervals)
    if analysis.optimum is not None:
        constants |= dict(zip(("optimal parameters", "optimal tokens"), analysis.optimum, strict=True))
    if analysis.on_corpus is not None:
        names = ("parameters with epochs", "tokens with epochs", "loss with epochs", "loss of epochs")
        best = analysis.on_corpus
        constants |= dict(zip(names, (best.parameters, best.tokens, best.loss, best.price), strict=True))
    listed = [
        {"constant": name, **{key: _finite(getattr(value, key)) for key in ("value", "low", "high")}}
        for name, value in constants.items()
    ]
    yield "scaling_law", pa.Table.from_pylist(listed, SCALING_TABLES["scaling_law"])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
