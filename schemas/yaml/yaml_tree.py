"""Parses YAML 1.2 text into a tree of plain values with positions, for error messages with line and column.

Only the core schema's tags are known (https://yaml.org/spec/1.2.2/#103-core-schema): no dates, no sexagesimals, no
merge keys, no objects. Mistakes are collected, and raised at once only if nothing can be read after them.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from corpus_audit.schemas.errors import SpecError

MAX_BYTES = 2**20
"""Bytes; a larger file is rejected: a spec is written by people."""

MAX_NODES = 200_000
"""Most values, aliases resolved; bounds the billion-laughs attack."""

MAX_ALIASES = 1_000
MAX_DEPTH = 40
"""Levels of nesting, which are levels of recursion here."""

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Position of a value; ``line`` and ``column`` count from 1, in characters. ``rank`` sorts sources."""

    rank: int
    line: int
    column: int
    source: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake and its position."""

    mark: Mark
    message: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}"


@dataclass(slots=True)
class Mapping:
    """A mapping: the value and the position of every key."""

    mark: Mark
    items: dict[str, Tree]
    keys: dict[str, Mark]


@dataclass(slots=True)
class Sequence:
    """A list."""

    mark: Mark
    items: list[Tree]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; an ``unusable`` one has been reported already and is not checked again."""

    mark: Mark
    value: str | int | float | bool | None
    unusable: bool = False


Tree = Mapping | Sequence | Scalar

Plain = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None


def plain(tree: Tree) -> Plain:
    """The tree as JSON-like values, without positions."""
    if isinstance(tree, Mapping):
        return {key: plain(item) for key, item in tree.items.items()}
    if isinstance(tree, Sequence):
        return [plain(item) for item in tree.items]
    return tree.value


def yaml_scalar(value: str) -> str:
    """A text as a YAML scalar: plain if it is unambiguous, otherwise in double quotes."""
    plain = re.fullmatch(r"(?:\.{0,2}/|[A-Za-z_])[A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*", value)
    if plain and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n"):
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def spec_error(problems: Iterable[Problem]) -> SpecError:
    """The error for these mistakes: one line each, in the order of the file, without repetitions."""
    return SpecError("\n".join(str(problem) for problem in sorted(set(problems))))


def read_file(path: Path, missing: str) -> bytes:
    """Read a file; of a file that is too large, one byte more than `parse` accepts.

    Args:
        path: the file.
        missing: the message if the file does not exist.

    Raises:
        SpecError: it cannot be read.
    """
    mark = Mark(0, 1, 1, str(path))
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise spec_error([Problem(mark, missing)]) from None
    except IsADirectoryError:
        raise spec_error([Problem(mark, "this is a folder; name the YAML file in it")]) from None
    except OSError as error:
        raise spec_error([Problem(mark, f"cannot be read: {error.strerror or error}")]) from None


def parse(data: bytes, source: str) -> tuple[Tree, list[Problem]]:
    """Parse one YAML document.

    Args:
        data: the bytes of the file, UTF-8.
        source: name of the file in messages.

    Returns:
        The tree, and the mistakes after which it could still be read (duplicate keys, NaN, unknown tags).

    Raises:
        SpecError: it is not UTF-8, not YAML, empty, too large or too deep.
    """
    if len(data) > MAX_BYTES:
        raise spec_error([Problem(Mark(0, 1, 1, source), f"{len(data):,} bytes; at most {MAX_BYTES:,} are read")])
    text = _decode(data, source)
    _refuse_other_versions(text, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            # Nodes, not values: only nodes have positions. ``pure``, as the C library reads YAML 1.1, where ``no`` is a
            # boolean and ``012`` is 10.
            root = YAML(typ="safe", pure=True).compose(text)
        if root is None:
            raise spec_error([Problem(Mark(0, 1, 1, source), "the file is empty")])
        builder = _Builder(source)
        return builder.build(root, ()), builder.problems
    except MarkedYAMLError as error:
        raise _syntax_error(error, text, source) from None
    except ReaderError as error:
        code = ord(error.character) if isinstance(error.character, str) else error.character
        mark = _mark_at(text, error.position, source)
        raise spec_error([Problem(mark, f"character U+{code:04X} is not allowed in YAML")]) from None
    except YAMLError as error:
        raise spec_error([Problem(Mark(0, 1, 1, source), " ".join(str(error).split()))]) from None
    except RecursionError:
        raise spec_error([Problem(Mark(0, 1, 1, source), "nested too deeply")]) from None


def _mark_at(text: str, position: int, source: str) -> Mark:
    before = text[:position]
    return Mark(0, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1, source)


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().removeprefix("\ufeff")
        mark = _mark_at(before, len(before), source)
        message = f"byte 0x{data[error.start]:02X} is not UTF-8: save the file as UTF-8"
        raise spec_error([Problem(mark, message)]) from None


def _refuse_other_versions(text: str, source: str) -> None:
    """A ``%YAML 1.1`` line would change what ``yes`` and ``012`` mean."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("%YAML") and line.split()[1:2] != ["1.2"]:
            raise spec_error([Problem(Mark(0, number, 1, source), "only YAML 1.2 is read")])
        if line.strip() and not line.startswith(("%", "#")):
            return


def _syntax_error(error: MarkedYAMLError, text: str, source: str) -> SpecError:
    error_mark = error.problem_mark or error.context_mark
    mark = Mark(0, error_mark.line + 1, error_mark.column + 1, source) if error_mark else Mark(0, 1, 1, source)
    problem = (error.problem or error.context or "not YAML").strip()
    line = text.split("\n")[mark.line - 1] if mark.line <= text.count("\n") + 1 else ""
    if "'\\t'" in problem or line[: mark.column].strip(" ").startswith("\t"):
        problem = "a tab where YAML wants spaces: indent with spaces"
    elif "found another document" in problem:
        problem = "a second YAML document starts here; the file may hold one"
    elif error.context and error.problem and "block mapping" in error.context:
        problem += " (is the line indented as its neighbours are?)"
    elif error.context and error.problem and not error.context.startswith("expected"):
        problem += f" ({error.context})"
    return spec_error([Problem(mark, f"not valid YAML: {problem}")])


class _Builder:
    """Turns ruamel's nodes into a `Tree`, bounded in depth and size, collecting what is wrong."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._node_ids: set[int] = set()
        self._nodes = 0
        self._aliases = 0

    def build(self, node: Node, above: tuple[int, ...]) -> Tree:
        """The tree below a node; ``above`` holds the identities of the nodes around it."""
        mark = self._mark(node)
        self._count(node, mark, above)
        above = (*above, id(node))
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, mark, above)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return Sequence(mark, [self.build(item, above) for item in node.value])
        if isinstance(node, ScalarNode):
            return self._scalar(node, mark)
        return self._unusable(mark, f"tag {_short(node.tag)} is not known here")

    def _mark(self, node: Node) -> Mark:
        return Mark(0, node.start_mark.line + 1, node.start_mark.column + 1, self.source)

    def _count(self, node: Node, mark: Mark, above: tuple[int, ...]) -> None:
        if id(node) in above:
            raise spec_error([Problem(mark, "an alias inside the value it stands for")])
        if len(above) >= MAX_DEPTH:
            raise spec_error([Problem(mark, "nested too deeply")])
        self._nodes += 1
        # An alias is its anchor's node again, so a node that comes twice is one. Counted with every repetition: a short
        # file of aliases of aliases stands for billions of values.
        self._aliases += id(node) in self._node_ids
        self._node_ids.add(id(node))
        if self._nodes > MAX_NODES or self._aliases > MAX_ALIASES:
            raise spec_error([Problem(mark, f"too many values or aliases (at most {MAX_ALIASES:,} aliases)")])

    def _unusable(self, mark: Mark, message: str) -> Scalar:
        self.problems.append(Problem(mark, message))
        return Scalar(mark, None, unusable=True)

    def _mapping(self, node: MappingNode, mark: Mark, above: tuple[int, ...]) -> Mapping:
        mapping = Mapping(mark, {}, {})
        for key_node, value_node in node.value:
            key_mark = self._mark(key_node)
            if not isinstance(key_node, ScalarNode):
                self.problems.append(Problem(key_mark, "a key must be a single value, not a list or a mapping"))
                continue
            # Keys are names: ``2020:`` and ``no:`` mean the text that is written.
            key = key_node.value
            if not key and not key_node.style:
                self.problems.append(Problem(key_mark, "a key is missing before the colon"))
            elif not _is_unicode(key):
                self.problems.append(Problem(key_mark, "the key holds half of a surrogate pair"))
            elif key in mapping.items:
                first = mapping.keys[key]
                self.problems.append(Problem(key_mark, f"duplicate key {key!r} (first on line {first.line})"))
            else:
                mapping.keys[key] = key_mark
                value = self.build(value_node, above)
                if isinstance(value_node, ScalarNode) and not value_node.value and not value_node.style:
                    value = Scalar(key_mark, None)  # an empty value: ruamel's mark would point at the next line
                mapping.items[key] = value
        return mapping

    def _scalar(self, node: ScalarNode, mark: Mark) -> Scalar:
        text, kind = node.value, (node.tag or "").removeprefix(_TAG)
        # A date stays the text that was written, and ``<<`` is a key like others: see the module.
        if kind in ("str", "timestamp", "merge", "value"):
            if not _is_unicode(text):
                return self._unusable(mark, "the text holds half of a surrogate pair")
            return Scalar(mark, text)
        if kind == "null":
            return Scalar(mark, None)
        try:
            if kind == "bool":
                return Scalar(mark, {"true": True, "false": False}[text.lower()])
            if kind == "int":
                return Scalar(mark, _integer(text))
            if kind == "float":
                number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
                if not math.isfinite(number):
                    return self._unusable(mark, f"{text} is not a finite number")
                return Scalar(mark, number)
        except (ValueError, KeyError):
            return self._unusable(mark, f"{text[:40]!r} is not a value of the type {_short(node.tag)}")
        return self._unusable(mark, f"tag {_short(node.tag)} is not known here")


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    return int(digits, 0) if digits.lstrip("+-").startswith(("0o", "0x", "0b")) else int(digits)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _short(tag: str | None) -> str:
    tag = tag or "?"
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
