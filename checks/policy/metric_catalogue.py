"""The metrics that a run can have, each in a sentence: what `policy check` holds a policy's names against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

Slices = Literal[
    "all",
    "domains",
    "facets",
    "reasons",
    "baselines",
    "baselines and domains",
    "benchmarks",
    "whole benchmarks",
    "rules",
    "copies",
]

EXAMPLES: dict[Slices, str] = {
    "all": "all",
    "domains": "all, or domain=<value>",
    "facets": "<facet>=<value>, such as domain=web",
    "reasons": "all, or reason=<reason>",
    "baselines": "baseline=<label>",
    "baselines and domains": "baseline=<label>, or baseline=<label>,domain=<value>",
    "benchmarks": "benchmark=<name>,rule=<rule>",
    "whole benchmarks": "benchmark=<name>",
    "rules": "rule=<rule>",
    "copies": "copy=<kind of copy>,rule=<rule>",
}


@dataclass(frozen=True)
class Metric:
    """A metric: what it says, in which unit, for which slices, and whether it has a 95 % interval.

    ``fact``: its bounds are its value; ``interval``: it has bounds where the data allow them; ``none``: never.
    """

    name: str
    meaning: str
    unit: str
    slices: Slices
    bounds: Literal["fact", "interval", "none"]


_UNITS = ("documents", "bytes", "tokens")
_LENGTHS = ("characters", "tokens")
_QUANTILES = ("p05", "p25", "p50", "p75", "p95", "p99")


def _metrics() -> list[Metric]:
    found = [
        Metric("coverage_shards", "shards that were read, of all", "share", "all", "fact"),
        Metric("coverage_splits", "splits that were read, of all", "share", "all", "fact"),
        Metric("coverage_rows", "rows whose outcome is known, of all", "share", "all", "fact"),
        *(
            Metric(unit, f"{unit} that were counted", unit, "all", "fact")
            for unit in ("documents", "bytes", "characters", "words", "tokens")
        ),
        Metric(
            "verified_documents",
            "documents whose token ids the reference tokenizer confirmed",
            "documents",
            "all",
            "fact",
        ),
        Metric("dead_letter_share", "rows that could not be used, of all", "share", "reasons", "fact"),
        Metric("filtered_share", "rows that a filter dropped, of all", "share", "reasons", "fact"),
        Metric("length_mean_tokens", "mean length of a document", "tokens", "domains", "interval"),
        Metric("vocabulary_coverage", "token ids that occur, of the vocabulary", "share", "domains", "fact"),
        Metric(
            "effective_vocabulary", "two to the entropy of the token distribution", "token ids", "domains", "interval"
        ),
    ]
    for unit in _UNITS:
        found += [
            Metric(f"domain_share_{unit}", f"share of the {unit}", "share", "facets", "interval"),
            Metric(
                f"domain_share_difference_{unit}",
                f"share of the {unit} less the intended one",
                "share",
                "facets",
                "interval",
            ),
            Metric(
                f"mixture_tvd_{unit}",
                f"distance of the mix from the intended one, in {unit}",
                "share",
                "all",
                "interval",
            ),
        ]
    for quantile, unit in product(_QUANTILES, _LENGTHS):
        meaning = f"length that {int(quantile[1:])} % of the documents do not exceed"
        found.append(Metric(f"length_{quantile}_{unit}", meaning, unit, "domains", "interval"))
    for unit in ("documents", "tokens"):
        found += [
            Metric(
                f"duplicate_share_{unit}", f"{unit} that repeat a text of their domain", "share", "domains", "interval"
            ),
            Metric(f"across_share_{unit}", f"{unit} whose text is in another domain too", "share", "domains", "fact"),
            Metric(
                f"domain_share_change_{unit}",
                f"share of the {unit} less that in the baseline",
                "share",
                "baselines and domains",
                "interval",
            ),
        ]
    for scope, meaning, slices in (
        ("within", "documents with a near copy in their domain", "domains"),
        ("across", "documents with a near copy in another domain", "domains"),
        ("baseline", "documents with a near copy in the baseline", "baselines and domains"),
    ):
        found.append(Metric(f"near_duplicate_rate_{scope}", meaning, "share", slices, "interval"))  # type: ignore[arg-type]
    return found + _drift() + _contamination() + _index()


def _drift() -> list[Metric]:
    both: Slices = "baselines and domains"
    found = [
        Metric("drift_jsd_excess", "Jensen-Shannon divergence beyond what chance gives", "bits", both, "interval"),
        Metric("drift_p", "p of the permutation test that nothing drifted", "probability", both, "fact"),
        Metric(
            "drift_classifier_auc", "how well a classifier tells the snapshots apart", "probability", both, "interval"
        ),
        Metric("drift_tokens_riser", "tokens whose share rose with certainty", "token ids", "baselines", "fact"),
        Metric("drift_tokens_faller", "tokens whose share fell with certainty", "token ids", "baselines", "fact"),
        Metric("kept_share", "documents of the baseline that are still there", "share", both, "fact"),
        Metric("removed_share", "documents of the baseline that are gone", "share", both, "fact"),
        Metric("added_share", "documents that the baseline does not have", "share", both, "fact"),
    ]
    for name, unit in (
        ("jsd", "bits"),
        ("jsd_root", "1"),
        ("tvd", "1"),
        ("hellinger", "1"),
        ("psi", "nats"),
        ("kl", "bits"),
    ):
        meaning = f"{name.replace('_', ' ')} of the token distributions, biased upwards: better judge drift_jsd_excess"
        found.append(Metric(f"drift_{name}", meaning, unit, both, "none"))
    for part, what in (("mixture", "the mix of domains"), ("content", "the text within domains")):
        found += [
            Metric(f"drift_{part}_attribution", f"part of the change that is {what}", "share", "baselines", "none"),
            Metric(f"drift_{part}_tvd", f"change of token shares that is {what}", "share", "baselines", "none"),
        ]
    for statistic, unit in product(("ks", "mean", *_QUANTILES), _LENGTHS):
        meaning = (
            f"distance of the length distributions, {unit}"
            if statistic == "ks"
            else f"change of the {statistic} length, {unit}"
        )
        found.append(
            Metric(
                f"length_change_{statistic}_{unit}", meaning, "share" if statistic == "ks" else "log2", both, "interval"
            )
        )
    return found


def _contamination() -> list[Metric]:
    return [
        Metric("contamination_share", "items of a benchmark that the corpus holds", "share", "benchmarks", "interval"),
        Metric("contamination_recall", "planted copies found that a rule must find", "share", "rules", "fact"),
        Metric("contamination_copy_recall", "planted copies found, by kind of copy", "share", "copies", "fact"),
        Metric(
            "contamination_false_positive_rate",
            "held-out passages that the scan took for known ones",
            "share",
            "rules",
            "interval",
        ),
    ]


def _index() -> list[Metric]:
    return [
        Metric(
            "semantic_share",
            "items of a benchmark whose meaning is near to a window of the corpus",
            "share",
            "whole benchmarks",
            "interval",
        ),
        Metric(
            "semantic_false_positive_rate",
            "windows that are as near to one of another document",
            "share",
            "all",
            "interval",
        ),
        Metric(
            "embedding_drift_auc",
            "how well a classifier tells the snapshots apart by a model's vectors",
            "probability",
            "all",
            "interval",
        ),
        Metric("embedding_drift_p", "p of the permutation test that it cannot", "probability", "all", "fact"),
        Metric("units_moved_share", "units of the model whose mean activation moved", "share", "all", "fact"),
    ]


KNOWN: dict[str, Metric] = {metric.name: metric for metric in sorted(_metrics(), key=lambda metric: metric.name)}
