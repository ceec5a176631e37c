"""duckdb#12974, gluten#6879: values of hive partitions were taken from the path as they are encoded there.

``lang=C%2B%2B`` was the language ``C%2B%2B``, and ``__HIVE_DEFAULT_PARTITION__`` a language of that name. Right, as
`pyarrow.dataset` reads them: ``C++``, and null.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.tokens.tokenization import load_tokenizer
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import DocumentSpec
from corpus_audit.schemas.tables.run_tables import NO_VALUE
from tests import corpora
from tests.pipelines.making import count_all, job_of, merged, spec_of

SEGMENTS = [
    "C%2B%2B",
    "C++",
    "%C3%A9t%C3%A9",
    "a%20b",
    "a+b",
    "100%25",
    "x%2Fy",
    "__HIVE_DEFAULT_PARTITION__",
    "en",
    "%zz",
]


def shard(name: str) -> Shard:
    return Shard(f"/corpus/{name}", name, ShardFormat.PARQUET, 1, "s")


def document(pattern: str) -> DocumentSpec:
    return DocumentSpec.model_validate({"domain": {"path": pattern}}, strict=False)


def by_pyarrow(segment: str) -> str | None:
    """What `pyarrow.dataset` makes of a partition."""
    partitioning = pads.HivePartitioning(pa.schema([("lang", pa.string())]))
    value = pads.get_partition_keys(partitioning.parse(f"/lang={segment}/")).get("lang")
    return None if value is None else str(value)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_values_are_those_that_pyarrow_reads(segment: str) -> None:
    expected = by_pyarrow(segment)
    for pattern in ("lang={lang}/*.parquet", "**/lang={domain}/**", "data/lang={lang}/part-0.parquet"):
        assert path_values(shard(f"data/lang={segment}/part-0.parquet"), document(pattern)) == {
            "domain": "" if expected is None else expected
        }


def test_folders_of_no_partition_are_called_what_they_are_called() -> None:
    assert path_values(shard("data/C%2B%2B/a.parquet"), document("data/{lang}/*")) == {"domain": "C%2B%2B"}
    assert path_values(shard("data/lang=C%2B%2B/a.parquet"), document("{folder}/*")) == {"domain": "lang=C%2B%2B"}
    assert path_values(shard("data/v=x%20-1/a.parquet"), document("v={v}-1/*")) == {"domain": "x%20"}


def test_a_value_that_is_not_utf8_is_the_shards_error() -> None:
    with pytest.raises(ShardError, match="not UTF-8"):
        path_values(shard("lang=%FF/a.parquet"), document("lang={lang}/*"))


def test_they_are_the_domains_that_are_counted_and_the_keys_of_what_is_kept(tmp_path: Path) -> None:
    for segment, count in (("C%2B%2B", 3), ("__HIVE_DEFAULT_PARTITION__", 2)):
        folder = tmp_path / "data" / f"lang={segment}"
        folder.mkdir(parents=True)
        lines = [json.dumps({"text": f"same text {n}"}) for n in range(count)]
        (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    tokenizer = load_tokenizer(str(corpora.small_bpe(tmp_path, vocabulary=400)), tmp_path, tmp_path / "used")
    spec = spec_of(tmp_path / "data", document={"domain": {"path": "lang={lang}/*"}})
    job = job_of(spec, tokenizer, tmp_path)
    shards = count_all(job)
    domains, _ = merged(job, shards, tmp_path / "merged").domains()
    result = {row["value"]: row["documents"] for row in domains.to_pylist() if row["facet"] == "domain"}
    assert result == {"C++": 3, NO_VALUE: 2}
    plan = shards[0].plan
    as_is = job.keys.key("coverage", plan.sha256, {"domain": "C%2B%2B"})
    assert job.path_of("coverage", plan.shard, plan.sha256) not in (
        job.store.partial_path("coverage", as_is),
        job.path_of("coverage", shards[1].plan.shard, plan.sha256),
    )
