"""Errors a user can act on, and the exit codes they map to."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a process answers; the same for every command."""

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
    """The command, the spec or its inputs are wrong: nothing was read."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """The audit spec is wrong; the message starts with ``file:line:column``."""


class NoVerdictError(AuditError):
    """The corpus could not be judged: nothing to read, damaged input, or a broken promise of the run."""

    exit_code = ExitCode.NO_VERDICT


class TokenizerMismatchError(NoVerdictError):
    """The fast tokenizer fails, or disagrees with the reference on a document of the run."""


class LockedError(AuditError):
    """Another run holds the output directory."""

    exit_code = ExitCode.LOCKED


class StoreError(AuditError):
    """A file of the profile store or of a run directory is damaged or from another version."""


class EngineError(AuditError):
    """An engine cannot be reached, or a job on it failed; what was read by then is kept."""


class NotSignableError(AuditError):
    """The audit failed: there is nothing that a person could put their name to."""

    exit_code = ExitCode.FAIL


class VerificationError(AuditError):
    """A sign-off, or what it stands for, does not hold.

    Attributes:
        code: which check refused it; a stable word (`schemas.run.signoff.Refusal`).
    """

    exit_code = ExitCode.VERIFICATION_FAILED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
