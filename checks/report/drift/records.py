"""The frozen records that the report's section on drift is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from corpus_audit.checks.report.drift.readings import Case, Move, Reading, Separation
from corpus_audit.checks.text.sentences import Sentence


@dataclass(frozen=True)
class DistanceRow:
    """The token distributions of a slice: the divergence in bits, what chance gives, and the excess with its bounds.

    ``adjusted`` is the p that the reading follows, here and below; None where nothing was tested.
    """

    domain: str
    everything: bool
    value: float | None
    null_mean: float | None
    null_low: float | None
    null_high: float | None
    p: float | None
    excess: float | None
    low: float | None
    high: float | None
    documents_baseline: int
    documents_current: int
    reason: str
    case: Case
    reading: Reading
    adjusted: float | None


@dataclass(frozen=True)
class ShareShift:
    """A domain's share of tokens before and now, the bounds of the difference; a side without tokens has no shares."""

    domain: str
    before: float | None
    now: float | None
    difference: float | None
    low: float | None
    high: float | None
    q: float | None
    reason: str
    reading: Move
    adjusted: float | None


@dataclass(frozen=True)
class PartRow:
    """How much of the whole change of token shares a slice explains, by its mix and by its text.

    ``*_tvd`` are the changes that the parts make, ``*_chance`` what chance alone gives; ``content_tokens`` are the
    tokens that the content changes most; ``reason`` says why there is nothing to explain. ``causes`` are the shares of
    the content's part that edited, added and removed documents make; empty where no edited document is known in both
    versions. ``followed`` are the edited documents that are, and all of them: the others count as removed and added.
    """

    domain: str
    everything: bool
    mixture: float | None
    content: float | None
    mixture_tvd: float | None
    mixture_chance: float | None
    content_tvd: float | None
    content_chance: float | None
    content_tokens: tuple[str, ...]
    reason: str = ""
    causes: tuple[float, ...] = ()
    followed: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class TokenMove:
    """A token that moved; the bounds are of the log2 ratio. ``example`` is a document that holds it."""

    text: str
    kind: Literal["riser", "faller", "new", "vanished"]
    before: int
    now: int
    documents_before: int
    documents_now: int
    ratio: float | None
    low: float | None
    high: float | None
    q: float | None
    example: str
    example_domain: str


@dataclass(frozen=True)
class LengthShift:
    """Lengths in tokens: the 5, 25, 50, 75 and 95 % points before and now, and the changes (log2) with their bounds.

    The reading is of the whole distribution, by its largest gap.
    """

    domain: str
    everything: bool
    before: tuple[float, ...]
    now: tuple[float, ...]
    median: float | None
    median_low: float | None
    median_high: float | None
    mean: float | None
    mean_low: float | None
    mean_high: float | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    reading: Move
    adjusted: float | None


@dataclass(frozen=True)
class TurnoverRow:
    """Documents of a slice by what became of them; tokens of those that were edited, came and went.

    What is not known of a run is None; ``changed`` says whether any document is another one, or has another text or id.
    """

    domain: str
    everything: bool
    kept: int
    added: int
    removed: int
    moved_in: int
    moved_out: int
    added_tokens: int
    removed_tokens: int
    edited: int | None
    renamed: int | None
    replaced: int | None
    edited_tokens: int | None
    changed: bool


@dataclass(frozen=True)
class EditedRow:
    """Edited documents of a slice: how much of their text stayed, how many tokens they grew by, and whether the two
    versions differ by more than chance.

    ``similarity`` and ``change`` are 5, 25, 50, 75 and 95 % points over the documents, empty where they are not known;
    of the ``documents``, ``tested`` are in both runs' samples.
    """

    domain: str
    everything: bool
    documents: int
    similarity: tuple[float, ...]
    change: tuple[float, ...]
    tested: int
    excess: float | None
    low: float | None
    high: float | None
    adjusted: float | None
    reading: Reading
    reason: str


@dataclass(frozen=True)
class PassageRow:
    """A passage that vanished from, or came into, ``documents`` of ``edited`` edited documents; ``diff`` is of one.

    ``words`` say so in a sentence.
    """

    domain: str
    direction: Literal["vanished", "came"]
    text: str
    documents: int
    edited: int
    example: str
    diff: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class EditsView:
    """Edits: all documents first, then the domains with most of them; passages, the most telling first."""

    rows: tuple[EditedRow, ...]
    passages: tuple[PassageRow, ...]
    more_domains: int
    more_passages: int


@dataclass(frozen=True)
class ClassifierRow:
    """How well a classifier tells the unshared documents of the two sides apart, and by what."""

    domain: str
    everything: bool
    documents_before: int
    documents_now: int
    auc: float | None
    low: float | None
    high: float | None
    p: float | None
    features_before: tuple[str, ...]
    features_now: tuple[str, ...]
    excerpts_before: tuple[str, ...]
    excerpts_now: tuple[str, ...]
    reason: str
    reading: Separation
    adjusted: float | None


@dataclass(frozen=True)
class NearRow:
    """The share of current documents that have a near-duplicate in the baseline."""

    domain: str
    everything: bool
    documents: int
    rate: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class OtherDistance:
    """Another distance of all token distributions, beside what chance gives."""

    statistic: str
    unit: str
    value: float | None
    null_mean: float | None
    null_low: float | None
    null_high: float | None
    p: float | None


@dataclass(frozen=True)
class LensRow:
    """One lens of the conclusion: a question, its answer and its p over all lenses (None: not tested)."""

    name: str
    reading: str
    tests: int
    p: float | None
    example: str
    reason: str


@dataclass(frozen=True)
class ConclusionView:
    """The conclusion of a comparison, as table DRIFT_CONCLUSION has it."""

    status: str
    headline: str
    level: float
    lenses: tuple[LensRow, ...]


@dataclass(frozen=True)
class DriftView:
    """Everything the section on one baseline shows; rows of all domains come first.

    Attributes:
        label: what the audit calls the baseline.
        conclusion: from all lenses; None of a run of an earlier version.
        number, baselines: its place among them, from 0, and how many there are.
        domains: domains that either side holds.
        permutations: of the test of all domains; p is a multiple of 1 / (permutations + 1).
        overall: all domains.
        distances: domains that can differ, those with drift first; ``same`` hold the same documents on both sides.
        shares: of tokens, largest changes first; ``moved_documents`` are those of documents that moved.
        documents: how many documents were kept, edited, added and removed, and which domains are new or gone.
        unknown: why less is known of documents than could be; empty if nothing is missing.
        unchanged: domains where no document came, went or changed.
        part_rows, lengths, turnover, classifiers, near: what else is shown by domain, cut to what a page can hold.
        of_images: whether documents are images, so that texts are their captions.
        tokens: by kind, furthest first; ``more_tokens`` says how many more of each kind the table has.
    """

    label: str
    conclusion: ConclusionView | None
    number: int
    baselines: int
    domains: int
    permutations: int
    overall: DistanceRow
    distances: tuple[DistanceRow, ...]
    same: tuple[str, ...]
    shares: tuple[ShareShift, ...]
    moved_documents: tuple[ShareShift, ...]
    parts: PartRow
    part_rows: tuple[PartRow, ...]
    risers: tuple[TokenMove, ...]
    fallers: tuple[TokenMove, ...]
    new: tuple[TokenMove, ...]
    vanished: tuple[TokenMove, ...]
    more_tokens: tuple[int, int, int, int]
    lengths: tuple[LengthShift, ...]
    turnover: tuple[TurnoverRow, ...]
    documents: tuple[Sentence, ...]
    unknown: str
    unchanged: int
    classifiers: tuple[ClassifierRow, ...]
    near: tuple[NearRow, ...]
    others: tuple[OtherDistance, ...]
    edits: EditsView
    of_images: bool = False

    @property
    def nothing_changed(self) -> bool:
        """Whether no document came or went, from no domain into another either."""
        return self.overall.case == "same" and len(self.turnover) == 1 and not self.turnover[0].changed

    @property
    def anchor(self) -> str:
        """The section's id on the page."""
        return "drift" if self.number == 0 else f"drift-{self.number + 1}"
