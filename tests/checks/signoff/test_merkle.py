import hashlib

from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.checks.signoff import merkle

ENTRIES = st.lists(st.binary(max_size=8), max_size=40)


def recursive_root(entries):
    """MTH of RFC 6962, section 2.1, word for word."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + recursive_root(entries[:k]) + recursive_root(entries[k:])).digest()


@given(ENTRIES)
def test_the_root_is_the_rfcs(entries):
    assert merkle.root(entries) == recursive_root(entries)


def test_roots_of_the_rfcs_own_test_vectors():
    """From the reference implementation, certificate-transparency/cpp/merkletree/merkle_tree_test.cc."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    entries = [bytes.fromhex(leaf) for leaf in leaves]
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(entries[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(entries[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert merkle.root(entries).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_a_leaf_tells_name_size_and_digest_apart():
    assert len({merkle.shard_leaf("a", 1, "b"), merkle.shard_leaf("a1", 1, "b"), merkle.shard_leaf("a", 11, "b")}) == 3
