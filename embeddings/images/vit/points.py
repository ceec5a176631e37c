"""Units of a vision transformer: neurons, dimensions of the stream and heads, each as a map over the patches.

A unit's value at a patch is the value of the patch's token. Class and register tokens stand for no patch: they never
count, as special tokens of a text do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from corpus_audit.embeddings.images.vit.blocks import Branch, TokenStream, TracedOperation, find_stream
from corpus_audit.embeddings.models.readings import head_norms
from corpus_audit.schemas.units import Kind, Point

Range = tuple[int, int]
BoxOf = Callable[[int, tuple[Range, ...]], "tuple[Range, ...] | None"]
"""From an operation and a box of its result to the box of the input that it is computed from; None for no pixel."""

POSITIONS = 2**16


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """How the tokens of a vision transformer stand for patches of its input.

    Attributes:
        first: the token of the first patch; those before are class and register tokens.
        tokens: in all.
        rows, columns: first and last pixel row of the patches of each row of the grid, and the same of columns.
    """

    first: int
    tokens: int
    rows: tuple[Range, ...]
    columns: tuple[Range, ...]

    @property
    def patches(self) -> int:
        """Patches of the grid."""
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True, eq=False)
class TokenReading:
    """How maps over patches are made of what a pass computes by token.

    Attributes:
        grid: of the patches.
        inputs: width of what is read, [images, tokens, inputs].
        norms: of heads, from [images, tokens, inputs] to [images, tokens, heads]; None for neurons and dimensions.
    """

    grid: PatchGrid
    inputs: int
    norms: Callable[[torch.Tensor], torch.Tensor] | None = None

    def maps(self, values: torch.Tensor) -> torch.Tensor:
        """Maps [images, units, rows, columns] of values [images, tokens, inputs]."""
        grid = self.grid
        patches = values[:, grid.first : grid.first + grid.patches]
        if self.norms is not None:
            patches = self.norms(patches)
        return patches.transpose(1, 2).unflatten(2, (len(grid.rows), len(grid.columns)))

    def replaced(self, values: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Values [images, tokens, inputs] with those of patches from maps, which gradients then reach.

        Of heads, whose maps are norms, a copy of the values.
        """
        if self.norms is not None:
            return values.clone()
        first, end = self.grid.first, self.grid.first + self.grid.patches
        return torch.cat([values[:, :first], maps.flatten(2).transpose(1, 2), values[:, end:]], 1)


@dataclass(frozen=True, slots=True)
class TokenPoint:
    """Where neurons, dimensions or heads of a block are read: ``operation`` by ``key``, then `TokenReading.maps`."""

    point: Point
    operation: int
    key: Any
    units: int
    reading: TokenReading
    after: str


@dataclass(frozen=True)
class TokenUnits:
    """The points of a vision transformer.

    Attributes:
        points: none for a model without tokens.
        refused: kinds that are not offered, with the reason as a clause.
        stream: its blocks, and the grid; None where there are none.
    """

    points: tuple[TokenPoint, ...] = ()
    refused: tuple[tuple[Kind, str], ...] = ()
    stream: TokenStream | None = None
    grid: PatchGrid | None = None


def find_token_units(
    operations: Sequence[TracedOperation], box_of: BoxOf, parameter: Callable[[str], torch.Tensor]
) -> TokenUnits:
    """The units of a vision transformer.

    Args:
        operations: of a pass over at least two images.
        box_of: traces a box back to the input.
        parameter: the model's parameters by name.
    """
    stream = find_stream(operations)
    if stream is None:
        return TokenUnits()
    grid = stream if isinstance(stream, str) else patch_grid(operations, stream.embedding, box_of)
    if isinstance(stream, str) or isinstance(grid, str):
        return TokenUnits(refused=tuple((kind, str(grid)) for kind in (Kind.MLP, Kind.RESID, Kind.HEAD)))
    points: list[TokenPoint] = []
    problems: dict[tuple[Kind, str], list[int]] = {}
    for number, block in enumerate(stream.blocks):
        end = operations[block.stream]
        reading = TokenReading(grid, end.shape[2])
        point = Point(Kind.RESID, block=number)
        points.append(TokenPoint(point, end.index, end.key, end.shape[2], reading, end.name))
        for kind, branch in ((Kind.MLP, block.mlp), (Kind.HEAD, block.attention)):
            what = "MLP" if kind is Kind.MLP else "attention"
            problem = f"the block has no {what}" if branch is None else branch.problem
            if branch is None or problem or branch.read is None:
                problems.setdefault((kind, problem), []).append(number)
                continue
            points.append(_of_branch(operations, grid, kind, number, branch, parameter))
    every = len(stream.blocks)
    refused = [
        (kind, reason if len(blocks) == every else f"in blocks {', '.join(map(str, blocks))}: {reason}")
        for (kind, reason), blocks in problems.items()
    ]
    return TokenUnits(tuple(points), tuple(refused), stream, grid)


def _of_branch(
    operations: Sequence[TracedOperation],
    grid: PatchGrid,
    kind: Kind,
    number: int,
    branch: Branch,
    parameter: Callable[[str], torch.Tensor],
) -> TokenPoint:
    assert branch.read is not None
    read = operations[branch.read]
    inputs, norms, units, after = read.shape[2], None, read.shape[2], read.name
    if kind is Kind.HEAD:
        assert branch.attends is not None
        norms, units = head_norms(written_by(branch, parameter), branch.heads), branch.heads
        after = str(operations[branch.attends].key.function).rpartition(".")[2]
    return TokenPoint(Point(kind, block=number), read.index, read.key, units, TokenReading(grid, inputs, norms), after)


def written_by(branch: Branch, parameter: Callable[[str], torch.Tensor]) -> nn.Linear:
    """The linear map by which a branch writes to the stream, without its bias and with the factors after it."""
    weight = parameter(branch.weight).detach().float()
    for name in branch.scales:
        weight = weight * parameter(name).detach().float().reshape(-1, 1)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    return linear


def patch_grid(operations: Sequence[TracedOperation], embedding: int, box_of: BoxOf) -> PatchGrid | str:
    """The grid of patches that tokens of an embedding are computed from, or why there is none, as a clause.

    Exact: every token is traced back to the pixels that it is computed from. Tokens without pixels are class and
    register tokens.
    """
    _, tokens, width = operations[embedding].shape
    if tokens > POSITIONS:
        return f"it has {tokens:,} tokens, more than {POSITIONS:,}"
    boxes = [box_of(embedding, ((0, 0), (token, token), (0, width - 1))) for token in range(tokens)]
    patches = [token for token, box in enumerate(boxes) if box is not None]
    patch_corners = [(box[2], box[3]) for box in boxes if box is not None]
    rows, columns = (tuple(dict.fromkeys(each[axis] for each in patch_corners)) for axis in (0, 1))
    in_order = [(row, column) for row in rows for column in columns]
    if not patch_corners or patch_corners != in_order or patches != list(range(patches[0], patches[0] + len(patches))):
        return "its tokens are not the patches of a grid, row by row, as far as a trial pass shows"
    return PatchGrid(patches[0], tokens, rows, columns)
