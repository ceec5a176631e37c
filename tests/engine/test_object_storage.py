"""Shards, partials and runs on an S3-compatible server: the same tables, kills, and clear words for what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.unchanged import check_unchanged
from corpus_audit.pipelines.reading.snapshot.listing import list_shards
from corpus_audit.schemas.spec.audit import SnapshotSpec
from tests import corpora
from tests.checks.policies import rule
from tests.engine.runs import DOCUMENT_FIELDS, write_audit
from tests.engine.s3_server import program, serving
from tests.oracle import Document

SHARDS = 12
pytestmark = pytest.mark.engine


FIELDS = {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's folder."""
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[dict[str, str]]:
    if program() is None:
        pytest.skip("the server of these tests is built with Go, which is not there")
    with serving(root) as environment:
        yield environment


@pytest.fixture
def bucket(root: Path, server: dict[str, str], small_corpus: list[Document]) -> Iterator[Path]:
    """The folder of the bucket ``corpus``, with five shards in three formats under ``data/``."""
    folder = root / "corpus"
    corpora.write_shards(folder / "data", corpora.deal(small_corpus, 5)[:3], "parquet")
    corpora.write_shards(folder / "data" / "more", corpora.deal(small_corpus, 5)[3:4], "jsonl.gz")
    corpora.write_shards(folder / "data" / "more", corpora.deal(small_corpus, 5)[4:], "arrow")
    yield folder
    shutil.rmtree(folder)


def command(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "corpus_audit.runners.cli.main", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


def audit(folder: Path, tokenizer: Path, path: str, **sections: object) -> Path:
    return write_audit(folder, [], tokenizer, snapshot={"paths": [path]}, document=FIELDS, **sections)


def tables(spec: Path) -> dict[str, bytes]:
    (folder,) = (path for path in (spec.parent / "runs").glob("2*") if path.is_dir())
    return {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}


@pytest.mark.parametrize("path", ["s3://corpus/data", "s3://corpus/data/**"])
def test_the_tables_are_those_of_local_shards(
    tmp_path: Path, bucket: Path, server: dict[str, str], bpe: Path, path: str
) -> None:
    here = write_audit(tmp_path / "here", [bucket / "data"], bpe, document=FIELDS)
    there = audit(tmp_path / "there", bpe, path)
    for spec in (here, there):
        done = command("run", str(spec), "--quiet", "--workers", "2", environment=server)
        assert done.returncode == 0, done.stderr
    assert tables(here) == tables(there)


def test_what_cannot_be_listed_is_reported(tmp_path: Path, bucket: Path, server: dict[str, str], bpe: Path) -> None:
    cases = [
        ("s3://corpus/nothing", {}, "no such file or folder"),
        ("s3://no-bucket/data", {}, "no such file or folder"),
        ("s3://corpus/data/*.jsonl", {}, "matches no file"),
        ("s3://corpus/data", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "Forbidden"),
        ("s3://corpus/data", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect"),
        (
            "s3://corpus/data",
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)},
            "redential",
        ),
    ]
    for number, (path, change, message) in enumerate(cases):
        spec = audit(tmp_path / str(number), bpe, path)
        environment = {**server, "AWS_EC2_METADATA_DISABLED": "true", **change}
        done = command("run", str(spec), "--quiet", environment=environment)
        assert done.returncode == 2, (path, change, done.stderr)
        assert message in done.stderr and path in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_shard_that_is_replaced_or_removed_is_noticed(
    tmp_path: Path, bucket: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by one of the same size, as the tag of its content tells."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    fs = s3fs.S3FileSystem(skip_instance_cache=True)
    for path in sorted(fs.find("corpus/data")):
        fs.pipe_file(path, fs.cat_file(path))  # what was not put there through the server has no tag
    first, second, *_ = list_shards(SnapshotSpec.model_validate({"paths": ("s3://corpus/data",)}), tmp_path)
    check_unchanged(first)
    data = fs.cat_file(first.path)
    fs.pipe_file(first.path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ShardError, match="modification time or version differs"):
        check_unchanged(first)
    fs.rm_file(second.path)
    with pytest.raises(ShardError, match="was it removed after the listing"):
        check_unchanged(second)


def killed(spec: Path, environment: dict[str, str], remote: Path) -> None:
    """Run, and kill -9 when a part of the splits is on the server."""
    program = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet", "--workers", "1"]
    process = subprocess.Popen(program, env={**os.environ, **environment}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while (
        len(list(remote.glob("partials/coverage/*/*"))) < 2 and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    assert process.poll() is None, process.stderr and process.stderr.read()
    process.kill()
    process.communicate()


def test_the_round_trip(tmp_path: Path, root: Path, server: dict[str, str], bpe: Path) -> None:
    """Shards, partials, runs and sign-offs are on the server, and each step is on a machine that knows nothing else."""
    shards = root / "trip" / "data"
    corpora.write_shards(shards, corpora.deal(corpora.with_duplicates(corpora.real_documents(12)), SHARDS), "parquet")
    policy = {"name": "least", "version": "1", "approvals": {"required": 1}}
    policy["rules"] = [rule("enough", metric="documents", fail={"minimum": 10})]
    (tmp_path / "policy.yaml").write_text(json.dumps(policy))
    sections = {"policy": str(tmp_path / "policy.yaml")}

    plain = write_audit(tmp_path / "plain", [shards], bpe, document=FIELDS, **sections)
    assert command("run", str(plain), "--quiet", environment=server).returncode == 0

    sections["remote"] = "s3://trip/audits"
    killed(audit(tmp_path / "one", bpe, "s3://trip/data", **sections), server, root / "trip" / "audits")
    two = audit(tmp_path / "two", bpe, "s3://trip/data", **sections)
    done = command("run", str(two), "--quiet", "--json", environment=server)
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run"])
    timings = json.loads((run / "timings.json").read_text())
    assert timings["splits_cached"] >= 1 and timings["splits_read"] + timings["splits_cached"] == SHARDS
    result, expected = tables(two), tables(plain)
    assert {name for name in expected if result.get(name) != expected[name]} <= {"shards.parquet"}  # says what was kept
    kept = [path for path in (root / "trip/audits/partials/coverage").rglob("*") if path.is_file()]
    assert len(kept) == SHARDS

    secret = {**server, "CORPUS_AUDIT_PASSPHRASE": "correct horse battery"}
    keys = [("ci", ["--pipeline", "nightly"]), ("bo", ["--person", "bo"])]
    for key, who in keys:
        pem = str(tmp_path / f"{key}.pem")
        trust = ["--trust", str(tmp_path / "trust.yaml")]
        done = command("keys", "new", key, *who, "--out", pem, *trust, environment=secret)
        assert done.returncode == 0, done.stderr
    done = command("keys", "allow", str(tmp_path / "policy.yaml"), *trust, environment=secret)
    assert done.returncode == 0, done.stderr
    for key, _ in keys:
        pem = str(tmp_path / f"{key}.pem")
        done = command("approve", str(run), "--key", pem, "--yes", *trust, environment=secret)
        assert done.returncode == 0, done.stderr
    done = command("push", str(two), environment=server)
    assert done.returncode == 0 and done.stdout.startswith("Copied 0 runs to s3://trip/audits"), done.stderr

    three = tmp_path / "three" / "runs"
    done = command("fetch", "s3://trip/audits", str(three), environment=server)
    assert done.returncode == 0, done.stderr
    done = command("verify", str(three), *trust, environment=server)
    assert done.returncode == 0 and f"{SHARDS} of {SHARDS} shards hashed" in done.stdout, done.stdout + done.stderr

    victim = sorted(shards.glob("*.parquet"))[5]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = command("verify", str(three), *trust, environment=server)
    assert done.returncode == 7 and "REFUSED shard_changed" in done.stdout, done.stdout + done.stderr
