"""Sentences of a report whose counts are one."""

from dataclasses import replace

import pytest

from corpus_audit.checks.report.page.findings import findings
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.limits import limits
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.page.terminal import render_summary
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.sentences import Name
from tests.checks.report.test_report_page import Page


@pytest.mark.parametrize(("n", "word"), [(0, "are"), (1, "is"), (2, "are")])
def test_a_word_agrees_with_its_count(n: int, word: str) -> None:
    assert agree(n, "is", "are") == word


@pytest.fixture
def single(model: ReportModel) -> ReportModel:
    """A run that read one shard of two, with one document, one dead letter and one token."""
    counts = dict.fromkeys(
        ("shards_used", "shards_read", "shards_not_sampled", "documents", "dead_letters", "filtered",
         "duplicate_shards", "digests_remembered"), 1,
    )  # fmt: skip
    counts |= {"shards": 2, "shards_cached": 0, "shards_error": 0, "rows": 3}
    return replace(
        model,
        coverage=model.coverage.model_copy(update=counts),
        totals=replace(model.totals, documents=1, bytes=1, characters=1, words=1, tokens=1, domains=1),
        snapshot=model.snapshot.model_copy(update={"shards": 1, "bytes": 1}),
        cluster="host",
        documents_without_cluster=1,
    )


def text(model: ReportModel) -> str:
    topics = [sentence for finding in findings(model) for sentence in finding.sentences]
    return " ".join(
        "".join(part.text if isinstance(part, Name) else part for part in sentence)
        for sentence in (*topics, *limits(model))
    )


@pytest.mark.parametrize(
    "sentence",
    [
        "1 of 2 shards was read; 1 is outside the sample.",
        "Of 3 rows, 1 is a document, 1 was filtered and 1 (33.333 %) could not be counted.",
        "1 of 1 document has no value of host; each such document is a cluster of its own.",
        "1 shard was not hashed again",
        "1 shard has the same bytes as another shard",
    ],
)
def test_sentences_with_a_count_of_one(single: ReportModel, sentence: str) -> None:
    assert sentence in text(single)


def test_page_and_summary_with_counts_of_one(single: ReportModel) -> None:
    page = " ".join(" ".join(Page(render_html(single)).text).split())
    for shown in ("1 token, 1 word and 1 character in all", "1 shard, 1 byte on disk", "1 shard was not hashed again"):
        assert shown in page
    assert render_summary(single, "report.html").splitlines()[3].split("  ")[:2] == ["1 document", " 1 token"]
