"""Writes a first ``audit.yaml``: looks at the files, chooses the columns, explains every choice in a comment."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from corpus_audit.pipelines.reading.listing import list_shards
from corpus_audit.runners.samples import Column, Look, look_at
from corpus_audit.schemas.audit import SnapshotSpec
from corpus_audit.schemas.audit_file import SCHEMA_PATH
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.snapshot import Shard

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

_MAX_VALUES = 1_000
_MAX_VALUE_LENGTH = 100
_REPEATS = 4  # a category's values occur at least this often each, on average, among the sampled rows
_LISTED = 12
_LEVELS_UP = 3


@dataclass(frozen=True, slots=True)
class _Choice:
    """A line of the spec and why it says what it says."""

    yaml: str
    why: str
    column: str | None = None
    values: Counter[str] = field(default_factory=Counter)


def propose_audit(paths: Sequence[str], target: Path, tokenizer: str | None = None) -> str:
    """The text of an ``audit.yaml`` that audits the files at ``paths``.

    Args:
        paths: files, folders, globs or URLs, relative to the working directory.
        target: where the text is going to be written; its relative paths start from that folder.
        tokenizer: path of a ``tokenizer.json`` or a hub name. Without it, the nearest ``tokenizer.json`` beside or
            above the data or the target is taken; failing that, the text holds a line to fill in.

    Raises:
        UsageError: nothing is found there, no shard can be read, or no column holds text.
    """
    base = target.absolute().parent
    try:
        shards = list_shards(SnapshotSpec(paths=tuple(paths)), Path.cwd())
    except NoVerdictError as error:
        raise UsageError(str(error)) from error
    look = look_at(shards)
    if not look.rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in look.unreadable)
        raise UsageError(f"no row could be read in {len(shards)} shards ({reasons})")
    text = _text_column(look)
    identity = _id_column(look, text)
    taken = {text.name} | ({identity.name} if identity else set())
    url = _url_column(look, taken)
    domain = _domain(look, taken, url, shards)
    return "\n".join(
        [
            *_head(look, shards, target.name),
            *_snapshot(paths, shards, base),
            *_document(look, text, identity, domain, url),
            *_tokenizer(tokenizer, shards, base),
            *_optional(domain, look, text),
        ]
    )


def yaml_scalar(value: str) -> str:
    """A text as YAML: plain where nobody could misread it, else in double quotes."""
    plain = re.fullmatch(r"(?:\.{0,2}/|[A-Za-z_])[A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*", value)
    if plain and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n"):
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _last(column: Column) -> str:
    return column.name.rpartition(".")[2].lower()


def _named(columns: Iterable[Column], names: Sequence[str]) -> list[Column]:
    """Columns whose last part is one of the names, in the order of the names, outer ones first."""
    found = [column for column in columns if _last(column) in names]
    return sorted(found, key=lambda column: (names.index(_last(column)), column.depth))


def _text_column(look: Look) -> Column:
    texts = [column for column in look.columns.values() if column.is_text and column.mean_length > 0]
    if not texts:
        seen = ", ".join(look.columns) or "none"
        raise UsageError(
            f"no column holds text (columns: {seen}); a document's text must be one string, "
            "so join lists of messages or paragraphs into one column first"
        )
    most = max(len(column.shards) for column in texts)
    texts = [column for column in texts if len(column.shards) == most]
    named = _named(texts, TEXT_NAMES)
    return named[0] if named else max(texts, key=lambda column: column.mean_length)


def _id_column(look: Look, text: Column) -> Column | None:
    for column in _named(look.columns.values(), ID_NAMES):
        simple = all(isinstance(value, (str, int)) and not isinstance(value, bool) for value in column.values)
        if column.values and simple and column is not text and len(set(column.values)) == len(column.values):
            return column
    return None


def _url_column(look: Look, taken: set[str]) -> Column | None:
    for column in look.columns.values():
        if column.is_text and column.name not in taken:
            urls = sum(bool(re.match(r"https?://[^/\s]", value)) for value in column.values)
            if urls >= 0.9 * len(column.values):
                return column
    return None


def _is_category(column: Column, taken: set[str]) -> bool:
    if column.name in taken or not column.is_text:
        return False
    distinct = set(column.values)
    short = max(map(len, distinct)) <= _MAX_VALUE_LENGTH
    return short and len(distinct) <= min(_MAX_VALUES, max(1, len(column.values) // _REPEATS))


def _domain(look: Look, taken: set[str], url: Column | None, shards: list[Shard]) -> _Choice:
    categories = [column for column in look.columns.values() if _is_category(column, taken)]
    several = [column for column in categories if len(set(column.values)) > 1]
    named = _named(several, DOMAIN_NAMES)
    others = sorted(several, key=lambda column: (column.depth, len(set(column.values))))
    if named or others:
        column = (named or others)[0]
        values = Counter(column.values)
        return _Choice(yaml_scalar(column.name), f"{len(values)} values in the sample", column.name, values)
    if url is not None:
        hosts = Counter(urlsplit(value).hostname or "" for value in url.values if "[" not in value)
        return _Choice(
            f"{{url_host: {yaml_scalar(url.name)}}}", f"{len(hosts)} hosts in the sample", url.name, Counter(hosts)
        )
    folder = _folder_pattern(shards)
    if folder is not None:
        return folder
    single = _named(categories, DOMAIN_NAMES)
    if single:
        column = single[0]
        return _Choice(yaml_scalar(column.name), "one value in the sample", column.name, Counter(column.values))
    return _Choice("{constant: all}", "no column, URL or folder tells documents apart", None, Counter(["all"]))


def _folder_pattern(shards: list[Shard]) -> _Choice | None:
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
            return _Choice(f"{{path: {yaml_scalar(pattern)}}}", f"{len(values)} folders", None, names)
    return None


def _head(look: Look, shards: list[Shard], name: str) -> list[str]:
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_PATH.as_posix()}",
        f"# Proposed by 'corpus-audit init' after a look at {look.rows:,} rows of {len(look.shards):,} of "
        f"{len(shards):,} shards.",
        f"# Check the choices below, then: corpus-audit run {_one_line(name)}",
    ]
    lines += [f"# Not readable: {_one_line(shard)}: {_one_line(why)}" for shard, why in look.unreadable]
    return [*lines, "", "version: 1"]


def _snapshot(paths: Sequence[str], shards: list[Shard], base: Path) -> list[str]:
    formats = Counter(shard.format.value for shard in shards)
    megabytes = sum(shard.size for shard in shards) / 1e6
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(formats.items()))
    return [
        f"name: {yaml_scalar(_corpus_name(paths[0], base))}",
        "",
        "snapshot:",
        f"  # Files, folders (with all below them) or globs. Now: {kinds}; {megabytes:,.1f} MB.",
        "  paths:",
        *(f"    - {yaml_scalar(_relative(path, base))}" for path in paths),
        "  # The shards' SHA-256, as sha256sum writes them: a shard that differs or is missing is then an error.",
        "  #manifest: MANIFEST.sha256",
        "",
    ]


def _document(look: Look, text: Column, identity: Column | None, domain: _Choice, url: Column | None) -> list[str]:
    seen = ", ".join(_one_line(name) for name in list(look.columns)[:40])
    lines = [
        "document:",
        f"  # Columns in the sample: {seen}.",
        f"  text: {yaml_scalar(text.name)}",
    ]
    missing = len(look.shards) - len(text.shards)
    if missing:
        lines.append(f"  # {missing} of the shards looked at have no such column: their rows will be dead letters.")
    if identity is not None:
        lines.append(f"  id: {yaml_scalar(identity.name)}")
    else:
        lines += ["  # The column that names a document; examples in the report then carry it.", "  #id: id"]
    listed = ", ".join(_one_line(value) for value, _ in domain.values.most_common(_LISTED))
    more = ", …" if len(domain.values) > _LISTED else ""
    lines += [
        f"  # The category whose proportions matter; {domain.why}: {listed}{more}.",
        f"  domain: {domain.yaml}",
        *_facets(look, text, identity, domain, url),
        "  # The sampling unit for intervals: documents of one host are alike, so intervals by host are honest ones.",
        f"  #cluster: {{url_host: {yaml_scalar(url.name if url else 'url')}}}",
        "",
    ]
    return lines


def _facets(look: Look, text: Column, identity: Column | None, domain: _Choice, url: Column | None) -> list[str]:
    taken = {text.name, domain.column or ""} | ({identity.name} if identity else set())
    categories = [column for column in look.columns.values() if _is_category(column, taken)]
    several = [column for column in categories if len(set(column.values)) > 1]
    chosen: dict[str, str] = {}
    for column in _named(several, LANGUAGE_NAMES)[:1] + _named(several, DOMAIN_NAMES)[:2]:
        name = "language" if _last(column) in LANGUAGE_NAMES else _last(column)
        if name.isidentifier() and name != "domain" and column.name not in chosen.values():
            chosen.setdefault(name, column.name)
    suggestion = "language: lang"
    if url is not None and url.name != domain.column:
        suggestion = f"host: {{url_host: {yaml_scalar(url.name)}}}"
    lines = ["  # Further ways to cut the corpus, by any name; each gets its own table of shares."]
    if not chosen:
        return [*lines, "  #facets:", f"  #  {suggestion}"]
    lines += ["  facets:", *(f"    {name}: {yaml_scalar(column)}" for name, column in chosen.items())]
    return lines if suggestion.startswith("language") else [*lines, f"    #{suggestion}"]


def _tokenizer(given: str | None, shards: list[Shard], base: Path) -> list[str]:
    lines = ["# Path of a tokenizer.json, or a hub name (with the hub extra installed)."]
    if given is not None:
        is_file = Path(given).exists()
        if not is_file and (given.endswith(".json") or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", given)):
            raise UsageError(f"tokenizer {given}: there is no such file")
        path = Path(given) / "tokenizer.json" if Path(given).is_dir() else Path(given)
        return [*lines, f"tokenizer: {yaml_scalar(_relative(str(path), base) if is_file else given)}", ""]
    found = _nearest_tokenizer(shards, base)
    if found is None:
        return [
            "# No tokenizer.json was found beside the data. Fill in the one that the model is trained with: tokens are",
            "# counted with it, and nothing runs before this line is complete.",
            *lines,
            "#tokenizer: path/to/tokenizer.json",
            "",
        ]
    return [*lines, f"tokenizer: {yaml_scalar(_relative(str(found), base))}", ""]


def _nearest_tokenizer(shards: list[Shard], base: Path) -> Path | None:
    level = [*sorted({Path(shard.path).parent for shard in shards if shard.is_local}), base]
    for _ in range(_LEVELS_UP + 1):
        for folder in level:
            for name in ("tokenizer.json", "tokenizer/tokenizer.json"):
                if (folder / name).is_file():
                    return folder / name
        level = list(dict.fromkeys(folder.parent for folder in level))
    return None


def _optional(domain: _Choice, look: Look, text: Column) -> list[str]:
    names = [value for value, _ in domain.values.most_common(_LISTED)]
    return [
        "# What the training mixture is meant to be, by domain: the report then shows where the corpus differs.",
        "# Weights are normalised; the unit is documents, bytes or tokens.",
        "#mixture:",
        "#  unit: tokens",
        "#  weights:",
        *(f"#    {yaml_scalar(name)}: 1" for name in names),
        "",
        "# Rows to keep; what each clause drops is counted under its name.",
        "# Operators: ==, !=, <, <=, >, >=, in, not_in, matches (RE2), is_null, not_null.",
        "#filter:",
        f"#  - {{name: has_words, column: {yaml_scalar(text.name)}, op: matches, value: '\\w'}}",
        "",
        "# Read only this share of the splits, chosen by hash; every table and interval then says so.",
        "#sample:",
        "#  share: 0.1",
        "#  seed: 0",
        "",
        "# Bounds; the values are the defaults. Longer documents are dead letters; more dead letters than the share",
        "# mean that there is no verdict; a shard that decodes to more than expansion times its size is an error.",
        "#limits:",
        "#  document_bytes: 67108864",
        "#  dead_letter_share: 0.0001",
        "#  expansion: 200",
        "#  dead_letter_excerpts: false",
        "",
        "# Keep a short excerpt of the sampled documents, so that later drift reports can show examples.",
        "#excerpts: true",
        "# Also write a table with the counts of every document.",
        "#per_document: false",
        "# Where run directories go, and where partial results are kept for the next run.",
        "#output: runs",
        "#store: runs/.store",
        "",
    ]


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:120]


def _corpus_name(path: str, base: Path) -> str:
    known = path if "://" in path else str(Path(path).absolute())
    parts = [part for part in re.split(r"[/\\]", known) if part and not re.search(r"[*?\[]", part)]
    named = [part for part in parts if part not in ("data", "train", "shards")] or [base.name]
    return re.sub(r"(\.(parquet|pq|jsonl|ndjson|json|arrow|feather|ipc|gz|zst))+$", "", named[-1])[:120] or "corpus"


def _relative(path: str, base: Path) -> str:
    """The path as it is written into the spec: relative to its folder unless that is far away, with slashes."""
    if "://" in path:
        return path
    absolute = os.path.abspath(path)  # noqa: PTH100 - links keep their names, and a glob is not a path
    relative = os.path.relpath(absolute, base)
    near = Path(relative).parts.count("..") <= 2
    return (relative if near else absolute).replace(os.sep, "/")
