"""Contact sheets in the terminal: drawn on terminals and when asked for, never otherwise; hostile names stay text."""

import base64
import io
import re

import numpy as np
import pytest

pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from click.testing import CliRunner  # noqa: E402

from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.runners.cli.main import cli  # noqa: E402
from corpus_audit.runners.cli.shared import image_lookup  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.images.test_image_index import picture, png, small_parts, write_audit  # noqa: E402

HOSTILE = "\x1b]1337;File=inline=1:AAAA\x07\x1b_Ga=T;AAAA\x1b\\\x1bP0q#0~\x1b\\\u202e\n{}.png"
"""A document's id that is escape sequences of all three protocols, turns text round and breaks the line."""

VARIABLES = ("TERM", "TERM_PROGRAM", "LC_TERMINAL", "KONSOLE_VERSION", "TMUX", "STY")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "small_parts", small_parts, raising=False)
        folder = tmp_path_factory.mktemp("shown")
        (folder / "data").mkdir()
        rows = [
            {"id": HOSTILE.format(i), "kind": "\x1b[31mred", "caption": "", "image": {"bytes": png(picture(i))}}
            for i in range(8)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "0.parquet")
        build_index(write_audit(folder, units=["conv.stem:*"], vectors=None))
        yield folder


def lookup(built, *more):
    arguments = [
        "lookup",
        "conv.stem:2",
        "--index",
        built / "index",
        "--audit",
        built / "audit.yaml",
        "--k",
        "4",
        *more,
    ]
    return CliRunner().invoke(cli, list(map(str, arguments)))


@pytest.fixture
def environment(monkeypatch):
    """Sets the terminal's variables, and that standard output is one."""

    def become(terminal, **variables):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(image_lookup, "is_terminal", lambda _: terminal)

    return become


def split(output):
    """The text of an output, and the pictures in it (as PNGs)."""
    pattern = r"\x1b\]1337;File=inline=1;size=\d+;preserveAspectRatio=1:([A-Za-z0-9+/=]*)\x07\n"
    return re.sub(pattern, "", output), [base64.b64decode(each) for each in re.findall(pattern, output)]


def test_a_terminal_that_draws_pictures_gets_the_contact_sheet(built, environment, tmp_path):
    environment(True, TERM="xterm-256color", TERM_PROGRAM="iTerm.app")
    shown = lookup(built, "--sheet", tmp_path / "sheet.png")
    assert shown.exit_code == 0, shown.output
    text, (drawn,) = split(shown.output)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text and "conv.stem:2" in text
    pixels, sheet = (
        np.asarray(Image.open(io.BytesIO(each))) for each in (drawn, (tmp_path / "sheet.png").read_bytes())
    )
    assert pixels.shape[1] <= 80 * 8 < sheet.shape[1]
    np.testing.assert_array_equal(pixels[34 : 34 + 160, 10 : 10 + 160], sheet[34 : 34 + 160, 10 : 10 + 160])


def test_pipes_and_other_terminals_get_text_alone(built, environment):
    environment(False, TERM="xterm-kitty")
    piped = lookup(built)
    environment(True, TERM="xterm-256color")
    plain = lookup(built)
    environment(True, TERM="xterm-kitty")
    refused = lookup(built, "--pictures", "none")
    assert piped.exit_code == plain.exit_code == refused.exit_code == 0
    assert piped.output == plain.output == refused.output and "\x1b" not in piped.output
    assert "\x1b" not in lookup(built, "--json").stdout


@pytest.mark.parametrize(("protocol", "start"), [("kitty", "\x1b_Ga=T,f=100,q=2,"), ("sixel", "\x1bP0;1;0q")])
def test_a_protocol_that_is_named_is_written_anywhere(built, environment, protocol, start):
    environment(False)
    shown = lookup(built, "--pictures", protocol).output
    text, _, drawn = shown.partition(start)
    assert drawn.endswith("\x1b\\\n") and "\x1b" not in text


def test_json_holds_no_pictures(built):
    refused = lookup(built, "--pictures", "sixel", "--json")
    assert isinstance(refused.exception, UsageError) and "exclude each other" in str(refused.exception)
