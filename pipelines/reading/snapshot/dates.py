"""Dates in the paths of a snapshot: ``data/{latest}/*.parquet`` and ``data/{date:%Y/%m/%d}/*.jsonl``.

``{date}`` is the requested day, today in UTC by default. ``{latest}`` is the newest date among the file or folder names
that match it. It is no later than the requested day or, by default, than tomorrow in UTC: east of Greenwich today's
folder exists before the day begins in UTC, and a name with a wrong year must not stay the latest forever. A snapshot
has one date: a path that lacks the newest date of another path is an error. Other braces are literal.
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

_PLACEHOLDER = re.compile(r"\{(date|latest)(?::([^{}]*))?\}")
_CODES = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_ISO = "%Y-%m-%d"
_USUAL_FORMATS = (
    "%Y-%m-%d", "%Y%m%d", "%Y-%m", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ",
    "%Y%m%dT%H", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ", "%Y-%m-%d-%H", "%Y-%m-%d_%H",
)  # fmt: skip
_GLOB = re.compile(r"(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?\]?[^\]/]*\])|(.)", re.DOTALL)


def fill_dates(loaded: LoadedAudit, day: date | None = None) -> LoadedAudit:
    """The audit with every ``{date}`` and ``{latest}`` in its snapshot's paths and manifest replaced.

    Args:
        loaded: the audit as written.
        day: the value of ``{date}`` and the upper bound of ``{latest}``; the module docstring states the defaults.

    Raises:
        UsageError: a date format is invalid, two names have the same date, or a path lacks the newest date.
        NoVerdictError: no name that matches ``{latest}`` is a date.
    """
    snapshot = loaded.spec.snapshot
    texts = [*snapshot.paths, *([] if snapshot.manifest is None else [snapshot.manifest])]
    if not any(_PLACEHOLDER.search(text) for text in texts):
        return loaded
    today = datetime.now(UTC).date()
    texts = [_with_day(text, day or today) for text in texts]
    limit = day or today + timedelta(days=1)
    dates_of = {text: _dates(text, loaded.base, limit) for text in texts if _PLACEHOLDER.search(text)}
    moments = {moment for text in texts[: len(snapshot.paths)] for moment in dates_of.get(text, ())}
    if dates_of and not moments:
        raise NoVerdictError(f"{next(iter(dates_of))}: {{latest}} matches no date up to {limit}")
    filled = [_filled(text, dates_of[text], max(moments)) if text in dates_of else text for text in texts]
    changed = {"paths": tuple(filled[: len(snapshot.paths)])}
    manifest = {} if snapshot.manifest is None else {"manifest": filled[-1]}
    return replace(
        loaded, spec=loaded.spec.model_copy(update={"snapshot": snapshot.model_copy(update=changed | manifest)})
    )


def _with_day(text: str, day: date) -> str:
    """A path with ``{date}`` replaced; ``{latest}`` is checked and stays."""

    def fill(match: re.Match[str]) -> str:
        pattern = match[2] or _ISO
        _regex(pattern, text)
        return match[0] if match[1] == "latest" else day.strftime(pattern)

    return _PLACEHOLDER.sub(fill, text)


def _regex(pattern: str, text: str) -> str:
    """The regular expression of a date format."""
    parts = re.split(r"%(.)", pattern)
    if any(code not in _CODES for code in parts[1::2]) or pattern.count("%") != len(parts) // 2:
        known = ", ".join(f"%{code}" for code in _CODES)
        raise UsageError(
            f"{text}: a date format may contain {known} and literal characters, such as {{latest:%Y/%m/%d}}"
        )
    return "".join(rf"\d{{{_CODES[part]}}}" if at % 2 else re.escape(part) for at, part in enumerate(parts))


def _dates(text: str, base: Path, limit: date) -> dict[datetime, tuple[str, ...]]:
    """The dates that a path's first ``{latest}`` matches: moment -> the matched texts, sorted."""
    placeholder = _PLACEHOLDER.search(text)
    assert placeholder is not None
    formats = (placeholder[2],) if placeholder[2] else _USUAL_FORMATS
    end = text.find("/", placeholder.end())
    absolute = absolute_path(text[: end if end >= 0 else None], base)
    # Split at the placeholder's text, not at slashes: a format such as %Y/%m/%d contains slashes itself.
    before, after = absolute.split(placeholder[0], 1)
    after = _PLACEHOLDER.sub("*", after)
    regex = re.compile(f"{_globbed(before)}({'|'.join(_regex(each, text) for each in formats)}){_globbed(after)}")
    stars = "/".join("*" for _ in formats[0].split("/"))
    names_of: dict[datetime, set[str]] = {}
    for name in match_glob(f"{before}{stars}{after}"):
        match = regex.fullmatch(name)
        moment = _moment(match[1], formats) if match else None
        if match and moment is not None and moment.date() <= limit:
            names_of.setdefault(moment, set()).add(match[1])
    return {moment: tuple(sorted(names)) for moment, names in names_of.items()}


def _moment(text: str, formats: tuple[str, ...]) -> datetime | None:
    for each in formats:
        try:
            return datetime.strptime(text, each)
        except ValueError:
            continue
    return None


def _filled(text: str, dates: dict[datetime, tuple[str, ...]], newest: datetime) -> str:
    names = dates.get(newest, ())
    if not names:
        raise UsageError(f"{text}: it has no {newest.isoformat(' ')}, but another path of the snapshot has")
    if len(names) > 1:
        raise UsageError(f"{text}: {' and '.join(names)} are the same date; name the format, as in {{latest:%Y%m%d}}")
    return _PLACEHOLDER.sub(names[0], text)


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
