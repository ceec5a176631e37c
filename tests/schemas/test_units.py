import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.schemas.errors import ExitCode
from corpus_audit.schemas.units import (
    IN_BLOCKS,
    NAMED,
    Kind,
    Point,
    Unit,
    UnitError,
    check_exists,
    describe,
    parse_pattern,
    parse_point,
    parse_unit,
    select,
)

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,12}", fullmatch=True)
POINTS = st.one_of(
    st.builds(Point, st.sampled_from(IN_BLOCKS), st.integers(0, 999)),
    st.builds(Point, st.sampled_from(NAMED), st.none(), NAMES),
    st.just(Point(Kind.LOGIT)),
)
UNITS = st.builds(Unit, POINTS, st.integers(0, 10**6))

WIDTHS = {Point(Kind.MLP, b): 6 for b in range(3)} | {Point(Kind.RESID, 0): 4, Point(Kind.SAE, name="a.b"): 9}


@given(UNITS)
def test_an_address_round_trips(unit):
    assert parse_unit(str(unit)) == unit
    assert parse_point(str(unit.point)) == unit.point


@given(st.text(max_size=20))
def test_what_parses_is_written_in_one_way(text):
    for parse in (parse_unit, parse_point, parse_pattern):
        try:
            assert str(parse(text)) == text
        except UnitError as error:
            assert error.exit_code is ExitCode.USAGE


@given(UNITS)
def test_an_address_is_a_pattern_that_names_only_itself(unit):
    widths = {unit.point: unit.index + 2, Point(Kind.MLP, 10_000): 10**7}
    selected = select([parse_pattern(str(unit))], widths)
    assert list(selected) == [unit.point] and selected[unit.point].tolist() == [unit.index]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mlp",
        "mlp.3",
        "mlp.3:",
        "mlp.03:1",
        "mlp.3:01",
        "mlp.-1:0",
        "mlp.x:0",
        "MLP.3:1",
        "mlp.3:1 ",
        "mlp.3:1\n",
        "mlp.٣:1",
        "logit.3:1",
        "sae:1",
        "sae.:1",
        "sae.a b:1",
        "head.1.2:3",
        "resid.1:2:3",
        "mlp.*:1",
    ],
)
def test_what_is_no_address_is_refused_with_the_grammar(text):
    with pytest.raises(UnitError, match=r"write mlp\.3:417"):
        parse_unit(text)


@pytest.mark.parametrize(
    "text", ["*:*", "*.3:*", "mlp.1*:*", "mlp.3:5-", "mlp.3:5-2", "mlp.3:*-2", "sae.[a]:*", "logit.*:*"]
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(UnitError):
        parse_pattern(text)


def test_patterns_select():
    def selected(*patterns):
        matched = select([parse_pattern(p) for p in patterns], WIDTHS)
        return {str(point): indices.tolist() for point, indices in matched.items()}

    assert selected("mlp.*:*") == {f"mlp.{b}": list(range(6)) for b in range(3)}
    assert selected("mlp.1:2-4", "mlp.1:4-5") == {"mlp.1": [2, 3, 4, 5]}
    assert selected("sae.*:8", "resid.0:0") == {"resid.0": [0], "sae.a.b": [8]}
    assert selected("sae.a*:*") == {"sae.a.b": list(range(9))}


@pytest.mark.parametrize("pattern", ["mlp.3:*", "head.*:*", "sae.c:1", "mlp.*:6", "logit:*"])
def test_a_pattern_of_nothing_says_what_exists(pattern):
    with pytest.raises(UnitError, match=r"mlp\.0 to mlp\.2 \(6 each\)|indices of mlp\.0 end at 5"):
        select([parse_pattern(pattern)], WIDTHS)


def test_unknown_coordinates_say_what_exists():
    check_exists(parse_unit("mlp.2:5"), WIDTHS)
    with pytest.raises(UnitError, match=r"there is no mlp\.2:6: indices of mlp\.2 end at 5"):
        check_exists(parse_unit("mlp.2:6"), WIDTHS)
    with pytest.raises(UnitError, match=r"no mlp\.7; there are mlp\.0 to mlp\.2 \(6 each\), resid\.0 \(4\), sae\.a\.b"):
        check_exists(parse_unit("mlp.7:0"), WIDTHS)
    assert describe({}) == "none"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5))
def test_ranges_are_a_union(ranges):
    patterns = [parse_pattern(f"mlp.1:{min(r)}-{max(r)}") for r in ranges]
    expected = sorted({i for r in ranges for i in range(min(r), max(r) + 1)})
    assert np.array_equal(select(patterns, WIDTHS)[Point(Kind.MLP, 1)], expected)
