"""Which protocol a terminal draws pictures with, from the environment alone: a terminal is never asked."""

from __future__ import annotations

from collections.abc import Mapping

from corpus_audit.runners.terminal.pictures.protocols import Protocol

_BY_TERM = {
    "xterm-kitty": Protocol.KITTY,
    "xterm-ghostty": Protocol.KITTY,
    "foot": Protocol.SIXEL,
    "foot-extra": Protocol.SIXEL,
    "mlterm": Protocol.SIXEL,
    "mlterm-256color": Protocol.SIXEL,
    "contour": Protocol.SIXEL,
    "yaft-256color": Protocol.SIXEL,
}
_BY_PROGRAM = {
    "ghostty": Protocol.KITTY,
    "iTerm.app": Protocol.ITERM,
    "WezTerm": Protocol.ITERM,
    "mintty": Protocol.ITERM,
}
"""By TERM, and by TERM_PROGRAM."""

_KONSOLE = 220400
"""First KONSOLE_VERSION with sixel."""


def detect(environment: Mapping[str, str], terminal: bool) -> Protocol:
    """The protocol of a terminal; NONE where it is not known to draw pictures.

    Args:
        environment: its variables.
        terminal: whether the output goes to a terminal.
    """
    term = environment.get("TERM", "")
    if not terminal or term in ("", "dumb"):
        return Protocol.NONE
    if environment.get("TMUX") or environment.get("STY") or term.startswith(("screen", "tmux")):
        return Protocol.NONE  # they swallow the sequences, and hand on the outer terminal's variables
    if term in _BY_TERM:
        return _BY_TERM[term]
    program = environment.get("TERM_PROGRAM", "")
    if program:
        return _BY_PROGRAM.get(program, Protocol.NONE)
    if environment.get("LC_TERMINAL") == "iTerm2":  # the one that ssh passes on
        return Protocol.ITERM
    konsole = environment.get("KONSOLE_VERSION", "")
    if konsole.isascii() and konsole.isdigit() and int(konsole) >= _KONSOLE:
        return Protocol.SIXEL
    return Protocol.NONE
