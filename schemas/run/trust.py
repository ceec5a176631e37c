"""`trust.yaml`: whose signatures count, for how long and in which role, and which policies are allowed.

The file belongs to the verifier and is kept outside the output folder: what is verified must not define who is trusted.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run.signoff import Digest, Refusal, Time, moment_of
from corpus_audit.schemas.yaml import yaml_tree
from corpus_audit.schemas.yaml.structure import validated

IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$"
"""Ids of people, pipelines and keys."""

Identifier = Annotated[str, Field(pattern=IDENTIFIER)]


class TrustPart(BaseModel):
    """Base of every part."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Person(TrustPart):
    """A person who signs. Policies may name a person by ``email``."""

    id: Identifier
    email: str | None = None
    roles: tuple[str, ...] = ()

    def is_called(self, name: str) -> bool:
        """Whether ``name`` (an id or an address, as policies write owners) is this person."""
        return name.strip().casefold() in {self.id.casefold(), (self.email or self.id).casefold()}


class Revocation(TrustPart):
    """The time from which a key is no longer valid, and why.

    ``retired``: earlier signatures stay valid. ``compromised``: someone else may have signed with it, and may have
    backdated that, so a signature is valid only if a published ledger head proves that it is older.
    """

    when: Time
    why: Literal["retired", "compromised"]


class TrustedKey(TrustPart):
    """A key of a person or of a pipeline; ``public`` is the raw public half (32 bytes) in hex."""

    id: Identifier
    public: Digest
    person: Identifier | None = None
    pipeline: Identifier | None = None
    valid_from: Time
    valid_to: Time
    revoked: Revocation | None = None

    @property
    def raw(self) -> bytes:
        """The public key as 32 bytes."""
        return bytes.fromhex(self.public)

    @property
    def holder(self) -> str:
        """Id of the person or the pipeline that has the key."""
        return self.person or self.pipeline or ""

    @model_validator(mode="after")
    def _has_one_holder_and_valid_times(self) -> TrustedKey:
        if (self.person is None) == (self.pipeline is None):
            raise ValueError("a key belongs to a person or to a pipeline: give one of the two")
        moments = [moment_of(self.valid_from), moment_of(self.valid_to)]
        if self.revoked is not None:
            moment_of(self.revoked.when)
        if moments[0] >= moments[1]:
            raise ValueError("valid_to is not after valid_from")
        return self


class AllowedPolicy(TrustPart):
    """A policy whose verdicts count: SHA-256 of the file's bytes, and a name for people."""

    sha256: Digest
    name: str = ""


class Trust(TrustPart):
    """Content of the trust file. ``approvals`` is the least number of approvers, whatever a policy says."""

    version: Literal[1]
    approvals: Annotated[int, Field(ge=1, le=50)] = 1
    people: tuple[Person, ...] = ()
    keys: tuple[TrustedKey, ...] = ()
    policies: tuple[AllowedPolicy, ...] = ()

    @model_validator(mode="after")
    def _names_are_known_and_distinct(self) -> Trust:
        people = [person.id for person in self.people]
        for kind, names in (("person", people), ("key", [key.id for key in self.keys])):
            if len({name.casefold() for name in names}) != len(names):
                raise ValueError(f"two entries have the same {kind} id")
        for key in self.keys:
            if key.person is not None and key.person not in people:
                raise ValueError(f"the key {key.id} belongs to {key.person!r}, who is not among the people")
            if key.pipeline is not None and key.pipeline in people:
                raise ValueError(f"{key.pipeline!r} is both a person and a pipeline")
        return self

    def person(self, name: str) -> Person | None:
        """The person with an id."""
        return next((person for person in self.people if person.id == name), None)

    def key_of(self, public: bytes) -> TrustedKey | None:
        """The key with a public half."""
        return next((key for key in self.keys if key.raw == public), None)


def load_trust(path: Path) -> Trust:
    """Read and check a trust file.

    Raises:
        SpecError: it cannot be read or is wrong; one line a mistake, ``file:line:column: what is wrong``.
        VerificationError: a public key occurs twice, so that one signer could count as two.
    """
    hint = "there is no such file; 'corpus-audit keys new' begins one, or name it with --trust"
    trust = read_trust(yaml_tree.read_file(path, hint), str(path))
    key_by_public: dict[str, str] = {}
    for key in trust.keys:
        other = key_by_public.setdefault(key.public, key.id)
        if other != key.id:
            raise VerificationError(
                Refusal.TRUST_KEY_TWICE, f"{path}: the keys {other} and {key.id} have the same public key"
            )
    return trust


def read_trust(data: bytes, source: str) -> Trust:
    """A trust file from its bytes; ``source`` is what messages call it.

    Raises:
        SpecError: it is wrong.
    """
    tree, problems = yaml_tree.parse(data, source)
    if not isinstance(tree, yaml_tree.Mapping):
        raise yaml_tree.spec_error(
            [*problems, yaml_tree.Problem(tree.mark, "expected a mapping of keys such as people")]
        )
    return validated(tree, Trust, problems)


def valid_at(key: TrustedKey, moment: datetime) -> Refusal | None:
    """Why a signature made at ``moment`` is invalid by the dates of its key; None if it is valid."""
    if moment < moment_of(key.valid_from):
        return Refusal.KEY_NOT_YET_VALID
    if moment >= moment_of(key.valid_to):
        return Refusal.KEY_EXPIRED
    if key.revoked is not None and key.revoked.why == "retired" and moment >= moment_of(key.revoked.when):
        return Refusal.KEY_RETIRED
    return None
