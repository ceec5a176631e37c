"""An object store behind s3://, in memory, with tags of content as S3 has them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


@contextmanager
def memory_bucket() -> Iterator[Any]:
    """The store, for as long as the block lasts."""

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = "s3"
        store: dict[str, Any] = {}  # noqa: RUF012 (the parent shares it the same way)
        pseudo_dirs = [""]  # noqa: RUF012

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.removeprefix("s3://").strip("/") if path not in ("", "/") else ""

        def info(self, path: str, **options: Any) -> dict[str, Any]:
            return self._tagged(super().info(path, **options))

        def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
            result = [self._tagged(info) for info in super().ls(path, detail=True, **options)]
            return result if detail else [info["name"] for info in result]

        def find(self, path: str, detail: bool = False, **options: Any) -> Any:
            result = super().find(path, detail=True, **options)
            return {name: self._tagged(info) for name, info in result.items()} if detail else sorted(result)

        def _tagged(self, info: dict[str, Any]) -> dict[str, Any]:
            if info["type"] == "directory":
                return info
            return {**info, "ETag": hashlib.sha256(self.store[info["name"]].getvalue()).hexdigest()}

    fsspec.register_implementation("s3", Store, clobber=True)
    yield Store()
    sys.modules["fsspec.registry"]._registry.pop("s3")
