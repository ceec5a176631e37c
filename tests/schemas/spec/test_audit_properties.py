"""Properties of reading ``audit.yaml``: a dumped spec loads back equal, and any bytes end in a `SpecError`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from corpus_audit.schemas.errors import SpecError
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.audit_file import load_audit

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)
SOURCE = st.one_of(
    TEXT,
    *(st.fixed_dictionaries({key: TEXT}) for key in ("column", "url_host", "path", "constant")),
)
SCALARS = st.one_of(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
IDENTIFIERS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "domain")


@st.composite
def clauses(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(["==", "<", "in", "not_in", "matches", "is_null"]))
    clause: dict[str, Any] = {"name": draw(TEXT), "column": draw(TEXT), "op": op}
    if op in ("in", "not_in"):
        clause["value"] = draw(st.lists(SCALARS, min_size=1, max_size=4))
    elif op != "is_null":
        clause["value"] = draw(TEXT if op == "matches" else SCALARS)
    return clause


SPECS = st.fixed_dictionaries(
    {
        "name": TEXT,
        "tokenizer": TEXT,
        "snapshot": st.fixed_dictionaries(
            {"paths": st.lists(TEXT, min_size=1, max_size=3)},
            optional={"format": st.sampled_from(["auto", "parquet", "jsonl.zst"]), "manifest": st.none() | TEXT},
        ),
    },
    optional={
        "document": st.fixed_dictionaries(
            {},
            optional={
                "text": TEXT,
                "id": st.none() | TEXT,
                "domain": SOURCE,
                "facets": st.dictionaries(IDENTIFIERS, SOURCE, max_size=3),
                "cluster": st.none() | SOURCE,
            },
        ),
        "mixture": st.fixed_dictionaries(
            {"weights": st.dictionaries(TEXT, st.floats(0.001, 1e9) | st.integers(1, 9), min_size=1, max_size=4)},
            optional={"unit": st.sampled_from(["documents", "bytes", "tokens"])},
        ),
        "filter": st.lists(clauses(), max_size=3, unique_by=lambda clause: clause["name"]),
        "sample": st.fixed_dictionaries({"share": st.floats(1e-9, 1)}, optional={"seed": st.integers()}),
        "limits": st.fixed_dictionaries(
            {}, optional={"document_bytes": st.integers(1, 2**40), "dead_letter_share": st.floats(0, 1)}
        ),
        "excerpts": st.booleans(),
        "store": st.none() | TEXT,
    },
)


def quoted(value: Any) -> Any:
    """The data with odd texts in double quotes: ruamel writes ``?0`` and ``:0`` in a way that nobody reads back."""
    if isinstance(value, dict):
        return {quoted(key): quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [quoted(item) for item in value]
    if isinstance(value, str) and not value.replace("_", "").isalnum():
        return DoubleQuotedScalarString(value)
    return value


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, st.booleans())
def test_a_dumped_spec_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, data: Any, as_json: bool) -> None:
    spec = AuditSpec.model_validate_json(json.dumps(data))
    plain = spec.model_dump(mode="json")
    stream = io.BytesIO()
    if as_json:
        stream.write(json.dumps(plain, ensure_ascii=False).encode())
    else:
        YAML(pure=True).dump(quoted(plain), stream)
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_bytes(stream.getvalue())
    loaded = load_audit(path).spec
    assert loaded == spec
    # 1 == 1.0 == True: equality alone would not see a changed type.
    assert loaded.model_dump_json() == spec.model_dump_json()


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_end_in_a_spec_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError, match=r"any\.yaml:\d+:\d+: "):
        load_audit(path)
