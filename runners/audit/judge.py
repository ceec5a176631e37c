"""Judge a run: look up references, derive the verdict, and export the rules through Great Expectations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from corpus_audit.checks.history.references import EarlierRuns, resolve_references
from corpus_audit.checks.policy.great_expectations_export import GreatExpectationsExport
from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.pipelines.storage.run_directory import RunDirectory, StagedRun
from corpus_audit.schemas.run.results import POLICY_FILE, RESULTS_FILE, Results
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.spec.policy_file import LoadedPolicy, load_policy


@dataclass(frozen=True)
class StagedVerdict:
    """The verdict on a staged run, and why the export of its rules was not written, which is empty if it was."""

    results: Results
    missing_export: str


def policy_of(loaded: LoadedAudit) -> LoadedPolicy | None:
    """The policy that an audit names, None if it names none.

    Raises:
        SpecError: it cannot be read or is wrong.
    """
    return load_policy(loaded.base / loaded.spec.policy) if loaded.spec.policy is not None else None


def judge_staged(
    policy: LoadedPolicy,
    staged: StagedRun,
    facts: RunFile,
    output: Path,
    audit_base: Path,
    export: GreatExpectationsExport,
) -> StagedVerdict:
    """Judge a staged run, and write into it the results, the policy byte for byte and the JSON of Great Expectations.

    Args:
        policy: the policy.
        staged: the run, its tables complete.
        facts: its run.json.
        output: the folder of earlier runs.
        audit_base: the folder of audit.yaml.
        export: writes the JSON of Great Expectations; if it cannot, the verdict stands.

    Raises:
        StoreError: a table of the run cannot be read.
    """
    metrics = RunDirectory(staged.folder, facts).table("metrics")
    references = resolve_references(policy.policy, metrics, EarlierRuns(output, facts, policy.base, audit_base))
    results = judge(policy, metrics, facts, references, _today())
    (staged.folder / POLICY_FILE).write_bytes(policy.data)
    (staged.folder / RESULTS_FILE).write_bytes(results.to_json())
    return StagedVerdict(results, export.write(policy, staged.folder, references.figures))


def judge_finished(policy: LoadedPolicy, run: RunDirectory) -> Results:
    """The verdict that a finished run would have under a policy, the runs before it being its references.

    Nothing is written.

    Raises:
        StoreError: a table of the run cannot be read.
    """
    metrics = run.table("metrics")
    return judge(policy, metrics, run.facts, resolve_references(policy.policy, metrics, _before(policy, run)), _today())


def references_of(policy: LoadedPolicy, run: RunDirectory) -> References:
    """The reference values that a policy compares the figures of a finished run with."""
    return resolve_references(policy.policy, run.table("metrics"), _before(policy, run))


def _today() -> date:
    """Today in UTC, which decides whether waivers have expired."""
    return datetime.now(UTC).date()


def _before(policy: LoadedPolicy, run: RunDirectory) -> EarlierRuns:
    output = run.folder.absolute().parent
    return EarlierRuns(output, run.facts, policy.base, _audit_base(run), run.folder.name)


def _audit_base(run: RunDirectory) -> Path | None:
    """The folder of the audit file, derived from the output folder that its spec names; None if that fails."""
    written = run.facts.spec.get("output")
    if written is None:
        return None
    output = run.folder.resolve().parent
    for base in output.parents:
        if (base / written).resolve() == output:
            return base
    return None
