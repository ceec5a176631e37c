"""Arrow schemas of the drift tables: what moved between a baseline and the current snapshot.

``baseline`` names the baseline in the audit (its label), as an audit may have two.
"""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import ADJUSTED, BASELINE, DOMAIN_OR_ALL, field
from corpus_audit.schemas.tables.turnover_tables import DOCUMENT_CHANGES, EDIT_PATTERNS, EDIT_SIZES, TURNOVER

FEATURE_JOINT = " | "
"""Between the single tokens that a classifier's bucket is named by; pairs of tokens in the bucket have no name."""

NOTHING_CHANGED = "no token's share changed: there is no change to attribute"
"""Reason of DRIFT_PARTS where every token has the share that it had; two runs without tokens have another one."""

EVEN_COPIES = (
    "one side holds every document of the other, and every token has the same share in both: there is no drift"
)
"""Reason of DRIFT where a slice was repeated as a whole: the distributions are equal, the documents are not."""

DRIFT = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field("statistic", pa.string(), "jsd, jsd_root, tvd, hellinger, psi, kl (of current from baseline)"),
        field("value", pa.float64(), "the distance between the two token distributions", "unit", nullable=True),
        field("unit", pa.string(), "bits for jsd and kl, nats for psi, else 1"),
        field("null_mean", pa.float64(), "its mean when both sides draw from one source", "unit", nullable=True),
        field("null_low", pa.float64(), "2.5 % quantile of the null", "unit", nullable=True),
        field("null_high", pa.float64(), "97.5 % quantile of the null", "unit", nullable=True),
        field("p", pa.float64(), "permutation p over hash groups, never 0", "probability", nullable=True),
        ADJUSTED,
        field("permutations", pa.int64(), "permutations; p is a multiple of 1 / (permutations + 1)"),
        field("excess", pa.float64(), "value - null_mean; judged for jsd only", "unit", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the excess (permutations, jackknife)", "unit", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the excess", "unit", nullable=True),
        field("tokens_baseline", pa.int64(), "tokens of the baseline", "tokens"),
        field("tokens_current", pa.int64(), "tokens of the current snapshot", "tokens"),
        field("tokens_shared", pa.int64(), "tokens of documents that both hold", "tokens"),
        field("documents_baseline", pa.int64(), "documents of the baseline", "documents"),
        field("documents_current", pa.int64(), "documents of the current snapshot", "documents"),
        field("documents_shared", pa.int64(), "documents that both hold", "documents"),
        field("documents_edited", pa.int64(), "edited documents whose versions are exchanged as pairs", "documents"),
        field("reason", pa.string(), "why p or the interval is missing", nullable=True),
        field("note", pa.string(), "documents that were too few to be exchanged, while others were", nullable=True),
    ],
    metadata={"title": "Token-frequency drift", "order": "baseline, domain ((all) first), statistic"},
)

DRIFT_EDITS = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field("statistic", pa.string(), "jsd, jsd_root, tvd, hellinger, psi, kl (of the versions now from before)"),
        field("value", pa.float64(), "the distance between the two versions' tokens", "unit", nullable=True),
        field("unit", pa.string(), "bits for jsd and kl, nats for psi, else 1"),
        field("null_mean", pa.float64(), "its mean when the versions are exchanged at random", "unit", nullable=True),
        field("p", pa.float64(), "permutation p over hash groups of pairs, never 0", "probability", nullable=True),
        ADJUSTED,
        field("permutations", pa.int64(), "permutations; p is a multiple of 1 / (permutations + 1)"),
        field("excess", pa.float64(), "value - null_mean", "unit", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the excess (permutations, jackknife)", "unit", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the excess", "unit", nullable=True),
        field("tokens_baseline", pa.int64(), "tokens of the versions before", "tokens"),
        field("tokens_current", pa.int64(), "tokens of the versions now", "tokens"),
        field("documents", pa.int64(), "pairs that were tested: edited documents in both runs' samples", "documents"),
        field("edited", pa.int64(), "documents that were edited", "documents"),
        field("reason", pa.string(), "why p or the interval is missing", nullable=True),
    ],
    metadata={
        "title": "Drift between the two versions of edited documents",
        "order": "baseline, domain ((all) first), statistic",
    },
)

DRIFT_TOKENS = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field("token", pa.int32(), "token id"),
        field("text", pa.string(), "what the token decodes to"),
        field("kind", pa.string(), "riser, faller, new, vanished or other"),
        field("count_baseline", pa.int64(), "occurrences in the baseline", "tokens"),
        field("count_current", pa.int64(), "occurrences in the current snapshot", "tokens"),
        field("documents_baseline", pa.int64(), "baseline documents that hold it", "documents"),
        field("documents_current", pa.int64(), "current documents that hold it", "documents"),
        field(
            "share_baseline", pa.float64(), "share of the baseline's tokens; null without any", "share", nullable=True
        ),
        field("share_current", pa.float64(), "share of the current tokens; null without any", "share", nullable=True),
        field(
            "log2_ratio",
            pa.float64(),
            "log2 of current over baseline, half a token added; null where a side has no tokens",
            "bits",
            nullable=True,
        ),
        field("low", pa.float64(), "lower 95 % bound of log2_ratio", "bits", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of log2_ratio", "bits", nullable=True),
        field("z", pa.float64(), "document-clustered z of the difference of shares; null: not tested", nullable=True),
        field("log_odds_z", pa.float64(), "Monroe log-odds z over sqrt(deff)", nullable=True),
        field("p", pa.float64(), "two-sided p against |log2 ratio| <= the interval null", "probability", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg q over the tested tokens of the slice", nullable=True),
        field("deff", pa.float64(), "design effect", nullable=True),
        field("burstiness_baseline", pa.float64(), "occurrences a document that holds it", nullable=True),
        field("burstiness_current", pa.float64(), "occurrences a document that holds it", nullable=True),
        field("dispersion_baseline", pa.float64(), "Gries's DP over 64 hash groups, 0 even to 1", nullable=True),
        field("dispersion_current", pa.float64(), "Gries's DP over 64 hash groups, 0 even to 1", nullable=True),
        field("example_baseline", pa.string(), "a baseline document: its id, else its content hash", nullable=True),
        field("example_current", pa.string(), "a current document: its id, else its content hash", nullable=True),
        field("example_baseline_domain", pa.string(), "that document's domain", nullable=True),
        field("example_current_domain", pa.string(), "that document's domain", nullable=True),
    ],
    metadata={
        "title": "Tokens that moved: overall all tested tokens, by domain the 50 furthest of each kind",
        "order": "baseline, domain ((all) first), kind, |z| descending, token",
    },
)

DRIFT_PARTS = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field(
            "part",
            pa.string(),
            "total = mixture + content; content = edits + added + removed documents; a domain's are its contributions",
        ),
        field("tvd", pa.float64(), "half the summed absolute change that the part makes", "share", nullable=True),
        field(
            "attribution",
            pa.float64(),
            "signed share of the total's change that the part explains",
            "share",
            nullable=True,
        ),
        field("tvd_null_mean", pa.float64(), "what chance alone gives the content part", "share", nullable=True),
        field("tvd_excess", pa.float64(), "tvd - tvd_null_mean", "share", nullable=True),
        field("top_tokens", pa.list_(pa.int32()), "the tokens whose share the part changes most"),
        field("top_texts", pa.list_(pa.string()), "what they decode to"),
        field("top_changes", pa.list_(pa.float64()), "and by how much", "share"),
        field("reason", pa.string(), "why there is no change, or none to attribute", nullable=True),
    ],
    metadata={
        "title": "How much of the change is the mix and how much is the text (Kitagawa-Oaxaca-Blinder)",
        "order": "baseline, domain ((all) first), part",
    },
)

DRIFT_DOMAINS = pa.schema(
    [
        BASELINE,
        field("domain", pa.string(), "value of the primary facet"),
        field("unit", pa.string(), "documents or tokens"),
        field("share_baseline", pa.float64(), "share of the baseline; null if it has nothing", "share", nullable=True),
        field("share_current", pa.float64(), "share of the current; null if it has nothing", "share", nullable=True),
        field("difference", pa.float64(), "current - baseline", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the difference", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the difference", "share", nullable=True),
        field("p", pa.float64(), "two-sided p of no difference", "probability", nullable=True),
        field("q", pa.float64(), "Benjamini-Hochberg q over the domains", nullable=True),
        ADJUSTED,
        field("reason", pa.string(), "why there are no bounds, or no shares", nullable=True),
    ],
    metadata={"title": "Domain shares, before and now", "order": "baseline, unit, share_current descending, domain"},
)

DRIFT_LENGTHS = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field("unit", pa.string(), "characters or tokens"),
        field("statistic", pa.string(), "p05, p25, p50, p75, p95, p99, mean or ks (largest gap of the distributions)"),
        field("value_baseline", pa.float64(), "in the baseline", "unit", nullable=True),
        field("value_current", pa.float64(), "in the current snapshot", "unit", nullable=True),
        field("change", pa.float64(), "log2 of current over baseline; the gap itself for ks", nullable=True),
        field("low", pa.float64(), "lower 95 % bound of the change", nullable=True),
        field("high", pa.float64(), "upper 95 % bound of the change", nullable=True),
        field("p", pa.float64(), "p of the gap, of ks only (Kolmogorov-Smirnov)", "probability", nullable=True),
        ADJUSTED,
        field("reason", pa.string(), "why there is no change, or a bound is missing", nullable=True),
    ],
    metadata={"title": "Document lengths, before and now", "order": "baseline, domain ((all) first), unit, statistic"},
)

DRIFT_CLASSIFIER = pa.schema(
    [
        BASELINE,
        DOMAIN_OR_ALL,
        field("documents_baseline", pa.int64(), "sampled unshared baseline documents", "documents"),
        field("documents_current", pa.int64(), "sampled unshared current documents", "documents"),
        field("auc", pa.float64(), "cross-validated AUC; 0.5 is no difference", nullable=True),
        field("low", pa.float64(), "lower 95 % bound", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", nullable=True),
        field("p", pa.float64(), "permutation p, never 0", "probability", nullable=True),
        ADJUSTED,
        field("permutations", pa.int64(), "permutations"),
        field(
            "features_baseline",
            pa.list_(pa.string()),
            "hashed buckets that tell the baseline most, named by their tokens",
        ),
        field(
            "features_current",
            pa.list_(pa.string()),
            "hashed buckets that tell the current most, named by their tokens",
        ),
        field("excerpts_baseline", pa.list_(pa.string()), "beginnings of the documents most like the baseline"),
        field("excerpts_current", pa.list_(pa.string()), "beginnings of the documents most like the current"),
        field("reason", pa.string(), "why there is no figure, or no test", nullable=True),
    ],
    metadata={"title": "Classifier two-sample test", "order": "baseline, domain ((all) first)"},
)

DRIFT_CONCLUSION = pa.schema(
    [
        BASELINE,
        field("status", pa.string(), "identical, changed, no significant drift, too few to test or not tested"),
        field("headline", pa.string(), "the conclusion in one sentence"),
        field("level", pa.float64(), "family-wise error of the status by its tests", "probability"),
        field("lenses_shown", pa.int64(), "lenses that show more than chance"),
        field("lenses_tested", pa.int64(), "lenses with a test"),
        field("p", pa.float64(), "smallest adjusted p of a lens", "probability", nullable=True),
    ],
    metadata={"title": "The conclusion from all lenses", "order": "baseline"},
)

DRIFT_LENSES = pa.schema(
    [
        BASELINE,
        field(
            "lens",
            pa.string(),
            "edits, distribution, tokens, classifier, lengths, domain shares; image sizes, image kinds",
        ),
        field("reading", pa.string(), "shown, not shown or not tested, at the level of DRIFT_CONCLUSION"),
        field("tests", pa.int64(), "tests that were made"),
        field("p", pa.float64(), "Simes p over its tests", "probability", nullable=True),
        field("p_adjusted", pa.float64(), "Holm p over the lenses", "probability", nullable=True),
        field("example", pa.string(), "what moved most", nullable=True),
        field("reason", pa.string(), "why there is no test", nullable=True),
    ],
    metadata={"title": "What each lens shows", "order": "baseline, lens as listed"},
)

NEAR_DUPLICATES = pa.schema(
    [
        field("baseline", pa.string(), "label of the baseline; empty for the snapshot itself"),
        field("scope", pa.string(), "within (a domain), across (other domains) or baseline"),
        DOMAIN_OR_ALL,
        field("documents", pa.int64(), "sampled documents", "documents"),
        field("near_duplicates", pa.float64(), "weighted documents with a near-duplicate", "documents"),
        field("rate", pa.float64(), "estimated share of documents with a near-duplicate", "share", nullable=True),
        field("low", pa.float64(), "lower 95 % bound", "share", nullable=True),
        field("high", pa.float64(), "upper 95 % bound", "share", nullable=True),
        field("threshold", pa.float64(), "estimated Jaccard similarity from which two documents count", "share"),
        field("reason", pa.string(), "why there is no figure", nullable=True),
    ],
    metadata={
        "title": "Near-duplicate rates from the MinHash sample",
        "order": "baseline, scope, domain ((all) first)",
    },
)

DRIFT_TABLES: dict[str, pa.Schema] = {
    "drift": DRIFT,
    "drift_tokens": DRIFT_TOKENS,
    "drift_parts": DRIFT_PARTS,
    "drift_domains": DRIFT_DOMAINS,
    "drift_lengths": DRIFT_LENGTHS,
    "drift_classifier": DRIFT_CLASSIFIER,
    "turnover": TURNOVER,
    "edit_sizes": EDIT_SIZES,
    "document_changes": DOCUMENT_CHANGES,
    "edit_patterns": EDIT_PATTERNS,
    "near_duplicates": NEAR_DUPLICATES,
    "drift_edits": DRIFT_EDITS,
    "drift_conclusion": DRIFT_CONCLUSION,
    "drift_lenses": DRIFT_LENSES,
}
