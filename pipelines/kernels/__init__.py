"""Compiled loops over Arrow buffers (numba): no Python object a row, no GIL; each has a plain oracle in the tests."""
