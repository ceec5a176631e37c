"""A corpus of files of the standard library, the audit that indexes it, and the content of an index."""

import json

from corpus_audit.schemas.spec.audit_file import load_audit

AUDIT = {
    "version": 1,
    "name": "library",
    "snapshot": {"paths": ["data"]},
    "document": {"text": "text", "id": "id", "domain": "kind"},
    "tokenizer": "model/tokenizer.json",
    "embedding": {
        "model": "model",
        "units": ["mlp.*:*", "resid.1:*"],
        "window": 32,
        "k": 5,
        "domain_k": 3,
        "vectors": {"projection": 60},  # t-SNE of the default 2,000 windows takes longer than all else
    },
}


def write_shard(folder, number, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / f"part-{number}.jsonl").write_text(text, encoding="utf-8")


def audit(folder, **embedding):
    spec = AUDIT | {"embedding": AUDIT["embedding"] | embedding}
    (folder / "audit.yaml").write_text(json.dumps(spec))
    return load_audit(folder / "audit.yaml")


def content(folder):
    """Everything that lookups show, by file: byte for byte, but sums that are added in the order of the shards."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("index.json", "total.blocks", "total.starts.npy")
    }
