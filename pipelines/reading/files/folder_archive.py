"""The images directly in a folder as one shard, whose bytes are those of the tar archive that they make.

A folder of many small files is one shard: a shard costs a file a measure, which is more than an image. Its bytes are
those of a GNU tar archive of names and contents alone, so that a folder is hashed, signed and verified as any other
shard is, and other programs can compute its digest::

    tar -b 1 --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0644 -cf - FILES | sha256sum

Files are sorted by the bytes of their names. Nothing of the archive is stored: it is made while it is read.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from corpus_audit.pipelines.images.containers import EXTENSIONS
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.filesystems import FileStat

BLOCK = 512
"""Bytes of a block of a tar archive."""

OTHER_ENDINGS = ("avif", "heic", "heif", "jp2", "jxl", "pbm", "pgm", "pnm", "ppm", "svg", "tga")
"""Endings of images that are not decoded: they are rows of a folder or archive, and become dead letters."""

IMAGE_ENDINGS = frozenset((*EXTENSIONS, *OTHER_ENDINGS))
"""Endings of names, in lower case and without the dot, that say that a file is an image."""

METADATA_NAMES = ("metadata.csv", "metadata.jsonl")
"""Names of the file that holds columns for the images beside it, joined by ``file_name``, as `datasets` reads them."""


def is_image_name(name: str) -> bool:
    """Whether a file is an image by the ending of its name."""
    return name.rpartition(".")[2].lower() in IMAGE_ENDINGS and "." in name


def is_member_name(name: str) -> bool:
    """Whether a file of this name belongs to the shard of its folder."""
    return not name.startswith((".", "_")) and (is_image_name(name) or name in METADATA_NAMES)


@dataclass(frozen=True, slots=True)
class FolderMember:
    """A file of a folder: its name, its size and stamp, and where its header begins in the archive."""

    name: str
    stat: FileStat
    offset: int

    @property
    def stop(self) -> int:
        """The byte of the archive after its padded content."""
        return self.offset + _header_bytes(self.name, self.stat.size) + _padded(self.stat.size)


def folder_members(path: str) -> list[FolderMember]:
    """The images and the metadata directly in a folder, local or remote, in the order of the archive.

    Args:
        path: ends with a slash.

    Raises:
        OSError: it cannot be listed.
    """
    members: list[FolderMember] = []
    for name, stat in sorted(_files(path), key=lambda file: os.fsencode(file[0])):
        members.append(FolderMember(name, stat, members[-1].stop if members else 0))
    return members


def folder_stat(path: str) -> FileStat:
    """Size of the archive and a stamp of all of its files; the stamp is empty where a file has none.

    Raises:
        OSError: it cannot be listed.
    """
    members = folder_members(path)
    size = _size(members)
    if not all(member.stat.stamp for member in members):
        return FileStat(size, "")
    digest = hashlib.sha256()
    for member in members:
        digest.update(os.fsencode(member.name) + b"\0" + member.stat.stamp.encode() + b"\n")
    return FileStat(size, f"{size}-folder:{digest.hexdigest()}")


def last_changed(path: str) -> float:
    """When a local folder or one of its files was last changed, in seconds since the epoch.

    Raises:
        OSError: a file is gone.
    """
    times = [os.stat(path).st_mtime]  # noqa: PTH116
    times += [os.stat(path + member.name).st_mtime for member in folder_members(path)]  # noqa: PTH116
    return max(times)


def open_folder(path: str) -> BinaryIO:
    """Open the archive of a folder for reading; seekable. Reading raises OSError where a file is gone or cut short.

    Raises:
        OSError: the folder cannot be listed.
    """
    return cast(BinaryIO, _FolderArchive(path))


class _FolderArchive(io.RawIOBase):
    """The archive of a folder, for reading; one file of the folder is open at a time."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._members = folder_members(path)
        self._offsets = [member.offset for member in self._members]
        self._size = _size(self._members)
        self._position = 0
        self._open: tuple[int, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._position < self._size:
            piece = self._piece(len(view) - filled)
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def _piece(self, count: int) -> bytes:
        """At least one byte from the position on, at most ``count``."""
        number = bisect_right(self._offsets, self._position) - 1
        if number < 0 or self._position >= self._members[number].stop:
            return bytes(min(count, self._size - self._position))
        member = self._members[number]
        header = _header(member.name, member.stat.size)
        within = self._position - member.offset
        if within < len(header):
            return header[within : within + count]
        within -= len(header)
        if within >= member.stat.size:
            return bytes(min(count, member.stop - self._position))
        file = self._file(number)
        file.seek(within)
        piece = file.read(min(count, member.stat.size - within))
        if not piece:
            raise OSError(f"{member.name} is shorter than when it was listed")
        return piece

    def _file(self, number: int) -> BinaryIO:
        if self._open is None or self._open[0] != number:
            self._close_member()
            self._open = number, filesystems.open_binary(self._path + self._members[number].name)
        return self._open[1]

    def _close_member(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._close_member()
        super().close()


def _files(path: str) -> list[tuple[str, FileStat]]:
    if filesystems.is_url(path):
        listed = ((url.removeprefix(path), stat) for url, stat in filesystems.list_remote(path))
        return [(name, stat) for name, stat in listed if "/" not in name and is_member_name(name)]
    with os.scandir(path) as entries:
        named = [entry for entry in entries if is_member_name(entry.name)]
        return [(entry.name, filesystems.local_stat(entry.stat())) for entry in named if entry.is_file()]


def _size(members: list[FolderMember]) -> int:
    return (members[-1].stop if members else 0) + 2 * BLOCK


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _header_bytes(name: str, size: int) -> int:
    return BLOCK if len(os.fsencode(name)) <= tarfile.LENGTH_NAME else len(_header(name, size))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
