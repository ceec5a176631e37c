"""Names of timm's models in an audit: a folder with its config.json, or ``timm:ARCHITECTURE:FILE``; no torch."""

from __future__ import annotations

import json
from pathlib import Path

PREFIX = "timm:"


def is_timm(name: str, base: Path) -> bool:
    """Whether a name is that of a model of timm: by its beginning, or a folder whose config.json is timm's."""
    if name.startswith(PREFIX):
        return True
    path = (base / name).expanduser() / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "architecture" in config and "model_type" not in config
