"""Writes, finds and verifies the files of an activation index; `FORMAT.md` in this folder specifies them.

An index is written once, with the digest of every file, and published by one rename.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.embeddings.index.compact import compact, compact_windows
from corpus_audit.embeddings.index.packed import UNIT_AXIS, write_packed
from corpus_audit.pipelines.storage.atomic import atomic_write, publish_folder
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.tables.activation_tables import DOCUMENTS, WINDOWS
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_TABLES

FORMAT = "corpus-audit/activation-index/4"
INDEX_FILE, LATEST = "index.json", "LATEST"
ALL = "(all)"
"""Name of the row of the whole corpus among domains."""

WINDOWS_A_BATCH = 1 << 16


@dataclass(frozen=True)
class IndexFacts:
    """The content of `index.json`.

    Attributes:
        name, snapshot: name of the audit, and digest of its shards.
        model: the model's card.
        windows: digest of the window plan; window: tokens of a window.
        sizes: k, domain_k, minima and samples.
        scan: digest of everything that decides the result of scanning a document.
        counts: documents, dead_letters, rows, tokens and windows.
        domains: in the order of the arrays.
        vectors: block, one_in, width and windows of the vectors (of images, ``read`` says what they are, and block is
            None); None without vectors.
        verified: results of running windows again in float32 (`verification.RescanResult`); None if that was not done.
        autoencoders: by name, what `autoencoder_check` measured on this corpus, and how the autoencoder's training
            differs from this index (``notes``); None where there are none.
        not_offered: units that the model has, or may be expected to have, and that are not offered, with reasons
            (`not_offered.NotOffered`); None in an index that does not say it.
        sources: by point (sae.NAME, dir.NAME), the file or folder that its units are read from: path, SHA-256, and what
            else the audit says of it; None where there are none.
        packed: type and shape of the packed arrays, by name (`packed.write_packed`); set by `write_index`.
        points: the points of the units, in order, each with the number of its units; set by `write_index`.
        files: size and SHA-256 by name; set by `write_index`.
    """

    name: str
    snapshot: str
    model: dict[str, Any]
    windows: str
    window: int
    sizes: dict[str, int]
    scan: str
    counts: dict[str, int]
    domains: tuple[str, ...]
    vectors: dict[str, Any] | None = None
    verified: dict[str, Any] | None = None
    autoencoders: dict[str, dict[str, Any]] | None = None
    not_offered: list[dict[str, Any]] | None = None
    sources: dict[str, dict[str, Any]] | None = None
    packed: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: tuple[tuple[str, int], ...] = ()
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def of_images(self) -> bool:
        """Whether the index is of an image model."""
        return self.model.get("kind") == "image"

    def check_reads_text(self, what: str) -> None:
        """Refuse what only an index of a language model can answer; ``what``: a plural noun, for the message.

        Raises:
            UsageError: the index is of an image model.
        """
        if self.of_images:
            raise UsageError(f"{what} are of language models, and this index is of an image model")


def write_index(
    output: Path,
    moment: datetime,
    facts: IndexFacts,
    arrays: dict[str, np.ndarray],
    indices: dict[str, np.ndarray],
    tables: dict[str, pa.Table],
    vectors: Path | None = None,
    more: Callable[[Path], dict[str, pa.Table]] | None = None,
) -> tuple[Path, IndexFacts]:
    """Publish an index under ``output`` and point LATEST at it; returns its folder and the content of its index.json.

    Args:
        output: the folder of indexes.
        moment: now; names the folder.
        facts: the content of index.json, without points and files.
        arrays: by name, as a scan has them; what is stored of them is said by `compact`.
        indices: point -> int64 indices of its units, in order of the rows.
        tables: windows and documents, in their schemas.
        vectors: a folder on the same disk whose .npy files become arrays of the index too, by moving them.
        more: computes the tables of `schemas.tables.embedding_tables` from the staged index, which lacks only these.
    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    name, number = stamp, 1
    while (output / name).exists():  # two builds within a second
        number += 1
        name = f"{stamp}-{number}"
    staged = output / ".staging" / name
    shutil.rmtree(staged, ignore_errors=True)
    (staged / "arrays").mkdir(parents=True)
    stored = compact(arrays, tables["windows"]["window"].combine_chunks().to_numpy())
    unit_indices = np.concatenate(list(indices.values()))
    stored["indices"] = unit_indices.astype(np.min_scalar_type(int(unit_indices.max(initial=0))))
    packed = {}
    for key, array in stored.items():
        if key in UNIT_AXIS:
            packed[key] = write_packed(staged / "arrays", key, array)
        else:
            np.save(staged / "arrays" / f"{key}.npy", np.ascontiguousarray(array), allow_pickle=False)
    for path in sorted(vectors.glob("*.npy")) if vectors is not None else ():
        path.rename(staged / "arrays" / path.name)
    assert tables["windows"].schema.equals(WINDOWS) and tables["documents"].schema.equals(DOCUMENTS)
    _write_arrow(staged / "windows.arrow", compact_windows(tables["windows"]))
    _write_arrow(staged / "documents.arrow", tables["documents"])
    facts = replace(
        facts,
        packed=packed,
        points=tuple((point, len(indices_of_point)) for point, indices_of_point in indices.items()),
    )
    complete = _list_files(staged, facts)
    if more is not None:
        for key, table in more(staged).items():
            _write_parquet(staged / f"{key}.parquet", table, EMBEDDING_TABLES[key])
        complete = _list_files(staged, facts)
    folder = output / name
    publish_folder(staged, folder)
    atomic_write(output / LATEST, f"{name}\n".encode())
    return folder, complete


def _list_files(staged: Path, facts: IndexFacts) -> IndexFacts:
    """Write `index.json` with the size and digest of every file in the folder."""
    files = {}
    for path in sorted(path for path in staged.rglob("*") if path.is_file() and path.name != INDEX_FILE):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.relative_to(staged).as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
    complete = replace(facts, files=files)
    (staged / INDEX_FILE).write_bytes(strict_json.dumps({"format": FORMAT, **asdict(complete)}, indent=1) + b"\n")
    return complete


def _write_parquet(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    assert table.schema.equals(schema), path.name
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _write_arrow(path: Path, table: pa.Table) -> None:
    """An uncompressed IPC file of batches of `WINDOWS_A_BATCH` rows, to be mapped."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=WINDOWS_A_BATCH)


def find_index(path: Path, snapshot: str | None = None) -> Path:
    """The folder of an index: the path itself, or the newest index of a folder of indexes.

    Args:
        path: an index, or a folder of indexes.
        snapshot: select the newest index whose snapshot digest, or whose name, begins with this.

    Raises:
        UsageError: there is none.
    """
    if snapshot is not None:
        return _of_snapshot(path, snapshot)
    if (path / INDEX_FILE).is_file():
        return path
    try:
        name = (path / LATEST).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} holds no activation index; 'corpus-audit index AUDIT' makes one") from None
    if not name or "/" in name or not (path / name / INDEX_FILE).is_file():
        raise UsageError(f"{path / LATEST} names the index {name!r}, which does not exist")
    return path / name


def _of_snapshot(path: Path, snapshot: str) -> Path:
    folders = sorted((file.parent for file in path.glob(f"*/{INDEX_FILE}")), reverse=True)
    if (path / INDEX_FILE).is_file():
        folders.insert(0, path)
    snapshots = {folder: read_facts(folder).snapshot for folder in folders}
    for folder, digest in snapshots.items():
        if snapshot and (digest.startswith(snapshot) or folder.name.startswith(snapshot)):
            return folder
    listed = ", ".join(f"{digest[:12]} ({folder.name})" for folder, digest in snapshots.items()) or "none"
    raise UsageError(f"{path} has no index of a snapshot {snapshot!r}; it has {listed}")


def read_facts(folder: Path) -> IndexFacts:
    """Read the `index.json` of an index.

    Raises:
        StoreError: it is damaged or of another version.
    """
    path = folder / INDEX_FILE
    try:
        content = strict_json.loads(path.read_bytes())
        if content.pop("format") != FORMAT:
            raise StoreError(
                f"{path} was written by another version: make the index again "
                "(splits that were scanned before are not scanned again)"
            )
        content["domains"] = tuple(map(str, content["domains"]))
        content["points"] = tuple((str(point), int(size)) for point, size in content["points"])
        facts = IndexFacts(**content)
        for name, entry in facts.files.items():
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise StoreError(f"{path} lists a file outside of the index")
            int(entry["bytes"]), str(entry["sha256"])
    except (OSError, strict_json.StrictJsonError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from None
    return facts


def check_size(folder: Path, facts: IndexFacts, name: str) -> Path:
    """The path of a file whose size is checked against `index.json`: mapping a truncated file can kill the process.

    Raises:
        StoreError: the file cannot be read, or has another size.
    """
    path = folder / name
    entry = facts.files.get(name)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path} of the index cannot be read: {error.strerror}") from None
    if entry is None or size != entry["bytes"]:
        listed = "index.json does not list it" if entry is None else f"index.json lists {entry['bytes']:,}"
        raise StoreError(f"{path} has {size:,} bytes, but {listed}: the index is damaged")
    return path


def damaged_files(folder: Path, facts: IndexFacts) -> Iterator[tuple[str, str]]:
    """(name, problem) of every file that is missing, changed, or not listed in `index.json`."""
    existing = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {INDEX_FILE}
    for name in sorted(existing | set(facts.files)):
        if name not in existing:
            yield name, "is missing"
        elif name not in facts.files:
            yield name, "is not a file of the index"
        else:
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != facts.files[name]["sha256"]:
                    yield name, "was changed after the index was made"


def facts_text(facts: IndexFacts) -> str:
    """One line that describes an index: audit, units, model and tokens."""
    units = sum(size for _, size in facts.points)
    read = "images" if facts.of_images else "tokens"
    return f"{facts.name}: {units:,} units of {facts.model['name']} over {facts.counts['tokens']:,} {read}"
