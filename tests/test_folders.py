"""The folders of the packages: no two of them import each other, and every module stands in the page of its folder."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "pipelines", "embeddings", "checks", "runners")
LIMIT = 15
"""Modules of a folder, but for the commands of the command line, which are one file each."""


def modules() -> list[str]:
    """Every module of the packages as a path from the root, ``__init__.py`` files included."""
    return sorted(path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


def imports(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of modules (who imports, what is imported), imports inside of functions included."""
    names = {f"corpus_audit.{path[:-3].replace('/', '.')}".removesuffix(".__init__"): path for path in paths}
    pairs = set()
    for path in names.values():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                members = [f"{node.module}.{alias.name}" for alias in node.names]
                imported = [member if member in names else str(node.module) for member in members]
            else:
                continue
            pairs |= {(path, names[name]) for name in imported if name in names and names[name] != path}
    return sorted(pairs)


def cycles(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Circles among what stands in one folder, at every depth: its subfolders, and its own modules as one node."""
    folders = {""} | {f"{parent.as_posix()}/" for pair in pairs for path in pair for parent in Path(path).parents}
    for folder in sorted(folders - {"./"}):
        edges = defaultdict(set)
        for importer, imported in pairs:
            if importer.startswith(folder) and imported.startswith(folder):
                source, target = _child(folder, importer), _child(folder, imported)
                if source != target:
                    edges[source].add(target)
        circle = [node for node in list(edges) if node in _reachable(edges, node)]
        if circle:
            yield f"{folder or 'the root'}: {', '.join(sorted(circle))} import each other"


def _child(folder: str, path: str) -> str:
    name, slash, _ = path.removeprefix(folder).partition("/")
    return name + slash if slash else "its own modules"


def _reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(edges.get(start, ()))
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += edges.get(node, ())
    return seen


def test_no_two_folders_import_each_other() -> None:
    assert list(cycles(imports(modules()))) == []


@pytest.mark.parametrize(
    ("pairs", "folder"),
    [
        ([("a/x.py", "b/x.py"), ("b/y.py", "a/z.py")], "the root"),
        ([("a/b/x.py", "a/c/x.py"), ("a/c/x.py", "a/d/x.py"), ("a/d/e/x.py", "a/b/y.py")], "a/"),
        ([("a/x.py", "a/b/x.py"), ("a/b/x.py", "a/y.py")], "a/"),
    ],
)
def test_a_circle_is_found_at_any_depth(pairs: list[tuple[str, str]], folder: str) -> None:
    assert [message.split(":")[0] for message in cycles(pairs)] == [folder]


def test_what_only_goes_down_is_no_circle() -> None:
    pairs = [("a/x.py", "a/b/x.py"), ("a/c/x.py", "a/b/x.py"), ("a/x.py", "a/c/x.py"), ("b/x.py", "a/x.py")]
    assert list(cycles(pairs)) == []


def page_of(module: str) -> Path:
    """The README of the nearest folder at or above a module."""
    return next(folder / "README.md" for folder in (ROOT / module).parents if (folder / "README.md").is_file())


def test_every_module_stands_in_the_page_of_its_folder() -> None:
    missing = []
    for module in modules():
        page = page_of(module)
        name = (ROOT / module).relative_to(page.parent).as_posix()
        if not name.endswith("__init__.py") and f"`{name}`" not in page.read_text(encoding="utf-8"):
            missing.append(module)
    assert missing == []


def test_no_folder_holds_too_many_modules() -> None:
    counts: dict[str, int] = defaultdict(int)
    for module in modules():
        if not module.endswith("__init__.py"):
            counts[module.rpartition("/")[0]] += 1
    assert {folder: n for folder, n in counts.items() if n > LIMIT and folder != "runners/cli"} == {}
