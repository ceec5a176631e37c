"""Explanations of units in words that other tools have made, kept beside an index and shown with its units."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.units import Kind, Point, Unit, UnitError, parse_point

_LATENT = re.compile(r".*_latent(\d+)\.(?:txt|json)")


@dataclass(frozen=True, slots=True)
class UnitExplanation:
    """What a tool or a person says of a unit.

    Attributes:
        text: the explanation.
        source: the file that it is from, or ``command`` if an explainer of `scoring` made it; model: what made it, if
            that is known.
        scores: results of `scoring`, the newest of each task and command, with their provenance.
    """

    text: str
    source: str
    model: str | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)


def import_explanations(index: Index, path: Path, point: str | None = None) -> tuple[int, int]:
    """Read explanations and keep them beside an index; earlier ones of the same units and file are replaced.

    Args:
        index: the index.
        path: Neuronpedia's explanations (.jsonl or .jsonl.gz: layer, index and description), or a folder of delphi's
            explanations (NAME_latentN.txt, each a JSON string).
        point: the point whose units they are of; needed for delphi's.

    Returns:
        Units of the index that have one, and explanations of others, which are left out.

    Raises:
        UsageError: the path is neither, or a line is not as above.
    """
    known = _read(_path(index))
    by_unit: dict[str, list[UnitExplanation]] = {}
    others = 0
    for unit, explanation in _delphi(path, point) if path.is_dir() else _neuronpedia(path, point):
        try:
            index.row_of(unit)
        except (UnitError, UsageError):
            others += 1
            continue
        by_unit.setdefault(str(unit), []).append(explanation)
    for name, explanations in by_unit.items():
        before = {each.text: each.scores for each in known.get(name, []) if each.source == path.name}
        kept = [each for each in known.get(name, []) if each.source != path.name]
        known[name] = kept + [replace(each, scores=before.get(each.text, [])) for each in explanations]
    if by_unit:
        _write(index, known)
    return len(by_unit), others


def add_explanations(index: Index, by_unit: Mapping[str, UnitExplanation]) -> None:
    """Keep an explanation of each unit beside an index, in place of an earlier one of the same source and model."""
    known = _read(_path(index))
    for name, new in by_unit.items():
        kept = [each for each in known.get(name, []) if (each.source, each.model) != (new.source, new.model)]
        known[name] = [*kept, new]
    _write(index, known)


def add_scores(index: Index, scores: Mapping[tuple[str, str], Sequence[dict[str, Any]]]) -> None:
    """Keep scores with the explanations that they are of; earlier ones of the same task and command are replaced.

    Args:
        index: the index.
        scores: by the unit and the explanation's text; each has the keys ``task`` and ``command``.
    """
    known = _read(_path(index))
    for (name, text), new in scores.items():
        replaced = {(each["task"], tuple(each["command"])) for each in new}
        for at, explanation in enumerate(known.get(name, [])):
            if explanation.text == text:
                kept = [s for s in explanation.scores if (s["task"], tuple(s["command"])) not in replaced]
                known[name][at] = replace(explanation, scores=[*kept, *new])
    _write(index, known)


def _write(index: Index, known: Mapping[str, Sequence[UnitExplanation]]) -> None:
    _path(index).parent.mkdir(exist_ok=True)
    payload = {name: [asdict(each) for each in explanations] for name, explanations in sorted(known.items())}
    atomic_write(_path(index), strict_json.dumps(payload))


def explanations_of(index: Index, unit: str | Unit) -> list[UnitExplanation]:
    """The explanations of a unit, in the order in which they were imported."""
    return _read(_path(index)).get(str(unit), [])


def _path(index: Index) -> Path:
    return index.folder.parent / ".explanations" / f"{index.folder.name}.json"


def _read(path: Path) -> dict[str, list[UnitExplanation]]:
    try:
        payload = strict_json.loads(path.read_bytes())
        return {str(name): [UnitExplanation(**each) for each in rows] for name, rows in payload.items()}
    except (OSError, strict_json.StrictJsonError, TypeError, AttributeError):
        return {}


def _neuronpedia(path: Path, point: str | None) -> Iterator[tuple[Unit, UnitExplanation]]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            own = parse_point(point) if point else _point_of(str(row["layer"]))
            unit = Unit(own, int(row["index"]))
            made_by = row.get("explanationModelName")
            yield unit, UnitExplanation(str(row["description"]), path.name, None if made_by is None else str(made_by))
        except (ValueError, KeyError, TypeError, AttributeError, UnitError) as error:
            raise UsageError(
                f"{path}, line {number} is no explanation with layer, index and description: {error}"
            ) from None


def _point_of(layer: str) -> Point:
    """The point that `export.layer_name` calls so."""
    block, _, name = layer.partition("-")
    if name in (Kind.MLP.value, Kind.RESID.value, Kind.HEAD.value, Kind.EXPERT.value):
        return Point(Kind(name), int(block))
    return Point(Kind.SAE, name=name)


def _delphi(path: Path, point: str | None) -> Iterator[tuple[Unit, UnitExplanation]]:
    files = sorted((int(match.group(1)), file) for file in path.iterdir() if (match := _LATENT.fullmatch(file.name)))
    if not files:
        raise UsageError(f"{path} holds no explanations NAME_latentN.txt")
    if point is None:
        raise UsageError("name the point whose units these explanations are of, such as --point sae.NAME")
    own = parse_point(point)
    for number, file in files:
        try:
            text = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} is no explanation: {error}") from None
        yield Unit(own, number), UnitExplanation(str(text), path.name)
