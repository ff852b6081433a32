"""The first tables: units, hits, reports of them, evidence, feedback, poison, alarms, deletions."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    text,
)

revision = "0001"
down_revision = None

MOMENT = DateTime(timezone=True)
SERIAL = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "alarm",
        Column("id", SERIAL, nullable=False),
        Column("unit", Text(), nullable=False),
        Column("code", Text(), nullable=False),
        Column("raised_by", Text(), nullable=False),
        Column("since", MOMENT, nullable=False),
        Column("text", Text(), nullable=False),
        Column("ended", MOMENT, nullable=True),
        PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("alarm_ended", "alarm", ["ended"])
    op.create_index(
        "alarm_standing",
        "alarm",
        ["unit", "raised_by", "code"],
        unique=True,
        sqlite_where=text("ended IS NULL"),
        postgresql_where=text("ended IS NULL"),
    )
    op.create_table(
        "beat",
        Column("centre", Text(), nullable=False),
        Column("at", MOMENT, nullable=False),
        PrimaryKeyConstraint("centre"),
    )
    op.create_table(
        "boot",
        Column("unit", Text(), nullable=False),
        Column("boot_id", Text(), nullable=False),
        Column("reports", BigInteger(), nullable=False),
        Column("max_seq", BigInteger(), nullable=False),
        Column("last_at", MOMENT, nullable=False),
        PrimaryKeyConstraint("unit", "boot_id"),
    )
    op.create_index("boot_last_at", "boot", ["last_at"])
    op.create_table(
        "deletion",
        Column("id", SERIAL, nullable=False),
        Column("day", Text(), nullable=False),
        Column("unit", Text(), nullable=False),
        Column("kind", Text(), nullable=False),
        Column("cause", Text(), nullable=False),
        Column("number", BigInteger(), nullable=False),
        Column("from_day", Text(), nullable=False),
        Column("to_day", Text(), nullable=False),
        PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("deletion_once", "deletion", ["day", "unit", "kind", "cause"], unique=True)
    op.create_table(
        "evidence",
        Column("unit", Text(), nullable=False),
        Column("hit_id", Text(), nullable=False),
        Column("phase", Text(), nullable=False),
        Column("received_at", MOMENT, nullable=False),
        Column("sha256", Text(), nullable=False),
        Column("jpeg", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("unit", "hit_id"),
    )
    op.create_index("evidence_received_at", "evidence", ["received_at"])
    op.create_table(
        "feedback",
        Column("id", SERIAL, nullable=False),
        Column("unit", Text(), nullable=False),
        Column("hit_id", Text(), nullable=False),
        Column("verdict", Text(), nullable=False),
        Column("note", Text(), nullable=False),
        Column("at", MOMENT, nullable=False),
        Column("by", Text(), nullable=False),
        PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_hit", "feedback", ["unit", "hit_id", "id"])
    op.create_table(
        "hit",
        Column("unit", Text(), nullable=False),
        Column("hit_id", Text(), nullable=False),
        Column("camera", Text(), nullable=False),
        Column("captured_at", MOMENT, nullable=False),
        Column("received_at", MOMENT, nullable=False),
        Column("phase", Text(), nullable=False),
        Column("boot_id", Text(), nullable=False),
        Column("seq", BigInteger(), nullable=False),
        Column("read", Text(), nullable=True),
        Column("listed", Text(), nullable=False),
        Column("class", Text(), nullable=False),
        Column("probability", Float(), nullable=True),
        Column("list_id", Text(), nullable=False),
        Column("list_version", BigInteger(), nullable=False),
        Column("entry", BigInteger(), nullable=False),
        Column("reason", Text(), nullable=False),
        Column("basis", Text(), nullable=False),
        Column("country", Text(), nullable=True),
        Column("late", Boolean(), nullable=False),
        Column("age_s", BigInteger(), nullable=True),
        Column("clock_sync", Boolean(), nullable=False),
        Column("clock_error_ms", BigInteger(), nullable=True),
        Column("payload", Text(), nullable=False),
        PrimaryKeyConstraint("unit", "hit_id"),
    )
    op.create_index("hit_hit_id", "hit", ["hit_id"])
    op.create_index("hit_received_at", "hit", ["received_at"])
    op.create_table(
        "poison",
        Column("id", SERIAL, nullable=False),
        Column("received_at", MOMENT, nullable=False),
        Column("unit", Text(), nullable=False),
        Column("reason", Text(), nullable=False),
        Column("sha256", Text(), nullable=False),
        Column("size", BigInteger(), nullable=False),
        Column("payload", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("poison_once", "poison", ["unit", "sha256"], unique=True)
    op.create_index("poison_received_at", "poison", ["received_at"])
    op.create_index("poison_unit", "poison", ["unit", "id"])
    op.create_table(
        "report",
        Column("id", SERIAL, nullable=False),
        Column("unit", Text(), nullable=False),
        Column("hit_id", Text(), nullable=False),
        Column("phase", Text(), nullable=False),
        Column("sha256", Text(), nullable=False),
        Column("boot_id", Text(), nullable=False),
        Column("seq", BigInteger(), nullable=False),
        Column("received_at", MOMENT, nullable=False),
        Column("late", Boolean(), nullable=False),
        PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("report_once", "report", ["unit", "hit_id", "phase"], unique=True)
    op.create_index("report_received_at", "report", ["received_at"])
    op.create_table(
        "unit",
        Column("name", Text(), nullable=False),
        Column("first_seen", MOMENT, nullable=False),
        Column("last_seen", MOMENT, nullable=True),
        Column("interval_s", Float(), nullable=True),
        Column("birth", Text(), nullable=True),
        Column("status", Text(), nullable=True),
        Column("health", Text(), nullable=True),
        Column("alarm", Text(), nullable=True),
        Column("stats", Text(), nullable=True),
        Column("list_id", Text(), nullable=True),
        Column("list_version", BigInteger(), nullable=True),
        Column("list_since", MOMENT, nullable=True),
        Column("missing", BigInteger(), server_default="0", nullable=False),
        PrimaryKeyConstraint("name"),
    )
