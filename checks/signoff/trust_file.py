"""Changes to `trust.yaml`: add a key, revoke a key, allow a policy. Comments in the file are kept."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.signoff import time_text
from corpus_audit.schemas.run.trust import Trust, load_trust, read_trust

_HEAD = """\
# Whose signatures count, and which policies may judge. Keep it with whoever verifies, under review.
version: 1
approvals: 1
people: []
keys: []
policies: []
"""


def add_key(
    path: Path,
    *,
    name: str,
    public: bytes,
    person: str | None,
    pipeline: str | None,
    email: str | None,
    roles: tuple[str, ...],
    valid_from: datetime,
    valid_to: datetime,
) -> Trust:
    """Add a key, and its person or the person's new roles; returns the file's new content.

    Raises:
        UsageError: the file cannot be read or written, or the result would be invalid: a name is in use.
    """
    from ruamel.yaml.comments import CommentedSeq

    holder = {"person": person} if person else {"pipeline": pipeline}

    def change(content: Any) -> None:
        if person:
            known = next((entry for entry in content["people"] if entry["id"] == person), None)
            if known is None:
                known = {"id": person}
                content["people"].append(known)
            if email:
                known["email"] = email
            present = known.setdefault("roles", CommentedSeq())
            if not present:
                present.fa.set_flow_style()
            # In place, because ruamel.yaml attaches the comments that follow to the list object.
            present.extend(role for role in dict.fromkeys(roles) if role not in present)
        times = {"valid_from": time_text(valid_from), "valid_to": time_text(valid_to)}
        content["keys"].append({"id": name, "public": public.hex(), **holder, **times})

    return _update(path, change)


def revoke_key(path: Path, name: str, when: datetime, why: str) -> Trust:
    """Mark a key as revoked.

    Raises:
        UsageError: there is no such key, it is already revoked as compromised, or the file cannot be written.
    """

    def change(content: Any) -> None:
        key = next((entry for entry in content["keys"] if entry["id"] == name), None)
        if key is None:
            raise UsageError(f"{path} has no key {name!r}; it has {', '.join(e['id'] for e in content['keys'])}")
        if key.get("revoked", {}).get("why") == "compromised":
            raise UsageError(f"{name} is revoked as compromised already, which cannot be undone")
        key["revoked"] = {"when": time_text(when), "why": why}

    load_trust(path)
    return _update(path, change)


def allow_policy(path: Path, sha256: str, name: str) -> Trust:
    """Add a policy to the allowed ones; nothing changes if it is among them."""

    def change(content: Any) -> None:
        if all(entry["sha256"] != sha256 for entry in content["policies"]):
            content["policies"].append({"sha256": sha256, "name": name})

    return _update(path, change)


def _update(path: Path, change: Callable[[Any], None]) -> Trust:
    """Apply a change to a trust file, new or existing, and write it only if the result is valid."""
    from ruamel.yaml import YAML

    if path.exists():
        load_trust(path)
    yaml = YAML(typ="rt")
    yaml.width = 200
    content = yaml.load(path.read_text(encoding="utf-8") if path.exists() else _HEAD)
    for key in ("people", "keys", "policies"):
        if not content.get(key):
            content[key] = []
    change(content)
    text = io.StringIO()
    yaml.dump(content, text)
    data = text.getvalue().encode()
    trust = read_trust(data, str(path))
    try:
        atomic_write(path, data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    return trust
