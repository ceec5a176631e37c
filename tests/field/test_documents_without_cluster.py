"""pyfixest#20: rows without a cluster value were one cluster, and the interval of a share became [0, 100] %.

200 hosts of 5 documents and 1,000 documents whose url is null, clustered by the url's host. Right: each document
without a cluster value is a cluster of its own. The interval is computed here from the clusters, not from groups.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from corpus_audit.pipelines.figures import published
from corpus_audit.pipelines.tokens.tokenization import load_tokenizer
from corpus_audit.runners.audit import run_facts
from tests import corpora
from tests.pipelines.making import count_all, job_of, merged, spec_of
from tests.runners.states import state_of

HOSTS, EACH, ALONE = 200, 5, 1000
ROWS = [
    *(
        {"text": f"page {h} {n}", "url": f"https://host{h}.example/{n}", "kind": "web"}
        for h in range(HOSTS)
        for n in range(EACH)
    ),
    *(
        {"text": f"note {n}", "url": None if n % 3 else ("" if n % 2 else "no url"), "kind": "notes"}
        for n in range(ALONE)
    ),
]
FIELDS = {"domain": "kind", "cluster": {"url_host": "url"}}


def audited(
    folder: Path, parts: int, rows: list[dict[str, str | None]]
) -> tuple[dict[str, dict[str, object]], int, bytes]:
    """Shares of documents by value, documents without a cluster, and the bytes of the table of cluster groups."""
    folder.mkdir()
    (folder / "data").mkdir()
    for part in range(parts):
        lines = "".join(json.dumps(row) + "\n" for row in rows[part::parts])
        (folder / "data" / f"{part}.jsonl").write_text(lines)
    tokenizer = load_tokenizer(str(corpora.small_bpe(folder, vocabulary=300)), folder, folder / "used")
    job = job_of(spec_of(folder / "data", document=FIELDS), tokenizer, folder)
    shards = count_all(job)
    profile = merged(job, shards, folder / "merged")
    domains, groups = profile.domains()
    assert groups is not None
    table = published.proportions(domains, groups, None, "documents", None)
    facts = run_facts.run_facts(
        "run", run_facts.Material(job.spec, job, [state_of(job, entry) for entry in shards], profile, len(rows), 1)
    )
    result = {row["value"]: row for row in table.to_pylist() if row["unit"] == "documents"}
    return result, facts.documents_without_cluster, str(groups.to_pylist()).encode()


def test_documents_without_a_cluster_value_are_clusters_by_themselves(tmp_path: Path) -> None:
    result, alone, groups = audited(tmp_path / "one", 1, ROWS)
    web, notes = result["web"], result["notes"]
    assert (web["clusters"], notes["clusters"]) == (HOSTS, ALONE)
    assert alone == ALONE
    assert (web["count"], notes["count"], web["share"]) == (HOSTS * EACH, ALONE, 0.5)
    total = HOSTS * EACH + ALONE
    # The ratio's linearised variance over the clusters: residuals y_c - p N_c of 200 hosts and 1,000 documents.
    squares = HOSTS * (EACH - 0.5 * EACH) ** 2 + ALONE * (0 - 0.5) ** 2
    half = 1.96 * math.sqrt(squares) / total
    assert half == pytest.approx(0.038, abs=0.0005)
    for row in (web, notes):
        assert row["low"] == pytest.approx(
            0.5 - half, abs=0.006
        )  # groups of clusters estimate it within their own error
        assert row["high"] == pytest.approx(0.5 + half, abs=0.006)
    again, alone_again, groups_again = audited(tmp_path / "three", 3, ROWS[::-1])
    assert (again, alone_again, groups_again) == (result, alone, groups)  # however the corpus is divided


def test_copies_of_a_text_without_a_cluster_value_are_clusters_each(tmp_path: Path) -> None:
    rows: list[dict[str, str | None]] = [{"text": "same", "url": None, "kind": "notes"} for _ in range(7)]
    rows += [{"text": "same", "url": "https://a.example/", "kind": "notes"} for _ in range(4)]
    rows += [{"text": "same", "url": "https://(none)/", "kind": "web"}, {"text": "b", "url": None, "kind": "web"}]
    result, alone, _ = audited(tmp_path / "copies", 2, rows)
    assert (result["notes"]["clusters"], result["web"]["clusters"], alone) == (8, 2, 8)
