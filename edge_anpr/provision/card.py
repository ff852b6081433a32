"""The boot partition of a unit's card, or a folder that becomes a seed for cloud-init (NoCloud).

``meta-data`` says whose card it is. Its instance-id is made of the unit, of how often a start took what was there, and
of all that lies on it: cloud-init acts once for each. What the first start takes lies in the folder ``edge-anpr``; when
it is through, only ``edge-anpr/done`` is left of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_anpr import files
from edge_anpr.config import text
from edge_anpr.errors import Unusable

FOLDER = "edge-anpr"
_DONE = "done"
_NOBODYS = {"System Volume Information", "lost+found"}


@dataclass(frozen=True, slots=True)
class Card:
    """What goes onto a card; ``files`` by their place below the folder ``edge-anpr``."""

    unit: str
    hostname: str
    user_data: bytes
    network_config: bytes
    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a card says of itself."""

    unit: str
    generation: int


def judge(out: Path, unit: str) -> None:
    """Raise Unusable unless ``out`` may become the card of ``unit``."""
    if not out.is_dir():
        raise Unusable(f"--out {out}: is no folder; mount the card's boot partition, and name where")
    mark = _mark(out)
    if mark is not None:
        if mark.unit != unit:
            raise Unusable(
                f"--out {out}: is the card of {mark.unit}, and not of {unit}; take another one, or write the image of"
                " Raspberry Pi OS onto it first"
            )
        return
    found = {one.name for one in out.iterdir() if not one.name.startswith(".")} - _NOBODYS
    if "cmdline.txt" in found and "meta-data" not in found:
        raise Unusable(
            f"--out {out}: is of a Raspberry Pi OS without cloud-init, which is in it since trixie of November 2025;"
            " write a newer image"
        )
    if found - {FOLDER} and "cmdline.txt" not in found:
        raise Unusable(
            f"--out {out}: is neither the boot partition of Raspberry Pi OS, nor a card of ours, nor empty;"
            " name the folder where it is mounted"
        )


def write(out: Path, card: Card) -> str:
    """Write the card, and return its instance-id; when this returns, the card may be pulled out.

    A unit that starts from a half written card finds the meta-data that was there before, and takes nothing.
    """
    judge(out, card.unit)
    generation = _generation(out, card.unit)
    instance = f"{card.unit.rpartition('/')[2]}-{generation}-{_digest(card)[:12]}"
    folder = out / FOLDER
    with files.writing(folder):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(folder).as_posix() not in card.files:
                path.unlink()
        for place in sorted(card.files):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            files.replace(folder / place, card.files[place], secret=True)
            files.settle((folder / place).parent.parent)
    files.replace(out / "network-config", card.network_config, secret=True)
    files.replace(out / "user-data", card.user_data)
    files.replace(out / "meta-data", _meta_data(card, instance, generation))
    return instance


def _digest(card: Card) -> str:
    digest = hashlib.sha256()
    carried = [part for place in sorted(card.files) for part in (place.encode(), card.files[place])]
    for part in (card.user_data, card.network_config, *carried):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _meta_data(card: Card, instance: str, generation: int) -> bytes:
    values = {
        "dsmode": "local",
        "instance-id": instance,
        "local-hostname": card.hostname,
        FOLDER: {"unit": card.unit, "generation": generation},
    }
    return b"# Written by `edge-anpr provision card`.\n" + text.dump(values).encode()


def _generation(out: Path, unit: str) -> int:
    """One more than the last when a start took what was there; the same otherwise."""
    mark = _mark(out)
    if mark is None or mark.unit != unit:
        return 1
    return mark.generation + (out / FOLDER / _DONE).exists()


def _mark(out: Path) -> Mark | None:
    path = out / "meta-data"
    if not path.exists():
        return None
    try:
        values: dict[str, Any] = text.plain(text.compose(path, text.read(path)), "", [])
        own = values[FOLDER]
        return Mark(str(own["unit"]), int(own["generation"]))
    except (Unusable, KeyError, TypeError, ValueError):
        return None  # of the image, or of somebody else
