"""evidently#1929 and #241, the whole kind: nothing that compares two snapshots may need a change, a token or a side.

Every ordered pair of `tests.degenerate` goes through the comparison of finished runs, its section of the report and
both starter policies with all their rules; a selection goes through the whole audit, each with all others as baselines.
A snapshot in another order has the same tables as the snapshot itself, which is checked once instead of pair by pair.
No exception, every table in its schema and without a number that is none, a value or a reason everywhere. Distances,
turnover and shares are recomputed from the texts with the reference tokenizer and plain counters.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.policy.starters import STARTERS, starter_text
from corpus_audit.checks.report.drift import section
from corpus_audit.checks.report.page.html import _environment
from corpus_audit.pipelines.drift.metrics import drift_metrics, near_duplicate_metrics
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.runners.audit.baselines import compare
from corpus_audit.runners.terminal.drift import drift_summary_text
from corpus_audit.schemas.run.results import Status
from corpus_audit.schemas.spec.audit import BaselineSpec
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.spec.policy_file import LoadedPolicy, read_policy
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, TABLES
from tests import corpora, degenerate
from tests.checks.policies import facts
from tests.engine.runs import Run, run, write_audit
from tests.oracle import Document, reference_tokenizer
from tests.run_files import run_record

pytestmark = pytest.mark.engine

FIELDS = {"text": "text", "id": "id", "domain": "domain"}
WHOLE = (
    "base",
    "doubled",
    "one document",
    "all empty",
    "one token type",
    "zero tokens in one domain",
    "one huge",
    "disjoint vocabulary",
)
"""Snapshots that go through whole audits: nothing changes, or what is divided by is 0, 1, all or in one document."""

SAME = {"base", "permuted", "relabelled"}


@dataclass(frozen=True)
class Snapshots:
    """Finished runs by name, their documents, and the tokens of every text."""

    bpe: Path
    folder: Path
    documents: dict[str, list[Document]]
    runs: dict[str, RunDirectory]
    tokens: dict[str, list[int]]


def audited(
    folder: Path, names: dict[str, Callable[[], list[Document]]], fields: dict[str, str], bpe: Path
) -> Snapshots:
    documents = {name: make() for name, make in names.items()}
    tokenizer = reference_tokenizer(bpe)
    texts = {one.text for part in documents.values() for one in part}
    tokens = {text: tokenizer.encode(text, add_special_tokens=False).ids for text in texts}
    runs = {}
    for number, (name, part) in enumerate(documents.items()):
        corpora.write_shards(folder / str(number) / "shards", [part], "parquet")
        spec = write_audit(folder / str(number), [folder / str(number) / "shards"], bpe, document=fields)
        runs[name] = RunDirectory(run(spec).folder)
    return Snapshots(bpe, folder, documents, runs, tokens)


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"), vocabulary=600)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, bpe: Path) -> Snapshots:
    return audited(tmp_path_factory.mktemp("plain"), degenerate.SNAPSHOTS, FIELDS, bpe)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory, bpe: Path) -> Snapshots:
    fields = FIELDS | {"cluster": "cluster"}
    return audited(tmp_path_factory.mktemp("clustered"), degenerate.CLUSTERED, fields, bpe)


@cache
def starter_policies() -> tuple[LoadedPolicy, ...]:
    """Both starter policies with every section; read once, as reading them takes longer than a comparison."""
    texts = (starter_text(name, baseline=True, benchmarks=True, signed=True) for name in STARTERS)
    return tuple(read_policy(text.encode()) for text in texts)


def faults(tables: dict[str, pa.Table], schemas: dict[str, pa.Schema]) -> Iterator[str]:
    """What is wrong with the form of tables."""
    for name, table in tables.items():
        if not table.schema.equals(schemas[name]):
            yield f"{name} has another schema"
        for field in schemas[name]:
            column = table[field.name]
            if column.null_count and not field.nullable:
                yield f"{name}.{field.name} holds null"
            if pa.types.is_floating(field.type) and not np.isfinite(column.drop_null().to_numpy()).all():
                yield f"{name}.{field.name} holds a number that is none"
    unsaid = {"drift": "value", "drift_parts": "attribution", "drift_domains": "difference", "drift_lengths": "change",
              "drift_classifier": "auc", "near_duplicates": "rate", "metrics": "value"}  # fmt: skip
    for name, figure in unsaid.items():
        for row in tables[name].to_pylist() if name in tables else ():
            if row[figure] is None and not row["reason"]:
                yield f"{name} has neither a {figure} nor a reason: {row}"


def shown(tables: dict[str, pa.Table], folder: Path) -> str:
    """The page's section on drift and the terminal's summary; both are made."""
    for name, table in tables.items():
        write_table(folder / "tables" / f"{name}.parquet", TABLES[name], [table])
    (view,) = section.load(RunDirectory(folder, run_record()))
    (finding,) = section.findings((view,))
    page = str(section.section(view, _environment()))
    return "\n".join((page, drift_summary_text(tables), *map(str, finding.sentences), *finding.lines))


def checked(known: Snapshots, before: str, now: str, tables: dict[str, pa.Table], folder: Path) -> None:
    """One pair: form, figures and words."""
    pair = f"{before} -> {now}"
    assert not list(faults(tables, DRIFT_TABLES)), pair
    metrics = pa.concat_tables([drift_metrics(tables), near_duplicate_metrics(tables["near_duplicates"])])
    assert not list(faults({"metrics": metrics}, TABLES)), pair
    output = shown(tables, folder)
    assert not re.search(r"\bnan\b|\bNone\b(?!\.</p>)|\binf\b|Traceback", output), pair
    if {before, now} <= SAME:
        renamed = (before == "relabelled") != (now == "relabelled")
        assert ("Identical: both hold the same 240 documents." in output) is not renamed, pair
        assert ("240 of the kept and edited have another id than before" in output) is renamed, pair
        assert all(row["value"] is not None for row in drift_metrics(tables).to_pylist())
    one, two = (Counter(document.text for document in known.documents[name]) for name in (before, now))
    row = tables["turnover"].to_pylist()[0]
    kept, removed, added = (one & two).total(), (one - two).total(), (two - one).total()
    edited = row["edited"]
    assert (row["kept"], row["removed"] + edited, row["added"] + edited) == (kept, removed, added), pair
    counts = [Counter(token for text, n in side.items() for token in known.tokens[text] * n) for side in (one, two)]
    overall = {row["statistic"]: row for row in tables["drift"].to_pylist() if row["domain"] == ALL_DOMAINS}
    sizes = [count.total() for count in counts]
    if not all(sizes):
        assert {row["value"] for row in overall.values()} == {None}, pair
    else:
        apart = sum(abs(counts[0][w] / sizes[0] - counts[1][w] / sizes[1]) for w in counts[0] | counts[1]) / 2
        assert overall["tvd"]["value"] == pytest.approx(apart, abs=1e-9), pair
    for policy in starter_policies():
        results = judge(policy, metrics, facts(), References(), date(2026, 11, 25))
        assert all(one.status is not Status.ERROR and one.reason.endswith(".") for one in results.judgements), pair
        for one in results.judgements if {before, now} <= SAME else ():
            if one.slice.startswith("baseline="):
                assert one.status is Status.PASS or one.metric.startswith("near_"), one
            if one.rule == "drift":
                assert one.status is Status.PASS, one


def every(known: Snapshots, names: Iterable[str], folder: Path) -> None:
    for number, (before, now) in enumerate(product(names, repeat=2)):
        tables = compare(known.runs[before], known.runs[now], "baseline", 1, lambda _: None)
        checked(known, before, now, tables, folder / str(number))


def test_another_order_gives_the_same_tables(plain: Snapshots) -> None:
    before, now = (Run(plain.runs[name].folder, 1, 0).integer_tables() for name in ("base", "permuted"))
    assert before == now


@pytest.mark.slow
def test_every_pair_is_compared(plain: Snapshots, tmp_path: Path) -> None:
    every(plain, [name for name in plain.runs if name != "permuted"], tmp_path)


@pytest.mark.slow
def test_every_pair_with_clusters_is_compared(clustered: Snapshots, tmp_path: Path) -> None:
    every(clustered, clustered.runs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("now", WHOLE)
def test_a_pair_goes_through_the_whole_audit(plain: Snapshots, tmp_path: Path, now: str) -> None:
    """A spec takes two baselines; the machine below it takes as many as there are snapshots."""
    from corpus_audit.pipelines.progress.board import Board
    from corpus_audit.runners.audit.run import run_audit

    corpora.write_shards(tmp_path / "shards", [plain.documents[now]], "parquet")
    (tmp_path / "policy.yaml").write_text(starter_text("scheduled-audit", baseline=True, benchmarks=False))
    more: dict[str, Any] = {"document": FIELDS, "policy": "policy.yaml"}
    more["baseline"] = {"run": str(plain.runs["base"].folder)}
    loaded = load_audit(write_audit(tmp_path, [tmp_path / "shards"], plain.bpe, **more))
    labels = {name.replace(" ", "-"): name for name in WHOLE}
    wanted = tuple(BaselineSpec(run=str(plain.runs[name].folder), label=label) for label, name in labels.items())
    loaded = replace(loaded, spec=loaded.spec.model_copy(update={"baseline": wanted}))
    outcome = run_audit(loaded, workers=1, board=Board())
    assert outcome.exit_code in (0, 1, 3, 4) and outcome.complete and outcome.results is not None
    assert not [one for one in outcome.results.judgements if one.status is Status.ERROR]
    result = RunDirectory(outcome.run_dir)
    tables = {path.stem: result.table(path.stem) for path in (result.folder / "tables").glob("*.parquet")}
    assert not list(faults(tables, TABLES))
    for label, name in labels.items():
        mine = {
            table: tables[table].filter(pa.compute.equal(tables[table]["baseline"], label)) for table in DRIFT_TABLES
        }
        checked(plain, name, now, mine, tmp_path / label)
    page = (result.folder / "report.html").read_text()
    assert page.count('<section id="drift') == len(labels) and not re.search(r"\bnan\b|\binf\b", page)
    assert json.loads((result.folder / "outputs" / "results.sarif").read_text())["version"] == "2.1.0"
