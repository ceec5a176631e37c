"""Figures that depended on what the store had seen before (found in a trial of this program by its users).

A snapshot whose documents had been extracted anew, so that each differed a little, was audited with the first
snapshot's store and gave "decoys hit up to 98.8 %"; with an empty store it gave 25.0 %. The decoys were passages of the
first snapshot's documents, which all stood in the second one, edited. Right: a run's tables depend on what it reads.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import corpora
from tests.engine.runs import Run, run

pytestmark = pytest.mark.engine

WORDS = [stem + end for stem in ("mar", "ton", "quil", "vex", "sor", "bel") for end in ("a", "en", "is", "ost", "ym")]


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"), vocabulary=600)


def written(folder: Path, texts: Sequence[str], shards: int) -> Path:
    folder.mkdir(parents=True)
    for shard in range(shards):
        lines = [
            json.dumps({"text": text, "domain": f"d{i % 3}"}) for i, text in enumerate(texts) if i % shards == shard
        ]
        (folder / f"part-{shard}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def audit(folder: Path, corpus: Path, bpe: Path, benchmark: Path, store: Path) -> Run:
    folder.mkdir()
    spec = {
        "name": "snapshot",
        "snapshot": {"paths": [str(corpus)]},
        "document": {"text": "text", "domain": "domain"},
        "tokenizer": str(bpe),
        "store": str(store),
        "benchmarks": [{"name": "exam", "paths": [str(benchmark)], "answer": "answer"}],
        "contamination": {"decoys": 30, "canaries": 5},
    }
    (folder / "audit.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return run(folder / "audit.yaml")


def tables(result: Run) -> dict[str, str]:
    """SHA-256 of every table, without what says that a shard was read or was known."""
    digests = {}
    for path in sorted((result.folder / "tables").iterdir()):
        table = pq.read_table(path)
        if path.name == "shards.parquet":
            table = table.drop_columns(["status"])
        digests[path.name] = hashlib.sha256(repr((table.schema, table.to_pylist())).encode()).hexdigest()
    return digests


def test_a_warm_store_gives_what_an_empty_one_gives(tmp_path: Path, bpe: Path) -> None:
    rng = random.Random(5)
    first = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(80, 150))) for _ in range(90)]
    edited = [text.replace(" ", "  ", 1) + f" extracted anew {i}" for i, text in enumerate(first)]
    benchmark = tmp_path / "exam.jsonl"
    leaked = [{"prompt": " ".join(text.split()[10:50]), "answer": " ".join(text.split()[50:53])} for text in first[:4]]
    free = [{"prompt": " ".join(rng.choice(WORDS) for _ in range(40)), "answer": "none"} for _ in range(4)]
    benchmark.write_text("".join(json.dumps(row) + "\n" for row in [*leaked, *free]), encoding="utf-8")
    snapshots = {
        "first": written(tmp_path / "first", first, 3),
        "edited": written(tmp_path / "edited", edited, 3),
        "grown": written(tmp_path / "grown", [*edited, *first[:30]], 4),
    }
    warm = tmp_path / "warm-store"
    audit(tmp_path / "first-warm", snapshots.pop("first"), bpe, benchmark, warm)
    for name, corpus in snapshots.items():
        known = audit(tmp_path / f"{name}-warm", corpus, bpe, benchmark, warm)
        cold = audit(tmp_path / f"{name}-cold", corpus, bpe, benchmark, tmp_path / f"{name}-store")
        assert tables(known) == tables(cold), name
        hits = {row["rule"]: (row["decoys"], row["hit"]) for row in cold.rows("contamination_check")}
        if name == "edited":  # no document quotes another
            assert hits["gpt3"] == (30, 0)
    again = audit(tmp_path / "again", corpus, bpe, benchmark, warm)
    assert (again.splits_read, tables(again)) == (0, tables(cold))
