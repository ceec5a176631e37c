"""Pictures in terminals, byte by byte: each protocol is decoded again; detection from the environment."""

import base64
import io
import re

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from corpus_audit.runners.terminal.pictures.detection import detect  # noqa: E402
from corpus_audit.runners.terminal.pictures.protocols import CHUNK, Protocol, picture_sequence  # noqa: E402


def drawing(height, width, seed=0):
    """A picture of many colours, uint8 [H, W, 3]: gradients with blobs."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def png(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def undo_sixel(sequence):
    """The picture that a sixel sequence draws, uint8 [H, W, 3], and its palette; every pixel must be drawn once."""
    match = re.fullmatch(r'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', sequence, re.DOTALL)
    width, height, body = int(match[1]), int(match[2]), match[3]
    palette, drawn = {}, np.zeros((-(-height // 6) * 6, width), int)
    pixels = np.zeros((*drawn.shape, 3), np.uint8)
    x = y = number = 0
    tokens = re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|(\$)|(-)", body)
    end = 0
    for token in tokens:
        assert token.start() == end, "characters that are no sixel"
        end = token.end()
        if token[1]:
            palette[int(token[1])] = [round(int(each) * 255 / 100) for each in token.group(2, 3, 4)]
        elif token[5]:
            number = int(token[5])
        elif token[9]:
            x = 0
        elif token[10]:
            x, y = 0, y + 6
        else:
            count, character = (int(token[6]), token[7]) if token[6] else (1, token[8])
            rows = [y + bit for bit in range(6) if (ord(character) - 63) >> bit & 1]
            pixels[rows, x : x + count] = palette[number]
            drawn[rows, x : x + count] += 1
            x += count
            assert x <= width
    assert end == len(body) and (drawn[:height] == 1).all() and not drawn[height:].any()
    return pixels[:height], palette


@pytest.mark.parametrize("size", [(1, 1), (6, 5), (7, 300), (64, 47), (125, 90)])
def test_sixel_draws_the_colours_of_a_palette_of_256(size):
    pixels = drawing(*size)
    sequence = picture_sequence(png(pixels), Protocol.SIXEL)
    assert sequence.isascii()
    decoded, palette = undo_sixel(sequence)
    nearest = np.asarray(Image.fromarray(pixels).quantize(256, Image.Quantize.MEDIANCUT, dither=0).convert("RGB"))
    assert len(palette) <= 256 and np.abs(decoded.astype(int) - nearest).max() <= 2  # percent
    assert np.abs(decoded.astype(int) - pixels).mean() < 8


def test_sixel_keeps_a_picture_of_few_colours():
    colours = np.array([[255, 255, 255], [0, 0, 0], [214, 39, 40], [30, 30, 30], [51, 102, 153]], np.uint8)
    pixels = colours[np.random.default_rng(1).integers(0, 5, (40, 33))]
    pixels[10:30, 4:20] = colours[2]
    decoded, _ = undo_sixel(picture_sequence(png(pixels), Protocol.SIXEL))
    assert np.abs(decoded.astype(int) - pixels).max() <= 2


@pytest.mark.parametrize("size", [(4, 4), (90, 90)])
def test_kitty_takes_the_png_in_chunks(size):
    content = png(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    sequence = picture_sequence(content, Protocol.KITTY)
    chunks = re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", sequence)
    assert "".join(f"\x1b_G{keys};{part}\x1b\\" for keys, part in chunks) == sequence
    assert [keys for keys, _ in chunks[1:]] == ["m=1"] * (len(chunks) - 2) + ["m=0"] * (len(chunks) > 1)
    first = dict(pair.split("=") for pair in chunks[0][0].split(","))
    assert first == {"a": "T", "f": "100", "q": "2", "m": str(int(len(chunks) > 1))}
    assert all(len(part) == CHUNK for _, part in chunks[:-1]) and len(chunks[-1][1]) <= CHUNK
    assert base64.b64decode("".join(part for _, part in chunks), validate=True) == content
    assert (len(chunks) > 1) == (size == (90, 90))


def test_iterm_takes_the_png_inline_without_a_name():
    content = png(drawing(20, 30))
    match = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", picture_sequence(content, Protocol.ITERM))
    assert dict(pair.split("=") for pair in match[1].split(";")) == {
        "inline": "1",
        "size": str(len(content)),
        "preserveAspectRatio": "1",
    }
    assert base64.b64decode(match[2], validate=True) == content


def test_none_draws_nothing():
    assert picture_sequence(png(drawing(3, 3)), Protocol.NONE) == ""


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "xterm", "TERM_PROGRAM": "mintty"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230804"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "201200"}, "none"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "\u0662"}, "none"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "KONSOLE_VERSION": "230804"}, "none"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "none"),
        ({"TERM": "tmux-256color", "LC_TERMINAL": "iTerm2"}, "none"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, "none"),
        ({"TERM": "screen.xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "none"),
        ({"TERM": "xterm-256color"}, "none"),
        ({"TERM": "dumb", "TERM_PROGRAM": "iTerm.app"}, "none"),
        ({}, "none"),
    ],
)
def test_the_environment_names_the_protocol_and_pipes_have_none(environment, protocol):
    assert detect(environment, terminal=True) == protocol
    assert detect(environment, terminal=False) is Protocol.NONE
