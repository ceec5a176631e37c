"""What decides an attribution, and its provenance; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from corpus_audit.embeddings.attribution.methods.names import BaselineToken, Method
from corpus_audit.embeddings.attribution.sources import UnitSource
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.stored_results import library_versions
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Unit

FORMAT = "corpus-audit/attribution/1"


@dataclass(frozen=True)
class AttributionSettings:
    """How an activation is attributed, and what is checked.

    Attributes:
        method: the method.
        baseline: what stands for a token that says nothing; auto: the mask token of an encoder that has one, else the
            mean of all word embeddings.
        tolerance: of the completeness error of integrated gradients.
        steps, most_steps: points of its quadrature, at first and at most.
        checked: of how many examples deletion, insertion and the correlation with permuted weights are computed.
        orders: random orders beside the attribution's.
        curve: points of a deletion curve after its first.
        seed: of random orders and permutations.
        lowest: what is attributed is -F at a unit's lowest activation, so that a token's value is by how much it lowers
            the activation; of an ungated MLP it is the one before the activation function, as in an index.
    """

    method: Method = Method.INTEGRATED_GRADIENTS
    baseline: BaselineToken = BaselineToken.AUTO
    tolerance: float = 1e-3
    steps: int = 16
    most_steps: int = 512
    checked: int = 1
    orders: int = 20
    curve: int = 10
    seed: int = 0
    lowest: bool = False


def provenance_of(
    index: Index, unit: Unit, source: UnitSource | None, parameters: Mapping[str, Any], inputs: Any, what: str
) -> dict[str, Any]:
    """Everything that decides a result, as plain values: its digest names the file.

    Args:
        index: the index of the unit.
        unit: the unit.
        source: what it is read from besides the model.
        parameters: of the method.
        inputs: what the unit is applied to.
        what: the method, or ``prototype``.

    Raises:
        UsageError: a library that runs the model is not installed.
    """
    model = index.facts.model
    versions = library_versions()
    for library, version in versions.items():
        if version is None:
            raise UsageError(f"{library} is not installed: pip install 'corpus-audit[embeddings]'")
    return {
        "format": FORMAT,
        "unit": str(unit),
        "method": what,
        "parameters": dict(parameters),
        "inputs": inputs,
        "model": {"name": model["name"], "digest": model["digest"], "tokenizer": model["tokenizer"]},
        "snapshot": index.facts.snapshot,
        "scan": index.facts.scan,
        "files": {} if source is None else source.digests(),
        "versions": versions,
    }


def plain(settings: AttributionSettings) -> dict[str, Any]:
    """The settings but for the method, as plain values; ``lowest`` only if it is set."""
    values = asdict(settings)
    left_out = {"method"} if settings.lowest else {"method", "lowest"}
    return {name: str(v) if isinstance(v, BaselineToken) else v for name, v in values.items() if name not in left_out}
