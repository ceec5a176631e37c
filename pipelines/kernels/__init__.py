"""Compiled loops over Arrow buffers (numba): no Python object a row, no GIL; each has a plain oracle in the tests."""

from corpus_audit.pipelines.kernels.compiler import (
    machine_code as machine_code,  # digests the sources before one is imported
)
