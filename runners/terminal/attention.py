"""What ``attention`` and ``lens`` print: a head's attention as a heat map, what it writes, its pattern; the lens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from corpus_audit.runners.terminal.heat_map import LEVELS, PEAK_MARKS, character_values, heat_lines, paint
from corpus_audit.runners.terminal.lookup import BARS, LINES, View

TOKENS = 6
"""Tokens that are listed with their attention."""

_BAR = 24
_LABEL = 12
_ENDS = {"\n": "↵", "\r\n": "↵", "\t": "→"}


def token_label(text: str, start: int, end: int) -> str:
    """A token as it is shown, blanks, tabs and line ends by a sign; ``(special)`` where it is no part of the text."""
    if start < 0:
        return "(special)"
    shown = text[start:end]
    for piece, sign in _ENDS.items():
        shown = shown.replace(piece, sign)
    return safe_text(shown).replace(" ", "␣") or "(empty)"


def key_line(colour: bool) -> str:
    """What the colours of a row of attention say."""
    if not colour:
        return f"{PEAK_MARKS[0]}{PEAK_MARKS[1]}: the token that attends"
    steps = " ".join(paint(f" {share:.0%} ", level) for level, share in enumerate(LEVELS, 1))
    return f"Attention to each token: {steps}; {paint('the token that attends', 0, peak=True)}"


def row_lines(
    row: Mapping[str, Any], text: str, starts: np.ndarray, ends: np.ndarray, view: View, causal: bool
) -> Iterator[str]:
    """A head at one query: the text coloured by attention, the tokens with most of it, and the logits that it moves.

    Args:
        row: position, weights, norms, and direct logits, as `analysis.row_values`.
        text: of the window.
        starts, ends: int [L], where its tokens are in the text.
        view: the terminal.
        causal: whether tokens behind the query cannot be attended to.
    """
    weights, position = np.array(row["weights"]), int(row["position"])
    values = character_values(len(text), starts, ends, weights)
    peak = (int(starts[position]), int(ends[position]))
    for line in heat_lines(text, values, peak, 1.0, view.width - 2, LINES, view.colour):
        yield f"  {line}"
    yield f"  {'token':{_LABEL}} {'distance':>9} {'attention':>10} {'':{_BAR}} {'writes':>9}"
    reach = weights[: position + 1] if causal else weights
    for j in np.argsort(-reach, kind="stable")[:TOKENS].tolist():
        label = fit(token_label(text, int(starts[j]), int(ends[j])), _LABEL)
        bar = paint_bar(float(weights[j]), view.colour)
        yield f"  {label} {_distance(position - j):>9} {weights[j]:10.1%} {bar} {row['norms'][j]:9.3f}".rstrip()
    for name, verb in (("raised", "raises"), ("lowered", "lowers")):
        if row[name]:
            pairs = zip(row[f"{name}_tokens"], row[f"{name}_by"], strict=True)
            listed = ", ".join(f"{quoted(token)} {value:+.2f}" for token, value in pairs)
            yield fit(f"  {verb} {listed}", view.width).rstrip()


def quoted(token: str) -> str:
    """The text of a token between quotes, safe for a terminal."""
    return safe_text(repr(token), 40)


def _distance(back: int) -> str:
    return "itself" if not back else f"{abs(back)} {'back' if back > 0 else 'ahead'}"


def paint_bar(share: float, colour: bool) -> str:
    """A share as a bar of a fixed number of columns."""
    filled = round(share * _BAR)
    bar = "█" * filled
    return (paint(bar, 1) if colour and bar else bar) + " " * (_BAR - filled)


def pattern_lines(pattern: np.ndarray, labels: Sequence[str], position: int, view: View) -> Iterator[str]:
    """The attention of all queries (rows) to all tokens (columns), a cell a column.

    Of a window that is wider than the terminal, the first token and those up to a third behind the query are shown.

    Args:
        pattern: [L, L].
        labels: of the tokens, as `token_label`.
        position: the query whose row is marked.
        view: the terminal.
    """
    room = view.width - _LABEL - 4
    length = len(labels)
    shown = list(range(length))
    if length > room:
        end = min(length, max(position + room // 3, room))
        shown = [0, *range(end - room + 1, end)]
    yield f"Pattern: rows attend to columns; {'tokens 0 and' if len(shown) < length else 'tokens'} " + (
        f"{shown[1]} to {shown[-1]} of {length}" if len(shown) < length else f"0 to {length - 1}"
    )
    for p in shown:
        cells = "".join(_cell(float(pattern[p, j]), view.colour) for j in shown)
        mark = ">" if p == position else " "
        yield f"{mark} {fit(labels[p], _LABEL)} {cells}".rstrip()


def _cell(weight: float, colour: bool) -> str:
    bar = BARS[min(len(BARS) - 1, ceil(weight * (len(BARS) - 1) - 0.2))] if weight > 0 else " "
    level = sum(weight >= edge for edge in LEVELS)
    if not colour or not level:
        return bar
    return paint(bar if level == 1 else " ", level)  # from the second level on the background says it


def lens_lines(rows: Sequence[Mapping[str, Any]], view: View) -> Iterator[str]:
    """What the logit lens reads at every token: the prediction, and how probable the token is that comes next."""
    yield f"  {'token':12} {'would predict':22} {'next token':12} {'its chance':>10} {'rank':>6} {'KL, nats':>9}"
    for row in rows:
        best = f"{quoted(row['best'][0]['token'])} {row['best'][0]['probability']:.0%}"
        target = "" if row["target"] is None else quoted(row["target"])
        chance = "" if row["probability"] is None else f"{row['probability']:.1%}"
        rank = "" if row["rank"] is None else f"{row['rank'] + 1:,}"
        front = f"  {fit(quoted(row['token']), 12)} {fit(best, 22)} {fit(target, 12)}"
        line = f"{front} {chance:>10} {rank:>6} {row['divergence']:9.3f}"
        yield line if cell_width(line) <= view.width else fit(line, view.width)
