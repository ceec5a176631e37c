"""What a reader should know after a minute, in sentences; the page and the summary say the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from corpus_audit.checks.report.activations import section as model_section
from corpus_audit.checks.report.contamination import section as contamination_section
from corpus_audit.checks.report.drift import section as drift_section
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.profile.records import ShareRow
from corpus_audit.checks.report.sampling import section as sampling_section
from corpus_audit.checks.report.verdict import section as verdict_section
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.schemas.run.run_file import FileListing

NAMES = 3
"""Names that a sentence lists; of more it says how many."""


def findings(model: ReportModel) -> tuple[Finding, ...]:
    """The findings in the order of the page: verdict, if the run was judged, coverage, then what the tables say."""
    topics = (
        ("Coverage", "coverage", _coverage(model)),
        ("Mixture" if model.mixture else "Domains", "domains", _mixture(model)),
        ("Lengths", "lengths", _lengths(model)),
        ("Duplicates", "duplicates", _duplicates(model)),
        ("Vocabulary", "vocabulary", _vocabulary(model)),
        ("Tokenizer", "tokenizer", _tokenizer(model)),
    )
    found = ((topic, anchor, tuple(sentences)) for topic, anchor, sentences in topics)
    return (
        *(verdict_section.findings(model.verdict) if model.verdict else ()),
        *(Finding(*one) for one in found if one[2]),
        *drift_section.findings(model.drift),
        *(sampling_section.findings(model.sampling) if model.sampling else ()),
        *(contamination_section.findings(model.contamination) if model.contamination else ()),
        *(model_section.findings(model.indexed) if model.indexed else ()),
    )


def decimals(rows: Sequence[ShareRow], model: ReportModel) -> int:
    """Decimals for shares of these rows, in the unit of the report."""
    amounts = [row.amount(model.unit) for row in rows]
    return numbers.share_decimals(a.high - a.low for a in amounts if a.low is not None and a.high is not None)


def _names(values: Sequence[str]) -> Iterator[str | Name]:
    for index, value in enumerate(values[:NAMES]):
        if index:
            yield ", "
        yield Name(value)
    if len(values) > NAMES:
        yield f" and {numbers.grouped(len(values) - NAMES)} more"


def _mixture(model: ReportModel) -> Iterator[Sentence]:
    mixture, digits = model.mixture, decimals(model.domains, model)
    if mixture is None:
        named = [row for row in model.domains if not row.folded][:3]
        if named and not any(row.amount(model.unit).count for row in model.domains):
            yield (f"There are no {model.unit}, so no domain has a share of them.",)
        elif named:
            parts: list[str | Name] = ["The largest domains are "]
            for index, row in enumerate(named):
                share = numbers.percent(row.amount(model.unit).share, digits)
                parts += [", " if index else "", Name(row.name), f" ({share})"]
            yield (*parts, f" of {model.unit}.")
        yield ("No mixture was intended in the spec, so shares are compared with nothing.",)
        return
    if mixture.distance is None:
        yield (f"There are no {mixture.unit} to hold against the intended mixture.",)
    else:
        moved = numbers.percent(mixture.distance, digits)
        if mixture.distance_low is not None:
            moved += " " + numbers.interval(mixture.distance_low, mixture.distance_high, digits)
        yield (f"{moved} of {mixture.unit} would have to be in another domain to match the intended mixture.",)
    if mixture.deviations:
        parts = ["The largest deviations are "]
        for index, deviation in enumerate(mixture.deviations[:3]):
            found = numbers.percent(deviation.share, digits)
            intended = numbers.percent(deviation.intended, digits)
            change = numbers.points(deviation.difference, digits)
            parts += ["; " if index else "", Name(deviation.name), f" {change} points ({found} against {intended})"]
        yield (*parts, ".")
    if mixture.compared:
        yield (
            f"In {numbers.grouped(mixture.clear)} of {numbers.plural(mixture.compared, 'domain')} "
            "the 95 % interval leaves out the intended share.",
        )
    if mixture.absent:
        yield ("Intended, but not in the corpus: ", *_names(mixture.absent), ".")
    if mixture.unplanned or mixture.unplanned_share:
        share = numbers.percent(mixture.unplanned_share, digits)
        names = tuple(_names(mixture.unplanned)) or ("domains beyond those listed",)
        yield ("In the corpus, but not intended: ", *names, f" ({share} of {mixture.unit}).")


def _lengths(model: ReportModel) -> Iterator[Sentence]:
    panel = model.lengths[0]
    whole = [row for row in panel.rows if row.everything]
    if not whole:
        return
    median, p95 = whole[0].quantiles[2], whole[0].quantiles[4]
    yield (
        f"Half of all documents have at most {numbers.length(median)} {panel.unit}, 95 % at most "
        f"{numbers.length(p95)}; the mean is {numbers.length(whole[0].mean)}.",
    )
    named = sorted((row for row in panel.rows if not row.everything), key=lambda row: (row.quantiles[2], row.name))
    if len(named) > 1:
        short, long = named[0], named[-1]
        yield (
            "By domain, the median runs from ",
            f"{numbers.length(short.quantiles[2])} (",
            Name(short.name),
            f") to {numbers.length(long.quantiles[2])} (",
            Name(long.name),
            ").",
        )


def _duplicates(model: ReportModel) -> Iterator[Sentence]:
    whole = next((row for row in model.duplicates if row.everything), None)
    if whole is None or not whole.documents:
        return
    share = numbers.percent(whole.duplicate_documents / whole.documents, 2)
    tokens = f"{numbers.percent(whole.duplicate_tokens / whole.tokens, 2)} of tokens" if whole.tokens else "no tokens"
    across = numbers.percent(whole.across_documents / whole.documents, 2)
    yield (
        f"{share} of documents ({tokens}) are exact repeats of another; {across} have a text that occurs in "
        "another domain too.",
    )
    rates = [(r.duplicate_documents / r.documents, r.name) for r in model.duplicates if r.name and r.documents]
    if len(rates) > 1:
        rate, name = max(rates, key=lambda item: (item[0], item[1]))
        if rate > 0:
            yield ("Most repetition within a domain: ", Name(name), f", {numbers.percent(rate, 2)} of its documents.")


def _vocabulary(model: ReportModel) -> Iterator[Sentence]:
    whole = next((row for row in model.vocabulary if row.everything), None)
    if whole is not None:
        yield (
            f"{numbers.grouped(whole.types)} of {numbers.grouped(model.tokenizer.vocabulary)} token ids occur "
            f"({numbers.percent(whole.coverage)}); the effective vocabulary is {numbers.length(whole.effective)}.",
        )
    else:
        yield ("No token occurs.",)


def _coverage(model: ReportModel) -> Iterator[Sentence]:
    coverage = model.coverage
    used, shards = numbers.grouped(coverage.shards_used), numbers.plural(coverage.shards, "shard")
    if coverage.shards_used == coverage.shards:
        whose = f"All {shards} were" if coverage.shards > 1 else "The one shard was"
        yield (f"{whose} read{_from_cache(model)}.",)
    else:
        left = []
        if coverage.shards_not_sampled:
            left.append(f"{numbers.grouped(coverage.shards_not_sampled)} lie outside the sample")
        if coverage.shards_error:
            left.append(f"{numbers.grouped(coverage.shards_error)} could not be read")
        yield (f"{used} of {shards} were read{_from_cache(model)}; {', '.join(left) or 'the others were not'}.",)
    if model.listing is not None and model.listing.unread:
        yield _unread(model.listing)
    if coverage.sampled:
        share = numbers.percent(coverage.sample_share)
        counted = f"{numbers.grouped(coverage.splits_counted)} of {numbers.plural(coverage.splits, 'split')}"
        yield (f"The audit is of a sample: {share} of splits were to be read, {counted} were.",)
    dead = coverage.dead_letters / coverage.rows if coverage.rows else 0.0
    yield (
        f"Of {numbers.plural(coverage.rows, 'row')}, {numbers.grouped(coverage.documents)} are documents, "
        f"{numbers.grouped(coverage.filtered)} were filtered and {numbers.grouped(coverage.dead_letters)} "
        f"({numbers.percent(dead, 3) if dead else '0 %'}) could not be counted.",
    )
    if coverage.dead_letter_bytes and coverage.row_bytes:
        share = numbers.percent(coverage.dead_letter_bytes / coverage.row_bytes, 3)
        yield (f"Those hold {numbers.byte_size(coverage.dead_letter_bytes)}, {share} of the bytes of all rows.",)
    if not coverage.conserved:
        yield ("The rows do not add up.",)


def _unread(listing: FileListing) -> Sentence:
    """How many files were seen and not read, and why."""
    parts = [
        f"{numbers.grouped(files.files)} ({reason.replace('_', ' ')})"
        for reason, files in sorted(listing.unread.items())
    ]
    left = sum(files.files for files in listing.unread.values())
    were = "was" if left == 1 else "were"
    return (f"{numbers.plural(left, 'more file')} {were} seen and not read: {', '.join(parts)}.",)


def _from_cache(model: ReportModel) -> str:
    cached = model.coverage.shards_cached
    return f" ({numbers.grouped(cached)} of them in an earlier run)" if cached else ""


def _tokenizer(model: ReportModel) -> Iterator[Sentence]:
    tokenizer = model.tokenizer
    if tokenizer.path == "tokenizers":
        yield ("Tokens were counted by the reference, tokenizers, with ", Name(tokenizer.name), ".")
        if tokenizer.path_reason:
            yield ("The fast tokenizer was not used: ", Name(tokenizer.path_reason), ".")
    else:
        yield (
            "Tokens were counted by ",
            Name(tokenizer.path),
            " with ",
            Name(tokenizer.name),
            f" and compared with the reference on {numbers.plural(tokenizer.verified, 'document')} "
            f"({numbers.grouped(tokenizer.verified_needed)} needed).",
        )
    if tokenizer.switched_off:
        yield ("Switched off for counting: ", Name(", ".join(tokenizer.switched_off)), ".")


def limits(model: ReportModel) -> tuple[Sentence, ...]:
    """What this audit does not show, in plain words."""
    return tuple(_limits(model))


def _limits(model: ReportModel) -> Iterator[Sentence]:
    coverage = model.coverage
    if model.verdict is not None:
        yield from verdict_section.limits(model.verdict)
    else:
        yield (
            "Complete means that everything listed was read and counted. It does not mean that the data is good: this "
            "page describes the corpus and judges nothing.",
        )
    unit: Sentence = ("documents",) if model.cluster is None else ("clusters (", Name(model.cluster), ")")
    if coverage.sampled:
        yield (
            "Counts are of the splits that were read, chosen by hash. Intervals hold both that choice and the "
            "variation among ",
            *unit,
            ".",
        )
        yield ("Duplicates and token ids are counted within the sample: the whole corpus has at least as many.",)
    else:
        yield (
            "Counts are exact for this snapshot. Intervals say how far a share would move if the ",
            *unit,
            " were drawn anew from the same sources; they are not errors of counting.",
        )
    if model.documents_without_cluster:
        yield (
            f"{numbers.plural(model.documents_without_cluster, 'document')} of "
            f"{numbers.grouped(coverage.documents)} have no value of ",
            Name(model.cluster or ""),
            "; each is a cluster of its own.",
        )
    if model.totals.domains > 1:
        yield (
            "Each interval holds with 95 % on its own; among many domains some will miss. Bounds that hold jointly are "
            "in tables/proportions.parquet.",
        )
    if coverage.manifest:
        yield ("Every shard was compared with the manifest, so shards that were cut, changed or lost are found.",)
    else:
        yield (
            "No manifest was given. A shard cut inside a compressed frame, a row group or a line is found; one cut "
            "exactly at such a boundary cannot be told from a whole one.",
        )
    if coverage.digests_remembered:
        yield (
            f"The digests of {numbers.plural(coverage.digests_remembered, 'shard')} were remembered, because size and "
            "time stamps had not changed; run with --rehash to compute all of them anew.",
        )
    if coverage.duplicate_shards:
        yield (
            f"{numbers.plural(coverage.duplicate_shards, 'shard')} have the same bytes as another shard and count "
            "twice, as a training job would read them.",
        )
    near = (
        "Near-duplicates are estimated from a sample, not counted: tables/near_duplicates.parquet has their rates "
        "within and across domains, and against each baseline."
        if model.near_duplicates
        else "Near-duplicates are not counted here."
    )
    yield (f"Duplicates are exact: texts that differ in one byte are different. {near}",)
    yield (
        "Tokens are counted without special tokens, and without truncation, padding or packing; what a training job "
        "sees may be more or fewer.",
    )
    if model.tokenizer.path != "tokenizers":
        yield (
            "The fast tokenizer was compared with the reference on some documents, chosen by hash; that the others "
            "agree is inferred.",
        )
    yield ("A document's domain is what the data says it is; no text was classified.",)
    yield ("Length quantiles are within 1 % of the exact ones; means, counts and totals are exact.",)
    if model.token_groups == "overall":
        yield (
            "Token counts by groups of documents are kept overall and not by domain, because of their number; later "
            "comparisons by domain will be coarser.",
        )
