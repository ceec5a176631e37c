"""Checks a YAML tree against a pydantic model: unknown, missing and mistyped parts, each with its position.

pydantic detects these mistakes too, but names union members instead of positions, and does not suggest the nearest key.
Values (bounds, validators) are left to pydantic; `value_problems` turns its errors into messages with positions.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from corpus_audit.schemas.yaml import yaml_tree
from corpus_audit.schemas.yaml.yaml_tree import Mapping, Mark, Problem, Scalar, Sequence, Tree

M = TypeVar("M", bound=BaseModel)

_SCALAR_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}

_STRUCTURAL = ("missing", "extra_forbidden", "literal_error", "enum")
"""pydantic's names (and all that end in ``_type``) for mistakes that `structure_problems` finds by itself."""


def validated(tree: Mapping, model: type[M], problems: list[Problem]) -> M:
    """Validate a tree as a pydantic model.

    Args:
        tree: content of the file.
        model: the model that describes valid content.
        problems: mistakes that were found before.

    Raises:
        SpecError: there are mistakes; one line each.
    """
    problems = [*problems, *structure_problems(tree, model)]
    try:
        loaded = model.model_validate_json(json.dumps(yaml_tree.plain(tree)))
    except ValidationError as error:
        raise yaml_tree.spec_error([*problems, *value_problems(tree, error, problems)]) from None
    if problems:
        raise yaml_tree.spec_error(problems)
    return loaded


def mark_of(tree: Tree, path: tuple[int | str, ...]) -> Mark:
    """The mark of the value at a path of keys and indices."""
    return _locate(tree, path)[1]


def schema_of(model: type[BaseModel], title: str) -> dict[str, Any]:
    """A model's JSON Schema (draft 2020-12), for editors and other tools."""
    schema = model.model_json_schema()
    schema.pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}


def schema_text(schema: dict[str, Any]) -> str:
    """A JSON Schema as the text of its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def structure_problems(tree: Tree, model: type[BaseModel]) -> list[Problem]:
    """Unknown keys, missing keys and values of the wrong type, by the types of the model's fields."""
    return list(_check(tree, model))


def value_problems(tree: Tree, error: ValidationError, known: list[Problem]) -> list[Problem]:
    """The errors of pydantic with their positions in the tree, without those that ``known`` covers."""
    problems = []
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
            continue  # entries that are wrong are not counted, and they are reported themselves
        around, mark = _locate(tree, details["loc"])
        structural = details["type"] in _STRUCTURAL or details["type"].endswith("_type")
        if known and (structural or any(problem.mark in around for problem in known)):
            continue
        problems.append(Problem(mark, _words(details)))
    return problems


def _members(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, unions flattened and ``Annotated`` taken off."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _is_model(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, BaseModel)


def _check(tree: Tree, annotation: Any) -> Iterator[Problem]:
    members = _members(annotation)
    if isinstance(tree, Mapping):
        models = [member for member in members if _is_model(member)]
        tables = [member for member in members if get_origin(member) is dict]
        if models:
            yield from _check_model(tree, models)
        elif tables:
            for item in tree.items.values():
                yield from _check(item, get_args(tables[0])[1])
        else:
            yield _wrong_type(tree, members)
    elif isinstance(tree, Sequence):
        lists = [member for member in members if get_origin(member) in (tuple, list)]
        if lists:
            for item in tree.items:
                yield from _check(item, get_args(lists[0])[0])
        else:
            yield _wrong_type(tree, members)
    elif not tree.unusable and not any(_accepts(tree.value, member) for member in members):
        yield _wrong_type(tree, members)


def _check_model(tree: Mapping, models: list[type[BaseModel]]) -> Iterator[Problem]:
    valid = list(dict.fromkeys(name for model in models for name in model.model_fields))
    unknown = [key for key in tree.items if key not in valid]
    for key in unknown:
        yield Problem(tree.keys[key], _unknown_key(key, valid))
    fitting = [model for model in models if set(tree.items) - set(unknown) <= set(model.model_fields)]
    if len(models) > 1 and (len(fitting) != 1 or not tree.items):
        if not unknown:
            keys = ", ".join(repr(name) for name in valid)
            given = f"not {' and '.join(repr(key) for key in tree.items)} together" if tree.items else "found none"
            yield Problem(tree.mark, f"expected exactly one of the keys {keys}; {given}")
        return
    model = fitting[0] if fitting else models[0]
    also_required = model.required_here(tree.items) if hasattr(model, "required_here") else ()
    for name, field in model.model_fields.items():
        if name in tree.items:
            yield from _check(tree.items[name], field.annotation)
        elif (field.is_required() or name in also_required) and not (unknown and len(models) > 1):
            guesses = [key for key in unknown if get_close_matches(key, valid, 1) == [name]]
            if not guesses:
                yield Problem(tree.mark, f"missing key {name!r} ({_describe(_members(field.annotation))})")


def _unknown_key(key: str, valid: list[str]) -> str:
    near = get_close_matches(key, valid, 1) or [name for name in valid if name.lower() == key.lower()]
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(valid)}"
    return f"unknown key {key!r} ({hint})"


def _accepts(value: str | int | float | bool | None, member: Any) -> bool:
    if get_origin(member) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(member))
    if member is None or member is type(None):
        return value is None
    if isinstance(member, type) and issubclass(member, Enum):
        return value in [choice.value for choice in member]
    if member is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if member in _SCALAR_WORDS:
        return type(value) is member
    return not _is_model(member) and get_origin(member) not in (dict, tuple, list)


def _choices(members: list[Any]) -> list[Any]:
    choices: list[Any] = []
    for member in members:
        if get_origin(member) is Literal:
            choices += get_args(member)
        elif isinstance(member, type) and issubclass(member, Enum):
            choices += [choice.value for choice in member]
    return choices


def _describe(members: list[Any]) -> str:
    """The allowed values as a phrase."""
    choices = _choices(members)
    listed = ", ".join(repr(choice) for choice in choices)
    words = [f"one of {listed}" if len(choices) > 1 else listed] if choices else []
    words += [_SCALAR_WORDS[member] for member in members if member in _SCALAR_WORDS]
    for member in members:
        if get_origin(member) in (tuple, list):
            words.append(f"a list ({_describe(_members(get_args(member)[0]))} each)")
        elif get_origin(member) is dict:
            words.append(f"a mapping of names to {_describe(_members(get_args(member)[1]))}")
    models = [member for member in members if _is_model(member)]
    if len(models) > 1:
        words.append(f"a mapping with one of {', '.join(name for model in models for name in model.model_fields)}")
    elif models:
        words.append(f"a mapping with keys such as {', '.join(list(models[0].model_fields)[:3])}")
    return " or ".join(words)


def _describe_value(tree: Tree) -> str:
    if isinstance(tree, Mapping):
        return "a mapping"
    if isinstance(tree, Sequence):
        return "a list"
    if tree.value is None:
        return "nothing"
    if isinstance(tree.value, bool):
        return "true" if tree.value else "false"
    if isinstance(tree.value, str):
        return f"the text {_shortened(tree.value)}"
    return f"the number {tree.value}"


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _wrong_type(tree: Tree, members: list[Any]) -> Problem:
    message = f"expected {_describe(members)}, found {_describe_value(tree)}"
    if isinstance(tree, Scalar):
        choices = [choice for choice in _choices(members) if isinstance(choice, str)]
        if isinstance(tree.value, str) and (near := get_close_matches(tree.value, choices, 1)):
            message += f" (did you mean {near[0]!r}?)"
        elif str in members and tree.value is not None:
            message += " (quote it)"
        elif tree.value is not None and any(get_origin(member) is tuple for member in members):
            message += " (start each entry with '- ')"
    return Problem(tree.mark, message)


def _locate(tree: Tree, loc: tuple[int | str, ...]) -> tuple[list[Mark], Mark]:
    """The marks of the values along a pydantic location, and the mark to report.

    Parts of the location that are neither a key nor an index of the tree name a union's member and are skipped.
    """
    around, mark = [tree.mark], tree.mark
    for part in loc:
        if isinstance(tree, Mapping) and isinstance(part, str) and part in tree.items:
            around.append(tree.keys[part])
            tree = tree.items[part]
        elif isinstance(tree, Sequence) and isinstance(part, int) and part < len(tree.items):
            tree = tree.items[part]
        else:
            continue
        around.append(tree.mark)
        mark = tree.mark
    return around, mark


def _words(details: Any) -> str:
    """A pydantic error as a plain message."""
    context = details.get("ctx", {})
    bounds = {
        "greater_than": ("above", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("below", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if details["type"] in bounds:
        word, key = bounds[details["type"]]
        return f"must be {word} {context[key]:g}, found {details['input']}"
    if details["type"] == "value_error":
        return str(context["error"])
    if details["type"] == "too_short":
        return f"needs at least {context['min_length']} {'entry' if context['min_length'] == 1 else 'entries'}"
    if details["type"] in ("string_too_short", "string_too_long"):
        bound = "at least" if "min_length" in context else "at most"
        length = context.get("min_length", context.get("max_length"))
        return f"must have {bound} {length} character{'s' * (length != 1)}"
    message: str = details["msg"]
    return message[:1].lower() + message[1:]
