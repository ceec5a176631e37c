"""The sentences of the report's summary; the page and the terminal show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from corpus_audit.checks.report.page.further_sections import further_findings
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.profile.records import ShareRow
from corpus_audit.checks.report.verdict import section as verdict_section
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.schemas.run.run_file import FileListing

NAMES = 3
"""Names that a sentence lists; of more it says how many."""


def findings(model: ReportModel) -> tuple[Finding, ...]:
    """The findings in the order of the page: verdict, if the run was judged, coverage, then what the tables say."""
    topics = (
        ("Coverage", "coverage", _coverage(model)),
        ("Mixture" if model.mixture else "Domains", "domains", _mixture(model)),
        ("Lengths", "lengths", _lengths(model) if model.text else ()),
        ("Duplicates", "duplicates", _duplicates(model)),
        ("Vocabulary", "vocabulary", _vocabulary(model) if model.text else ()),
        ("Tokenizer", "tokenizer", _tokenizer(model) if model.text else ()),
    )
    profile = ((topic, anchor, tuple(sentences)) for topic, anchor, sentences in topics)
    return (
        *(verdict_section.findings(model.verdict) if model.verdict else ()),
        *(Finding(topic, anchor, sentences) for topic, anchor, sentences in profile if sentences),
        *further_findings(model),
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
        yield ("The spec gives no intended mixture to compare the shares with.",)
        return
    if mixture.distance is None:
        yield (f"There are no {mixture.unit} to compare with the intended mixture.",)
    else:
        moved = numbers.percent(mixture.distance, digits)
        if mixture.distance_low is not None:
            moved += " " + numbers.interval(mixture.distance_low, mixture.distance_high, digits)
        yield (f"{moved} of {mixture.unit} would have to be in another domain to match the intended mixture.",)
    if mixture.deviations:
        parts = ["The largest deviations are "]
        for index, deviation in enumerate(mixture.deviations[:3]):
            observed = numbers.percent(deviation.share, digits)
            intended = numbers.percent(deviation.intended, digits)
            change = numbers.points(deviation.difference, digits)
            parts += ["; " if index else "", Name(deviation.name), f" {change} points ({observed} against {intended})"]
        yield (*parts, ".")
    if mixture.compared:
        yield (
            f"In {numbers.grouped(mixture.clear)} of {numbers.plural(mixture.compared, 'domain')} "
            "the 95 % interval excludes the intended share.",
        )
    if mixture.absent:
        yield ("Intended, but not in the corpus: ", *_names(mixture.absent), ".")
    if mixture.unplanned or mixture.unplanned_share:
        share = numbers.percent(mixture.unplanned_share, digits)
        names = tuple(_names(mixture.unplanned)) or ("domains beyond those listed",)
        yield ("In the corpus, but not intended: ", *names, f" ({share} of {mixture.unit}).")


def _lengths(model: ReportModel) -> Iterator[Sentence]:
    panel = model.lengths[0]
    overall = next((row for row in panel.rows if row.everything), None)
    if overall is None:
        return
    median, p95 = numbers.length(overall.quantiles[2]), numbers.length(overall.quantiles[4])
    unit = panel.unit.removesuffix("s") if median == "1" else panel.unit
    texts = "captions" if model.images else "documents"
    yield (
        f"Half of all {texts} have at most {median} {unit}, 95 % at most {p95}; the mean is "
        f"{numbers.length(overall.mean)}.",
    )
    named = sorted((row for row in panel.rows if not row.everything), key=lambda row: (row.quantiles[2], row.name))
    if len(named) > 1 and len({numbers.length(row.quantiles[2]) for row in named}) == 1:
        yield (f"The median of every domain that is shown is {numbers.length(named[0].quantiles[2])} too.",)
    elif len(named) > 1:
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
    overall = next((row for row in model.duplicates if row.everything), None)
    if overall is None or not overall.documents:
        return
    share = numbers.percent(overall.duplicate_documents / overall.documents, 2)
    tokens = (
        f"{numbers.percent(overall.duplicate_tokens / overall.tokens, 2)} of tokens" if overall.tokens else "no tokens"
    )
    across = numbers.percent(overall.across_documents / overall.documents, 2)
    if model.images:
        what = "their captions included" if model.text else "byte for byte"
        yield (f"{share} of images are exact repeats of another one, {what}; {across} also occur in another domain.",)
    else:
        yield (
            f"{share} of documents ({tokens}) are exact repeats of another document; {across} have a text that "
            "also occurs in another domain.",
        )
    rates = [(r.duplicate_documents / r.documents, r.name) for r in model.duplicates if r.name and r.documents]
    if len(rates) > 1:
        rate, name = max(rates, key=lambda item: (item[0], item[1]))
        if rate > 0:
            yield (
                "The domain with the most repeats is ",
                Name(name),
                f": {numbers.percent(rate, 2)} of its documents.",
            )


def _vocabulary(model: ReportModel) -> Iterator[Sentence]:
    overall = next((row for row in model.vocabulary if row.everything), None)
    if overall is not None:
        yield (
            f"{numbers.grouped(overall.types)} of {numbers.grouped(model.tokenizer.vocabulary)} token ids "
            f"{agree(overall.types, 'occurs', 'occur')} ({numbers.percent(overall.coverage)}); the effective "
            f"vocabulary is {numbers.length(overall.effective)}.",
        )
    else:
        yield ("No token occurs.",)


def _coverage(model: ReportModel) -> Iterator[Sentence]:
    coverage = model.coverage
    used, shards = numbers.grouped(coverage.shards_used), numbers.plural(coverage.shards, "shard")
    if coverage.shards_used == coverage.shards:
        every = f"All {shards} were" if coverage.shards > 1 else "The one shard was"
        yield (f"{every} read{_from_cache(model)}.",)
    else:
        reasons = []
        if (n := coverage.shards_not_sampled) > 0:
            reasons.append(f"{numbers.grouped(n)} {agree(n, 'is', 'are')} outside the sample")
        if coverage.shards_error:
            reasons.append(f"{numbers.grouped(coverage.shards_error)} could not be read")
        were = agree(coverage.shards_used, "was", "were")
        yield (
            f"{used} of {shards} {were} read{_from_cache(model)}; {', '.join(reasons) or 'the others were not read'}.",
        )
    if model.listing is not None and model.listing.unread:
        yield _unread(model.listing)
    if coverage.sampled:
        share = numbers.percent(coverage.sample_share)
        counted = f"{numbers.grouped(coverage.splits_counted)} of {numbers.plural(coverage.splits, 'split')}"
        were = agree(coverage.splits_counted, "was", "were")
        yield (f"The audit read a sample: {share} of splits were requested, {counted} {were} read.",)
    dead = coverage.dead_letters / coverage.rows if coverage.rows else 0.0
    documents = agree(coverage.documents, "is a document", "are documents")
    yield (
        f"Of {numbers.plural(coverage.rows, 'row')}, {numbers.grouped(coverage.documents)} {documents}, "
        f"{numbers.grouped(coverage.filtered)} {agree(coverage.filtered, 'was', 'were')} filtered and "
        f"{numbers.grouped(coverage.dead_letters)} ({numbers.percent(dead, 3) if dead else '0 %'}) could not be "
        "counted.",
    )
    if coverage.dead_letter_bytes and coverage.row_bytes:
        share = numbers.percent(coverage.dead_letter_bytes / coverage.row_bytes, 3)
        those = agree(coverage.dead_letters, "That row has", "Those rows have")
        yield (f"{those} {numbers.byte_size(coverage.dead_letter_bytes)}, {share} of the bytes of all rows.",)
    if not coverage.conserved:
        yield ("Readers, file footers and measures disagree on the number of rows.",)


def _unread(listing: FileListing) -> Sentence:
    """How many files were seen and not read, and why."""
    parts = [
        f"{numbers.grouped(files.files)} ({reason.replace('_', ' ')})"
        for reason, files in sorted(listing.unread.items())
    ]
    unread = sum(files.files for files in listing.unread.values())
    were = agree(unread, "was", "were")
    return (f"{numbers.plural(unread, 'other file')} {were} seen but not read: {', '.join(parts)}.",)


def _from_cache(model: ReportModel) -> str:
    cached = model.coverage.shards_cached
    if cached == model.coverage.shards_used:
        return " in an earlier run" if cached else ""
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
