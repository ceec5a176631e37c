"""Conventions of file names: formats, files that are never data, and the globs that a spec ignores."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.folder_archive import METADATA_NAMES, is_image_name
from corpus_audit.schemas.run.snapshot import ShardFormat

_LINES = (".jsonl", ".ndjson", ".jsonlines")

SUFFIXES: dict[str, ShardFormat] = {
    ".parquet": ShardFormat.PARQUET,
    ".pq": ShardFormat.PARQUET,
    **dict.fromkeys(_LINES, ShardFormat.JSONL),
    **{name + end: ShardFormat.JSONL_GZ for name in (*_LINES, ".json") for end in (".gz", ".gzip")},
    **{name + end: ShardFormat.JSONL_ZST for name in (*_LINES, ".json") for end in (".zst", ".zstd")},
    **dict.fromkeys((".arrow", ".feather", ".ipc"), ShardFormat.ARROW),
}
"""File name endings (in any case) that are read."""

IMAGE_SUFFIXES: dict[str, ShardFormat] = {
    **{suffix: format_ for suffix, format_ in SUFFIXES.items() if format_ in (ShardFormat.PARQUET, ShardFormat.ARROW)},
    ".tar": ShardFormat.TAR,
    **dict.fromkeys((".tar.gz", ".tgz"), ShardFormat.TAR_GZ),
    **dict.fromkeys((".tar.zst", ".tar.zstd", ".tzst"), ShardFormat.TAR_ZST),
}
"""Those of a corpus of images, beside folders of image files."""

TABLE_LOGS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
"""Names of the folders in which table formats keep their transaction log, and the format of each."""

_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".xz", ".bz2", ".lz4", ".lzma", ".snappy", ".br", ".z", ".zip")

_NOT_DATA_ENDINGS = (
    ".md", ".rst", ".crc", ".md5", ".sha1", ".sha256", ".sha512", ".sha256sum", ".sig", ".asc", ".pem", ".pub",
    ".lock", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".bib", ".cff",
)  # fmt: skip

_NOT_DATA_NAMES = frozenset(
    (
        "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json",
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
        "merges.txt", "vocab.bpe", "encoder.json", "manifest.json", "checksums.txt", "md5sums", "md5sum.txt",
        "sha1sums", "sha256sums", "sha256sums.txt", "sha512sums", "checksums", "manifest", "desktop.ini", "thumbs.db",
        "makefile", "dockerfile",
    )
)  # fmt: skip

_NOT_DATA_STEMS = ("readme", "license", "licence", "copying", "notice", "authors", "changelog", "changes", "citation")


def format_of(name: str, images: bool = False) -> ShardFormat | None:
    """The format that a file name's ending stands for; None for an unknown ending.

    In a corpus of ``images`` these are the formats that hold images; an image, or the metadata beside images, is part
    of the shard of its folder.
    """
    lower = name.lower()
    if images:
        base = name.rpartition("/")[2]
        if is_image_name(base) or base in METADATA_NAMES:
            return ShardFormat.IMAGE_FOLDER
    suffixes = IMAGE_SUFFIXES if images else SUFFIXES
    return next((format_ for suffix, format_ in suffixes.items() if lower.endswith(suffix)), None)


def is_never_data(name: str) -> bool:
    """Whether a file is documentation, a checksum, a key or settings by its name (the last component of a path)."""
    lower = name.lower()
    stem, _, ending = lower.partition(".")
    return (
        lower.endswith(_NOT_DATA_ENDINGS)
        or lower in _NOT_DATA_NAMES
        or (stem in _NOT_DATA_STEMS and ending in ("", "txt", "html"))
    )


def ending_of(name: str) -> str:
    """The ending of a file's name, a compression suffix included: ``.mds``, ``.jsonl.xz``; empty if it has none."""
    base = name.rstrip("/").rpartition("/")[2]
    stem, ending = os.path.splitext(base)  # noqa: PTH122
    if ending.lower() in _COMPRESSED:
        ending = os.path.splitext(stem)[1] + ending  # noqa: PTH122
    return ending.lower() if re.fullmatch(r"(\.\w{1,12})+", ending) and not ending[1:].isdigit() else ""


def is_hidden_below(root: str, path: str, parts: Iterable[str] = ()) -> bool:
    """Whether a path has a component below ``root`` that begins with ``.`` or ``_``; for remote file systems.

    Args:
        root: the listed folder, or the folder before the first component of a pattern.
        path: a path below it.
        parts: the components of the pattern; one that begins with the same character includes the name explicitly.
    """
    marks = {part[0] for part in parts if part[:1] in (".", "_")}
    names = path.removeprefix(root).strip("/").split("/")
    return any(name[:1] in (".", "_") and name[0] not in marks for name in names)


class IgnorePatterns:
    """The globs of ``snapshot.ignore``.

    A pattern without a slash matches a name at any depth below the listed paths; a pattern with a slash matches a path
    as the spec would write it, or a path relative to a listed folder. A folder that matches is ignored with all its
    content.
    """

    def __init__(self, patterns: Iterable[str], base: Path) -> None:
        self._relative: list[re.Pattern[str]] = []
        self._absolute: list[re.Pattern[str]] = []
        for pattern in patterns:
            text = pattern.rstrip("/")
            self._relative.append(re.compile(rf"(?:.*/)?{_regex(text.lstrip('/'))}(?:/.*)?", re.DOTALL))
            if "/" in text:
                absolute = text if filesystems.is_url(text) else os.path.abspath(base / text)  # noqa: PTH100
                self._absolute.append(re.compile(rf"{_regex(absolute)}(?:/.*)?", re.DOTALL))

    def matches(self, root: str, path: str) -> bool:
        """Whether a file is ignored; ``root`` is the listed folder that it was found in."""
        path = path.rstrip("/")
        below = path.removeprefix(root).lstrip("/")
        return any(regex.fullmatch(below) for regex in self._relative) or any(
            regex.fullmatch(path) for regex in self._absolute
        )


_TOKEN = re.compile(r"(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?\]?[^\]/]*\])|(\{[^{}/]*,[^{}/]*\})|(.)", re.DOTALL)


@lru_cache(maxsize=256)
def _regex(pattern: str) -> str:
    parts = []
    for any_folders, anything, star, mark, among, braces, literal in _TOKEN.findall(pattern):
        if any_folders:
            parts.append("(?:.*/)?")
        elif anything:
            parts.append(".*")
        elif star:
            parts.append("[^/]*")
        elif mark:
            parts.append("[^/]")
        elif among:
            inner = among[1:-1].replace("\\", r"\\").replace("[", r"\[")
            parts.append(f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]")
        elif braces:
            parts.append(f"(?:{'|'.join(_regex(option) for option in braces[1:-1].split(','))})")
        else:
            parts.append(re.escape(literal))
    return "".join(parts)
