"""The cache of compiled templates: used when it is right, and never when it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from corpus_audit.checks.report.page.template_cache import CompiledTemplates

TEXT = "{{ 'x'|mark }}{{ value }}"


@pytest.fixture(autouse=True)
def _written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def render(folder: Path, source: Path, text: str = TEXT, mark: str = "!") -> str:
    environment = Environment(
        loader=DictLoader({"page": text}), autoescape=True, bytecode_cache=CompiledTemplates(folder, [source])
    )
    environment.filters["mark"] = lambda value: value + mark
    return environment.get_template("page").render(value="<")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "filters.py"
    path.write_text("one")
    return path


def test_a_stored_template_is_loaded_and_a_change_of_text_or_of_a_source_compiles_it_again(
    tmp_path: Path, source: Path
) -> None:
    folder = tmp_path / "cache"
    assert render(folder, source) == "x!&lt;"
    assert render(folder, source, mark="?") == "x!&lt;"  # loaded: the constant was evaluated when it was compiled
    assert render(folder, source, text="new {{ value }}") == "new &lt;"
    source.write_text("two")
    assert render(folder, source, mark="?") == "x?&lt;"
    assert len(list(folder.iterdir())) == 1  # that of the earlier source is gone


@pytest.mark.parametrize("content", [b"", b"j2", b"garbage"], ids=["empty", "short", "other"])
def test_a_damaged_file_is_replaced(tmp_path: Path, source: Path, content: bytes) -> None:
    render(tmp_path / "cache", source)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    for damaged in (content, whole[:25], whole[:-10]):
        path.write_bytes(damaged)
        assert render(tmp_path / "cache", source) == "x!&lt;"
        assert path.read_bytes() == whole


def test_nothing_is_written_where_python_writes_no_bytecode_or_the_folder_cannot_be_made(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert render(source / "cache", source) == "x!&lt;"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert render(tmp_path / "cache", source) == "x!&lt;"
    assert not (tmp_path / "cache").exists()
