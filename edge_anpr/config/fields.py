"""What the values of a config may be: names, paths, addresses; bounds are a ``Meta``, other rules functions."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from edge_anpr import address

# Secrets that systemd hands to a service (LoadCredential=, encrypted by the TPM where there is one).
CREDENTIAL = "credential:"


def _as_path(value: str) -> Path:
    if not value:
        raise ValueError("takes a path")
    if not value.isprintable():
        raise ValueError("a path holds no control characters")
    if value.startswith(CREDENTIAL):
        return _credential(value)
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user {value.split('/', maxsplit=1)[0][1:]} on this machine") from None


def _credential(value: str) -> Path:
    name = value.removeprefix(CREDENTIAL)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name) or name in {".", ".."}:
        raise ValueError("write credential:NAME, the name that LoadCredential= gives it")
    # Without systemd (for a technician's `check`, say) there are none: whoever opens the path is told so.
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials/none"), name)


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", value):
        raise ValueError("write 1 to 32 of a-z, 0-9 and -; it becomes part of an MQTT topic")
    return value


def _address(value: str) -> str:
    address.parse(value)
    return value


FilePath = Annotated[Path, _as_path]
Keys = Annotated[list[FilePath], Meta(max_length=2)]
Name = Annotated[str, _name]
Address = Annotated[str, _address]
