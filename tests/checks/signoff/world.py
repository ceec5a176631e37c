"""A small corpus, a run of it that was judged, the people who sign, and the means to forge what they signed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.signoff import Verified, VerifyOptions, trust_file, verify
from corpus_audit.checks.signoff.approve import AuthorDecision, PendingSignoff, open_pending, sign_pending, signoff_path
from corpus_audit.checks.signoff.dsse import PAYLOAD_TYPE, Envelope, read_envelope, sign
from corpus_audit.checks.signoff.ledger import Ledger, append, new_entry, read_ledger
from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.signoff import LEDGER, PREDICATE_TYPE, STATEMENT_TYPE
from corpus_audit.schemas.run.snapshot import manifest_text
from corpus_audit.schemas.run.trust import load_trust
from corpus_audit.schemas.tables.run_tables import TABLES
from tests.checks.policies import facts, figure, metrics, policy, rule, waiver

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
RUN = "20261125T120000Z"
STRATEGY = "temperature 0.5"

SHARDS = {"code/a.jsonl": b'{"text": "def f(): pass"}\n' * 40, "web/b.jsonl": b'{"text": "hello"}\n' * 50,
          "web/c.jsonl": b'{"text": "bye"}\n' * 60}  # fmt: skip

RULES = (rule("duplicates", metric="dup", judged="value"), rule("size", metric="documents", fail={"minimum": 100}))
FIGURES = (figure("dup", value=0.6, low=0.59, high=0.61), figure("documents", value=150, low=150, high=150))
UNJUDGED = figure("added_share", "baseline=last", value=0.06, low=0.06, high=0.06, n=150)
HEADLINE = "Only 9 documents were added; too few to test, 94% unchanged."
WAIVED = waiver(rule="duplicates", owner="ana@example.org", expires="2026-12-31", created="2026-11-20")


def key(name: str) -> Ed25519PrivateKey:
    """The private key of a name, always the same."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@dataclass
class World:
    """Folders of one corpus and its output; ``signed`` is where the sign-off is."""

    root: Path
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def corpus(self) -> Path:
        return self.root / "corpus"

    @property
    def output(self) -> Path:
        return self.root / "runs"

    @property
    def run(self) -> Path:
        return self.output / RUN

    @property
    def ledger(self) -> Path:
        return self.output / LEDGER

    @property
    def trust(self) -> Path:
        return self.root / "trust.yaml"

    @property
    def signed(self) -> Path:
        return signoff_path(self.output, RUN)

    def sign(
        self, name: str, moment: datetime = NOW, decision: AuthorDecision | None = None, strategy: str | None = None
    ) -> PendingSignoff:
        """Let somebody sign the run, the way the command does."""
        pending = open_pending(self.run, load_trust(self.trust), moment, strategy)
        return sign_pending(pending, key(name), moment, decision)

    def verify(self, **options: Any) -> Verified:
        """Verify the sign-off at `LATER`."""
        return verify(self.signed, load_trust(self.trust), VerifyOptions(**({"at": LATER} | self.options | options)))

    def statement(self) -> Any:
        """What was signed, as JSON."""
        return strict_json.loads(read_envelope(self.signed.read_bytes()).payload)

    def forge(
        self,
        payload: bytes,
        signers: tuple[str, ...] = ("nightly", "bo", "cy"),
        kind: str = PAYLOAD_TYPE,
        moments: tuple[datetime, ...] = (NOW, NOW, NOW),
        run: str = RUN,
    ) -> None:
        """Have people sign any payload, and begin the ledger anew so that it knows every signature."""
        self.ledger.unlink(missing_ok=True)
        data = enter(self.output, payload, signers, kind, moments, run)
        self.signed.write_bytes(data)

    def restate(self, change: Callable[[Any], None], **more: Any) -> None:
        """Change the statement and have everybody sign what came out."""
        statement = self.statement()
        change(statement)
        self.forge(strict_json.dumps(statement), **more)

    def rewrite(self, name: str, data: bytes, restate: Callable[[Any], None] = lambda _: None) -> None:
        """Change a file of the run, make `run.json` agree, and have everybody sign the new digests."""
        (self.run / name).write_bytes(data)
        known = json.loads((self.run / "run.json").read_bytes())
        known["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        (self.run / "run.json").write_bytes(strict_json.dumps(known))

        def change(statement: Any) -> None:
            for subject in statement["subject"]:
                subject["digest"]["sha256"] = hashlib.sha256((self.run / subject["name"]).read_bytes()).hexdigest()
            restate(statement)

        self.restate(change)

    def copy(self, root: Path) -> World:
        """The same in another place; the run still says that its shards are in the first."""
        shutil.copytree(self.root, root)
        return World(root, {"corpus": str(root / "corpus")})


def enter(
    output: Path,
    payload: bytes,
    signers: Sequence[str],
    kind: str = PAYLOAD_TYPE,
    moments: Sequence[datetime] = (NOW, NOW, NOW),
    run: str = RUN,
) -> bytes:
    """Sign a payload and give the ledger of an output folder an entry for every signature; returns the sign-off."""
    path = output / LEDGER
    ledger = read_ledger(path) if path.exists() else Ledger()
    signatures, ids, data = [], [], b""
    statement = hashlib.sha256(payload).hexdigest()
    for name, moment in zip(signers, moments, strict=False):
        signatures.append(sign(kind, payload, key(name)))
        ids.append(signatures[-1].keyid)
        data = Envelope(kind, payload, tuple(signatures)).to_json()
        digest = hashlib.sha256(data).hexdigest()
        entry = new_entry(ledger, moment=moment, run=run, statement=statement, envelope=digest, signers=ids)
        ledger = append(path, ledger, entry)
    return data


def sign_made_run(output: Path, run: str, signers: Sequence[str] = ("nightly", "bo"), required: int = 1) -> str:
    """Put a sign-off beside a run that holds little more than its figures; returns the digest of the sign-off."""
    digest = hashlib.sha256((output / run / "run.json").read_bytes()).hexdigest()
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "run.json", "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "measured": {
                "verdict": "PASSED",
                "run": run,
                "corpus": {"name": "made", "snapshot": "0" * 64, "shards": "1", "bytes": "1", "documents": "1",
                           "tokens": "1", "tokenizer": {"sha256": "0" * 64},
                           "merkle": {"algorithm": "rfc6962-sha256", "root": "0" * 64}},
                "coverage": {"shardsRead": "1", "rows": "1", "documents": "1", "deadLetters": "0", "filtered": "0",
                             "sampled": False},
                "policy": {"name": "p", "version": "1", "digest": {"sha256": "0" * 64}},
                "counts": {"pass": 1}, "waivers": [], "required": required, "roles": [], "plan": None,
            },
            "decision": {"author": signers[0], "intendedUse": "", "limitations": [],
                         "timeCreated": "2026-11-25T12:00:00Z", "validUntil": "2027-02-25T12:00:00Z"},
            "ledger": {"sequence": "0", "previous": "0" * 64},
        },
    }  # fmt: skip
    path = signoff_path(output, run)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(enter(output, strict_json.dumps(statement), signers, run=run))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_world(root: Path, waived: bool = True, compared: bool = False) -> World:
    """Corpus, run and trust file; nothing is signed. A run compared with another has a figure without a rule."""
    world = World(root)
    for name, data in SHARDS.items():
        (world.corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (world.corpus / name).write_bytes(data)
    _publish(world, waived, compared)
    year = {"valid_from": NOW - timedelta(days=10), "valid_to": NOW + timedelta(days=365)}
    for name, roles in (("ana", ()), ("bo", ("research-lead",)), ("cy", ("data-owner",))):
        public = key(name).public_key().public_bytes_raw()
        trust_file.add_key(world.trust, name=f"{name}-1", public=public, person=name, pipeline=None,
                           email=f"{name}@example.org", roles=roles, **year)  # fmt: skip
    public = key("nightly").public_key().public_bytes_raw()
    trust_file.add_key(world.trust, name="ci", public=public, person=None, pipeline="nightly", email=None, roles=(),
                       **year)  # fmt: skip
    trust_file.allow_policy(world.trust, hashlib.sha256((world.run / "policy.yaml").read_bytes()).hexdigest(), "test")
    return world


def sign_world(world: World) -> World:
    """Let a pipeline be the author and two people approve, and bind a plan."""
    world.sign("nightly", decision=AuthorDecision("training", ("no code review",)), strategy=STRATEGY)
    world.sign("bo", NOW + timedelta(minutes=1))
    world.sign("cy", NOW + timedelta(minutes=2))
    return world


def _publish(world: World, waived: bool, compared: bool) -> None:
    judged = policy(*RULES, waivers=[WAIVED] if waived else [], approvals={"required": 2, "roles": ["research-lead"]})
    staged = StagedRun(world.output, RUN)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in SHARDS.items()}
    rows = {
        "metrics": metrics(*FIGURES, *([UNJUDGED] if compared else [])).to_pylist(),
        "shards": [{"shard": name, "sha256": digests[name], "bytes": len(data)} for name, data in SHARDS.items()],
        "duplicates": [{"domain": "(all)", "documents": 150, "tokens": 9007199254740993}],
        "sampling": [
            {"strategy": strategy, "domain": name, "weight": 0.5, "weight_unit": "tokens", "drawn": 5e5, "epochs": 1.25}
            for strategy in (STRATEGY, "proportional")
            for name in ("code", "web")
        ],
        "sampling_strategies": [
            {"strategy": STRATEGY, "kind": "temperature", "budget": 1e6},
            {"strategy": "proportional", "kind": "proportional", "budget": 1e6},
        ],
    }
    if compared:
        rows["drift_conclusion"] = [{"baseline": "last", "status": "too few to test", "headline": HEADLINE}]
    for name, content in rows.items():
        staged.add_table(name, [pa.Table.from_pylist([_whole(row, TABLES[name]) for row in content], TABLES[name])])
    staged.add_text("MANIFEST.sha256", manifest_text(list(digests.items())))
    staged.add_text(
        "timings.json",
        json.dumps(
            {"started": NOW.isoformat(), "corpus": str(world.corpus), "paths": [str(world.corpus / "*/*.jsonl")]}
        ),
    )
    staged.add_text("report.html", "<!doctype html><title>run</title>")
    sampling = {"budget": 1e6, "strategies": ["proportional", {"temperature": {"alpha": 0.5}}]}
    spec = {"benchmarks": [], "sampling": sampling}
    coverage = {"documents": 150, "rows": 150, "shards": 3, "shards_read": 3}
    known = facts(run=RUN, tokenizer={"sha256": "34" * 32}, spec=spec, coverage=coverage)
    results = judge(judged, staged.table("metrics"), known, References(), date(2026, 11, 25))
    (staged.folder / "policy.yaml").write_bytes(judged.data)
    (staged.folder / "results.json").write_bytes(results.to_json())
    staged.add_run_file(known.with_files(staged.digests()))
    staged.publish()


def _whole(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """The row with something in every column that it leaves out."""
    empty = {field.name: None if field.nullable else "" if pa.types.is_string(field.type) else 0 for field in schema}
    return empty | row
