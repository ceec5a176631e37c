"""The report's section on the verdict: every judgement of the policy, waivers, and what changed since the last
sign-off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.policy.basis import OF_THE_SOURCE
from corpus_audit.checks.policy.not_judged import lines as not_judged_lines
from corpus_audit.checks.report.verdict.records import (
    JudgementRow,
    SinceSigned,
    StatusName,
    TotalChange,
    VerdictName,
    VerdictView,
    WaiverRow,
)
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.checks.text.wording import bound_text, figure
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import (
    FORMAT_1,
    RESULTS_FILE,
    Judgement,
    LastSigned,
    Reference,
    Results,
    read_results,
)

LISTED_PASSES = 300
"""Passing judgements on the page."""

LISTED = 700
"""Judgements on the page, and as many that changed; the page stays below 2 MB and says how many there are beyond."""

VERDICT = "Verdict"

ORDER: tuple[StatusName, ...] = ("fail", "error", "missing", "insufficient", "waived", "warn", "pass")

WORDS: dict[VerdictName, tuple[str, str, str]] = {
    "pass": ("good", "✓", "Passed"),
    "warn": ("warned", "!", "Passed, with warnings"),
    "fail": ("bad", "✗", "Failed"),
    "none": ("bad", "✗", "No verdict"),
}
"""Class, mark and words of a verdict; colour is never alone."""

MARKS: dict[StatusName, str] = {
    "pass": "✓",
    "warn": "!",
    "fail": "✗",
    "insufficient": "?",
    "missing": "?",
    "error": "✗",
    "waived": "~",
}


def load(run: RunDirectory) -> VerdictView | None:
    """What the section shows; None when the run was not judged.

    Raises:
        StoreError: `results.json` is damaged.
    """
    try:
        data = (run.folder / RESULTS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {RESULTS_FILE} of {run.folder}: {error}") from error
    return view_of(read_results(data), run)


def view_of(results: Results, run: RunDirectory | None) -> VerdictView:
    """The view of a run's results; the run gives the totals of now, where they are compared with a signed run's."""
    rows = [_row(judgement) for judgement in results.judgements]
    rows.sort(key=lambda row: ORDER.index(row.status))  # stable: integrity first, then the policy's order
    last = results.last_signed
    since = _since(last, results, rows, run) if last is not None and run is not None else None
    if last is not None:
        before: dict[tuple[str, str], StatusName] = {(p.rule, p.slice): p.status.value for p in last.judgements}
        rows = [replace(row, before=before.get((row.rule, row.slice))) for row in rows]
    units = {judgement.rule: judgement.compared_unit for judgement in results.judgements}
    passing = [row for row in rows if row.passes]
    shown = [row for row in rows if not row.passes] + passing[:LISTED_PASSES]
    counts = Counter(row.status for row in rows)
    return VerdictView(
        verdict=results.verdict.value,
        judged_on=results.judged_on,
        policy=results.policy.name,
        policy_version=results.policy.version,
        policy_sha256=results.policy.sha256,
        approvals=results.policy.approvals,
        roles=results.policy.roles,
        counts=tuple((status, counts[status]) for status in ORDER if counts[status]),
        judgements=tuple(shown),
        hidden=max(len(passing) - LISTED_PASSES, 0),
        waivers=tuple(
            WaiverRow(
                waiver.id,
                waiver.rule,
                waiver.slice,
                waiver.state,
                bound_text(waiver.holds_while, units.get(waiver.rule, "")),
                waiver.reason,
                waiver.ticket,
                waiver.owner,
                waiver.approved_by,
                waiver.expires,
            )
            for waiver in results.waivers
        ),
        not_judged=tuple(not_judged_lines(results.not_judged)),
        records_not_judged=results.schema_ != FORMAT_1,
        since=since,
    )


def section(view: VerdictView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    beyond = view.judgements[LISTED:]
    page = environment.get_template("verdict/verdict.html").render(
        view=view,
        marks=MARKS,
        of_the_source=OF_THE_SOURCE,
        listed=LISTED,
        shown=view.judgements[:LISTED],
        hidden_failures=sum(not row.passes for row in beyond),
        hidden_passes=view.hidden + sum(row.passes for row in beyond),
    )
    return Markup(page)


def findings(view: VerdictView) -> tuple[Finding, ...]:
    """The verdict in a minute: how many rules say what, then each rule that does not pass."""
    return (Finding(VERDICT, "verdict", tuple(_sentences(view))),)


def limits(view: VerdictView) -> Iterator[Sentence]:
    """What the verdict does not show."""
    yield (
        "The verdict says that the rules of policy ",
        Name(view.policy),
        f" {view.policy_version} hold for this snapshot. It does not cover what the policy has no rule for, nor "
        "whether its bounds are the right ones: the people who sign decide that.",
    )
    if any(row.judged != "value" for row in view.judgements):
        yield (
            "A rule that judges a 95 % interval, or one end of it, is wrong in up to one case of forty; over many "
            "slices, some judgements will be.",
        )


def headline(view: VerdictView) -> str:
    """Judgements by status, in one sentence; if the run failed, also which rules have no verdict."""
    total = sum(count for _, count in view.counts)
    parts = [f"{numbers.grouped(count)} {agree(count, *_STATUS_VERBS[status])}" for status, count in view.counts]
    text = f"Of {numbers.plural(total, 'judgement')}, {', '.join(parts)}."
    unknown = list(dict.fromkeys(safe_text(row.rule, 80) for row in view.judgements if row.effect == "none"))
    if view.verdict == "fail" and unknown:
        more = len(unknown) - SUMMARISED
        rest = f" and {numbers.grouped(more)} more" if more > 0 else ""
        text += f" Without a verdict besides: {', '.join(unknown[:SUMMARISED])}{rest}."
    return text


_STATUS_VERBS: dict[StatusName, tuple[str, str]] = {
    "pass": ("passes", "pass"),
    "warn": ("warns", "warn"),
    "fail": ("fails", "fail"),
    "insufficient": ("does not have enough data", "do not have enough data"),
    "missing": ("was not measured", "were not measured"),
    "error": ("could not be evaluated", "could not be evaluated"),
    "waived": ("is waived", "are waived"),
}
"""What is said of one judgement with a status, and of several."""


def _interval(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return numbers.NONE
    return f"[{figure(low, unit)}, {figure(high, unit)}]".replace(" %,", ",")


def _reference(reference: Reference | None, unit: str) -> str:
    if reference is None:
        return ""
    of = {
        "pinned": f"run {reference.run}",
        "last_signed": f"last signed run {reference.run}" if reference.run else "the last signed run",
        "band": f"band over {numbers.plural(reference.runs, 'run')}",
    }[reference.kind]
    if reference.kind == "band":
        return f"{of} {_interval(reference.low, reference.high, unit)}"
    return f"{of}: {figure(reference.value, unit)}"


_JUDGED = {"interval": "interval", "value": "value", "low": "lower bound", "high": "upper bound"}


def _row(judgement: Judgement) -> JudgementRow:
    unit = judgement.unit
    compared = judgement.compared_unit
    observed, bound = judgement.observed, judgement.judged_value
    if judgement.judged in ("low", "high") and bound is None:  # version 1: what was observed is the bound
        observed, bound = (judgement.value if judgement.reference is None else None), observed
    exact = judgement.judged == "value" and bool(judgement.judged_because) and judgement.low != judgement.high
    return JudgementRow(
        rule=judgement.rule,
        title=judgement.title,
        integrity=judgement.kind == "integrity",
        metric=judgement.metric,
        slice=judgement.slice,
        status=judgement.status.value,
        effect=judgement.effect.value,
        judged=_JUDGED[judgement.judged],
        because=judgement.judged_because,
        observed=figure(observed, compared),
        bound=figure(bound, compared) if judgement.judged in ("low", "high") and bound is not None else "",
        interval=_interval(judgement.low, judgement.high, unit),
        of_the_source=exact and judgement.low is not None,
        n=numbers.NONE if judgement.n is None else numbers.grouped(judgement.n),
        warns=bound_text(judgement.warn, compared),
        fails=bound_text(judgement.fail, compared),
        minimum_n="" if judgement.minimum_n is None else numbers.grouped(judgement.minimum_n),
        reference=_reference(judgement.reference, unit),
        reason=judgement.reason,
        next_step=judgement.next_step,
        owner=judgement.owner,
        rationale=judgement.rationale,
        waiver=judgement.waiver,
        line=judgement.line,
    )


def _since(last: LastSigned, results: Results, rows: Iterable[JudgementRow], run: RunDirectory) -> SinceSigned:
    before: dict[tuple[str, str], StatusName] = {(p.rule, p.slice): p.status.value for p in last.judgements}
    now = {(row.rule, row.slice) for row in rows}
    changed = [
        replace(row, before=earlier)
        for row in rows
        if (earlier := before.get((row.rule, row.slice))) is not None and earlier != row.status
    ]
    metrics = run.table("metrics").to_pylist()
    tokens = next((m["value"] for m in metrics if m["metric"] == "tokens" and m["slice"] == "all"), 0)
    return SinceSigned(
        run=last.run,
        envelope=last.envelope,
        same_snapshot=last.snapshot == results.snapshot,
        same_policy=last.policy == results.policy.sha256,
        totals=(
            TotalChange("shards", last.shards, run.facts.coverage.shards),
            TotalChange("documents", last.documents, run.facts.coverage.documents),
            TotalChange("tokens", last.tokens, int(tokens or 0)),
        ),
        changed=tuple(changed),
        added=len(now - before.keys()),
        removed=tuple(sorted(before.keys() - now)),
    )


def _sentences(view: VerdictView) -> Iterator[Sentence]:
    word = WORDS[view.verdict][2]
    yield (f"{word} under policy ", Name(view.policy), f" {view.policy_version}. {headline(view)}")
    for row in view.not_passing[:SUMMARISED]:
        where: Sentence = (" of ", Name(row.slice)) if row.slice and row.slice != "all" else ()
        yield (f"{_STATUS_LABELS[row.status]}: ", Name(row.title), *where, f" – {row.reason.rstrip('.')}.")
    more = len(view.not_passing) - SUMMARISED
    if more > 0:
        yield (f"{numbers.grouped(more)} more {agree(more, 'does', 'do')} not pass.",)
    if view.not_judged:
        more = len(view.not_judged) - SUMMARISED
        rest = f"; and {numbers.grouped(more)} more" if more > 0 else ""
        yield ("No rule judges: ", Name("; ".join(view.not_judged[:SUMMARISED])), f"{rest}.")
    if view.since is not None:
        changed = len(view.since.changed)
        yield (
            "Since the last signed run, ",
            Name(view.since.run),
            f", {numbers.plural(changed, 'judgement')} changed." if changed else ", no judgement changed.",
        )


SUMMARISED = 4
"""Judgements that the summary names; it counts the others."""

_STATUS_LABELS: dict[StatusName, str] = {
    "pass": "Passes",
    "warn": "Warning",
    "fail": "Fails",
    "insufficient": "Not enough data",
    "missing": "Not measured",
    "error": "Not evaluated",
    "waived": "Waived",
}
