import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.checks.signoff import dsse
from corpus_audit.schemas.errors import VerificationError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()


def envelope(payload=b'{"a":1}', kind=dsse.PAYLOAD_TYPE):
    return dsse.Envelope(kind, payload, (dsse.sign(kind, payload, KEY),))


def code(data):
    with pytest.raises(VerificationError) as refused:
        dsse.read_envelope(data)
    return refused.value.code


def test_the_encoding_is_the_protocols():
    """The example of protocol.md."""
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.binary(max_size=200), st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_an_envelope_comes_back_and_its_signature_holds(payload, kind):
    made = envelope(payload, kind)
    read = dsse.read_envelope(made.to_json())
    assert read == made and dsse.signed_by(read, read.signatures[0], PUBLIC)
    assert not dsse.signed_by(read, read.signatures[0], bytes(31) + b"\x01")
    other = dsse.Envelope(kind, payload + b" ", made.signatures)
    assert not dsse.signed_by(other, other.signatures[0], PUBLIC)


@given(st.binary(max_size=400))
def test_any_bytes_are_an_envelope_or_refused(data):
    try:
        dsse.read_envelope(data)
    except VerificationError as refused:
        assert refused.code.startswith("envelope_")


@given(st.data())
def test_a_changed_envelope_is_refused_or_says_the_same(data):
    """Bits that only change how the envelope is written, or a key id, leave payload and signatures as they are."""
    made = envelope()
    original = made.to_json()
    at, bit = data.draw(st.integers(0, len(original) - 1)), data.draw(st.integers(0, 7))
    flipped = original[:at] + bytes([original[at] ^ 1 << bit]) + original[at + 1 :]
    try:
        read = dsse.read_envelope(flipped)
    except VerificationError:
        return
    holds = [dsse.signed_by(read, signature, PUBLIC) for signature in read.signatures]
    if all(holds):
        assert (read.payload, read.payload_type) == (made.payload, made.payload_type)
        assert read.signatures[0].sig == made.signatures[0].sig


def test_url_safe_base64_is_read_too():
    payload = bytes(range(256))
    text = json.dumps(
        {
            "payloadType": "x",
            "payload": base64.urlsafe_b64encode(payload).decode(),
            "signatures": [{"sig": base64.urlsafe_b64encode(bytes(64)).decode()}],
        }
    )
    assert dsse.read_envelope(text.encode()).payload == payload


def test_a_signature_has_one_spelling_only():
    value = json.loads(envelope().to_json())
    sig = value["signatures"][0]["sig"]
    assert sig.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for bits in range(1, 16):
        value["signatures"][0]["sig"] = sig[:-3] + alphabet[alphabet.index(sig[-3]) ^ bits] + "=="
        assert base64.b64decode(value["signatures"][0]["sig"], validate=True) == base64.b64decode(sig)
        assert code(json.dumps(value).encode()) == "envelope_base64"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b" " * (dsse.MAX_BYTES + 1), "envelope_size"),
        (b"{", "envelope_json"),
        (b'{"payload":"","payload":"","payloadType":"x","signatures":[]}', "envelope_json"),
        (b'{"payload":NaN}', "envelope_json"),
        (b"\xff{}", "envelope_json"),
        (b"[" * 100_000, "envelope_json"),
        (b"[]", "envelope_format"),
        (b'{"payload":"","payloadType":"x","signatures":[]}', "envelope_format"),
        (b'{"payload":"","payloadType":"x","signatures":[{}]}', "envelope_format"),
        (b'{"payload":"","payloadType":"x","signatures":[{"sig":"","keyid":1}]}', "envelope_format"),
        (b'{"payload":1,"payloadType":"x","signatures":[{"sig":""}]}', "envelope_format"),
        (b'{"payload":"a b=","payloadType":"x","signatures":[{"sig":""}]}', "envelope_base64"),
        (b'{"payload":"YQ","payloadType":"x","signatures":[{"sig":""}]}', "envelope_base64"),
        (b'{"payload":"YR==","payloadType":"x","signatures":[{"sig":""}]}', "envelope_base64"),
        (b'{"payload":"+_==","payloadType":"x","signatures":[{"sig":""}]}', "envelope_base64"),
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(data, expected):
    assert code(data) == expected


def test_interop_ours_verifies_with_securesystemslib():
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import SSlibKey

    theirs = Theirs.from_dict(json.loads(envelope().to_json()))
    key = SSlibKey.from_crypto(KEY.public_key(), keyid=dsse.key_id(PUBLIC))
    assert set(theirs.verify([key], 1)) == {dsse.key_id(PUBLIC)}
    assert theirs.payload == b'{"a":1}'


def test_interop_theirs_verifies_here():
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import CryptoSigner

    theirs = Theirs(b'{"b":2}', dsse.PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(KEY))
    read = dsse.read_envelope(json.dumps(theirs.to_dict()).encode())
    assert read.payload == b'{"b":2}' and dsse.signed_by(read, read.signatures[0], PUBLIC)
