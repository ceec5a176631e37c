"""Who signed an envelope, by trusted keys, and whether they are enough and the right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from corpus_audit.checks.signoff.dsse import Envelope, key_id, signed_by
from corpus_audit.checks.text.wording import bound_text, figure
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run.signoff import Measured, Refusal, Statement, moment_of
from corpus_audit.schemas.run.trust import Trust, TrustedKey, valid_at

SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may differ."""


@dataclass(frozen=True, slots=True)
class Signers:
    """The keys that made an envelope's signatures, in its order."""

    keys: tuple[TrustedKey, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Their key ids, from the keys themselves and not from the envelope."""
        return tuple(key_id(key.raw) for key in self.keys)

    @property
    def people(self) -> set[str]:
        """The distinct people among their holders."""
        return {key.person for key in self.keys if key.person is not None}

    def approvers(self, author: str) -> set[str]:
        """Distinct people but the author."""
        return self.people - {author}


NOBODY = Signers(())


def signers_of(envelope: Envelope, trust: Trust) -> Signers:
    """The trusted keys behind every signature, by the bytes alone: the envelope's key ids are hints and not used.

    Raises:
        VerificationError: a signature is by no trusted key, or two are by one key.
    """
    found: list[TrustedKey] = []
    for signature in envelope.signatures:
        key = next((key for key in trust.keys if signed_by(envelope, signature, key.raw)), None)
        if key is None:
            hint = signature.keyid if signature.keyid.isalnum() else ""
            raise VerificationError(
                Refusal.SIGNATURE_UNKNOWN,
                f"a signature (key id {hint[:16] or 'not given'}…) is by no key of the trust file, or what it signed "
                "was changed",
            )
        if key in found:
            raise VerificationError(
                Refusal.SIGNATURE_REPEATED, f"the key {key.id} signed twice: one signer counts once"
            )
        found.append(key)
    return Signers(tuple(found))


def check_enough(signers: Signers, needed: int) -> None:
    """Raises VerificationError where fewer than ``needed`` distinct people signed."""
    if len(signers.people) < needed:
        raise VerificationError(
            Refusal.SIGNATURE_THRESHOLD, f"{len(signers.people)} people signed, and {needed} are needed"
        )


def check_window(statement: Statement, at: datetime) -> None:
    """Raises VerificationError unless the statement was made before ``at`` and is valid then."""
    decision = statement.predicate.decision
    try:
        created, until = moment_of(decision.time_created), moment_of(decision.valid_until)
    except ValueError:
        raise VerificationError(Refusal.STATEMENT_FORMAT, "the statement holds a time that does not exist") from None
    if created > at + SKEW:
        raise VerificationError(Refusal.TIME_FUTURE, f"the sign-off is from the future: {decision.time_created}")
    if at >= until:
        raise VerificationError(Refusal.TIME_EXPIRED, f"the sign-off was valid until {decision.valid_until}")


def check_approvals(statement: Statement, signers: Signers, trust: Trust) -> None:
    """Hold the signers against what policy and trust file ask for.

    Raises:
        VerificationError: the author did not sign, an approver asked for a waiver, there are too few approvers besides
            the author, or a role is not among them.
    """
    measured, author = statement.predicate.measured, statement.predicate.decision.author
    if author not in {key.holder for key in signers.keys}:
        raise VerificationError(Refusal.AUTHOR_UNSIGNED, f"the author, {author}, did not sign")
    approvers = signers.approvers(author)
    for name in sorted(approvers):
        check_no_waiver_of(measured, trust, name)
    needed = max(measured.required, trust.approvals)
    if len(approvers) < needed:
        listed = ", ".join(sorted(approvers)) or "nobody"
        raise VerificationError(
            Refusal.SIGNATURE_THRESHOLD,
            f"{needed} approvals by others than the author are needed, and {len(approvers)} are there ({listed})",
        )
    missing = missing_roles(measured, approvers, trust)
    if missing:
        raise VerificationError(Refusal.ROLE_MISSING, f"no approver has the role {missing[0]}")


def check_no_waiver_of(measured: Measured, trust: Trust, name: str) -> None:
    """Raises VerificationError where a person would approve what they asked to have waived."""
    person = trust.person(name)
    for waiver in measured.waivers:
        if person is not None and person.is_called(waiver.owner):
            raise VerificationError(
                Refusal.WAIVER_OWNER_APPROVES, f"{name} asked for the waiver {waiver.id} and cannot approve it too"
            )


def missing_roles(measured: Measured, approvers: set[str], trust: Trust) -> list[str]:
    """Roles that the policy asks for and no approver has."""
    held = {role for person in trust.people if person.id in approvers for role in person.roles}
    return [role for role in measured.roles if role not in held]


def check_waivers(measured: Measured, at: datetime) -> None:
    """Raises VerificationError where a waiver has expired, or the value it accepts is worse than it holds for."""
    for waiver in measured.waivers:
        try:
            expired = at.date() > date.fromisoformat(waiver.expires)
        except ValueError:
            expired = True
        if expired:
            raise VerificationError(Refusal.WAIVER_EXPIRED, f"the waiver {waiver.id} expired on {waiver.expires}")
        low, high = waiver.holds_while.minimum, waiver.holds_while.maximum
        value = waiver.observed
        if value is None and waiver.unknown:
            continue
        if value is None or (low is not None and value < low) or (high is not None and value > high):
            # The statement does not say the unit: both figures stand as plain numbers.
            raise VerificationError(
                Refusal.WAIVER_VOID,
                f"the waiver {waiver.id} does not hold for {figure(value, '')}: it holds for "
                f"{bound_text(waiver.holds_while, '')}",
            )


def check_dates(signers: Signers, signed_at: Mapping[str, datetime], at: datetime) -> None:
    """Hold every key's dates against when it signed; where that is not known, against ``at``.

    Raises:
        VerificationError: a key was not valid yet, no longer, or retired.
    """
    words = {
        Refusal.KEY_NOT_YET_VALID: "was not valid yet",
        Refusal.KEY_EXPIRED: "was no longer valid",
        Refusal.KEY_RETIRED: "was retired",
    }
    for key, ident in zip(signers.keys, signers.ids, strict=True):
        moment = signed_at.get(ident, at)
        refusal = valid_at(key, moment)
        if refusal is not None:
            when = (
                "when it signed" if ident in signed_at else "at the time of this check, and when it signed is not known"
            )
            raise VerificationError(refusal, f"the key {key.id} {words[refusal]} {when}")


def compromised(keys: Sequence[TrustedKey]) -> list[TrustedKey]:
    """Keys among them that are revoked as compromised."""
    return [key for key in keys if key.revoked is not None and key.revoked.why == "compromised"]
