"""The sign-off that `checks/signoff/README.md` shows, with its commands: audit, waiver, approvals, a changed byte."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.pages import blocks

pytestmark = pytest.mark.engine

PAGE = ("checks/signoff/README.md", "Sign off")

CODE = re.compile(r"#.*exit code (\d+)")


def write_corpus(folder: Path) -> None:
    """4,000 different books, and 600 web pages of which 180 repeat another."""
    rng = random.Random(7)
    words = ["".join(rng.choice("abcdefghijklmnop") for _ in range(rng.randint(2, 8))) for _ in range(3000)]
    for domain, documents, repeated in (("web", 600, 180), ("books", 4000, 0)):
        texts = [" ".join(rng.choice(words) for _ in range(rng.randint(10, 30))) for _ in range(documents - repeated)]
        texts += texts[:repeated]
        (folder / "data" / domain).mkdir(parents=True)
        for shard in range(2):
            lines = [json.dumps({"id": f"{shard}-{i}", "text": text}) for i, text in enumerate(texts[shard::2])]
            (folder / "data" / domain / f"part-{shard}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_sign_off_of_the_page(tmp_path: Path, bpe: Path) -> None:
    write_corpus(tmp_path)
    shutil.copy(bpe, tmp_path / "tokenizer.json")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CORPUS_AUDIT_PASSPHRASE": "correct horse battery",
    }
    output: list[tuple[str, str]] = []
    for part in blocks(*PAGE):
        text = part.text
        if part.language == "yaml":
            today = datetime.now(UTC).date()
            text = re.sub(r'created: ".*"', f'created: "{today}"', text)
            text = re.sub(r'expires: ".*"', f'expires: "{today + timedelta(days=60)}"', text)
            with (tmp_path / "policy.yaml").open("a", encoding="utf-8") as file:
                file.write(text)
            continue
        for line in text.splitlines():
            command = line.split("#")[0].strip()
            asks = command.startswith("corpus-audit approve")  # what a person says at the terminal
            done = subprocess.run(
                ["bash", "-c", command + (" --yes" if asks else "")],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            expected = CODE.search(line)
            assert done.returncode == (int(expected[1]) if expected else 0), (line, done.stdout, done.stderr)
            output.append((shlex.split(command)[1], done.stdout))

    runs = [out for command, out in output if command == "run"]
    assert "✗ FAIL" in runs[0] and "domain=web" in runs[0] and "! warn" in runs[0]
    assert "waived" in runs[1] and "FAIL" not in runs[1]
    assert next(out for command, out in output if command == "approve").count("W-1: duplicates-by-domain") == 1
    verified = [out for command, out in output if command == "verify"]
    assert verified[0].startswith("REFUSED signature_threshold: 2 approvals by people other than the author are needed")
    assert verified[1].startswith("VERIFIED ") and "PASSED WITH WAIVERS" in verified[1]
    assert "4 of 4 shards hashed; author nightly, approved by bo, cy" in verified[1]
    assert verified[2].startswith("REFUSED shard_changed: shard web/part-0.jsonl was changed")
    ledger = next(out for command, out in output if command == "ledger").splitlines()
    assert [line.split()[-1] for line in ledger[:3]] == ["nightly", "bo", "cy"]
    (run,) = (
        path
        for path in (tmp_path / "runs").glob("2*")
        if (tmp_path / "runs" / "LATEST").read_text().strip() == path.name
    )
    manifest = subprocess.run(
        ["sha256sum", "-c", run / "MANIFEST.sha256"], cwd=tmp_path / "data", capture_output=True, text=True, check=False
    )
    assert manifest.returncode == 1 and manifest.stdout.count(": OK") == 3
