"""``--tokenizer gpt2`` without a network: 50 s of retries, then a garbled error of several lines.

Right: one question, no second try, one line that says what to do. A repository that is in the local cache is used.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus_audit.pipelines.tokens.tokenization import load_tokenizer
from corpus_audit.schemas.errors import UsageError

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[int]]:
    """A hub that hangs up on whoever calls; yields the calls."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                calls.append(1)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield calls
        server.shutdown(socket.SHUT_RDWR)


def test_the_hub_is_asked_once_and_the_message_is_one_line(endpoint: list[int], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_tokenizer("gpt2", tmp_path, tmp_path / "used")
    assert len(endpoint) == 1
    message = str(caught.value)
    assert message.startswith(
        "no tokenizer at gpt2: there is no such file, and the hub has no such repository or cannot be reached"
    )
    assert message.endswith("give the path of a tokenizer.json")
    assert "\n" not in message


def test_a_closed_port_is_no_network_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="no such repository or cannot be reached"):
        load_tokenizer("someone/some-model", tmp_path, tmp_path / "used")
