"""Private keys: Ed25519 in a passphrase-encrypted PEM file (PKCS #8, RFC 5958) that only its owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.storage.atomic import fsync_folder
from corpus_audit.schemas.errors import UsageError

MIN_PASSPHRASE = 12
"""Characters of a passphrase: the PEM's key derivation is cheap, so length is what protects a stolen file."""

_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def new_key(path: Path, passphrase: str) -> bytes:
    """Make a key and write it to a new file with mode 0600; returns the 32 bytes of its public half.

    Raises:
        UsageError: the passphrase is too short, or the file exists or cannot be written.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise UsageError(
            f"the passphrase has {plural(len(passphrase), 'character')}; at least {MIN_PASSPHRASE} are needed"
        )
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        fsync_folder(path.parent)
    except FileExistsError:
        raise UsageError(f"{path} exists; a key is never overwritten") from None
    except OSError as error:
        raise UsageError(f"cannot write the key {path}: {error.strerror}") from None
    return key.public_key().public_bytes_raw()


def load_key(path: Path, passphrase: str) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        UsageError: it cannot be read, others may read it, it is not encrypted, not Ed25519, or the passphrase is wrong.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(64 * 1024)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(
            f"{path} has mode {stat.S_IMODE(mode):04o}: others can read or change it; run 'chmod 600 {path}', and make "
            "a new key if anybody may have read it"
        )
    if not data.startswith(_ENCRYPTED):
        raise UsageError(f"{path} is not an encrypted PEM key; 'corpus-audit keys new' makes one")
    try:
        key = load_pem_private_key(data, passphrase.encode())
    except ValueError:
        raise UsageError(f"{path} cannot be decrypted: the passphrase is wrong, or the file is damaged") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key")
    return key
