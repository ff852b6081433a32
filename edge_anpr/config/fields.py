"""What the values of a config may be: names, paths, addresses; and that nothing else may stand there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from edge_anpr import address

# Secrets that systemd hands to a service (LoadCredential=, encrypted by the TPM where there is one).
CREDENTIAL = "credential:"


class Strict(BaseModel):
    """A section: its keys and no others, of these types and no others; an error never repeats a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _as_path(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    if not value.isprintable():
        raise ValueError("a path holds no control characters")
    if value.startswith(CREDENTIAL):
        return _credential(value)
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user {value.split('/')[0][1:]} on this machine") from None


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


FilePath = Annotated[Path, BeforeValidator(_as_path)]
Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[str, AfterValidator(_address)]
