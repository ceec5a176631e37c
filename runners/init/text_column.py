"""Select the column that holds the text, and say what speaks against it; a person decides where it is in doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corpus_audit.checks.text.numbers import plural
from corpus_audit.runners.init.choices import ID_NAMES, TEXT_NAMES, last_part, named_like
from corpus_audit.runners.init.samples import MESSAGES, TEXT, Column, SnapshotSample
from corpus_audit.schemas.errors import UsageError

MOSTLY = 0.9
"""A column with at least this share of texts is a text column; its other values are exceptions."""

FILLED = 0.5
"""If fewer rows than this share have a value, the column is in doubt."""

_RIVAL = 0.5  # a column with at least this share of the selected one's mean length is as likely
_LONGER = 4.0  # a column called text is doubted where another one's texts are this many times as long
_LISTED = 40
_EXAMPLE = 40


@dataclass(frozen=True, slots=True)
class TextChoice:
    """The text column that was selected, and how certain that is.

    Attributes:
        column: the column; None where none holds text.
        why: the reason for it.
        doubts: reasons against it, a clause each; if there are any, a person has to decide.
        candidates: names of the columns that could be the text, most likely first.
    """

    column: Column | None
    why: str
    doubts: tuple[str, ...]
    candidates: tuple[str, ...]


def choose_text(sample: SnapshotSample) -> TextChoice:
    """Select the text column of a sample: one with a usual name, else the one with the longest texts."""
    texts = sorted(filter(_can_be_text, sample.columns.values()), key=lambda column: -column.mean_length)
    conversations = [column for column in sample.columns.values() if column.share_of(MESSAGES) >= FILLED]
    most = max((len(column.shards) for column in texts), default=0)
    common = [column for column in texts if len(column.shards) == most]
    named = named_like(common, TEXT_NAMES)
    order = tuple(dict.fromkeys(column.name for column in (*named, *common, *texts)))
    if not common:
        return TextChoice(None, "", tuple(map(_conversation, conversations)), order)
    column = named[0] if named else common[0]
    why = f"it is called {last_part(column)}" if named else "its texts are the longest"
    return TextChoice(column, why, tuple(_doubts(sample, column, texts, conversations, bool(named))), order)


def text_by_name(sample: SnapshotSample, name: str) -> TextChoice:
    """The column of this name, as a choice without doubts.

    Raises:
        UsageError: no sampled row has the column, or none of its values is a text.
    """
    column = sample.columns.get(name)
    if column is None:
        raise UsageError(f"no sampled row has the column {name!r}; the columns are {', '.join(sample.columns)}")
    if not column.texts:
        raise UsageError(f"column {name!r} does not hold text but {column.kinds_text}")
    return TextChoice(column, "it was given with --text", (), (name,))


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


def column_table(sample: SnapshotSample) -> list[str]:
    """A table of the sampled columns: kind of values, share of rows with a value, mean length, example."""
    rows = [("column", "holds", "filled", "mean length", "example")]
    for column in list(sample.columns.values())[:_LISTED]:
        length = f"{column.mean_length:,.0f}" if column.texts else ""
        filled = f"{len(column.values) / sample.rows:.0%}" if sample.rows else ""
        rows.append((_one_line(column.name, 30), column.kinds_text[:40], filled, length, _example(column)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    more = len(sample.columns) - _LISTED
    return [*lines, f"and {plural(more, 'more column')}"] if more > 0 else lines


def no_text_message(sample: SnapshotSample, choice: TextChoice) -> str:
    """The message that no column can be audited, with what the columns hold."""
    doubts = "".join(f"; {doubt}" for doubt in choice.doubts)
    columns = list(sample.columns.values())[:_LISTED]
    described = ", ".join(f"{column.name} ({column.kinds_text})" for column in columns) or "none"
    return f"no column holds text (columns: {described}){doubts}"


def _doubts(
    sample: SnapshotSample, column: Column, texts: Sequence[Column], conversations: Sequence[Column], named: bool
) -> Iterator[str]:
    without = [shard for shard in sample.shards if shard not in column.shards]
    elsewhere = [other for other in texts if other is not column and other.shards & set(without)]
    if elsewhere:
        have = "has" if len(without) == 1 else "have"
        others = ", ".join(f"{other.name} in {_one_line(min(other.shards & set(without)))}" for other in elsewhere[:3])
        yield (
            f"{len(without)} of {plural(len(sample.shards), 'file')} {have} no column {column.name}, "
            f"but {others}: rows of a file without the text column become dead letters, so audit such files separately "
            "or rename the column"
        )
    if not named:
        rivals = [other for other in texts if other is not column and other.mean_length >= _RIVAL * column.mean_length]
        if rivals:
            yield f"{', '.join(rival.name for rival in rivals[:3])} could be the text as well"
        if column.spaced < FILLED:
            yield f"the values of {column.name} are single words, and no column has a usual name for text"
    else:
        longer = [other for other in texts if other.mean_length >= _LONGER * max(column.mean_length, 20)]
        if longer:
            yield (
                f"texts of {longer[0].name} have {longer[0].mean_length:,.0f} characters on average, those of "
                f"{column.name} only {column.mean_length:,.0f}"
            )
    filled = len(column.values) / sample.rows
    if filled < FILLED and not elsewhere:
        yield f"only {filled:.0%} of the rows have a value for {column.name}"
    if column.share_of(TEXT) < MOSTLY:
        yield f"{column.name} holds {column.kinds_text}"
    for other in conversations:
        if not named or len(other.values) > len(column.values):
            yield _conversation(other)


def _conversation(column: Column) -> str:
    return (
        f"{column.name} holds conversations (lists of messages with a role and a content), which cannot be read as "
        "text yet: render each with the model's chat template into a text column, and audit that column"
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
