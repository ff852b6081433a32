"""Asks the centre for a list until one is in force, and takes what the centre sends: lists, and withdrawals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

import edge_anpr
from edge_anpr.datatypes import Unusable
from edge_anpr.privacy.keys import Key
from edge_anpr.privacy.seal import is_sealed
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.lists import Lists, now
from edge_anpr.watch.arming import LIFE, Session, read_revocation

# Nobody may be at the centre yet, so the unit asks again; an operator may take his time, so older requests stand.
ASK_NS = 60_000_000_000
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

    def look(self, lists: Lists) -> None:
        """Take what has come, then ask if there is need to."""
        for message in self._inbox.take():
            self._hear(message, lists)
        if not self._asks:
            return
        if lists.armed is not None:
            if self._sessions:
                self._sessions.clear()
                self._put(b"")  # there is nothing to ask any more
        elif not self._sessions or self._sessions[-1].age_ns(time.monotonic_ns()) >= ASK_NS:
            self._sessions.append(
                Session(
                    self._unit, self._boot_id, time.monotonic_ns(),
                    version=edge_anpr.__version__, identity=self._identity,
                )
            )  # fmt: skip
            self._put(self._sessions[-1].request())

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
