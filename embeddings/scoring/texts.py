"""Texts of the corpus on which a unit is active, and texts on which it is not, from a sample of an index's windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.lookup.corpus_pass import sample_of_windows, unit_values
from corpus_audit.embeddings.lookup.heat import with_heat_of_units
from corpus_audit.schemas.units import Unit

AT_ONCE = 200
"""Units whose activations on all sampled tokens are in memory at once."""


@dataclass(frozen=True)
class UnitText:
    """A window's text with a unit's activation on its T tokens; special tokens around the text are left out.

    Attributes:
        document: key of its document.
        text: the text.
        starts, ends: int32 [T], code points of the text where each token begins and ends.
        values: float32 [T]; minus infinity on tokens that do not count.
    """

    document: bytes
    text: str
    starts: np.ndarray
    ends: np.ndarray
    values: np.ndarray

    @property
    def peak(self) -> int:
        """The token of the highest activation."""
        return int(self.values.argmax())

    @property
    def highest(self) -> float:
        """The highest activation."""
        return float(self.values[self.peak])

    def cropped(self, tokens: int, rng: np.random.Generator) -> UnitText:
        """At most so many tokens around the peak, which is anywhere among them."""
        count = len(self.values)
        if count <= tokens:
            return self
        begin = int(rng.integers(max(0, self.peak - tokens + 1), min(self.peak, count - tokens) + 1))
        part = slice(begin, begin + tokens)
        first, last = int(self.starts[part][0]), int(self.ends[part].max())
        return UnitText(
            self.document, self.text[first:last], self.starts[part] - first, self.ends[part] - first, self.values[part]
        )


def unit_texts(
    index: Index, units: Sequence[Unit], windows: int, needed: int, active: float, model: str | None = None
) -> Iterator[tuple[Unit, float, list[UnitText]]]:
    """Texts of sampled windows, for each unit with its activations.

    Args:
        index: the index.
        units: of it.
        windows: at most so many are read, those of lowest name, which is a hash.
        needed: documents on which a unit should be active; where the sample has fewer, the unit's stored examples
            (`Index.lookup`, strongest and samples) are added, which are of all windows of the corpus.
        active: share of the highest activation that counts as active.
        model: path of the model, if it has moved since the index was made.

    Yields:
        The unit, its highest activation in the corpus, and its texts.

    Raises:
        UsageError: the index has no vectors, or the model is not the index's.
        ModuleNotFoundError: the extra is not installed.
    """
    table_rows, sampled = sample_of_windows(index, windows)
    table = index.windows.take(pa.array(table_rows))
    names = set(sampled.ids[:, 0].tolist())
    for begin in range(0, len(units), AT_ONCE):
        some = units[begin : begin + AT_ONCE]
        values = np.where(sampled.counted[:, None], unit_values(index, sampled, some, model), -np.inf)
        top = [index.lookup(unit, k=1) for unit in some]
        highest = np.array([examples[0].value if examples else 0.0 for examples in top])
        documents = table["document"].combine_chunks().dictionary_encode().indices.to_numpy()
        strong = np.maximum.reduceat(values, sampled.offsets[:-1], axis=0) >= active * highest
        few = [
            unit
            for at, unit in enumerate(some)
            if highest[at] > 0 and len(np.unique(documents[strong[:, at]])) < needed
        ]
        stored = _stored(index, few, names, model)
        for at, unit in enumerate(some):
            texts = []
            for number, (document, text) in enumerate(zip(table["document"], table["text"], strict=True)):
                part = slice(int(sampled.offsets[number]), int(sampled.offsets[number + 1]))
                shown = sampled.starts[part] >= 0
                texts.append(
                    UnitText(
                        document.as_py(), text.as_py(), sampled.starts[part][shown], sampled.ends[part][shown],
                        values[part, at][shown],
                    )
                )  # fmt: skip
            texts = [text for text in texts if np.isfinite(text.values).any()]
            yield unit, float(highest[at]), texts + stored.get(unit, [])


def _stored(index: Index, units: Sequence[Unit], names: set[int], model: str | None) -> dict[Unit, list[UnitText]]:
    """Texts of the units' stored examples that are not among windows of these names."""
    examples: dict[Unit, list[Example]] = {}
    for unit in units:
        by_window: dict[int, Example] = {}
        for example in (*index.lookup(unit, k=10**6), *index.lookup(unit, which="samples", k=10**6)):
            if example.window not in names:
                by_window.setdefault(example.window, example)
        examples[unit] = list(by_window.values())
    keys = dict(zip(index.window_names.tolist(), range(len(index.window_names)), strict=True))
    texts: dict[Unit, list[UnitText]] = {}
    for unit, heated in with_heat_of_units(index, examples, model).items():
        for example in heated:
            assert example.heat is not None
            shown = example.starts >= 0
            values = np.where(example.counted, example.heat, -np.inf).astype(np.float32)[shown]
            document = index.windows["document"][keys[example.window]].as_py()
            texts.setdefault(unit, []).append(
                UnitText(document, example.text, example.starts[shown], example.ends[shown], values)
            )
    return texts
