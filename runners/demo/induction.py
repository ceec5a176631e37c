"""The corpus, the model and the audit of ``demo --heads``: a small decoder that is trained on files of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from corpus_audit.runners.demo.sources import choose, find_sources
from corpus_audit.schemas.errors import needs_extra

KILOBYTES = 3000
"""Of text that the decoder is trained on."""

DOCUMENTS = 160
"""Documents of the indexed corpus, of the beginnings of files."""

CHARACTERS = 600

WINDOWS = 300
"""Windows of the corpus that heads are measured on."""


def build_induction_demo(folder: Path, seconds: float, progress: Callable[[str], None]) -> Path:
    """Write corpus and model, and an audit that indexes the model's heads; returns the path of the audit.

    Args:
        folder: where they are written.
        seconds: of processor time that the model is trained.
        progress: called with what is done and what came of it.

    Raises:
        UsageError: the extra is not installed.
    """
    with needs_extra("embeddings"):
        from corpus_audit.embeddings.heads.byte_decoder import train_byte_decoder
    selected = choose(find_sources(), KILOBYTES * 1000)
    texts = {source: text for source in sorted(selected, key=lambda each: each.name) if (text := source.read())}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    # Evenly spaced in the order of names, so that all domains are there.
    step = max(1, len(texts) // DOCUMENTS)
    with (folder / "data" / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for source, text in list(texts.items())[::step][:DOCUMENTS]:
            row = {"id": source.name, "domain": source.domain, "text": text[:CHARACTERS]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    progress(f"training a byte-level decoder on {sum(map(len, texts.values())) / 1e6:.1f} MB for {seconds:.0f} s")
    trained = train_byte_decoder("".join(texts.values()), folder / "model", seconds)
    progress(
        f"{trained.steps:,} steps; loss of the next byte: {trained.text_loss:.2f} nats on text, "
        f"{trained.repeat_loss:.2f} on random bytes that repeat"
    )
    audit = {
        "version": 1,
        "name": "induction demo",
        "snapshot": {"paths": ["data"]},
        "document": {"text": "text", "id": "id", "domain": "domain"},
        "tokenizer": "model/tokenizer.json",
        "embedding": {
            "model": "model",
            "units": ["head.*:*"],
            "window": 128,
            "k": 10,
            "domain_k": 5,
            "vectors": {"projection": 0},
        },
    }
    path = folder / "audit.yaml"
    path.write_text(json.dumps(audit, indent=1), encoding="utf-8")
    return path
