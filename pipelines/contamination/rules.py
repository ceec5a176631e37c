"""The contamination rules: named, versioned, with their published parameters.

Texts are compared in Normalization Form C, so that canonically equivalent ones are the same text (version 2 of every
rule; version 1 compared them as they stand). All rules on words compare them as GPT-3 does (`normalisation`); PaLM,
Llama 3 and Tulu 3 were published over tokens of their own tokenizers, which a corpus audit does not have. Llama 2's
runs on the audit's tokenizer. An item's text is its prompt followed by its answer. The boilerplate limit is GPT-3's; it
is applied to every rule but decon's, whose IDF weights are its own, and an item that only the limit keeps from being
contaminated is reported as ``boilerplate``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.contamination.evidence import Flags, Floats, Integers, TextEvidence, per_text
from corpus_audit.pipelines.kernels.contamination.scan import LONG_WORD_GRAM, TOKEN_GRAM, WORD_GRAM
from corpus_audit.schemas.spec.benchmarks import RuleName

IDF_THRESHOLD, IDF_PERFECT_TO, IDF_THRESHOLD_FROM = 0.815, 25, 50
"""decon: overlap needed from 50 words on; all of it up to 25; in between on the line."""

_LEAST_TOKENS = TOKEN_GRAM + 3
"""Llama 2 needs 11 equal tokens; the first and last of an item may be other tokens inside a document."""


@dataclass(frozen=True)
class ContaminationRule:
    """One definition of "contaminated".

    Attributes:
        name, version: the version changes with the definition.
        about: its definition in words, for reports.
        unit: ``words`` or ``tokens``: what it compares, and the unit of the longest match.
        threshold: score at which an item is contaminated; None if it is an input or, for decon, depends on the item.
        strict: whether the score must exceed the threshold, and not only reach it.
        limited: whether boilerplate is excluded.
    """

    name: RuleName
    version: int
    about: str
    unit: str
    threshold: float | None
    strict: bool
    limited: bool
    testable: Callable[[TextEvidence], Flags]
    score: Callable[[TextEvidence, int | None], Floats]
    longest: Callable[[TextEvidence], Integers]


def share(part: np.ndarray, total: np.ndarray) -> Floats:
    """part / total, 0 where total is 0."""
    return np.asarray(part / np.maximum(total, 1), np.float64)


def idf_required(words: np.ndarray) -> Floats:
    """decon's threshold, float64 [X], for prompts of ``words`` words, int64 [X]."""
    ends = [IDF_PERFECT_TO, IDF_THRESHOLD_FROM]
    return np.asarray(np.interp(words, ends, [1.0, IDF_THRESHOLD]), np.float64)


def _gpt3(evidence: TextEvidence, limit: int | None) -> Floats:
    matching = per_text(evidence.long_words_in_corpus(limit), evidence.index.texts.starts)
    return share(matching, evidence.words - LONG_WORD_GRAM + 1)


def _palm(evidence: TextEvidence, limit: int | None) -> Floats:
    matching = per_text(evidence.words_in_corpus(limit), evidence.index.texts.starts)
    return share(matching, evidence.words - WORD_GRAM + 1)


RULES: dict[RuleName, ContaminationRule] = {
    rule.name: rule
    for rule in (
        ContaminationRule(
            "gpt3",
            2,
            "GPT-3 (Brown et al. 2020): any 13-gram of the item is in the corpus, but for those in more documents than "
            "the boilerplate limit (10); the score is the share of its 13-grams",
            "words",
            0.0,
            True,
            True,
            lambda evidence: evidence.words >= LONG_WORD_GRAM,
            _gpt3,
            TextEvidence.longest_words,
        ),
        ContaminationRule(
            "palm",
            2,
            "PaLM (Chowdhery et al. 2022): at least 70 % of the item's 8-grams are in the corpus",
            "words",
            0.7,
            False,
            True,
            lambda evidence: evidence.words >= WORD_GRAM,
            _palm,
            TextEvidence.longest_words,
        ),
        ContaminationRule(
            "llama2",
            2,
            "Llama 2 (Touvron et al. 2023): at least 80 % of the item's tokens are in matches of more than 10 tokens "
            "that begin with 10 equal ones, differ in at most 4 and do not end with one that differs; any document",
            "tokens",
            0.8,
            False,
            True,
            lambda evidence: evidence.tokens >= _LEAST_TOKENS,
            lambda evidence, limit: share(evidence.covered_tokens(limit), evidence.tokens),
            TextEvidence.longest_tokens,
        ),
        ContaminationRule(
            "llama3",
            2,
            "Llama 3 (Dubey et al. 2024): ratio of the item's words that are in an 8-gram of the corpus; the threshold "
            "is chosen by model scores and is an input",
            "words",
            None,
            False,
            True,
            lambda evidence: evidence.words >= WORD_GRAM,
            lambda evidence, limit: share(evidence.covered_words(limit), evidence.words),
            TextEvidence.longest_words,
        ),
        ContaminationRule(
            "tulu3",
            2,
            "Tulu 3 (Lambert et al. 2024): more than 50 % of the item's words are in 8-grams of one document",
            "words",
            0.5,
            True,
            True,
            lambda evidence: evidence.words >= WORD_GRAM,
            lambda evidence, limit: share(evidence.best_document_words(limit), evidence.words),
            TextEvidence.longest_words,
        ),
        ContaminationRule(
            "decon_idf",
            2,
            "after decon (allenai/decon): IDF-weighted share of the prompt's 5-grams near one place of one document, "
            "at least 0.815 (1.0 for prompts up to 25 words, on the line up to 50), with 80 % of the answer behind it; "
            "prompts of at least 20 words, 4 of them distinct; IDF stands in for the boilerplate limit",
            "words",
            None,
            False,
            False,
            lambda evidence: (evidence.index.texts.prompts >= 20) & (evidence.prompts_unique_words() >= 4),
            lambda evidence, limit: evidence.idf_scores(),
            TextEvidence.longest_words,
        ),
    )
}


@dataclass(frozen=True)
class RuleOutcome:
    """The outcome of one rule for X texts; where ``has_threshold`` is False, texts have a score but no outcome.

    ``contaminated`` excludes boilerplate, ``unlimited`` includes it; both are False where untestable.
    """

    rule: ContaminationRule
    testable: Flags
    has_threshold: Flags
    score: Floats
    score_unlimited: Floats
    contaminated: Flags
    unlimited: Flags
    longest: Integers


def evaluate_rule(
    rule: ContaminationRule, evidence: TextEvidence, limit: int | None, thresholds: Floats
) -> RuleOutcome:
    """Evaluate a rule on all texts of an index.

    Args:
        rule: the rule.
        evidence: the counts of the corpus.
        limit: the boilerplate limit; None to include boilerplate.
        thresholds: float64 [X], thresholds that are inputs, NaN where not set; only rule llama3 reads them.
    """
    needed = np.full(evidence.index.size, np.nan if rule.threshold is None else rule.threshold)
    if rule.name == "llama3":
        needed = thresholds
    elif rule.name == "decon_idf":
        needed = idf_required(evidence.index.texts.prompts)
    testable = rule.testable(evidence)
    unlimited = rule.score(evidence, None)
    score = rule.score(evidence, limit) if rule.limited and limit is not None else unlimited
    has_threshold = ~np.isnan(needed)

    def reached(values: Floats) -> Flags:
        with np.errstate(invalid="ignore"):
            enough: Flags = (values > needed) if rule.strict else (values >= needed)
        return np.asarray(testable & has_threshold & enough)

    return RuleOutcome(
        rule, testable, has_threshold, score, unlimited, reached(score), reached(unlimited), rule.longest(evidence)
    )
