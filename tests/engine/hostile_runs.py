"""A whole audit of a corpus, a policy and benchmarks whose every name and text is a hostile string."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from tests.checks.report.hostile import HOSTILE
from tests.engine.runs import Run, run, write_audit

USED = tuple(payload[:200] for payload in HOSTILE if not any("\ud800" <= c <= "\udfff" for c in payload))
"""Those that can be in UTF-8; lone surrogates stand in the corpus as JSON escapes, whose rows are dead letters."""

WORDS = ("corpus", "token", "model", "page", "river", "stone", "window", "garden", "letter", "number", "answer")
TITLE = USED[0] + USED[27] + USED[28] + USED[33]
"""What the audit is called: markup, terminal escapes and a bidirectional override."""


def hostile_run(folder: Path, tokenizer: Path) -> Run:
    """Audit a first snapshot, then a second one against it, with benchmarks, strategies, a policy and a waiver."""
    before, now = folder / "before", folder / "now"
    _shards(before, seed=1, shift=0)
    _shards(now, seed=2, shift=7)
    items = _benchmarks(folder, now)
    policy = folder / "policy.yaml"
    policy.write_text(_yaml(_policy()), encoding="utf-8")
    common: dict[str, Any] = {
        "name": TITLE,
        "document": {"text": "text", "id": "id", "domain": "domain", "facets": {"place": "facet"}},
        "limits": {"dead_letter_share": 0.5, "dead_letter_excerpts": True},
        "filter": [{"name": "kept", "column": "id", "op": "!=", "value": USED[3]}],
    }
    first = run(write_audit(folder / "first", [before], tokenizer, **common))
    return run(
        write_audit(
            folder / "second",
            [now],
            tokenizer,
            **common,
            baseline=[{"run": str(first.folder), "label": USED[5]}],
            benchmarks=items,
            sampling={"budget": 1e6, "strategies": ["proportional", {"name": USED[6], "weights": {USED[0]: 1.0}}]},
            mixture={"unit": "tokens", "weights": dict.fromkeys(USED[:20], 1.0)},
            policy=str(policy),
        )
    )


def _yaml(value: Any) -> str:
    """JSON is YAML but for characters beyond U+FFFF, which YAML escapes as one."""
    pair = r"\\u(d[89ab]..)\\u(d[c-f]..)"
    return re.sub(
        pair,
        lambda two: f"\\U{0x10000 + ((int(two[1], 16) - 0xD800) << 10) + int(two[2], 16) - 0xDC00:08x}",
        json.dumps(value),
    )


def _text(rng: random.Random, payload: str) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(20, 60))]
    words[rng.randrange(len(words)) : 0] = [payload, payload]
    return " ".join(words)


def _shards(folder: Path, seed: int, shift: int) -> None:
    """A shard a group of payloads; each payload is a domain, a facet, part of ids and of texts."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    for number, name in enumerate(("a<img src=x onerror=alert(1)>", "b' onload='x", 'c"><b>', "d[x](y)|`z`")):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for payload in USED[number::4]:
                for row in range(20):
                    document = {
                        "text": _text(rng, USED[(USED.index(payload) + shift) % len(USED)]),
                        "id": f"{payload} {row}",
                        "domain": payload,
                        "facet": payload,
                    }
                    file.write(json.dumps(document) + "\n")
            file.write('{"text": "lone \\ud800 <script>alert(1)</script>", "id": "x", "domain": "y", "facet": "z"}\n')


def _benchmarks(folder: Path, snapshot: Path) -> list[dict[str, Any]]:
    """Benchmarks called as payloads, their items copies of documents."""
    lines = [line for path in sorted(snapshot.iterdir()) for line in path.read_text("utf-8").splitlines()[:-1]]
    made = []
    for number, payload in enumerate(USED[:12]):
        path = folder / f"benchmark-{number}.jsonl"
        rows = [json.loads(line) for line in lines[number :: len(lines) // 10]]
        items = [{"prompt": row["text"], "id": f"{payload}{n}"} for n, row in enumerate(rows)]
        path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        made.append({"name": payload[:120], "paths": [str(path)], "prompt": "prompt", "id": "id"})
    return made


def _policy() -> dict[str, Any]:
    """A rule that fails in most domains, and one a payload; the failure of the first domain is waived."""
    texts = [{"owner": payload, "rationale": payload, "next_step": payload} for payload in USED]
    rules = [
        {"id": f"r{n}", "title": payload[:100], "metric": "documents", "slice": "all", "fail": {"minimum": 1e9}, **own}
        for n, (payload, own) in enumerate(zip(USED, texts, strict=True))
    ]
    share = {"id": "share", "title": "Share", "metric": "domain_share_tokens", "slice": "domain=*"}
    rules.append(share | {"fail": {"maximum": 1e-9}, **texts[0]})
    waiver = {"id": "W-1", "rule": "r0", "slice": "all", "holds_while": {"minimum": 1.0}, "reason": TITLE,
              "ticket": USED[40], "owner": USED[9], "approved_by": USED[13],
              "created": "2026-11-01", "expires": "2027-01-20"}  # fmt: skip
    return {"name": TITLE[:100], "version": "1", "rules": rules, "waivers": [waiver]}
