"""Mistakes in an investigation.yaml are named with position and the nearest key; its JSON Schema is printed."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import SpecError
from corpus_audit.schemas.spec.investigation_file import json_schema_text, load_investigation

HEAD = "version: 1\nname: x\n"
RUNS = HEAD + "runs: [{id: a, telemetry: [b]}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "runz: []\n", ":3:1: unknown key 'runz' (did you mean 'runs'?)"),
        (HEAD + "runs: [{id: a, telemetry: [b], paramters: 3}]\n", ":3:32: unknown key 'paramters' (did you mean"),
        (RUNS + "drawn: {log: c, step_ofset: 1}\n", ":4:17: unknown key 'step_ofset' (did you mean 'step_offset'?)"),
        (RUNS + "windows: [{frist: 1, last: 2}]\n", ":4:12: unknown key 'frist' (did you mean 'first'?)"),
        (RUNS + "events: [{step: 1, wat: x}]\n", ":4:20: unknown key 'wat' (did you mean 'what'?)"),
        (RUNS + "cluster: [x]\n", ":4:10: expected text or a mapping of names to text, found a list"),
    ],
)
def test_unknown_keys_name_the_nearest_one(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "investigation.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_investigation(path)
    assert f"{path}{message}" in str(error.value)


def test_the_schema_is_printed_and_fits_a_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", "investigation"], Session()) == 0
    text = capsys.readouterr().out
    assert text == json_schema_text()
    schema = json.loads(text)
    assert "investigation.yaml" in schema["title"]
    spec = {"version": 1, "name": "x", "runs": [{"id": "a", "telemetry": ["b"]}]}
    jsonschema.validate(spec, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**spec, "runz": []}, schema)
    assert run_command(["schema", "investigation", "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["json_schema"] == schema
