"""Runs a pipeline: on threads of this process, on Dataflow, or on the engine behind a portable job service."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from corpus_audit.pipelines.beam.profile import Collect
from corpus_audit.pipelines.beam.steps import Build
from corpus_audit.schemas import errors

NO_TIMEOUT = 2**31 - 1
"""``--job_server_timeout`` in seconds: the default of 300 would end every job that takes longer."""

_AUDIT_ERROR = re.compile(r"^corpus_audit\.schemas\.errors\.(\w+): (.*?)(?: \[while running .*)?$", re.MULTILINE)
_PYTHON_ERROR = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception|Interrupt)\b.*?)(?: \[while running .*)?$", re.MULTILINE)
_JAVA_ERROR = re.compile(r"^Caused by: (.*)$", re.MULTILINE)


def run_embedded(build: Build, target: Path, flags: Sequence[str]) -> None:
    """Run a pipeline in this process; its elements go to the file ``target``, as `Collect` writes them.

    Raises:
        AuditError: a step raised it.
    """
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(flags=list(flags)))
    _ = build(pipeline) | "Collect" >> Collect(target)
    try:
        pipeline.run().wait_until_finish()
    except errors.AuditError as error:
        # The engine appends " [while running 'Step']" to the message of what a step raises.
        error.args = (str(error).split(" [while running '")[0], *error.args[1:])
        raise


def run_on_job_service(build: Build, target: Path, flags: Sequence[str], cancel: Callable[[], None]) -> None:
    """Run a pipeline on the job service that the flags name; its elements go to the file ``target``.

    Args:
        build: adds the steps.
        target: a file in a folder that the workers share.
        flags: all flags of Beam, among them the endpoint of the job service.
        cancel: ends the job on the engine; called when this process is told to stop.

    Raises:
        AuditError: a step raised it; or an `EngineError` that says how the job failed.
    """
    from apache_beam.runners.portability.portable_runner import PortableRunner

    pipeline = beam.Pipeline(runner=PortableRunner(), options=PipelineOptions(flags=list(flags)))
    _ = build(pipeline) | "Collect" >> Collect(target)
    result = None
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except errors.AuditError:
        raise
    except grpc.RpcError as error:
        raise errors.EngineError(f"the job server answers {error.code().name}: {error.details()[:400]}") from error
    except Exception as error:
        raise job_error(str(error)) from error
    except BaseException:
        cancel()
        if result is not None:
            with contextlib.suppress(Exception):
                result.cancel()
        raise


def run_on_dataflow(build: Build, target: Path, flags: Sequence[str]) -> None:
    """Run a pipeline on Google Cloud Dataflow; arguments as for `run_embedded`.

    Raises:
        UsageError: Beam was installed without what Dataflow needs.
        EngineError: the job cannot be submitted, or fails.
    """
    try:
        import google.cloud.storage  # noqa: F401
        from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
    except ImportError as error:
        raise errors.UsageError(
            f"Dataflow needs a package that is not installed ({error.name}): pip install 'corpus-audit[dataflow]'"
        ) from None
    pipeline = beam.Pipeline(runner=DataflowRunner(), options=PipelineOptions(flags=list(flags)))
    _ = build(pipeline) | "Collect" >> Collect(target)
    result = None
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except errors.AuditError:
        raise
    except Exception as error:
        raise job_error(str(error)) from error
    except BaseException:
        if result is not None:
            with contextlib.suppress(Exception):
                result.cancel()
        raise


def job_error(message: str) -> errors.AuditError:
    """The exception for a failed job: the `AuditError` that a step raised on a worker, else an `EngineError`."""
    raised = list(_AUDIT_ERROR.finditer(message))
    if raised:
        error_class = getattr(errors, raised[-1][1], None)
        if (
            isinstance(error_class, type)
            and issubclass(error_class, errors.AuditError)
            and error_class is not errors.VerificationError
        ):
            return error_class(raised[-1][2])
    for pattern in (_PYTHON_ERROR, _JAVA_ERROR):
        matches = pattern.findall(message)
        if matches:
            reason = matches[-1]
            break
    else:
        lines = message.strip().splitlines() or ["no reason given"]
        reason = lines[0]
    return errors.EngineError(f"the engine's job failed: {reason[:400]}; run the same command again to go on")


def engine_flags(endpoint: str) -> list[str]:
    """Names of the engine's own options, as its job service reports them.

    Raises:
        EngineError: no job service answers there.
    """
    try:
        with grpc.insecure_channel(endpoint) as channel:
            service = beam_job_api_pb2_grpc.JobServiceStub(channel)
            request = beam_job_api_pb2.DescribePipelineOptionsRequest()
            response = service.DescribePipelineOptions(request, timeout=30, wait_for_ready=True)
    except grpc.RpcError as error:
        raise errors.EngineError(f"no job server answers at {endpoint}: {error.code().name}") from None
    return [option.name for option in response.options]
