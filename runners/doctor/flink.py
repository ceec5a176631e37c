"""Checks of what ``--engine flink`` needs: Java, jars, versions, a cluster, workers, storage that they share."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from corpus_audit.pipelines.counting.worker_probe import (
    SECRET_FILE,
    ProbeAnswer,
    ProbeTask,
    ProbeWorker,
    read_answers,
    version_differences,
)
from corpus_audit.runners.doctor.doctor import CheckResult, CheckStatus
from corpus_audit.runners.engines.flink import cluster, jars
from corpus_audit.runners.engines.flink.java import find_java
from corpus_audit.runners.engines.flink.job_server import MAIN
from corpus_audit.runners.engines.flink.rest import Rest
from corpus_audit.runners.engines.flink.service import address_of, worker_program
from corpus_audit.runners.engines.options import FlinkOptions
from corpus_audit.schemas.errors import AuditError, UsageError

TESTED = {("2.77", "2.62", "1.19")}
"""Versions that the tests run together: Beam's Python SDK, Beam's job server, Flink."""

ENOUGH_NETWORK = 256 * 2**20
"""Bytes for a TaskManager's network buffers; with 64 MiB a job of a few steps waits for more for ever."""

_JAR = re.compile(r"beam-runners-flink-(\d+\.\d+)-(?:job-server-)?(\d+\.\d+)\.\d+\S*\.jar")


def examine(options: FlinkOptions) -> list[CheckResult]:
    """Every check that makes sense after those before it; workers are tried where nothing else has failed."""
    findings = [*check_java(options), *check_jars(options)]
    rest = None
    try:
        rest = rest_of(options)
    except AuditError as error:
        findings.append(CheckResult("flink cluster", CheckStatus.FAIL, str(error), "corpus-audit flink up"))
    if rest is not None:
        findings += check_cluster(rest, options)
    findings += check_versions(options, rest)
    if not any(finding.status is CheckStatus.FAIL for finding in findings):
        findings += check_workers(options)
    return findings


def rest_of(options: FlinkOptions) -> Rest | None:
    """The REST port of the cluster that options name; None for a mini-cluster.

    Raises:
        UsageError: they name a folder without a cluster.
    """
    if options.master == "local":
        return None
    if (address := address_of(options)) is not None:
        return Rest(address)
    folder = Path(options.master) if options.master else cluster.default_folder()
    running = cluster.find(folder)
    if running is None:
        raise UsageError(f"there is no cluster in {folder}")
    return running.rest


def check_java(options: FlinkOptions) -> Iterator[CheckResult]:
    """The Java that a job server and a cluster of this machine run on."""
    try:
        java = find_java()
    except UsageError as error:
        yield CheckResult(
            "flink java", CheckStatus.FAIL, str(error), "apt install openjdk-17-jre-headless, or the like"
        )
        return
    yield CheckResult("flink java", CheckStatus.OK, f"Java {java.feature}, {java.path}")


def check_jars(options: FlinkOptions) -> Iterator[CheckResult]:
    """The job server's jar, or the jars that are fetched."""
    if options.jar is not None:
        yield _jar_finding(options.jar)
    elif jars.have_jars(jars.jars_folder()):
        yield CheckResult("flink jars", CheckStatus.OK, f"are in {jars.jars_folder()}")
    elif shutil.which("mvn"):
        advice = "they are fetched when they are needed, about 150 MB"
        yield CheckResult("flink jars", CheckStatus.WARN, "are not there yet", advice)
    else:
        advice = "install Maven, which fetches them once, or name a job server of your own with --jar"
        yield CheckResult(
            "flink jars", CheckStatus.FAIL, f"are not in {jars.jars_folder()}, and there is no mvn", advice
        )


def _jar_finding(jar: Path) -> CheckResult:
    if not jar.is_file():
        return CheckResult(
            "flink jars", CheckStatus.FAIL, f"there is no jar {jar}", "name the file of Beam's Flink job server"
        )
    try:
        with zipfile.ZipFile(jar) as content:
            content.getinfo(f"{MAIN.replace('.', '/')}.class")
    except (OSError, zipfile.BadZipFile, KeyError):
        advice = "name the file of Beam's Flink job server, beam-runners-flink-...-job-server-....jar"
        return CheckResult("flink jars", CheckStatus.FAIL, f"{jar} is not a job server of Beam's", advice)
    return CheckResult("flink jars", CheckStatus.OK, str(jar))


def check_cluster(rest: Rest, options: FlinkOptions) -> Iterator[CheckResult]:
    """Whether the JobManager answers, and has slots and network buffers."""
    try:
        overview, network = rest.overview(), rest.network_memory()
    except AuditError as error:
        advice = "corpus-audit flink up, or check the address and that the cluster runs"
        yield CheckResult("flink cluster", CheckStatus.FAIL, str(error), advice)
        return
    result = f"Flink {overview.version} at {rest.address}, {overview.slots_free} of {overview.slots} slots free"
    needed = options.parallelism or 1
    if overview.slots < needed:
        advice = "start TaskManagers, or ask for less with --parallelism"
        yield CheckResult("flink cluster", CheckStatus.FAIL, f"{result}; {needed} are needed", advice)
        return
    busy = overview.slots_free < needed
    advice = "a run waits for other jobs to end" if busy else ""
    yield CheckResult("flink cluster", CheckStatus.WARN if busy else CheckStatus.OK, result, advice)
    least = min(network, default=0)
    few = least < ENOUGH_NETWORK
    advice = "set taskmanager.memory.network.min and .max to 256m: with too few, jobs wait for ever" if few else ""
    buffers = f"{least / 2**20:.0f} MiB in the TaskManager that has least"
    yield CheckResult("flink buffers", CheckStatus.WARN if few else CheckStatus.OK, buffers, advice)


def check_versions(options: FlinkOptions, rest: Rest | None) -> Iterator[CheckResult]:
    """Whether Beam's two sides and Flink are versions that were tested together; Flink's must be the job server's."""
    names = [options.jar.name] if options.jar else [path.name for path in jars.jars_folder().glob(jars.RUNNER_JAR)]
    match = next((result for result in map(_JAR.fullmatch, names) if result), None)
    sdk = ".".join(metadata.version("apache-beam").split(".")[:2])
    if match is None:
        if names:
            result = f"Beam SDK {sdk}; the job server's version is not in its name, {names[0]}"
            yield CheckResult("flink versions", CheckStatus.WARN, result, "take the job server of the SDK's version")
        return
    flink, server = match.groups()
    if rest is not None:
        try:
            running = ".".join(rest.overview().version.split(".")[:2])
        except AuditError:
            return  # which another check reports
        if running != flink:
            result = f"the job server is for Flink {flink}, and the cluster is Flink {running}"
            yield CheckResult("flink versions", CheckStatus.FAIL, result, f"take a job server for Flink {running}")
            return
    result = f"Beam SDK {sdk} with job server {server} on Flink {flink}"
    if (sdk, server, flink) in TESTED:
        yield CheckResult("flink versions", CheckStatus.OK, result)
        return
    known = "; ".join(f"{a} with {b} on {c}" for a, b, c in sorted(TESTED))
    yield CheckResult("flink versions", CheckStatus.WARN, f"{result} was not tested", f"tested is {known}")


def check_workers(options: FlinkOptions) -> Iterator[CheckResult]:
    """Run a small job: workers import this project, have its versions, and see the current folder."""
    from corpus_audit.runners.engines.launch.engines import open_engine

    with tempfile.TemporaryDirectory(prefix=".corpus-audit-probe-", dir=Path.cwd()) as temporary:
        folder, secret = Path(temporary) / "work", secrets.token_hex(8)
        folder.mkdir()
        (folder / SECRET_FILE).write_text(secret, encoding="utf-8")
        try:
            worker_program()
            with open_engine(options, 1, folder) as engine:
                tasks = [ProbeTask(folder, number) for number in range(4 * engine.workers)]
                engine.perform(ProbeWorker(secret), tasks, [1] * len(tasks))
            answers = read_answers(folder)
        except AuditError as error:
            yield CheckResult("flink workers", CheckStatus.FAIL, _without_resume(str(error)), _advice(str(error)))
            return
    if len(answers) != len(tasks):
        result = f"{len(answers)} of {len(tasks)} files that workers wrote are seen here"
        yield CheckResult("flink workers", CheckStatus.FAIL, result, _SHARED)
        return
    differences = version_differences(answers, ProbeAnswer.of_this_process())
    for status, texts in ((CheckStatus.FAIL, differences.refused), (CheckStatus.WARN, differences.tolerated)):
        if texts:
            yield CheckResult("flink workers", status, "; ".join(texts), "install the same versions on both sides")
            return
    count = len({(answer.host, answer.pid) for answer in answers})
    yield CheckResult(
        "flink workers", CheckStatus.OK, f"{count} answered, with this project's versions, and see this folder"
    )


_SHARED = "put corpus, store and output where every worker sees them under the same path"


def _advice(message: str) -> str:
    if "does not see" in message:
        return _SHARED
    if "corpus_audit" in message or "ModuleNotFoundError" in message:
        return "install corpus-audit, of this version, into the Python that runs the workers"
    return "the logs of the TaskManagers say more"


def _without_resume(message: str) -> str:
    return message.partition("; run the same command again")[0]
