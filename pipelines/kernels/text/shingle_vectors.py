"""Steps of sketching that are written as vector instructions, as the compiler does not find them in loops.

Late in a long document hardly any shingle is the smallest of its bin so far. `hash_shingles` therefore compares the
hashes of 64 shingles with a bound while they are in registers, and returns as one mask which are not above it;
`lower_minima` looks at three of those at a time without a branch, because their number cannot be predicted and a
misprediction takes as long as hashing twenty shingles.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

AT_ONCE = 64
"""Shingles hashed by one call: a bit each of the mask."""

BINS = 64
"""Bins of a sketch, and its bytes."""

BIN_BITS = 6
"""Leading bits of a hash that are the number of its bin."""

_LANES = 16
"""Hashes in a vector: one of AVX-512, two of AVX2, four of NEON."""

_MULTIPLIERS = (0x7F4A7C15, 0x27D4EB4F, 0x9E3779F9, 0x6659FD93, 0x78BD642F)  # of `ngrams.shingle_hash`
_WITHOUT_BIN = 2 ** (32 - BIN_BITS) - 1

_TAKEN = 3
"""Hashes that `lower_minima` looks at, whether or not so many are marked."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_HASHES, _MINIMA = ir.VectorType(_I32, _LANES), ir.VectorType(_I32, BINS)


@intrinsic
def hash_shingles(typing_context: Any, ids: Any, start: Any, bound: Any, hashes: Any, at: Any) -> Any:
    """Hash the `AT_ONCE` shingles of ``ids`` that begin at ``start`` as `ngrams.shingle_hash` does.

    Args:
        ids: uint16 or uint32, `AT_ONCE` + 4 of them from ``start`` on.
        start: int64.
        bound: uint32, of hashes without the bits of their bin.
        hashes: uint32, where they are written to, from ``at``, int64, on.

    Returns:
        uint64, whose bit k says whether hash k, without the bits of its bin, is at most ``bound``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = ir.IntType(signature.args[0].dtype.bitwidth)
        tokens = builder.gep(_data(context, builder, signature, arguments, 0), [arguments[1]])
        out = builder.gep(_data(context, builder, signature, arguments, 3), [arguments[4]])
        undefined = ir.Constant(_HASHES, ir.Undefined)
        bounds = builder.insert_element(undefined, arguments[2], _I32(0))
        bounds = builder.shuffle_vector(bounds, undefined, _splat(_HASHES, 0))
        mask = _I64(0)
        for first in range(0, AT_ONCE, _LANES):
            h = _splat(_HASHES, 0)
            for k, multiplier in enumerate(_MULTIPLIERS):
                token = _load(builder, tokens, first + k, ir.VectorType(item, _LANES))
                token = builder.zext(token, _HASHES) if item.width < 32 else token
                h = builder.add(h, builder.mul(token, _splat(_HASHES, multiplier)))
            for bits, multiplier in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
                h = builder.mul(builder.xor(h, builder.lshr(h, _splat(_HASHES, bits))), _splat(_HASHES, multiplier))
            h = builder.xor(h, builder.lshr(h, _splat(_HASHES, 16)))
            _store(builder, h, out, first)
            below = builder.icmp_unsigned("<=", builder.and_(h, _splat(_HASHES, _WITHOUT_BIN)), bounds)
            bits_of = builder.zext(builder.bitcast(below, ir.IntType(_LANES)), _I64)
            mask = builder.or_(mask, builder.shl(bits_of, _I64(first)))
        return mask

    return types.uint64(ids, types.int64, types.uint32, hashes, types.int64), generate


@intrinsic
def lower_minima(typing_context: Any, mask: Any, hashes: Any, at: Any, minima: Any) -> Any:
    """Look at the first three hashes that a mask marks: each lowers the minimum of its bin if it is below that.

    Args:
        mask: uint64, of `hash_shingles`.
        hashes: uint32, of which that from ``at``, int64, on are marked.
        minima: uint32 [BINS], changed.

    Returns:
        uint64, the mask without them. Where it marks fewer than three, the first of all `AT_ONCE` hashes is looked at
        instead, which is a hash of the same document.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        marked = builder.gep(_data(context, builder, signature, arguments, 1), [arguments[2]])
        minima = _data(context, builder, signature, arguments, 3)
        lowest_bit = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I64, [_I64, ir.IntType(1)]), "llvm.cttz.i64"
        )
        mask = arguments[0]
        for _ in range(_TAKEN):
            position = builder.and_(builder.call(lowest_bit, [mask, ir.IntType(1)(0)]), _I64(AT_ONCE - 1))
            h = builder.load(builder.gep(marked, [position]))
            minimum = builder.gep(minima, [builder.zext(builder.lshr(h, _I32(32 - BIN_BITS)), _I64)])
            builder.store(_smaller(builder, h, builder.load(minimum)), minimum)
            mask = builder.and_(mask, builder.sub(mask, _I64(1)))
        return mask

    return types.uint64(types.uint64, hashes, types.int64, minima), generate


@intrinsic
def join_minima(typing_context: Any, minima: Any) -> Any:
    """Join the second of two sets of bins, uint32 [2 BINS], into the first; returns the bound for `hash_shingles`.

    A hash above the bound, without the bits of its bin, is above the minimum of any bin.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        minima = _data(context, builder, signature, arguments, 0)
        joined = _smaller(builder, *(_load(builder, minima, first, _MINIMA) for first in (0, BINS)))
        _store(builder, joined, minima, 0)
        highest = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I32, [_MINIMA]), f"llvm.vector.reduce.umax.v{BINS}i32"
        )
        return builder.call(highest, [builder.and_(joined, _splat(_MINIMA, _WITHOUT_BIN))])

    return types.uint32(minima), generate


def _data(context: Any, builder: Any, signature: Any, arguments: Any, position: int) -> Any:
    """The address of the first item of an array that is an argument."""
    return context.make_array(signature.args[position])(context, builder, arguments[position]).data


def _splat(vector: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def _address(builder: Any, data: Any, first: int, vector: ir.VectorType) -> Any:
    return builder.bitcast(builder.gep(data, [_I64(first)]), vector.as_pointer())


def _load(builder: Any, data: Any, first: int, vector: ir.VectorType) -> Any:
    value = builder.load(_address(builder, data, first, vector))
    value.align = vector.element.width // 8
    return value


def _store(builder: Any, value: Any, data: Any, first: int) -> None:
    stored = builder.store(value, _address(builder, data, first, value.type))
    stored.align = value.type.element.width // 8


def _smaller(builder: Any, one: Any, two: Any) -> Any:
    return builder.select(builder.icmp_unsigned("<", one, two), one, two)
