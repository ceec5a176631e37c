"""The walls of the house, read from the imports of every module."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BELOW = {
    "schemas": set(),
    "pipelines": {"schemas"},
    "embeddings": {"schemas", "pipelines"},
    "checks": {"schemas", "pipelines"},
    "runners": {"schemas", "pipelines", "embeddings", "checks"},
}
"""For every package, the packages it may import besides itself."""

BEHIND_WALLS = {
    "apache_beam": re.compile(r"pipelines/beam/.*"),
    "torch": re.compile(r"embeddings/.*"),
    "great_expectations": re.compile(r"checks/policy/great_expectations_rules\.py"),
}
"""For every heavy library, the modules that may import it."""


def modules():
    return sorted(path for package in BELOW for path in (ROOT / package).rglob("*.py"))


def imported(tree):
    """Every module name that a module imports, wherever in it, dynamic imports of constant names included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or "")
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            argument = node.args[0]
            if called in ("import_module", "__import__") and isinstance(argument, ast.Constant):
                yield str(argument.value)


OF_NAMED_TUPLES = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}
"""What every named tuple has in public, with an underscore so that no field can have its name."""


def private(name):
    """Whether a name belongs to its module; names with two underscores at either end are the language's."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__")) and name not in OF_NAMED_TUPLES


def private_names_of_other_modules(tree):
    """(line, name) of every private name of this house that a module imports, or reads from what it imported.

    ``from corpus_audit.a.b import _c``, ``from corpus_audit.a._b import c`` and, after ``from corpus_audit.a import b``
    or ``import corpus_audit.a.b``, every ``b._c`` and ``b.D._c``.
    """
    ours = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "corpus_audit":
            ours |= {alias.asname or alias.name for alias in node.names}
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from ((node.lineno, name) for name in names if private(name))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "corpus_audit":
                    ours.add(alias.asname or "corpus_audit")
                    yield from ((node.lineno, name) for name in alias.name.split(".") if private(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            owner = node.value
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name) and owner.id in ours:
                yield node.lineno, node.attr


def violations(module, source):
    """What a module at ``place`` (a path from the root, with slashes) may not do and does, as messages."""
    tree = ast.parse(source)
    package = module.split("/")[0]
    for name in imported(tree):
        parts = name.split(".")
        if name.startswith("."):
            yield f"{module}: relative import {name}"
        elif parts[0] == "tests" or (parts[0] == "corpus_audit" and len(parts) < 2):
            yield f"{module}: imports {name}"
        elif parts[0] == "corpus_audit" and parts[1] != package and parts[1] not in BELOW[package]:
            yield f"{module}: {package} may not import {parts[1]}"
        elif parts[0] in BEHIND_WALLS and not BEHIND_WALLS[parts[0]].fullmatch(module):
            yield f"{module}: imports {parts[0]}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{module}:{node.lineno}: print() (it can deadlock a worker, and results are the command line's)"
    yield from (f"{module}:{line}: {name} is another module's" for line, name in private_names_of_other_modules(tree))
    if "Direct" + "Runner" in source:
        yield f"{module}: names the runner that changes engine by itself"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_keeps_the_walls(path):
    assert list(violations(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas/a.py", "from corpus_audit.pipelines.progress.board import Board"),
        ("pipelines/a.py", "import corpus_audit.checks.report"),
        ("pipelines/a.py", "def f():\n    from corpus_audit.runners.process import locks"),
        ("checks/a.py", "from corpus_audit import embeddings"),
        ("embeddings/a.py", "from corpus_audit import checks as c"),
        ("runners/a.py", "from .progress import format_bytes"),
        ("runners/a.py", "from tests import oracle"),
        ("pipelines/counting/store.py", "import apache_beam as beam"),
        ("runners/engines/launch/engines.py", "import apache_beam"),
        ("runners/a.py", "from apache_beam.options import pipeline_options"),
        ("runners/a.py", "import importlib\nimportlib.import_module('torch')"),
        ("checks/verdict.py", "import great_expectations"),
        ("pipelines/a.py", "def f():\n    print(1)"),
        ("checks/a.py", "from corpus_audit.checks.text.numbers import _round"),
        ("checks/a.py", "def f():\n    from corpus_audit.checks.text import _rounding"),
        ("checks/a.py", "from corpus_audit.checks.text import numbers\nnumbers._round(1)"),
        ("checks/a.py", "from corpus_audit.checks.text import numbers as n\nn.Rounding._digits = 3"),
        ("checks/a.py", "import corpus_audit.checks.text.numbers\ncorpus_audit.checks.text.numbers._round(1)"),
        ("runners/engines/launch/engines.py", "runner = 'Direct' 'Runner'; x = 'Direct" + "Runner'"),
    ],
)
def test_planted_violations_are_found(module, source):
    assert len(list(violations(module, source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pipelines/beam/a.py", "import apache_beam"),
        ("embeddings/a.py", "import torch.nn"),
        ("checks/policy/great_expectations_rules.py", "import great_expectations"),
        ("runners/a.py", "from corpus_audit.checks.report.page import model"),
        ("schemas/a.py", "from corpus_audit.schemas.errors import AuditError"),
        ("schemas/a.py", "from corpus_audit.schemas import __version__\nimport os\nos._exit(1)"),
        ("schemas/a.py", "class A:\n    def f(self, other):\n        return self._x + other._x"),
    ],
)
def test_what_is_allowed_is_not_found(module, source):
    assert list(violations(module, source)) == []


COMES_WITH = {"triton": ["torch"]}
"""Modules that another distribution brings, on the platforms that have them, in the one version that it runs with."""


def test_every_library_that_is_imported_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [
        line for extra, lines in project["optional-dependencies"].items() if extra != "test" for line in lines
    ]
    declared = {_normal(re.match(r"[\w.-]+", line)[0]) for line in lines}
    providers = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in modules():
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in ("corpus_audit", ""):
                continue
            distributions = {_normal(result) for result in COMES_WITH.get(top) or providers.get(top, [top])}
            if not distributions & declared:
                undeclared.add(f"{path.relative_to(ROOT)}: {top} ({', '.join(sorted(distributions))})")
    assert undeclared == set()


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()
