"""The examples of the page of attribution for images."""

import pytest

torch = pytest.importorskip("torch")

from tests.pages import blocks  # noqa: E402


def test_the_python_of_the_page_runs():
    parts = blocks("embeddings/attribution/images/README.md", language="python")
    assert parts
    for part in parts:
        exec(part.text, {})
