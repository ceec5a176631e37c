"""Standard output and standard error of every command; an error in writing never changes the exit code of a verdict.

Characters that the terminal's encoding lacks are spelled in ASCII or escaped. If output cannot be written (a reader
such as ``head`` has gone, the disk is full, the stream is closed), the error is stored and the command continues.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import TextIO

ERRORS = "corpus-audit"
"""Name of the error handler of encoders that `spell` is registered under."""

_SPELLINGS = {
    "\u2026": "...", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    "\u00d7": "x", "\u00f7": "/", "\u00b1": "+/-", "\u2192": "->", "\u2190": "<-", "\u2264": "<=", "\u2265": ">=",
    "\u2248": "~", "\u00b5": "u", "\u03bc": "u", "\u00b7": ".", "\u2022": "*", "\u25cf": "o", "\u2713": "+",
    "\u2717": "x", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00ab": "<<", "\u00bb": ">>",
    "\u2423": "_", "\u21b5": "\\n", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
    "\u2581": "_", "\u2582": ".", "\u2583": "-", "\u2584": "=", "\u2585": "+", "\u2586": "*", "\u2587": "%",
    "\u2588": "#", "\u2589": "#", "\u258a": "#", "\u258b": "#", "\u258c": "=", "\u258d": "=", "\u258e": "-",
    "\u258f": "-",
}  # fmt: skip
"""ASCII for the symbols that this program prints; letters of the corpus are not here, because they are escaped."""


def _spelling(character: str) -> str:
    if (known := _SPELLINGS.get(character)) is not None:
        return known
    if "\u2500" <= character <= "\u257f":  # box drawing
        name = unicodedata.name(character)
        across, along = "HORIZONTAL" in name, "VERTICAL" in name
        return "-" if across and not along else "|" if along and not across else "+"
    return character.encode("ascii", "backslashreplace").decode("ascii")


def spell(error: UnicodeError) -> tuple[str, int]:
    """An error handler for encoders: the characters that cannot be encoded, in ASCII.

    Returns:
        The characters' spelling or escape (``\\xe9``, ``\\u4e2d``), and where encoding goes on.

    Raises:
        UnicodeError: ``error`` itself, if it is not one of encoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelling, error.object[error.start : error.end])), error.end


codecs.register_error(ERRORS, spell)


class _Output:
    """State of standard output in this process.

    Attributes:
        error: the error after which nothing more was written.
        closed: whether the process was started without it.
    """

    error: OSError | None = None
    closed: bool = False


_OUTPUT = _Output()


def prepare_streams() -> None:
    """Let standard output and error encode everything, and open what the caller has closed; call it once, at the start.

    A descriptor that is closed would else be given to the next file that is opened, and messages would end in that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        _OUTPUT.closed = True
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=ERRORS)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def forget_loss() -> None:
    """Reset the state, for another command in this process."""
    _OUTPUT.error = OSError(errno.EBADF, "it is closed") if _OUTPUT.closed else None


def output_loss() -> OSError | None:
    """Flush standard output; returns the error by which output was lost, None if nothing was lost."""
    if _OUTPUT.error is None:
        try:
            sys.stdout.flush()
        except OSError as error:
            _OUTPUT.error = error
        except ValueError:
            _OUTPUT.error = OSError(errno.EBADF, "it is closed")
    return _OUTPUT.error


def close_streams() -> None:
    """Flush both streams for the last time; what cannot be flushed is dropped, so that the exit code stays."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())  # the interpreter flushes again at its end, and would exit with 120
                os.close(nothing)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is open and a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it was closed
        return False


def encodes_unicode(stream: TextIO) -> bool:
    """Whether a stream takes every character as it is."""
    try:
        return codecs.lookup(stream.encoding or "utf-8").name.startswith("utf")
    except (LookupError, AttributeError):
        return True


def write_out(text: str = "", nl: bool = True) -> None:
    """Write a result for people to standard output, with a line feed after it unless ``nl`` is false."""
    _write(text + "\n" if nl else text)


def write_document(text: str) -> None:
    """Write a file's content (HTML, JSON, YAML) to standard output: in UTF-8, whatever the terminal's encoding is."""
    buffer = getattr(sys.stdout, "buffer", None)
    _write(text if buffer is None else text.encode("utf-8", ERRORS))


def note(message: str) -> None:
    """Write a message to standard error, if that can be written."""
    with suppress(OSError, ValueError, AttributeError):
        _write_text(sys.stderr, message + "\n")
        sys.stderr.flush()


def _write(data: str | bytes) -> None:
    if _OUTPUT.error is not None:
        return
    try:
        if isinstance(data, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
        else:
            _write_text(sys.stdout, data)
    except OSError as error:
        _OUTPUT.error = error
    except ValueError:
        _OUTPUT.error = OSError(errno.EBADF, "it is closed")


def _write_text(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a stream that `prepare_streams` has not seen; nothing of the text was written
        stream.write(text.encode(stream.encoding, ERRORS).decode(stream.encoding))
