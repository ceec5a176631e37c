"""The frozen records that the report's section on contamination is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckRow:
    """A rule's self-check: planted copies that it found of those it must find, decoys hit, and their 95 % interval.

    ``passed`` is None where nothing could be planted.
    """

    rule: str
    version: int
    canaries: int
    found: int
    passed: bool | None
    decoys: int
    decoy_share: float | None
    hit: int | None
    rate: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class CopyRow:
    """A kind of copy: what is done to the item, and for each rule of `ContaminationView.checks` (found, planted).

    ``required`` are the rules that must find all of them.
    """

    name: str
    about: str
    found: tuple[tuple[int, int], ...]
    required: tuple[str, ...]

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest recall over the rules; None where nothing was planted."""
        shares = [found / planted for found, planted in self.found if planted]
        return (min(shares), max(shares)) if shares else None


@dataclass(frozen=True)
class RuleRow:
    """A benchmark under a rule; ``share`` is contaminated of testable with its exact interval (Clopper-Pearson)."""

    rule: str
    testable: int
    untestable: int
    contaminated: int | None
    boilerplate: int | None
    share: float | None
    low: float | None
    high: float | None
    mean_score: float | None
    threshold: float | None


@dataclass(frozen=True)
class BenchmarkRow:
    """A benchmark: its items, rows that are not items, remarks, and results by rule; ``contaminated`` by any rule."""

    name: str
    items: int
    bad_rows: int
    bad_reasons: str
    remarks: str
    contaminated: int
    rules: tuple[RuleRow, ...]


@dataclass(frozen=True)
class RuleText:
    """A rule's definition."""

    rule: str
    version: int
    about: str


@dataclass(frozen=True)
class LeakRow:
    """A domain, its items and documents over all benchmarks, and its items in the benchmarks that are named."""

    domain: str
    items: int
    documents: int
    by_benchmark: tuple[int, ...]


@dataclass(frozen=True)
class MatchRow:
    """A document that matches an item: its longest run of equal words (tokens), in bytes of its UTF-8."""

    document: str
    domain: str
    copies: int | None
    longest: int
    unit: str
    covered: float | None
    offset: int | None
    length: int | None


@dataclass(frozen=True)
class ItemRow:
    """A contaminated item: the rules that match, its longest match, the documents listed and how many are not."""

    benchmark: str
    item: str
    rules: tuple[str, ...]
    longest: int
    unit: str
    matches: tuple[MatchRow, ...]
    hidden: int


@dataclass(frozen=True)
class ContaminationView:
    """Everything the section shows.

    ``benchmarks`` are those with the largest shares, ``leak_benchmarks`` the columns of the table of ``leaks``;
    ``limits`` are the boilerplate limits in use, and ``boilerplate`` items would be contaminated but for them;
    ``reasons`` say why a rule has no share: rule, reason, number of benchmarks. ``of_images``: documents are images, of
    which captions are searched.
    """

    checks: tuple[CheckRow, ...]
    copies: tuple[CopyRow, ...]
    benchmarks: tuple[BenchmarkRow, ...]
    hidden_benchmarks: int
    rules: tuple[RuleText, ...]
    items: int
    contaminated: int
    untestable: int
    leaks: tuple[LeakRow, ...]
    hidden_leaks: int
    leak_benchmarks: tuple[str, ...]
    worst: tuple[ItemRow, ...]
    limits: tuple[int, ...]
    boilerplate: int
    reasons: tuple[tuple[str, str, int], ...]
    of_images: bool = False

    @property
    def failed(self) -> tuple[CheckRow, ...]:
        """Rules that missed a planted copy that they must find."""
        return tuple(row for row in self.checks if row.passed is False)

    @property
    def unchecked(self) -> tuple[CheckRow, ...]:
        """Rules for which nothing could be planted."""
        return tuple(row for row in self.checks if row.passed is None)

    @property
    def check_passed(self) -> bool:
        """Whether every rule found every planted copy that it must find."""
        return bool(self.checks) and all(row.passed for row in self.checks)

    @property
    def sampled(self) -> float | None:
        """The share of the corpus in which decoys were searched for; None where that is all of it."""
        shares = [row.decoy_share for row in self.checks if row.decoy_share is not None]
        return shares[0] if shares and shares[0] < 1.0 else None
