"""An S3-compatible server on this machine's loopback: versitygw over a folder, built with Go once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "v1.8.0"
MODULE = "github.com/versity/versitygw/cmd/versitygw"
KEY, SECRET = "auditor", "the-auditors-secret"


def program() -> Path | None:
    """The server; built if it is not in the cache folder, None if there is no Go to build it with."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corpus-audit-tests"
    result = cache / f"versitygw-{VERSION}"
    if not result.exists():
        if shutil.which("go") is None:
            return None
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            environment = {**os.environ, "GOBIN": folder, "GOFLAGS": "-mod=mod"}
            done = subprocess.run(
                ["go", "install", f"{MODULE}@{VERSION}"], env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"versitygw cannot be built: {done.stderr[-2000:]}"
            (Path(folder) / "versitygw").replace(result)
    return result


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which clients find the server, for as long as the block lasts; buckets are folders in it."""
    server = program()
    assert server is not None
    port = free_port()
    credentials = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    process = subprocess.Popen(
        [str(server), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(folder)],
        env={**os.environ, **credentials},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "versitygw did not start"
                assert time.monotonic() < deadline, "versitygw does not answer"
                time.sleep(0.05)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()
