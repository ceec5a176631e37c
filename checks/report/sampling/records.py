"""The frozen records that the report's section on sampling is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from corpus_audit.checks.report.profile.records import Unit


@dataclass(frozen=True)
class StrategyRow:
    """A strategy's totals; tokens unless said otherwise.

    ``alpha`` is the exponent of a proportional or temperature strategy, which puts it on the temperature curve;
    ``exhausted`` is in training tokens; ``kl`` in bits; ``misread`` a total variation distance of shares.
    """

    name: str
    kind: Literal["proportional", "temperature", "unimax", "weights", "dsir"]
    alpha: float | None
    allocated: int
    unallocated: int
    reason: str
    coverage: float
    coverage_replaced: float
    effective: int
    epochs_maximum: float
    epochs_domain: str
    exhausted: int | None
    exhausted_domain: str
    kish_share: float
    kl: float
    effective_domains: float
    misread: float | None
    per_parameter: float | None
    optimal_ratio: float | None
    effective_ratio: float | None
    note: str
    dsir_sample: int | None
    dsir_effective: float | None
    dsir_top: float | None
    dsir_kl: float | None


@dataclass(frozen=True)
class Draw:
    """What a strategy draws from a domain.

    ``exhaustion`` is in training tokens; ``expected`` draws of a document, ``most`` of any document without
    replacement, ``most_replaced`` the 99.9 % quantile of that maximum with replacement.
    """

    share: float
    low: float | None
    high: float | None
    drawn: int
    epochs: float | None
    exhaustion: int | None
    expected: float | None
    most: int | None
    most_replaced: int | None


@dataclass(frozen=True)
class DomainDraws:
    """A domain: unique tokens and documents, draws in the order of the strategies, its curves over alpha or ()."""

    name: str
    unique: int
    documents: int
    draws: tuple[Draw | None, ...]
    shares: tuple[float, ...]
    epochs: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """The range, by alpha, of the curves of ``domains`` domains that are not drawn by themselves."""

    domains: int
    share_low: tuple[float, ...]
    share_high: tuple[float, ...]
    epochs_low: tuple[float, ...]
    epochs_high: tuple[float, ...]


@dataclass(frozen=True)
class DocumentWeightRow:
    """A domain's document weight, the share of training tokens it gives, and the share if it were a token weight.

    ``length`` is the mean number of tokens of a document.
    """

    domain: str
    weight: float
    share: float
    misread: float | None
    length: float | None


@dataclass(frozen=True)
class DocumentWeights:
    """A strategy with weights by document: the domains whose token share differs most, and how many are not listed."""

    strategy: str
    distance: float
    rows: tuple[DocumentWeightRow, ...]
    hidden: int


@dataclass(frozen=True)
class Window:
    """A window of steps over all domains: distance from the intended mixture, its test, and the loss."""

    first: int
    last: int
    documents: int
    tokens: int
    distance: float | None
    p: float | None
    q: float | None
    loss: float | None
    loss_of_mixture: float | None
    loss_jump: float | None
    jump_q: float | None
    differs: bool
    both: bool
    reason: str


@dataclass(frozen=True)
class SharePoint:
    """A domain's realised share in a window, with its 95 % interval."""

    share: float | None
    low: float | None
    high: float | None
    differs: bool


@dataclass(frozen=True)
class Series:
    """A domain over the windows against its intended share."""

    domain: str
    intended: float
    points: tuple[SharePoint, ...]


@dataclass(frozen=True)
class LoggedDomain:
    """A domain over the whole log; ``order`` says whether its share has a trend (None: not tested)."""

    domain: str
    everything: bool
    unknown: bool
    draws: int
    tokens: int
    share: float
    intended: float | None
    q: float | None
    differs: bool
    early: float | None
    late: float | None
    trend_q: float | None
    order: bool | None
    documents: int | None
    drawn: int | None
    never: int | None
    never_expected: float | None
    never_replaced: float | None
    mean: float | None
    most: int | None
    limit: int | None
    drawing: str
    reason: str


@dataclass(frozen=True)
class LoggedDocument:
    """A document drawn often; ``p`` is the chance that any of its domain is drawn so often."""

    document: str
    domain: str
    draws: int
    expected: float | None
    p: float | None


@dataclass(frozen=True)
class LogView:
    """What a sampler drew: windows, the domains that moved most, all domains to list, the most drawn documents.

    ``unusual`` of the ``listed_documents`` were drawn more often than by chance (p at most 0.001);
    ``trending`` and ``uneven`` name all domains whose share has a trend over the steps,
    and whose documents are drawn unevenly.
    """

    unit: Unit
    windows: tuple[Window, ...]
    series: tuple[Series, ...]
    hidden_series: int
    rows: tuple[LoggedDomain, ...]
    hidden_rows: int
    documents: tuple[LoggedDocument, ...]
    unusual: int
    listed_documents: int
    trending: tuple[str, ...]
    uneven: tuple[str, ...]


@dataclass(frozen=True)
class SamplingView:
    """Everything that the section shows.

    ``listed`` are the domains of the table of draws, ``repeats`` those of the chart of repeats.
    """

    budget: int
    parameters: int | None
    optimal: int | None
    unique: int
    domains: int
    strategies: tuple[StrategyRow, ...]
    alphas: tuple[float, ...]
    curves: tuple[DomainDraws, ...]
    band: Band | None
    listed: tuple[DomainDraws, ...]
    repeats: tuple[DomainDraws, ...]
    document_weights: tuple[DocumentWeights, ...]
    log: LogView | None
