"""Pictures as sixel (DEC, VT300 series): a palette, and bands of six rows, each drawn once a colour.

A character from ``?`` on holds six pixels of a column, the uppermost in the lowest bit; ``!N`` before it repeats it;
``$`` goes back to the band's beginning, ``-`` to the next band. Colours are in percent of red, green and blue.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

COLOURS = 256
"""Of a palette, at most."""

_ROWS = 6


def sixel(pixels: np.ndarray) -> str:
    """The escape sequence of a picture, uint8 [H, W, 3], in the `COLOURS` colours nearest to its own by median cut."""
    from PIL import Image

    height, width = pixels.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    image = picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = np.array(image.getpalette(), np.int64).reshape(-1, 3)
    numbers = np.asarray(image)
    used = np.unique(numbers).tolist()
    percent = (palette * 100 + 127) // 255
    colours = "".join(f"#{number};2;{';'.join(map(str, percent[number].tolist()))}" for number in used)
    bands = "-".join("$".join(_band(numbers[y : y + _ROWS])) for y in range(0, height, _ROWS))
    return f'\x1bP0;1;0q"1;1;{width};{height}{colours}{bands}\x1b\\'


def _band(numbers: np.ndarray) -> Iterator[str]:
    """The drawing of a band of six rows or fewer, colour by colour."""
    weights = (1 << np.arange(len(numbers)))[:, None]
    for number in np.unique(numbers).tolist():
        columns = ((numbers == number) * weights).sum(0)
        changes = np.flatnonzero(np.diff(columns)) + 1
        starts = np.concatenate([[0], changes])
        lengths = np.diff(np.concatenate([starts, [len(columns)]]))
        values = columns[starts].tolist()
        runs = list(zip(values, lengths.tolist(), strict=True))
        if runs[-1][0] == 0:  # nothing of this colour follows
            runs.pop()
        yield f"#{number}" + "".join(_run(chr(63 + value), length) for value, length in runs)


def _run(character: str, length: int) -> str:
    return f"!{length}{character}" if length > 3 else character * length
