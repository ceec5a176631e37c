"""Three days of a scheduled audit, by its command: the second day drifts, the third loses a shard."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.run.results import read_results
from tests.checks.policies import rule

pytestmark = pytest.mark.engine

KEEP = "import os,sys; open('message','a').write(os.environ['CORPUS_AUDIT_EVENT']+' '+sys.stdin.readline())"
TOKEN = "s3cr3t-token-of-the-webhook"

ENOUGH = rule("enough", metric="documents", fail={"minimum": 1000})
COMPARED = (
    rule("drift", metric="drift_jsd_excess", slice="baseline=*", fail={"maximum": 0.01}),
    rule("documents-gone", metric="removed_share", slice="baseline=*", fail={"maximum": 0.2}),
    rule("size-signed", metric="tokens", reference={"kind": "last_signed", "compare": "ratio"}, fail={"minimum": 0.9}),
)


def texts(words: list[str], documents: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(20, 40))) for _ in range(documents)]


WORDS = [
    f"{first}{second}" for first in ("ba", "ke", "li", "mo", "nu", "ra") for second in ("ton", "ver", "sil", "dam")
]
OTHERS = [f"{first}{second}" for first in ("zy", "xu", "qo") for second in ("phe", "ght", "wry", "jaz")]


class Site:
    """A folder with snapshots and an audit, and the commands that a scheduler gives."""

    def __init__(self, folder: Path, tokenizer: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.tokenizer, self.url, self.capsys = folder, tokenizer, url, capsys

    def shard(self, day: str, name: str) -> Path:
        return self.folder / "data" / day / name

    def write_day(self, day: str, web: list[str], more: int = 0) -> None:
        """Four shards of two domains: web as given, books always the same, with so many new ones."""
        books = texts(WORDS, 1500, seed=2) + texts(WORDS, more, seed=len(day) + more)
        for domain, documents in (("web", web), ("books", books)):
            for part in range(2):
                path = self.shard(day, f"{domain}/part-{part}.jsonl")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents[part::2]))
        self.write_manifest(day)

    def write_manifest(self, day: str) -> None:
        folder = self.folder / "data" / day
        shards = sorted(folder.rglob("*.jsonl"))
        lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n" for p in shards]
        (folder / "MANIFEST.sha256").write_text("".join(lines))

    def write_audit(self, *rules: dict[str, Any], **more: Any) -> None:
        policy = {"name": "daily", "version": "1", "rules": rules, "approvals": {"required": 1}}
        (self.folder / "policy.yaml").write_text(json.dumps(policy))
        audit = {
            "name": "corpus",
            "snapshot": {"paths": ["data/{latest}/*/*.jsonl"], "manifest": "data/{latest}/MANIFEST.sha256"},
            "document": {"text": "text", "domain": {"path": "{domain}/*.jsonl"}},
            "tokenizer": str(self.tokenizer),
            "policy": "policy.yaml",
            "notify": [
                {"command": [sys.executable, "-c", KEEP], "when": ["pass", "warn", "fail", "none", "error"]},
                {"webhook": self.url, "token_env": "HOOK_TOKEN"},
            ],
            **more,
        }
        (self.folder / "audit.yaml").write_text(json.dumps(audit))

    def command(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code = run_command([*arguments, "--json"], Session())
        captured = self.capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return code, json.loads(captured.out.splitlines()[-1])

    def run(self) -> tuple[int, dict[str, Any]]:
        return self.command("run", "audit.yaml", "--if-changed", "--quiet", "--workers", "2")

    def verdicts(self) -> list[str]:
        return [run["verdict"] for run in self.command("history")[1]["runs"]]

    def notifications(self) -> list[str]:
        """The event and first line of what the command was told since the last call."""
        path = self.folder / "message"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append(body | {"authorized": self.headers["Authorization"] == f"Bearer {TOKEN}"})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()


def not_passed(output: dict[str, Any]) -> set[str]:
    return {entry["rule"] for entry in output["not_passed"]}


def test_three_days(
    tmp_path: Path,
    bpe: Path,
    posted: tuple[str, list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, hooked = posted
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOK_TOKEN", TOKEN)
    monkeypatch.setenv("CORPUS_AUDIT_PASSPHRASE", "correct horse battery")
    site = Site(tmp_path, bpe, url, capsys)
    web = texts(WORDS, 1500, seed=1)

    # The first day passes, and is signed.
    site.write_day("2026-03-01", web)
    site.write_audit(ENOUGH)
    code, output = site.run()
    assert (code, output["verdict"]) == (0, "pass")
    assert [line.split()[0] for line in site.notifications()] == ["pass"] and hooked == []
    first = Path(output["run"]).name
    for key, who in (("ci", ["--pipeline", "nightly"]), ("bo", ["--person", "bo"])):
        assert site.command("keys", "new", key, *who, "--out", f"{key}.pem")[0] == 0
    for key in ("ci", "bo"):
        assert site.command("approve", "runs", "--key", f"{key}.pem", "--yes")[0] == 0
    site.write_audit(ENOUGH, *COMPARED, baseline={"run": f"runs/{first}", "label": "signed"})

    # The second day drifts: web pages are full of other words.
    site.write_day("2026-03-02", texts(WORDS[:6] + OTHERS, 1500, seed=5))
    code, output = site.run()
    assert (code, output["verdict"]) == (1, "fail")
    assert {"drift", "documents-gone"} == not_passed(output)
    (line,) = site.notifications()
    assert line.startswith("fail # ✗") and "FAIL" in line.upper()
    assert [entry["event"] for entry in hooked] == ["fail"] and hooked[0]["authorized"] and "drift" in hooked[0]["text"]
    assert hooked[0]["exit_code"] == 1 and hooked[0]["run"] == output["run"]
    results = read_results((Path(output["run"]) / "results.json").read_bytes())
    assert results.last_signed is not None and results.last_signed.run == first
    second = Path(output["run"])

    code, output = site.run()
    assert (code, output["unchanged"], output["verdict"], output["run"]) == (0, True, "fail", str(second))
    assert site.notifications() == [] and len(hooked) == 1 and site.verdicts() == ["pass", "fail"]

    # The third day is like the first, with some books more, and loses a shard: its manifest says which.
    site.write_day("2026-03-03", web, more=200)
    lost = site.shard("2026-03-03", "web/part-1.jsonl")
    whole, manifest = lost.read_bytes(), lost.parents[1] / "MANIFEST.sha256"
    listed = manifest.read_text()
    lost.unlink()
    code, output = site.run()
    assert code == 2 and "listed, but not in the snapshot: web/part-1.jsonl" in output["error"]
    assert [line.split()[0] for line in site.notifications()] == ["error"]
    assert hooked[-1]["event"] == "error" and hooked[-1]["run"] is None and "web/part-1" in hooked[-1]["text"]
    assert site.verdicts() == ["pass", "fail"], "nothing was published"

    # Where the manifest was made after the loss, the documents that are gone and what people signed tell.
    site.write_manifest("2026-03-03")
    code, output = site.run()
    assert (code, output["verdict"]) == (1, "fail") and not_passed(output) == {"documents-gone", "size-signed"}
    assert [line.split()[0] for line in site.notifications()] == ["fail"]

    # The shard comes back cut short: no verdict, whatever the rules say, and a try again is not left out.
    manifest.write_text(listed)
    lost.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        code, output = site.run()
        assert (code, output["verdict"], output["complete"]) == (4, "none", False)
        assert any("web/part-1.jsonl" in reason for reason in output["reasons"])
        assert [line.split()[0] for line in site.notifications()] == ["none"] and hooked[-1]["event"] == "none"

    # It comes back whole.
    lost.write_bytes(whole)
    code, output = site.run()
    assert (code, output["verdict"], output["unchanged"]) == (0, "pass", False), output
    assert [line.split()[0] for line in site.notifications()] == ["pass"]
    assert [entry["event"] for entry in hooked] == ["fail", "error", "fail", "none", "none"]

    runs = site.command("history")[1]["runs"]
    assert [run["verdict"] for run in runs] == ["pass", "fail", "fail", "none", "none", "pass"]
    assert [run["complete"] for run in runs] == [True, True, True, False, False, True]
    assert [run["signed"] is not None for run in runs] == [True, False, False, False, False, False]
    points = site.command("history", "documents")[1]["points"]
    assert [point["value"] for point in points][:3] == [3000, 3000, 2450] and points[-1]["value"] == 3200
    trends = json.loads((Path(output["run"]) / "trends.json").read_bytes())
    assert trends

    # A month later only the signed run, which is the baseline too, and the newest are wanted.
    code, output = site.command("prune", "audit.yaml", "--keep-last", "1", "--apply")
    assert (
        code == 0
        and len(output["runs"]) == 4
        and {entry["run"] for entry in output["kept"]} == {first, runs[-1]["run"]}
    )
    assert site.run()[1]["unchanged"] and site.verdicts() == ["pass", "pass"]
    for path in (tmp_path / "runs").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
