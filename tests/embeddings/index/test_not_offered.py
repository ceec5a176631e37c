"""What an index says of units that it does not offer."""

import pytest

from corpus_audit.embeddings.index.not_offered import NotOffered, reasons_for
from corpus_audit.schemas.units import Kind

RECORDS = [
    NotOffered(Kind.MLP, (0, 1, 2, 5), "neurons of routed experts"),
    NotOffered(Kind.HEAD, (3,), "a convolution stands there", exists=False),
    NotOffered(Kind.LOGIT, (), "no logits are returned"),
]
STORED = [each.as_json() for each in RECORDS]
MLP, LOGIT = (
    "not offered, mlp of blocks 0-2 and 5: neurons of routed experts",
    "not offered, logit: no logits are returned",
)


def test_records_come_back_from_json():
    assert [NotOffered.from_json(each) for each in STORED] == RECORDS


@pytest.mark.parametrize(
    ("pattern", "listed"),
    [
        (None, [MLP, LOGIT]),
        ("mlp.*:*", [MLP]),
        ("mlp.5:3", [MLP]),
        ("mlp.3:*", []),
        ("logit:*", [LOGIT]),
        ("head.3:*", []),  # a block without attention lacks nothing
        ("*:*", [MLP, LOGIT]),
    ],
)
def test_a_pattern_lists_what_is_missing_of_its_kind_and_block(pattern, listed):
    assert reasons_for(STORED, pattern) == listed


def test_an_index_that_does_not_say_it_lists_nothing():
    assert reasons_for(None, "mlp.*:*") == []
