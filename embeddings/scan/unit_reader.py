"""Activations of one unit of an index on given tokens, whatever its kind: loads the model, and what the unit needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus_audit.embeddings.index.files import IndexFacts
from corpus_audit.embeddings.models.autoencoders import WEIGHTS_FILE, load_autoencoder
from corpus_audit.embeddings.models.directions import load_vectors
from corpus_audit.embeddings.models.hooks import Activations, Directions, Taps
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.scan.batches import LEAST_TOKENS
from corpus_audit.embeddings.scan.encoder import open_model
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit, UnitPattern

_ROWS = 32


class UnitReader:
    """Reads one unit of a model; its hooks are on only while it reads."""

    def __init__(self, model: LanguageModel, unit: Unit, saes: Any = None, directions: Any = None) -> None:
        """Hook a unit.

        Args:
            model: the model.
            unit: its address.
            saes, directions: by name, as `Taps` takes them, where the unit is of one of these.
        """
        self.model = model
        named = unit.point.kind in (Kind.SAE, Kind.DIR)
        patterns = () if named else (UnitPattern(str(unit.point), unit.index, unit.index),)
        self._taps = Taps(model, patterns, saes, directions)
        self._row = 0
        if named:
            assert unit.point.name is not None
            self._row = self._taps.rows_of(unit.point.kind, unit.point.name)[0] + unit.index

    def activations(self, ids: np.ndarray, lowest: bool = False) -> np.ndarray:
        """The unit's activation on every token of [B, L] ids without padding, float32 [B, L].

        Args:
            ids: token ids, special ones included.
            lowest: before the activation function, where the model has one there.
        """
        collected: list[np.ndarray] = []

        def sink(activations: Activations) -> None:
            column = self._row - activations.row
            wanted = activations.lowest if lowest else activations.highest
            if wanted and 0 <= column < activations.values.shape[-1]:
                collected.append(activations.values[:, :, column].detach().float().cpu().numpy())

        parts = []
        with self._taps.hooked():
            for begin in range(0, len(ids), _ROWS):
                part = ids[begin : begin + _ROWS]
                least = -(-LEAST_TOKENS // ids.shape[1])  # as in `batches`: fewer tokens round differently
                filled = np.concatenate([part, np.repeat(part[-1:], max(0, least - len(part)), axis=0)])
                collected.clear()
                self._taps.run(torch.from_numpy(filled.astype(np.int64)).to(self._taps.device), sink)
                parts.append(collected[-1][: len(part)])
        return np.concatenate(parts)


def open_unit(facts: IndexFacts, folder: Path, unit: Unit, model: str | None = None) -> UnitReader:
    """Load the model of an index, and the autoencoder or directions of a unit.

    Raises:
        UsageError: the model, the autoencoder or the directions are not there, or not those of the index.
    """
    loaded = open_model(facts, folder, model, with_head=unit.point.kind is Kind.LOGIT)
    if unit.point.kind not in (Kind.SAE, Kind.DIR):
        return UnitReader(loaded, unit)
    name = str(unit.point.name)
    source = (facts.sources or {}).get(str(unit.point))
    if source is None:
        raise UsageError(f"the index does not say where {unit.point} was read from")
    path = _find(source, folder, str(unit.point))
    if unit.point.kind is Kind.SAE:
        return UnitReader(loaded, unit, {name: load_autoencoder(path, tuple(source["ignore"]))})
    vectors = torch.from_numpy(load_vectors(path))
    return UnitReader(loaded, unit, None, {name: Directions(int(source["block"]), vectors)})


def source_digest(path: Path) -> str:
    """SHA-256 of the weights of an autoencoder's folder, or of a file of directions."""
    file = path / WEIGHTS_FILE if path.is_dir() else path
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _find(source: Mapping[str, Any], folder: Path, what: str) -> Path:
    """The path of an autoencoder or of directions, from the working directory or the folders above the index."""
    for base in (Path.cwd(), *folder.resolve().parents):
        path = base / str(source["path"])
        if path.exists():
            if source_digest(path) != source["sha256"]:
                raise UsageError(f"{path} is not what {what} was indexed with: its content differs")
            return path
    raise UsageError(f"{source['path']}, which {what} is read from, does not exist")
