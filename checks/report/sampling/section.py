"""The report's section on sampling strategies: what each would draw, how often, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite, log
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.report.sampling import charts, log_chart
from corpus_audit.checks.report.sampling.log_section import load_log, log_sentences
from corpus_audit.checks.report.sampling.records import (
    Band,
    DocumentWeightRow,
    DocumentWeights,
    DomainDraws,
    Draw,
    SamplingView,
    StrategyRow,
)
from corpus_audit.checks.report.sampling.sentences import lines, sentences
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.checks.text.sentences import Finding
from corpus_audit.pipelines.statistics.sampling.strategies import temperature
from corpus_audit.pipelines.storage.run_directory import RunDirectory

CURVES = 8
"""Domains that are drawn with a curve of their own."""

LISTED = 30
"""Domains in the table; the chart of repeats shows as many as `charts.ROWS` rows allow."""

WEIGHT_ROWS = 12
"""Domains in a chart of document weights."""

ALPHAS = tuple(1 - step / 40 for step in range(41))
"""Temperature exponents of the curves, from proportional (1) to uniform (0)."""

LINE = 68
"""Columns of a line of the terminal's summary, without the topic."""

NEEDED = ("sampling", "sampling_strategies")
"""Tables without which there is no section."""


def load(run: RunDirectory) -> SamplingView | None:
    """What the section shows; None when the run has no sampling tables.

    Raises:
        StoreError: a table is damaged.
    """
    if any(not (run.folder / "tables" / f"{name}.parquet").exists() for name in NEEDED):
        return None
    table = run.table("sampling")
    rows, summaries = table.to_pylist(), run.table("sampling_strategies").to_pylist()
    if not rows or not summaries:
        return None
    by_strategy: dict[str, dict[str, dict[str, Any]]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for row in rows:
        by_strategy.setdefault(row["strategy"], {})[row["domain"]] = row
        sizes[row["domain"]] = (row["unique_tokens"], row["unique_documents"])
    strategies = tuple(_strategy(row, by_strategy.get(row["strategy"], {})) for row in summaries)
    everything = [
        DomainDraws(
            name, *sizes[name], tuple(_draw(by_strategy.get(row.name, {}).get(name)) for row in strategies), (), ()
        )
        for name in sorted(sizes, key=lambda name: (-sizes[name][0], name))
    ]
    budget = float(summaries[0]["budget"])
    curves, band = _curves(everything, budget)
    listed = _most_informative(everything, LISTED)
    return SamplingView(
        budget=int(budget),
        parameters=_whole_number(summaries[0]["parameters"]),
        optimal=_whole_number(summaries[0]["optimal_tokens"]),
        unique=sum(unique for unique, _ in sizes.values()),
        domains=len(sizes),
        strategies=strategies,
        alphas=ALPHAS,
        curves=curves,
        band=band,
        listed=listed,
        repeats=_most_informative(listed, charts.shown_domains(len(strategies))),
        document_weights=tuple(_document_weights(summaries, by_strategy)),
        log=load_log(run),
    )


def section(view: SamplingView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    log = view.log
    return Markup(
        environment.get_template("sampling/sampling.html").render(
            view=view,
            worth_chart=charts.effective_tokens(view),
            share_chart=charts.against_temperature(view, "share"),
            epoch_chart=charts.against_temperature(view, "epochs"),
            repeat_chart=charts.repeats(view),
            weight_charts=[charts.document_weights(row, index) for index, row in enumerate(view.document_weights)],
            log_chart=log_chart.windows(log) if log is not None else None,
            three_digits=charts.three_digits,
            probability=charts.probability,
            key=charts.key,
            notable_windows=[w for w in log.windows if w.differs or w.both] if log is not None else [],
            log_sentences=tuple(log_sentences(log)) if log is not None else (),
        )
    )


def findings(view: SamplingView) -> tuple[Finding, ...]:
    """The summary's findings on the strategies and on the sampler's log."""
    topics = [Finding("Sampling", "sampling", tuple(sentences(view)), tuple(summary_lines(view)))]
    if view.log is not None:
        topics.append(Finding("Sampler", "sampler", tuple(log_sentences(view.log))))
    return tuple(topics)


def summary_lines(view: SamplingView) -> list[str]:
    """At most four lines of at most 68 columns for a terminal."""
    return [fit(safe_text(line, 400), LINE).rstrip() for line in lines(view)]


def _strategy(row: dict[str, Any], domains: dict[str, dict[str, Any]]) -> StrategyRow:
    return StrategyRow(
        name=row["strategy"],
        kind=row["kind"],
        alpha=1.0 if row["kind"] == "proportional" else _alpha(domains) if row["kind"] == "temperature" else None,
        allocated=int(row["allocated"]),
        # The budget is a float: the rounding error of a share is not a shortfall.
        unallocated=int(row["unallocated"]) if row["unallocated"] > 1e-9 * row["budget"] else 0,
        reason=row["unallocated_reason"] or "",
        coverage=row["coverage"],
        coverage_replaced=row["coverage_replaced"],
        effective=int(row["effective_tokens"]),
        epochs_maximum=row["epochs_maximum"],
        epochs_domain=row["epochs_maximum_domain"],
        exhausted=_whole_number(row["first_exhausted"]),
        exhausted_domain=row["first_exhausted_domain"],
        kish_share=row["effective_sample_share"],
        kl=max(row["kl_natural"], 0.0),
        effective_domains=row["effective_domains"],
        misread=_finite(row["misread_distance"]),
        per_parameter=_finite(row["tokens_per_parameter"]),
        optimal_ratio=_finite(row["optimal_ratio"]),
        effective_ratio=_finite(row["effective_ratio"]),
        note=row["note"] or "",
        dsir_sample=row["dsir_sample"],
        dsir_effective=_finite(row["dsir_effective"]),
        dsir_top=_finite(row["dsir_top_weight"]),
        dsir_kl=_finite(row["dsir_kl_reduction"]),
    )


def _alpha(domains: dict[str, dict[str, Any]]) -> float | None:
    """The exponent behind a temperature strategy's weights: the log weights are a line over the log sizes."""
    weighted = [row for row in domains.values() if row["unique_tokens"] and row["weight"]]
    small, large = (pick(weighted, key=lambda row: row["unique_tokens"], default=None) for pick in (min, max))
    if small is None or large is None or small["unique_tokens"] == large["unique_tokens"]:
        return None
    return log(large["weight"] / small["weight"]) / log(large["unique_tokens"] / small["unique_tokens"])


def _draw(row: dict[str, Any] | None) -> Draw | None:
    if row is None:
        return None
    return Draw(
        share=row["share"],
        low=_finite(row["share_low"]),
        high=_finite(row["share_high"]),
        drawn=int(row["drawn"]),
        epochs=_finite(row["epochs"]),
        exhaustion=_whole_number(row["exhaustion"]),
        expected=_finite(row["draws"]),
        most=row["draws_maximum"],
        most_replaced=row["draws_maximum_replaced"],
    )


def _curves(domains: Sequence[DomainDraws], budget: float) -> tuple[tuple[DomainDraws, ...], Band | None]:
    """Share and epochs over `ALPHAS` of the domains that get a curve, and the range of all other domains."""
    unique = np.array([row.unique for row in domains], dtype=np.float64)
    shares = np.stack([temperature(unique, budget, alpha).share for alpha in ALPHAS])
    with np.errstate(divide="ignore", invalid="ignore"):
        epochs = shares * budget / unique
    column = {row.name: index for index, row in enumerate(domains)}
    with_tokens = [row for row in domains if row.unique]
    named = _most_informative(with_tokens, CURVES)
    curves = tuple(
        DomainDraws(
            row.name,
            row.unique,
            row.documents,
            row.draws,
            tuple(shares[:, column[row.name]].tolist()),
            tuple(epochs[:, column[row.name]].tolist()),
        )
        for row in named
    )
    others = [column[row.name] for row in with_tokens if row not in named]
    if not others:
        return curves, None
    return curves, Band(
        len(others),
        tuple(shares[:, others].min(axis=1).tolist()),
        tuple(shares[:, others].max(axis=1).tolist()),
        tuple(epochs[:, others].min(axis=1).tolist()),
        tuple(epochs[:, others].max(axis=1).tolist()),
    )


def _most_informative(domains: Sequence[DomainDraws], most: int) -> tuple[DomainDraws, ...]:
    """The largest domains and those repeated most under any strategy, half each; the largest first."""
    if len(domains) <= most:
        return tuple(domains)
    kept = {row.name for row in domains[: most // 2]}
    for row in sorted(domains, key=lambda row: (-_most_epochs(row), row.unique, row.name)):
        if len(kept) == most:
            break
        kept.add(row.name)
    return tuple(row for row in domains if row.name in kept)


def _most_epochs(row: DomainDraws) -> float:
    return max((draw.epochs or 0.0 for draw in row.draws if draw is not None), default=0.0)


def _document_weights(
    summaries: Sequence[dict[str, Any]], by_strategy: dict[str, dict[str, dict[str, Any]]]
) -> Iterator[DocumentWeights]:
    """Strategies whose weights are shares of documents, each with the domains whose token share differs most."""
    for summary in summaries:
        rows = [row for row in by_strategy.get(summary["strategy"], {}).values() if row["weight_unit"] == "documents"]
        if not rows:
            continue
        weights = [
            DocumentWeightRow(
                row["domain"],
                row["weight"] or 0.0,
                row["share"],
                _finite(row["misread_share"]),
                row["unique_tokens"] / row["unique_documents"] if row["unique_documents"] else None,
            )
            for row in rows
            if row["weight"] or row["share"]
        ]
        weights.sort(key=lambda row: (-abs(row.share - row.weight), row.domain))
        distance = _finite(summary["misread_distance"])
        if distance is None:
            distance = sum(abs(row.share - row.weight) for row in weights) / 2
        shown = sorted(weights[:WEIGHT_ROWS], key=lambda row: (-row.weight, row.domain))
        yield DocumentWeights(summary["strategy"], distance, tuple(shown), len(weights) - len(shown))


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _whole_number(value: float | None) -> int | None:
    return int(value) if value is not None and isfinite(value) else None
