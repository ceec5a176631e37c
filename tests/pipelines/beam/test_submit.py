"""What the text of a failed job comes to."""

from __future__ import annotations

from corpus_audit.pipelines.beam.submit import job_error
from corpus_audit.schemas.errors import EngineError, ExitCode, NoVerdictError, TokenizerMismatchError

JAVA = "Pipeline job_1 failed in state FAILED: java.util.concurrent.ExecutionException: failed\n\tat a.B.c(D.java:1)\n"
PYTHON = "Caused by: java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent call last):\n"
OURS = "corpus_audit.schemas.errors"


def test_an_error_of_ours_keeps_its_type_and_message() -> None:
    message = f"{JAVA}{PYTHON}{OURS}.TokenizerMismatchError: ids differ [while running 'Count']\n\tat e.F"
    error = job_error(message)
    assert type(error) is TokenizerMismatchError
    assert str(error) == "ids differ"
    assert error.exit_code is ExitCode.NO_VERDICT
    assert type(job_error(f"{PYTHON}{OURS}.NoVerdictError: shard a: torn")) is NoVerdictError


def test_another_error_of_python_is_named() -> None:
    error = job_error(
        f"{JAVA}{PYTHON}ModuleNotFoundError: No module named 'corpus_audit' [while running 'Plan']\n\tat e.F"
    )
    assert type(error) is EngineError
    assert "failed: ModuleNotFoundError: No module named 'corpus_audit'; run the same command again" in str(error)


def test_of_java_the_last_cause_is_named() -> None:
    message = (
        f"{JAVA}Caused by: a.B: outer\n\tat x\nCaused by: java.io.IOException: Insufficient number of network buffers\n"
    )
    assert "java.io.IOException: Insufficient number of network buffers" in str(job_error(message))
    assert "no reason given" in str(job_error(""))
