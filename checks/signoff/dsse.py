"""DSSE envelopes: exact bytes, signed and read back (https://github.com/secure-systems-lab/dsse, protocol.md, v1).

The signed bytes are the pre-authentication encoding of payload type and payload, so that neither can be mistaken for
the other and the payload needs no canonical form. Key ids are hints for people; no decision depends on them.

Kept over securesystemslib, with which the tests compare this module: it leaves the JSON to its caller, so that a key
may occur twice, and loads 133 more modules.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.signoff import Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"

MAX_BYTES = 10 * 2**20
"""A larger envelope is not read."""

MAX_SIGNATURES = 64
"""Signatures of an envelope, at most: each is tried with every trusted key before anything is known of its author."""


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """A signature of 64 bytes and the unauthenticated name of its key."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and signatures; reading an envelope verifies nothing."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that every signature covers."""
        return pae(self.payload_type, self.payload)

    def to_json(self) -> bytes:
        """The bytes of the envelope's file."""
        value = {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [{"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in self.signatures],
        }
        return strict_json.dumps(value) + b"\n"


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, version 1."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public: bytes) -> str:
    """The id of a key in this tool: SHA-256, in hex, of the 32 bytes of its public half."""
    return hashlib.sha256(public).hexdigest()


def sign(payload_type: str, payload: bytes, key: Ed25519PrivateKey) -> EnvelopeSignature:
    """Sign a payload."""
    return EnvelopeSignature(key_id(key.public_key().public_bytes_raw()), key.sign(pae(payload_type, payload)))


def signed_by(envelope: Envelope, signature: EnvelopeSignature, public: bytes) -> bool:
    """Whether a key made a signature over an envelope's payload and type."""
    # Every audit reads envelopes, to know the last signed run; this import takes a tenth of a second and verifies none.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature.sig, envelope.signed_bytes)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_envelope(data: bytes) -> Envelope:
    """An envelope from its file.

    Raises:
        VerificationError: too large, not strict JSON, not an envelope, or base64 that is not in canonical form.
    """
    if len(data) > MAX_BYTES:
        raise VerificationError(
            Refusal.ENVELOPE_SIZE, f"the envelope has more than {MAX_BYTES:,} bytes, which is too large to read"
        )
    try:
        value = strict_json.loads(data)
    except strict_json.StrictJsonError as error:
        raise VerificationError(Refusal.ENVELOPE_JSON, f"the envelope cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise _malformed("it is not an object")
    kind, payload, signatures = value.get("payloadType"), value.get("payload"), value.get("signatures")
    if not isinstance(kind, str) or not isinstance(payload, str) or not isinstance(signatures, list):
        raise _malformed("payloadType, payload or signatures is missing")
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise _malformed(f"it has {len(signatures)} signatures, not 1 to {MAX_SIGNATURES}")
    return Envelope(kind, _decode(payload), tuple(_signature(entry) for entry in signatures))


def _signature(entry: object) -> EnvelopeSignature:
    if not isinstance(entry, dict) or not isinstance(entry.get("sig"), str):
        raise _malformed("a signature has no sig")
    keyid = entry.get("keyid", "")
    if not isinstance(keyid, str):
        raise _malformed("a keyid is not a string")
    return EnvelopeSignature(keyid, _decode(entry["sig"]))


def _decode(text: str) -> bytes:
    """Bytes of standard or URL-safe base64 that is canonical: otherwise a signature would have many spellings."""
    for alphabet in (None, b"-_"):
        try:
            data = base64.b64decode(text, altchars=alphabet, validate=True)
        except ValueError:
            continue
        if base64.b64encode(data, altchars=alphabet).decode() == text:
            return data
    raise VerificationError(Refusal.ENVELOPE_BASE64, "the envelope has base64 that is not in canonical form")


def _malformed(problem: str) -> VerificationError:
    return VerificationError(Refusal.ENVELOPE_FORMAT, f"this is not a DSSE envelope: {problem}")
