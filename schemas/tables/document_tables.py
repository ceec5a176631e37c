"""Arrow schemas of the tables of single documents and texts: hashes, ids, samples, and every document's counts."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import DOMAIN, field

DOCUMENT_HASHES = pa.schema(
    [
        field("hash", pa.binary(16), "BLAKE2b-128 of the text's UTF-8 bytes"),
        field("domain", DOMAIN, "value of the primary facet"),
        field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
    ],
    metadata={"title": "Every distinct text by domain", "order": "hash, domain"},
)

DOCUMENT_IDENTITIES = pa.schema(
    [
        field("hash", pa.binary(16), "BLAKE2b-128 of the text's UTF-8 bytes"),
        field(
            "identity",
            pa.uint64(),
            "first 64 bits, big-endian as in hash, of BLAKE2b-128 of the id's bytes; null without an id",
            nullable=True,
        ),
        field("domain", DOMAIN, "value of the primary facet"),
        field("documents", pa.int64(), "documents with this id and text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field("sketch", pa.binary(64), "one-permutation MinHash of 5-token shingles: 64 bins, a byte each, 0: empty"),
        field("id", pa.string(), "the document's id, where the corpus has ids", nullable=True),
    ],
    metadata={
        "title": "Every document by id and text, to be followed by later runs",
        "order": "hash, identity, domain",
    },
)

MINHASH = pa.schema(
    [
        field("hash", pa.binary(16), "content hash"),
        field("domain", DOMAIN, "value of the primary facet"),
        field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field("signature", pa.binary(512), "128 MinHash values, uint32 little-endian"),
    ],
    metadata={"title": "MinHash signatures of the near-duplicate sample", "order": "hash, domain"},
)

SAMPLES = pa.schema(
    [
        field("domain", DOMAIN, "value of the primary facet"),
        field("hash", pa.binary(16), "content hash; the lowest of the domain are kept"),
        field("documents", pa.int64(), "documents with this text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field("excerpt", pa.string(), "the beginning of the text, if excerpts are on", nullable=True),
        field("buckets", pa.list_(pa.int16()), "hashed token n-grams, ascending"),
        field("counts", pa.list_(pa.int32()), "occurrences of each"),
    ],
    metadata={"title": "Hashed n-gram vectors of the documents of lowest hash", "order": "domain, hash"},
)

DOCUMENT_SAMPLE = pa.schema(
    [
        field("domain", DOMAIN, "value of the primary facet"),
        field("key", pa.uint64(), "the identity, else the first 64 bits of the hash; a domain's lowest are kept"),
        field("hash", pa.binary(16), "content hash"),
        field("identity", pa.uint64(), "hash of the id, as in document_identities", nullable=True),
        field("documents", pa.int64(), "documents with this id and text in this domain", "documents"),
        field("tokens", pa.int64(), "tokens of one of them", "tokens"),
        field(
            "token_ids",
            pa.binary(),
            "its tokens in order, uint16 or uint32 little-endian as bytes / tokens says; null for more than 32,768",
            nullable=True,
        ),
    ],
    metadata={
        "title": "Whole documents, up to 1,000 a domain, chosen by id",
        "order": "domain, key, hash",
        "row_group": "8192",
    },
)
"""Written unless `excerpts: false`, as it is text."""

PER_DOCUMENT = pa.schema(
    [
        field("shard", pa.string(), "name of the shard"),
        field("split", pa.int64(), "split of the shard"),
        field("row", pa.int64(), "row within the split"),
        field("id", pa.string(), "the document's id, where the corpus has ids", nullable=True),
        field("domain", pa.string(), "value of the primary facet"),
        field("hash", pa.binary(16), "content hash"),
        field("bytes", pa.int64(), "bytes of UTF-8 text", "bytes"),
        field("characters", pa.int64(), "code points", "characters"),
        field("words", pa.int64(), "words", "words"),
        field("tokens", pa.int64(), "tokens", "tokens"),
    ],
    metadata={"title": "Every document's counts", "order": "shard, split, row"},
)
