"""Keeps a copy of an output folder on an object store: partials as they are written, runs once they are published.

    <url>/FORMAT                             version of this layout; writing it shows that the folder is writable
    <url>/partials/<measure>/<hh>/<key>      as in the store of an output folder
    <url>/runs/<run>/.claim                  digest of the run's run.json
    <url>/runs/<run>/…                       the files of a run directory; run.json last
    <url>/signoffs/…                         as in an output folder
    <url>/ledger/<number>.json               an entry of the ledger

An object store cannot rename a folder, so the commit rule differs from that of an output folder: a run exists if and
only if its run.json does, which has the digest of every other file. Claim, run.json and ledger entries are created by a
conditional write (only if the object does not exist): of two machines with runs of the same name, or two that sign at
once, the second fails before it changes a file. Partials are content-addressed: writing an existing one changes
nothing.
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
        url: the folder's URL, without a slash at its end.
        session: random name of one `open`; each process lists the partials once for it.
    """

    url: str
    session: str

    @classmethod
    def open(cls, url: str, write: bool = True) -> Remote:
        """Check that the folder exists and, with ``write``, that it is writable.

        Raises:
            UsageError: ``url`` is not a URL, cannot be reached or written, or has another format version.
        """
        folder_url = local_or_url(url).rstrip("/")
        if not is_url(folder_url):
            raise UsageError(f"remote: {url} is not the URL of an object store, such as s3://bucket/folder")
        remote = cls(folder_url, secrets.token_hex(8))
        mark = f"{folder_url}/FORMAT"
        try:
            with client_errors():
                fs = remote_filesystem(folder_url)
                fs.invalidate_cache()
                if write:
                    with suppress(FileExistsError):
                        fs.pipe_file(mark, FORMAT, mode="create")
                stored_format = fs.cat_file(mark)
        except FileNotFoundError as error:
            why = "the bucket does not exist" if write else "there is no remote copy at this URL"
            raise UsageError(f"remote {folder_url}: {why} ({error})") from error
        except OSError as error:
            raise UsageError(f"remote {folder_url} cannot be {'written' if write else 'read'}: {error}") from error
        if stored_format != FORMAT:
            raise UsageError(
                f"remote {folder_url} has another format version ({stored_format[:40]!r}): use another URL"
            )
        return remote

    def fetch_partial(self, name: str, path: Path) -> bool:
        """Download a partial to a path, if it existed when the run began; returns whether it did."""
        if name not in self._partials():
            return False
        try:
            data = self._read(f"partials/{name}")
        except FileNotFoundError:
            return False
        with AtomicFile(path) as file:
            file.write(data)
        return True

    def put_partial(self, name: str, path: Path) -> None:
        """Upload a partial, unless it exists."""
        with suppress(FileExistsError):
            self._create(f"partials/{name}", path.read_bytes())

    def move_partial(self, old: str, new: str) -> None:
        """Rename a partial."""
        # Copy, then remove: an interruption leaves both, which is harmless, as each name says what its content is.
        with self._store_errors(), suppress(FileNotFoundError):
            fs = remote_filesystem(self.url)
            fs.cp_file(f"{self.url}/partials/{old}", f"{self.url}/partials/{new}")
            fs.rm_file(f"{self.url}/partials/{old}")

    def delete_partials(self, names: Iterable[str]) -> None:
        """Delete partials; a missing one is no error."""
        for name in names:
            with self._store_errors(), suppress(FileNotFoundError):
                remote_filesystem(self.url).rm_file(f"{self.url}/partials/{name}")

    def _partials(self) -> frozenset[str]:
        key = self.url, self.session
        with _listing:
            if key not in _listed:
                _listed[key] = frozenset(self._names("partials"))
            return _listed[key]

    def _names(self, folder: str) -> list[str]:
        """Names of all objects below a folder, relative to it."""
        folder_url = f"{self.url}/{folder}"
        bare = folder_url.partition("://")[2]
        with self._store_errors():
            fs = remote_filesystem(self.url)
            fs.invalidate_cache()
            objects = fs.find(folder_url)
        return [name.rpartition("://")[2].lstrip("/").removeprefix(f"{bare}/") for name in objects]

    def runs(self) -> list[str]:
        """Names of the runs that are there, oldest first."""
        paths = (name.split("/") for name in self._names("runs"))
        return sorted(parts[0] for parts in paths if parts[1:] == [RUN_FILE] and _RUN_NAME.fullmatch(parts[0]))

    def put_run(self, folder: Path) -> bool:
        """Upload a published run; returns whether it was missing.

        Raises:
            StoreError: another run has the same name, or the object store fails.
        """
        record = (folder / RUN_FILE).read_bytes()
        digest = hashlib.sha256(record).hexdigest().encode()
        prefix = f"runs/{folder.name}"
        try:
            self._create(f"{prefix}/{CLAIM}", digest)
        except FileExistsError:
            if self._read(f"{prefix}/{CLAIM}") != digest:
                raise StoreError(f"{self.url} has another run named {folder.name}") from None
            # The claim is of this very run: an earlier upload ended before run.json, and is done again from the start.
            if folder.name in self.runs():
                return False
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RUN_FILE):
            self._write(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        with suppress(FileExistsError):  # the same run, by another command of this folder
            self._create(f"{prefix}/{RUN_FILE}", record)
        return True

    def get_run(self, name: str, output: Path) -> int:
        """Download a run into an output folder, check its digests and publish it by one rename; returns its bytes.

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
        # Whoever can write to the bucket decides these names: ``../`` would write outside the output folder.
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
        """Upload sign-offs and the entries of the ledger.

        Raises:
            StoreError: the remote ledger has entries that the local one lacks.
        """
        local_entries, remote_entries = self._ledgers(output)
        if (
            local_entries[: len(remote_entries)] != remote_entries
            and remote_entries[: len(local_entries)] != local_entries
        ):
            raise StoreError(self._diverged(output))
        for number, entry in enumerate(local_entries[len(remote_entries) :], len(remote_entries)):
            try:
                self._create(f"ledger/{number:08d}.json", entry)
            except FileExistsError:
                if self._read(f"ledger/{number:08d}.json") != entry:
                    raise StoreError(self._diverged(output)) from None
        if len(local_entries) >= len(remote_entries):
            for path in sorted((output / SIGNOFFS).glob("*.json")):
                self._write(f"{SIGNOFFS}/{path.name}", path.read_bytes())

    def get_signoffs(self, output: Path) -> None:
        """Download sign-offs and the ledger into an output folder, if the remote ledger continues the local one.

        Raises:
            StoreError: the two ledgers have diverged.
        """
        local_entries, remote_entries = self._ledgers(output)
        if local_entries[: len(remote_entries)] == remote_entries:
            return
        if remote_entries[: len(local_entries)] != local_entries:
            raise StoreError(self._diverged(output))
        names = self._names(SIGNOFFS)
        problem = name_problem(names) if names else None
        if problem is not None:
            raise StoreError(f"{self.url}/{SIGNOFFS} holds unsafe names: {problem}")
        (output / SIGNOFFS).mkdir(exist_ok=True)
        for name in names:
            atomic_write(output / SIGNOFFS / name, self._read(f"{SIGNOFFS}/{name}"))
        atomic_write(output / LEDGER, b"".join(remote_entries))

    def _diverged(self, output: Path) -> str:
        return (
            f"{output / LEDGER} and the ledger at {self.url} have diverged: someone signed elsewhere. "
            "Fetch into an empty folder and sign there"
        )

    def _ledgers(self, output: Path) -> tuple[list[bytes], list[bytes]]:
        """Entries of the local and of the remote ledger."""
        local = (output / LEDGER).read_bytes() if (output / LEDGER).exists() else b""
        return local.splitlines(keepends=True), [self._read(f"ledger/{name}") for name in sorted(self._names("ledger"))]

    def _read(self, name: str) -> bytes:
        with self._store_errors():
            data: bytes = remote_filesystem(self.url).cat_file(f"{self.url}/{name}")
            return data

    def _write(self, name: str, data: bytes) -> None:
        with self._store_errors():
            remote_filesystem(self.url).pipe_file(f"{self.url}/{name}", data)

    def _create(self, name: str, data: bytes) -> None:
        """Create an object.

        Raises:
            FileExistsError: it exists.
        """
        with self._store_errors():
            remote_filesystem(self.url).pipe_file(f"{self.url}/{name}", data, mode="create")

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            with client_errors():
                yield
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise StoreError(f"remote {self.url}: {error}; run the same command again to continue") from error


def push(remote: Remote, output: Path) -> list[str]:
    """Upload the runs that the remote copy lacks, then sign-offs and ledger; returns the names of the runs.

    Raises:
        StoreError: another run has the same name, the ledgers have diverged, or the object store fails.
    """
    remote_names = set(remote.runs())
    missing = sorted(path.parent for path in output.glob(f"*/{RUN_FILE}") if path.parent.name not in remote_names)
    pushed = [folder.name for folder in missing if remote.put_run(folder)]
    remote.put_signoffs(output)
    return pushed


def fetch(remote: Remote, output: Path, names: Iterable[str] = ()) -> dict[str, int]:
    """Download the runs that an output folder lacks, or those of ``names``, with sign-offs and ledger.

    The caller must have locked the folder.

    Returns:
        name -> bytes of each run that was downloaded.

    Raises:
        UsageError: the remote copy lacks a run of ``names``.
        StoreError: a remote run is damaged, or the ledgers have diverged.
    """
    remote_names = remote.runs()
    unknown = sorted(set(names) - set(remote_names))
    if unknown:
        raise UsageError(f"{remote.url} has no run {', '.join(unknown)}; it has {', '.join(remote_names) or 'none'}")
    missing = [
        name for name in remote_names if name in (set(names) or set(remote_names)) and not (output / name).exists()
    ]
    fetched = {name: remote.get_run(name, output) for name in missing}
    remote.get_signoffs(output)
    runs = sorted(path.parent.name for path in output.glob(f"*/{RUN_FILE}"))
    if runs:
        atomic_write(output / LATEST, f"{runs[-1]}\n".encode())
    return fetched
