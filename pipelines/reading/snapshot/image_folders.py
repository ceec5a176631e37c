"""Joins the image files of a folder, as they were listed, to one shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.folder_archive import folder_members, is_image_name
from corpus_audit.pipelines.reading.snapshot.names import printable
from corpus_audit.pipelines.reading.snapshot.path_expansion import ListedFile, parent_of
from corpus_audit.pipelines.reading.snapshot.trees import EntryKind, PathEntry
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import ShardFormat, UnreadReason


def join_folders(files: Mapping[str, ListedFile]) -> dict[str, ListedFile]:
    """The files by path, with one entry for each folder of images in place of its images and their metadata.

    The shard of a folder is all images directly in it, so that its path alone says what it holds.

    Raises:
        UsageError: the paths of the spec leave out some images of a folder.
    """
    members: dict[str, list[str]] = {}
    for path, file in files.items():
        if file.format is ShardFormat.IMAGE_FOLDER:
            members.setdefault(f"{parent_of(path).rstrip('/')}/", []).append(path)
    joined = {path: file for path, file in files.items() if file.format is not ShardFormat.IMAGE_FOLDER}
    for folder, paths in members.items():
        if not any(map(is_image_name, paths)):  # metadata of images that lie elsewhere
            for path in paths:
                joined[path] = replace(files[path], format=None, reason=UnreadReason.UNKNOWN_FORMAT)
            continue
        left_out = {folder + member.name for member in folder_members(folder)} - set(paths)
        if left_out:
            raise UsageError(
                f"{printable(min(left_out))} is not among snapshot.paths, or is ignored, but other images of its "
                "folder are: the images of a folder are one shard; name the whole folder, or move the file"
            )
        first = files[paths[0]]
        # A folder that is listed itself is named from the folder above it: its name would be empty otherwise.
        root = parent_of(first.root) if f"{first.root.rstrip('/')}/" == folder else first.root
        entry = PathEntry(folder, EntryKind.FILE, filesystems.stat_file(folder))
        joined[folder] = ListedFile(entry, root, ShardFormat.IMAGE_FOLDER)
    return joined
