"""Audits with a baseline: what both snapshots hold, what is read again, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.runners.audit.baselines import compare
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from tests import corpora
from tests.engine.runs import Run, run, write_audit
from tests.oracle import Document, reference_tokenizer

pytestmark = pytest.mark.engine

WORDS = [f"{stem}{ending}" for stem in ("mar", "ton", "quil", "vex", "sor") for ending in ("a", "en", "is", "ost")]


def documents(number: int, seed: int, start: int = 0) -> list[Document]:
    rng = random.Random(seed)
    return [
        Document(
            text=f"{(n * 7919) % 100_003} " + " ".join(rng.choice(WORDS) for _ in range(rng.randint(20, 80))),
            id=f"doc-{n}",
            facets={"domain": f"d{n % 3}", "language": "en"},
            cluster=f"h{n % 50}",
        )
        for n in range(start, start + number)
    ]


FIELDS = {"text": "text", "id": "id", "domain": "domain"}


def audit(folder: Path, parts: Sequence[Sequence[Document]], bpe: Path, **spec: Any) -> Run:
    shutil.rmtree(folder / "shards", ignore_errors=True)
    corpora.write_shards(folder / "shards", [list(part) for part in parts], "parquet", row_group_rows=40)
    return run(write_audit(folder, [folder / "shards"], bpe, **({"document": FIELDS} | spec)), 2)


def shared_counts(result: Run) -> Counter[tuple[str, int]]:
    return Counter({(row["domain"], row["token"]): row["count"] for row in result.rows("shared_token_counts")})


def expected_counts(bpe: Path, both: Sequence[Document]) -> Counter[tuple[str, int]]:
    tokenizer = reference_tokenizer(bpe)
    counts: Counter[tuple[str, int]] = Counter()
    for document in both:
        for token in tokenizer.encode(document.text, add_special_tokens=False).ids:
            counts[str(document.facets["domain"]), token] += 1
    return counts


def summary(result: Run) -> dict[str, Any]:
    rows = result.rows("drift")
    return next(row for row in rows if row["domain"] == ALL_DOMAINS and row["statistic"] == "jsd")


def test_shared_documents_are_those_that_both_hold_however_they_are_dealt(tmp_path: Path, bpe: Path) -> None:
    old, kept, new = documents(150, 1), documents(300, 2, 1000), documents(150, 3, 2000)
    audit(tmp_path / "a", corpora.deal(old + kept, 4), bpe)
    baseline = [{"run": str(tmp_path / "a" / "runs")}]
    result = audit(tmp_path / "b", corpora.deal(kept + new, 3), bpe, baseline=baseline)
    assert shared_counts(result) == expected_counts(bpe, kept)
    overall = result.rows("turnover")[0]
    assert (overall["kept"], overall["added"], overall["removed"]) == (300, 150, 150)
    row = summary(result)
    assert row["documents_shared"] == 300 and row["p"] is not None and row["low"] <= 0 <= row["high"]
    shuffled = kept + new
    random.Random(5).shuffle(shuffled)
    again = audit(tmp_path / "c", corpora.deal(shuffled, 11), bpe, baseline=baseline)
    for table in ("shared_token_counts", "shared_token_groups", "turnover", "drift", "drift_tokens", "drift_domains"):
        assert again.rows(table) == result.rows(table), table


def test_only_new_shards_are_read_and_the_baseline_may_lose_its_own(tmp_path: Path, bpe: Path) -> None:
    parts = [documents(100, seed, 1000 * seed) for seed in range(1, 6)]
    first = audit(tmp_path / "a", parts[:4], bpe)
    second = audit(tmp_path / "a", parts, bpe, baseline=[{"run": str(first.folder)}])
    assert (second.splits_read, first.splits_read) == (1, 4)
    assert shared_counts(second) == expected_counts(bpe, [document for part in parts[:4] for document in part])
    shutil.rmtree(tmp_path / "a" / "shards")
    tables = compare(RunDirectory(first.folder), RunDirectory(second.folder), "baseline", 1, lambda _: None)
    assert tables["drift"].to_pylist() == second.rows("drift")
    backwards = compare(RunDirectory(second.folder), RunDirectory(first.folder), "baseline", 1, lambda _: None)
    one, other = (row["turnover"].to_pylist()[0] for row in (tables, backwards))
    assert (one["added"], one["removed"]) == (other["removed"], other["added"]) == (100, 0)


def test_small_runs_that_never_measured_each_other_are_compared_by_their_samples(tmp_path: Path, bpe: Path) -> None:
    kept = documents(200, 2)
    one = audit(tmp_path / "a", [kept + documents(50, 3, 1000)], bpe)
    parts = [kept + kept[:9] + documents(50, 4, 2000)]
    two = audit(tmp_path / "b", parts, bpe)
    measured = audit(tmp_path / "c", parts, bpe, baseline={"run": str(one.folder)})
    by_sample, by_measure = (
        compare(RunDirectory(one.folder), RunDirectory(run.folder), "x", 1, lambda _: None) for run in (two, measured)
    )
    assert by_sample["drift"].to_pylist()[0]["p"] is not None
    assert by_sample == by_measure


def test_runs_that_never_measured_each_other_are_not_tested(tmp_path: Path, bpe: Path) -> None:
    kept = documents(200, 2)
    one = audit(tmp_path / "a", [kept + documents(50, 3, 1000)], bpe, excerpts=False)
    two = audit(tmp_path / "b", [kept + documents(50, 4, 2000)], bpe, excerpts=False)
    tables = compare(RunDirectory(one.folder), RunDirectory(two.folder), "x", 1, lambda _: None)
    rows = tables["drift"].to_pylist()
    assert all(row["p"] is None and row["low"] is None and "200 documents" in row["reason"] for row in rows)
    assert all(row["z"] is None and row["q"] is None for row in tables["drift_tokens"].to_pylist())
    assert run_command(["drift", str(one.folder), str(two.folder)], Session()) == 4


def test_planted_drift_is_shown_and_put_down_to_the_mix(tmp_path: Path, bpe: Path) -> None:
    rng = random.Random(9)

    def made(number: int, start: int, shares: Sequence[float]) -> list[Document]:
        result = []
        for n in range(start, start + number):
            domain = rng.choices([0, 1, 2], shares)[0]
            words = WORDS[6 * domain : 6 * domain + 8]
            text = f"{n} " + " ".join(rng.choice(words) for _ in range(60))
            result.append(Document(text=text, id=f"doc-{n}", facets={"domain": f"d{domain}", "language": "en"}))
        return result

    audit(tmp_path / "a", [made(600, 0, (1, 1, 1))], bpe)
    result = audit(tmp_path / "b", [made(600, 1000, (3, 1, 1))], bpe, baseline=[{"run": str(tmp_path / "a" / "runs")}])
    assert summary(result)["low"] > 0 and summary(result)["p"] < 0.01
    parts = {row["part"]: row for row in result.rows("drift_parts") if row["domain"] == ALL_DOMAINS}
    assert parts["mixture"]["attribution"] > 0.9
    changed = {row["domain"]: row for row in result.rows("drift_domains") if row["unit"] == "tokens"}
    assert changed["d0"]["low"] > 0
    assert run_command(["drift", str(tmp_path / "a" / "runs"), str(result.folder)], Session()) == 0


def test_two_baselines_and_clusters(tmp_path: Path, bpe: Path) -> None:
    fields = FIELDS | {"cluster": "cluster"}
    kept = documents(200, 2)
    one = audit(tmp_path / "a", [kept], bpe, document=fields)
    two = audit(tmp_path / "b", [kept[:100] + documents(100, 3, 1000)], bpe, document=fields)
    baseline = [{"run": str(one.folder), "label": "pinned"}, {"run": str(two.folder), "label": "last"}]
    result = audit(tmp_path / "c", [kept + documents(100, 4, 2000)], bpe, document=fields, baseline=baseline)
    assert {row["baseline"] for row in result.rows("drift")} == {"pinned", "last"}
    kept_by = {row["baseline"]: row["kept"] for row in result.rows("turnover") if row["domain"] == ALL_DOMAINS}
    assert kept_by == {"pinned": 200, "last": 100}
    assert [known["label"] for known in result.record["baselines"]] == ["pinned", "last"]


@pytest.mark.parametrize("what", ["tokenizer", "text", "nowhere"])
def test_what_cannot_be_compared_is_refused_before_anything_is_read(
    tmp_path: Path, bpe: Path, wordpiece: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    one = audit(tmp_path / "a", [documents(30, 1)], bpe)
    corpora.write_shards(tmp_path / "b" / "shards", [documents(30, 2)], "parquet")
    spec: dict[str, Any] = {"baseline": {"run": str(one.folder)}, "document": FIELDS}
    if what == "text":
        spec["document"] = FIELDS | {"text": "id"}
    if what == "nowhere":
        spec["baseline"] = {"run": "nowhere"}
    path = write_audit(tmp_path / "b", [tmp_path / "b" / "shards"], wordpiece if what == "tokenizer" else bpe, **spec)
    assert run_command(["run", str(path)], Session()) == 2
    message = capsys.readouterr().err
    assert {"tokenizer": "another tokenizer", "text": "the text field", "nowhere": "neither a run"}[what] in message
    assert not list((tmp_path / "b" / "runs").glob("2*"))


def test_an_incomplete_baseline_is_refused(tmp_path: Path, bpe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = audit(tmp_path / "a", [documents(30, 1)], bpe)
    facts = json.loads((one.folder / "run.json").read_text())
    (one.folder / "run.json").write_text(json.dumps(facts | {"complete": False, "reasons": ["a shard is damaged"]}))
    path = write_audit(
        tmp_path / "b", [tmp_path / "a" / "shards"], bpe, baseline={"run": str(one.folder)}, document=FIELDS
    )
    assert run_command(["run", str(path)], Session()) == 2
    assert "a shard is damaged" in capsys.readouterr().err
