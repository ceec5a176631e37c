"""Escaping of a run's text for the format that it is written into.

Names of domains, shards and benchmarks, reasons and whatever a policy says may hold markup, links, mentions, terminal
escapes or control characters. Every function starts from `safe_text`, which leaves nothing invisible, and then escapes
what its format would interpret.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.checks.text.sentences import Name, Sentence

LIMIT = 2000
"""Most characters of one text."""

_ACTIVE = re.compile(r"[\\`*_{}\[\]<>~$&^]")
_SCHEME = re.compile(r"^(?:s3|gs|az|abfs|abfss|hdfs|hf|file)://")


def plain(text: str) -> str:
    """The text where nothing is interpreted: in an XML text or attribute, or a string of a JSON file."""
    return safe_text(text, LIMIT)


def prose(text: str) -> str:
    """The text as Markdown prose on one line, without markup, links, mentions or references; also for a table cell.

    CommonMark escapes with backslashes; GitHub's bare links, mentions and references to issues are broken up as well,
    for it looks for them after those escapes are gone.
    """
    shown = _ACTIVE.sub(r"\\\g<0>", plain(text)).replace("|", "&#124;")
    shown = re.sub(r"(?i)\bwww\.", lambda match: f"{match[0][:-1]}\\.", shown).replace("://", "\\://")
    shown = re.sub(r"@|#(?=\d)", r"`\g<0>`", shown)
    shown = re.sub(r"(?<!`)#", r"\\#", shown)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", re.sub(r"^[-+=]", r"\\\g<0>", shown))


def code(text: str) -> str:
    """The text as a Markdown code span, also for a table cell; empty for an empty text."""
    shown = plain(text)
    if not shown:
        return ""
    if "`" in shown or "|" in shown or shown != shown.strip():
        return f"<code>{''.join(c if c.isalnum() and c.isascii() else f'&#{ord(c)};' for c in shown)}</code>"
    return f"`{shown}`"


def sentence(parts: Sentence) -> str:
    """A sentence of the report as Markdown prose; names stand in code spans."""
    return "".join(code(part.text) if isinstance(part, Name) else prose(part) for part in parts)


def sentence_text(parts: Sentence) -> str:
    """A sentence of the report as plain text."""
    return "".join(plain(part.text if isinstance(part, Name) else part) for part in parts)


def message(text: str) -> str:
    """The text as a SARIF message without links and placeholders (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    return re.sub(r"[\\\[\]]", r"\\\g<0>", plain(text)).replace("{", "{{").replace("}", "}}")


def reference(name: str) -> str:
    """A shard's name or a path as a URI reference: everything but letters, digits and ``-._~/`` percent-encoded.

    Only schemes of file systems are kept, so a name that looks like another URI is a relative one.
    """
    scheme = _SCHEME.match(name)
    head = scheme[0] if scheme else ""
    return head + quote(name[len(head) :], safe="/", errors="surrogatepass")


def json_text(value: Any) -> str:
    """A JSON file of ASCII characters alone, the same for the same value.

    Raises:
        ValueError: a figure is not finite.
    """
    return json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
