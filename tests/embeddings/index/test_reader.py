"""An index read back against the windows that it was made of; damage is named."""

import json
import subprocess
import sys

import numpy as np
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.units import UnitError
from tests.embeddings.made import write_small_index

DOMAIN_OF = ("books", "web")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_small_index(tmp_path_factory.mktemp("index") / "index")


@pytest.fixture
def index(made):
    return open_index(made[0].parent)


def peaks(made, row, domain=None):
    """(value, window) of the best window of every context, best first."""
    _, windows, values, _ = made
    best = {}
    for i in range(len(windows)):
        if domain is not None and DOMAIN_OF[windows.document[i] % 2] != domain:
            continue
        part = np.arange(windows.offsets[i], windows.offsets[i + 1])
        part = part[windows.counted[part]]
        t = part[np.argmax(values[part, row])]
        key = (-float(values[t, row]), int(windows.ids[i, 0]))
        context = int(windows.contexts[t])
        best[context] = min(best.get(context, key), key)
    return sorted(best.values())


@pytest.mark.parametrize("domain", [None, "books", "web"])
def test_examples_are_those_of_brute_force(made, index, domain):
    for row, unit in enumerate(index.units()):
        result = index.lookup(unit, domain=domain)
        expected = peaks(made, row, domain)[: 4 if domain is None else 2]
        assert [(-one.value, one.window) for one in result] == expected


def test_an_example_says_where_it_is(made, index):
    _, windows, values, texts = made
    for unit in ("mlp.0:3", "resid.1:5"):
        row = index.row_of(unit)
        for one in index.lookup(unit):
            (location,) = one.locations
            text = texts[int(location.id.removeprefix("doc-"))]
            start, end = one.peak
            assert text[one.text_start + start : one.text_start + end] == one.text[start:end]
            i = int(np.flatnonzero(windows.ids[:, 0] == np.uint64(one.window))[0])
            assert values[windows.offsets[i] + one.position, row] == np.float32(one.value)
            assert location.shard == "a.jsonl" and location.domain == DOMAIN_OF[location.row % 2]


def test_minima_samples_and_ranges(index):
    lowest = index.lookup("mlp.0:1", which="minima")
    assert [one.value for one in lowest] == sorted(one.value for one in lowest) and lowest[0].value < 0
    samples = index.lookup("mlp.0:1", which="samples", between=(0.0, 2.0), k=100)
    assert samples and all(0 <= one.value <= 2 for one in samples)
    assert [one.rank for one in samples] == sorted(one.rank for one in samples)


def test_few_samples_are_spread_over_the_range(index):
    every = index.lookup("mlp.0:1", which="samples", k=100)
    assert len(every) > 4
    few = index.lookup("mlp.0:1", which="samples", k=3)
    values = [one.value for one in every]
    assert [one.value for one in few] == [values[0], values[round((len(values) - 1) / 2)], values[-1]]
    assert [one.value for one in index.lookup("mlp.0:1", which="samples", k=1)] == values[:1]


def test_one_of_each_document(index):
    result = index.lookup("mlp.0:1", per_document=1)
    ids = [one.locations[0].id for one in result]
    assert len(set(ids)) == len(ids)


def test_rates_by_domain(made, index):
    _, windows, values, _ = made
    row = index.row_of("resid.1:0")
    token_domain = np.repeat(windows.document % 2, windows.lengths)
    for one in index.domain_rates("resid.1:0"):
        chosen = windows.counted & (token_domain == DOMAIN_OF.index(one.domain))
        assert one.tokens == chosen.sum() and one.fired == (values[chosen, row] > 0).sum()
        assert one.rate == pytest.approx(one.fired / one.tokens)
        assert one.mean == pytest.approx(values[chosen, row].mean(), abs=1e-5)
    assert index.histogram("resid.1:0").sum() > 0


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("mlp.0:99", "end at 5"),
        ("mlp.7:0", r"there is no mlp\.7; there are mlp\.0"),
        ("head.0:1", r"no head\.0"),
        ("mlp", "not the"),
    ],
)
def test_unknown_units_raise_with_what_exists(index, unit, message):
    with pytest.raises(UnitError, match=message):
        index.lookup(unit)


def test_unknown_domains_raise_with_what_exists(index):
    with pytest.raises(UsageError, match="it has books, web"):
        index.lookup("mlp.0:1", domain="wbe")


def test_a_flipped_bit_is_found_and_named(tmp_path, capsys):
    folder, *_ = write_small_index(tmp_path / "index")
    assert run_command(["index", "verify", str(folder)], Session()) == 0
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "index.json")
    assert len(files) > 15
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 8
        path.write_bytes(bytes(data))
        capsys.readouterr()
        assert run_command(["index", "verify", str(folder)], Session()) == 7
        out = capsys.readouterr().out
        assert out == f"DAMAGED {path.relative_to(folder).as_posix()} was changed after the index was made\n"
        data[len(data) // 2] ^= 8
        path.write_bytes(bytes(data))
    (folder / "more").write_text("x")
    assert run_command(["index", "verify", str(folder), "--json"], Session()) == 7
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["damaged"] == [
        {"file": "more", "problem": "is not a file of the index"}
    ]


def test_what_was_cut_is_refused_before_it_is_mapped(tmp_path):
    folder, *_ = write_small_index(tmp_path / "index")
    for name in ("arrays/top.value.npy", "windows.arrow"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(original[: len(original) // 2])
        with pytest.raises(StoreError, match="the index is damaged"):
            open_index(folder).lookup("mlp.0:1")
        (folder / name).write_bytes(original)
    text = (folder / "index.json").read_text()
    for change in (
        text[:-20],
        text.replace("activation-index/4", "activation-index/3"),
        text.replace('"points"', '"pts"'),
    ):
        (folder / "index.json").write_text(change)
        with pytest.raises(StoreError):
            open_index(folder)


def test_no_index_is_told(tmp_path, capsys):
    assert run_command(["lookup", "mlp.0:1", "--index", str(tmp_path)], Session()) == 2
    assert "holds no activation index" in capsys.readouterr().err


def test_lookup_prints_and_fits(made, capsys):
    assert run_command(["lookup", "mlp.0:3", "--index", str(made[0]), "--k", "3"], Session()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("mlp.0:3  small: 12 units of words") and any("«" in line for line in lines)
    assert any(line.startswith("Domain") for line in lines)
    assert run_command(["lookup", "mlp.0:3", "--index", str(made[0]), "--json", "--range", "0:"], Session()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == "corpus-audit/lookup/1" and len(result["domains"]) == 2
    for example in result["examples"]:
        start, end = (at - example["text_start"] for at in example["peak"])
        assert 0 <= start < end <= len(example["text"])
    assert run_command(["lookup", "mlp.0:3", "--index", str(made[0]), "--range", "3:1"], Session()) == 2
    assert run_command(["lookup", "mlp.0:3", "--index", str(made[0]), "--min", "--domain", "web"], Session()) == 2


def test_lookups_import_no_torch_and_no_engine(made):
    code = (
        "import sys; from corpus_audit.runners.cli.main import run_command; "
        "from corpus_audit.runners.cli.shared.output import Session; "
        f"assert run_command(['lookup', 'mlp.0:3', '--index', {str(made[0])!r}, '--json'], Session()) == 0; "
        "heavy = ('torch', 'apache_beam', 'numba', 'scipy', 'pandas'); "
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
