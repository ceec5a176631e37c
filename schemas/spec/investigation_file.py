"""Reads ``investigation.yaml`` into an `InvestigationSpec`; every mistake is reported with file, line and column.

``python -m corpus_audit.schemas.spec.investigation_file`` prints its JSON Schema.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_audit.schemas.spec.investigation import InvestigationSpec
from corpus_audit.schemas.yaml import yaml_tree
from corpus_audit.schemas.yaml.structure import schema_of, schema_text, validated
from corpus_audit.schemas.yaml.yaml_tree import Mapping, Problem

_NO_FILE = "there is no such file; 'corpus-audit investigate init' writes one"


@dataclass(frozen=True, slots=True)
class LoadedInvestigation:
    """A valid spec and its file; ``base`` is the folder that its relative paths start from."""

    spec: InvestigationSpec
    path: Path
    base: Path


def load_investigation(path: Path) -> LoadedInvestigation:
    """Read and check an investigation spec.

    Raises:
        SpecError: it cannot be read or is wrong; one line a mistake, ``file:line:column: what is wrong``.
    """
    tree, problems = yaml_tree.parse(yaml_tree.read_file(path, _NO_FILE), str(path))
    if not isinstance(tree, Mapping):
        raise yaml_tree.spec_error([*problems, Problem(tree.mark, "expected a mapping of keys such as name, runs")])
    return LoadedInvestigation(validated(tree, InvestigationSpec, problems), path, path.absolute().parent)


def json_schema() -> dict[str, Any]:
    """The spec's JSON Schema (draft 2020-12)."""
    return schema_of(InvestigationSpec, "corpus-audit: investigation.yaml")


def json_schema_text() -> str:
    """The same as the text of a file."""
    return schema_text(json_schema())


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
