"""Makes the tables in a new database, brings older ones up to date, and refuses newer ones and other programs'."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select, text

from edge_anpr.centre import tables

HEAD = "0001"  # the newest revision in migrations/
VERSION = Table("edge_anpr_version", MetaData(), Column("version_num", Text))
_TURNS = 0x616E7072  # "anpr": two centres that open a new PostgreSQL database take turns by this lock

_log = logging.getLogger(__name__)


class Foreign(Exception):
    """The database is not one that this program may change; the text says why."""


def complaint(connection: Connection) -> str | None:
    """Why the records cannot be read as they are, or None when their tables are the newest."""
    found = _found(connection)
    if found == HEAD:
        return None
    if found is None:
        return "holds no records of a centre; name the database of `edge-anpr centre serve`"
    if found in _known():
        return "was written by an older edge-anpr; `edge-anpr centre serve` brings it up to date"
    return "was written by a newer edge-anpr; update this one"


def upgrade(connection: Connection) -> None:
    """Bring the tables to ``HEAD`` within the caller's transaction. Raises Foreign."""
    if connection.dialect.name == "postgresql":  # SQLite's writers take turns anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:turns)"), {"turns": _TURNS})
    found = _found(connection)  # another centre may have been quicker
    if found == HEAD:
        return
    if found is not None and found not in _known():
        raise Foreign(complaint(connection))
    if found is None:
        there = set(inspect(connection).get_table_names())
        # A file is one program's; a PostgreSQL database may be shared with tables of other names.
        strange = there if connection.dialect.name == "sqlite" else there & set(tables.metadata.tables)
        if strange:
            raise Foreign(f"holds a table {min(strange)!r} of another program; give the centre a database of its own")
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    _log.info("tables of the records brought from %s to %s", found or "nothing", HEAD)


def _found(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION.name):
        return None
    found: str | None = connection.execute(select(VERSION.c.version_num)).scalar()
    return found


def _known() -> set[str]:
    return {revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
