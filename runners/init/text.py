"""Which column is the text: chosen by evidence that is shown, and a question where the evidence does not decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corpus_audit.runners.init.choices import ID_NAMES, TEXT_NAMES, last_part, named_like
from corpus_audit.runners.init.samples import MESSAGES, TEXT, Column, Look
from corpus_audit.schemas.errors import UsageError

MOSTLY = 0.9
"""Share of a column's values that are texts, from which on it is a column of texts with odd values in it."""

FILLED = 0.5
"""Share of rows with a value below which a choice is doubtful."""

_RIVAL = 0.5  # a text of at least this share of the chosen one's mean length is as likely
_LONGER = 4.0  # a column called text is doubted where another one's texts are this many times as long
_LISTED = 40
_EXAMPLE = 40


@dataclass(frozen=True, slots=True)
class TextChoice:
    """The column to audit.

    Attributes:
        column: the column; None where none holds text.
        why: what speaks for it.
        doubts: what speaks against it, a sentence each; a person has to decide where there are any.
        candidates: names of the columns that could be the text, the likeliest first.
    """

    column: Column | None
    why: str
    doubts: tuple[str, ...]
    candidates: tuple[str, ...]


def choose_text(look: Look) -> TextChoice:
    """The column that the evidence of a look speaks for, and what speaks against it."""
    texts = sorted(filter(_can_be_text, look.columns.values()), key=lambda one: -one.mean_length)
    conversations = [one for one in look.columns.values() if one.share_of(MESSAGES) >= FILLED]
    most = max((len(one.shards) for one in texts), default=0)
    wide = [one for one in texts if len(one.shards) == most]
    named = named_like(wide, TEXT_NAMES)
    order = tuple(dict.fromkeys(one.name for one in (*named, *wide, *texts)))
    if not wide:
        return TextChoice(None, "", tuple(_conversation(one) for one in conversations), order)
    column = named[0] if named else wide[0]
    why = f"it is called {last_part(column)}" if named else "its texts are the longest"
    return TextChoice(column, why, tuple(_doubts(look, column, texts, conversations, bool(named))), order)


def given_text(look: Look, name: str) -> TextChoice:
    """The column that a person named.

    Raises:
        UsageError: no row that was looked at has it, or no value of it is a text.
    """
    column = look.columns.get(name)
    if column is None:
        raise UsageError(f"no row that was looked at has the column {name!r}; there are {', '.join(look.columns)}")
    if not column.texts:
        raise UsageError(f"column {name!r} holds no text but {column.kinds_text}")
    return TextChoice(column, "it was named", (), (name,))


def id_like(column: Column) -> bool:
    """Whether a column's texts are names or addresses and not prose: one word each, all different, or URLs."""
    texts = column.texts
    if not texts:
        return False
    words = sum(not re.search(r"\s", text) for text in texts)
    if words < MOSTLY * len(texts):
        return False
    if sum(bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S", text)) for text in texts) >= MOSTLY * len(texts):
        return True
    plain = sum(text.isascii() for text in texts) >= MOSTLY * len(texts)  # prose in other scripts may have no space
    distinct = len(set(texts)) == len(texts)
    return plain and distinct and (last_part(column) in ID_NAMES or (len(texts) > 1 and _named_id(column)))


def evidence(look: Look) -> list[str]:
    """A table of the columns that were seen: what they hold, in how many rows, how long, and an example."""
    rows = [("column", "holds", "filled", "mean length", "example")]
    for column in list(look.columns.values())[:_LISTED]:
        length = f"{column.mean_length:,.0f}" if column.texts else ""
        filled = f"{len(column.values) / look.rows:.0%}" if look.rows else ""
        rows.append((_one_line(column.name, 30), column.kinds_text[:40], filled, length, _example(column)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    more = len(look.columns) - _LISTED
    return [*lines, f"and {more} columns more"] if more > 0 else lines


def no_text_message(look: Look, choice: TextChoice) -> str:
    """Why nothing can be audited."""
    doubts = "".join(f"; {doubt}" for doubt in choice.doubts)
    seen = ", ".join(f"{one.name} ({one.kinds_text})" for one in list(look.columns.values())[:_LISTED]) or "none"
    return f"no column holds text (columns: {seen}){doubts}"


def _doubts(
    look: Look, column: Column, texts: Sequence[Column], conversations: Sequence[Column], named: bool
) -> Iterator[str]:
    without = [shard for shard in look.shards if shard not in column.shards]
    elsewhere = [one for one in texts if one is not column and one.shards & set(without)]
    if elsewhere:
        others = ", ".join(f"{one.name} in {_one_line(min(one.shards & set(without)))}" for one in elsewhere[:3])
        yield (
            f"{len(without)} of {len(look.shards)} files have no column {column.name}, but {others}: the rows of a "
            "file without the column that is audited are dead letters, so audit such files apart or rename the column"
        )
    if not named:
        rivals = [one for one in texts if one is not column and one.mean_length >= _RIVAL * column.mean_length]
        if rivals:
            yield f"{', '.join(one.name for one in rivals[:3])} could be the text as well"
        if column.spaced < FILLED:
            yield f"the values of {column.name} are single words, and no column is called like a text"
    else:
        longer = [one for one in texts if one.mean_length >= _LONGER * max(column.mean_length, 20)]
        if longer:
            yield (
                f"the texts of {longer[0].name} are {longer[0].mean_length:,.0f} characters long on average, those of "
                f"{column.name} {column.mean_length:,.0f}"
            )
    filled = len(column.values) / look.rows
    if filled < FILLED and not elsewhere:
        yield f"only {filled:.0%} of the rows have a {column.name}"
    if column.share_of(TEXT) < MOSTLY:
        yield f"{column.name} holds {column.kinds_text}"
    for one in conversations:
        if not named or len(one.values) > len(column.values):
            yield _conversation(one)


def _conversation(column: Column) -> str:
    return (
        f"{column.name} holds conversations (lists of messages with a role and a content), which are not read as texts "
        "yet: write each one as one text, as the model's chat template does, into a column of its own, and audit that"
    )


def _can_be_text(column: Column) -> bool:
    return column.share_of(TEXT) >= FILLED and column.mean_length > 0 and not id_like(column)


def _named_id(column: Column) -> bool:
    return bool(
        re.search(r"(^|_)(id|uuid|guid|sha\d*|md5|hash|digest|key|path|file|filename|url|uri)$", last_part(column))
    )


def _example(column: Column) -> str:
    return _one_line(next((repr(text) for text in column.texts), ""), _EXAMPLE)


def _one_line(text: str, most: int = 120) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"
