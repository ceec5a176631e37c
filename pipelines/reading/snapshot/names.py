"""Checks that shard names are safe and unambiguous on every file system, in Unicode and in a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def name_problem(names: Iterable[str]) -> str | None:
    """The problem with the first shard name that is unsafe or ambiguous; None if all names are valid.

    Refused are control characters, line separators, backslashes, text that is not UTF-8 or not in normal form C,
    absolute names, names that leave the folder, empty and ``.`` components, and names that differ in case only. A slash
    at the end, as folders of images have it, is allowed.
    """
    by_folded_name: dict[str, str] = {}
    for name in names:
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name) or "\\" in name:
            return (
                f"shard {name!a}: the name holds a control character, a backslash or bytes that are not UTF-8; "
                "rename the file"
            )
        parts = name.removesuffix("/").split("/")
        if ".." in parts:
            return f"shard {name!r}: '..' is not allowed in a name"
        if not all(parts) or "." in parts:
            return f"shard {name!r}: the name is absolute, empty or has an empty part"
        if not unicodedata.is_normalized("NFC", name):
            return f"shard {name!r} ({name!a}): the name is not in Unicode normal form C; rename it"
        other = by_folded_name.setdefault(name.rstrip("/").casefold(), name)
        if other != name:
            return f"shards {other!r} and {name!r} differ in case only; rename one of them"
    return None


def printable(name: str) -> str:
    """A file name with every character that is not printable, or not UTF-8, escaped; safe to display."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
