"""The shape of a SARIF 2.1.0 log, for the properties that are used here, after sections 3.13 to 3.60 of the standard.

Stricter than the standard: a property that is not named here is refused, so that a misspelt one is found.
"""

from typing import Any

TEXT: dict[str, Any] = {"type": "string", "minLength": 1}


def record(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


MESSAGE = record("text", text=TEXT)
BAG = {"type": "object"}
LOCATION = record(
    "physicalLocation",
    physicalLocation=record(
        "artifactLocation region",
        artifactLocation=record("uri", uri={"type": "string", "format": "uri-reference"}),
        region=record("startLine", startLine={"type": "integer", "minimum": 1}),
    ),
)
RESULT = record(
    "ruleId ruleIndex level message locations partialFingerprints",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level={"enum": ["none", "note", "warning", "error"]},
    message=MESSAGE,
    locations={"type": "array", "items": LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    suppressions={
        "type": "array",
        "uniqueItems": True,
        "items": record(
            "kind",
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        ),
    },
    properties=BAG,
)
RULE = record("id", id=TEXT, shortDescription=MESSAGE, fullDescription=MESSAGE, help=MESSAGE, properties=BAG)
DRIVER = record(
    "name",
    name=TEXT,
    semanticVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
    rules={"type": "array", "uniqueItems": True, "items": RULE},
)
RUN = record(
    "tool",
    tool=record("driver", driver=DRIVER),
    automationDetails=record("", id=TEXT),
    results={"type": "array", "items": RESULT},
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    properties=BAG,
)
LOG = record(
    "version runs",
    version={"const": "2.1.0"},
    runs={"type": "array", "items": RUN},
    **{"$schema": {"type": "string", "format": "uri"}},
)
