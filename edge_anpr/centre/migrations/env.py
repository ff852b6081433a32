"""What Alembic runs: the revisions, in the transaction and on the connection that `upgrading.py` hands over.

A new revision: copy the newest one of versions/, raise ``HEAD`` in upgrading.py, and change tables.py to match; a test
compares what comes of both.
"""

from __future__ import annotations

from alembic import context

from edge_anpr.centre import tables
from edge_anpr.centre.upgrading import VERSION

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    version_table=VERSION.name,
)
with context.begin_transaction():
    context.run_migrations()
