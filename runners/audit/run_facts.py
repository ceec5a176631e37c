"""Build run.json of a run: coverage, integrity rules, tokenizer, facets and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus_audit.checks.text.numbers import plural
from corpus_audit.pipelines.counting.job import Job
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.measures.base import facet_settings
from corpus_audit.pipelines.reading.snapshot.unread import counted_endings, files_by_ending, unread_data
from corpus_audit.pipelines.tokens.verification import NEEDED
from corpus_audit.runners.audit.baselines import baseline_facts
from corpus_audit.runners.audit.counting.shard_loss import Loss, hints, shard_loss_rule, shards_without_rows
from corpus_audit.schemas.run.run_file import (
    FileListing,
    IntegrityRule,
    IntendedMixture,
    RunCoverage,
    RunFacets,
    RunFile,
    RunFilter,
    RunSnapshot,
    RunTokenizer,
    UnreadFiles,
)
from corpus_audit.schemas.run.snapshot import UNREAD_WORDS, ShardStatus, UnreadFile, UnreadReason, snapshot_digest
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.runners.audit.baselines import Baseline
    from corpus_audit.runners.audit.counting.shard_states import ShardState

MOST_NAMES = 20
"""Unread files of a reason that run.json names; the table has all."""

MOST_ENDINGS = 5
"""Endings of unread members that the coverage names."""

PACKAGES = ("corpus-audit", "apache-beam", "gigatoken", "numba", "numpy", "pillow", "pyarrow", "scipy", "tokenizers")


@dataclass(frozen=True, slots=True)
class Material:
    """The counts of a run with what is needed to write its tables."""

    spec: AuditSpec
    job: Job
    states: list[ShardState]
    profile: Profile
    documents: int
    workers: int
    baselines: tuple[Baseline, ...] = ()
    unread: tuple[UnreadFile, ...] = ()


def run_facts(name: str, material: Material) -> RunFile:
    """run.json of the run of this name, without the digests of its files."""
    spec, states = material.spec, material.states
    coverage = coverage_facts(material)
    needed = min(NEEDED, material.documents)
    verified = verified_documents(states)
    integrity = integrity_rules(spec, states, coverage, verified, needed, material.unread)
    reasons = tuple(rule.detail for rule in integrity if not rule.holds)
    tokenization, tokenizer = material.job.tokenization, material.job.tokenizer
    hashed = [(state.shard.name, state.sha256) for state in states if state.sha256]
    return RunFile(
        format=1,
        name=spec.name,
        run=name,
        snapshot=RunSnapshot(
            digest=snapshot_digest(hashed), shards=len(states), bytes=sum(state.shard.size for state in states)
        ),
        coverage=coverage,
        listing=listing_facts(len(states), material.unread),
        integrity=integrity,
        complete=not reasons,
        reasons=reasons,
        tokenizer=RunTokenizer(
            name=tokenizer.name,
            sha256=tokenizer.sha256,
            vocabulary=tokenizer.vocabulary,
            engine=spec.tokenizer_engine,
            path=tokenization.path,
            path_version=tokenization.path_version,
            path_reason=tokenization.reason,
            switched_off=tuple(tokenizer.switched_off),
            verified=verified,
            verified_needed=needed,
        ),
        facets=RunFacets(
            primary="domain",
            names=tuple(material.profile.facets),
            sources={
                name: _source_text(source)
                for name, source in {"domain": spec.document.domain, **spec.document.facets}.items()
            },
        ),
        cluster=_source_text(spec.document.cluster) if spec.document.cluster is not None else None,
        documents_without_cluster=(
            material.profile.documents_without_cluster() if spec.document.cluster is not None else 0
        ),
        token_groups="domain" if material.profile.groups_by_domain else "overall",
        mixture=IntendedMixture(unit=spec.mixture.unit, shares=spec.mixture.shares) if spec.mixture else None,
        filter=tuple(RunFilter(name=clause.name, clause=_clause_text(clause)) for clause in spec.filter),
        baselines=baseline_facts(material.baselines),
        versions=package_versions(),
        spec=spec.model_dump(mode="json"),
        files={},
    )


def coverage_facts(material: Material) -> RunCoverage:
    """How many shards, splits and rows were read, and what became of the others."""
    states = material.states
    by_status = Counter(state.status for state in states)
    totals = [state.coverage for state in states if state.coverage]
    return RunCoverage(
        shards=len(states),
        shards_read=by_status[ShardStatus.READ],
        shards_cached=by_status[ShardStatus.CACHED],
        shards_error=by_status[ShardStatus.ERROR],
        shards_not_sampled=by_status[ShardStatus.NOT_SAMPLED],
        splits=sum(len(state.planned.plan.splits) for state in states),
        splits_counted=sum(len(state.planned.sampled) for state in states if state.coverage),
        rows=sum(coverage.rows for coverage in totals),
        documents=material.documents,
        dead_letters=sum(sum(coverage.dead.values()) for coverage in totals),
        row_bytes=sum(coverage.row_bytes for coverage in totals),
        dead_letter_bytes=sum(sum(coverage.dead_bytes.values()) for coverage in totals),
        filtered=sum(sum(coverage.filtered.values()) for coverage in totals),
        sample_share=material.spec.sample.share if material.spec.sample else 1.0,
        conserved=is_conserved(material),
        manifest=material.spec.snapshot.manifest is not None,
        digests_computed=sum(state.planned.plan.digest_computed for state in states),
        digests_remembered=sum(not state.planned.plan.digest_computed for state in states),
        duplicate_shards=sum(n - 1 for n in copies_of(states).values()),
    )


def listing_facts(shards: int, unread: Sequence[UnreadFile]) -> FileListing:
    """How many files were seen, and by reason how many of them were not read, with their endings and first names."""
    reasons: dict[UnreadReason, list[UnreadFile]] = {}
    for file in unread:
        reasons.setdefault(file.reason, []).append(file)
    return FileListing(
        seen=shards + len(unread),
        read=shards,
        unread={
            reason.value: UnreadFiles(
                files=len(files),
                bytes=sum(file.size or 0 for file in files),
                may_be_data=reason.may_be_data,
                endings=dict(counted_endings([file.name for file in files])),
                names=tuple(file.name for file in files[:MOST_NAMES]),
            )
            for reason, files in sorted(reasons.items())
        },
    )


def unread_rule(unread: Sequence[UnreadFile]) -> IntegrityRule:
    """The integrity rule that no file that may be data was seen and not read."""
    data = unread_data(unread)
    worst = Counter(file.reason for file in data).most_common(1)
    why = UNREAD_WORDS[worst[0][0]] if worst else ""
    first = next((file.name for file in data if file.reason is worst[0][0]), "")
    others = len(unread) - len(data)
    remark = (
        f"; {others:,} others that are no data or were to be left out are in the table unread_files" if others else ""
    )
    return IntegrityRule.of(
        "unread_files",
        not data,
        f"{files_by_ending([file.name for file in data])} {'was' if len(data) == 1 else 'were'} seen and not read; "
        f"{first} is {why}. Name what is to be left out under snapshot.ignore",
        f"no file that may be data was seen and not read{remark}",
    )


def verified_documents(states: list[ShardState]) -> int:
    """Documents of all shards that were encoded a second time by the reference tokenizer."""
    return sum(state.verified for state in states)


def copies_of(states: list[ShardState]) -> Counter[str]:
    """How many shards hold the bytes of each digest."""
    return Counter(state.sha256 for state in states if state.sha256)


def is_conserved(material: Material) -> bool:
    """Whether readers, footers and measures agree on every row: the readers' tallies were checked as they read; here
    the rows that footers promise and the documents that the measures hold are held against them."""
    for state in material.states:
        plan = state.planned.plan
        is_complete = len(state.planned.sampled) == len(plan.splits)
        if state.coverage and is_complete and plan.rows is not None and plan.rows != state.coverage.rows:
            return False
    profile_documents = sum(int(chunk.columns["documents"].sum()) for chunk in material.profile.duplicate_hashes())
    return profile_documents == material.documents


def integrity_rules(
    spec: AuditSpec,
    states: list[ShardState],
    coverage: RunCoverage,
    verified: int,
    needed: int,
    unread: Sequence[UnreadFile] = (),
) -> tuple[IntegrityRule, ...]:
    """The rules that every run is checked by: whether each holds, and a message."""
    failed = [state for state in states if state.error is not None]
    budget = spec.limits.dead_letter_share
    loss = Loss(coverage.dead_letters, coverage.rows, coverage.dead_letter_bytes, coverage.row_bytes)
    reasons = Counter(reason for state in states if state.coverage for reason in state.coverage.dead)
    first = f"; the first is {failed[0].shard.name}: {failed[0].error}" if failed else ""
    return (
        IntegrityRule.of(
            "coverage",
            not failed,
            f"{len(failed)} of {plural(len(states), 'shard')} could not be read{first}",
            "every shard was read"
            + (f"; {empty}" if (empty := shards_without_rows(states)) else "")
            + _images_read(states),
        ),
        IntegrityRule.of("conservation", coverage.conserved, "rows are unaccounted for", "every row is accounted for"),
        IntegrityRule.of(
            "digests",
            all(state.sha256 for state in states),
            "a shard could not be hashed",
            f"{coverage.digests_computed} computed, {coverage.digests_remembered} remembered",
        ),
        IntegrityRule.of(
            "tokenizer_verification",
            verified >= needed,
            f"only {verified} of {plural(needed, 'required document')} {'was' if verified == 1 else 'were'} verified "
            "against the reference tokenizer",
            "no document has text, so no token was counted"
            if spec.document.text is None
            else f"{plural(verified, 'document')} {'agrees' if verified == 1 else 'agree'} with the reference",
        ),
        IntegrityRule.of(
            "dead_letter_budget",
            loss.share <= budget,
            f"{loss} are dead letters, more than the limit of {budget:.3%} of rows and of bytes"
            + hints(sorted(reasons)),
            f"{loss}; the limit of both is {budget:.3%}",
        ),
        shard_loss_rule(spec.limits, states),
        unread_rule(unread),
    )


def _images_read(states: list[ShardState]) -> str:
    """What was not read beside the images of an image corpus, as the end of a sentence; empty for text."""
    members: Counter[str] = Counter()
    for state in states:
        if state.coverage:
            members.update(state.coverage.members)
    uncaptioned = sum(state.coverage.uncaptioned for state in states if state.coverage)
    remark = f"; {plural(uncaptioned, 'image')} without a caption" if uncaptioned else ""
    if members:
        most = sorted(members.items(), key=lambda item: (-item[1], item[0]))[:MOST_ENDINGS]
        listed = ", ".join(f"{count:,} with {'' if ' ' in ending else '.'}{ending}" for ending, count in most)
        more = f" and others, {members.total():,} in all" if len(members) > MOST_ENDINGS else ""
        remark += f"; members of archives beside the images were not read: {listed}{more}"
    return remark


def _source_text(source: Any) -> str:
    value = facet_settings(source)
    if isinstance(value, str):
        return f"column {value}"
    return ", ".join(f"{kind.replace('_', ' ')} {what}" for kind, what in value.items())


def _clause_text(clause: Any) -> str:
    value = list(clause.value) if isinstance(clause.value, tuple) else clause.value
    return f"{clause.column} {clause.op}" + ("" if value is None else f" {value!r}")


def package_versions() -> dict[str, str]:
    """Versions of Python, of its Unicode tables and of what computes figures; "absent" for what is not installed."""
    versions = {"python": platform.python_version(), "unicode": unicodedata.unidata_version}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return versions


def host_facts() -> dict[str, Any]:
    """Name and kind of this machine; they go into timings.json alone."""
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
