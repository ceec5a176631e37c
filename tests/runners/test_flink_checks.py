"""`corpus-audit doctor --engine flink` names each fault that is planted here; those that need a cluster are with it."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from corpus_audit.pipelines.counting.worker_probe import SECRET_FILE, ProbeTask, ProbeWorker, read_answers
from corpus_audit.runners.doctor import flink
from corpus_audit.runners.doctor.doctor import CheckResult, CheckStatus
from corpus_audit.runners.engines.flink import jars, service
from corpus_audit.runners.engines.flink.rest import Rest
from corpus_audit.runners.engines.options import FlinkOptions
from corpus_audit.schemas.errors import EngineError

MAIN_CLASS = "org/apache/beam/runners/flink/FlinkJobServerDriver.class"


@pytest.fixture
def jobmanager() -> Iterator[tuple[str, dict[str, object]]]:
    """An address, and what answers there; a test changes the answers."""
    answers: dict[str, object] = {
        "/overview": {"taskmanagers": 2, "slots-total": 4, "slots-available": 4, "flink-version": "1.19.0"},
        "/taskmanagers": {"taskmanagers": [{"memoryConfiguration": {"networkMemory": 2**28}}] * 2},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


def program(folder: Path, text: str) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "bin" / "java").chmod(0o755)


def only(findings: Iterator[CheckResult]) -> CheckResult:
    (result,) = findings
    return result


def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert "there is no java in" in only(flink.check_java(FlinkOptions())).result
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    result = only(flink.check_java(FlinkOptions()))
    assert result.status is CheckStatus.FAIL
    assert "there is no java in PATH" in result.result


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("echo 'openjdk version \"17.0.15\" 2025-04-15' >&2", CheckStatus.OK, "Java 17"),
        ("echo 'openjdk version \"11.0.2\"' >&2", CheckStatus.OK, "Java 11"),
        ("echo 'java version \"1.8.0_292\"' >&2", CheckStatus.FAIL, "is Java 8; Flink 1.19 runs on 11 or 17"),
        ("echo 'openjdk version \"25\" 2025-09-16' >&2", CheckStatus.FAIL, "is Java 25"),
        ("echo 'no libjvm' >&2; exit 6", CheckStatus.FAIL, "does not run: no libjvm"),
        ("exit 6", CheckStatus.FAIL, "does not run: exit code 6"),
    ],
)
def test_which_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, status: CheckStatus, message: str
) -> None:
    program(tmp_path, text)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    result = only(flink.check_java(FlinkOptions()))
    assert (result.status, message in result.result) == (status, True), result


def test_no_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(flink.check_jars(FlinkOptions())).status is CheckStatus.FAIL  # and no Maven to fetch them
    named = tmp_path / "beam-runners-flink-1.19-job-server-2.62.0.jar"
    assert "there is no jar" in only(flink.check_jars(FlinkOptions(jar=named))).result
    with zipfile.ZipFile(named, "w") as jar:
        jar.writestr("a.class", "")
    assert "is not a job server" in only(flink.check_jars(FlinkOptions(jar=named))).result
    named.write_text("no zip")
    assert "is not a job server" in only(flink.check_jars(FlinkOptions(jar=named))).result
    with zipfile.ZipFile(named, "w") as jar:
        jar.writestr(MAIN_CLASS, "")
    assert only(flink.check_jars(FlinkOptions(jar=named))).status is CheckStatus.OK


def test_jars_that_were_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jars.jars_folder().mkdir(parents=True)
    assert not jars.have_jars(jars.jars_folder())
    (jars.jars_folder() / "beam-runners-flink-1.19-2.62.0.jar").touch()
    assert only(flink.check_jars(FlinkOptions())).status is CheckStatus.OK
    assert only(flink.check_versions(FlinkOptions(), None)).status is CheckStatus.OK


@pytest.mark.parametrize(
    ("name", "cluster", "status", "message"),
    [
        ("beam-runners-flink-1.19-job-server-2.62.0.jar", "1.19.3", CheckStatus.OK, "job server 2.62 on Flink 1.19"),
        ("beam-runners-flink-1.19-job-server-2.77.0.jar", "1.19.3", CheckStatus.WARN, "was not tested"),
        ("beam-runners-flink-1.20-job-server-2.77.0.jar", "1.20.0", CheckStatus.WARN, "was not tested"),
        (
            "beam-runners-flink-1.20-job-server-2.77.0.jar",
            "1.19.3",
            CheckStatus.FAIL,
            "for Flink 1.20, and the cluster is",
        ),
        ("server.jar", "1.19.3", CheckStatus.WARN, "is not in its name"),
    ],
)
def test_versions(jobmanager, name: str, cluster: str, status: CheckStatus, message: str) -> None:
    address, answers = jobmanager
    answers["/overview"]["flink-version"] = cluster
    result = only(flink.check_versions(FlinkOptions(jar=Path(name)), Rest(address)))
    assert (result.status, message in result.result) == (status, True), result


def test_no_jobmanager(jobmanager) -> None:
    address, answers = jobmanager
    fine = list(flink.check_cluster(Rest(address), FlinkOptions(parallelism=4)))
    assert [result.status for result in fine] == [CheckStatus.OK, CheckStatus.OK]
    assert "5 are needed" in only(flink.check_cluster(Rest(address), FlinkOptions(parallelism=5))).result
    answers["/overview"] = {"hello": "world"}
    assert "is not a Flink JobManager" in only(flink.check_cluster(Rest(address), FlinkOptions())).result
    nowhere = only(flink.check_cluster(Rest("127.0.0.1:9"), FlinkOptions()))
    assert nowhere.status is CheckStatus.FAIL
    assert "no Flink JobManager answers at 127.0.0.1:9" in nowhere.result


def test_few_network_buffers_and_busy_slots(jobmanager) -> None:
    address, answers = jobmanager
    answers["/taskmanagers"] = {"taskmanagers": [{"memoryConfiguration": {"networkMemory": 2**26}}]}
    answers["/overview"]["slots-available"] = 0
    busy, few = flink.check_cluster(Rest(address), FlinkOptions())
    assert (busy.status, few.status) == (CheckStatus.WARN, CheckStatus.WARN)
    assert "64 MiB" in few.result


def test_no_cluster_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = {finding.name: finding for finding in flink.examine(FlinkOptions(master=str(tmp_path)))}
    assert result["flink cluster"].status is CheckStatus.FAIL
    assert "flink workers" not in result  # they would fail for the same reason


def test_what_is_an_address() -> None:
    for text in ("jm:8081", "http://jm:8081", "http://jm:8081/", "10.0.0.1:8081"):
        assert str(service.address_of(FlinkOptions(master=text))).endswith(":8081")
    for text in (None, "local", "folder/cluster", "jm", "jm:port"):
        assert service.address_of(FlinkOptions(master=text)) is None


def test_storage_that_a_worker_does_not_see(tmp_path: Path) -> None:
    task = ProbeTask(tmp_path, 3)
    with pytest.raises(EngineError, match="does not see"):
        ProbeWorker("secret").run_task(task)
    (tmp_path / SECRET_FILE).write_text("another's")
    with pytest.raises(EngineError, match="another file is there"):
        ProbeWorker("secret").run_task(task)
    (tmp_path / SECRET_FILE).write_text("secret")
    ProbeWorker("secret").run_task(task)
    assert len(read_answers(tmp_path)) == 1
