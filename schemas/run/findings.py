"""Findings of an investigation: a question, what the data say, how sure that is, and what else could explain it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from corpus_audit.schemas.errors import StoreError

FINDINGS_FILE = "findings.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reading(StrEnum):
    """What the data say."""

    SHOWN = "shown"
    CHANCE = "not beyond chance"  # shown by its own tests, but not among all questions that were tested
    NOT_SHOWN = "not shown"  # `Finding.detail` says what an effect is at most
    NOT_ENOUGH = "not enough data"  # `Finding.detail` says why


class State(StrEnum):
    """What became of another explanation."""

    RULED_OUT = "ruled out"
    NOT_RULED_OUT = "not ruled out"
    UNTESTED = "untested"


class Effect(_Record):
    """A size with its unit and 95 % interval; bounds are None where there is none."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None


class Explanation(_Record):
    """Another explanation, what became of it, and the figure or the file that says so."""

    what: str
    state: State
    figure: str


class Evidence(_Record):
    """A location in a file: ``offset`` is in bytes, rows, steps or messages, as ``unit`` says."""

    file: str
    offset: int
    unit: str
    series: str
    step: int
    value: float | None  # None for NaN and infinities, which JSON lacks; `shown` has them
    shown: str


class FindingWindow(_Record):
    """The steps of a run that a finding is about, both included."""

    run: str
    first: int
    last: int


class Finding(_Record):
    """One answer.

    Attributes:
        id: stable within the investigation.
        bucket: the part of an investigation that it belongs to.
        question, claim: in words.
        reading: what the data say of the claim; ``detail`` completes it.
        effect: its size.
        n: points, or items of evaluations, that were used, and ``excluded`` how many were not, by reason.
        test: what was done; p and q (Holm in the family ``primary``, else Benjamini-Hochberg) where it has them.
        p_adjusted: of a finding that its own tests show, p over all questions of the investigation that were tested; it
            is only ``shown`` if that is at most 5 %. None for what is a fact or is judged by a threshold.
        family: the tests that ``q`` is adjusted over; the part before a comma names the question.
        explanations: competing ones. A claim says "caused" only where a twin run and matched windows agree.
        evidence: rows of the files.
        limits: what the finding does not say.
    """

    id: str
    bucket: Literal["training", "data", "capabilities", "representations"]
    question: str
    claim: str
    reading: Reading
    detail: str = ""
    effect: Effect | None = None
    n: int = 0
    excluded: dict[str, int] = {}
    test: str = ""
    p: float | None = None
    q: float | None = None
    p_adjusted: float | None = None
    family: str | None = None
    window: FindingWindow | None = None
    explanations: tuple[Explanation, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    limits: tuple[str, ...] = ()


class Findings(_Record):
    """The file `findings.json`: every finding, the strongest first; ``questions`` is how many were tested."""

    schema_: Literal["corpus-audit/investigation/1"] = "corpus-audit/investigation/1"
    name: str
    run: str
    questions: int = 0
    findings: tuple[Finding, ...]


def read_findings(folder: Path) -> Findings:
    """The findings of a run directory.

    Raises:
        StoreError: there are none, or they are damaged.
    """
    path = folder / FINDINGS_FILE
    try:
        return Findings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
