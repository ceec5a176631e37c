"""The measured part of a sign-off's predicate, computed from the run directory alone.

The author computes it to sign it, a verifier to compare it. The verdict is not copied from the results: the run is
judged again from its tables and policy.
"""

from __future__ import annotations

import pyarrow.compute as pc

from corpus_audit.checks.policy.judge import recompute
from corpus_audit.checks.policy.waivers import waived_figure
from corpus_audit.checks.signoff.manifest import MANIFEST, merkle_root, signed_shards, total_bytes
from corpus_audit.pipelines.sampling.plan import plan_of, strategies_of
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import NotSignableError, NoVerdictError, StoreError, UsageError, VerificationError
from corpus_audit.schemas.run import signoff
from corpus_audit.schemas.run.results import (
    FORMAT_1,
    POLICY_FILE,
    RESULTS_FILE,
    Judgement,
    NotJudged,
    Results,
    Status,
    Verdict,
    WaiverUse,
    read_results,
)
from corpus_audit.schemas.run.run_file import RUN_FILE
from corpus_audit.schemas.run.signoff import DigestSet, Measured, Plan, Refusal, Subject
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

SUBJECTS = (MANIFEST, RUN_FILE, RESULTS_FILE, POLICY_FILE)

LISTED_BEFORE = 20
"""Figures that no rule judges, of which earlier releases listed no more."""
"""Files of the run directory that a statement names with their digests."""


def signable_results(run: RunDirectory) -> Results:
    """The results of a run that can be signed.

    Raises:
        NoVerdictError: it was not judged, or it has no verdict.
        NotSignableError: it failed.
        VerificationError: the results are of another run or policy, or are damaged.
    """
    results = run_results(run)
    if not run.facts.complete or results.verdict is Verdict.NONE:
        reasons = [*run.facts.reasons, *(j.reason for j in results.judgements if j.effect is Verdict.NONE)]
        raise NoVerdictError(f"{run.folder.name} has no verdict and cannot be signed: {'; '.join(reasons[:3])}")
    if results.verdict is Verdict.FAIL:
        failed = [f"{j.rule} ({j.slice})" if j.slice else j.rule for j in results.judgements if j.status is Status.FAIL]
        raise NotSignableError(f"{run.folder.name} failed and cannot be signed: {', '.join(failed[:5])}")
    return results


def run_results(run: RunDirectory) -> Results:
    """The results in a run directory, checked against the run and the policy beside them.

    Raises:
        NoVerdictError: the run was not judged by a policy.
        VerificationError: they are damaged, or of another run, snapshot or policy.
    """
    files = run.facts.files
    if RESULTS_FILE not in files or POLICY_FILE not in files:
        raise NoVerdictError(
            f"{run.folder.name} was not judged: it has no {RESULTS_FILE}; give the audit a policy and run it again"
        )
    try:
        results = read_results((run.folder / RESULTS_FILE).read_bytes())
    except (OSError, StoreError) as error:
        raise VerificationError(Refusal.RUN_RESULTS, f"{run.folder.name}: {error}") from None
    judged = (results.run, results.snapshot, results.policy.sha256)
    if judged != (run.facts.run, run.facts.snapshot.digest, files[POLICY_FILE].sha256):
        raise VerificationError(
            Refusal.RUN_RESULTS, f"{run.folder.name}: {RESULTS_FILE} is of another run, snapshot or policy"
        )
    return results


def check_verdict(run: RunDirectory, results: Results) -> None:
    """Judge the run again and compare.

    Raises:
        VerificationError: the verdict, a judgement or a waiver differs.
    """
    again = recompute(run.folder)
    if again.verdict is not results.verdict:
        raise VerificationError(
            Refusal.VERDICT, f"the verdict is {results.verdict}, but the tables and the policy give {again.verdict}"
        )
    before, now = results.judgements, again.judgements
    if results.schema_ == FORMAT_1:  # earlier releases worded their sentences differently; all else is compared
        before, now = _without_sentences(before), _without_sentences(now)
    others_before, others_now = ((each.waivers, each.policy) for each in (results, again))
    listed = same_not_judged(results.not_judged, again.not_judged)
    if before != now or others_before != others_now or not listed:
        changed = [old.rule for old, new in zip(before, now, strict=False) if old != new]
        raise VerificationError(
            Refusal.VERDICT,
            f"the results differ from what the tables and the policy give ({', '.join(changed[:3]) or 'other rules'})",
        )


def same_not_judged(before: tuple[NotJudged, ...], now: tuple[NotJudged, ...]) -> bool:
    """Whether results list the figures that no rule judges; earlier releases listed the first `LISTED_BEFORE`."""
    return before == now or (len(before) == LISTED_BEFORE and before == now[:LISTED_BEFORE])


def _without_sentences(judgements: tuple[Judgement, ...]) -> tuple[Judgement, ...]:
    empty = {"title": "", "reason": "", "next_step": ""}
    return tuple(
        each.model_copy(
            update=empty
            | {"reference": None if each.reference is None else each.reference.model_copy(update={"reason": ""})}
        )
        for each in judgements
    )


def subjects(run: RunDirectory, run_digest: str) -> tuple[Subject, ...]:
    """The statement's subjects."""
    digests = {name: run.facts.files[name].sha256 for name in SUBJECTS if name != RUN_FILE}
    digests[RUN_FILE] = run_digest
    return tuple(Subject(name=name, digest=DigestSet(sha256=digests[name])) for name in SUBJECTS)


def measure_run(run: RunDirectory, results: Results, strategy: str | None) -> Measured:
    """The measured part of the predicate of a run.

    Args:
        run: an intact run.
        results: its results, with a verdict that can be signed.
        strategy: the sampling strategy whose plan is bound, if any.

    Raises:
        UsageError: the audit has no such strategy.
        VerificationError: manifest and tables disagree.
        StoreError: a table cannot be read.
    """
    facts = run.facts
    coverage = facts.coverage
    shards = signed_shards(run)
    duplicates = run.table("duplicates")
    tokens = pc.sum(duplicates.filter(pc.equal(duplicates["domain"], ALL_DOMAINS))["tokens"]).as_py() or 0
    return Measured(
        verdict="PASSED_WITH_WAIVERS" if results.counts.get(Status.WAIVED) else "PASSED",
        run=facts.run,
        corpus=signoff.SignedCorpus(
            name=facts.name,
            snapshot=facts.snapshot.digest,
            shards=str(len(shards)),
            bytes=str(total_bytes(shards)),
            documents=str(coverage.documents),
            tokens=str(tokens),
            tokenizer=DigestSet(sha256=facts.tokenizer.sha256),
            merkle=signoff.MerkleRoot(algorithm="rfc6962-sha256", root=merkle_root(shards)),
        ),
        coverage=signoff.SignedCoverage(
            shards_read=str(coverage.shards_used),
            rows=str(coverage.rows),
            documents=str(coverage.documents),
            dead_letters=str(coverage.dead_letters),
            filtered=str(coverage.filtered),
            sampled=coverage.sampled,
        ),
        policy=signoff.SignedPolicy(
            name=results.policy.name,
            version=results.policy.version,
            digest=DigestSet(sha256=results.policy.sha256),
        ),
        counts=results.counts,
        waivers=tuple(_waiver(use, results) for use in results.waivers if use.state == "used"),
        not_judged=tuple(
            signoff.NotJudged(
                metric=each.metric,
                slice=each.slice,
                what=each.what,
                value=each.value,
                count=None if each.count is None else str(each.count),
                n=str(each.n),
            )
            for each in results.not_judged
        ),
        required=results.policy.approvals,
        roles=results.policy.roles,
        plan=_plan(run, strategy),
    )


def _waiver(use: WaiverUse, results: Results) -> signoff.SignedWaiver:
    covered: list[Judgement] = [j for j in results.judgements if j.waiver == use.id and j.status is Status.WAIVED]
    figure = waived_figure(covered[0]) if len(covered) == 1 else None
    return signoff.SignedWaiver(
        id=use.id,
        rule=use.rule,
        slice=use.slice,
        observed=figure,
        unknown=len(covered) == 1 and figure is None,
        holds_while=use.holds_while,
        reason=use.reason,
        ticket=use.ticket,
        owner=use.owner,
        approved_by=use.approved_by,
        expires=use.expires,
    )


def _plan(run: RunDirectory, strategy: str | None) -> Plan | None:
    if strategy is None:
        return None
    strategies = strategies_of(run.facts)
    if strategy not in strategies:
        raise UsageError(
            f"the audit's sampling section has no strategy {strategy!r}; it has {sorted(strategies) or 'none'}"
        )
    return plan_of(run.facts, run.table("sampling"), run.table("sampling_strategies"), strategy, strategies[strategy])


def first_difference(signed: Measured, measured: Measured) -> str | None:
    """The name of the first field in which two predicates differ, or None."""
    for name in Measured.model_fields:
        if getattr(signed, name) != getattr(measured, name):
            return name
    return None
