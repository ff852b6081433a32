"""The sections of a config and their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge_anpr.config.cameras import Camera
from edge_anpr.config.fields import Address, FilePath, Name, Strict


class Unit(Strict):
    """Who this unit is; the three names make its topic ``anpr/v1/<org>/<site>/<id>/``."""

    org: Name
    site: Name
    id: Name


class Models(Strict):
    """Which networks run, and on what. Without a path the models that ship with the package are used.

    ``provider`` is demanded, not wished for: what it does not compute ends the unit with a word of what to do.
    """

    detector: FilePath | None = None
    ocr: FilePath | None = None
    provider: Literal["cpu", "xnnpack", "cuda", "tensorrt"] = "cpu"
    threads: int = Field(default=1, ge=1, le=16)


class Watchlist(Strict):
    """The list of plates to report: where it comes from, whom to believe, and what it may not exceed.

    ``source`` file: it lies on this unit's disk, for desks and small sites. ``source`` arm: the centre sends it at each
    boot, sealed to this boot; it is never on the disk.
    """

    source: Literal["file", "arm"] = "file"
    path: FilePath | None = None
    keys: list[FilePath] = Field(default=[], max_length=2)
    allow_unsigned: bool = False
    centre_keys: list[FilePath] = Field(default=[], max_length=2)
    identity: FilePath | None = None
    inbox: FilePath = Path("/run/edge-anpr/inbox")
    match: Literal["exact", "confusable", "near"] = "confusable"
    most_entries: int = Field(default=200_000, ge=0, le=200_000)
    passages_per_day: float = Field(default=5000.0, ge=1, le=1_000_000)
    false_hits_per_day: float = Field(default=1.0, ge=0, le=1000)
    most_hits_percent: float = Field(default=10.0, gt=0, le=100)

    @model_validator(mode="after")
    def _whole(self) -> Watchlist:
        if self.source == "file" and self.path is None:
            raise ValueError("needs path: where the list lies")
        if self.source == "arm" and (self.path is not None or self.allow_unsigned or not self.centre_keys):
            raise ValueError(
                "source arm takes no path and no allow_unsigned, and needs centre_keys: who may send lists"
            )
        if not self.keys and not self.allow_unsigned:
            raise ValueError("needs keys: the public key of who may sign lists (edge-anpr watchlist keygen)")
        return self


class Privacy(Strict):
    """How long a keyed token of an unlisted plate may serve to count distinct passages."""

    epoch_minutes: int = Field(default=15, ge=1, le=60)


class Delivery(Strict):
    """Where hits wait until they are delivered, what counts as that, and how much may wait, and for how long.

    ``until`` receipt: a hit is deleted on the control room's signed receipt, and none is lost. ``until`` puback: on the
    broker's acknowledgement, and what the broker loses is lost.
    """

    outbox: FilePath = Path("/var/lib/edge-anpr/outbox.db")
    seal_to: FilePath | None = None
    until: Literal["receipt", "puback"] = "puback"
    receipt_keys: list[FilePath] = Field(default=[], max_length=2)
    max_megabytes: int = Field(default=200, ge=1, le=100_000)
    max_days: float = Field(default=28.0, gt=0, le=3650)
    evidence: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Delivery:
        if self.until == "receipt" and not self.receipt_keys:
            raise ValueError("until: receipt needs receipt_keys: whose receipts count (edge-anpr centre keygen)")
        if self.until == "puback" and self.receipt_keys:
            raise ValueError("receipt_keys serve until: receipt only; write until: receipt, or leave them out")
        return self


class Tls(Strict):
    """Certificates towards the broker."""

    ca: FilePath
    certificate: FilePath | None = None
    key: FilePath | None = None

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("needs both, certificate and key, or neither")
        return self


class Mqtt(Strict):
    """The broker. Without a host, ``edge-anpr run`` starts an embedded one on this machine."""

    host: str | None = Field(default=None, min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password_file: FilePath | None = None
    tls: Tls | None = None
    keepalive_s: int = Field(default=30, ge=2, le=3600)


class Health(Strict):
    """How often the unit says how it is, and where Prometheus may ask."""

    interval_s: float = Field(default=30.0, ge=0.5, le=3600)
    metrics: Address | None = None


class Config(Strict):
    """The whole file."""

    unit: Unit
    camera: Camera = Field(discriminator="source")
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
