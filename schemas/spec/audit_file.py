"""Reads ``audit.yaml`` into an `AuditSpec`; every mistake is reported with file, line and column, all of them at once.

``python -m corpus_audit.schemas.spec.audit_file`` prints the JSON Schema that editors use (`audit.schema.json`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence as AbstractSequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus_audit.schemas.errors import SpecError
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.yaml import yaml_tree
from corpus_audit.schemas.yaml.structure import schema_of, schema_text, validated
from corpus_audit.schemas.yaml.yaml_tree import Mapping, Mark, Problem, Scalar, Sequence, Tree

SCHEMA_PATH = Path(__file__).with_name("audit.schema.json")
"""The JSON Schema of the spec, as an editor's YAML language server reads it."""

_NO_FILE = "there is no such file; 'corpus-audit init' writes one"

_OVERRIDE = re.compile(r'((?:[^".=\s]+|"[^"]*")(?:\.(?:[^".=\s]+|"[^"]*"))*)=(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class LoadedAudit:
    """A valid spec and its file.

    Attributes:
        spec: the content of the file, overrides applied.
        path: the file.
        base: the folder of the file, which the spec's relative paths start from.
    """

    spec: AuditSpec
    path: Path
    base: Path

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Folders that the audit writes to, whether they exist or not: they contain no data of the snapshot."""
        spec = self.spec
        folders = [spec.output, spec.store, spec.embedding.output if spec.embedding else None]
        return tuple(self.base / folder for folder in folders if folder is not None)


def load_audit(path: Path, overrides: AbstractSequence[str] = ()) -> LoadedAudit:
    """Read and check an audit spec.

    Args:
        path: the YAML file.
        overrides: ``a.b=c`` strings; ``c`` is YAML, list entries are numbers (``snapshot.paths.0=x``), and a key that
            holds a dot is put in double quotes (``mixture.weights."a.b"=1``). Later ones win.

    Raises:
        SpecError: it cannot be read or is wrong; one line a mistake, ``file:line:column: what is wrong``.
    """
    source = str(path)
    tree, problems = yaml_tree.parse(yaml_tree.read_file(path, _NO_FILE), source)
    if not isinstance(tree, Mapping):
        raise yaml_tree.spec_error([*problems, Problem(tree.mark, "expected a mapping of keys such as name, snapshot")])
    for rank, override in enumerate(overrides, start=1):
        problems += _override(tree, override, rank)
    return LoadedAudit(validated(tree, AuditSpec, problems), path, path.absolute().parent)


def json_schema() -> dict[str, Any]:
    """The spec's JSON Schema (draft 2020-12), for editors and other tools."""
    return schema_of(AuditSpec, "corpus-audit: audit.yaml")


def json_schema_text() -> str:
    """`json_schema` as the text of `SCHEMA_PATH`."""
    return schema_text(json_schema())


def _override(tree: Mapping, override: str, rank: int) -> list[Problem]:
    """Set one value in the tree; its mark is the option itself."""
    mark = Mark(rank, 0, 0, f"--set {override}")
    match = _OVERRIDE.fullmatch(override)
    if match is None:
        raise yaml_tree.spec_error([Problem(mark, "expected KEY.KEY=VALUE, such as limits.expansion=100")])
    keys = [part.strip('"') for part in re.findall(r'"[^"]*"|[^".]+', match[1])]
    value: Tree = Scalar(mark, None)
    problems: list[Problem] = []
    if match[2].strip():
        try:
            value, problems = yaml_tree.parse(match[2].encode(), "value")
        except SpecError as error:
            raise yaml_tree.spec_error(
                [Problem(mark, str(error).replace("value:1:", "in the value, column "))]
            ) from None
        value = _moved(value, mark)
    parent: Tree = tree
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(parent, Sequence):
            if not key.isdecimal() or int(key) >= len(parent.items):
                message = f"{'.'.join(keys[:depth])!r} is a list of {len(parent.items)}; entries count from 0"
                raise yaml_tree.spec_error([Problem(mark, message)])
            if last:
                parent.items[int(key)] = value
            else:
                parent = parent.items[int(key)]
        elif isinstance(parent, Mapping):
            below = parent.items.get(key)
            if last:
                below = value
            elif below is None or (isinstance(below, Scalar) and below.value is None):
                below = Mapping(mark, {}, {})
            if below is not parent.items.get(key):
                parent.items[key] = below
                parent.keys[key] = mark
            parent = below
        else:
            raise yaml_tree.spec_error(
                [Problem(mark, f"{'.'.join(keys[:depth])!r} holds a single value, not a mapping")]
            )
    return [replace(problem, mark=mark) for problem in problems]


def _moved(tree: Tree, mark: Mark) -> Tree:
    if isinstance(tree, Mapping):
        items = {key: _moved(item, mark) for key, item in tree.items.items()}
        return Mapping(mark, items, dict.fromkeys(tree.keys, mark))
    if isinstance(tree, Sequence):
        return Sequence(mark, [_moved(item, mark) for item in tree.items])
    return replace(tree, mark=mark)


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
