"""The sections of a config and their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from edge_anpr.config.cameras import Camera
from edge_anpr.config.fields import Address, FilePath, Keys, Name


class Unit(Struct, frozen=True, kw_only=True):
    """Who this unit is; the three names make its topic ``anpr/v1/<org>/<site>/<id>/``."""

    org: Name
    site: Name
    id: Name


class Models(Struct, frozen=True, kw_only=True):
    """Which networks run, and on what. Without a path the models that ship with the package are used.

    ``provider`` is demanded, not wished for: what it does not compute ends the unit with a word of what to do.
    """

    detector: FilePath | None = None
    ocr: FilePath | None = None
    provider: Literal["cpu", "xnnpack", "cuda", "tensorrt"] = "cpu"
    threads: Annotated[int, Meta(ge=1, le=16)] = 1


class Watchlist(Struct, frozen=True, kw_only=True):
    """The list of plates to report: where it comes from, whom to believe, and what it may not exceed.

    ``source`` file: it lies on this unit's disk, for desks and small sites. ``source`` arm: the centre sends it at each
    boot, sealed to this boot; it is never on the disk.
    """

    source: Literal["file", "arm"] = "file"
    path: FilePath | None = None
    keys: Keys = field(default_factory=list)
    allow_unsigned: bool = False
    centre_keys: Keys = field(default_factory=list)
    identity: FilePath | None = None
    inbox: FilePath = Path("/run/edge-anpr/inbox")
    match: Literal["exact", "confusable", "near"] = "confusable"
    most_entries: Annotated[int, Meta(ge=0, le=200_000)] = 200_000
    passages_per_day: Annotated[float, Meta(ge=1, le=1_000_000)] = 5000.0
    false_hits_per_day: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    most_hits_percent: Annotated[float, Meta(gt=0, le=100)] = 10.0

    def __post_init__(self) -> None:
        if self.source == "file" and self.path is None:
            raise ValueError("needs path: where the list lies")
        if self.source == "arm" and (self.path is not None or self.allow_unsigned or not self.centre_keys):
            raise ValueError(
                "source arm takes no path and no allow_unsigned, and needs centre_keys: who may send lists"
            )
        if not self.keys and not self.allow_unsigned:
            raise ValueError("needs keys: the public key of who may sign lists (edge-anpr watchlist keygen)")


class Privacy(Struct, frozen=True, kw_only=True):
    """How long a keyed token of an unlisted plate may serve to count distinct passages."""

    epoch_minutes: Annotated[int, Meta(ge=1, le=60)] = 15


class Delivery(Struct, frozen=True, kw_only=True):
    """Where hits wait until they are delivered, what counts as that, and how much may wait, and for how long.

    ``until`` receipt: a hit is deleted on the control room's signed receipt, and none is lost. ``until`` puback: on the
    broker's acknowledgement, and what the broker loses is lost.
    """

    outbox: FilePath = Path("/var/lib/edge-anpr/outbox.db")
    seal_to: FilePath | None = None
    until: Literal["receipt", "puback"] = "puback"
    receipt_keys: Keys = field(default_factory=list)
    max_megabytes: Annotated[int, Meta(ge=1, le=100_000)] = 200
    max_days: Annotated[float, Meta(gt=0, le=3650)] = 28.0
    evidence: bool = True

    def __post_init__(self) -> None:
        if self.until == "receipt" and not self.receipt_keys:
            raise ValueError("until: receipt needs receipt_keys: whose receipts count (edge-anpr centre keygen)")
        if self.until == "puback" and self.receipt_keys:
            raise ValueError("receipt_keys serve until: receipt only; write until: receipt, or leave them out")


class Tls(Struct, frozen=True, kw_only=True):
    """Certificates towards the broker."""

    ca: FilePath
    certificate: FilePath | None = None
    key: FilePath | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("needs both, certificate and key, or neither")


class Mqtt(Struct, frozen=True, kw_only=True):
    """The broker. Without a host, ``edge-anpr run`` starts an embedded one on this machine."""

    host: Annotated[str, Meta(min_length=1)] | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] = 1883
    username: str | None = None
    password_file: FilePath | None = None
    tls: Tls | None = None
    keepalive_s: Annotated[int, Meta(ge=2, le=3600)] = 30


class Health(Struct, frozen=True, kw_only=True):
    """How often the unit says how it is, and where Prometheus may ask."""

    interval_s: Annotated[float, Meta(ge=0.5, le=3600)] = 30.0
    metrics: Address | None = None


class Config(Struct, frozen=True, kw_only=True):
    """The whole file."""

    unit: Unit
    camera: Camera
    models: Models = Models()
    watchlist: Watchlist
    privacy: Privacy = Privacy()
    delivery: Delivery = Delivery()
    mqtt: Mqtt = Mqtt()
    health: Health = Health()

    @property
    def topic(self) -> str:
        """``anpr/v1/<org>/<site>/<unit>``, without a slash at the end."""
        return f"anpr/v1/{self.unit.org}/{self.unit.site}/{self.unit.id}"
