"""What a run measured and no rule of its policy judges, the biggest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.checks.text.numbers import grouped
from corpus_audit.checks.text.wording import figure
from corpus_audit.schemas.run.results import NotJudged
from corpus_audit.schemas.spec.policy import Policy, Rule
from corpus_audit.schemas.spec.slices import Pattern, parts

MOST = 1_000
"""Entries that are kept: more than any run has, so that none is left out of what people sign."""


@dataclass(frozen=True)
class Topic:
    """Metrics that say the same thing in several ways: a rule on any of them judges the topic.

    Attributes:
        metrics: their names; the first one is shown.
        counted: whether the value times n is a number of things that were counted.
        certain: whether the topic is only worth a word if the whole 95 % interval is above 0.
    """

    metrics: tuple[str, ...]
    counted: bool = True
    certain: bool = False


_UNITS = ("tokens", "documents", "bytes")
_TURNOVER = tuple(
    Topic((name,))
    for name, metric in KNOWN.items()
    if metric.slices == "baselines and domains" and name.endswith("_share") and name != "kept_share"
)
TOPICS = (
    Topic(("contamination_share",)),
    Topic(("semantic_share",)),
    Topic(("duplicate_share_documents", "duplicate_share_tokens")),
    Topic(("across_share_documents", "across_share_tokens")),
    Topic(("near_duplicate_rate_within",), counted=False),
    Topic(("near_duplicate_rate_across",), counted=False),
    Topic(("near_duplicate_rate_baseline",), counted=False),
    Topic(("image_contamination_share",)),
    Topic(("image_duplicate_share_pixels", "image_duplicate_share_bytes")),
    Topic(("image_across_share_pixels", "image_across_share_bytes")),
    Topic(("image_near_duplicate_share_within",)),
    Topic(("image_near_duplicate_share_across",)),
    Topic(("mislabelled_image_share",)),
    Topic(("flat_image_share",)),
    Topic(("dead_letter_share",)),
    Topic(("filtered_share",)),
    *(
        Topic((f"mixture_tvd_{unit}", *(f"domain_share_difference_{each}" for each in _UNITS)), counted=False)
        for unit in _UNITS
    ),
    *_TURNOVER,
    Topic(("drift_lenses_shown", "drift_conclusion_p"), counted=False),
    Topic(
        ("drift_jsd_excess", "drift_p", "drift_jsd", "drift_classifier_auc", "drift_tokens_riser",
         "drift_tokens_faller"),
        counted=False,
        certain=True,
    ),
    Topic(("units_moved_share", "embedding_drift_auc", "embedding_drift_p"), counted=False),
    Topic(("investigation_findings_shown", "investigation_finding", "investigation_effect"), counted=False),
    Topic(("investigation_dead_letters", "investigation_files_unread"), counted=False),
)  # fmt: skip
"""Figures that somebody should have an opinion on if they are not 0. A new metric of turnover is one by its name."""

_COPIES_OF_IMAGES = "image_duplicate_share_pixels"
_COPIES_OF_TEXTS = ("duplicate_share_documents", "across_share_documents")
"""In a corpus of images these count images whose file and caption are equal: less than the image metrics count."""

_REPEATED = ("duplicate_share_documents", _COPIES_OF_IMAGES)
"""Of a domain, these count what repeats within it; of the whole corpus, what repeats in the corpus."""


def not_judged(policy: Policy, metrics: pa.Table) -> tuple[NotJudged, ...]:
    """Figures of a run that are not 0 and that no rule judges, at most `MOST`: shares first, the largest first.

    Of the corpus as a whole, of each baseline and of each benchmark (there, of the contamination rule that hits most).
    A rule on a domain, or on another metric of the same topic, counts: somebody has thought about it. Of a corpus of
    images, copies are those by pixels: documents that are copies are among them.

    Args:
        policy: the rules.
        metrics: the run's figures, in the schema METRICS.
    """
    shown = {topic.metrics[0]: topic for topic in TOPICS}
    known = pc.is_in(metrics["metric"], value_set=pa.array(shown, pa.string()))
    of_domain = pc.match_substring_regex(metrics["slice"], "^domain=|,domain=")  # most rows, and none is shown
    rows = metrics.filter(pc.and_(known, pc.invert(of_domain)))
    if pc.any(pc.equal(metrics["metric"], _COPIES_OF_IMAGES)).as_py():
        rows = rows.filter(pc.invert(pc.is_in(rows["metric"], value_set=pa.array(_COPIES_OF_TEXTS, pa.string()))))
    best: dict[tuple[str, str], NotJudged] = {}
    for row in rows.select(["metric", "slice", "value", "n", "low", "unit"]).to_pylist():
        subject = _subject(row["slice"])
        topic = shown[row["metric"]]
        if subject is None or not row["value"] or not row["value"] > 0 or _is_judged(topic, subject, policy.rules):
            continue
        if topic.certain and not (row["low"] is not None and row["low"] > 0):
            continue
        entry = _entry(topic, row["slice"], row["value"], row["n"], row["unit"])
        key = row["metric"], subject
        if key not in best or best[key].value < entry.value:
            best[key] = entry
    ordered = sorted(best.values(), key=lambda entry: (entry.unit != "share", -entry.value, entry.metric, entry.slice))
    return tuple(ordered[:MOST])


def topic_of(metric: str) -> Topic | None:
    """The topic that a metric is of."""
    return next((topic for topic in TOPICS if metric in topic.metrics), None)


def lines(entries: Iterable[NotJudged]) -> Iterator[str]:
    """Each entry in words: ``documents of the baseline that are gone: 22 of 1,072 (2.05 %), baseline=last``."""
    for entry in entries:
        where = "" if entry.slice == "all" else f", {entry.slice}"
        size = figure(entry.value, entry.unit)
        if entry.count is not None:
            size = f"{grouped(entry.count)} of {grouped(entry.n)} ({size})"
        elif entry.unit != "share":
            size += f" {entry.unit}"
        yield f"{entry.what}: {size}{where}"


def _entry(topic: Topic, slice_: str, value: float, n: int, unit: str) -> NotJudged:
    metric = topic.metrics[0]
    what = KNOWN[metric].meaning
    return NotJudged(
        metric=metric,
        slice=slice_,
        what=what.replace("of their domain", "of the corpus") if metric in _REPEATED and slice_ == "all" else what,
        value=value,
        count=round(value * n) if topic.counted else None,
        n=n,
        unit=unit,
    )


def _subject(slice_: str) -> str | None:
    """``all``, ``baseline=last`` or ``benchmark=exam``: what a slice is of; None for parts such as domains."""
    keys = parts(slice_)
    key, value = keys[0]
    if key == "benchmark":
        return f"{key}={value}"
    return slice_ if len(keys) == 1 and key in ("all", "baseline") else None


def _is_judged(topic: Topic, subject: str, rules: Iterable[Rule]) -> bool:
    for rule in rules:
        if rule.metric not in topic.metrics:
            continue
        key, value = parts(rule.slice)[0]
        if subject == "all" or key == "*" or Pattern(f"{key}={value}").matches(subject):
            return True
    return False
