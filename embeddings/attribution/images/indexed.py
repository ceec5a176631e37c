"""Attributes a unit of an index of images on its examples: the images are read from the corpus again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corpus_audit.embeddings.attribution.images.regions import (
    AttributedImage,
    DomainRegions,
    StandsOut,
    by_domain,
    standing_out,
)
from corpus_audit.embeddings.attribution.images.run import Attributor, ImageResult
from corpus_audit.embeddings.images.sources import ImageSource, SplitRow
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit_file import LoadedAudit

SAME = 1e-3
"""Of the larger of a stored activation and 1, by how much the one that is computed now may differ."""


@dataclass(frozen=True)
class AttributedExample:
    """An example of an index and its attribution."""

    example: Example
    domain: str
    name: str
    result: ImageResult


@dataclass(frozen=True)
class ExampleAttribution:
    """Attributions of examples.

    Attributes:
        examples: in the order in which they were given.
        missing: examples whose image the corpus does not hold any more.
        domains: shares of regions by domain; standing_out: where one domain stands out.
    """

    examples: list[AttributedExample]
    missing: int
    domains: list[DomainRegions]
    standing_out: list[StandsOut]


def attribute_examples(
    attributor: Attributor,
    index: Index,
    examples: Sequence[Example],
    loaded: LoadedAudit,
    checked: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> ExampleAttribution:
    """Attribute a unit on examples of its index.

    Args:
        attributor: the unit and the method, with the model of the index.
        index: the index of the unit.
        examples: as `Index.lookup` gives them; each counts for the first of its locations.
        loaded: the audit whose corpus holds the images.
        checked: of how many, the strongest first, deletion, insertion and randomisation are computed.
        say: is called with a line when they are attributed.

    Raises:
        UsageError: the model is not that of the index, an activation is not the one that the index holds, or the
            corpus holds none of the images any more.
        ShardError: a shard cannot be read.
    """
    if attributor.model.digest != index.facts.model["digest"]:
        raise UsageError(f"{attributor.model.name} is not the model of the index: its digest is another one")
    data = images_of_examples(index, examples, loaded)
    if not data:
        raise UsageError("the corpus of this audit holds none of the images any more")
    say(f"attributing {attributor.unit} on {len(data):,} images")
    strongest = set(sorted(data, key=lambda number: (-examples[number].value, number))[:checked])
    attributed = []
    for number in sorted(data):
        example, at = examples[number], examples[number].locations[0]
        name = document_name(at.id, at.shard, at.row)
        result = attributor.attribute(name, data[number], number in strongest)
        now = result.stored.attribution.value
        if not abs(now - example.value) <= SAME * max(abs(example.value), 1.0):
            raise UsageError(f"the activation of {name} is {now:.5g} now, and the index holds {example.value:.5g}")
        attributed.append(AttributedExample(example, at.domain, name, result))
    domains = by_domain(
        [
            AttributedImage(each.domain, index.document_of(each.example).hex(), each.result.stored.attribution.values)
            for each in attributed
        ]
    )
    return ExampleAttribution(attributed, len(examples) - len(data), domains, standing_out(domains))


def images_of_examples(index: Index, examples: Sequence[Example], loaded: LoadedAudit) -> dict[int, bytes]:
    """The encoded images of examples by their number; those that are not there any more are left out."""
    where: dict[SplitRow, list[int]] = {}
    for number, example in enumerate(examples):
        for location in example.locations[:1]:
            where.setdefault((location.shard, location.split, location.row), []).append(number)
    images_by_number = {}
    for row, image in ImageSource.of_audit(loaded).read(where):
        for number in where[row]:
            if index.document_of(examples[number]) == image.key:
                images_by_number[number] = image.data
    return images_by_number
