"""Activations of one unit of an index on given tokens, whatever its kind: loads the model, and what the unit needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus_audit.embeddings.index.files import IndexFacts
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.models.autoencoders import WEIGHTS_FILE, load_autoencoder, load_weights
from corpus_audit.embeddings.models.directions import load_vectors
from corpus_audit.embeddings.models.hooks import Activations, Directions, Taps
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.scan.batches import LEAST_TOKENS
from corpus_audit.embeddings.scan.encoder import open_model
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Point, Unit, UnitPattern

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


def source_vector(facts: IndexFacts, folder: Path, unit: Unit) -> np.ndarray | None:
    """What a latent or direction writes, [d]: its row of the decoder, or itself; None for a model's own units.

    Raises:
        UsageError: the autoencoder or the directions are not there, or not those of the index.
    """
    if unit.point.kind not in (Kind.SAE, Kind.DIR):
        return None
    source = (facts.sources or {}).get(str(unit.point))
    if source is None:
        raise UsageError(f"the index does not say where {unit.point} was read from")
    path = _find(source, folder, str(unit.point))
    vectors = load_weights(path)["W_dec"].numpy() if unit.point.kind is Kind.SAE else load_vectors(path)
    vector: np.ndarray = vectors[unit.index]
    return vector


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


def open_points(
    facts: IndexFacts, folder: Path, points: Sequence[Point], model: str | None = None
) -> tuple[LanguageModel, Taps]:
    """Load the model of an index, and taps on all units of some points.

    Raises:
        UsageError: the model, or what units are read from, is not that of the index.
    """
    loaded = open_model(facts, folder, model, with_head=any(point.kind is Kind.LOGIT for point in points))
    sources = {point: (facts.sources or {})[str(point)] for point in points if point.name}
    paths = {point: _find(source, folder, str(point)) for point, source in sources.items()}
    saes = {
        str(point.name): load_autoencoder(path, tuple(sources[point]["ignore"]))
        for point, path in paths.items()
        if point.kind is Kind.SAE
    }
    directions = {
        str(point.name): Directions(int(sources[point]["block"]), torch.from_numpy(load_vectors(path)))
        for point, path in paths.items()
        if point.kind is Kind.DIR
    }
    patterns = tuple(UnitPattern(str(point)) for point in points if not point.name)
    return loaded, Taps(loaded, patterns, saes, directions)


def text_activations(
    index: Index, text: str, points: Sequence[Point], model: str | None = None
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Activations of all indexed units of some points on the tokens of a text that count.

    Yields:
        The row of the first unit in the index, float32 [T, columns], and where the T tokens start and end in the text.

    Raises:
        UsageError: the model, or what units are read from, is not that of the index.
    """
    facts = index.facts
    loaded, taps = open_points(facts, index.folder, points, model)
    firsts = taps.selection.first_rows()
    card = loaded.card
    plan = WindowPlan(facts.window, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)
    windows = cut([text], [document_key(None, text)], loaded.tokenizer, plan)
    for number in range(len(windows)):
        part = slice(int(windows.offsets[number]), int(windows.offsets[number + 1]))
        counted, collected = windows.counted[part], []
        ids = np.repeat(
            windows.tokens[part][None].astype(np.int64), -(-LEAST_TOKENS // (part.stop - part.start)), axis=0
        )
        with taps.hooked():
            taps.run(
                torch.from_numpy(ids).to(taps.device),
                lambda a: collected.append((a.row, a.values[0].float().cpu().numpy())) if a.highest else None,  # noqa: B023
            )
        starts, ends = (each[part][counted] + windows.text_starts[number] for each in (windows.starts, windows.ends))
        for point, first in firsts.items():
            width = len(taps.selection.indices[point])
            tiles = [values for row, values in collected if first <= row < first + width]
            values = np.concatenate(tiles, axis=1)[counted]
            own = index.rows_of(point, np.arange(index.widths[point]))
            yield int(own[0]), values[:, np.asarray(index.array("indices")[own])], starts, ends
