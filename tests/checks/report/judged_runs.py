"""Results of an invented policy, for runs that `synthetic.build_run` writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from corpus_audit.schemas.run.results import (
    RESULTS_FILE,
    Bound,
    Judgement,
    LastSigned,
    NotJudged,
    PastJudgement,
    PolicyFacts,
    Reference,
    Results,
    Status,
    WaiverUse,
    verdict_of,
)


def judgement(rule: str, status: Status, slice_: str = "all", **more: object) -> Judgement:
    given: dict[str, object] = {
        "kind": "rule",
        "title": f"{rule.replace('-', ' ').capitalize()}",
        "metric": "duplicate_share_documents",
        "reason": "3.1 % is more than 2 %." if status is not Status.PASS else "0.31 % is within the bounds.",
        "observed": 0.0312,
        "value": 0.0312,
        "low": 0.0304,
        "high": 0.0320,
        "n": 400_000,
        "unit": "share",
        "warn": Bound(maximum=0.01),
        "fail": Bound(maximum=0.02),
        "minimum_n": 1000,
        "owner": "data@example.org",
        "rationale": "Repeated text is memorised.",
        "next_step": "" if status is Status.PASS else "Deduplicate the domain and run the audit again.",
        "line": 12,
    }
    return Judgement(rule=rule, slice=slice_, status=status, **(given | more))  # type: ignore[arg-type]


JUDGEMENTS = (
    Judgement(
        rule="coverage", kind="integrity", title="Coverage", status=Status.PASS, reason="Every shard was read."
    ),
    judgement("duplicates", Status.FAIL, "domain=web/common-crawl"),
    judgement("duplicates", Status.PASS, "domain=books"),
    judgement(
        "drift", Status.WARN, "baseline=reference", metric="drift_jsd_excess", unit="bits", observed=0.0003,
        judged_value=0.000213,
        value=0.0004, low=0.000213, high=0.0006, judged="low", warn=Bound(maximum=0.0), fail=Bound(maximum=0.01),
        reference=Reference(kind="last_signed", run="20261001T000000Z", value=0.0001),
    ),
    judgement("documents", Status.PASS, metric="documents", unit="documents", observed=400000.0, judged="value",
              warn=None, fail=Bound(minimum=1000.0)),
    judgement("leak", Status.WAIVED, metric="contamination_share", slice_="benchmark=exam,rule=gpt3", waiver="W-1"),
    judgement("few", Status.INSUFFICIENT, "domain=papers", observed=None, low=None, high=None, n=12),
)  # fmt: skip

LAST = LastSigned(
    run="20261001T000000Z",
    envelope="ab" * 32,
    snapshot="cd" * 32,
    policy="ef" * 32,
    shards=20,
    documents=390_000,
    tokens=400_000_000,
    judgements=(
        PastJudgement(rule="duplicates", slice="domain=web/common-crawl", status=Status.PASS, observed=0.01),
        PastJudgement(rule="duplicates", slice="domain=books", status=Status.PASS, observed=0.01),
        PastJudgement(rule="gone", slice="all", status=Status.PASS),
    ),
)

WAIVER = WaiverUse(
    id="W-1",
    rule="leak",
    slice="benchmark=exam,rule=gpt3",
    state="used",
    reason="The exam is not reported for this model.",
    ticket="DATA-7",
    owner="ann@example.org",
    approved_by="bob@example.org",
    expires="2026-12-31",
    holds_while=Bound(maximum=0.05),
)


UNJUDGED = NotJudged(
    metric="contamination_share", slice="benchmark=exam,rule=gpt3", value=39 / 160, count=39, n=160, unit="share",
    what="share of a benchmark's items that the rule finds in the corpus",
)  # fmt: skip


def results(judgements: tuple[Judgement, ...] = JUDGEMENTS, last: LastSigned | None = LAST) -> Results:
    counts = Counter(entry.status for entry in judgements)
    return Results(
        name="pretraining-mix 2026-11",
        run="20261122-7f3a91c2",
        snapshot="12" * 32,
        judged_on="2026-11-24",
        policy=PolicyFacts(name="pretraining", version="3", sha256="ef" * 32, approvals=2, roles=("data-owner",)),
        verdict=verdict_of(judgements),
        counts=dict(counts),
        judgements=judgements,
        waivers=(WAIVER,),
        not_judged=(UNJUDGED,),
        last_signed=last,
    )


def write_results(run: Path, judged: Results | None = None) -> Path:
    """Put `results.json` into a run directory."""
    (run / RESULTS_FILE).write_bytes((judged or results()).to_json())
    return run
