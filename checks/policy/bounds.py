"""A figure with its interval, compared with bounds: what is certain, what is not, and why, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, exp, floor, hypot, isfinite, log, log10
from typing import Literal

from corpus_audit.checks.text.wording import figure as written
from corpus_audit.schemas.run.results import Bound, Judged, Reference, Status
from corpus_audit.schemas.spec.policy import Rule


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95 % bounds; None is unknown."""

    value: float
    low: float | None
    high: float | None

    @property
    def finite(self) -> bool:
        """Whether every number of it is one."""
        return all(isfinite(number) for number in (self.value, self.low, self.high) if number is not None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule says of a figure.

    ``observed`` is the observed value, after comparison with a reference if there is one; ``judged_value`` is the
    number that was compared with the bounds, None if it was an interval.
    """

    status: Status
    reason: str
    observed: float | None = None
    judged_value: float | None = None


def compared(now: Figure, reference: Reference) -> Figure | Outcome:
    """The figure after comparison with its reference; an outcome where there is no such comparison.

    The interval of a difference of two estimates follows from their own (MOVER: Zou and Donner 2008, Statistics in
    Medicine 27:1693-1702, eq. 4), that of a ratio from the logarithms likewise (their section 3). It takes the two runs
    as independent: runs that share documents differ by less than it says. A band is taken as it is.
    """
    value = reference.value
    if value is None:
        # A band comes with time: with too few runs nothing is missing, there are not enough of them yet.
        status = Status.INSUFFICIENT if reference.too_few_runs else Status.MISSING
        return Outcome(status, reference.reason or "What it is compared with is absent.")
    if reference.compare == "spread":
        return _spread(now, value, reference)
    before = Figure(value, value, value) if reference.kind == "band" else Figure(value, reference.low, reference.high)
    if not before.finite:
        return Outcome(Status.ERROR, "What it is compared with is not a finite number.")
    if reference.compare == "difference":
        return _difference(now, before)
    if value == 0 and now.value == 0:
        return Outcome(Status.INSUFFICIENT, "It is 0, and so is what it is compared with: there is no ratio.")
    if value == 0:
        return Outcome(Status.ERROR, "What it is compared with is 0: there is no ratio; compare the difference.")
    if value < 0 or now.value < 0:
        return Outcome(Status.ERROR, "A ratio of figures below 0 says nothing; compare their difference.")
    return _ratio(now, before)


def _spread(now: Figure, median: float, reference: Reference) -> Figure | Outcome:
    spread = None if reference.high is None else reference.high - median
    if spread is None or not isfinite(spread) or spread < 0:
        return Outcome(Status.ERROR, "The band has no spread.")
    if spread == 0:
        if (now.value, now.low, now.high) == (median, median, median):
            return Figure(0.0, 0.0, 0.0)
        return Outcome(
            Status.INSUFFICIENT,
            f"The last {reference.runs} runs do not differ at all, so there is no spread to compare with.",
        )
    low, high = ((None if end is None else (end - median) / spread) for end in (now.low, now.high))
    return Figure((now.value - median) / spread, low, high)


def _difference(now: Figure, before: Figure) -> Figure:
    difference = now.value - before.value
    # MOVER (Zou and Donner 2008, Statistics in Medicine 27): the distances of two independent estimates from their
    # bounds add in squares, each towards its own side, as the intervals of shares are not symmetric.
    low = high = None
    if now.low is not None and before.high is not None:
        low = difference - hypot(max(now.value - now.low, 0.0), max(before.high - before.value, 0.0))
    if now.high is not None and before.low is not None:
        high = difference + hypot(max(now.high - now.value, 0.0), max(before.value - before.low, 0.0))
    return Figure(difference, low, high)


def _ratio(now: Figure, before: Figure) -> Figure:
    ratio = now.value / before.value
    # The same of the logarithms; where one has none, the end that is certain to lie beyond.
    low = high = None
    if now.low is not None and before.high is not None:
        if now.low > 0 and before.high > 0:
            below = _difference(_logs(now), _logs(before)).low
            low = None if below is None else exp(below)
        else:
            low = 0.0
    if now.high is not None and before.low is not None and before.low > 0:
        if now.value > 0 and now.high > 0:
            above = _difference(_logs(now), _logs(before)).high
            high = None if above is None else exp(above)
        else:
            high = now.high / before.low
    return Figure(ratio, low, high)


def _logs(figure: Figure) -> Figure:
    low, high = ((None if end is None or end <= 0 else log(end)) for end in (figure.low, figure.high))
    return Figure(log(figure.value), low, high)


Certainty = Literal["within", "beyond", "unsure"]


def certainty(figure: Figure, bound: Bound, judged: Judged) -> Certainty | None:
    """Whether a figure lies within a range, ends included; None where the judged bound is unknown.

    ``interval``: beyond if the whole interval lies on the far side of an end, within if none of it does.
    """
    if judged == "interval":
        low, high = figure.low, figure.high
    else:
        low = high = getattr(figure, judged)
    if low is None or high is None:
        return None
    if (bound.maximum is not None and low > bound.maximum) or (bound.minimum is not None and high < bound.minimum):
        return "beyond"
    if (bound.maximum is None or high <= bound.maximum) and (bound.minimum is None or low >= bound.minimum):
        return "within"
    return "unsure"


def judged(figure: Figure, rule: Rule, which: Judged, unit: str, n: int | None = None) -> Outcome:
    """A figure under a rule's bounds.

    An interval that reaches across the fail bound is ``insufficient``. One that is within it and reaches across the
    warn bound warns: a figure does not pass before it is shown to be within.

    Args:
        figure: the value and its interval.
        rule: the bounds.
        which: the figure that is compared with them.
        unit: of the figure and the bounds.
        n: the denominator, to say how much data would be enough; None: that is not said.
    """
    if not figure.finite:
        return Outcome(Status.ERROR, "The figure or one of its bounds is not a finite number.")
    if figure.low is not None and figure.high is not None and figure.low > figure.high:
        return Outcome(Status.ERROR, "The lower bound lies above the upper one.")
    number = None if which == "interval" else getattr(figure, which)
    text = _figure_text(figure, which, unit)
    for status, bound in ((Status.FAIL, rule.fail), (Status.WARN, rule.warn)):
        if bound is None:
            continue
        known = certainty(figure, bound.bound, which)
        if known is None:
            missing = "95 % interval" if which == "interval" else _NAMES[which]
            reason = f"The figure has no {missing} here, and the rule judges by it."
            return Outcome(Status.INSUFFICIENT, reason, figure.value)
        if known == "beyond":
            reason = f"{text} is {_beyond(figure, bound.bound, which, unit)}."
            return Outcome(status, reason, figure.value, number)
        if known == "unsure" and status is Status.FAIL:
            reason = f"{text} may be {_crossed(figure, bound.bound, unit)}, or may not: not enough data to tell."
            return Outcome(Status.INSUFFICIENT, reason + _enough(figure, bound.bound, n), figure.value, number)
        if known == "unsure":
            reason = f"{text} may be {_crossed(figure, bound.bound, unit)}, where the rule warns."
            return Outcome(Status.WARN, reason, figure.value, number)
    return Outcome(Status.PASS, f"{text} is within the bounds.", figure.value, number)


def _enough(figure: Figure, bound: Bound, n: int | None) -> str:
    """How large n would have to be for an interval to end at the bound that it reaches across, if the value stayed.

    Intervals shrink with the square root of n; the answer is rounded up to two digits.
    """
    assert figure.low is not None and figure.high is not None
    ratios = []
    for end in (bound.minimum, bound.maximum):
        if end is not None and figure.low <= end <= figure.high and n:
            reach = figure.high - figure.value if end > figure.value else figure.value - figure.low
            if end == figure.value or reach <= 0:
                return ""
            ratios.append((reach / (end - figure.value)) ** 2)
    if not ratios or not isfinite(enough := (n or 0) * max(ratios)) or enough > 1e12:
        return ""
    digits = 10 ** max(floor(log10(enough)) - 1, 0)
    return f" If the value stays, an n of about {ceil(enough / digits) * digits:,} would be enough (it is {n:,})."


_NAMES: dict[str, str] = {"value": "value", "low": "lower bound", "high": "upper bound"}


def _figure_text(figure: Figure, which: Judged, unit: str) -> str:
    """The figure in words: the observed value always, and what is judged if that is something else."""
    value = written(figure.value, unit)
    if which == "interval":
        if figure.low == figure.high == figure.value or figure.low is None or figure.high is None:
            return value
        bounds = f"[{written(figure.low, unit)}, {written(figure.high, unit)}]".replace(" %,", ",")
        return f"{value} {bounds}"
    if which == "value":
        return value
    return f"{value} was observed; the {_NAMES[which]} {written(getattr(figure, which), unit)}"


def _beyond(figure: Figure, bound: Bound, which: Judged, unit: str) -> str:
    low, high = (figure.low, figure.high) if which == "interval" else (getattr(figure, which),) * 2
    if bound.maximum is not None and low is not None and low > bound.maximum:
        return f"above {written(bound.maximum, unit)}"
    assert high is not None and bound.minimum is not None and high < bound.minimum
    return f"below {written(bound.minimum, unit)}"


def _crossed(figure: Figure, bound: Bound, unit: str) -> str:
    def ends() -> Iterator[str]:
        assert figure.low is not None and figure.high is not None
        if bound.maximum is not None and figure.high > bound.maximum:
            yield f"above {written(bound.maximum, unit)}"
        if bound.minimum is not None and figure.low < bound.minimum:
            yield f"below {written(bound.minimum, unit)}"

    return " or ".join(ends())
