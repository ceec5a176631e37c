"""What an audit does not show, in sentences; the page, the model card and Croissant share them."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.verdict import section as verdict_section
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.sentences import Name, Sentence


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
            "Counts are of the splits that were read, selected by hash. Intervals cover both that selection and the "
            "variation among ",
            *unit,
            ".",
        )
        yield ("Duplicates and token ids are counted within the sample: the corpus has at least as many.",)
    else:
        yield (
            "Counts are exact for this snapshot. Intervals say how far a share would move if the ",
            *unit,
            " were drawn again from the same sources; they are not counting errors.",
        )
    if (missing := model.documents_without_cluster) > 0:
        yield (
            f"{numbers.grouped(missing)} of {numbers.plural(coverage.documents, 'document')} "
            f"{agree(missing, 'has', 'have')} no value of ",
            Name(model.cluster or ""),
            "; each such document is a cluster of its own.",
        )
    if model.totals.domains > 1:
        yield (
            "Each 95 % interval holds on its own: of many domains, some have a share outside theirs. Bounds that hold "
            "jointly are in tables/proportions.parquet.",
        )
    if coverage.manifest:
        yield ("Every shard was compared with the manifest, so truncated, changed and missing shards are detected.",)
    else:
        yield (
            "No manifest was given. A shard truncated inside a compressed frame, a row group or a line is detected; "
            "one truncated exactly at such a boundary looks complete.",
        )
    if (reused := coverage.digests_remembered) > 0:
        yield (
            f"{numbers.plural(reused, 'shard')} {agree(reused, 'was', 'were')} not hashed again, as size and time "
            "stamps had not changed; run with --rehash to hash every shard.",
        )
    if (copies := coverage.duplicate_shards) > 0:
        yield (
            f"{numbers.plural(copies, 'shard')} {agree(copies, 'has', 'have')} the same bytes as another shard; every "
            "copy counts, as a training job would read it.",
        )
    near = (
        "Near-duplicates are estimated from a sample, not counted: tables/near_duplicates.parquet has their rates "
        "within and across domains, and against each baseline."
        if model.near_duplicates
        else "Near-duplicates are not counted here."
    )
    if model.images:
        what = (
            "images that differ in one byte, or in their caption," if model.text else "images that differ in one byte"
        )
        captions = f" {near.replace('Near-duplicates', 'Near-duplicate captions')}" if model.text else ""
        yield (f"Exact duplicates are equal files: {what} are different.{captions}",)
        yield (
            "An image is counted when it decodes. Damage that leaves a decodable file, such as changed bytes within a "
            "JPEG, is only visible with a manifest.",
        )
    else:
        yield (f"Duplicates are exact: texts that differ in one byte are different. {near}",)
    if not model.text:
        yield ("An image's domain is what the data says it is; no image was classified.",)
        return
    yield (
        "Tokens are counted without special tokens, truncation, padding or packing; a training job may see more or "
        "fewer.",
    )
    if model.tokenizer.path != "tokenizers":
        yield (
            "The fast tokenizer was compared with the reference on some documents, selected by hash; that the others "
            "agree is inferred.",
        )
    yield ("A document's domain is what the data says it is; no text was classified.",)
    yield ("Length quantiles are within 1 % of the exact ones; means, counts and totals are exact.",)
    if model.token_groups == "overall":
        yield (
            "Token counts by groups of documents are stored for the corpus and not by domain, because there would be "
            "too many; later comparisons by domain will be coarser.",
        )
