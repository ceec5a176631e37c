"""Files that a unit is read from besides the model: its autoencoder, or its directions, as an audit names them.

An index holds no paths of them, so that a unit of theirs needs the audit. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.units import Kind, Unit


@dataclass(frozen=True)
class UnitSource:
    """The autoencoder or the directions of a unit.

    Attributes:
        path: the autoencoder's folder, or the directions' file.
        files: the files that are read.
        ignore: keys of the autoencoder's configuration that change nothing, as the audit says.
        block: the block after which directions are read.
    """

    path: Path
    files: tuple[Path, ...]
    ignore: tuple[str, ...] = ()
    block: int = 0

    def digests(self) -> dict[str, str]:
        """The SHA-256 of every file by its name.

        Raises:
            UsageError: one cannot be read.
        """
        try:
            return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files}
        except OSError as error:
            raise UsageError(f"{error.filename}: {error.strerror}") from None


def unit_source(unit: Unit, audit: Path | None) -> UnitSource | None:
    """What a unit is read from besides the model; None for the model's own units.

    Raises:
        UsageError: it is read from a file, and the audit is missing or names none of that name.
    """
    if unit.point.kind not in (Kind.SAE, Kind.DIR):
        return None
    if audit is None:
        raise UsageError(f"{unit} is read from a file that the index does not hold: name the audit of it with --audit")
    loaded = load_audit(audit)
    spec, name = loaded.spec.embedding, unit.point.name
    if unit.point.kind is Kind.SAE:
        for sae in spec.saes if spec is not None else ():
            if sae.name == name:
                folder = loaded.base / sae.path
                return UnitSource(folder, (folder / "cfg.json", folder / "sae_weights.safetensors"), sae.ignore)
    else:
        for directions in spec.directions if spec is not None else ():
            if directions.name == name:
                path = loaded.base / directions.path
                return UnitSource(path, (path,), block=directions.block)
    raise UsageError(f"{audit} names no {unit.point} in its embedding section")
