"""Errors that a user can act on, and the exit codes that they map to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit code of a process; the same for every command."""

    OK = 0
    FAIL = 1
    USAGE = 2
    WARN = 3
    NO_VERDICT = 4
    INTERNAL = 5
    LOCKED = 6
    VERIFICATION_FAILED = 7
    INTERRUPTED = 130


class AuditError(Exception):
    """A failure that is explained to the user in one message, without a traceback."""

    exit_code = ExitCode.INTERNAL


class UsageError(AuditError):
    """The command, the spec or its inputs are invalid: nothing was read."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """The audit spec is invalid; the message starts with ``file:line:column``."""


class NoVerdictError(AuditError):
    """The corpus could not be judged: nothing to read, damaged input, or a check of the run failed."""

    exit_code = ExitCode.NO_VERDICT


class TokenizerMismatchError(NoVerdictError):
    """The fast tokenizer fails, or disagrees with the reference on a document of the run."""


class LockedError(AuditError):
    """Another run has locked the output directory."""

    exit_code = ExitCode.LOCKED


class StoreError(AuditError):
    """A file of the profile store or of a run directory is damaged or from another version."""


class EngineError(AuditError):
    """An engine cannot be reached, or a job on it failed; results up to then are kept."""


class NotSignableError(AuditError):
    """The audit failed, so it cannot be signed."""

    exit_code = ExitCode.FAIL


class VerificationError(AuditError):
    """A sign-off, or the run or shards that it covers, does not verify.

    Attributes:
        code: the check that failed, a stable word (`schemas.run.signoff.Refusal`).
    """

    exit_code = ExitCode.VERIFICATION_FAILED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say which extra of the package to install, if what is imported within is missing.

    Raises:
        UsageError: another package is not installed. A missing module of this package is a fault of its own.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "corpus_audit":
            raise
        raise UsageError(f"{error.name} is not installed: pip install 'corpus-audit[{extra}]'") from None
