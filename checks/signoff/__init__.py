"""Sign-off: people approve a judged run with their keys, and a training job verifies it before it reads a byte."""

from corpus_audit.checks.signoff.latest import SignedRun, last_signed
from corpus_audit.checks.signoff.shards import open_verified
from corpus_audit.checks.signoff.verification import Asked, Verified, verify

__all__ = ["Asked", "SignedRun", "Verified", "last_signed", "open_verified", "verify"]
