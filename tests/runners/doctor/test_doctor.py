import errno
import fcntl
import json
import shutil
import sys
from collections import namedtuple
from importlib import metadata

import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.doctor import doctor
from corpus_audit.runners.doctor.doctor import GIB, CheckStatus, examine


def _only(check):
    (finding,) = check()
    return finding


def test_this_machine_is_looked_at_from_every_side():
    names = [finding.name for finding in examine()]
    for expected in ("python", "packages", "engine", "fast tokenizer", "kernel cache", "memory", "disk here"):
        assert expected in names


def test_what_is_wrong_comes_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1" if name == "pyarrow" else "9999")
    findings = list(doctor.check_packages())
    assert findings[-1].status is CheckStatus.OK
    pyarrow = next(finding for finding in findings if finding.result.startswith("pyarrow "))
    assert pyarrow.status is CheckStatus.FAIL
    assert "0.0.1 is outside" in pyarrow.result and pyarrow.advice.startswith("pip install 'pyarrow")


def test_a_missing_package_fails(monkeypatch):
    version = metadata.version

    def find(name):
        if name == "orjson":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", find)
    failed = [finding.result for finding in doctor.check_packages() if finding.status is CheckStatus.FAIL]
    assert failed == ["orjson is not installed"]


def test_missing_extras_are_no_fault(monkeypatch):
    def find(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find)
    findings = {finding.name: finding for finding in doctor.check_extras()}
    assert set(findings) == {"extra s3", "extra gcs", "extra hub"}
    assert all(finding.status is CheckStatus.OK for finding in findings.values())
    assert "pip install 'corpus-audit[s3]' to read s3:// paths" in findings["extra s3"].result


def test_the_fast_tokenizer_is_tried_against_the_reference(monkeypatch):
    pytest.importorskip("gigatoken")
    finding = _only(doctor.check_tokenizers)
    assert finding.status is CheckStatus.OK and "agrees with tokenizers" in finding.result
    from corpus_audit.pipelines.tokens.tokenization import Tokenization

    encode = Tokenization.encode_reference

    def other_ids(self, texts):
        batch = encode(self, texts)
        batch.ids[-1] += 1
        return batch

    monkeypatch.setattr(Tokenization, "encode_reference", other_ids)
    assert _only(doctor.check_tokenizers).status is CheckStatus.WARN


def test_without_the_fast_tokenizer_runs_are_slow_not_wrong(monkeypatch):
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    finding = _only(doctor.check_tokenizers)
    assert finding.status is CheckStatus.WARN and "exact without it" in finding.advice


@pytest.mark.parametrize(
    ("gib", "status"),
    [
        (0.3, CheckStatus.FAIL),
        (1, CheckStatus.WARN),
        (4.9, CheckStatus.WARN),
        (5, CheckStatus.OK),
        (500, CheckStatus.OK),
    ],
)
def test_disk(monkeypatch, gib, status):
    usage = namedtuple("usage", "total used free")(10**12, 0, int(gib * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert {finding.status for finding in doctor.check_disk()} == {status}


@pytest.mark.parametrize(
    ("limit", "status"), [(GIB, CheckStatus.FAIL), (2 * GIB, CheckStatus.WARN), (3 * GIB, CheckStatus.OK)]
)
def test_a_control_group_limits_memory(monkeypatch, limit, status):
    monkeypatch.setattr(doctor.os, "sysconf", lambda name: 2**20)
    monkeypatch.setattr(doctor, "_control_group_limit", lambda: limit)
    finding = _only(doctor.check_memory)
    assert finding.status is status and "control group" in finding.result


def test_kernel_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert _only(doctor.check_kernel_cache).status is CheckStatus.WARN
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new"))
    assert _only(doctor.check_kernel_cache).status is CheckStatus.OK


def test_a_file_system_without_locks(monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert _only(doctor.check_locks).status is CheckStatus.WARN


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def broken():
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "CHECKS", {"odd": broken})
    (finding,) = examine()
    assert (finding.name, finding.status) == ("odd", CheckStatus.FAIL) and "ZeroDivisionError" in finding.result


@pytest.mark.parametrize(("status", "code"), [(CheckStatus.OK, 0), (CheckStatus.WARN, 0), (CheckStatus.FAIL, 1)])
def test_the_command_exits_1_only_for_failures(monkeypatch, capsys, status, code):
    monkeypatch.setattr(doctor, "CHECKS", {"one": lambda: [doctor.CheckResult("one", status, "found", "do this")]})
    assert run_command(["doctor"], Session()) == code
    assert capsys.readouterr().out.split() == [status.value, "one", "found", "do", "this"]
    assert run_command(["doctor", "--json"], Session()) == code
    assert json.loads(capsys.readouterr().out) == {
        "schema": "corpus-audit/doctor/1",
        "findings": [{"name": "one", "status": status.value, "found": "found", "advice": "do this"}],
        "exit_code": code,
    }
