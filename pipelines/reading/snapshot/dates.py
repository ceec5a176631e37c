"""Dates in the paths of a snapshot: ``data/{latest}/*.parquet`` and ``data/{date:%Y/%m/%d}/*.jsonl``.

``{date}`` is the day that is asked for, today in UTC by default. ``{latest}`` is the newest date that file or folder
names hold in its place, at most the day that was asked for, or else tomorrow in UTC: east of Greenwich today's folder
is there before UTC's day begins, and a name with a wrong year must not stay the latest for ever. A snapshot has one
date: if one of its paths lacks the newest date that another has, it is refused. Other braces stand for themselves.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from corpus_audit.pipelines.reading.files.filesystems import match_glob
from corpus_audit.pipelines.reading.snapshot.path_expansion import absolute_path
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.spec.audit_file import LoadedAudit

_PLACE = re.compile(r"\{(date|latest)(?::([^{}]*))?\}")
_CODES = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_ISO = "%Y-%m-%d"
_USUAL = (
    "%Y-%m-%d", "%Y%m%d", "%Y-%m", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ",
    "%Y%m%dT%H", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ", "%Y-%m-%d-%H", "%Y-%m-%d_%H",
)  # fmt: skip
_GLOB = re.compile(r"(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?\]?[^\]/]*\])|(.)", re.DOTALL)


def dated(loaded: LoadedAudit, day: date | None = None) -> LoadedAudit:
    """The audit with the dates in its snapshot's paths and manifest filled in.

    Args:
        loaded: the audit as written.
        day: what ``{date}`` is and what ``{latest}`` does not go beyond; see the module for the default.

    Raises:
        UsageError: a format is not understood, two names stand for one date, or a path lacks the newest date.
        NoVerdictError: nothing in the place of ``{latest}`` is a date.
    """
    snapshot = loaded.spec.snapshot
    texts = [*snapshot.paths, *([] if snapshot.manifest is None else [snapshot.manifest])]
    if not any(_PLACE.search(text) for text in texts):
        return loaded
    today = datetime.now(UTC).date()
    texts = [_with_day(text, day or today) for text in texts]
    limit = day or today + timedelta(days=1)
    there = {text: _dates(text, loaded.base, limit) for text in texts if _PLACE.search(text)}
    found = {moment for text in texts[: len(snapshot.paths)] for moment in there.get(text, ())}
    if there and not found:
        raise NoVerdictError(f"{next(iter(there))}: no name in the place of {{latest}} is a date up to {limit}")
    filled = [_filled(text, there[text], max(found)) if text in there else text for text in texts]
    changed = {"paths": tuple(filled[: len(snapshot.paths)])}
    manifest = {} if snapshot.manifest is None else {"manifest": filled[-1]}
    return replace(
        loaded, spec=loaded.spec.model_copy(update={"snapshot": snapshot.model_copy(update=changed | manifest)})
    )


def _with_day(text: str, day: date) -> str:
    """A path with ``{date}`` filled in."""

    def fill(place: re.Match[str]) -> str:
        pattern = place[2] or _ISO
        _regex(pattern, text)
        return place[0] if place[1] == "latest" else day.strftime(pattern)

    return _PLACE.sub(fill, text)


def _regex(pattern: str, text: str) -> str:
    """The regular expression of a date format."""
    parts = re.split(r"%(.)", pattern)
    if any(code not in _CODES for code in parts[1::2]) or pattern.count("%") != len(parts) // 2:
        known = ", ".join(f"%{code}" for code in _CODES)
        raise UsageError(
            f"{text}: a date's format is made of {known} and other characters, such as {{latest:%Y/%m/%d}}"
        )
    return "".join(rf"\d{{{_CODES[part]}}}" if at % 2 else re.escape(part) for at, part in enumerate(parts))


def _dates(text: str, base: Path, limit: date) -> dict[datetime, tuple[str, ...]]:
    """The dates in the place of a path's first ``{latest}``: moment -> what the names have there."""
    place = _PLACE.search(text)
    assert place is not None
    formats = (place[2],) if place[2] else _USUAL
    end = text.find("/", place.end())
    whole = absolute_path(text[: end if end >= 0 else None], base)
    # The format's own slashes are in the absolute path too: the place is cut out as it stands.
    before, after = whole.split(place[0], 1)
    after = _PLACE.sub("*", after)
    regex = re.compile(f"{_globbed(before)}({'|'.join(_regex(each, text) for each in formats)}){_globbed(after)}")
    stars = "/".join("*" for _ in formats[0].split("/"))
    found: dict[datetime, set[str]] = {}
    for name in match_glob(f"{before}{stars}{after}"):
        match = regex.fullmatch(name)
        moment = _moment(match[1], formats) if match else None
        if match and moment is not None and moment.date() <= limit:
            found.setdefault(moment, set()).add(match[1])
    return {moment: tuple(sorted(names)) for moment, names in found.items()}


def _moment(text: str, formats: tuple[str, ...]) -> datetime | None:
    for each in formats:
        try:
            return datetime.strptime(text, each)
        except ValueError:
            continue
    return None


def _filled(text: str, there: dict[datetime, tuple[str, ...]], newest: datetime) -> str:
    names = there.get(newest, ())
    if not names:
        raise UsageError(f"{text}: there is no {newest.isoformat(' ')}, which another path of the snapshot has")
    if len(names) > 1:
        raise UsageError(f"{text}: {' and '.join(names)} are the same date; give the format, as in {{latest:%Y%m%d}}")
    return _PLACE.sub(names[0], text)


def _globbed(pattern: str) -> str:
    """The regular expression of a part of a glob."""
    parts = []
    for folders, anything, star, mark, among, other in _GLOB.findall(pattern):
        if among:
            parts.append(among.replace("[!", "[^", 1).replace("\\", r"\\"))
        else:
            parts.append(
                "(?:.*/)?"
                if folders
                else ".*"
                if anything
                else "[^/]*"
                if star
                else "[^/]"
                if mark
                else re.escape(other)
            )
    return "".join(parts)
