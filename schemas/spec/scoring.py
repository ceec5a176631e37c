"""What a scoring file may say: the commands that explain units and judge explanations, and how items are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corpus_audit.schemas.yaml import yaml_tree
from corpus_audit.schemas.yaml.structure import validated
from corpus_audit.schemas.yaml.yaml_tree import Mapping, Problem

Command = Annotated[tuple[str, ...], Field(min_length=1)]


class ScoringSpec(BaseModel):
    """How explanations are made and scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explainer: Command | None = Field(
        None,
        description="Program and arguments that write explanations; without it, those beside the index are scored.",
    )
    scorer: Command | None = Field(None, description="Program and arguments that judge items; no shell is used.")
    timeout: float = Field(3600, gt=0, description="Seconds that a command may take.")
    items: int = Field(20, ge=5, le=1000, description="Items of each class and task, each of another document.")
    examples: int = Field(10, ge=1, le=100, description="Examples that the explainer sees.")
    context: int = Field(32, ge=4, le=512, description="Tokens of an item's text at most.")
    windows: int = Field(2000, ge=10, description="Windows of the corpus that are read at most, chosen by hash.")
    active: float = Field(
        0.5, gt=0, le=1, description="Share of a unit's highest activation from which a text counts as activating."
    )
    inactive: float = Field(
        0.25, ge=0, lt=1, description="Share of it below which all activations of a text that does not activate are."
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _has_a_gap(self) -> ScoringSpec:
        if self.inactive > self.active:
            raise ValueError("inactive is above active: a text could be both")
        return self


def load_scoring(path: Path) -> ScoringSpec:
    """Read a scoring file.

    Raises:
        SpecError: it cannot be read or is wrong; one line a mistake, ``file:line:column: what is wrong``.
    """
    tree, problems = yaml_tree.parse(yaml_tree.read_file(path, "there is no such file"), str(path))
    if not isinstance(tree, Mapping):
        raise yaml_tree.spec_error([*problems, Problem(tree.mark, "expected a mapping of keys such as scorer, seed")])
    return validated(tree, ScoringSpec, problems)
