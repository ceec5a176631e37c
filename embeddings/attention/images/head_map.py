"""What a head of a vision transformer takes of each patch, from the class token or from a patch, with checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attention.images.weights import attention_of, read_weights
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.vit.points import written_by
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit, check_exists

CLASS, PEAK = "class", "peak"
"""Queries by name: the class token, or the patch where the head writes most."""


@dataclass(frozen=True)
class HeadMap:
    """A head on one image, seen from one query.

    Attributes:
        attention: float64 [rows, columns], the weight of each patch.
        written: float64 [rows, columns], ||A v W_O||: the length of what the head writes from each patch.
        others: weights of tokens that are no patches, in order; the class token is the first.
        value: ||sum of A v W_O||, the head's activation at the query.
        query: row and column of the patch; None for the class token.
        patch: of the query, left, top, right and bottom in the model's input; None for the class token.
        row_error: by how much the weights' sum differs from 1 at most, over all heads and queries of the block.
        error: by how much weights times values differ from what the attention computes, of its largest number.
        sum_error: by how much all heads' parts and the bias differ from what the attention writes at the query, as a
            share of its length.
    """

    attention: np.ndarray
    written: np.ndarray
    others: tuple[float, ...]
    value: float
    query: tuple[int, int] | None
    patch: tuple[int, int, int, int] | None
    row_error: float
    error: float
    sum_error: float


def head_map(model: ImageModel, unit: Unit, inputs: torch.Tensor, query: str = CLASS) -> HeadMap:
    """What a head takes of each patch.

    Args:
        model: a vision transformer.
        unit: the head.
        inputs: float32 [3, h, w], as `ImageModel.preprocess` gives it.
        query: `CLASS`, `PEAK`, or the patch's row and column as ``3,4``, from 0.

    Raises:
        UsageError: there is no such head or patch, the model has no class token, or its attention cannot be read.
    """
    if unit.point.kind is not Kind.HEAD or unit.point.block is None:
        raise UsageError(f"{unit} is no attention head: write head.1:7")
    branch = attention_of(model, unit.point.block)
    check_exists(unit, model.units.widths())
    grid = model.units.tokens.grid
    assert grid is not None
    rows, columns = len(grid.rows), len(grid.columns)
    read = read_weights(model, unit.point.block, inputs)
    size = read.values.shape[2]
    weight = written_by(branch, model.parameter).weight  # [width, heads * size]
    vectors = read.values.double() @ weight.double().unflatten(1, (branch.heads, size)).permute(1, 2, 0)
    if query == PEAK:
        written = (read.weights.double()[unit.index] @ vectors[unit.index]).norm(dim=1)
        at: int | None = int(written[grid.first : grid.first + grid.patches].argmax())
    else:
        at = _patch(query, rows, columns)
    if at is None and grid.first == 0:
        raise UsageError(f"{model.name} has no class token: name a patch as ROW,COLUMN, or peak")
    token = 0 if at is None else grid.first + at
    row = read.weights[unit.index, token].double()
    parts = row[:, None] * vectors[unit.index]
    patches = slice(grid.first, grid.first + grid.patches)
    lengths = parts.norm(dim=1)[patches]
    others = torch.cat([row[: grid.first], row[grid.first + grid.patches :]])
    y, x = divmod(at, columns) if at is not None else (0, 0)
    (top, bottom), (left, right) = grid.rows[y], grid.columns[x]
    return HeadMap(
        row[patches].reshape(rows, columns).cpu().numpy(),
        lengths.reshape(rows, columns).cpu().numpy(),
        tuple(others.tolist()),
        float(parts.sum(0).norm()),
        None if at is None else (y, x),
        None if at is None else (left, top, right + 1, bottom + 1),
        read.row_error,
        read.error,
        _sum_error(model, branch.weight, branch.scales, read.added[token], read.weights[:, token], vectors),
    )


def _sum_error(
    model: ImageModel,
    name: str,
    scales: tuple[str, ...],
    added: torch.Tensor,
    weights: torch.Tensor,
    vectors: torch.Tensor,
) -> float:
    """How far all heads' parts and the bias are from what the attention writes, as a share of its length."""
    scale = torch.ones((), dtype=torch.float64, device=added.device)
    for each in scales:
        scale = scale * model.parameter(each).double()
    parameters = dict(model.module.named_parameters())
    bias = parameters.get(f"{name.removesuffix('weight')}bias")
    expected = torch.einsum("ht,htd->d", weights.double(), vectors)
    if bias is not None:
        expected = expected + bias.double() * scale
    written = added.double() * scale
    return float((expected - written).norm() / written.norm().clamp_min(1e-30))


def _patch(query: str, rows: int, columns: int) -> int | None:
    """The patch of a query; None for the class token."""
    if query == CLASS:
        return None
    y, comma, x = query.partition(",")
    if not (comma and y.isdecimal() and x.isdecimal() and int(y) < rows and int(x) < columns):
        last = f"{rows - 1},{columns - 1}"
        raise UsageError(
            f"{query!r} is no query: write {CLASS}, {PEAK}, or a patch's row and column from 0,0 to {last}"
        )
    return int(y) * columns + int(x)
