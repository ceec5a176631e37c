"""Arrow schemas of the sampling tables: what strategies would draw, and what a sampler drew."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

_STRATEGY = field("strategy", pa.string(), "name of the strategy")

SAMPLING = pa.schema(
    [
        _STRATEGY,
        field("domain", pa.string(), "value of the primary facet"),
        field("weight", pa.float64(), "intended share, normalised, of weight_unit", "share", nullable=True),
        field("weight_unit", pa.string(), "what the weight is a share of: tokens or documents"),
        field("share", pa.float64(), "share of the training tokens that are drawn", "share"),
        field("share_low", pa.float64(), "lower 95 % bound, where the share is an estimate", "share", nullable=True),
        field("share_high", pa.float64(), "upper 95 % bound, where the share is an estimate", "share", nullable=True),
        field("document_share", pa.float64(), "share of the documents that are drawn", "share", nullable=True),
        field(
            "misread_share",
            pa.float64(),
            "share of the training tokens if the weights were applied to the other unit",
            "share",
            nullable=True,
        ),
        field("tokens", pa.int64(), "tokens of the domain, duplicates included", "tokens"),
        field("unique_tokens", pa.int64(), "tokens of its distinct texts", "tokens"),
        field("unique_documents", pa.int64(), "its distinct texts", "documents"),
        field("drawn", pa.float64(), "training tokens drawn from the domain", "tokens"),
        field("unallocated", pa.float64(), "training tokens meant for the domain that it cannot give", "tokens"),
        field("epochs", pa.float64(), "drawn / unique_tokens", "epochs", nullable=True),
        field("exhaustion", pa.float64(), "training tokens after which it is used up once", "tokens", nullable=True),
        field("coverage", pa.float64(), "share of its unique text seen without replacement", "share", nullable=True),
        field(
            "coverage_replaced",
            pa.float64(),
            "expected share of its unique text seen, drawn with replacement",
            "share",
            nullable=True,
        ),
        field("draws", pa.float64(), "expected times that one of its documents is drawn", "draws", nullable=True),
        field("draws_maximum", pa.int64(), "most draws of a document, without replacement", "draws", nullable=True),
        field(
            "draws_maximum_replaced",
            pa.int64(),
            "99.9 % quantile of the most draws of any of its documents, with replacement",
            "draws",
            nullable=True,
        ),
        field("effective_tokens", pa.float64(), "worth in unique tokens, D' of Muennighoff et al. (2023)", "tokens"),
    ],
    metadata={
        "title": "What each strategy draws from each domain",
        "order": "strategy as in the spec, share descending, domain",
    },
)
"""Repeats are of exact texts within a domain: duplicates are meant to be dropped before sampling."""

SAMPLING_STRATEGIES = pa.schema(
    [
        _STRATEGY,
        field("kind", pa.string(), "proportional, temperature, unimax, weights or dsir"),
        field("budget", pa.float64(), "training tokens asked for", "tokens"),
        field("allocated", pa.float64(), "training tokens that the strategy can give", "tokens"),
        field("unallocated", pa.float64(), "budget - allocated", "tokens"),
        field("unallocated_reason", pa.string(), "what cannot be allocated and why", nullable=True),
        field("unique_seen", pa.float64(), "unique tokens seen, drawn without replacement", "tokens"),
        field("coverage", pa.float64(), "unique_seen over the corpus's unique tokens", "share"),
        field("coverage_replaced", pa.float64(), "expected coverage, drawn with replacement", "share"),
        field("effective_tokens", pa.float64(), "sum of the domains' effective tokens", "tokens"),
        field("epochs_maximum", pa.float64(), "most epochs of any domain", "epochs"),
        field("epochs_maximum_domain", pa.string(), "that domain"),
        field("first_exhausted", pa.float64(), "training tokens when the first domain is used up", "tokens"),
        field("first_exhausted_domain", pa.string(), "that domain"),
        field("effective_sample", pa.float64(), "Kish's effective sample size of the weighted unique tokens", "tokens"),
        field("effective_sample_share", pa.float64(), "effective_sample over the corpus's unique tokens", "share"),
        field("kl_natural", pa.float64(), "KL divergence of the mixture from the unique tokens' shares", "bits"),
        field("effective_domains", pa.float64(), "exp of the mixture's entropy", "domains"),
        field("misread_distance", pa.float64(), "total variation of share and misread_share", "share", nullable=True),
        field("parameters", pa.float64(), "parameters of the model", "parameters", nullable=True),
        field("tokens_per_parameter", pa.float64(), "allocated / parameters", "tokens a parameter", nullable=True),
        field("optimal_tokens", pa.float64(), "20 tokens a parameter (Hoffmann et al. 2022)", "tokens", nullable=True),
        field("optimal_ratio", pa.float64(), "allocated / optimal_tokens", nullable=True),
        field("effective_ratio", pa.float64(), "effective_tokens / optimal_tokens", nullable=True),
        field("flops", pa.float64(), "6 x parameters x allocated tokens", "FLOP", nullable=True),
        field("dsir_sample", pa.int64(), "sampled documents behind a DSIR estimate", "documents", nullable=True),
        field("dsir_effective", pa.float64(), "effective share of documents under the weights", "share", nullable=True),
        field("dsir_top_weight", pa.float64(), "share of the weight in 1 % of the documents", "share", nullable=True),
        field("dsir_kl_reduction", pa.float64(), "KL(target||corpus) - KL(target||selected)", "bits", nullable=True),
        field("note", pa.string(), "what to know before the figures are used", nullable=True),
    ],
    metadata={"title": "Strategies compared", "order": "as in the spec"},
)

SAMPLING_LOG_WINDOWS = pa.schema(
    [
        field("window", pa.int64(), "window of steps, from 0"),
        field("domain", pa.string(), "value of the primary facet, or (all), which tests the mixture"),
        field("first_step", pa.int64(), "first step of the window", "steps"),
        field("last_step", pa.int64(), "last step of the window", "steps"),
        field("unit", pa.string(), "what shares are of: tokens or documents, as the intended weights"),
        field("documents", pa.int64(), "documents drawn", "documents"),
        field("tokens", pa.int64(), "tokens drawn", "tokens"),
        field("share", pa.float64(), "realised share", "share", nullable=True),
        field("intended", pa.float64(), "intended share", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the share", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the share", "share", nullable=True),
        field("distance", pa.float64(), "(all): total variation from the intended mixture", "share", nullable=True),
        field("z", pa.float64(), "(share - intended) over its standard error if intended", nullable=True),
        field("statistic", pa.float64(), "(all): chi-squared of all domains jointly", nullable=True),
        field("freedom", pa.int64(), "(all): its degrees of freedom", nullable=True),
        field("p", pa.float64(), "p of the intended mixture", "probability", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg q over the windows (and domains)", nullable=True),
        field("loss", pa.float64(), "token-weighted mean loss", "nats", nullable=True),
        field(
            "loss_of_mixture", pa.float64(), "(all): loss if every domain had its overall one", "nats", nullable=True
        ),
        field("loss_jump", pa.float64(), "(all): change of loss beyond the trend, in deviations", nullable=True),
        field("mixture_jump_q", pa.float64(), "(all): q that the mixture is the previous window's", nullable=True),
        field("both_move", pa.bool_(), "(all): loss and mixture both jump"),
        field("reason", pa.string(), "why there is no test", nullable=True),
    ],
    metadata={"title": "What a sampler drew, by window of steps", "order": "window, domain ((all) first)"},
)

SAMPLING_LOG_DOMAINS = pa.schema(
    [
        field("domain", pa.string(), "value of the primary facet, (all), or (unknown) for ids that the run lacks"),
        field("unit", pa.string(), "what shares are of: tokens or documents, as the intended weights"),
        field("draws", pa.int64(), "documents drawn", "documents"),
        field("tokens", pa.int64(), "tokens drawn", "tokens"),
        field("share", pa.float64(), "realised share over the whole log", "share"),
        field("intended", pa.float64(), "intended share", "share", nullable=True),
        field("z", pa.float64(), "(share - intended) over its standard error if intended", nullable=True),
        field("p", pa.float64(), "p of the intended share", "probability", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg q over the domains", nullable=True),
        field("early_share", pa.float64(), "share in the first half of the windows", "share", nullable=True),
        field("late_share", pa.float64(), "share in the second half", "share", nullable=True),
        field("trend_z", pa.float64(), "z of a linear trend of the share over the windows", nullable=True),
        field("trend_q", pa.float64(), "Benjamini-Hochberg q of the trend over the domains", nullable=True),
        field("documents", pa.int64(), "documents of the domain in the corpus", "documents", nullable=True),
        field("drawn_documents", pa.int64(), "distinct documents drawn", "documents", nullable=True),
        field("never_drawn", pa.int64(), "documents never drawn", "documents", nullable=True),
        field("never_expected", pa.float64(), "expected if drawn without replacement", "documents", nullable=True),
        field("never_expected_replaced", pa.float64(), "expected with replacement", "documents", nullable=True),
        field("never_z", pa.float64(), "z of never_drawn, drawn with replacement", nullable=True),
        field("repeats_mean", pa.float64(), "draws a document of the domain", "draws", nullable=True),
        field("repeats_maximum", pa.int64(), "most draws of a document", "draws", nullable=True),
        field("repeats_limit", pa.int64(), "99.9 % quantile of that maximum, with replacement", "draws", nullable=True),
        field("dispersion", pa.float64(), "variance over mean of draws; 1 with replacement", nullable=True),
        field("dispersion_z", pa.float64(), "z of the dispersion against 1", nullable=True),
        field(
            "drawing",
            pa.string(),
            "without replacement, with replacement or uneven",
            nullable=True,
        ),
        field("reason", pa.string(), "what cannot be said and why", nullable=True),
    ],
    metadata={"title": "What a sampler drew, by domain", "order": "domain ((all) first)"},
)

SAMPLING_LOG_DOCUMENTS = pa.schema(
    [
        field("document", pa.string(), "the document's id in the log"),
        field("domain", pa.string(), "its domain"),
        field("draws", pa.int64(), "times drawn", "draws"),
        field("tokens", pa.int64(), "tokens of its draws", "tokens"),
        field("expected", pa.float64(), "expected draws of a document of the domain", "draws", nullable=True),
        field("p", pa.float64(), "chance that any of the domain is drawn so often", "probability", nullable=True),
    ],
    metadata={"title": "The 100 documents drawn most often", "order": "draws descending, document"},
)

SAMPLING_TABLES: dict[str, pa.Schema] = {
    "sampling": SAMPLING,
    "sampling_strategies": SAMPLING_STRATEGIES,
    "sampling_log_windows": SAMPLING_LOG_WINDOWS,
    "sampling_log_domains": SAMPLING_LOG_DOMAINS,
    "sampling_log_documents": SAMPLING_LOG_DOCUMENTS,
}
"""File name (without .parquet) of every sampling table, and its schema."""
