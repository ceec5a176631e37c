"""Keeps the compiled templates of the page beside their sources, as Python keeps those of its modules.

Compiling them takes an audit of a megabyte a twentieth of its processor time. What Jinja writes it checks against the
template's text; the code depends on more than that (Jinja's own version, and constants that it evaluates with the
filters), so a file's name holds a digest of all of it.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from jinja2.bccache import Bucket, FileSystemBytecodeCache


class CompiledTemplates(FileSystemBytecodeCache):
    """Compiled templates in a folder; where it cannot be written, they are compiled in every process."""

    def __init__(self, folder: Path, sources: list[Path]) -> None:
        """Prepare to load and store.

        Args:
            folder: where the files are; it is made when the first one is written.
            sources: of the filters and whatever else a template's code depends on besides its text.
        """
        digest = hashlib.blake2b(f"{version('jinja2')} {sys.version}".encode(), digest_size=8)
        for source in sources:
            digest.update(source.read_bytes())
        super().__init__(str(folder), f"%s.{digest.hexdigest()}.jinja")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Load the code of a template; nothing from a file that is missing, damaged or of another text."""
        try:
            super().load_bytecode(bucket)
        except Exception:  # whatever pickle and marshal make of a damaged file
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Store the code of a template and remove that of its earlier versions, unless Python is to write none."""
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            folder = Path(self.directory)
            folder.mkdir(exist_ok=True)
            super().dump_bytecode(bucket)
            for other in folder.glob(f"{bucket.key}.*.jinja"):
                if str(other) != self._get_cache_filename(bucket):
                    other.unlink(missing_ok=True)
