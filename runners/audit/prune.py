"""Remove old runs from an output folder, and partials from its store that no remaining run uses.

Kept, whatever their age: the newest run, the newest whose verdict is pass or warn (a baseline with `passed: true` is
that one), runs that anybody has signed, and every run that the spec or the policy of a kept run (or of the audit that
was given) names, as a baseline, a pinned reference or a target. A run that cannot be read is left alone. So are
partials written after the newest run, because an interrupted run goes on from them, and, for a kept run that did not
write down what it is made of, all that are older than it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

from corpus_audit.checks.history.history import History, IndexedRun
from corpus_audit.checks.signoff.ledger import read_ledger
from corpus_audit.pipelines.counting.used_partials import StoredPartial, UsedPartials, default_store
from corpus_audit.pipelines.storage.run_directory import LATEST, STAGING, RunDirectory
from corpus_audit.runners.audit.judge import policy_of
from corpus_audit.schemas.run.results import POLICY_FILE, Verdict
from corpus_audit.schemas.run.run_file import RUN_FILE
from corpus_audit.schemas.run.signoff import LEDGER
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.yaml import yaml_tree


@dataclass(frozen=True, slots=True)
class Keep:
    """The number of newest runs to keep, and the days to keep any run; a run is kept if either applies."""

    last: int | None
    days: float | None


@dataclass(frozen=True, slots=True)
class Pruning:
    """Runs and partials to remove, and runs to keep.

    Attributes:
        output: the folder.
        runs: names of runs to remove -> their bytes, oldest first.
        kept: names of runs -> why each is kept.
        partials: files of the store to remove.
        left: why runs or partials that look old are left alone, one sentence each.
    """

    output: Path
    runs: dict[str, int]
    kept: dict[str, str]
    partials: tuple[StoredPartial, ...]
    left: tuple[str, ...]

    @property
    def partial_bytes(self) -> int:
        """Bytes of the partials to remove."""
        return sum(partial.bytes for partial in self.partials)

    @property
    def bytes(self) -> int:
        """Bytes of everything to remove."""
        return sum(self.runs.values()) + self.partial_bytes


def plan_pruning(output: Path, keep: Keep, now: datetime, audit: LoadedAudit | None = None) -> Pruning:
    """Plan what to remove, without removing anything.

    Args:
        output: the output folder.
        keep: which runs are kept for their age.
        now: the time that ages are counted from, with its zone.
        audit: the audit, if it is known: runs that it and its policy name are kept.

    Raises:
        AuditError: the history or the ledger cannot be used, so that nothing is known for certain.
    """
    with History.open(output) as history:
        runs, problems = history.runs(), history.problems
    kept = _kept_runs(output, runs, keep, now)
    named = {run.run for run in runs}
    bases = {output, output.parent} | ({audit.base} if audit is not None else set())
    pinned = _names_in(_named_by(audit), bases) if audit is not None else set()
    expanded: set[str] = set()
    while True:
        for run in (pinned & named) - kept.keys():
            kept[run] = "named by the spec or policy of a kept run"
        new = kept.keys() - expanded
        if not new:
            break
        expanded |= new
        for run in new:
            pinned |= _names_in(_named_in(output / run), bases)
    gone = {run.run: _size(output / run.run) for run in runs if run.run not in kept}
    partials, skipped = _unused(output, sorted(kept), audit, bool(problems))
    return Pruning(output, gone, kept, partials, (*problems, *skipped))


def prune(plan: Pruning) -> None:
    """Remove what a plan says; the caller holds the output folder's lock, and made the plan while holding it.

    A run disappears by one rename before its files are removed, so that no half of one is ever among the runs.
    """
    store = default_store(plan.output)
    for run in plan.runs:
        aside = plan.output / STAGING / f"pruned-{run}"
        aside.parent.mkdir(exist_ok=True)
        (plan.output / run).rename(aside)
        shutil.rmtree(aside)
        UsedPartials(store).forget(run)
    shutil.rmtree(plan.output / STAGING, ignore_errors=True)
    for partial in plan.partials:
        partial.path.unlink(missing_ok=True)
    with History.open(plan.output):
        pass  # which drops the runs that are gone


def _kept_runs(output: Path, runs: tuple[IndexedRun, ...], keep: Keep, now: datetime) -> dict[str, str]:
    signed = _signed(output)
    try:
        latest = (output / LATEST).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        latest = ""
    passed = next((run.run for run in reversed(runs) if run.verdict in (Verdict.PASS, Verdict.WARN)), None)
    kept: dict[str, str] = {}
    for behind, run in enumerate(reversed(runs)):
        if behind == 0 or run.run == latest:
            kept[run.run] = "the newest"
        elif run.run == passed:
            kept[run.run] = "the newest that passed"
        elif run.signed is not None or run.run in signed:
            kept[run.run] = "signed"
        elif keep.last is not None and behind < keep.last:
            kept[run.run] = f"among the last {keep.last}"
        elif keep.days is not None:
            if run.time is None:
                kept[run.run] = "of unknown age"
            elif now - datetime.fromisoformat(run.time) < timedelta(days=keep.days):
                kept[run.run] = f"younger than {keep.days:g} days"
    return kept


def _signed(output: Path) -> set[str]:
    """Runs in the ledger: a signature counts although its file is gone, or approvals are missing."""
    path = output / LEDGER
    return {entry.run for entry in read_ledger(path).entries} if path.exists() else set()


def _named_by(audit: LoadedAudit) -> list[Any]:
    """The values of an audit and of its policy."""
    policy = policy_of(audit)
    return [audit.spec.model_dump(mode="json"), None if policy is None else yaml_tree.plain(policy.tree)]


def _named_in(folder: Path) -> list[Any]:
    """The values of the spec and the policy of a run."""
    policy = folder / POLICY_FILE
    tree = yaml_tree.parse(policy.read_bytes(), str(policy))[0] if policy.is_file() else None
    return [RunDirectory(folder).facts.spec, None if tree is None else yaml_tree.plain(tree)]


def _names_in(value: Any, bases: set[Path]) -> set[str]:
    """The last component of every text in a tree, and what it is a link to: where a run is named, its name."""
    names = {PurePath(text).name for text in _texts(value)}
    short = [text for text in _texts(value) if len(text) < 1000 and "\0" not in text]
    links = [base / text for base in bases for text in short if (base / text).is_symlink()]
    return names | {link.resolve().name for link in links}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _unused(
    output: Path, kept: list[str], audit: LoadedAudit | None, unreadable: bool
) -> tuple[tuple[StoredPartial, ...], tuple[str, ...]]:
    """Unused partials, and messages about others that are not removed."""
    stores = {RunDirectory(output / run).facts.spec.get("store") for run in kept}
    if audit is not None:
        stores.add(audit.spec.store)
    shared = sorted(str(store) for store in stores if store is not None)
    if shared:
        return (), (f"The store {shared[0]} may be shared with other output folders: its partials are not removed.",)
    if unreadable:
        return (), ("The partials of damaged runs are not known: no partials are removed.",)
    if not kept:
        return (), ()
    used = UsedPartials(default_store(output))
    if used.is_shared:
        return (), ("Another output folder uses this store: its partials are not removed.",)
    needed: set[str] = set()
    unknown = 0.0
    skipped = []
    written = {run: (output / run / RUN_FILE).stat().st_mtime for run in kept}
    for run in kept:
        names = used.of(run)
        if names is None:
            unknown = max(unknown, written[run])
            skipped.append(f"Run {run} has no list of its partials: older partials are not removed.")
        else:
            needed |= names
    newest = max(written.values())
    unused = (partial for partial in used.stored() if partial.name not in needed and unknown < partial.written < newest)
    return tuple(sorted(unused, key=lambda partial: partial.name)), tuple(skipped)
