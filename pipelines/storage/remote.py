"""An output folder's copy on an object store: partials as they are made, runs once they are published.

    <url>/FORMAT                             marks the place, and shows that it can be written
    <url>/partials/<measure>/<hh>/<key>      as in the store of an output folder
    <url>/runs/<run>/.claim                  digest of the run's run.json
    <url>/runs/<run>/…                       the files of a run directory; run.json last
    <url>/signoffs/…                         as in an output folder
    <url>/ledger/<number>.json               an entry of the ledger

An object store has no rename of folders, so the commit rule is another: a run is there if and only if its run.json is,
which names the digest of every other file. Claim, run.json and entries of the ledger are created by a conditional write
(only if nothing is there): of two machines with runs of one name, or of two that sign at once, the second is refused
before it touches a file. Partials are content-addressed: writing one that is there already is no change.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.pipelines.reading.files.filesystems import client_errors, is_url, local_or_url, remote_filesystem
from corpus_audit.pipelines.reading.snapshot.names import name_problem
from corpus_audit.pipelines.storage.atomic import AtomicFile, atomic_write, publish_folder
from corpus_audit.pipelines.storage.run_directory import LATEST, STAGING
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.run_file import RUN_FILE, parse_run_file
from corpus_audit.schemas.run.signoff import LEDGER, SIGNOFFS

FORMAT = b"corpus-audit/remote/1\n"
CLAIM = ".claim"
_RUN_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")

_listed: dict[tuple[str, str], frozenset[str]] = {}
_listing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Remote:
    """A folder on an object store.

    Attributes:
        url: without a slash at its end.
        opened: what the opening was called; each process lists the partials once for it.
    """

    url: str
    opened: str

    @classmethod
    def open(cls, url: str, write: bool = True) -> Remote:
        """Check that the folder exists and, with ``write``, that it is writable.

        Raises:
            UsageError: it is no URL, cannot be reached or written, or is of another version.
        """
        place = local_or_url(url).rstrip("/")
        if not is_url(place):
            raise UsageError(f"remote: {url} is no URL of an object store, such as s3://bucket/folder")
        remote = cls(place, secrets.token_hex(8))
        mark = f"{place}/FORMAT"
        try:
            with client_errors():
                fs = remote_filesystem(place)
                fs.invalidate_cache()
                if write:
                    with suppress(FileExistsError):
                        fs.pipe_file(mark, FORMAT, mode="create")
                held = fs.cat_file(mark)
        except FileNotFoundError as error:
            why = "the bucket does not exist" if write else "nothing was ever kept there"
            raise UsageError(f"remote {place}: {why} ({error})") from error
        except OSError as error:
            raise UsageError(f"remote {place} cannot be {'written' if write else 'read'}: {error}") from error
        if held != FORMAT:
            raise UsageError(f"remote {place} is of another version ({held[:40]!r}): name another place")
        return remote

    def fetch_partial(self, name: str, path: Path) -> bool:
        """Bring a partial to a path if it was there when the run began; whether it did."""
        if name not in self._partials():
            return False
        try:
            data = self._read(f"partials/{name}")
        except FileNotFoundError:
            return False
        with AtomicFile(path) as file:
            file.write(data)
        return True

    def keep_partial(self, name: str, path: Path) -> None:
        """Put a partial there, unless it is."""
        with suppress(FileExistsError):
            self._create(f"partials/{name}", path.read_bytes())

    def move_partial(self, old: str, new: str) -> None:
        """Give a partial another name."""
        with self._telling(), suppress(FileNotFoundError):
            fs = remote_filesystem(self.url)
            fs.cp_file(f"{self.url}/partials/{old}", f"{self.url}/partials/{new}")
            fs.rm_file(f"{self.url}/partials/{old}")

    def drop_partials(self, names: Iterable[str]) -> None:
        """Remove partials; those that are not there already are no error."""
        for name in names:
            with self._telling(), suppress(FileNotFoundError):
                remote_filesystem(self.url).rm_file(f"{self.url}/partials/{name}")

    def _partials(self) -> frozenset[str]:
        key = self.url, self.opened
        with _listing:
            if key not in _listed:
                _listed[key] = frozenset(self._names("partials"))
            return _listed[key]

    def _names(self, folder: str) -> list[str]:
        """What is below a folder, relative to it."""
        place = f"{self.url}/{folder}"
        bare = place.partition("://")[2]
        with self._telling():
            fs = remote_filesystem(self.url)
            fs.invalidate_cache()
            found = fs.find(place)
        return [name.rpartition("://")[2].lstrip("/").removeprefix(f"{bare}/") for name in found]

    def runs(self) -> list[str]:
        """Names of the runs that are there, oldest first."""
        found = (name.split("/") for name in self._names("runs"))
        return sorted(parts[0] for parts in found if parts[1:] == [RUN_FILE] and _RUN_NAME.fullmatch(parts[0]))

    def put_run(self, folder: Path) -> bool:
        """Put a published run there; whether that was to be done.

        Raises:
            StoreError: another run of that name is there, or the place fails.
        """
        record = (folder / RUN_FILE).read_bytes()
        digest = hashlib.sha256(record).hexdigest().encode()
        place = f"runs/{folder.name}"
        try:
            self._create(f"{place}/{CLAIM}", digest)
        except FileExistsError:
            if self._read(f"{place}/{CLAIM}") != digest:
                raise StoreError(f"{self.url} has another run of the name {folder.name}") from None
            if folder.name in self.runs():
                return False
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RUN_FILE):
            self._write(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        with suppress(FileExistsError):  # the same run, by another command of this folder
            self._create(f"{place}/{RUN_FILE}", record)
        return True

    def get_run(self, name: str, output: Path) -> int:
        """Bring a run into an output folder, by one rename, its digests checked; returns its bytes.

        Raises:
            StoreError: a file is missing or damaged.
        """
        staged = output / STAGING / name
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        record = self._read(f"runs/{name}/{RUN_FILE}")
        try:
            files = parse_run_file(record).files
        except StoreError as error:
            raise StoreError(f"{self.url}/runs/{name}/{RUN_FILE} is damaged: {error}") from error
        problem = name_problem([name, *files])
        if problem is not None:
            raise StoreError(f"{self.url}/runs/{name}/{RUN_FILE} names unsafe files: {problem}")
        size = len(record)
        for file, known in files.items():
            try:
                data = self._read(f"runs/{name}/{file}")
            except FileNotFoundError:
                raise StoreError(f"{self.url}/runs/{name}/{file} is missing") from None
            if hashlib.sha256(data).hexdigest() != known.sha256:
                raise StoreError(f"{self.url}/runs/{name}/{file} is damaged: its digest is not that of {RUN_FILE}")
            (staged / file).parent.mkdir(parents=True, exist_ok=True)
            (staged / file).write_bytes(data)
            size += len(data)
        (staged / RUN_FILE).write_bytes(record)
        publish_folder(staged, output / name)
        return size

    def put_signoffs(self, output: Path) -> None:
        """Put sign-offs and the entries of the ledger there.

        Raises:
            StoreError: the ledger there has entries that this one lacks.
        """
        mine, theirs = self._ledgers(output)
        if mine[: len(theirs)] != theirs and theirs[: len(mine)] != mine:
            raise StoreError(self._parted(output))
        for number, entry in enumerate(mine[len(theirs) :], len(theirs)):
            try:
                self._create(f"ledger/{number:08d}.json", entry)
            except FileExistsError:
                if self._read(f"ledger/{number:08d}.json") != entry:
                    raise StoreError(self._parted(output)) from None
        if len(mine) >= len(theirs):
            for path in sorted((output / SIGNOFFS).glob("*.json")):
                self._write(f"{SIGNOFFS}/{path.name}", path.read_bytes())

    def get_signoffs(self, output: Path) -> None:
        """Bring sign-offs and the ledger into an output folder, if the ledger there goes on from its own.

        Raises:
            StoreError: the two have parted.
        """
        mine, theirs = self._ledgers(output)
        if mine[: len(theirs)] == theirs:
            return
        if theirs[: len(mine)] != mine:
            raise StoreError(self._parted(output))
        names = self._names(SIGNOFFS)
        problem = name_problem(names) if names else None
        if problem is not None:
            raise StoreError(f"{self.url}/{SIGNOFFS} holds unsafe names: {problem}")
        (output / SIGNOFFS).mkdir(exist_ok=True)
        for name in names:
            atomic_write(output / SIGNOFFS / name, self._read(f"{SIGNOFFS}/{name}"))
        atomic_write(output / LEDGER, b"".join(theirs))

    def _parted(self, output: Path) -> str:
        return (
            f"{output / LEDGER} and the ledger of {self.url} have parted: somebody signed elsewhere. "
            "Fetch into an empty folder and sign there"
        )

    def _ledgers(self, output: Path) -> tuple[list[bytes], list[bytes]]:
        """Entries of the ledger of an output folder, and of the one that is kept here."""
        mine = (output / LEDGER).read_bytes() if (output / LEDGER).exists() else b""
        return mine.splitlines(keepends=True), [self._read(f"ledger/{name}") for name in sorted(self._names("ledger"))]

    def _read(self, name: str) -> bytes:
        with self._telling():
            data: bytes = remote_filesystem(self.url).cat_file(f"{self.url}/{name}")
            return data

    def _write(self, name: str, data: bytes) -> None:
        with self._telling():
            remote_filesystem(self.url).pipe_file(f"{self.url}/{name}", data)

    def _create(self, name: str, data: bytes) -> None:
        """Write an object that is not there.

        Raises:
            FileExistsError: it is.
        """
        with self._telling():
            remote_filesystem(self.url).pipe_file(f"{self.url}/{name}", data, mode="create")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with client_errors():
                yield
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise StoreError(f"remote {self.url}: {error}; the same command goes on where this one ended") from error


def push(remote: Remote, output: Path) -> list[str]:
    """Put the runs of an output folder that the place lacks there, then sign-offs and ledger; the runs' names.

    Raises:
        StoreError: another run of a name is there, the ledgers have parted, or the place fails.
    """
    there = set(remote.runs())
    here = sorted(path.parent for path in output.glob(f"*/{RUN_FILE}") if path.parent.name not in there)
    put = [folder.name for folder in here if remote.put_run(folder)]
    remote.put_signoffs(output)
    return put


def fetch(remote: Remote, output: Path, names: Iterable[str] = ()) -> dict[str, int]:
    """Bring the runs that an output folder lacks (or those named) into it, with sign-offs and ledger; names and bytes.

    The caller holds the folder's lock.

    Raises:
        UsageError: a run that is named is not there.
        StoreError: a run is damaged there, or the ledgers have parted.
    """
    there = remote.runs()
    unknown = sorted(set(names) - set(there))
    if unknown:
        raise UsageError(f"{remote.url} has no run {', '.join(unknown)}; it has {', '.join(there) or 'none'}")
    wanted = [name for name in there if name in (set(names) or set(there)) and not (output / name).exists()]
    found = {name: remote.get_run(name, output) for name in wanted}
    remote.get_signoffs(output)
    runs = sorted(path.parent.name for path in output.glob(f"*/{RUN_FILE}"))
    if runs:
        atomic_write(output / LATEST, f"{runs[-1]}\n".encode())
    return found
