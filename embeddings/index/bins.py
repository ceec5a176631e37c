"""Fixed bins of activations, the same for every unit and corpus, so that counts and samples merge.

A histogram has `HISTOGRAM_BINS`: half octaves of the magnitude from 2^-8 to 2^8 on either side (a half octave begins at
2^e or at 1.5 * 2^e), and one bin for everything nearer to 0. Samples across the range of a unit have `SAMPLE_BINS`: one
for peaks below 2^-8, then octaves; the last takes everything above 2^7. The kernels that count know the same bins; this
module is without them, for readers.
"""

from __future__ import annotations

import numpy as np

_OCTAVES = range(-8, 8)

HISTOGRAM_BINS = 2 * 2 * len(_OCTAVES) + 1

HISTOGRAM_ONE_IN = 16
"""Of how many windows one is counted into histograms, chosen by its id."""


def histogram_edges() -> np.ndarray:
    """Lower edges of all bins but the first, float64 [HISTOGRAM_BINS - 1], ascending; the outer bins are open."""
    magnitudes = [2.0**e * m for e in _OCTAVES for m in (1.0, 1.5)]
    return np.array([*(-m for m in reversed(magnitudes)), *magnitudes])
