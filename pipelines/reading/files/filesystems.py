"""Opens, lists and stats files, on this machine and on the allowed remote file systems.

Local files never go through fsspec. Remote ones do, behind the allow-list `schemas.spec.audit.PROTOCOLS`: fsspec leaves
it to the application to refuse URLs that reach into the network or into other files (http, ``::`` chains, archives).
"""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit import PROTOCOLS

_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "huggingface_hub", "azure", "requests", "httpx")
VERSION_KEYS = ("etag", "ETag", "e_tag", "generation", "md5Hash", "content_md5", "blob_id", "xet_hash")
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "updated", "modified", "modification_time", "created")


@dataclass(frozen=True, slots=True)
class FileStat:
    """Size of a file in bytes, and a stamp of its version by the file system.

    ``stamp`` is empty if a remote file system gives no version or time: an empty stamp is equal to no other.
    """

    size: int
    stamp: str


def local_or_url(path: str) -> str:
    """Normalise a path of the spec: ``file://`` becomes a local path, an allowed URL stays as it is.

    Raises:
        UsageError: the protocol is not on the allow-list, the URL is chained, or it carries credentials.
    """
    if "::" in path:
        raise UsageError(f"{path}: chained URLs (::) are not supported; name the files themselves")
    if "://" not in path:
        return path
    parts = urlsplit(path)
    if parts.scheme not in PROTOCOLS:
        allowed = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise UsageError(f"{parts.scheme}:// is not a supported file system (allowed: local paths, {allowed})")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{path}: file:// URLs of another host are not supported")
        return unquote(parts.path)
    if parts.username is not None and parts.password is not None:
        raise UsageError(
            f"{parts.scheme}://…@{parts.hostname}: credentials do not belong in a URL; set them in the environment"
        )
    if ".." in parts.path.split("/"):
        raise UsageError(f"{path}: '..' is not allowed in a URL")
    return path


def is_url(path: str) -> bool:
    """Whether a normalised path is remote."""
    return "://" in path


def stat_file(path: str) -> FileStat:
    """Size and version stamp of a file, or of the archive of a folder's images (a path that ends with a slash).

    Raises:
        OSError: there is no such file, or it cannot be reached.
    """
    if path.endswith("/"):
        from corpus_audit.pipelines.reading.files import folder_archive  # which lists and opens files with this module

        return folder_archive.folder_stat(path)
    if not is_url(path):
        return local_stat(Path(path).stat())
    with client_errors():
        fs = remote_filesystem(path)
        fs.invalidate_cache()
        return _remote_stat(fs.info(path))


def list_remote(url: str) -> Iterator[tuple[str, FileStat]]:
    """Every file below a folder of a remote file system with its stat, in no particular order.

    Raises:
        OSError: it cannot be listed.
    """
    with client_errors():
        listed = remote_filesystem(url).find(url.rstrip("/"), detail=True)
    for file, info in listed.items():
        if info.get("type") != "directory" and not file.endswith("/"):  # some stores list folders as empty objects
            yield _with_protocol(url, file), _remote_stat(info)


def match_remote(pattern: str) -> Iterator[tuple[str, FileStat | None]]:
    """Files and folders of a remote file system that match a glob; the stat is None for a folder.

    Raises:
        OSError: it cannot be listed.
    """
    with client_errors():
        matched = remote_filesystem(pattern).glob(pattern, detail=True)
    for file, info in matched.items():
        yield _with_protocol(pattern, file), None if info.get("type") == "directory" else _remote_stat(info)


def match_glob(pattern: str) -> Iterator[str]:
    """Files and folders, here or remote, whose names match a glob (``**``, ``*``, ``?``, ``[]``); none is hidden."""
    if not is_url(pattern):
        yield from glob.iglob(pattern, recursive=True)  # noqa: PTH207 (pathlib lists hidden names)
        return
    root = pattern[: min(pattern.find(c) for c in "*?[" if c in pattern)].rpartition("/")[0]
    for url, _ in match_remote(pattern):
        if not any(part.startswith(".") for part in url.removeprefix(root).split("/")):
            yield url


def kind(path: str) -> str | None:
    """``"file"``, ``"folder"`` or None if the path does not exist."""
    if not is_url(path):
        local = Path(path)
        return "folder" if local.is_dir() else "file" if local.exists() else None
    try:
        with client_errors():
            return "folder" if remote_filesystem(path).info(path)["type"] == "directory" else "file"
    except FileNotFoundError:
        return None


def open_binary(path: str) -> BinaryIO:
    """Open a file for reading bytes; seekable. A path that ends with a slash opens the archive of a folder's images.

    Raises:
        OSError: it cannot be opened.
    """
    if path.endswith("/"):
        from corpus_audit.pipelines.reading.files import folder_archive

        return folder_archive.open_folder(path)
    if not is_url(path):
        return Path(path).open("rb", buffering=0)
    with client_errors():
        return cast(BinaryIO, _RemoteFile(remote_filesystem(path).open(path, "rb")))


def open_arrow(path: str) -> pa.NativeFile:
    """Open a file as an Arrow input file, without a memory map: a mapped file that shrinks kills the process."""
    if not is_url(path) and not path.endswith("/"):
        return pa.OSFile(path, "rb")
    return pa.PythonFile(open_binary(path), mode="r")


class _RemoteFile(io.RawIOBase):
    """A remote file whose errors are all `OSError`s."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        with client_errors():
            return cast(bytes, self._file.read(-1 if size is None else size))

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return cast(int, self._file.seek(offset, whence))

    def tell(self) -> int:
        return cast(int, self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def client_errors() -> Iterator[None]:
    """Turn exceptions of the client libraries behind fsspec (no credentials, no connection) into `OSError`s.

    Raises:
        OSError: with the library's message.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] in _CLIENTS:
            raise OSError(str(error) or type(error).__name__) from error
        raise


def remote_filesystem(url: str) -> Any:
    """The fsspec file system of a URL that `local_or_url` let pass.

    Raises:
        UsageError: its package is not installed; the message names the extra.
    """
    import fsspec

    protocol = urlsplit(url).scheme
    try:
        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        extra = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hub"}.get(protocol)
        hint = f'pip install "corpus-audit[{extra}]"' if extra else str(error)
        raise UsageError(f"{protocol}:// needs a package that is not installed: {hint}") from error


def _with_protocol(url: str, path: str) -> str:
    return path if "://" in path else f"{urlsplit(url).scheme}://{path.lstrip('/')}"


def local_stat(result: os.stat_result) -> FileStat:
    """Size and version stamp of a local file from its `os.stat_result`."""
    return FileStat(result.st_size, f"{result.st_size}-{result.st_mtime_ns}-{result.st_ino}")


def _remote_stat(info: dict[str, Any]) -> FileStat:
    size = int(info["size"])
    for keys in (VERSION_KEYS, _TIME_KEYS):
        for key in keys:
            if info.get(key):
                return FileStat(size, f"{size}-{key}:{info[key]}")
    return FileStat(size, "")
