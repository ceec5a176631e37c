"""Documents are followed from one snapshot to the next as they were made to change."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.drift.documents import matching
from tests.pipelines.drift.document_sides import Made, Outcome, outcome, text

OLD = [Made(f"id-{n}", text(n)) for n in range(6)]


def edit(made: Made, *, tokens: int = 30, **changes: str) -> Made:
    """The document with some tokens in its middle changed, and perhaps another id or domain."""
    new = (*made.tokens[:100], *text(900 + len(made.tokens), tokens), *made.tokens[100 + tokens :])
    return Made(changes.get("id", made.id), new, changes.get("domain", made.domain))


def check(got: Outcome, **expected: list[object]) -> None:
    """The outcome is that, and everything else is empty; kept documents under their own id need not be listed."""
    for name in ("kept", "edited", "replaced", "renamed", "moved", "removed", "added"):
        assert getattr(got, name) == Counter(expected.get(name, [])), name


def test_kept() -> None:
    check(outcome(OLD, OLD[::-1]), kept=[(made, made) for made in OLD])


def test_edited_under_its_id() -> None:
    check(outcome(OLD[:1], [edit(OLD[0])]), edited=[(OLD[0], edit(OLD[0]))])


def test_rewritten_by_more_than_half_under_its_id() -> None:
    new = edit(OLD[0], tokens=170)
    check(outcome(OLD[:1], [new]), edited=[(OLD[0], new)])
    other = Made("another", new.tokens)
    check(outcome(OLD[:1], [other]), removed=[OLD[0]], added=[other])


def test_renamed() -> None:
    new = Made("other", OLD[0].tokens)
    check(outcome(OLD[:1], [new]), kept=[(OLD[0], new)], renamed=[(OLD[0], new)])


def test_renamed_and_edited() -> None:
    new = edit(OLD[0], id="other")
    check(outcome(OLD[:2], [new]), edited=[(OLD[0], new)], renamed=[(OLD[0], new)], removed=[OLD[1]])


def test_replaced() -> None:
    new = Made(OLD[0].id, text(50))
    check(outcome(OLD[:1], [new]), replaced=[(OLD[0], new)], removed=[OLD[0]], added=[new])


def test_an_id_that_went_to_a_new_text_while_its_own_was_renamed_is_not_replaced() -> None:
    here, there = Made(OLD[0].id, text(50)), Made("other", OLD[0].tokens)
    got = outcome(OLD[:1], [here, there])
    check(got, kept=[(OLD[0], there)], renamed=[(OLD[0], there)], added=[here])


def test_two_documents_that_swapped_their_ids_are_renamed() -> None:
    new = [Made(OLD[0].id, OLD[1].tokens), Made(OLD[1].id, OLD[0].tokens)]
    pairs = [(OLD[0], new[1]), (OLD[1], new[0])]
    check(outcome(OLD[:2], new), kept=pairs, renamed=pairs)


def test_added_and_removed() -> None:
    check(outcome(OLD[:2], OLD[1:3]), kept=[(OLD[1], OLD[1])], removed=[OLD[0]], added=[OLD[2]])
    check(outcome([], OLD[:1]), added=OLD[:1])
    check(outcome(OLD[:1], []), removed=OLD[:1])
    check(outcome([], []))


def test_copies_beyond_the_baselines_are_added() -> None:
    copy = Made("copy", OLD[0].tokens)
    check(outcome(OLD[:1], [OLD[0], copy]), kept=[(OLD[0], OLD[0])], added=[copy])
    check(outcome([OLD[0]] * 2, [OLD[0]] * 3), kept=[(OLD[0], OLD[0])] * 2, added=[OLD[0]])
    check(outcome([OLD[0], copy], [copy]), kept=[(copy, copy)], removed=[OLD[0]])


def test_copies_stay_in_their_domain_where_they_can() -> None:
    before = [Made("x", text(1), "a"), Made("y", text(1), "b")]
    now = [Made("y", text(1), "a"), Made("x", text(1), "b")]
    pairs = [(before[0], now[0]), (before[1], now[1])]
    check(outcome(before, now), kept=pairs, renamed=pairs)


def test_split() -> None:
    """The larger part is the document, edited; the smaller is new."""
    one, two = Made(OLD[0].id, OLD[0].tokens[:200]), Made("part 2", OLD[0].tokens[200:])
    check(outcome(OLD[:1], [one, two]), edited=[(OLD[0], one)], added=[two])
    other = Made("part 1", one.tokens)
    check(outcome(OLD[:1], [other, two]), edited=[(OLD[0], other)], renamed=[(OLD[0], other)], added=[two])


def test_merged() -> None:
    one, two = Made("part 1", OLD[0].tokens[:200]), Made("part 2", OLD[0].tokens[200:])
    check(outcome([one, two], OLD[:1]), edited=[(one, OLD[0])], renamed=[(one, OLD[0])], removed=[two])


def test_moved_to_another_domain() -> None:
    kept, edited = Made(OLD[0].id, OLD[0].tokens, "b"), edit(OLD[1], domain="b")
    got = outcome(OLD[:2], [kept, edited])
    check(got, kept=[(OLD[0], kept)], edited=[(OLD[1], edited)], moved=[(OLD[0], kept), (OLD[1], edited)])


def test_ids_missing() -> None:
    """Documents are followed by their text; none can be renamed or replaced."""
    before = [Made("", made.tokens) for made in OLD[:3]]
    now = [before[0], edit(before[1]), Made("", text(50))]
    got = outcome(before, now)
    check(got, kept=[(before[0], now[0])], edited=[(before[1], now[1])], removed=[before[2]], added=[now[2]])
    assert not got.matches.by_id and got.matches.by_text
    assert not outcome(OLD[:3], now).matches.by_id


def test_an_id_missing_on_a_document_is_no_other_id() -> None:
    now = [Made("", OLD[0].tokens), edit(OLD[1], id=""), *OLD[2:]]
    got = outcome(OLD, now)
    kept = [(OLD[0], now[0]), *((made, made) for made in OLD[2:])]
    check(got, kept=kept, edited=[(OLD[1], now[1])])
    assert got.matches.by_id


def test_ids_duplicated() -> None:
    """Three texts of one id: each is the version that is most like it, in whatever order they are listed."""
    before = [Made("x", text(n)) for n in range(3)]
    now = [edit(made, tokens=40) for made in before]
    check(outcome(before, now[::-1]), edited=list(zip(before, now, strict=True)))
    got = outcome(before[:2], [now[0], Made("x", text(60))])
    check(got, edited=[(before[0], now[0])], replaced=[(before[1], Made("x", text(60)))],
          removed=[before[1]], added=[Made("x", text(60))])  # fmt: skip


def test_an_id_of_very_many_texts_names_no_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "TEXTS_PER_ID", 3)
    before, now = ([Made("constant", text(n)) for n in range(first, first + 4)] for first in (0, 10))
    check(outcome(before, now), removed=before, added=now)


def test_ids_are_numbered_by_domain() -> None:
    """The same ids in two domains: a text is followed within its own, though both ids are everywhere."""
    before = [Made(str(n), text(n + 20 * (domain == "b")), domain) for n in range(3) for domain in "ab"]
    now = [edit(made) for made in before]
    check(outcome(before, now), edited=list(zip(before, now, strict=True)))
    other = [Made(made.id, text(100 + n), made.domain) for n, made in enumerate(before)]
    check(outcome(before, other), replaced=list(zip(before, other, strict=True)), removed=before, added=other)


def test_short_texts_are_not_followed_by_likeness_alone() -> None:
    """Texts of a few tokens fill so few bins that unrelated ones would agree by chance."""
    before, now = ([Made(f"{first}-{n}", text(n + first, 6)) for n in range(500)] for first in (0, 1000))
    check(outcome(before, now), removed=before, added=now)


def test_without_sketches_texts_are_kept_or_not() -> None:
    got = outcome(OLD[:2], [OLD[0], edit(OLD[1])], with_sketches=False)
    check(got, kept=[(OLD[0], OLD[0])], removed=[OLD[1]], added=[edit(OLD[1])])
    assert not got.matches.by_text and not got.matches.by_id


def test_many_near_copies_of_one_text_are_paired_one_to_one() -> None:
    """300 documents of one template: each is edited, none is compared with all others."""
    base = text(7, 400)
    before = [Made(f"old {n}", (*base, *text(2000 + n, 20))) for n in range(300)]
    now = [Made(f"new {n}", (*base, *text(2000 + n, 20), 7)) for n in range(300)]
    got = outcome(before, now)
    assert got.edited.total() == got.renamed.total() == 300
    assert not got.removed and not got.added


TEXTS = [text(n, 60) for n in range(4)]
VERSIONS = [*TEXTS, *((*tokens[:20], n, *tokens[21:]) for n, tokens in enumerate(TEXTS)), (), (1,), (1, 2)]
DOCUMENTS = st.lists(
    st.builds(Made, st.sampled_from(["", "x", "y", "z"]), st.sampled_from(VERSIONS), st.sampled_from("ab")), max_size=12
)


@settings(max_examples=150, deadline=None)
@given(before=DOCUMENTS, now=DOCUMENTS)
def test_every_document_is_one_of_the_kinds(before: list[Made], now: list[Made]) -> None:
    got = outcome(before, now)
    for number, side, rest in ((0, before, got.removed), (1, now, got.added)):
        paired: Counter[Made] = Counter()
        for pairs in (got.kept, got.edited):
            for pair, documents in pairs.items():
                paired[pair[number]] += documents
        assert paired + rest == Counter(side)
    one, two = (Counter(made.tokens for made in side) for side in (before, now))
    assert got.kept.total() == (one & two).total(), "as many bytes are kept as can be"
    within = [Counter((made.tokens, made.domain) for made in side) for side in (before, now)]
    stayed = sum(n for (a, b), n in got.kept.items() if a.domain == b.domain)
    assert stayed == (within[0] & within[1]).total(), "and in their domain"
    for (a, b), documents in got.replaced.items():
        assert a.id == b.id != "" and documents <= got.removed[a] and documents <= got.added[b]
    assert all(a.tokens == b.tokens for a, b in got.kept) and all(a.tokens != b.tokens for a, b in got.edited)
    assert outcome(before[::-1], now[::-1]).edited == got.edited, "whatever the order of documents"
