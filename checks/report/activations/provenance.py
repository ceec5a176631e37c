"""What decides a result that a run copied from beside its index, as the page shows it; tables have all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from corpus_audit.schemas.run import strict_json


@dataclass(frozen=True)
class Provenance:
    """A result's file, and (name, value) of what decides it."""

    file: str
    facts: tuple[tuple[str, str], ...]


def provenance_of(file: str, text: str) -> Provenance:
    """The provenance of a result, from JSON.

    Args:
        file: of the result, relative to the folder of the index.
        text: an object; names and values that are no plain facts are left out, as are those that are long.
    """
    try:
        values = strict_json.loads(text.encode())
    except strict_json.StrictJsonError:
        values = {}
    return Provenance(file, tuple(_facts(values)) if isinstance(values, dict) else ())


def _facts(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    settings = values.get("parameters", values.get("settings"))
    if isinstance(settings, dict):
        yield "Settings", ", ".join(f"{name} {_plain(value)}" for name, value in settings.items())
    versions = values.get("versions")
    if isinstance(versions, dict):
        yield "Versions", ", ".join(f"{name} {_plain(value)}" for name, value in versions.items())
    model = values.get("model")
    digest = model.get("digest") if isinstance(model, dict) else values.get("model_digest")
    for name, value in (("Model", digest), ("Snapshot", values.get("snapshot"))):
        if isinstance(value, str):
            yield name, f"SHA-256 {value[:16]}…"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
