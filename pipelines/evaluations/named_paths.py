"""Reads an evaluation from several paths, with a cluster field for all tasks or one for each."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.evaluations.reading import files_below, read_files
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.schemas.errors import UsageError


def read_paths(
    base: Path, paths: Sequence[str], name: str, cluster: str | Mapping[str, str] | None = None
) -> Evaluation:
    """Read every file of several paths as one evaluation.

    Args:
        base: the folder that relative paths start from, and that files are named from.
        paths: files, folders and globs.
        name: of the evaluation, for messages.
        cluster: the field that names an item's cluster, or by task; the files are read once for every field of it.

    Raises:
        UsageError: a path matches nothing, or no item of a task has its field.
    """
    files = list(files_at(base, paths, name))
    if cluster is None or isinstance(cluster, str):
        return read_files(files, name, cluster)
    fields = sorted(set(cluster.values()))
    evaluation = read_files(files, name, fields[0])
    task = evaluation.items["task"].cast(pa.string())
    clusters = pa.nulls(len(task), pa.string())
    for field in fields:
        tasks = sorted(known for known, of_task in cluster.items() if of_task == field)
        own = (evaluation if field == fields[0] else read_files(files, name, field)).items["cluster"]
        concerned = pc.is_in(task, pa.array(tasks))
        clusters = pc.if_else(concerned, own, clusters)
        for each in tasks:
            values = own.filter(pc.equal(task, each))
            if len(values) and values.null_count == len(values):
                raise UsageError(f"{name}: no item of {each} has the field {field!r} that cluster names")
    column = evaluation.items.schema.get_field_index("cluster")
    items = evaluation.items.set_column(column, evaluation.items.schema.field(column), clusters)
    return replace(evaluation, items=items)


def files_at(base: Path, paths: Sequence[str], name: str) -> Iterable[tuple[Path, str]]:
    """(file, its path from ``base``) of every file of several paths, each file once.

    Raises:
        UsageError: a path matches nothing.
    """
    seen: set[Path] = set()
    for path in paths:
        root = base / path
        matches = [root] if root.exists() else sorted(map(Path, glob.glob(str(root), recursive=True)))  # noqa: PTH207
        if not matches:
            raise UsageError(f"{name}: {path} matches no file")
        for match in matches:
            for file, _ in files_below(match):
                if file.resolve() not in seen:
                    seen.add(file.resolve())
                    yield file, Path(os.path.relpath(file, base)).as_posix()
