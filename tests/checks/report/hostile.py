"""Strings that try to act: markup, attribute break-outs, terminal escapes, bidirectional and invisible characters."""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from corpus_audit.checks.report.activations.section import ModelView
from corpus_audit.checks.report.contamination.records import ContaminationView
from corpus_audit.checks.report.drift.records import DriftView
from corpus_audit.checks.report.images.records import ImagesView
from corpus_audit.checks.report.sampling.records import SamplingView

VIEWS = {view.__name__: view for view in (ModelView, ContaminationView, DriftView, ImagesView, SamplingView)}
"""Types of the report's model that its module imports for type checkers alone."""

HOSTILE = (
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "<img src=https://evil.example/x onerror=alert(1)>",
    "<svg onload=alert(1)><circle r=9/></svg>",
    "</svg><script>alert(1)</script>",
    "</text></svg><iframe src=//evil.example></iframe>",
    "<svg><foreignObject><body onload=alert(1)></foreignObject></svg>",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    '"><script>alert(2)</script>',
    "'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "<a href='javascript:alert(1)'>click</a>",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<form action=https://evil.example><input name=q></form>",
    "<!-- --><b>bold</b><!--",
    "]]><b>bold</b><![CDATA[",
    "<?xml version='1.0'?><x/>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "{{ 7 * 7 }}{% include 'report.html' %}{# #}",
    "</table></div></section></main>",
    "</bdi></th></tr></tbody>",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H\x1b[31mred",
    "\x9b31mred\x9b0m",
    "\x9d52;c;ZXZpbA==\x9c",
    "one\r\ntwo\x08\x08three\x7f\x00end",
    "a\u202egnp.exe\u202c",
    "\u2066isolate\u2069\u200f\u061c",
    "\u05e9\u05dc\u05d5\u05dd 123 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "zero\u200bwidth\u200c\u200d\u2060\ufeff\u00adjoin",
    "line\u2028para\u2029next\u0085",
    "lone \ud800 surrogate \udfff",
    "z\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301algo",
    "\U000e0041\U000e0042 tags \ufe0f \u3164 filler",
    "[link=https://evil.example]rich[/link] [red]x[/red]",
    "[click](javascript:alert(1)) ![x](https://evil.example/x) <https://evil.example>",
    "a | b ` c `` d ||| --- | **bold** ~~struck~~ $x^2$ :bug:",
    "@everyone see https://evil.example and www.evil.example, GH-1 #1 evil@evil.example",
    "# heading",
    "- [ ] item\n1. other\n> quote\n***",
    "text](1) {0} [evil](https://evil.example) {{1}}",
    '=HYPERLINK("https://evil.example","x")',
    "-2+3+cmd|' /C calc'!A0",
    "\ufffe\uffff not XML \x0b\x0c",
    "long " * 3000,
)

# Every payload as a parameter of a test: one in four in the fast suite, which keeps each kind, the others when marked
# tests run.
EVERY_PAYLOAD = tuple(
    pytest.param(payload, id=str(n), marks=() if n % 4 == 0 else pytest.mark.slow) for n, payload in enumerate(HOSTILE)
)


def with_every_text(value: Any, text: str, hint: Any = None) -> Any:
    """The model with every str in it replaced; choices (`Literal`) stay, because code branches on them."""
    if get_origin(hint) is Literal or value is None:
        return value
    if isinstance(value, Enum | bool):
        return value
    if isinstance(value, BaseModel):
        fields = {
            name: with_every_text(getattr(value, name), text, field.annotation)
            for name, field in type(value).model_fields.items()
        }
        return value.model_copy(update=fields)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value), localns=VIEWS)
        fields = {
            f.name: with_every_text(getattr(value, f.name), text, hints[f.name]) for f in dataclasses.fields(value)
        }
        return type(value)(**fields)
    if isinstance(value, tuple):
        inner = get_args(hint)
        several = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        return tuple(with_every_text(v, text, h) for v, h in zip(value, several, strict=True))
    if get_origin(hint) in (types.UnionType, typing.Union):
        return with_every_text(value, text, next(h for h in get_args(hint) if h is not type(None)))
    if isinstance(value, str):
        return text
    return value
