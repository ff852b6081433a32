"""The YAML file of a unit: a loader that names every mistake at once, with line and key path.

``text`` reads YAML, ``schema`` and ``cameras`` say what may stand there (msgspec holds it), ``walk`` leads there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_anpr.config import text
from edge_anpr.config.cameras import (
    HIDDEN,
    JETSON,
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
from edge_anpr.config.walk import Walk

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
    text.plain(root, "", mistakes)  # keys that stand twice
    config: Config = Walk(path.resolve().parent, mistakes).value(Config, root, 1, "")
    if mistakes:
        raise ConfigError(path, sorted(mistakes, key=lambda mistake: (mistake.line, mistake.key)))
    return config


def effective(config: Config) -> str:
    """The values in force as YAML, defaults filled in, without what is secret."""
    values = msgspec.to_builtins(config, enc_hook=str)
    if isinstance(config.camera, RtspCamera):
        # A password may stand before the host or in the query, and may hold any character: only the scheme is shown.
        values["camera"]["url"] = config.camera.url.split("//")[0] + "//" + HIDDEN
    if isinstance(config.camera, GstreamerCamera):
        # What the pipeline says, or would say, is not repeated beside it.
        for unused in JETSON if config.camera.pipeline else {"pipeline"}:
            del values["camera"][unused]
        if config.camera.pipeline:
            values["camera"]["pipeline"] = HIDDEN
    return text.dump(values)
