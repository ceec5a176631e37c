"""The same bytes with any number of threads, with bundles done over, and through a portable job service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corpus_audit.runners.engine_options import EMBEDDED, EmbeddedOptions, EngineOptions, Environment, FlinkOptions
from corpus_audit.runners.flink.service import JobService
from corpus_audit.schemas.errors import UsageError
from tests import corpora
from tests.engine.runs import DOCUMENT_FIELDS, run, write_audit
from tests.oracle import Document

pytestmark = pytest.mark.engine

REPEATED = EmbeddedOptions(("--direct_runner_bundle_repeat=1",))
THROUGH_A_JOB_SERVICE = FlinkOptions(environment=Environment.LOOPBACK)


@pytest.fixture
def job_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam's own job service in this process, in place of a job server for Flink."""

    @contextmanager
    def embedded(options: FlinkOptions) -> Iterator[JobService]:
        yield JobService("embed", None, 2, "none")

    monkeypatch.setattr("corpus_audit.runners.engines.job_service", embedded)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, small_corpus: list[Document]) -> list[Path]:
    return corpora.write_shards(tmp_path_factory.mktemp("shards"), corpora.deal(small_corpus, 5), "jsonl.gz")


def tables(folder: Path, shards: list[Path], tokenizer: Path, workers: int, engine: EngineOptions) -> dict[str, bytes]:
    fields = {"document": {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}}
    done = run(write_audit(folder, shards, tokenizer, **fields), workers, engine)
    return {path.name: path.read_bytes() for path in (done.folder / "tables").iterdir()}


def test_every_way_gives_the_same_tables(tmp_path: Path, shards: list[Path], bpe: Path, job_service: None) -> None:
    plain = tables(tmp_path / "plain", shards, bpe, 1, EMBEDDED)
    ways = [(2, EMBEDDED), (4, EMBEDDED), (1, REPEATED), (2, REPEATED), (2, THROUGH_A_JOB_SERVICE)]
    for number, (workers, engine) in enumerate(ways):
        assert tables(tmp_path / str(number), shards, bpe, workers, engine) == plain, (workers, engine)


def test_an_error_of_a_worker_is_the_same_through_a_job_service(
    tmp_path: Path, shards: list[Path], bpe: Path, job_service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UsageError("a worker says no")

    monkeypatch.setattr("corpus_audit.pipelines.job.Job.count", refuse)
    for engine in (EMBEDDED, THROUGH_A_JOB_SERVICE):
        with pytest.raises(UsageError, match=r"^a worker says no$"):
            tables(tmp_path / type(engine).__name__, shards, bpe, 1, engine)
