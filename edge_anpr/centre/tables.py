"""What the centre keeps, as tables: the same in SQLite and PostgreSQL.

``migrations/`` makes them; a test compares the two. No table but ``hit``, ``evidence`` and ``poison`` can hold a plate,
and ``feedback`` only if the operator writes one into a note.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)


class Moment(TypeDecorator[datetime]):
    """UTC, aware on our side; SQLite keeps no zone, so nothing else is ever written there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()


def _serial() -> Column[Any]:
    # SQLite makes a counting key of INTEGER only.
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


unit = Table(
    "unit",
    metadata,
    Column("name", Text, primary_key=True),  # org/site/unit
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment),  # the last message that the unit itself sent then, by the centre's clock
    Column("interval_s", Float),  # of its health, as it says
    Column("birth", Text),  # the latest of each kind, JSON
    Column("status", Text),
    Column("health", Text),
    Column("alarm", Text),
    Column("stats", Text),
    Column("list_id", Text),
    Column("list_version", BigInteger),
    Column("list_since", Moment),  # when the centre first heard of this version there
    Column("missing", BigInteger, nullable=False, server_default="0"),  # messages that never came, see fleet.py
)

hit = Table(
    "hit",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("hit_id", Text, primary_key=True),
    Column("camera", Text, nullable=False),
    Column("captured_at", Moment, nullable=False),  # by the unit's clock
    Column("received_at", Moment, nullable=False),  # the first of its messages, by the centre's clock
    Column("phase", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("read", Text),
    Column("listed", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("probability", Float),
    Column("list_id", Text, nullable=False),
    Column("list_version", BigInteger, nullable=False),
    Column("entry", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("country", Text),
    Column("late", Boolean, nullable=False),
    Column("age_s", BigInteger),
    Column("clock_sync", Boolean, nullable=False),
    Column("clock_error_ms", BigInteger),
    Column("payload", Text, nullable=False),  # the message, JSON, without its picture
    Index("hit_received_at", "received_at"),
    Index("hit_hit_id", "hit_id"),
)

report = Table(
    "report",
    metadata,
    _serial(),  # the order of arrival
    Column("unit", Text, nullable=False),
    Column("hit_id", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("sha256", Text, nullable=False),  # of the message as it was sent
    Column("boot_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("late", Boolean, nullable=False),
    Index("report_once", "unit", "hit_id", "phase", unique=True),
    Index("report_received_at", "received_at"),
    sqlite_autoincrement=True,
)

evidence = Table(
    "evidence",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("hit_id", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("jpeg", LargeBinary, nullable=False),
    Index("evidence_received_at", "received_at"),
)

# How many messages of a unit's start came, and the highest number that it gave one: what is between them is missing.
boot = Table(
    "boot",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("boot_id", Text, primary_key=True),
    Column("reports", BigInteger, nullable=False),
    Column("max_seq", BigInteger, nullable=False),
    Column("last_at", Moment, nullable=False),
    Index("boot_last_at", "last_at"),
)

poison = Table(
    "poison",
    metadata,
    _serial(),
    Column("received_at", Moment, nullable=False),
    Column("unit", Text, nullable=False),  # of the topic under which it came
    Column("reason", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("poison_once", "unit", "sha256", unique=True),
    Index("poison_unit", "unit", "id"),
    Index("poison_received_at", "received_at"),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    _serial(),  # the last one of a hit counts
    Column("unit", Text, nullable=False),
    Column("hit_id", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Index("feedback_hit", "unit", "hit_id", "id"),
    sqlite_autoincrement=True,
)

deletion = Table(
    "deletion",
    metadata,
    _serial(),
    Column("day", Text, nullable=False),  # on which it was deleted, UTC, 2026-05-01; one row a day and kind
    Column("unit", Text, nullable=False),
    Column("kind", Text, nullable=False),  # hits, evidence, poison
    Column("cause", Text, nullable=False),  # time: its time was up; room: newer poison needed the place
    Column("number", BigInteger, nullable=False),
    Column("from_day", Text, nullable=False),  # of arrival, UTC
    Column("to_day", Text, nullable=False),
    Index("deletion_once", "day", "unit", "kind", "cause", unique=True),
    sqlite_autoincrement=True,
)

alarm = Table(
    "alarm",
    metadata,
    _serial(),
    Column("unit", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("raised_by", Text, nullable=False),  # unit, centre
    Column("since", Moment, nullable=False),
    Column("text", Text, nullable=False),
    Column("ended", Moment),
    Index(
        "alarm_standing", "unit", "raised_by", "code",
        unique=True, sqlite_where=text("ended IS NULL"), postgresql_where=text("ended IS NULL"),
    ),
    Index("alarm_ended", "ended"),
    sqlite_autoincrement=True,
)  # fmt: skip

# When each running centre last judged the units, so that who looks can tell whether anybody does.
beat = Table(
    "beat",
    metadata,
    Column("centre", Text, primary_key=True),
    Column("at", Moment, nullable=False),
)
