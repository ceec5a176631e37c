"""evidently#1929: a comparison of data with itself crashed on a division by the change, which was 0.

Here a second audit of the same corpus with ``baseline: {run: runs}`` ended in exit 5 (``Column 'attribution' … contains
nulls``) and published nothing. Right: every quiet night is published, passes, and says that nothing changed, however
the documents are dealt, ordered or named. A corpus that holds every document twice has the same token shares, and is
said to hold copies.
"""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.policy.starters import starter_text
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests import corpora, degenerate
from tests.engine.runs import write_audit
from tests.oracle import Document

pytestmark = pytest.mark.engine

FIELDS = {"text": "text", "id": "id", "domain": "domain"}
DOCUMENTS = degenerate.made(1072)

QUIET: dict[str, tuple[Callable[[], list[Document]], int, str]] = {
    "the same": (lambda: DOCUMENTS, 2, "parquet"),
    "resharded": (lambda: DOCUMENTS, 7, "jsonl.gz"),
    "reshuffled": (lambda: random.Random(3).sample(DOCUMENTS, len(DOCUMENTS)), 2, "parquet"),
    "relabelled": (lambda: [replace(entry, id=f"new-{entry.id}") for entry in DOCUMENTS], 2, "parquet"),
}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first audit's folder, and the tokenizer."""
    folder = tmp_path_factory.mktemp("first")
    bpe = corpora.small_bpe(folder / "bpe", vocabulary=600)
    corpora.write_shards(folder / "shards", corpora.deal(DOCUMENTS, 2), "parquet")
    assert run_command(["run", str(write_audit(folder, [folder / "shards"], bpe, document=FIELDS))], Session()) == 0
    return folder, bpe


def again(
    folder: Path, first: tuple[Path, Path], documents: list[Document], shards: int, fmt: str, policy: str
) -> tuple[int, Path]:
    """The exit code and the run of an audit whose baseline is the first one's output folder."""
    corpora.write_shards(folder / "shards", corpora.deal(documents, shards), fmt)
    (folder / "policy.yaml").write_text(policy)
    hook = {
        "command": ["sh", "-c", 'cat > note.md; printf %s "$CORPUS_AUDIT_DRIFT" > drift.txt'],
        "when": ["pass", "warn"],
    }
    baseline = {"run": str(first[0] / "runs")}
    more = {"document": FIELDS, "baseline": baseline, "policy": "policy.yaml", "notify": [hook]}
    code = run_command(["run", str(write_audit(folder, [folder / "shards"], first[1], **more))], Session())
    (run,) = (path.parent for path in (folder / "runs").glob("*/run.json"))
    return code, run


@pytest.mark.parametrize("night", QUIET)
def test_a_quiet_night_is_published_passes_and_is_called_one(
    tmp_path: Path, baseline: tuple[Path, Path], capsys: pytest.CaptureFixture[str], night: str
) -> None:
    documents, shards, fmt = QUIET[night]
    policy = starter_text("scheduled-audit", baseline=True, benchmarks=False)
    code, run = again(tmp_path, baseline, documents(), shards, fmt, policy)
    assert code == 0
    renamed = night == "relabelled"
    headline = (
        "No significant drift: 1,072 documents were renamed; every token has the same share in both."
        if renamed
        else "Identical: both hold the same 1,072 documents."
    )
    assert headline in " ".join(capsys.readouterr().out.split())
    assert headline in (run / "outputs" / "summary.md").read_text()
    page = (run / "report.html").read_text()
    assert headline in page and "Not tested: neither drift" not in page
    assert ("Nothing changed</p>" in page) is not renamed
    rows = [row for row in pq.read_table(run / "tables" / "metrics.parquet").to_pylist() if "baseline=" in row["slice"]]
    compared = [row for row in rows if not row["metric"].startswith("near_duplicate_rate")]
    assert len(compared) > 100
    # 1 of what was kept, 1/2 of an AUC, p = 1, and 0 of everything else: no row is without a value or in doubt.
    expected = {
        "kept_share": 1.0,
        "drift_classifier_auc": 0.5,
        "drift_p": 1.0,
        "drift_conclusion_p": 1.0,
        "renamed_share": float(renamed),
    }
    for row in compared:
        assert row["value"] == row["low"] == row["high"] == expected.get(row["metric"], 0.0), row
    assert run_command(["drift", str(baseline[0] / "runs"), str(run)], Session()) == 0
    assert headline in " ".join(capsys.readouterr().out.split())


def test_every_document_twice_is_no_drift_and_is_no_quiet_night(
    tmp_path: Path, baseline: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rules = [rule for rule in POLICY if rule["id"] != "gone"]
    code, run = again(tmp_path, baseline, DOCUMENTS + DOCUMENTS, 3, "parquet", json.dumps({**HEAD, "rules": rules}))
    out = capsys.readouterr().out
    assert code == 0 and "every token has the same share in both" in " ".join(out.split())
    row = next(
        row
        for row in pq.read_table(run / "tables" / "drift.parquet").to_pylist()
        if row["domain"] == "(all)" and row["statistic"] == "jsd"
    )
    assert (row["value"], row["excess"], row["low"], row["high"], row["p"]) == (0.0, 0.0, 0.0, 0.0, 1.0)
    assert "1,072 documents were kept, 0 edited, 1,072 added and 0 removed" in (
        (run / "outputs" / "summary.md").read_text()
    )


def test_nine_new_documents_are_counted_and_nothing_crashes(
    tmp_path: Path, baseline: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    documents = DOCUMENTS + degenerate.made(9, start=8000)
    code, run = again(tmp_path, baseline, documents, 2, "parquet", json.dumps({**HEAD, "rules": POLICY}))
    assert code == 0
    output = " ".join(capsys.readouterr().out.split())
    conclusion = pq.read_table(run / "tables" / "drift_conclusion.parquet").to_pylist()[0]
    headline = "Only 9 documents were added (d00 1, d01 1, …); too few to test as a whole, 99% unchanged."
    assert conclusion["headline"] == headline and headline in output
    assert (tmp_path / "drift.txt").read_text() == headline
    page = html.unescape(re.sub("<[^>]*>", "", (run / "report.html").read_text())).replace("\xa0", " ")
    for text in ((run / "outputs" / "summary.md").read_text(), (tmp_path / "note.md").read_text(), page):
        assert headline in text
    metrics = pq.read_table(run / "tables" / "metrics.parquet").to_pylist()
    values = {row["metric"]: row["value"] for row in metrics if row["slice"].startswith("baseline=")}
    assert values["drift_lenses_shown"] == conclusion["lenses_shown"] == 0
    assert values["drift_conclusion_p"] == conclusion["p"]
    assert run_command(["drift", str(baseline[0] / "runs"), str(run)], Session()) == 0
    assert headline in " ".join(capsys.readouterr().out.split())
    assert run_command(["drift", "--json", str(baseline[0] / "runs"), str(run)], Session()) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["status"]) == ("corpus-audit/drift/1", "too few to test")
    assert answer["headline"] == answer["drift_conclusion"][0]["headline"] == headline
    lenses = [{key: value for key, value in row.items() if key != "baseline"} for row in answer["drift_lenses"]]
    table = pq.read_table(run / "tables" / "drift_lenses.parquet").drop_columns("baseline")
    assert lenses == table.to_pylist()
    assert {"drift", "drift_edits", "edit_patterns", "edit_sizes", "turnover"} <= answer.keys()
    assert not {"drift_tokens", "document_changes"} & answer.keys()


HEAD = {"name": "p", "version": "1"}
POLICY = [
    {"id": "drift", "title": "t", "metric": "drift_jsd_excess", "slice": "baseline=*", "owner": "o", "rationale": "r",
     "fail": {"maximum": 0.01}},
    {"id": "gone", "title": "t", "metric": "removed_share", "slice": "baseline=*", "owner": "o", "rationale": "r",
     "fail": {"maximum": 0.1}},
]  # fmt: skip
