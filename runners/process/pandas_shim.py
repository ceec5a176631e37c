"""Keeps pandas out of a process that has no use for it."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _NoPandas(MetaPathFinder):
    """Finds that pandas is not installed."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        """Raise for pandas; leave every other module to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out", name=fullname)


def keep_pandas_out() -> None:
    """Let pyarrow take pandas for not installed in this process, unless it is imported already.

    pyarrow imports pandas for the first ``pyarrow.array``, to know a Series from a list: 0.4 s and 60 MB in every
    command, none of which hands it one. It asks once, so that ``import pandas`` works as always afterwards, but
    ``to_pandas`` does not: for the command line's own process alone, not for programs that call this package.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("pyarrow").array([])
    finally:
        sys.meta_path.remove(finder)
