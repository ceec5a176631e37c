"""A standalone Flink cluster of three processes and a job server: same bytes as here, and what becomes of accidents."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.engines.flink import cluster, jars
from corpus_audit.runners.engines.flink.cluster import Cluster
from corpus_audit.runners.engines.flink.java import find_java
from corpus_audit.schemas.errors import UsageError
from tests import corpora
from tests.engine.runs import DOCUMENT_FIELDS, partials_of, write_audit

pytestmark = pytest.mark.engine

try:
    find_java()
except UsageError as error:
    pytest.skip(f"Flink needs Java: {error}", allow_module_level=True)
if not jars.have_jars(jars.jars_folder()) and shutil.which("mvn") is None:
    pytest.skip("Flink's jars are not there, and there is no Maven to fetch them", allow_module_level=True)

FIELDS = {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}
SHARDS = 8
MEASURES = 10


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    documents = corpora.with_duplicates(corpora.real_documents(6))
    result = corpora.write_shards(tmp_path_factory.mktemp("shards"), corpora.deal(documents, SHARDS), "parquet")
    passages = [one.text[1000:1600] for one in documents[:400:10] if len(one.text) > 2000]
    items = [
        {"id": str(number), "prompt": prompt} for number, prompt in enumerate([*passages, *map(backwards, passages)])
    ]
    lines = "".join(json.dumps(item) + "\n" for item in items)
    result[0].with_name("exam.jsonl").write_text(lines, encoding="utf-8")
    return result


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, shards: list[Path], bpe: Path) -> dict[str, bytes]:
    """Every table of the run on two threads of this process."""
    spec = audit(tmp_path_factory.mktemp("embedded"), shards, bpe)
    done = command("run", str(spec), "--workers", "2", "--quiet")
    assert done.returncode == 0, done.stderr
    return tables(spec)


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that `corpus-audit flink up` started; nothing is left of it after `down`."""
    folder = tmp_path_factory.mktemp("flink") / "cluster"
    done = command("flink", "up", "--folder", str(folder))
    assert done.returncode == 0, done.stderr
    up = cluster.find(folder)
    assert up is not None and set(up.processes) == {"job-manager", "task-manager-1", "task-manager-2", "job-server"}
    yield up
    assert command("flink", "down", "--folder", str(folder)).returncode == 0
    assert not folder.exists()
    assert processes_of(folder) == []


def audit(folder: Path, shards: list[Path], tokenizer: Path, **sections: object) -> Path:
    """Profile and contamination: the benchmark's items lie beside the shards."""
    return write_audit(
        folder,
        shards,
        tokenizer,
        document=FIELDS,
        benchmarks=[{"name": "exam", "paths": [str(shards[0].with_name("exam.jsonl"))], "id": "id"}],
        contamination={"decoys": 20, "canaries": 10},
        **sections,
    )


def backwards(text: str) -> str:
    return " ".join(reversed(text.split()))


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "corpus_audit.runners.cli.main", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=300, cwd=cwd)


def on_flink(spec: Path, flink: Cluster, name: str = "run") -> list[str]:
    return [name, str(spec), "--quiet", "--engine", "flink", "--flink-master", str(flink.folder), "--parallelism", "2"]


def tables(spec: Path) -> dict[str, bytes]:
    """Every table of the last run."""
    result = sorted(path for path in (spec.parent / "runs").glob("2*") if path.is_dir())
    return {path.name: path.read_bytes() for path in (result[-1] / "tables").iterdir()}


def but_for_shards(result: dict[str, bytes]) -> dict[str, bytes]:
    """Tables without that of the shards, which says of a resumed run what it had not to read."""
    return {name: content for name, content in result.items() if name != "shards.parquet"}


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder, or whose command names it."""
    result = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line or str(process.info["cwd"]).startswith(str(folder)):
            result.append(line)
    return result


def interrupted(spec: Path, flink: Cluster, accident: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str]:
    """Start a run, let something happen to it while it reads, and return its exit code and what it said."""
    program = [sys.executable, "-m", "corpus_audit.runners.cli.main", *on_flink(spec, flink)]
    process = subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job has it ignored
    )
    deadline = time.monotonic() + 120
    while not partials_of(spec.parent / "runs") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.stderr and process.stderr.read()
    assert len(partials_of(spec.parent / "runs")) < SHARDS * MEASURES
    accident(process)
    stderr = process.communicate(timeout=240)[1]
    return process.returncode, stderr


def python_workers(flink: Cluster) -> list[psutil.Process]:
    managers = [psutil.Process(one.pid) for name, one in flink.processes.items() if one.alive and "task" in name]
    return [child for manager in managers for child in manager.children()]


def test_every_table_is_the_same(tmp_path: Path, shards: list[Path], bpe: Path, flink: Cluster, embedded) -> None:
    spec = audit(tmp_path, shards, bpe)
    done = command(*on_flink(spec, flink))
    assert done.returncode == 0, done.stderr
    assert tables(spec) == embedded
    assert python_workers(flink) == []  # they end with the job


def test_what_is_compared_holds_contamination(embedded: dict[str, bytes]) -> None:
    result = pq.read_table(pa.BufferReader(embedded["contamination.parquet"])).to_pylist()
    assert sum(row["contaminated"] or 0 for row in result if row["benchmark"] == "exam") > 20


def test_a_mini_cluster_gives_the_same(tmp_path: Path, shards: list[Path], bpe: Path, embedded) -> None:
    spec = audit(tmp_path, shards, bpe)
    done = command("run", str(spec), "--quiet", "--engine", "flink", "--flink-master", "local", "--parallelism", "2")
    assert done.returncode == 0, done.stderr
    assert tables(spec) == embedded


def index_files(spec: Path) -> dict[str, bytes]:
    """All files of an index but the page that says when it was made."""
    (folder,) = (path.parent for path in (spec.parent / "index").rglob("index.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.suffix != ".json"}


def test_an_index_is_the_same(tmp_path: Path, bpe: Path, flink: Cluster) -> None:
    """Each worker loads the model for itself; batches, and so sums, are those of the splits."""
    pytest.importorskip("torch")
    from tests.embeddings.tiny import write_tiny_gpt2

    some = [document for document in corpora.real_documents(0.5) if len(document.text) < 20_000]
    shards = corpora.write_shards(tmp_path / "shards", corpora.deal(some, 3), "parquet")
    model = write_tiny_gpt2(tmp_path / "model", bpe)
    section = {
        "model": str(model),
        "units": ["mlp.*:*", "resid.*:*"],
        "window": 32,
        "k": 5,
        "vectors": {"projection": 0},
    }
    specs = [
        write_audit(tmp_path / name, shards, bpe, document=FIELDS, embedding={**section, "output": "index"})
        for name in ("here", "there")
    ]
    here = command("index", str(specs[0]), "--quiet", "--workers", "2")
    assert here.returncode == 0, here.stderr
    there = command(*on_flink(specs[1], flink, "index"))
    assert there.returncode == 0, there.stderr
    one, other = map(index_files, specs)
    assert "arrays/top.value.npy" in one and set(one) == set(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_an_index_of_images_is_the_same(tmp_path: Path, flink: Cluster) -> None:
    """Channels of a convolution, and units by patch; batches are filled up within each split."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.embeddings.images.image_models import seeded, small_transformers
    from tests.embeddings.images.test_image_index import write_shard

    seeded(small_transformers("ViT")).save_pretrained(tmp_path / "model")
    steps = {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 64}}
    (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps(steps), encoding="utf-8")
    (tmp_path / "shards").mkdir()
    for number in range(3):
        write_shard(tmp_path / "shards", f"{number}.parquet", range(20 * number, 20 * number + 20))
    specs = []
    for name in ("here", "there"):
        audit = {
            "name": "pictures",
            "snapshot": {"paths": [str(tmp_path / "shards")]},
            "document": {"image": "image", "id": "id", "domain": "kind"},
            "embedding": {
                "model": str(tmp_path / "model"),
                "units": ["conv.*:*", "mlp.*:*", "resid.*:*", "head.*:*", "logit:*"],
                "k": 5,
                "batch_images": 8,
                "output": "index",
            },
        }
        (tmp_path / name).mkdir()
        specs.append(tmp_path / name / "audit.yaml")
        specs[-1].write_text(json.dumps(audit), encoding="utf-8")
    here = command("index", str(specs[0]), "--quiet", "--workers", "2")
    assert here.returncode == 0, here.stderr
    there = command(*on_flink(specs[1], flink, "index"))
    assert there.returncode == 0, there.stderr
    one, other = map(index_files, specs)
    assert "arrays/top.value.npy" in one and set(one) == set(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_ctrl_c_cancels_the_job(tmp_path: Path, shards: list[Path], bpe: Path, flink: Cluster, embedded) -> None:
    spec = audit(tmp_path, shards, bpe)
    code, stderr = interrupted(spec, flink, lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    assert stderr.count("\n") == 1 and "run the same command again" in stderr
    deadline = time.monotonic() + 120
    while (flink.rest.running_jobs("corpus-audit-") or python_workers(flink)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert flink.rest.running_jobs("corpus-audit-") == []
    assert python_workers(flink) == []
    # Another engine continues, as partials are the same wherever they were counted; killed jobs continue on Flink.
    done = command("run", str(spec), "--workers", "2", "--quiet")
    assert done.returncode == 0, done.stderr
    assert but_for_shards(tables(spec)) == but_for_shards(embedded)


def doctor(
    flink: Cluster, worker: Path | None = None, cwd: Path | None = None
) -> tuple[int, dict[str, dict[str, str]]]:
    """What the doctor finds of the cluster, with another worker program than usual."""
    flags = [] if worker is None else ["--", f"--environment_config={json.dumps({'command': str(worker)})}"]
    done = command("doctor", "--json", "--engine", "flink", "--flink-master", str(flink.folder), *flags, cwd=cwd)
    assert done.stdout, done.stderr
    return done.returncode, {result["name"]: result for result in json.loads(done.stdout)["findings"]}


def worker_program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_doctor_finds_nothing_wrong(flink: Cluster) -> None:
    _, result = doctor(flink)
    assert {name: one["status"] for name, one in result.items() if name.startswith("flink")} == {
        f"flink {name}": "ok" for name in ("java", "jars", "cluster", "buffers", "versions", "workers")
    }


def test_doctor_finds_workers_that_cannot_import_the_project(tmp_path: Path, flink: Cluster) -> None:
    forgetful = f"""#!{sys.executable}
import sys
from corpus_audit.pipelines.beam.worker import main
for name in [name for name in sys.modules if name.startswith("corpus_audit")]:
    del sys.modules[name]
sys.meta_path.insert(0, type("Nothing", (), {{
    "find_spec": staticmethod(lambda name, *_: None if name.split(".")[0] != "corpus_audit" else exec(
        "raise ModuleNotFoundError('No module named ' + repr(name), name=name)")),
}}))
main()
"""
    code, result = doctor(flink, worker_program(tmp_path / "worker", forgetful))
    assert code == 1
    assert result["flink workers"]["status"] == "fail"
    assert "No module named 'corpus_audit" in result["flink workers"]["found"]
    assert "install corpus-audit" in result["flink workers"]["advice"]


def test_doctor_finds_storage_that_workers_do_not_see(tmp_path: Path, flink: Cluster) -> None:
    location = tmp_path / "mine"
    location.mkdir()
    hide = f'mount -t tmpfs none "{location}"'
    if subprocess.run(["unshare", "-m", "sh", "-c", hide], capture_output=True).returncode:
        pytest.skip("only who may mount can hide a folder from a worker")
    program = Path(sys.executable).with_name("corpus-audit-worker")
    hidden = f'#!/bin/sh\nexec unshare -m sh -c \'{hide} && exec {program} "$@"\' sh "$@"\n'
    code, result = doctor(flink, worker_program(tmp_path / "worker", hidden), location)
    assert code == 1
    assert result["flink workers"]["status"] == "fail"
    assert "does not see" in result["flink workers"]["found"]
    assert "under the same path" in result["flink workers"]["advice"]


def kill_worker(flink: Cluster) -> None:
    python_workers(flink)[0].kill()


def kill_task_manager(flink: Cluster) -> None:
    os.kill(flink.processes["task-manager-1"].pid, signal.SIGKILL)


@pytest.mark.parametrize("accident", [kill_worker, kill_task_manager], ids=["worker", "task manager"])
def test_killed_processes(
    tmp_path: Path, shards: list[Path], bpe: Path, flink: Cluster, embedded, accident: Callable[[Cluster], None]
) -> None:
    """The job is tried once more on what is left of the cluster; if that fails, the same command goes on."""
    spec = audit(tmp_path, shards, bpe)
    code, stderr = interrupted(spec, flink, lambda process: accident(flink))
    if code:
        assert "run the same command again" in stderr and stderr.count("\n") == 1
        done = command(*on_flink(spec, flink))
        assert done.returncode == 0, done.stderr
    assert but_for_shards(tables(spec)) == but_for_shards(embedded)
    whole = command("flink", "status", "--folder", str(flink.folder))
    assert whole.returncode == (1 if accident is kill_task_manager else 0)
    assert ("task-manager-1 has ended" in whole.stdout) == (accident is kill_task_manager)
