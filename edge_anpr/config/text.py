"""YAML as a config takes it: its text, its plain values, and every mistake with its line.

PyYAML parses. The scalars of YAML 1.1 that change meaning behind the writer's back (``NO`` is false, ``0123`` is 83,
``12:34:56`` is 45296) stay text here: only ``true``, ``false``, ``null`` and plain decimal numbers are anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_anpr.errors import Unusable

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong: where (``line`` from 1, 0 when unknown; ``key`` like ``mqtt.port``) and what to do."""

    line: int
    key: str
    text: str


class ConfigError(Unusable):
    """A config that cannot be used; ``mistakes`` lists all that was found."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.path, self.mistakes = path, mistakes
        super().__init__("\n".join(": ".join(filter(None, (f"{path}:{m.line}", m.key, m.text))) for m in mistakes))


def read(path: Path) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(path, [Mistake(0, "", f"cannot be read: {error.strerror}; name the file with -c")]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(path, [Mistake(0, "", f"is {len(raw)} bytes long; a config has at most {MAX_BYTES}")])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(path, [Mistake(line, "", "is not UTF-8 text here; save the file as UTF-8")]) from error
    return text


def compose(path: Path, text: str) -> yaml.Node:
    """The tree of a config's text, one mapping without anchors, aliases and tags. Raises ConfigError."""
    # Events come one by one from a parser that does not recurse: a bomb of aliases or of brackets is refused before
    # anything builds a tree from it.
    mistakes: list[Mistake] = []
    depth = documents = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            assert event.start_mark is not None
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    mistakes.append(Mistake(line, "", "a second document starts here; a config is one document"))
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise ConfigError(path, [Mistake(line, "", f"is nested more than {MAX_DEPTH} deep")])
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                mistakes.append(Mistake(line, "", "anchors and aliases (& and *) are refused; write the value out"))
            elif getattr(event, "tag", None):
                mistakes.append(Mistake(line, "", "tags (!) are refused; write a plain value"))
        if mistakes:
            raise ConfigError(path, mistakes)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be parsed"
        raise ConfigError(path, [Mistake(mark.line + 1 if mark else 0, "", f"is not YAML: {problem}")]) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(path, [Mistake(1, "", "holds no keys; start from config.example.yaml")])
    return root


def entries(node: yaml.MappingNode, key: str) -> Iterator[tuple[str, str, int, yaml.Node]]:
    """Of each key in a mapping whose path is ``key``: its name, its path, its line, and what stands there."""
    for name_node, value in node.value:
        name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
        yield name, f"{key}.{name}" if key else name, name_node.start_mark.line + 1, value


def plain(node: yaml.Node, key: str, mistakes: list[Mistake]) -> Any:
    """The values below a node whose path is ``key``; what is wrong is added to ``mistakes``."""
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for name, path, line, value_node in entries(node, key):
            if name in values:
                mistakes.append(Mistake(line, path, "stands here a second time; keep one of the two"))
                continue
            values[name] = plain(value_node, path, mistakes)
        return values
    if isinstance(node, yaml.SequenceNode):
        return [plain(item, f"{key}[{index}]", mistakes) for index, item in enumerate(node.value)]
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return str(node.value) if quoted else _scalar(str(node.value))


def _scalar(text: str) -> bool | int | float | str | None:
    if text in ("true", "false"):
        return text == "true"
    if text in ("", "null", "~"):
        return None
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", text):
        return float(text)
    return text


def dump(values: dict[str, Any]) -> str:
    """The same values as YAML, in their order."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
