"""Records which partials of the store each run used, so that unused ones can be pruned.

Under ``<store>/used/<run>`` one line a partial, its path below ``<store>/partials``. Written for the store of the run's
own output folder. A run that uses the store of another folder creates ``<store>/shared``: from then on no folder knows
which partials the others need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import atomic_write


def default_store(output: Path) -> Path:
    """The path of the store of an output folder whose spec names no other."""
    return output.resolve() / ".store"


@dataclass(frozen=True, slots=True)
class StoredPartial:
    """A file among the partials: its path below them, its bytes, and when it was written (seconds since 1970)."""

    name: str
    path: Path
    bytes: int
    written: float


@dataclass(frozen=True, slots=True)
class UsedPartials:
    """The lists of used partials in a store, one per run."""

    root: Path

    def record(self, run: str, partials: Iterable[Path]) -> None:
        """Record the partials that a run used."""
        names = sorted({path.relative_to(self.root / "partials").as_posix() for path in partials})
        (self.root / "used").mkdir(parents=True, exist_ok=True)
        atomic_write(self.root / "used" / run, "".join(f"{name}\n" for name in names).encode())

    def of(self, run: str) -> frozenset[str] | None:
        """The names of the partials that a run used; None if they were not recorded."""
        try:
            return frozenset((self.root / "used" / run).read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            return None

    def share(self) -> None:
        """Record that a run of another output folder uses the store."""
        (self.root / "shared").touch()

    @property
    def is_shared(self) -> bool:
        """Whether a run of another output folder has used the store."""
        return (self.root / "shared").exists()

    def forget(self, run: str) -> None:
        """Remove the list of a deleted run."""
        (self.root / "used" / run).unlink(missing_ok=True)

    def stored(self) -> Iterator[StoredPartial]:
        """Every file among the partials, including unfinished ones that a killed process left."""
        folder = self.root / "partials"
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                stat = path.stat()
                yield StoredPartial(path.relative_to(folder).as_posix(), path, stat.st_size, stat.st_mtime)
