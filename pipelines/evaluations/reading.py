"""Reads one evaluation: every file below a path, recognised by its content; what is not understood is listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from corpus_audit.pipelines.evaluations.formats import (
    agents,
    alpaca_eval,
    every_eval_ever,
    helm,
    inspect_logs,
    lighteval,
    lm_eval,
    named_columns,
    openai_evals,
)
from corpus_audit.pipelines.evaluations.formats.head import Head, head_of
from corpus_audit.pipelines.evaluations.records.bounded_files import ReadLimits, UnreadableFileError
from corpus_audit.pipelines.evaluations.records.items import Evaluation, ItemCollector
from corpus_audit.pipelines.reading.files.decompression import without_ending
from corpus_audit.schemas.errors import UsageError


class Format(NamedTuple):
    """A reader: whether a file is of its format (and of which kind), and how to read it."""

    recognise: Callable[[Head], str | None]
    read: Callable[[Head, str, ItemCollector], None]


FORMATS = tuple(
    Format(module.recognise, module.read)
    for module in (
        lm_eval, inspect_logs, helm, lighteval, openai_evals, every_eval_ever, agents, alpaca_eval, named_columns,
    )
)  # fmt: skip
"""The readers in the order in which they are asked: named columns, which fit much, last."""


def read_evaluation(path: Path, cluster_field: str | None = None, limits: ReadLimits | None = None) -> Evaluation:
    """Read a file, or every file below a folder.

    JSON documents are read before the rest, as results name the versions of the tasks whose samples lie beside them.
    A file that no reader understands, or that is damaged, is in the outcome with its reason.

    Args:
        path: file or folder.
        cluster_field: dotted path of the field that names an item's cluster.
        limits: bounds on lines, documents and decompression.

    Raises:
        UsageError: the path does not exist, or there is no file.
    """
    return read_files(files_below(path), str(path), cluster_field, limits)


def read_files(
    files: Sequence[tuple[Path, str]], name: str, cluster_field: str | None = None, limits: ReadLimits | None = None
) -> Evaluation:
    """Read files as one evaluation, as `read_evaluation` does.

    Args:
        files: (file, its name in the evaluation), each name once.
        name: of the evaluation.
        cluster_field, limits: as for `read_evaluation`.
    """
    bounds = limits or ReadLimits()
    sink = ItemCollector(bounds, cluster_field)
    later: list[tuple[Path, str]] = []
    for file, known_as in files:
        if _is_document(file):
            _read_file(file, known_as, sink, bounds)
        else:
            later.append((file, known_as))
    for file, known_as in later:
        _read_file(file, known_as, sink, bounds)
    return sink.finish(name)


def format_of(path: Path) -> str | None:
    """The format of a file that holds evaluation results, by its content; None if it is none that is known."""
    try:
        head = head_of(path, path.name, ReadLimits())
        return next((kind for known in FORMATS if (kind := known.recognise(head)) is not None), None)
    except (OSError, UnreadableFileError):
        return None


def files_below(path: Path) -> list[tuple[Path, str]]:
    """(file, its path relative to ``path``) of a file, or of a folder without what is hidden.

    Raises:
        UsageError: the path does not exist, or there is no file.
    """
    if path.is_file():
        return [(path, path.name)]
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such file or folder")
    names = sorted(
        (file.relative_to(path).as_posix(), file)
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not names:
        raise UsageError(f"{path}: the folder holds no file")
    return [(file, name) for name, file in names]


def _is_document(path: Path) -> bool:
    return without_ending(path.name).lower().endswith(".json")


def _read_file(path: Path, name: str, sink: ItemCollector, limits: ReadLimits) -> None:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    with sink.reading(name, size) as outcome:
        try:
            head = head_of(path, name, limits)
            for known in FORMATS:
                if (kind := known.recognise(head)) is not None:
                    outcome.format = kind
                    known.read(head, kind, sink)
                    return
        except OSError as error:
            raise UnreadableFileError(error.strerror or str(error)) from error
        outcome.reason = "no evaluation results of a known format"
