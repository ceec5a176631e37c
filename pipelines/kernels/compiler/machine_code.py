"""The cache of kernels' machine code: in numba's folders, under file names that differ between versions of the sources.

numba's own cache asks whether the file of a kernel changed, not whether a kernel of another file that is compiled into
it did, so after an upgrade it may run old code. And it numbers the files of one kernel through an index, which two
processes that compile it for different types can leave pointing at each other's. Here a file's name holds a digest of
all sources of the package, and a digest of what the code was compiled for; there is no index.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys

from corpus_audit.pipelines.progress.board import process_board

KERNELS = "corpus_audit.pipelines.kernels"
"""The package of all kernels: a kernel of one folder may be compiled into a kernel of another."""


def _digest() -> str:
    """Digest of all sources of the package, subfolders included, on disk or in an archive; takes a millisecond."""
    hasher = hashlib.blake2b(digest_size=8)
    for path, source in _sources(files(KERNELS), ""):
        text = source.read_bytes()
        hasher.update(f"{path} {len(text)} ".encode() + text)
    return hasher.hexdigest()


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    """Every Python source below a folder with its path from there, in the order of names."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py"):
            yield prefix + entry.name, entry
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{prefix}{entry.name}/")


SOURCES = _digest()
"""Computed before any kernel is imported: the package imports this module first."""


class _CodeFiles(IndexDataCacheFile):
    """One file a kernel and signature: a BLAKE2b digest, then the pickled result of the compiler, which it covers."""

    def _path(self, key: tuple[Any, ...]) -> Path:
        compiled_for = hashlib.blake2b(f"{numba.__version__} {key!r}".encode(), digest_size=8).hexdigest()
        return Path(self._index_path).with_suffix(f".{compiled_for}.nbc")

    def save(self, key: tuple[Any, ...], data: Any) -> None:
        """Write the compiled code, if the folder allows it, and remove files of older sources of this kernel.

        Nothing is written if the sources changed since this process started: the code may be of either version.
        """
        content = self._dump(data)
        path = self._path(key)
        if _digest() != SOURCES:
            return
        try:
            with self._open_for_write(str(path)) as file:
                file.write(hashlib.blake2b(content).digest() + content)
            for other in path.parent.glob(f"{path.name.split('-')[0]}-*.nb[ci]"):
                if SOURCES not in other.name:
                    other.unlink(missing_ok=True)
        except OSError:
            return

    def load(self, key: tuple[Any, ...]) -> Any:
        """The result of the compiler; None if there is no file, or it is truncated or damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        size = hashlib.blake2b().digest_size
        undamaged = hashlib.blake2b(content[size:]).digest() == content[:size]
        return pickle.loads(content[size:]) if undamaged else None


class _VersionedFileName(CompileResultCacheImpl):
    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{SOURCES}"


class MachineCode(FunctionCache):
    """The machine code of one kernel, for every signature; raises RuntimeError where no folder can be written."""

    _impl_class = _VersionedFileName

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _CodeFiles(self._cache_path, self._impl.filename_base, SOURCES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The cached machine code for a signature; None if numba has to compile it.

        numba's own method imports all of what kernels could be compiled from (linear algebra with scipy, typed lists,
        jitclasses, the extensions of other packages), which takes longer than loading the code. Code that is compiled
        needs only the runtime that allocates arrays, and the compiler imports the rest when it is called.
        """
        rtsys.initialize(target_context)
        overload = self._load_overload(sig, target_context)
        if overload is None:
            process_board().compiling(1)
        return overload

    def save_overload(self, sig: Any, data: Any) -> None:
        """Cache what numba has compiled for a signature."""
        process_board().compiling(-1)
        super().save_overload(sig, data)
