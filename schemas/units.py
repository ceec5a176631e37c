"""Unit addresses: names of the units of a model; a unit has one activation per token.

    mlp.3:417        neuron 417 of block 3's MLP (of a gated MLP: the input of the down projection)
    resid.2:10       dimension 10 of the residual stream after block 2
    head.1:7         attention head 7 of block 1 (norm of what it writes)
    sae.NAME:123     latent 123 of the sparse autoencoder NAME
    dir.NAME:0       row 0 of the directions NAME
    expert.4:2       expert 2 of block 4's mixture of experts (gate logit before the softmax)
    logit:198        output logit of token id 198; of an image model, of class 198
    conv.layer1.0.conv2:17   channel 17 of an image model's convolution, by its module's name; after the batch norm and
                             the activation function that follow it; its activation on an image is its highest one

``mlp``, ``resid`` and ``head`` are units of vision transformers too: of an image, by patch.

A *point* is the part before the colon, where one tensor of activations is read; a *unit* is one of its columns.
Patterns use ``*`` for a block, a name or an index, ``NAME*`` for names, ``10-20`` for indices; ``mlp.*:*`` is every
neuron. Blocks and indices count from 0. Every address has one spelling: ``str(parse(x)) == x``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

import numpy as np

from corpus_audit.schemas.errors import UsageError


class UnitError(UsageError):
    """An address or pattern is malformed, or names a unit that the model does not have."""


class Kind(StrEnum):
    """Kind of a unit."""

    MLP = "mlp"
    RESID = "resid"
    HEAD = "head"
    SAE = "sae"
    DIR = "dir"
    EXPERT = "expert"
    LOGIT = "logit"
    CONV = "conv"


IN_BLOCKS = (Kind.MLP, Kind.RESID, Kind.HEAD, Kind.EXPERT)
"""Kinds whose points are numbered by block."""

NAMED = (Kind.SAE, Kind.DIR, Kind.CONV)
"""Kinds whose points have names."""

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"
"""A name of an SAE, of directions or of a convolution's module, as a regular expression."""

_NUMBER = r"0|[1-9][0-9]*"
_POINT = re.compile(rf"(?:(?P<kind>[a-z]+)\.(?P<location>{NAME})|(?P<single>[a-z]+))", re.ASCII)
_UNIT = re.compile(rf"(?P<point>[^:]+):(?P<index>{_NUMBER})", re.ASCII)
_PATTERN = re.compile(rf"(?P<point>[^:]+):(?P<index>\*|{_NUMBER}|(?P<low>{_NUMBER})-(?P<high>{_NUMBER}))", re.ASCII)
_GRAMMAR = (
    "write mlp.3:417, resid.2:10, head.1:7, sae.NAME:123, dir.NAME:0, expert.4:2, logit:198 or conv.NAME:3; "
    "patterns have * for a part"
)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a model at which activations are read.

    Attributes:
        kind: kind of its units.
        block: the block, for kinds in `IN_BLOCKS`; else None.
        name: the name, for kinds in `NAMED`; else the empty string.
    """

    kind: Kind
    block: int | None = None
    name: str = ""

    def __str__(self) -> str:
        if self.block is not None:
            return f"{self.kind}.{self.block}"
        return f"{self.kind}.{self.name}" if self.name else str(self.kind)

    @property
    def order(self) -> tuple[int, int, str]:
        """Sorts points by kind, block and name."""
        return list(Kind).index(self.kind), -1 if self.block is None else self.block, self.name


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: the ``index``-th column of a point."""

    point: Point
    index: int

    def __str__(self) -> str:
        return f"{self.point}:{self.index}"


def parse_point(text: str) -> Point:
    """Parse the address of a point.

    Raises:
        UnitError: the text is not one.
    """
    match = _POINT.fullmatch(text)
    kind = (match["kind"] or match["single"]) if match else ""
    if not match or kind not in list(Kind):
        raise UnitError(f"{text!r} is not a point of a model: {_GRAMMAR}")
    location = match["location"]
    if kind in IN_BLOCKS and location is not None and re.fullmatch(_NUMBER, location, re.ASCII):
        return Point(Kind(kind), block=int(location))
    if kind in NAMED and location is not None:
        return Point(Kind(kind), name=location)
    if kind == Kind.LOGIT and location is None:
        return Point(Kind.LOGIT)
    raise UnitError(f"{text!r} is not a point of a model: {_GRAMMAR}")


def parse_unit(text: str) -> Unit:
    """Parse the address of a unit.

    Raises:
        UnitError: the text is not one.
    """
    match = _UNIT.fullmatch(text)
    if not match:
        raise UnitError(f"{text!r} is not the address of a unit: {_GRAMMAR}")
    return Unit(parse_point(match["point"]), int(match["index"]))


@dataclass(frozen=True, slots=True)
class UnitPattern:
    """A set of units: the points that match, and a range of their indices (``high`` included, None: to the end)."""

    point: str
    low: int = 0
    high: int | None = None

    def __str__(self) -> str:
        if self.high is None:
            return f"{self.point}:*"
        return f"{self.point}:{self.low}" + (f"-{self.high}" if self.high != self.low else "")

    def matches(self, point: Point) -> bool:
        """Whether the pattern names this point."""
        return fnmatchcase(str(point), self.point)


def parse_pattern(text: str) -> UnitPattern:
    """Parse a pattern of units; an address is a pattern too.

    Raises:
        UnitError: the text is not one.
    """
    match = _PATTERN.fullmatch(text)
    if not match:
        raise UnitError(f"{text!r} is not a pattern of units: {_GRAMMAR}")
    point = match["point"]
    kind, dot, location = point.partition(".")
    without_stars = location.replace("*", "x")
    example = without_stars if without_stars != "x" or kind not in IN_BLOCKS else "0"
    parse_point(f"{kind}{dot}{example}")  # raises if the part before the colon is malformed
    if match["index"] == "*":
        return UnitPattern(point)
    low, high = (int(match[name]) if match[name] else int(match["index"]) for name in ("low", "high"))
    if high < low:
        raise UnitError(f"{text!r}: the range of indices is empty")
    return UnitPattern(point, low, high)


def select(patterns: Iterable[UnitPattern], widths: Mapping[Point, int]) -> dict[Point, np.ndarray]:
    """The units of a model that patterns name.

    Args:
        patterns: patterns of units; the union is selected.
        widths: every point that the model has, and its number of units.

    Returns:
        point -> indices, int64 ascending, for points with at least one; in the order of `Point.order`.

    Raises:
        UnitError: a pattern matches nothing, or names an index out of range; the message says what exists.
    """
    selected: dict[Point, list[np.ndarray]] = {}
    for pattern in patterns:
        points = [point for point in widths if pattern.matches(point)]
        if not points:
            raise UnitError(f"no unit matches {str(pattern)!r}; there are {describe(widths)}")
        if pattern.high is not None and all(pattern.high >= widths[point] for point in points):
            raise UnitError(f"no unit matches {str(pattern)!r}: indices of {points[0]} end at {widths[points[0]] - 1}")
        for point in points:
            high = widths[point] - 1 if pattern.high is None else min(pattern.high, widths[point] - 1)
            selected.setdefault(point, []).append(np.arange(pattern.low, high + 1))
    return {
        point: np.unique(np.concatenate(selected[point])).astype(np.int64)
        for point in sorted(selected, key=lambda p: p.order)
        if any(map(len, selected[point]))
    }


def check_exists(unit: Unit, widths: Mapping[Point, int]) -> None:
    """Check that a model or an index has a unit.

    Raises:
        UnitError: it does not; the message says what exists.
    """
    if unit.point not in widths:
        raise UnitError(f"there is no {unit.point}; there are {describe(widths)}")
    if not 0 <= unit.index < widths[unit.point]:
        raise UnitError(f"there is no {unit}: indices of {unit.point} end at {widths[unit.point] - 1}")


def describe(widths: Mapping[Point, int]) -> str:
    """The points and their widths as a phrase: ``mlp.0 to mlp.5 (1,536 each), resid.0 to resid.5 (384 each)``."""
    runs: list[list[Point]] = []
    for point in sorted(widths, key=lambda p: p.order):
        last = runs[-1][-1] if runs else None
        follows = last is not None and last.kind == point.kind and point.block is not None
        if follows and last is not None and point.block == (last.block or 0) + 1 and widths[last] == widths[point]:
            runs[-1].append(point)
        else:
            runs.append([point])
    parts = [
        f"{run[0]} to {run[-1]} ({widths[run[0]]:,} each)" if len(run) > 1 else f"{run[0]} ({widths[run[0]]:,})"
        for run in runs
    ]
    return ", ".join(parts) or "none"
