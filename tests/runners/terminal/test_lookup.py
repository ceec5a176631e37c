"""What lookups print: it fits, says what its colours mean, and shows the unit as a whole."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.index.mapped_tables import DocumentLocation
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.terminal.heat_map import paint
from corpus_audit.runners.terminal.lookup import View, _histogram, example_lines, summary_lines
from tests.embeddings.made import write_small_index

UNIT = "mlp.0:3"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return open_index(write_small_index(tmp_path_factory.mktemp("index") / "index")[0])


def without_colours(lines: object) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]  # type: ignore[attr-defined]


@pytest.mark.parametrize("which", ["top", "minima", "samples"])
@pytest.mark.parametrize("colour", [True, False])
def test_a_summary_fits_and_explains_its_colours(index: Index, which: str, colour: bool) -> None:
    result = index.lookup(UNIT, which=which, k=3)  # type: ignore[arg-type]
    lines = list(summary_lines(index, UNIT, result, which, View(80, colour)))  # type: ignore[arg-type]
    plain = without_colours(lines)
    assert all(cell_width(line) <= 80 for line in plain)
    assert plain[1] == f"snapshot {'cd' * 6}  index {index.folder.name}"
    if not colour:
        assert plain == lines and plain[2].startswith("«»: the token at the peak")
        return
    end, first = ("lowest", "minima") if which == "minima" else ("highest", "top")
    scale = index.lookup(UNIT, which=first, k=1)[0].value  # type: ignore[arg-type]
    assert plain[2].startswith(f"Share of the unit's {end}, {scale:.4g}:  10%   30%   50%   75% ")
    assert plain[3].startswith("Values are before" if which == "minima" else "Where only the peak is coloured")


def test_colours_are_shares_of_the_unit_s_highest_in_every_list(index: Index) -> None:
    """A weak domain's best example is not coloured as if it were the unit's best."""
    (best,) = index.lookup(UNIT, k=1)
    weak = replace(best, value=best.value * 0.2)
    lines = "".join(example_lines([weak], View(80, True), best.value))
    start, end = best.peak
    assert paint(best.text[start:end], 1, peak=True) in lines
    assert paint(best.text[start:end], 4, peak=True) in "".join(example_lines([best], View(80, True), best.value))
    assert "\x1b" not in "".join(example_lines([best], View(80, True), None))


def test_a_key_names_the_other_sign_where_it_occurs(index: Index) -> None:
    result = index.lookup(UNIT, k=1)
    value = result[0].value
    for low, named in ((-0.5, True), (-0.01, False)):
        heat = np.full(len(result[0].starts), low * value, np.float32)
        heat[result[0].position], heat[0] = value, np.nan
        key = list(summary_lines(index, UNIT, [replace(result[0], heat=heat)], "top", View(80, True)))[2]
        assert (paint(" below 0 ", -2) in key) is named and cell_width(without_colours([key])[0]) <= 80


def test_wide_and_hostile_names_keep_a_head_to_one_line(index: Index) -> None:
    (best,) = index.lookup(UNIT, k=1)
    location = DocumentLocation("s", "shard", 0, 1, "日本語のドメイン名" * 5, "文書\x1b[31m" * 30)
    twice = replace(best, locations=(location, location))
    head = next(line for line in example_lines([twice], View(80, False), 1.0) if line)
    assert cell_width(head) <= 80 and "\x1b" not in head
    assert head.endswith(f"character {best.text_start + best.peak[0]:,} and 1 more")


def test_the_histogram_is_drawn_from_its_first_bin_to_its_last() -> None:
    counts, edges = np.zeros(65, np.int64), histogram_edges()
    counts[[30, 32, 33]] = [1, 1000, 30]
    title, bars, note = _histogram(counts, 80)
    assert "1,031 tokens, one window in 16" in title and "│ │ is around 0" in note
    assert bars == f"  {edges[29]:.3g} ▁ │█│▄ {edges[33]:.3g}"
    counts[:] = 0
    counts[[50, 64]] = 5
    _, bars, note = _histogram(counts, 80)
    assert bars == f"  {edges[49]:.3g} █{' ' * 13}█ > {edges[-1]:.3g}" and "around 0" not in note
    assert not list(_histogram(np.zeros(65, np.int64), 80))


def test_json_has_the_histogram(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["lookup", UNIT, "--index", str(index.folder), "--json"], Session()) == 0
    result = json.loads(capsys.readouterr().out)["histogram"]
    assert result["tokens"] == index.histogram(UNIT).tolist() and result["windows_one_in"] == 16
    assert len(result["edges"]) + 1 == len(result["tokens"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["lookup", UNIT],
        ["lookup", UNIT, "--min"],
        ["lookup", UNIT, "--range", ":"],
        ["lookup", UNIT, "--domain", "web"],
        ["units", "--dead"],
        ["units", "--dense"],
        ["units", "--prefer", "web"],
        ["explain", "w17"],
        ["search", "--like", "doc-3"],
        ["search", "--direction", "probe.npy"],
    ],
)
def test_commands_stay_within_80_columns(
    index: Index,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("probe.npy", np.eye(8)[1])
    assert run_command([*arguments, "--index", str(index.folder)], Session()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(cell_width(line) <= 80 and line == line.rstrip() for line in lines)
