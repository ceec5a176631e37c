"""Lock an output folder, so that one run at a time writes to it.

Kept over filelock (4.3), which also falls back to a file where there is no ``flock``: it does not say who holds a lock.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from corpus_audit.schemas.errors import LockedError, UsageError

PATIENCE = 0.8
"""Seconds in which a second holder looks for the name of the first, or takes a lock that is just being let go."""

_NO_FLOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock."""

    user: str
    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, started {self.started}"

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to have ended; False for other hosts, of which nothing is known."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _this_process() -> Owner:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id without a name
        user = f"uid {os.getuid()}"
    return Owner(user, socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))


def _read_owner(path: Path) -> Owner | None:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return Owner(str(owner["user"]), str(owner["host"]), int(owner["pid"]), str(owner["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_owner(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(asdict(_this_process())).encode(), 0)


class OutputLock:
    """Holds ``<folder>/.lock`` while a run writes into the folder; a context manager.

    The lock is ``flock``: the kernel lets go of it when its process ends, however it ends, so a file that a dead
    process left behind is no obstacle. On a file system without it, ``.lock.held`` is created exclusively instead; a
    file left by a dead process of this host is removed, one of another host is not, because nothing is known of it.

    Raises on entry:
        LockedError: another process holds the lock; the message names it.
        UsageError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / ".lock"
        self._exclusive = folder / ".lock.held"
        self._handle: int | None = None
        self._by_file = False

    def __enter__(self) -> OutputLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"cannot write into the output folder {self.folder}: {error.strerror}. "
                "Name another one with `output:` in the audit file or --set output=FOLDER."
            ) from error
        try:
            self._by_file = not self._flock(handle)
            if self._by_file:
                self._create_exclusively()
            _write_owner(handle)
        except BaseException:  # closing the file releases its lock
            os.close(handle)
            raise
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # Emptied and not removed: a process that has opened the file by now would lock a file that no path leads to,
        # while the next run locks a new one.
        with suppress(OSError):
            os.ftruncate(handle, 0)
        if self._by_file:
            self._exclusive.unlink(missing_ok=True)
        os.close(handle)

    def _flock(self, handle: int) -> bool:
        """Take the lock; False where the file system has no locks."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                # The holder writes its name after it has taken the lock: until then the file is empty, or still
                # names a dead process.
                owner = _read_owner(self._path)
                if (owner is not None and not owner.is_dead) or time.monotonic() >= deadline:
                    raise self._locked(owner) from None
                time.sleep(0.02)
            except OSError as error:
                if error.errno in _NO_FLOCK:
                    return False
                raise

    def _create_exclusively(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                handle = os.open(self._exclusive, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                owner = _read_owner(self._exclusive)
                if owner is not None and owner.is_dead:
                    self._remove_left_behind()
                elif owner is not None or time.monotonic() >= deadline:
                    raise self._locked(owner, self._exclusive) from None
                else:
                    time.sleep(0.02)
                continue
            _write_owner(handle)
            os.close(handle)
            return

    def _remove_left_behind(self) -> None:
        """Remove the file of a dead process; a second exclusive file keeps two processes from doing so at once.

        Without it, the second would remove the file that the first has just made anew.
        """
        guard = self._exclusive.with_suffix(".removing")
        try:
            os.close(os.open(guard, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            raise self._locked(None, guard) from None
        try:
            owner = _read_owner(self._exclusive)
            if owner is not None and owner.is_dead:
                self._exclusive.unlink(missing_ok=True)
        finally:
            guard.unlink(missing_ok=True)

    def _locked(self, owner: Owner | None, remaining: Path | None = None) -> LockedError:
        advice = "Wait until it has ended, or name another output folder."
        if remaining is not None:
            advice += f" If no run is using it any more, remove {remaining}."
        return LockedError(f"{self.folder} is in use by {owner or 'another run'}. {advice}")


def make_output(folder: Path) -> None:
    """Make an output folder or a store if it is not there.

    Raises:
        UsageError: it cannot be made: a file is in its place, or the disk may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
