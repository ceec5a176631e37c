"""Paths in a spec or policy; a ``~`` at the start is the user's home, as in a shell."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator


def expand_home(path: str) -> str:
    """The path with ``~`` or ``~user`` at its start replaced; any other path, and a URL, as it is."""
    return os.path.expanduser(path) if path.startswith("~") else path  # noqa: PTH111


PathText = Annotated[str, AfterValidator(expand_home)]
"""A path as written, but for its home folder; relative ones stay relative to the file that holds them."""
