"""Errors that a command reports."""

import pytest

from corpus_audit.schemas.errors import UsageError, needs_extra


def test_a_missing_package_names_the_extra_that_has_it():
    message = r"no_such_package is not installed: pip install 'corpus-audit\[embeddings\]'"
    with pytest.raises(UsageError, match=message), needs_extra("embeddings"):
        import no_such_package.part  # noqa: F401


def test_a_missing_module_of_this_package_is_no_mistake_of_the_user():
    with pytest.raises(ModuleNotFoundError), needs_extra("embeddings"):
        import corpus_audit.schemas.no_such_module  # noqa: F401
