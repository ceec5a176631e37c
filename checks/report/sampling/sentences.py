"""What the report says of sampling strategies, in sentences; the page and the terminal share them."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_audit.checks.report.sampling import charts
from corpus_audit.checks.report.sampling.log_section import log_lines
from corpus_audit.checks.report.sampling.records import SamplingView, StrategyRow
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.checks.text.sentences import Name, Sentence


def lines(view: SamplingView) -> list[str]:
    """The strategies and the sampler's log in at most four lines for a terminal."""
    best = _most_worth(view)
    summary = [
        f"{len(view.strategies)} {agree(len(view.strategies), 'strategy', 'strategies')} for "
        f"{numbers.compact(view.budget)} {agree(view.budget, 'token', 'tokens')} from "
        f"{numbers.compact(view.unique)} {agree(view.unique, 'unique one', 'unique ones')}",
        f"worth most: {safe_text(best.name, 24)}, {numbers.compact(best.effective)} effective tokens of "
        f"{numbers.compact(best.allocated)} drawn",
    ]
    short = [row for row in view.strategies if row.unallocated]
    worst = max(view.strategies, key=lambda row: row.epochs_maximum)
    if short:
        most = max(short, key=lambda row: row.unallocated)
        summary.append(f"cannot be drawn: {numbers.compact(most.unallocated)} by {safe_text(most.name, 32)}")
    else:
        summary.append(
            f"most repeated: {safe_text(worst.epochs_domain, 20)}, {charts.three_digits(worst.epochs_maximum)} "
            f"epochs by {safe_text(worst.name, 20)}"
        )
    if view.log is not None:
        summary += log_lines(view.log)
    return summary


def sentences(view: SamplingView) -> Iterator[Sentence]:
    """The summary's sentences on the strategies."""
    best = _most_worth(view)
    budget = numbers.compact(view.budget)
    many = f"Of {len(view.strategies)} strategies for {budget} training tokens, the one worth most is "
    several = len(view.strategies) > 1
    yield (
        many if several else f"Of {budget} training tokens, ",
        Name(best.name),
        f"{': it' if several else ''} draws {numbers.compact(best.allocated)}, worth {numbers.compact(best.effective)} "
        "unique tokens.",
    )
    short = sorted((row for row in view.strategies if row.unallocated), key=lambda row: (-row.unallocated, row.name))
    if short:
        parts: list[str | Name] = ["The budget cannot be drawn in full by "]
        for index, row in enumerate(short[:3]):
            parts += [", " if index else "", Name(row.name), f" ({numbers.compact(row.unallocated)} missing)"]
        more = f" and {numbers.grouped(len(short) - 3)} more" if len(short) > 3 else ""
        yield (*parts, f"{more}.")
    worst = max(view.strategies, key=lambda row: row.epochs_maximum)
    if worst.epochs_maximum > 1:
        yield (
            "The domain repeated most is ",
            Name(worst.epochs_domain),
            f", with {charts.three_digits(worst.epochs_maximum)} epochs under ",
            Name(worst.name),
            ".",
        )
    for weights in view.document_weights:
        yield (
            "The weights of ",
            Name(weights.strategy),
            f" are shares of documents: if they were read as shares of tokens, "
            f"{numbers.percent(weights.distance, 1)} of the training tokens would come from another domain.",
        )


def _most_worth(view: SamplingView) -> StrategyRow:
    return max(view.strategies, key=lambda row: row.effective)
