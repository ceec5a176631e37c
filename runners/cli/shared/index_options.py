"""Options of commands that read an activation index."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from corpus_audit.schemas.errors import needs_extra

index_option = click.option(
    "--index", "path", type=click.Path(path_type=Path), default=Path("index"), show_default=True,
    help="An index, or a folder of indexes, whose newest is used.",
)  # fmt: skip

snapshot_option = click.option(
    "--snapshot", help="Use the newest index of this snapshot: the beginning of its digest or name."
)

audit_option = click.option(
    "--audit", type=click.Path(path_type=Path),
    help="The audit of the index, for units of autoencoders and directions, whose files it names.",
)  # fmt: skip

model_option = click.option("--model", help="Path of the model, if it has moved since indexing.")


def extra(module: str) -> Any:
    """Import a module of `embeddings` that needs the extra.

    Raises:
        UsageError: the extra is not installed.
    """
    with needs_extra("embeddings"):
        return importlib.import_module(f"corpus_audit.embeddings.{module}")
