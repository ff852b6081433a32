"""What pydantic found wrong, as a line of the file and what to do about it."""

from __future__ import annotations

import difflib
import typing
from typing import Any

import yaml

from edge_anpr.config.cameras import Camera
from edge_anpr.config.fields import Strict
from edge_anpr.config.schema import Config
from edge_anpr.config.text import Mistake

_CAMERAS = {typing.get_args(model.model_fields["source"].annotation)[0]: model for model in typing.get_args(Camera)}
_SOURCES = sorted(_CAMERAS)


def _sections(model: type[Strict], path: str = "") -> dict[str, type[Strict]]:
    """Every section by its path; those of the cameras by ``camera.SOURCE``."""
    found = {path: model}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Strict) and kind not in _CAMERAS.values():
                found |= _sections(kind, f"{path}.{name}".lstrip("."))
    return found


_SECTIONS = _sections(Config) | {f"camera.{source}": model for source, model in _CAMERAS.items()}


def explain(root: yaml.Node, error: dict[str, Any]) -> Mistake:
    """Where this is, and what to do."""
    node, line = root, 1
    path: list[str] = []
    for part in error["loc"]:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if child is None and key_node.value == part:
                    child, line = value_node, key_node.start_mark.line + 1
        if child is None and part in _SOURCES:
            continue  # pydantic puts the chosen kind of camera into the path; it is no key of the file
        path.append(str(part))
        node = child if child is not None else node
    key = ".".join(path)
    return Mistake(line, key, _advice(error))


_ADVICE = {
    "missing": "is missing; write it",
    "bool_type": "takes true or false",
    "int_type": "takes a whole number, without quotes, like 15",
    "float_type": "takes a number, without quotes, like 0.5",
    "string_type": "takes text; put it between quotes",
    "union_tag_not_found": f"needs a key 'source': {', '.join(_SOURCES[:-1])} or {_SOURCES[-1]}",
    "union_tag_invalid": f"source is one of {', '.join(_SOURCES)}",
    "model_type": "takes keys below it, indented",
    "model_attributes_type": "takes keys below it, indented",
    "path_type": "takes a path",
    "is_instance_of": "takes a path",
}


def _advice(error: dict[str, Any]) -> str:
    kind = str(error["type"])
    if kind == "extra_forbidden":
        *section, name = map(str, error["loc"])
        known = list(_SECTIONS[".".join(section)].model_fields)
        if near := difflib.get_close_matches(name, known, 1):
            return f"is unknown here; did you mean '{near[0]}'?"
        for other, model in _SECTIONS.items():
            if section[:1] == ["camera"] and other.startswith("camera.") and name in model.model_fields:
                return f"belongs to source: {other.removeprefix('camera.')}, and this is source: {section[1]}"
        return f"is unknown here; known: {', '.join(known)}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        return f"is one of {error['ctx']['expected']}"
    return _ADVICE.get(kind) or str(error["msg"]).replace("Input should be", "must be")
