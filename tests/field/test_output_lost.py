"""b2#1071: a command line whose reader had gone (``| head``) ended with an error of its own, not the result's code.

Here ``history | head -1`` ended with exit code 1, which means "judged bad". Right: a reader that has gone changes no
exit code; where the output is lost for another reason (a full disk, a closed stream), that is said on standard error,
the exit code of a command that judges is its verdict, and that of another is 2.
"""

import os
import sqlite3
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from corpus_audit.runners.cli.main import file_message, run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.process.locks import make_output
from corpus_audit.schemas.errors import UsageError
from tests.checks.indexed_runs import make_run
from tests.checks.outputs.conftest import dated
from tests.checks.report.judged_runs import write_results
from tests.checks.report.synthetic import build_run
from tests.checks.signoff.world import build_world, sign_world

PROGRAM = [sys.executable, "-c", "from corpus_audit.runners.cli.main import main; main()"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return sign_world(build_world(tmp_path_factory.mktemp("lost")))


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return dated(write_results(build_run(tmp_path_factory.mktemp("judged") / "run")))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """An output folder whose history is longer than a pipe holds."""
    folder = tmp_path_factory.mktemp("runs")
    figures = {f"metric_{number:05d}": {"all": 1.0} for number in range(8_000)}
    for day in range(1, 3):
        make_run(folder, f"202611{day:02d}T060000Z", figures)
    return folder


COMMANDS = {
    "history": "history -o {output}",
    "history --json": "history -o {output} --json",
    "help": "--help",
    "schema": "schema",
    "report": "report {judged}",
    "report html": "report {judged} -o -",
    "verify": "verify {signed} --trust {trust} -q",
    "refused": "verify {signed} --trust {trust} -q --at 2001-01-01",
}
JUDGING = ("verify", "refused")


@pytest.fixture(scope="module")
def arguments_of(world, output, judged):
    paths = {"world": world.run, "signed": world.signed, "trust": world.trust, "output": output, "judged": judged}
    return lambda name: [part.format(**paths) for part in COMMANDS[name].split(" ")]


@pytest.fixture(scope="module")
def undisturbed(arguments_of):
    """How a command ends whose output is read; each command is run once for all tests."""
    return cache(lambda name: process(arguments_of(name), subprocess.DEVNULL))


def process(arguments, stdout, **more):
    return subprocess.run([*PROGRAM, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True, **more)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_that_has_gone_changes_no_exit_code(name, arguments_of, undisturbed):
    arguments = arguments_of(name)
    right = undisturbed(name)
    reading, writing = os.pipe()
    os.close(reading)  # the reader has gone before the first byte: the hardest case, and no race
    try:
        done = process(arguments, writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (right.returncode, right.stderr)


@pytest.mark.slow
def test_head_of_a_long_history(output):
    """With a real pipe: the output is longer than the pipe, and the reader goes after a line."""
    writer = subprocess.Popen(
        [*PROGRAM, "history", "-o", str(output), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reader = subprocess.run(["head", "-c", "20"], stdin=writer.stdout, capture_output=True)
    writer.stdout.close()
    assert reader.stdout.startswith(b'{"schema"')
    assert (writer.wait(), writer.stderr.read()) == (0, b"")
    writer.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("how", ["full", "closed"])
def test_output_that_cannot_be_written_is_reported_and_a_verdict_stays(name, how, arguments_of, undisturbed):
    arguments = arguments_of(name)
    right = undisturbed(name).returncode
    if how == "full":
        with Path("/dev/full").open("w") as full:
            done = process(arguments, full)
        reason = "No space left on device"
    else:
        line = 'exec "$@" >&-'
        done = subprocess.run(
            ["sh", "-c", line, "sh", *PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True
        )
        reason = "it is closed"
    shown = name == "help" and how == "closed"  # Click writes it, into nothing
    assert done.returncode == (right if name in JUDGING or shown else 2)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("corpus-audit: ") and reason in done.stderr


@pytest.mark.slow
def test_standard_error_that_is_closed_or_full_changes_nothing(arguments_of, undisturbed):
    arguments = arguments_of("refused")
    right = undisturbed("refused").returncode
    for end in ("2>&-", "2>/dev/full"):
        done = subprocess.run(["sh", "-c", f'exec "$@" {end}', "sh", *PROGRAM, *arguments], stdout=subprocess.PIPE)
        assert done.returncode == right and done.stdout


@pytest.mark.parametrize("errno_", ["ENOSPC", "EROFS", "EACCES", "EDQUOT"])
def test_a_full_disk_or_a_folder_that_may_not_be_written_is_wrong_use(errno_, world, monkeypatch, capsys):
    """Also where an engine has wrapped what its worker raised."""
    import errno

    number = getattr(errno, errno_)

    def fail(path):
        try:
            raise OSError(number, os.strerror(number), "/store/x")
        except OSError as error:
            raise RuntimeError("a worker failed [while running 'count']") from error

    monkeypatch.setattr("corpus_audit.runners.cli.report.resolve_run", fail)
    assert run_command(["report", str(world.run)], Session()) == 2
    assert capsys.readouterr().err == f"corpus-audit: /store/x: {os.strerror(number)}\n"
    assert file_message(ValueError("x")) is None


def test_a_database_that_may_not_be_written_is_wrong_use_and_a_wrong_statement_is_not(tmp_path):
    (tmp_path / "index.sqlite").touch()
    connection = sqlite3.connect(f"file:{tmp_path}/index.sqlite?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE t (a)")
    assert "cannot be written" in file_message(caught.value)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT nothing FROM nowhere")
    assert file_message(caught.value) is None
    connection.close()


def test_a_file_in_the_place_of_a_folder_is_wrong_use(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UsageError, match=r"cannot make the folder .*runs: File exists"):
        make_output(tmp_path / "runs")
    make_output(tmp_path / "a" / "b")
    make_output(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
