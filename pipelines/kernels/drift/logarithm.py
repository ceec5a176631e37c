"""A natural logarithm that vectorises."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from corpus_audit.pipelines.kernels.compiler.jit import inlined

_MANTISSA = np.uint64(52)
_ONE = np.uint64(0x3FF0000000000000)
_SHIFT = np.uint64(0x3FF0000000000000 - 0x3FE5555555555555)  # mantissas fall into [2/3, 4/3)
_MAGIC = np.uint64(0x4330000000000000)
_MAGIC_VALUE = 2.0**52 + 1023.0
_LN2 = 0.6931471805599453


@intrinsic
def _bits(typing_context, value):
    """The bit pattern of a double."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


@intrinsic
def _double(typing_context, pattern):
    """The double of a bit pattern."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@inlined
def log(x):
    """ln x of a normal positive double within 4e-13, without a branch or a division: math.log does not vectorise.

    x = 2^k (1 + f) with |f| <= 1/3, and ln(1 + f) = f + f^2 q(f) with a Chebyshev fit q of degree 13.
    """
    pattern = _bits(x)
    exponent = (pattern + _SHIFT) >> _MANTISSA
    f = _double(pattern - (exponent << _MANTISSA) + _ONE) - 1.0
    k = _double(exponent | _MAGIC) - _MAGIC_VALUE
    q = 0.09786893051711665
    q = q * f - 0.10190464932967039
    q = q * f + 0.07131510561937401
    q = q * f - 0.0783343312638656
    q = q * f + 0.09140334493644087
    q = q * f - 0.10039239585611298
    q = q * f + 0.1110881282903986
    q = q * f - 0.1249844096061996
    q = q * f + 0.14285768737458307
    q = q * f - 0.16666695956118452
    q = q * f + 0.19999999433608903
    q = q * f - 0.24999999794486744
    q = q * f + 0.33333333335033066
    q = q * f - 0.5000000000023486
    return f + f * f * q + k * _LN2
