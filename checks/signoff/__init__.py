"""Sign-off: people sign a judged run with their keys, and a training job verifies it before it reads any data."""

from corpus_audit.checks.signoff.latest import SignedRun, last_signed
from corpus_audit.checks.signoff.shards import open_verified
from corpus_audit.checks.signoff.verification import Verified, VerifyOptions, verify

__all__ = ["SignedRun", "Verified", "VerifyOptions", "last_signed", "open_verified", "verify"]
