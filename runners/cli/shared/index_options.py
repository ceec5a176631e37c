"""Options of the commands that read an activation index."""

from __future__ import annotations

from pathlib import Path

import click

index_option = click.option(
    "--index", "path", type=click.Path(path_type=Path), default=Path("index"), show_default=True,
    help="The index, or a folder of indexes: the newest.",
)  # fmt: skip

snapshot_option = click.option(
    "--snapshot", help="Of the indexes in the folder, the newest of this snapshot: the beginning of its digest or name."
)
