"""Heat maps in lines: they fit, the peak is in them, and their colours read on light and on dark terminals."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.runners.terminal.heat_map import (
    BACKGROUNDS,
    FOREGROUND,
    LEVELS,
    PEAK_MARKS,
    character_values,
    heat_lines,
    paint,
    terminal_has_colours,
)
from tests.checks.report.test_report_page import contrast

PAGES = ("#ffffff", "#fdf6e3", "#1c1c1c", "#000000")


def colour_of(number: int) -> str:
    """A colour of the 6 x 6 x 6 cube that terminals share."""
    steps = (0, 95, 135, 175, 215, 255)
    red, green, blue = (steps[(number - 16) // 6**power % 6] for power in (2, 1, 0))
    return f"#{red:02x}{green:02x}{blue:02x}"


def without_colours(line: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", line)


@pytest.mark.parametrize("sign", [1, -1])
def test_every_level_reads_on_light_and_dark(sign: int) -> None:
    for page in PAGES:
        assert contrast(colour_of(FOREGROUND[sign]), page) >= 3.0
    for number in BACKGROUNDS[sign]:
        assert contrast("#000000", colour_of(number)) >= 5.0
    assert len({FOREGROUND[sign], *BACKGROUNDS[sign]}) == len(LEVELS)
    assert len({paint("x", sign * level) for level in range(len(LEVELS) + 1)}) == len(LEVELS) + 1
    assert paint("x", 0) == "x" and paint("x", 0, peak=True) == "\x1b[1;4mx\x1b[0m"


@pytest.mark.parametrize(
    ("allowed", "environment", "has"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"TERM": "xterm-direct"}, True),
        (True, {"TERM": "xterm", "COLORTERM": "truecolor"}, True),
        (True, {"TERM": "linux"}, False),
        (False, {"TERM": "xterm-256color", "COLORTERM": "truecolor"}, False),
    ],
)
def test_what_a_terminal_says_of_itself(allowed: bool, environment: dict[str, str], has: bool) -> None:
    assert terminal_has_colours(allowed, environment) is has


WORDS = st.lists(st.text("ab \n\t中é\u0301\u200b", min_size=1, max_size=14), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.data(), st.sampled_from([24, 40, 78]), st.booleans())
def test_lines_fit_and_hold_the_peak(words: list[str], data: st.DataObject, width: int, colour: bool) -> None:
    at = data.draw(st.integers(0, len(words) - 1))
    words[at] = "PEAK."
    text, start = "".join(words), len("".join(words[:at]))
    values = np.zeros(len(text))
    values[start : start + 4] = 2.0
    lines = heat_lines(text, values, (start, start + 4), 2.0, width, 3, colour)
    assert 1 <= len(lines) <= 3
    plain = [without_colours(line) for line in lines]
    assert all(cell_width(line) <= width for line in plain)
    assert ("PEAK" if colour else "«PEAK»") in "".join(plain)
    assert ("\x1b[1;4;38;5;16;48" in "".join(lines)) is colour


def test_a_peak_at_the_end_of_long_words_is_shown() -> None:
    # Words that leave much of every line empty: what stands in front of the peak has to give way.
    text = " ".join(["x" * 23] * 40 + ["peak"])
    start = text.index("peak")
    lines = heat_lines(text, np.zeros(len(text)), (start, len(text)), 1.0, 40, 3, False)
    assert lines[0].startswith("…") and lines[-1].endswith(f"{PEAK_MARKS[0]}peak{PEAK_MARKS[1]}")


def test_indentation_takes_no_room_unless_it_is_what_fires() -> None:
    text = "def f():\n        return 1\n    x"
    values = np.zeros(len(text))
    (plain,) = heat_lines(text, values, (0, 3), 1.0, 60, 3, False)
    assert plain == "«def» f():↵ return 1↵ x"
    values[9:17] = 0.9
    (coloured,) = heat_lines(text, values, (9, 17), 1.0, 60, 3, True)
    assert paint(" " * 8, len(LEVELS), peak=True) in coloured


def test_lines_break_between_words_and_do_not_begin_with_blanks() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    lines = heat_lines(text, np.zeros(len(text)), (0, 3), 1.0, 20, 9, False)
    assert " ".join(lines) == f"«one»{text[3:]}" and all(line == line.strip() for line in lines)
    assert heat_lines("import a\nimport b\nimport c", np.zeros(26), (0, 6), 1.0, 12, 9, False)[1] == "import b↵"


def test_strength_is_a_share_of_the_scale_and_the_strongest_token_of_a_character_counts() -> None:
    starts, ends = np.array([-1, 0, 0, 3]), np.array([-1, 2, 3, 5])
    values = character_values(6, starts, ends, np.array([9.0, 0.2, -1.0, np.nan]))
    assert values.tolist() == [-1.0, -1.0, -1.0, 0.0, 0.0, 0.0]
    (line,) = heat_lines("abcdef", np.array([0.05, 0.1, 0.3, 0.5, 0.75, -0.4]), (0, 0), 1.0, 40, 3, True)
    assert line == f"a{paint('b', 1)}{paint('c', 2)}{paint('d', 3)}{paint('e', 4)}{paint('f', -2)}"
