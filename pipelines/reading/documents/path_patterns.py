"""Extracts values from a shard's path, such as the language in ``data/{language}/*.parquet``."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import DocumentSpec, FacetSource, PathSource

CLUSTER = "(cluster)"
"""Key of the cluster among path values; not a valid facet name, so it cannot clash."""

_HIVE = re.compile(r"=\{(\w+)\}(?=/)")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

_TOKEN = re.compile(r"\{(\w+)\}|(\*\*/)|(\*\*)|(\*)|(\?)|([^{*?]+|\{)")


def path_values(shard: Shard, document: DocumentSpec) -> dict[str, str]:
    """The values that a shard's path contains: facet name (`PRIMARY`, `CLUSTER` or the facet's own) -> value.

    A pattern is matched against the whole of the shard's name or path, or against their last components. ``{name}``
    takes the shortest run of characters other than ``/``, ``*`` and ``?`` stay within a component, ``**`` crosses them.
    If a pattern has several names, the one with the name of the facet counts.

    The value of a hive partition, ``lang={language}/``, is decoded as pyarrow, Spark and DuckDB write it: ``C%2B%2B``
    is ``C++``, and ``__HIVE_DEFAULT_PARTITION__`` is null, here the empty text.

    Of a folder of images, which is one shard, only the folders of the pattern are matched: ``photos/{domain}/*.png``.

    Raises:
        UsageError: a pattern has no such name, or takes it from the names of images.
        ShardError: the shard's path does not match a pattern.
    """
    return {
        name: _value(shard, name, source.path)
        for name, source in sources(document).items()
        if isinstance(source, PathSource)
    }


def sources(document: DocumentSpec) -> dict[str, FacetSource]:
    """The source of every facet, the primary one first; that of the cluster, if set, under the key `CLUSTER`."""
    by_name: dict[str, FacetSource] = {PRIMARY: document.domain, **document.facets}
    if document.cluster is not None:
        by_name[CLUSTER] = document.cluster
    return by_name


def _value(shard: Shard, facet: str, pattern: str) -> str:
    if shard.format is ShardFormat.IMAGE_FOLDER:
        pattern = _of_folders(pattern)
    regex = _compile(pattern)
    if len(regex.groupindex) == 1:
        (group,) = regex.groupindex
    elif facet.strip("()") in regex.groupindex:
        group = facet.strip("()")
    else:
        raise UsageError(
            f"path pattern {pattern!r}: it needs one {{name}}, or one that is called {{{facet.strip('()')}}}"
        )
    for path in (shard.name, shard.path):
        match = regex.fullmatch(path)
        if match is not None:
            return _decoded(shard, match[group]) if group in _hive_names(pattern) else match[group]
    raise ShardError(shard, f"its path does not match the pattern {pattern!r} that gives {facet!r}")


def _of_folders(pattern: str) -> str:
    """The part of a pattern that matches folders, with the slash at its end.

    Raises:
        UsageError: the last component, which matches the names of files, holds a name.
    """
    folders, _, last = pattern.rpartition("/")
    if last == "**":
        return f"{pattern}/"
    if re.search(r"\{\w+\}", last):
        raise UsageError(
            f"path pattern {pattern!r}: the images of a folder are one shard, so that values come from the names of "
            "folders; use a column of the folder's metadata for values of single images"
        )
    return f"{folders}/"


@lru_cache(maxsize=256)
def _hive_names(pattern: str) -> frozenset[str]:
    """The names in a pattern that stand for the whole value of a hive partition."""
    return frozenset(name for name in _HIVE.findall(f"/{pattern}/"))


def _decoded(shard: Shard, value: str) -> str:
    if value == _HIVE_NULL:
        return ""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise ShardError(shard, f"the partition value {value!r} of its path is not UTF-8 once decoded") from None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    parts = [r"(?:.*/)?"]
    for name, any_folders, anything, star, mark, literal in _TOKEN.findall(pattern.lstrip("/")):
        if name:
            if f"(?P<{name}>" in "".join(parts):
                raise UsageError(f"path pattern {pattern!r}: {{{name}}} occurs twice")
            if not name.isidentifier():
                raise UsageError(f"path pattern {pattern!r}: {{{name}}} is not a name")
            parts.append(f"(?P<{name}>[^/]+?)")
        else:
            parts.append(
                "(?:.*/)?"
                if any_folders
                else ".*"
                if anything
                else "[^/]*"
                if star
                else "[^/]"
                if mark
                else re.escape(literal)
            )
    return re.compile("".join(parts), re.DOTALL)
