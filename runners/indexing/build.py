"""Build an activation index on an engine, one at a time in an output folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from corpus_audit.runners.audit.baselines import default_workers
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from corpus_audit.runners.process.locks import OutputLock, make_output
from corpus_audit.runners.process.logs import quiet_engine_logs
from corpus_audit.schemas.errors import StoreError, UsageError, needs_extra
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.spec.embedding import DirectionsSpec

if TYPE_CHECKING:
    from corpus_audit.embeddings.build.build import BuiltIndex
    from corpus_audit.embeddings.scan.worker import ScanTask, ScanWorker


def index_corpus(
    loaded: LoadedAudit,
    workers: int | None,
    engine: EngineOptions = EMBEDDED,
    warn: Callable[[str], None] = lambda _: None,
) -> BuiltIndex:
    """Build the index of an audit; its splits are scanned by the engine's workers.

    ``warn`` is called with warnings about the workers.

    Raises:
        UsageError: the extra is not installed, or as `build_index`.
    """
    quiet_engine_logs()
    with needs_extra("embeddings"):
        from corpus_audit.embeddings.build.build import build_index
    from corpus_audit.runners.engines.launch.engines import open_engine

    output = (loaded.base / (loaded.spec.embedding.output if loaded.spec.embedding else loaded.spec.output)).resolve()
    make_output(output)
    with OutputLock(output):
        shutil.rmtree(output / ".staging", ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".work-", dir=output) as scratch:

            def perform(worker: ScanWorker, tasks: Sequence[ScanTask], at_once: int) -> None:
                weights = [task.split.weight for task in tasks]
                with open_engine(engine, at_once, Path(scratch), warn) as opened:
                    opened.perform(worker, tasks, weights)

            return build_index(loaded, perform, workers or default_workers())


def with_directions(loaded: LoadedAudit, options: Sequence[str]) -> LoadedAudit:
    """The audit with further directions in its embedding section, each given as ``FILE:BLOCK``; units ``dir.<stem>:*``.

    Raises:
        UsageError: the audit has no such section, or a direction does not have this form.
    """
    embedding = loaded.spec.embedding
    if embedding is None:  # said before torch is looked for: installing it would not help
        raise UsageError("the audit has no embedding section: it names a model and its units")
    if not options:
        return loaded
    added = []
    for text in options:
        file, colon, block = text.rpartition(":")
        path = Path(file).absolute()
        if not colon or not block.isdigit() or not path.is_file():
            raise UsageError(
                f"--directions {text!r}: give a .npy or .safetensors file and a block, such as probes.npy:5"
            )
        try:
            added.append(DirectionsSpec(name=path.stem, path=str(path), block=int(block)))
        except ValidationError:
            raise UsageError(
                f"--directions {text!r}: the name of the file must be usable as a name of units, such as probes"
            ) from None
    names = [directions.name for directions in (*embedding.directions, *added)]
    if len(set(names)) != len(names):
        raise UsageError("two directions have the same name")
    extended = embedding.model_copy(update={"directions": (*embedding.directions, *added)})
    return replace(loaded, spec=loaded.spec.model_copy(update={"embedding": extended}))


def is_indexed(loaded: LoadedAudit, folder: Path) -> bool:
    """Whether the newest index in a folder is of the very snapshot of an audit of local files."""
    from corpus_audit.embeddings.index.files import find_index, read_facts
    from corpus_audit.pipelines.reading.files import filesystems
    from corpus_audit.pipelines.reading.snapshot.listing import list_shards
    from corpus_audit.schemas.run.snapshot import snapshot_digest

    shards = list_shards(loaded.spec.snapshot, loaded.base, loaded.spec.has_images)
    hashed = []
    for shard in shards:
        with filesystems.open_binary(shard.path) as file:
            hashed.append((shard.name, hashlib.sha256(file.read()).hexdigest()))
    digest = snapshot_digest(hashed)
    try:
        return read_facts(find_index(folder)).snapshot == digest
    except (StoreError, UsageError):
        return False
