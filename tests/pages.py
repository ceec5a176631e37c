"""The pages of the repository (README.md files) as tests read them: code blocks by page and heading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("schemas", "pipelines", "embeddings", "checks", "runners", "tests")
PAGES = (
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for name in FOLDERS for path in (ROOT / name).rglob("README.md")),
)
"""Every page as a path from the root."""


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        heading: the nearest heading above it, without its signs; empty if there is none.
        language: what follows the opening fence; empty if nothing does.
        text: its lines.
    """

    heading: str
    language: str
    text: str


def read(page: str) -> str:
    """The text of a page, named by its path from the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)


def blocks(page: str, heading: str | None = None, language: str | None = None) -> list[Block]:
    """The code blocks of a page in order, all of them or those under one heading or in one language."""
    return [
        block for block in parse(read(page)) if heading in (None, block.heading) and language in (None, block.language)
    ]


def block(page: str, heading: str, language: str) -> str:
    """The text of the one code block in a language under a heading.

    Raises:
        LookupError: there is none, or more than one.
    """
    actual = blocks(page, heading, language)
    if len(actual) != 1:
        raise LookupError(f"{page} has {len(actual)} blocks of {language!r} under {heading!r}")
    return actual[0].text


def parse(text: str) -> list[Block]:
    """The code blocks of a Markdown text."""
    result: list[Block] = []
    heading, language, lines = "", None, list[str]()
    for line in text.splitlines(keepends=True):
        fence = re.match(r"```(\w*)", line)
        if language is None and fence:
            language, lines = fence[1], []
        elif language is not None and fence:
            result.append(Block(heading, language, "".join(lines)))
            language = None
        elif language is not None:
            lines.append(line)
        elif title := re.match(r"#+ (.*)", line):
            heading = title[1].strip()
    assert language is None, "a code block has no end"
    return result
