"""From the nodes of a file to a config. Each value is taken by itself, so that every mistake is found in one go.

What is wrong is told in words that say what to do, and never with the value: it may be a secret.
"""

from __future__ import annotations

import difflib
import operator
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from msgspec import Meta, Struct, ValidationError, convert, structs

from edge_anpr.config import text
from edge_anpr.config.cameras import CAMERAS, JETSON, Camera, GstreamerCamera
from edge_anpr.config.text import Mistake

_TAKES = {
    bool: "takes true or false",
    int: "takes a whole number, without quotes, like 15",
    float: "takes a number, without quotes, like 0.5",
    str: "takes text; put it between quotes",
    list: "takes a list, like [a.pub, b.pub]",
    Path: "takes a path",
}
# Not left to msgspec, whose words are a programmer's.
_BOUNDS = {
    "gt": (operator.gt, "must be greater than {}"),
    "ge": (operator.ge, "must be greater than or equal to {}"),
    "le": (operator.le, "must be less than or equal to {}"),
    "multiple_of": (lambda value, step: value % step == 0, "must be a multiple of {}"),
    "min_length": (lambda value, least: len(value) >= least, "must have a length of at least {}"),
    "max_length": (lambda value, most: len(value) <= most, "must have a length of at most {}"),
}


@dataclass(frozen=True, slots=True)
class Walk:
    """Paths are taken from ``folder``; what is wrong is added to ``mistakes``."""

    folder: Path
    mistakes: list[Mistake]

    def value(self, kind: Any, node: yaml.Node, line: int, key: str) -> Any:
        """What stands at a node, whose key stands in this line, as this type; None when anything in it is wrong."""
        try:
            return self._value(kind, node, line, key)
        except ValueError as error:
            self.mistakes.append(Mistake(line, key, str(error)))
            return None

    def _value(self, kind: Any, node: yaml.Node, line: int, key: str) -> Any:
        value, options = text.plain(node, key, []), typing.get_args(kind)
        if type(None) in options:
            if value is None:
                return None
            kind = options[0]
        if kind == Camera or (isinstance(kind, type) and issubclass(kind, Struct)):
            if not isinstance(node, yaml.MappingNode):
                raise ValueError("takes keys below it, indented")
            return self._camera(value, node, line, key) if kind == Camera else self._section(kind, node, line, key)
        base, *rules = typing.get_args(kind) if typing.get_origin(kind) is Annotated else (kind,)
        items = typing.get_args(base) if typing.get_origin(base) is list else ()
        try:
            value = convert(value, str if base is Path else list if items else base)
        except ValidationError:
            raise ValueError(_takes(base)) from None
        for rule in rules:
            value = _within(rule, value) if isinstance(rule, Meta) else rule(value)
        if items:
            return [self.value(items[0], child, line, f"{key}.{index}") for index, child in enumerate(node.value)]
        return self.folder / value if isinstance(value, Path) else value

    def _section(self, kind: type[Struct], node: yaml.MappingNode, line: int, key: str) -> Any:
        before = len(self.mistakes)
        fields = {field.name: field for field in structs.fields(kind)}
        values: dict[str, Any] = {}
        for name, path, at, child in text.entries(node, key):
            if name in values:
                continue  # that it stands twice is told elsewhere
            if name in fields:
                values[name] = self.value(fields[name].type, child, at, path)
            else:
                values[name] = None
                self.mistakes.append(Mistake(at, path, _unknown(name, kind)))
        for name, field in fields.items():
            if field.required and name not in values:
                self.mistakes.append(Mistake(line, f"{key}.{name}".lstrip("."), "is missing; write it"))
        return kind(**values) if len(self.mistakes) == before else None

    def _camera(self, written: dict[str, Any], node: yaml.MappingNode, line: int, key: str) -> Any:
        kind, sources = CAMERAS.get(str(written.get("source"))), ", ".join(sorted(CAMERAS))
        if kind is None:
            raise ValueError(
                f"source is one of {sources}" if "source" in written else f"needs a key 'source': {sources}"
            )
        camera = self._section(kind, node, line, key)
        # That a key was written is no longer seen when its value is the default.
        idle = ", ".join(sorted(JETSON & written.keys()))
        if isinstance(camera, GstreamerCamera) and camera.pipeline and idle:
            raise ValueError(f"the pipeline says it all: write {idle} into it, or leave pipeline out")
        return camera


def _takes(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        *most, last = map(repr, typing.get_args(kind))
        return f"is one of {', '.join(most)} or {last}"
    return _TAKES[typing.get_origin(kind) or kind]


def _within(bounds: Meta, value: Any) -> Any:
    for name, (holds, words) in _BOUNDS.items():
        if (bound := getattr(bounds, name)) is not None and not holds(value, bound):
            raise ValueError(words.format(bound))
    return value


def _unknown(name: str, kind: type[Struct]) -> str:
    known = kind.__struct_fields__
    if near := difflib.get_close_matches(name, known, 1):
        return f"is unknown here; did you mean '{near[0]}'?"
    mine = [source for source, camera in CAMERAS.items() if camera is kind]
    theirs = [source for source, camera in CAMERAS.items() if name in camera.__struct_fields__]
    if mine and theirs:
        return f"belongs to source: {theirs[0]}, and this is source: {mine[0]}"
    return f"is unknown here; known: {', '.join(known)}"
