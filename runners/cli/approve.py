"""``corpus-audit approve``: sign a judged run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.signing import passphrase_from, passphrase_option, trust_option
from corpus_audit.runners.cli.shared.streams import is_terminal, note, write_out

if TYPE_CHECKING:
    from corpus_audit.checks.signoff.approve import PendingSignoff


@click.command(short_help="Sign a judged run, as its author or as an approver.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Your private key.")
@click.option("--strategy", help="Bind the sampling plan of this strategy of the sampling section.")
@click.option("--use", "use", help="The intended use of the corpus; given by the author.")
@click.option("--limitation", "limitations", multiple=True, help="A limitation of the corpus; may be repeated.")
@click.option("--days", type=click.IntRange(1, 366), help="Validity of the sign-off in days; 90 by default.")
@click.option("--yes", is_flag=True, help="Sign without confirmation.")
@passphrase_option
@trust_option
@json_option
def approve(
    run: Path,
    key_file: Path,
    strategy: str | None,
    use: str | None,
    limitations: tuple[str, ...],
    days: int | None,
    yes: bool,
    passphrase_file: Path | None,
    trust_file: Path,
    as_json: bool,
) -> None:
    """Sign RUN: a run directory, or an output folder or audit.yaml, whose newest run is signed.

    The first person to sign is the author, who makes the statement. Everyone after that signs the same bytes and
    approves them. The statement is shown before you sign. A run that failed (exit code 1) or has no verdict (exit code
    4) cannot be signed.
    """
    from corpus_audit.checks.signoff.approve import VALID_DAYS, AuthorDecision, open_pending, sign_pending, signing_key
    from corpus_audit.checks.signoff.keys import load_key
    from corpus_audit.runners.cli.shared.run_paths import resolve_run
    from corpus_audit.runners.process.locks import OutputLock
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.run.trust import load_trust

    if not yes and not is_terminal(sys.stdin):
        raise UsageError("there is no terminal to confirm on: read 'corpus-audit report', then give --yes")
    trust = load_trust(trust_file)
    folder = resolve_run(run).resolve()
    with OutputLock(folder.parent):
        pending = open_pending(folder, trust, datetime.now(UTC), strategy)
        for line in _shown(pending):
            note(line) if as_json else write_out(line)
        if not yes:
            click.confirm(_question(len(pending.results.not_judged)), abort=True, err=True)
        key = load_key(key_file, passphrase_from(passphrase_file, str(key_file)))
        has_words = use is not None or bool(limitations) or days is not None
        words = AuthorDecision(use or "", limitations, days or VALID_DAYS) if has_words else None
        now = datetime.now(UTC)
        holder = signing_key(trust, key, now).holder
        after = sign_pending(pending, key, now, words)
    _show_signed(after, holder, as_json)


def _question(not_judged: int) -> str:
    from corpus_audit.checks.text.numbers import plural

    if not not_judged:
        return "Sign this?"
    return f"No rule judges {plural(not_judged, 'figure')} (above, Not judged). Sign this all the same?"


def _shown(pending: PendingSignoff) -> Iterator[str]:
    """The statement to sign, in lines of at most 80 columns."""
    import textwrap

    from corpus_audit.checks.text.safe_text import safe_text

    for label, text in _facts(pending):
        yield from textwrap.wrap(safe_text(text, 600), 80, initial_indent=f"{label:11}", subsequent_indent=" " * 11)


def _facts(pending: PendingSignoff) -> Iterator[tuple[str, str]]:
    from corpus_audit.checks.policy.not_judged import lines as not_judged_lines
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.checks.text.wording import bound_text, figure
    from corpus_audit.runners.audit.outcome import drift_conclusions

    signed, results = pending.measured, pending.results
    corpus, policy, plan = signed.corpus, signed.policy, signed.plan
    yield "Run", f"{signed.run}, {corpus.name}"
    sizes = ", ".join(
        plural(int(count), noun)
        for count, noun in ((corpus.shards, "shard"), (corpus.documents, "document"), (corpus.tokens, "token"))
    )
    yield "Corpus", f"{sizes}; Merkle root {corpus.merkle.root[:16]}…"
    counts = ", ".join(f"{count} {status.value}" for status, count in sorted(results.counts.items()))
    yield "Verdict", f"{signed.verdict.replace('_', ' ')}: {counts}"
    yield "Policy", f"{policy.name}, version {policy.version}, sha256 {policy.digest.sha256[:16]}…"
    units = {judged.waiver: judged.compared_unit for judged in results.judgements if judged.waiver is not None}
    for waiver in signed.waivers:
        unit = units.get(waiver.id, "")
        covered = next((each for each in results.judgements if each.waiver == waiver.id), None)
        observed = "not known" if waiver.unknown else figure(waiver.observed, unit)
        if covered is not None and covered.judged in ("low", "high") and covered.judged_value is not None:
            end = "lower" if covered.judged == "low" else "upper"
            observed = f"{figure(covered.observed, unit)}, its {end} bound {figure(covered.judged_value, unit)}"
        observed += f", waived while {bound_text(waiver.holds_while, unit)}"
        yield "Waiver", f"{waiver.id}: {waiver.rule} ({waiver.slice}) is {observed}. {waiver.reason}"
        yield "", f"Until {waiver.expires}, requested by {waiver.owner}, approved by {waiver.approved_by}."
    for judgement in results.judgements:
        if judgement.status in ("warn", "insufficient"):
            yield "Warning", f"{judgement.rule} ({judgement.slice}): {judgement.reason}"
    conclusions = drift_conclusions(pending.run.folder)
    for row in conclusions:
        yield "Drift", row["headline"] if len(conclusions) == 1 else f"from {row['baseline']}: {row['headline']}"
    for line in not_judged_lines(results.not_judged):
        yield "Not judged", line
    if plan is not None:
        yield "Plan", f"{plan.strategy}: {float(plan.tokens):,.0f} tokens, weights by {plan.unit}"
    if pending.statement is not None:
        decision = pending.statement.predicate.decision
        yield "Author", f"{decision.author}; valid until {decision.valid_until}"
        if decision.intended_use:
            yield "Use", decision.intended_use
        for limitation in decision.limitations:
            yield "Limit", limitation


def _show_signed(after: PendingSignoff, holder: str, as_json: bool) -> None:
    assert after.statement is not None
    author = after.statement.predicate.decision.author
    plan_file = after.plan_file
    if as_json:
        payload: dict[str, Any] = {
            "run": after.measured.run,
            "signoff": str(after.path),
            "signed_by": holder,
            "author": author,
            "approvers": sorted(after.signers.approvers(author)),
            "approvals_missing": after.missing,
            "roles_missing": after.missing_roles,
            "ledger_head": after.ledger.head,
            "plan": str(plan_file) if plan_file else None,
        }
        emit_json("approve", payload)
        return
    write_out(f"\nSigned by {holder} as {'the author' if holder == author else 'an approver'}: {after.path}")
    if plan_file is not None:
        write_out(f"The signed sampling plan, for the training job: {plan_file}")
    write_out(f"Ledger head {after.ledger.head}")
    if after.missing or after.missing_roles:
        missing = max(after.missing, 1)
        roles = f" with the role {' and '.join(after.missing_roles)}" if after.missing_roles else ""
        write_out(f"Still missing: {missing} more approval{'' if missing == 1 else 's'}{roles}")
    else:
        write_out("Complete. Publish the ledger head where nobody who can write the ledger can change it.")
