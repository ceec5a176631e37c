"""The trusted keys that signed an envelope, and whether their holders satisfy the policy and the trust file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from corpus_audit.checks.signoff.dsse import Envelope, key_id, signed_by
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.plurals import agree
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
        """The distinct people other than the author."""
        return self.people - {author}


NO_SIGNERS = Signers(())


def signers_of(envelope: Envelope, trust: Trust) -> Signers:
    """The trusted key of every signature, found by verifying: the envelope's key ids are hints and not used.

    Raises:
        VerificationError: no trusted key made a signature, or one key made two.
    """
    keys: list[TrustedKey] = []
    for signature in envelope.signatures:
        key = next((key for key in trust.keys if signed_by(envelope, signature, key.raw)), None)
        if key is None:
            hint = signature.keyid if signature.keyid.isalnum() else ""
            raise VerificationError(
                Refusal.SIGNATURE_UNKNOWN,
                f"a signature (key id {hint[:16] or 'not given'}…) is by no key of the trust file, or what it signed "
                "was changed",
            )
        if key in keys:
            raise VerificationError(Refusal.SIGNATURE_REPEATED, f"the key {key.id} signed twice")
        keys.append(key)
    return Signers(tuple(keys))


def check_enough(signers: Signers, needed: int) -> None:
    """Raises VerificationError where fewer than ``needed`` distinct people signed."""
    people = len(signers.people)
    if people < needed:
        raise VerificationError(
            Refusal.SIGNATURE_THRESHOLD,
            f"{people} {agree(people, 'person', 'people')} signed, and {needed} {agree(needed, 'is', 'are')} needed",
        )


def check_window(statement: Statement, at: datetime) -> None:
    """Raises VerificationError unless the statement was made before ``at`` and is valid then."""
    decision = statement.predicate.decision
    try:
        created, until = moment_of(decision.time_created), moment_of(decision.valid_until)
    except ValueError:
        raise VerificationError(Refusal.STATEMENT_FORMAT, "the statement has a time that does not exist") from None
    if created > at + SKEW:
        raise VerificationError(Refusal.TIME_FUTURE, f"the sign-off is from the future: {decision.time_created}")
    if at >= until:
        raise VerificationError(Refusal.TIME_EXPIRED, f"the sign-off was valid until {decision.valid_until}")


def check_approvals(statement: Statement, signers: Signers, trust: Trust) -> None:
    """Check the signers against what the policy and the trust file require.

    Raises:
        VerificationError: the author did not sign, an approver asked for a waiver, there are too few approvers other
            than the author, or no approver has a required role.
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
            f"{plural(needed, 'approval')} by people other than the author {agree(needed, 'is', 'are')} needed, and "
            f"there {agree(len(approvers), 'is', 'are')} {len(approvers)} ({listed})",
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
                Refusal.WAIVER_OWNER_APPROVES, f"{name} asked for the waiver {waiver.id} and cannot approve it"
            )


def missing_roles(measured: Measured, approvers: set[str], trust: Trust) -> list[str]:
    """Roles that the policy requires and no approver has."""
    present = {role for person in trust.people if person.id in approvers for role in person.roles}
    return [role for role in measured.roles if role not in present]


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
        if value is None or (low is not None and value < low) or (high is not None and value > high):
            # The statement does not say the unit: both figures stand as plain numbers.
            raise VerificationError(
                Refusal.WAIVER_VOID,
                f"the waiver {waiver.id} does not hold for {figure(value, '')}: it holds for "
                f"{bound_text(waiver.holds_while, '')}",
            )


def check_dates(signers: Signers, signed_at: Mapping[str, datetime], at: datetime) -> None:
    """Check every key's dates at the time when it signed, or at ``at`` where that is unknown.

    Raises:
        VerificationError: a key was not valid yet, expired, or retired.
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
    """The keys that are revoked as compromised."""
    return [key for key in keys if key.revoked is not None and key.revoked.why == "compromised"]
