import pytest
from pydantic import ValidationError

from corpus_audit.schemas.spec.sampling import SamplingSpec, strategy_name
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_TABLES

STRATEGIES = (
    "proportional",
    {"temperature": {"alpha": 0.3}},
    {"unimax": {"epoch_cap": 4}},
    {"weights": {"web": 3, "code": 1}, "unit": "documents"},
    {"dsir": {"target": "other/run"}, "name": "like wikipedia"},
)


def spec(**given):
    return SamplingSpec.model_validate({"budget": 300_000_000_000, **given})


def test_strategies_and_their_names():
    strategies = spec(strategies=STRATEGIES, parameters=7e9)
    names = [strategy_name(strategy) for strategy in strategies.strategies]
    assert names == ["proportional", "temperature 0.3", "unimax 4", "weights by documents", "like wikipedia"]
    assert strategies.budget == 3e11
    assert SamplingSpec.model_validate(strategies.model_dump()) == strategies
    assert spec().strategies == ("proportional",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 0}, "greater than or equal to 1"),
        ({"budget": float("nan")}, "finite"),
        ({"strategies": ()}, "no strategy"),
        ({"strategies": ("uniform",)}, "proportional"),
        ({"strategies": ("proportional", "proportional")}, "same name"),
        ({"strategies": ({"temperature": {"alpha": -1}},)}, "greater than or equal to 0"),
        ({"strategies": ({"unimax": {"epoch_cap": 0}},)}, "greater than 0"),
        ({"strategies": ({"weights": {"a": 0}},)}, "add up to nothing"),
        ({"strategies": ({"unimax": {"epoch_cap": 4}, "temperature": {"alpha": 1}},)}, "not permitted"),
        ({"log": {"path": "x.jsonl", "strategy": "unimax 4"}}, "no strategy is called 'unimax 4'"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        spec(**given)


@pytest.mark.parametrize("schema", SAMPLING_TABLES.values(), ids=SAMPLING_TABLES)
def test_tables_say_what_their_columns_are(schema):
    assert {b"title", b"order"} <= set(schema.metadata)
    assert all(field.metadata[b"description"] for field in schema)
