"""The same bytes with any number of threads, with bundles done over, and through a portable job service."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corpus_audit.pipelines.counting.worker_probe import ProbeWorker
from corpus_audit.runners.engines.flink.service import JobService
from corpus_audit.runners.engines.launch import engines, local
from corpus_audit.runners.engines.options import (
    EMBEDDED,
    DataflowOptions,
    EmbeddedOptions,
    EngineOptions,
    Environment,
    FlinkOptions,
    SparkOptions,
)
from corpus_audit.schemas.errors import EngineError, UsageError
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

    monkeypatch.setattr("corpus_audit.runners.engines.launch.engines.job_service", embedded)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, small_corpus: list[Document]) -> list[Path]:
    return corpora.write_shards(tmp_path_factory.mktemp("shards"), corpora.deal(small_corpus, 5), "jsonl.gz")


@pytest.fixture
def small_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is small does not go through Beam, as on the command line; Beam's embedded runner is not there."""
    monkeypatch.setattr(local, "SMALL_TASKS", 256)
    monkeypatch.setattr(engines.EmbeddedEngine, "run", None)


def tables(folder: Path, shards: list[Path], tokenizer: Path, workers: int, engine: EngineOptions) -> dict[str, bytes]:
    fields = {"document": {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}}
    done = run(write_audit(folder, shards, tokenizer, **fields), workers, engine)
    return {path.name: path.read_bytes() for path in (done.folder / "tables").iterdir()}


def test_every_way_gives_the_same_tables(tmp_path: Path, shards: list[Path], bpe: Path, job_service: None) -> None:
    plain = tables(tmp_path / "plain", shards, bpe, 1, EMBEDDED)
    ways = [(2, EMBEDDED), (4, EMBEDDED), (1, REPEATED), (2, REPEATED), (2, THROUGH_A_JOB_SERVICE)]
    for number, (workers, engine) in enumerate(ways):
        assert tables(tmp_path / str(number), shards, bpe, workers, engine) == plain, (workers, engine)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_without_beam_give_the_same_tables(
    tmp_path: Path, shards: list[Path], bpe: Path, workers: int, request: pytest.FixtureRequest
) -> None:
    through_beam = tables(tmp_path / "beam", shards, bpe, 2, EMBEDDED)
    request.getfixturevalue("small_on_threads")
    assert tables(tmp_path / "threads", shards, bpe, workers, EMBEDDED) == through_beam


def test_threads_raise_what_a_task_raised(
    tmp_path: Path, shards: list[Path], bpe: Path, small_on_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UsageError("a worker says no")

    monkeypatch.setattr("corpus_audit.pipelines.counting.job.Job.count", refuse)
    with pytest.raises(UsageError, match=r"^a worker says no$"):
        tables(tmp_path, shards, bpe, 2, EMBEDDED)


def test_a_step_with_more_tasks_or_bytes_than_is_small_goes_through_beam(
    tmp_path: Path, shards: list[Path], bpe: Path, small_on_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SMALL_TASKS", 4), ("SMALL_BYTES", 10_000)):
        with monkeypatch.context() as patched:
            patched.setattr(local, name, value)
            with pytest.raises(TypeError):  # there is no runner
                tables(tmp_path / name, shards, bpe, 2, EMBEDDED)


SLOW_TO_IMPORT = (
    "apache_beam", "awkward", "cryptography", "great_expectations", "numba.np.linalg", "numpy.f2py", "pandas",
    "scipy.linalg", "scipy.optimize", "scipy.special", "sklearn", "corpus_audit.checks.history.references",
    "corpus_audit.checks.report.drift.section", "corpus_audit.embeddings", "corpus_audit.pipelines.contamination.scan",
    "corpus_audit.pipelines.drift.analysis",
)  # fmt: skip
"""What a small audit without baselines, benchmarks and policy has no use for, once its kernels are compiled."""


def test_an_audit_of_little_imports_nothing_slow(tmp_path: Path, shards: list[Path], bpe: Path) -> None:
    code = "import sys; from corpus_audit.runners.cli.main import main\ntry: main()\n"
    code += f"finally: print([name for name in {SLOW_TO_IMPORT} if name in sys.modules])"
    root = Path(__file__).parents[2]
    for name in ("compiles kernels, if no run has done so yet", "loads them"):
        spec = write_audit(tmp_path / name, shards[:1], bpe)
        command = [sys.executable, "-c", code, "run", str(spec), "--quiet"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_spark_through_a_job_service_in_its_place(tmp_path: Path, shards: list[Path], bpe: Path) -> None:
    """Beam's own job service stands for a Spark job server; the probe of the shared folder comes first."""
    spark = SparkOptions("embed", 2, Environment.LOOPBACK)
    plain = tables(tmp_path / "plain", shards, bpe, 1, EMBEDDED)
    assert tables(tmp_path / "spark", shards, bpe, 1, spark) == plain


def test_workers_that_do_not_see_the_folder_are_found_before_a_shard_is_read(
    tmp_path: Path, shards: list[Path], bpe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProbeWorker, "run_task", lambda self, task: None)  # it writes elsewhere
    monkeypatch.setattr("corpus_audit.pipelines.counting.job.Job.plan", None)
    with pytest.raises(EngineError, match="is not seen here: mount it under the same path"):
        tables(tmp_path, shards, bpe, 1, SparkOptions("embed", 2, Environment.LOOPBACK))


def test_dataflow_says_what_is_not_installed(tmp_path: Path, shards: list[Path], bpe: Path) -> None:
    flags = ("--project=p", "--region=r", "--temp_location=gs://b/t", "--sdk_container_image=i")
    if importlib.util.find_spec("google.cloud") is not None:
        pytest.skip("Beam's part for Google Cloud is installed")
    with pytest.raises(UsageError, match=r"pip install 'corpus-audit\[dataflow\]'"):
        tables(tmp_path, shards, bpe, 1, DataflowOptions(2, None, flags))


def test_an_error_of_a_worker_is_the_same_through_a_job_service(
    tmp_path: Path, shards: list[Path], bpe: Path, job_service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UsageError("a worker says no")

    monkeypatch.setattr("corpus_audit.pipelines.counting.job.Job.count", refuse)
    for engine in (EMBEDDED, THROUGH_A_JOB_SERVICE):
        with pytest.raises(UsageError, match=r"^a worker says no$"):
            tables(tmp_path / type(engine).__name__, shards, bpe, 1, engine)
