"""The report's summary for a terminal, with or without colour."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_audit.checks.report.page.findings import decimals, findings
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.profile.labels import share_label
from corpus_audit.checks.report.profile.records import ShareRow
from corpus_audit.checks.report.profile.tables import fold, largest
from corpus_audit.checks.report.verdict.records import JudgementRow, VerdictView
from corpus_audit.checks.report.verdict.section import MARKS, SUMMARISED, VERDICT, WORDS, headline
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from corpus_audit.checks.text.sentences import Name, Sentence

__all__ = ["render_summary", "safe_text"]

TOP_DOMAINS = 12
"""Domains in the summary's table; the page has more."""

TOPIC = 12
"""Columns of the topic at the left of a finding."""

NAME_LIMIT = 60
NARROWEST = 60

BOLD, DIM, GREEN, RED, BLUE, YELLOW = "1", "2", "1;32", "1;31", "34", "33"

OPEN, CLOSE = "\x02", "\x03"
"""Mark names while lines are wrapped: control characters, which `safe_text` removes from text of the corpus."""

MOST_JUDGEMENTS = 20
"""Judgements in the summary that do not pass; the page has all."""

_SHORT = {"insufficient": "too few"}
"""Statuses that are longer than a topic's column."""

_SHADES = {"warn": YELLOW, "pass": DIM}
"""Colours by what a judgement does to the verdict; red otherwise."""

EIGHTHS = " ▏▎▍▌▋▊▉"


class _Painter:
    """Wraps text in ANSI colour codes if ``colour`` is true; otherwise returns it unchanged."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def names(self, line: str) -> str:
        """The line with its marked names in bold."""
        opened, closed = ("\x1b[1m", "\x1b[0m") if self.colour else ("", "")
        return line.replace(OPEN, opened).replace(CLOSE, closed)


def render_summary(model: ReportModel, report: str, width: int = 80, colour: bool = False) -> str:
    """The summary as lines of at most ``width`` columns, each ended by a newline.

    Args:
        model: the report.
        report: path of the page; the last line shows it uncut, so that it can be copied.
        width: columns of the terminal, at least `NARROWEST`.
        colour: whether to use ANSI colours; without them nothing is lost.
    """
    width = max(width, NARROWEST)
    paint = _Painter(colour)
    lines = [*_status(model, width, paint), paint("─" * width, DIM), *_totals(model, width), ""]
    if model.domains:
        lines += [*_shares(model, width, paint), ""]
    if model.verdict is not None:
        lines += [*verdict_lines(model.verdict, width, colour), ""]
    for finding in findings(model):
        if finding.topic == VERDICT:
            continue
        texts = finding.lines or (" ".join(_plain(sentence) for sentence in finding.sentences),)
        wrapped = [line for text in texts for line in _wrap(text, width - TOPIC)]
        for index, line in enumerate(wrapped):
            topic = paint(fit("" if index else finding.topic, TOPIC), DIM)
            lines.append(topic + paint.names(line))
    path = safe_text(report, 4096)
    label = paint(fit("Report", TOPIC), DIM)
    lines += [label + path] if TOPIC + cell_width(path) <= width else [label, path]
    return "".join(line.rstrip() + "\n" for line in lines)


def _status(model: ReportModel, width: int, paint: _Painter) -> Iterator[str]:
    mark, shade = _verdict(model)
    name = fit(safe_text(model.name, 200), width - cell_width(mark) - 2)
    yield paint(name, BOLD) + "  " + paint(mark, shade)
    digest = safe_text(model.snapshot.digest[:12], 48)
    yield paint(fit(f"snapshot {digest}  run {safe_text(model.run, NAME_LIMIT)}", width).rstrip(), DIM)
    for reason in model.reasons:
        for index, line in enumerate(_wrap(safe_text(reason, 400), width - 2)):
            yield ("  " if index else "- ") + line


def _verdict(model: ReportModel) -> tuple[str, str]:
    """Mark and colour: the policy's verdict, or without a policy whether everything was read."""
    if model.verdict is not None:
        words = {"pass": ("✓ PASS", GREEN), "warn": ("! WARN", YELLOW), "fail": ("✗ FAIL", RED)}
        return words.get(model.verdict.verdict, ("✗ NO VERDICT", RED))
    if not model.complete:
        return "✗ NO VERDICT", RED
    return "✓ COMPLETE, SAMPLED" if model.coverage.sampled else "✓ COMPLETE", GREEN


def verdict_lines(view: VerdictView, width: int = 80, colour: bool = False) -> Iterator[str]:
    """Lines with the verdict and up to `MOST_JUDGEMENTS` judgements that do not pass."""
    paint = _Painter(colour)
    policy = f"{safe_text(view.policy, NAME_LIMIT)} {safe_text(view.policy_version, NAME_LIMIT)}"
    word = WORDS[view.verdict][2]
    for index, line in enumerate(_wrap(f"{word} under policy {policy}. {headline(view)}", width - TOPIC)):
        yield paint(fit("" if index else "Verdict", TOPIC), DIM) + line
    for row in view.not_passing[:MOST_JUDGEMENTS]:
        label = fit(f"{MARKS[row.status]} {_SHORT.get(row.status, row.status)}", TOPIC)
        for index, line in enumerate(_shortened(_wrap(_judgement_text(row), width - TOPIC), 3)):
            yield (paint(label, _SHADES.get(row.effect, RED)) if index == 0 else " " * TOPIC) + line
    more = len(view.not_passing) - MOST_JUDGEMENTS
    if more > 0:
        yield " " * TOPIC + f"{numbers.grouped(more)} more {agree(more, 'does', 'do')} not pass; see results.json."
    for text in view.not_judged[:SUMMARISED]:
        for index, line in enumerate(_shortened(_wrap(safe_text(text, 400), width - TOPIC), 2)):
            yield (paint(fit("- no rule", TOPIC), YELLOW) if index == 0 else " " * TOPIC) + line
    more = len(view.not_judged) - SUMMARISED
    if more > 0:
        yield " " * TOPIC + f"No rule judges {numbers.plural(more, 'more figure')}; see results.json."


def _judgement_text(row: JudgementRow) -> str:
    slice_ = f" ({safe_text(row.slice, NAME_LIMIT)})" if row.slice and row.slice != "all" else ""
    return f"{safe_text(row.title, NAME_LIMIT)}{slice_}: {safe_text(row.reason, 400)}"


def _shortened(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][:-1] + "…"]


def _totals(model: ReportModel, width: int) -> list[str]:
    totals, coverage = model.totals, model.coverage
    over = "" if totals.domains_exact else "over "
    shards = numbers.compact(coverage.shards_used)
    if coverage.shards_used != coverage.shards:
        shards += f" of {numbers.compact(coverage.shards)}"
    documents = ("image", "images") if model.images else ("document", "documents")
    of_text = (
        f"{numbers.compact(totals.tokens)} {agree(totals.tokens, 'token', 'tokens')}",
        f"{numbers.byte_size(totals.bytes)} of {'captions' if model.images else 'text'}",
    )
    parts = (
        f"{numbers.compact(totals.documents)} {agree(totals.documents, *documents)}",
        *(of_text if model.text else ()),
        f"{over}{numbers.compact(totals.domains)} {agree(totals.domains, 'domain', 'domains')}",
        f"{shards} {agree(coverage.shards, 'shard', 'shards')}",
    )
    for gap in ("   ", "  ", " "):
        line = gap.join(parts)
        if cell_width(line) <= width:
            return [line]
    return _wrap("  ".join(parts), width)


def _shares(model: ReportModel, width: int, paint: _Painter) -> Iterator[str]:
    digits = decimals(model.domains, model)
    rows = fold(model.domains, largest(model.domains, model.unit, TOP_DOMAINS))
    compared = model.mixture is not None
    figure, spread = 6 + max(digits - 1, 0), 14 + 2 * (digits - 1)
    name = max(14, width - 2 * figure - spread - (figure + 3 if compared else 0) - 24)
    bar = width - name - figure - spread - (2 * figure + 2 if compared else 0) - 4
    head = fit(f"{model.unit.capitalize()} by domain", name) + " " + fit("%", figure, True)
    head += " " + fit("95 % interval", spread, True)
    if compared:
        head += " " + fit("target", figure, True) + " " + fit("diff", figure, True)
    yield paint(head + ("  ┃ target" if compared else ""), DIM)
    reach = [max(row.amount(model.unit).share, row.intended or 0.0) for row in rows if not row.folded]
    end = max(reach, default=0.0) or 1.0
    for row in rows:
        yield _share_line(row, model, digits, (name, figure, spread, bar), end, paint)


def _share_line(
    row: ShareRow, model: ReportModel, digits: int, columns: tuple[int, int, int, int], end: float, paint: _Painter
) -> str:
    name, figure, spread, bar = columns
    amount = row.amount(model.unit)
    label = fit(safe_text(share_label(row), NAME_LIMIT), name)
    line = (paint(label, DIM) if row.folded else label) + " "
    line += fit(numbers.percent_figure(amount.share, digits), figure, True) + " "
    line += paint(fit(numbers.interval(amount.low, amount.high, digits), spread, True), DIM)
    if model.mixture is not None:
        target = numbers.NONE if row.intended is None else numbers.percent_figure(row.intended, digits)
        change = numbers.NONE if row.difference is None else numbers.points(row.difference, digits)
        line += " " + fit(target, figure, True) + " " + fit(change, figure, True)
    if row.folded:
        return line
    return line + "  " + _bar(amount.share / end, None if row.intended is None else row.intended / end, bar, paint)


def _bar(share: float, target: float | None, columns: int, paint: _Painter) -> str:
    """A bar in eighths of a column, with the target as a heavy line across it."""
    eighths = round(share * columns * 8)
    cells = list("█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else ""))
    if target is None:
        return paint("".join(cells), BLUE)
    column = min(int(target * columns), columns - 1)
    cells += [" "] * (column + 1 - len(cells))
    return paint("".join(cells[:column]), BLUE) + paint("┃", YELLOW) + paint("".join(cells[column + 1 :]), BLUE)


def _plain(sentence: Sentence) -> str:
    """The sentence as text; names are made safe, marked for bold, and quoted when they hold a space."""
    pieces = []
    for part in sentence:
        if isinstance(part, Name):
            name = safe_text(part.text, NAME_LIMIT)
            quoted = f"“{name}”" if " " in name or not name else name
            pieces.append(f"{OPEN}{quoted}{CLOSE}")
        else:
            pieces.append(safe_text(part, 400))
    return "".join(pieces)


def _columns(text: str) -> int:
    return cell_width(text.replace(OPEN, "").replace(CLOSE, ""))


def _wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` columns, wrapped at spaces; a word longer than a line is split.

    A figure stays with its unit, and a name that is split is marked again on the next line.
    """
    lines, line = [], ""
    for word in text.replace(" %", "\x00%").replace(" points", "\x00points").split(" "):
        word = word.replace("\x00", " ")
        if line and _columns(line) + 1 + _columns(word) <= width:
            line += " " + word
            continue
        if line:
            lines.append(line)
        line = word
        while _columns(line) > width:
            cut = len(line) - 1
            while _columns(line[:cut]) > width:
                cut -= 1
            lines.append(line[:cut])
            line = line[cut:]
    return _close_names([*lines, line] if line or not lines else lines)


def _close_names(lines: list[str]) -> list[str]:
    """Each line with its own marks: a name that runs on is closed at the end and opened again."""
    inside, balanced = False, []
    for line in lines:
        line = (OPEN if inside else "") + line
        inside = line.count(OPEN) > line.count(CLOSE)
        balanced.append(line + (CLOSE if inside else ""))
    return balanced
