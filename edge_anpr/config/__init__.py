"""The YAML file of a unit: a loader that names every mistake at once, with line and key path.

``text`` reads YAML, ``schema`` and ``cameras`` say what may stand there (pydantic validates), ``advice`` what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_anpr.config import text
from edge_anpr.config.advice import explain
from edge_anpr.config.cameras import (
    HIDDEN,
    ClipCamera,
    FolderCamera,
    GstreamerCamera,
    LiveCamera,
    PiCamera,
    RtspCamera,
    V4l2Camera,
)
from edge_anpr.config.schema import Config, Models
from edge_anpr.config.text import ConfigError, Mistake

__all__ = [
    "ClipCamera",
    "Config",
    "ConfigError",
    "FolderCamera",
    "GstreamerCamera",
    "LiveCamera",
    "Mistake",
    "Models",
    "PiCamera",
    "RtspCamera",
    "V4l2Camera",
    "effective",
    "load",
]


def load(path: Path) -> Config:
    """Read and check a unit's config; relative paths in it are taken from the file's own folder.

    Raises ConfigError with every mistake found.
    """
    root = text.compose(path, text.read(path))
    mistakes: list[Mistake] = []
    value = text.plain(root, "", mistakes)
    try:
        config = Config.model_validate(value)
    except ValidationError as error:
        mistakes += [explain(root, dict(item)) for item in error.errors(include_url=False, include_input=False)]
        config = None
    if mistakes or config is None:
        raise ConfigError(path, sorted(mistakes, key=lambda mistake: (mistake.line, mistake.key)))
    return _rebase(config, path.resolve().parent)


def effective(config: Config) -> str:
    """The values in force as YAML, defaults filled in, without what is secret."""
    values = config.model_dump(mode="json")
    if isinstance(config.camera, RtspCamera):
        # A password may stand before the host or in the query, and may hold any character: only the scheme is shown.
        values["camera"]["url"] = config.camera.url.split("//")[0] + "//" + HIDDEN
    if isinstance(config.camera, GstreamerCamera):
        # What the pipeline says, or would say, is not repeated beside it.
        unused = {"number", "width", "height", "fps", "shutter_us", "gain"} if config.camera.pipeline else {"pipeline"}
        values["camera"] = {key: value for key, value in values["camera"].items() if key not in unused}
        if config.camera.pipeline:
            values["camera"]["pipeline"] = HIDDEN
    return text.dump(values)


def _rebase(config: Config, folder: Path) -> Config:
    def absolute(model: BaseModel) -> BaseModel:
        changes: dict[str, Any] = {}
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, Path):
                changes[name] = folder / value
            elif isinstance(value, list):
                changes[name] = [folder / item if isinstance(item, Path) else item for item in value]
            elif isinstance(value, BaseModel):
                changes[name] = absolute(value)
        return model.model_copy(update=changes)

    rebased = absolute(config)
    assert isinstance(rebased, Config)
    return rebased
