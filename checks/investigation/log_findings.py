"""Findings about the logs themselves: what could not be read, resumes, what is not a number, the end of a run."""

from __future__ import annotations

from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.pipelines.telemetry.points import encodable
from corpus_audit.schemas.run.findings import Effect, Evidence, Finding, FindingWindow, Reading

MOST_EVIDENCE = 10
"""Rows that a finding lists; the tables have all."""

_OTHER_RUN = 0.5


def log_findings(run: RunAnalysis) -> list[Finding]:
    """Findings about the logs of one run."""
    return [_reading(run), _resumes(run), _numbers(run), _skipped(run), *_end(run)]


def _reading(run: RunAnalysis) -> Finding:
    files = run.telemetry.files
    entries = sum(file.account.entries for file in files)
    refused = sum(file.account.refused + file.account.values_refused for file in files)
    reasons: dict[str, int] = {}
    for file in files:
        for reason, count in file.account.reasons.items():
            reasons[reason.value] = reasons.get(reason.value, 0) + count
    for file_reason in sorted({unread.reason for unread in run.unread}):
        reasons[f"file {file_reason}"] = sum(unread.reason == file_reason for unread in run.unread)
    letters = [(file, letter) for file in files for letter in file.account.dead_letters][:MOST_EVIDENCE]
    name, wrong = run.spec.id, refused or run.unread
    parts = []
    if refused:
        parts.append(f"{'1 entry' if refused == 1 else f'{grouped(refused)} entries'} could not be read")
    if run.unread:
        count = len(run.unread)
        parts.append(f"{plural(count, 'file')} {agree(count, 'was', 'were')} not recognised or could not be opened")
    claim = (
        f"in the logs of {name} {' and '.join(parts)}"
        if wrong
        else f"everything in the {plural(len(files), 'file')} of {name} could be read"
    )
    rows = tuple(
        Evidence(
            file=encodable(str(file.path)),
            offset=letter.offset,
            unit=file.offset_unit,
            series="",
            step=0,
            value=None,
            shown=f"{letter.reason.value} {letter.detail}".strip(),
        )
        for file, letter in letters
    )
    return Finding(
        id=f"{run.spec.id}.logs",
        bucket="training",
        question=f"Could all logs of {run.spec.id} be read?",
        claim=claim,
        reading=Reading.SHOWN if wrong else Reading.NOT_SHOWN,
        detail="" if wrong else f"no damage in {grouped(entries)} records, lines and rows",
        n=entries,
        excluded=reasons,
        test="every record, line and row is used, without telemetry by its nature, or refused with a reason",
        evidence=rows,
    )


def _resumes(run: RunAnalysis) -> Finding:
    name = run.spec.id
    longest = max(run.telemetry.series, key=len, default=None)
    if longest is None:
        return _nothing(run, "resumes", f"Was {name} resumed, and were steps logged again?", "no points were read")
    superseded = int(longest.superseded.sum())
    segments = int(longest.segment.max()) + 1
    limits = []
    if superseded > _OTHER_RUN * len(longest) and longest.equal < superseded:
        limits.append("more than half of the points were replaced by others: the files may be those of several runs")
    if not longest.ordered:
        limits.append("the steps have no order: points were sorted by step, and the last of a step counts")
    shown = segments > 1 or superseded > 0
    return Finding(
        id=f"{name}.resumes",
        bucket="training",
        question=f"Was {name} resumed, and were steps logged again?",
        claim=(
            f"{name} has {plural(segments, 'segment')}; {grouped(superseded)} of {grouped(len(longest))} points of "
            f"its longest series were replaced by later ones, {grouped(longest.equal)} of them by the same value"
            if shown
            else f"{name} has one segment, and no step was logged twice"
        ),
        reading=Reading.SHOWN if shown else Reading.NOT_SHOWN,
        detail="" if shown else f"no step back among {plural(len(longest), 'point')}",
        effect=Effect(value=superseded, unit="points"),
        n=len(longest),
        test="a segment begins with a file and where the step goes back",
        limits=tuple(limits),
    )


def _numbers(run: RunAnalysis) -> Finding:
    name, loss = run.spec.id, run.loss
    question = f"Did the loss of {name} stop being a number?"
    if loss is None:
        return _no_loss(run, "nan", question)
    lost = sum(stretch.last - stretch.first + 1 for stretch in run.no_numbers)
    if not lost:
        return Finding(
            id=f"{name}.nan", bucket="training", question=question, claim=f"the loss of {name} is always a number",
            reading=Reading.NOT_SHOWN, detail=f"0 of {plural(len(loss.step), 'point')}", n=len(loss.step),
            test="NaN and infinities are counted",
        )  # fmt: skip
    first, last, count = run.no_numbers[0], run.no_numbers[-1], len(run.no_numbers)
    begin = grouped(int(loss.step[first.first]))
    end = f"; from step {grouped(int(loss.step[last.first]))} to the end" if last.last == len(loss.step) - 1 else ""
    stretches = agree(count, "1 stretch", f"{grouped(count)} stretches")
    points = plural(lost, "point")
    return Finding(
        id=f"{name}.nan",
        bucket="training",
        question=question,
        claim=f"the loss of {name} is not a number at {points} in {stretches}, first at step {begin}{end}",
        reading=Reading.SHOWN,
        effect=Effect(value=lost, unit="points"),
        n=len(loss.step),
        test="NaN and infinities are counted",
        window=FindingWindow(run=name, first=int(loss.step[first.first]), last=int(loss.step[last.last])),
        evidence=tuple(run.evidence(loss, stretch.first) for stretch in run.no_numbers[:MOST_EVIDENCE]),
        limits=("some programs write nan where a value was not recorded",),
    )


def _skipped(run: RunAnalysis) -> Finding:
    name, loss = run.spec.id, run.loss
    question = f"Did {name} skip steps?"
    if loss is None:
        return _no_loss(run, "skipped", question)
    skipped = run.curves.get(Quantity.SKIPPED)
    total = int(skipped.value[skipped.value > 0].sum()) if skipped is not None else 0
    missing = sum(gap.steps for gap in run.gaps)
    parts = []
    if total:
        parts.append(f"{grouped(total)} steps are logged as skipped")
    if missing:
        parts.append(f"{grouped(missing)} steps are missing in {plural(len(run.gaps), 'gap')}")
    every = f", every {plural(run.usual_distance, 'step')}" if run.usual_distance else ""
    evidence = [run.evidence(loss, gap.first) for gap in run.gaps]
    if skipped is not None:
        evidence += [run.evidence(skipped, i) for i in (skipped.value > 0).nonzero()[0][:MOST_EVIDENCE].tolist()]
    return Finding(
        id=f"{name}.skipped",
        bucket="training",
        question=question,
        claim=f"in {name} {' and '.join(parts)}" if parts else f"{name} has no skipped or missing steps",
        reading=Reading.SHOWN if parts else Reading.NOT_SHOWN,
        detail="" if parts else f"0 in {plural(len(loss.step), 'point')}{every}",
        effect=Effect(value=total + missing, unit="steps"),
        n=len(loss.step),
        test="steps logged as skipped, and distances of more than twice the usual one",
        evidence=tuple(evidence[:MOST_EVIDENCE]),
        limits=() if skipped is not None else ("skipped steps are not logged as such",),
    )


def _end(run: RunAnalysis) -> list[Finding]:
    name, loss, end = run.spec.id, run.loss, run.spec.schedule_end
    if end is None:
        return []
    question = f"Did {name} reach the end of its schedule?"
    if loss is None:
        return [_no_loss(run, "schedule", question)]
    last = int(loss.step[-1])
    short = end - last
    return [
        Finding(
            id=f"{name}.schedule",
            bucket="training",
            question=question,
            claim=(
                f"{name} ends at step {grouped(last)}, {plural(short, 'step')} before its schedule does: its loss "
                "cannot be compared with that of finished runs"
                if short > 0
                else f"{name} reached the end of its schedule at step {grouped(end)}"
            ),
            reading=Reading.SHOWN if short > 0 else Reading.NOT_SHOWN,
            detail="" if short > 0 else "no step is missing",
            effect=Effect(value=max(short, 0), unit="steps"),
            n=len(loss.step),
            test="last step of the loss against schedule_end",
            evidence=(run.evidence(loss, len(loss.step) - 1),),
        )
    ]


def _no_loss(run: RunAnalysis, topic: str, question: str) -> Finding:
    tags = ", ".join(repr(series.tag[:40]) for series in run.telemetry.series[:5])
    why = f"no series is known to be the training loss; there are {len(run.telemetry.series)} series"
    return _nothing(run, topic, question, f"{why} ({tags})" if tags else why)


def _nothing(run: RunAnalysis, topic: str, question: str, why: str) -> Finding:
    return Finding(
        id=f"{run.spec.id}.{topic}", bucket="training", question=question, claim="this could not be tested",
        reading=Reading.NOT_ENOUGH, detail=why,
    )  # fmt: skip


def not_enough(run: RunAnalysis, topic: str, question: str, why: str) -> Finding:
    """A question that could not be answered; without a loss the reason is that."""
    return _no_loss(run, topic, question) if run.loss is None else _nothing(run, topic, question, why)
