"""The identity of an image model in an index, and what a reader needs of it: preprocessing and receptive fields.

Nothing here needs torch, so that an index is read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from corpus_audit.embeddings.images.preprocessing import Preprocessing
from corpus_audit.schemas.units import Point, Unit

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PointFields:
    """The maps of a point, and the receptive fields of their rows and columns.

    Attributes:
        after: the operations from the convolution to the one whose result is read.
        rows: by row of the map, first and last row of the input that it is computed from; of all channels together.
        columns: the same of columns.
        reasons: operations that make a field the whole image.
        patch_rows, patch_columns: of units of a vision transformer, first and last row of the input of the patches in
            each row of the map, and the same of columns; empty for others.
    """

    after: tuple[str, ...]
    rows: tuple[Range, ...]
    columns: tuple[Range, ...]
    reasons: tuple[str, ...]
    patch_rows: tuple[Range, ...] = ()
    patch_columns: tuple[Range, ...] = ()

    def patch(self, position: int) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom (excluded) of a position's patch in the model's input; None without patches."""
        if not self.patch_rows:
            return None
        y, x = divmod(position, len(self.patch_columns))
        (top, bottom), (left, right) = self.patch_rows[y], self.patch_columns[x]
        return left, top, right + 1, bottom + 1

    def box(self, position: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom (excluded) of the field of a position, y * width + x, in the model's input."""
        y, x = divmod(position, len(self.columns))
        (top, bottom), (left, right) = self.rows[y], self.columns[x]
        return left, top, right + 1, bottom + 1


@dataclass(frozen=True, slots=True)
class ImageCard:
    """Identity of an image model in an index.

    Attributes:
        name: what the audit calls it.
        architecture: the module's class.
        digest: of weights, code and preprocessing.
        input_size: height and width of its input.
        preprocessing: how an image becomes its input.
        class_names: of its logits, in order; may be empty.
        fields: maps and receptive fields by point.
    """

    name: str
    architecture: str
    digest: str
    input_size: tuple[int, int]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    fields: dict[str, PointFields]

    @property
    def tokenizer(self) -> str:
        """Stands for the tokenizer of a language model where indexes are compared: an image model has none."""
        return ""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"kind": "image", "tokenizer": ""}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ImageCard:
        """The card whose `as_json` this is."""
        steps: dict[str, Any] = {
            key: tuple(each) if isinstance(each, list) else each for key, each in values["preprocessing"].items()
        }
        fields = {
            name: PointFields(
                tuple(each["after"]),
                _ranges(each["rows"]),
                _ranges(each["columns"]),
                tuple(each["reasons"]),
                _ranges(each.get("patch_rows", ())),
                _ranges(each.get("patch_columns", ())),
            )
            for name, each in values["fields"].items()
        }
        height, width = values["input_size"]
        return cls(
            str(values["name"]),
            str(values["architecture"]),
            str(values["digest"]),
            (int(height), int(width)),
            Preprocessing(**steps),
            tuple(map(str, values["class_names"])),
            fields,
        )

    def label(self, unit: Unit) -> str | None:
        """The class of a logit, if the model names its classes."""
        if unit.point != Point(unit.point.kind) or unit.index >= len(self.class_names):
            return None
        return self.class_names[unit.index]


def is_of_images(model: Mapping[str, Any]) -> bool:
    """Whether an index is of an image model; ``model``: of its index.json."""
    return model.get("kind") == "image"


def _ranges(values: Any) -> tuple[Range, ...]:
    return tuple((int(first), int(last)) for first, last in values)
