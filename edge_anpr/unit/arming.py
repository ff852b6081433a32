"""Asks the centre for a list, then for a newer one, and takes what the centre sends: lists, and withdrawals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

import edge_anpr
from edge_anpr.errors import Unusable
from edge_anpr.privacy.keys import Key
from edge_anpr.privacy.seal import is_sealed
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.lists import Lists, now
from edge_anpr.watch.arming import LIFE, Holds, Session, read_revocation
from edge_anpr.watch.watchlist import Header

# Nobody may be at the centre yet, so the unit asks again; an operator may take his time, so older requests stand.
ASK_NS = 30_000_000_000
# With a list in force it asks for a newer one, which the centre answers when there is one.
ASK_AGAIN_NS = 600_000_000_000
_KEPT = int(LIFE.total_seconds() * 1e9) // ASK_NS


class Arming:
    """The unit's side of the centre. ``put`` gets each request, to be carried there; ``asks`` False: take only.

    ``centre``: the keys, by id, that sign tickets and withdrawals. ``identity`` signs the requests.
    """

    def __init__(
        self,
        unit: str,
        boot_id: str,
        centre: Mapping[str, bytes],
        inbox: Inbox,
        put: Callable[[bytes], None],
        *,
        asks: bool,
        identity: Key | None = None,
    ) -> None:
        self._unit, self._boot_id, self._centre, self._inbox, self._put = unit, boot_id, centre, inbox, put
        self._asks, self._identity = asks, identity
        self._sessions: deque[Session] = deque(maxlen=_KEPT)
        self._holds: Holds | None = None
        put(b"")  # what was asked before this start can be answered to nobody

    def look(self, lists: Lists) -> None:
        """Take what has come, then ask if it is time to."""
        try:
            messages = self._inbox.take()
        except Unusable as error:
            lists.refuse(str(error))
            messages = []
        for message in messages:
            self._hear(message, lists)
        if self._asks:
            self._ask(lists.armed.header if lists.armed else None)

    def _ask(self, header: Header | None) -> None:
        now_ns = time.monotonic_ns()
        holds = Holds(header.list_id, header.version) if header else None
        every_ns = ASK_NS if holds is None else ASK_AGAIN_NS
        if self._sessions and holds == self._holds and self._sessions[-1].age_ns(now_ns) < every_ns:
            return
        self._holds = holds
        session = Session(
            self._unit, self._boot_id, now_ns, version=edge_anpr.__version__, holds=holds, identity=self._identity
        )
        self._sessions.append(session)
        self._put(session.request())

    def _hear(self, message: bytes, lists: Lists) -> None:
        if is_sealed(message):
            lists.offer(message, now(), "from the centre", tuple(self._sessions))
            return
        try:
            revocation = read_revocation(message, self._centre)
            if self._unit in revocation.units or "*" in revocation.units:
                lists.withdraw(revocation.list_id, revocation.up_to_version)
        except Unusable as error:
            lists.refuse(f"from the centre: {error}")
