"""Select the columns for id, URL and domain from a sample, by their names and by what their values are like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from corpus_audit.checks.text.numbers import plural
from corpus_audit.runners.init.samples import Column, SnapshotSample
from corpus_audit.schemas.run.snapshot import Shard
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

TEXT_NAMES = (
    "text", "content", "body", "document", "raw_content", "raw_text", "page_content", "full_text", "plain_text",
    "contents", "article", "passage", "code", "markdown",
)  # fmt: skip
ID_NAMES = ("id", "doc_id", "document_id", "docid", "uuid", "guid", "_id", "record_id", "warc_record_id", "blob_id")
DOMAIN_NAMES = (
    "domain", "source", "subset", "pile_set_name", "set_name", "dataset", "category", "corpus", "collection", "origin",
    "topic", "genre", "register", "type", "language", "lang",
)  # fmt: skip
LANGUAGE_NAMES = ("language", "lang", "language_code", "programming_language")

_MAX_VALUES = 1_000  # of a category: with more, a table of domains says little
_MAX_VALUE_LENGTH = 100  # longer values are text, however often they repeat
_REPEATS = 4  # a category's values occur at least this often each, on average, among the sampled rows


@dataclass(frozen=True, slots=True)
class Choice:
    """The value of ``domain`` in the spec, and the reason for it, which a comment gives.

    Attributes:
        yaml: the value as YAML.
        why: the reason, a few words.
        column: the column that it reads; None if it reads paths or is constant.
        values: how often each value occurs in the sample.
    """

    yaml: str
    why: str
    column: str | None = None
    values: Counter[str] = field(default_factory=Counter)


def last_part(column: Column) -> str:
    """The column's own name, without what it is nested in, in lower case."""
    return column.name.rpartition(".")[2].lower()


def named_like(columns: Iterable[Column], names: Sequence[str]) -> list[Column]:
    """Columns whose last part is one of the names, in the order of the names, outer ones first."""
    matching = [column for column in columns if last_part(column) in names]
    return sorted(matching, key=lambda column: (names.index(last_part(column)), column.depth))


def id_column(sample: SnapshotSample, text: Column) -> Column | None:
    """A column that is called like an id and whose values differ in all rows of the sample."""
    for column in named_like(sample.columns.values(), ID_NAMES):
        simple = all(isinstance(value, (str, int)) and not isinstance(value, bool) for value in column.values)
        if column.values and simple and column is not text and len(set(column.values)) == len(column.values):
            return column
    return None


def url_column(sample: SnapshotSample, excluded: set[str]) -> Column | None:
    """The first column whose values are URLs, nine times out of ten."""
    for column in sample.columns.values():
        if column.is_text and column.name not in excluded:
            urls = sum(bool(re.match(r"https?://[^/\s]", value)) for value in column.values)
            if urls >= 0.9 * len(column.values):
                return column
    return None


def is_category(column: Column, excluded: set[str]) -> bool:
    """Whether a column holds short labels that repeat."""
    if column.name in excluded or not column.is_text:
        return False
    distinct = set(column.values)
    short = max(map(len, distinct)) <= _MAX_VALUE_LENGTH
    return short and len(distinct) <= min(_MAX_VALUES, max(1, len(column.values) // _REPEATS))


def choose_domain(sample: SnapshotSample, excluded: set[str], url: Column | None, shards: list[Shard]) -> Choice:
    """The primary facet: a column of labels, else a URL's host, else a folder, else the same for all."""
    categories = [column for column in sample.columns.values() if is_category(column, excluded)]
    several = [column for column in categories if len(set(column.values)) > 1]
    named = named_like(several, DOMAIN_NAMES)
    others = sorted(several, key=lambda column: (column.depth, len(set(column.values))))
    if named or others:
        column = (named or others)[0]
        values = Counter(column.values)
        return Choice(yaml_scalar(column.name), f"{plural(len(values), 'value')} in the sample", column.name, values)
    if url is not None:
        hosts = Counter(urlsplit(value).hostname or "" for value in url.values if "[" not in value)
        return Choice(
            f"{{url_host: {yaml_scalar(url.name)}}}",
            f"{plural(len(hosts), 'host')} in the sample",
            url.name,
            Counter(hosts),
        )
    folder = _folder_pattern(shards)
    if folder is not None:
        return folder
    single = named_like(categories, DOMAIN_NAMES)
    if single:
        column = single[0]
        return Choice(yaml_scalar(column.name), "one value in the sample", column.name, Counter(column.values))
    return Choice("{constant: all}", "no column, URL or folder separates the documents", None, Counter(["all"]))


def _folder_pattern(shards: list[Shard]) -> Choice | None:
    """A pattern for the folder that tells shards apart: the outermost one, or the nearest if their depths differ."""
    folders = [shard.name.split("/")[:-1] for shard in shards]
    depths = set(map(len, folders))
    if 0 in depths:
        return None
    depth = min(depths)
    # Patterns are matched from the end of a path, so only equal depths can be counted from the front.
    for level in range(-depth, 0) if len(depths) == 1 else [-1]:
        values = Counter(parts[level] for parts in folders)
        keys = {value.partition("=")[0] if "=" in value else None for value in values}
        if len(values) > 1:
            key = next(iter(keys)) if len(keys) == 1 else None
            prefix = f"{key}=" if key else ""
            pattern = prefix + "{domain}/" + "*/" * (-level - 1) + "*"
            names = Counter({value.removeprefix(prefix): count for value, count in values.items()})
            return Choice(f"{{path: {yaml_scalar(pattern)}}}", f"{plural(len(values), 'folder')}", None, names)
    return None
